/* The handlers, one per API. How to write one: net/conn/request.h. An API without a handler in dispatch.c is neither
 * advertised nor served. */
#pragma once
#include "net/conn/request.h"

typedef void api_run_fn(struct request *req);

/* NULL: not served. */
api_run_fn *api_handler(int16_t key);

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
api_run_fn describe_log_dirs_run; /* log_dirs.c */
api_run_fn describe_configs_run;  /* configs.c */
api_run_fn describe_cluster_run;  /* metadata.c */
api_run_fn describe_topic_partitions_run;
api_run_fn init_producer_id_run; /* producer_ids.c */
api_run_fn list_offsets_run;     /* offsets.c */
api_run_fn offset_for_leader_epoch_run;
