/* Which API is served by which handler. */
#include "net/api/api.h"

api_run_fn *api_handler(int16_t key)
{
    switch (key) {
    case KAPI_produce: return produce_run;
    case KAPI_fetch: return fetch_run;
    case KAPI_list_offsets: return list_offsets_run;
    case KAPI_metadata: return metadata_run;
    case KAPI_offset_commit: return offset_commit_run;
    case KAPI_offset_fetch: return offset_fetch_run;
    case KAPI_find_coordinator: return find_coordinator_run;
    case KAPI_join_group: return join_group_run;
    case KAPI_heartbeat: return heartbeat_run;
    case KAPI_leave_group: return leave_group_run;
    case KAPI_sync_group: return sync_group_run;
    case KAPI_describe_groups: return describe_groups_run;
    case KAPI_list_groups: return list_groups_run;
    case KAPI_delete_groups: return delete_groups_run;
    case KAPI_offset_delete: return offset_delete_run;
    case KAPI_api_versions: return api_versions_run;
    case KAPI_create_topics: return create_topics_run;
    case KAPI_delete_topics: return delete_topics_run;
    case KAPI_delete_records: return delete_records_run;
    case KAPI_init_producer_id: return init_producer_id_run;
    case KAPI_offset_for_leader_epoch: return offset_for_leader_epoch_run;
    case KAPI_describe_configs: return describe_configs_run;
    case KAPI_alter_configs: return alter_configs_run;
    case KAPI_create_partitions: return create_partitions_run;
    case KAPI_incremental_alter_configs: return incremental_alter_configs_run;
    case KAPI_describe_log_dirs: return describe_log_dirs_run;
    case KAPI_describe_cluster: return describe_cluster_run;
    case KAPI_describe_topic_partitions: return describe_topic_partitions_run;
    default: return NULL; /* no enum: any number may come from the wire */
    }
}
