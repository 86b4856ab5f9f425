/* The APIs: one row each holds all that is true of it. How to write a handler: net/conn/request.h.
 *
 * Name and versions are the schema's (net/wire/schema), by the key. An API without a row is neither advertised nor served. */
#pragma once
#include "net/part_call.h"
#include "net/server.h"

typedef void api_run_fn(struct request *req);

/* Kafka's numbers: what a request has to be allowed to do, and to what. */
enum api_resource { API_ANY = 0, API_TOPIC = 2, API_GROUP = 3, API_CLUSTER = 4, API_TRANSACTIONAL_ID = 5 };
enum api_operation {
    API_NOTHING = 0,
    API_READ = 3,
    API_WRITE = 4,
    API_CREATE = 5,
    API_DELETE = 6,
    API_ALTER = 7,
    API_DESCRIBE = 8,
    API_CLUSTER_ACTION = 9,
    API_DESCRIBE_CONFIGS = 10,
    API_ALTER_CONFIGS = 11,
    API_IDEMPOTENT_WRITE = 12,
};
struct api_row {
    int16_t key;
    api_run_fn *run;
    enum api_resource resource;   /* of the topic, group or cluster that the request names ... */
    enum api_operation operation; /* ... this is asked */
    bool overlaps;                /* may run while others that may are in flight on its connection */
};

/* NULL: not served. */
const struct api_row *api_row(int16_t key);
/* For server_start. */
extern const struct dispatcher api_dispatcher;

api_run_fn api_versions_run;     /* api_versions.c */
api_run_fn produce_run;          /* produce.c */
api_run_fn fetch_run;            /* fetch.c */
api_run_fn metadata_run;         /* metadata.c */
api_run_fn find_coordinator_run; /* coordinator.c */
api_run_fn join_group_run;       /* groups.c */
api_run_fn sync_group_run;
api_run_fn heartbeat_run;
api_run_fn leave_group_run;
api_run_fn offset_commit_run; /* group_offsets.c */
api_run_fn offset_delete_run;
api_run_fn offset_fetch_run;    /* group_offset_fetch.c */
api_run_fn describe_groups_run; /* group_admin.c */
api_run_fn list_groups_run;
api_run_fn delete_groups_run;
api_run_fn create_topics_run; /* topics.c */
api_run_fn delete_topics_run;
api_run_fn delete_records_run;    /* delete_records.c */
api_run_fn create_partitions_run; /* partitions.c */
api_run_fn alter_configs_run;     /* alter_configs.c */
api_run_fn incremental_alter_configs_run;
api_run_fn describe_log_dirs_run;         /* log_dirs.c */
api_run_fn describe_configs_run;          /* configs.c */
api_run_fn describe_cluster_run;          /* cluster.c */
api_run_fn describe_topic_partitions_run; /* topic_pages.c */
api_run_fn describe_acls_run;             /* acls.c */
api_run_fn create_acls_run;
api_run_fn delete_acls_run;
api_run_fn create_delegation_token_run; /* delegation_tokens.c */
api_run_fn renew_delegation_token_run;
api_run_fn expire_delegation_token_run;
api_run_fn describe_delegation_token_run;
api_run_fn elect_leaders_run;                 /* elections.c */
api_run_fn alter_partition_reassignments_run; /* reassignments.c */
api_run_fn list_partition_reassignments_run;
api_run_fn alter_replica_log_dirs_run; /* replica_dirs.c */
api_run_fn describe_quorum_run;        /* quorum.c */
api_run_fn unregister_broker_run;
api_run_fn describe_client_quotas_run; /* quotas.c */
api_run_fn alter_client_quotas_run;
api_run_fn describe_user_scram_credentials_run; /* scram.c */
api_run_fn alter_user_scram_credentials_run;
api_run_fn update_features_run;       /* features.c */
api_run_fn list_config_resources_run; /* config_resources.c */
api_run_fn init_producer_id_run;      /* init_producer_id.c */
api_run_fn add_partitions_to_txn_run; /* txns.c */
api_run_fn add_offsets_to_txn_run;
api_run_fn end_txn_run;
api_run_fn txn_offset_commit_run;     /* group_txn_offsets.c */
api_run_fn describe_transactions_run; /* txn_admin.c */
api_run_fn list_transactions_run;
api_run_fn describe_producers_run;      /* describe_producers.c */
api_run_fn list_offsets_run;            /* offsets.c */
api_run_fn write_txn_markers_run;       /* txn_markers.c */
api_run_fn offset_for_leader_epoch_run; /* epoch_ends.c */
