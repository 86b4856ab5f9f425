/* Which API is served by which handler, and what is true of it; what becomes of a request that has none. */
#include "net/api/api.h"

#define ROW(api, resource, operation) [KAPI_##api] = {KAPI_##api, api##_run, resource, operation, false}
static const struct api_row rows[] = {
    [KAPI_produce] = {KAPI_produce, produce_run, API_TOPIC, API_WRITE, .overlaps = true},
    ROW(fetch, API_TOPIC, API_READ),
    ROW(list_offsets, API_TOPIC, API_DESCRIBE),
    ROW(metadata, API_TOPIC, API_DESCRIBE),
    ROW(offset_commit, API_GROUP, API_READ),
    ROW(offset_fetch, API_GROUP, API_DESCRIBE),
    ROW(find_coordinator, API_GROUP, API_DESCRIBE),
    ROW(join_group, API_GROUP, API_READ),
    ROW(heartbeat, API_GROUP, API_READ),
    ROW(leave_group, API_GROUP, API_READ),
    ROW(sync_group, API_GROUP, API_READ),
    ROW(describe_groups, API_GROUP, API_DESCRIBE),
    ROW(list_groups, API_CLUSTER, API_DESCRIBE),
    ROW(api_versions, API_ANY, API_NOTHING),
    ROW(create_topics, API_CLUSTER, API_CREATE),
    ROW(delete_topics, API_TOPIC, API_DELETE),
    ROW(delete_records, API_TOPIC, API_DELETE),
    ROW(init_producer_id, API_CLUSTER, API_IDEMPOTENT_WRITE),
    ROW(offset_for_leader_epoch, API_TOPIC, API_DESCRIBE),
    ROW(add_partitions_to_txn, API_TRANSACTIONAL_ID, API_WRITE),
    ROW(add_offsets_to_txn, API_TRANSACTIONAL_ID, API_WRITE),
    ROW(txn_offset_commit, API_GROUP, API_READ),
    ROW(end_txn, API_TRANSACTIONAL_ID, API_WRITE),
    ROW(write_txn_markers, API_CLUSTER, API_CLUSTER_ACTION),
    ROW(describe_configs, API_TOPIC, API_DESCRIBE_CONFIGS),
    ROW(alter_configs, API_TOPIC, API_ALTER_CONFIGS),
    ROW(describe_acls, API_CLUSTER, API_DESCRIBE),
    ROW(create_acls, API_CLUSTER, API_ALTER),
    ROW(delete_acls, API_CLUSTER, API_ALTER),
    ROW(alter_replica_log_dirs, API_CLUSTER, API_ALTER),
    ROW(describe_log_dirs, API_CLUSTER, API_DESCRIBE),
    ROW(create_partitions, API_TOPIC, API_ALTER),
    ROW(create_delegation_token, API_ANY, API_NOTHING),
    ROW(renew_delegation_token, API_ANY, API_NOTHING),
    ROW(expire_delegation_token, API_ANY, API_NOTHING),
    ROW(describe_delegation_token, API_ANY, API_NOTHING),
    ROW(delete_groups, API_GROUP, API_DELETE),
    ROW(elect_leaders, API_CLUSTER, API_ALTER),
    ROW(incremental_alter_configs, API_TOPIC, API_ALTER_CONFIGS),
    ROW(alter_partition_reassignments, API_CLUSTER, API_ALTER),
    ROW(list_partition_reassignments, API_CLUSTER, API_DESCRIBE),
    ROW(describe_client_quotas, API_CLUSTER, API_DESCRIBE_CONFIGS),
    ROW(alter_client_quotas, API_CLUSTER, API_ALTER_CONFIGS),
    ROW(describe_user_scram_credentials, API_CLUSTER, API_DESCRIBE),
    ROW(alter_user_scram_credentials, API_CLUSTER, API_ALTER),
    ROW(offset_delete, API_GROUP, API_DELETE),
    ROW(describe_quorum, API_CLUSTER, API_DESCRIBE),
    ROW(update_features, API_CLUSTER, API_ALTER),
    ROW(describe_cluster, API_CLUSTER, API_DESCRIBE),
    ROW(describe_producers, API_TOPIC, API_READ),
    ROW(describe_transactions, API_TRANSACTIONAL_ID, API_DESCRIBE),
    ROW(list_transactions, API_TRANSACTIONAL_ID, API_DESCRIBE),
    ROW(unregister_broker, API_CLUSTER, API_ALTER),
    ROW(list_config_resources, API_CLUSTER, API_DESCRIBE_CONFIGS),
    ROW(describe_topic_partitions, API_TOPIC, API_DESCRIBE),
};

const struct api_row *api_row(int16_t key)
{
    bool known = key >= 0 && (size_t)key < COUNT_OF(rows) && rows[key].run;
    return known ? &rows[key] : NULL;
}

static bool api_overlaps(int16_t key)
{
    const struct api_row *row = api_row(key);
    return row && row->overlaps;
}

/* KIP-511: a client that knows newer versions of ApiVersions is told in version 0 which ones we have. */
static void answer_unknown_version(struct request *req)
{
    struct api_version own = {
        .api_key = req->api->key, .min_version = req->api->advertised, .max_version = req->api->last};
    struct api_versions_response r;
    api_versions_response_init(&r);
    r.error_code = KERR_UNSUPPORTED_VERSION;
    r.api_keys.v = &own;
    r.api_keys.n = 1;
    req->version = 0;
    REQUEST_REPLY(req, api_versions_response, &r);
}

static void run_handler(struct request *req)
{
    const struct api_row *row = api_row(req->api->key);
    req->version = req->header.request_api_version;
    if (row)
        row->run(req);
    else
        request_refuse(req, "this API is not served");
}

static void dispatch_request(struct request *req, struct kview frame)
{
    switch (kmsg_open(frame, &req->arena, &req->header, &req->api, &req->body)) {
    case KOPEN_OK: run_handler(req); return;
    case KOPEN_BAD: request_fail(req, "it sent a malformed request header"); return;
    case KOPEN_KEY: request_refuse(req, "this API is unknown"); return;
    case KOPEN_VERSION:
        if (req->api->key == KAPI_api_versions)
            answer_unknown_version(req);
        else
            request_refuse(req, "this version is not supported");
        return;
    }
    assert(!"a way to open a request");
}

const struct dispatcher api_dispatcher = {
    .overlaps = api_overlaps, .dispatch = dispatch_request, .decoded = run_handler};
