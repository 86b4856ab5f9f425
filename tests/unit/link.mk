# The objects that each unit test links besides its own, one line per test: LINK_test_X := core/a.o core/b.o
# A long line is a module with too many friends.
LINK_test_sync_route := core/io_sync_route.o
LINK_test_spin := core/spin.o
LINK_test_wire := net/wire/wire.o core/mem.o core/mem_libc.o core/mem_os.o
LINK_test_kmsg := net/wire/kmsg.o net/wire/wire.o core/mem.o core/mem_libc.o core/mem_os.o
CORE_CONFIG := core/mem.o core/mem_os.o core/mem_libc.o core/err.o core/config.o core/fs_os.o core/log.o core/log_os.o core/clock_os.o
STORAGE_CONFIG := storage/config/config_value.o storage/config/topic_keys.o storage/config/topic_config.o storage/config/topic_value.o \
                  storage/config/listener.o storage/config/broker_keys.o storage/config/broker_config.o storage/config/broker_dynamic.o
LINK_test_topic_config := $(STORAGE_CONFIG) $(CORE_CONFIG)
LINK_test_broker_config := $(STORAGE_CONFIG) $(CORE_CONFIG)
LINK_test_topology := net/api/topology.o $(STORAGE_CONFIG) $(CORE_CONFIG)
STORAGE_CATALOG := storage/catalog/catalog.o storage/catalog/entities.o storage/catalog/catalog_file.o storage/catalog/catalog_check.o storage/catalog/catalog_choose.o storage/catalog/catalog_end.o storage/catalog/strays.o storage/catalog/catalog_read.o storage/catalog/catalog_blob.o storage/catalog/catalog_alter.o storage/config/settings.o storage/uuid.o \
                   core/map.o core/crc.o $(STORAGE_CONFIG) $(CORE_CONFIG)
LINK_test_catalog := $(STORAGE_CATALOG)
LINK_test_tail := storage/log/tail.o core/buf.o core/mem.o core/mem_libc.o core/mem_os.o core/crc.o
LINK_test_repack := storage/log/repack.o storage/log/codec.o storage/log/codec_pack.o storage/log/batch.o storage/log/batch_check.o storage/kerr.o core/crc.o core/mem.o core/mem_os.o
LINK_test_codec := storage/log/codec.o storage/log/codec_pack.o storage/log/batch.o storage/log/batch_check.o core/crc.o core/mem.o core/mem_libc.o core/mem_os.o
LINK_test_dedupe := storage/clean/dedupe.o storage/clean/key_hash.o core/mem.o core/mem_libc.o core/mem_os.o
LINK_test_filter := storage/clean/filter.o storage/clean/clean_txns.o storage/clean/dedupe.o storage/clean/key_hash.o storage/log/codec.o storage/log/codec_pack.o storage/log/batch.o storage/log/batch_check.o core/crc.o core/mem.o core/mem_libc.o core/mem_os.o
LINK_test_batch := storage/log/batch.o storage/log/batch_check.o storage/kerr.o core/crc.o
CORE_HEAP   := core/mem_libc.o core/mem.o core/mem_os.o
CORE_LOG    := core/log.o core/log_os.o core/clock_os.o core/err.o
CORE_IO     := core/io_op.o core/io_engine.o core/io_socket.o core/io_helper.o core/io_pool.o core/io_epoll.o core/io_disk.o core/io_sync_route.o core/spin.o \
               core/io_uring.o core/io_uring_ops.o core/io_uring_setup.o core/ring.o core/threads.o $(CORE_LOG)
CORE_SHARD  := core/stat.o core/shard_group.o core/shard_loop.o core/shard_run.o core/buf.o core/timer.o $(CORE_IO) $(CORE_HEAP)
LINK_test_io := $(CORE_IO) $(CORE_HEAP)
CORE_HEAP := core/mem.o core/mem_libc.o core/mem_os.o
LINK_test_producer := storage/log/producer.o storage/log/producer_table.o storage/log/producer_saved.o storage/log/batch.o core/crc.o $(CORE_HEAP)
LINK_test_epochs := storage/log/epochs.o $(CORE_HEAP)
LINK_test_index := storage/log/index.o $(CORE_HEAP)
LINK_test_shard := $(CORE_SHARD)
CORE_FILES := core/fs_os.o core/err.o core/crc.o $(CORE_HEAP)
LINK_test_ballast := storage/log/ballast.o $(CORE_LOG)
LINK_test_expiry_clock := storage/expiry_clock.o core/fs_os.o core/crc.o $(CORE_LOG)
LINK_test_segments := storage/log/segments.o $(CORE_HEAP)
LINK_test_segment := storage/log/segment.o storage/log/aborted.o storage/recovery/scan.o storage/log/index.o storage/log/batch.o $(CORE_FILES)
LINK_test_checkpoint := storage/recovery/checkpoint.o storage/log/batch.o storage/log/segment.o storage/log/aborted.o storage/log/index.o $(CORE_FILES)
LINK_test_err := core/err.o
LINK_test_stat := core/stat.o core/threads.o core/err.o
LINK_test_list :=
LINK_test_map := core/map.o $(CORE_HEAP)
LINK_test_mem := $(CORE_HEAP)
LINK_test_crc := core/crc.o
LINK_test_timer := core/timer.o
LINK_test_ring := core/ring.o core/threads.o core/err.o
LINK_test_config := core/config.o
LINK_test_log := core/log.o
LINK_test_log_ring := core/log_ring_os.o core/log.o core/log_os.o core/clock_os.o core/threads.o core/err.o
LINK_test_buf := core/buf.o $(CORE_HEAP)
LINK_test_fs := core/fs_os.o core/err.o core/clock_os.o
STORAGE_RECOVERY := storage/recovery/recovery_run.o storage/recovery/recovery_judge.o storage/recovery/recovery_repair.o storage/recovery/recovery_epochs.o \
                    storage/recovery/recovery_swap.o storage/recovery/recovery_aborted.o storage/log/deleted.o storage/log/folder.o storage/log/log_start.o storage/recovery/scan.o storage/log/segment.o storage/log/aborted.o storage/log/index.o storage/log/batch.o storage/log/epochs.o storage/log/producer.o storage/log/producer_table.o storage/log/producer_saved.o
LINK_test_clean_work := storage/clean/clean_work.o storage/clean/clean_offset.o storage/clean/filter.o storage/clean/clean_txns.o storage/clean/dedupe.o storage/clean/key_hash.o storage/log/codec.o storage/log/codec_pack.o storage/log/batch_check.o $(STORAGE_RECOVERY) core/err.o core/crc.o core/mem.o core/mem_os.o core/log.o core/log_os.o core/clock_os.o
LINK_test_recovery := $(STORAGE_RECOVERY) $(CORE_FILES) core/log.o core/log_os.o core/clock_os.o
LINK_test_recovery_rolls := $(LINK_test_recovery)
LINK_test_recovery_gaps := $(LINK_test_recovery)
LINK_test_recovery_faults := $(STORAGE_RECOVERY) core/err.o core/crc.o core/mem.o core/mem_os.o core/log.o core/log_os.o core/clock_os.o
LINK_test_io_disk := $(CORE_IO) $(CORE_HEAP)
LINK_test_root := storage/root.o storage/root_redo.o storage/redo_replay.o storage/log/redo.o storage/expiry_clock.o storage/root_owner.o storage/root_lock.o storage/root_sweep.o storage/recovery/clean_mark.o storage/catalog/meta.o storage/recovery/checkpoint.o storage/log/batch.o storage/log/segment.o storage/log/aborted.o storage/log/partition_dir.o storage/log/folder.o \
                  storage/log/index.o $(filter-out core/log_os.o core/clock_os.o,$(STORAGE_CATALOG))
LINK_test_catalog_writer := storage/catalog/catalog_writer.o storage/catalog/catalog_writer_strays.o storage/catalog/catalog_write.o storage/log/ballast.o $(STORAGE_CATALOG)
LINK_test_entities := storage/catalog/features.o $(LINK_test_catalog_writer)
LINK_test_asking := net/api/asking.o net/steps.o
LINK_test_steps := net/steps.o
LINK_test_frame := net/conn/frame.o
LINK_test_order := net/conn/order.o
LINK_test_notice := net/conn/notice.o
LINK_test_coord_shard := net/coord/coord_shard.o core/timer.o $(CORE_HEAP)
LINK_test_coord_call := net/coord/coord_call.o $(CORE_HEAP)
LINK_test_fetch_session := net/api/fetch_session.o core/map.o $(CORE_HEAP) net/wire/kmsg.o net/wire/wire.o
NET_CONN := $(patsubst %.c,%.o,$(sort $(wildcard net/conn/*.c)))
LINK_test_conn := $(NET_CONN) net/server.o net/steps.o net/api/fetch_session.o net/wire/kmsg.o net/wire/wire.o core/buf.o core/map.o core/timer.o core/err.o $(CORE_HEAP)
LINK_test_request := $(LINK_test_conn)
# The data path as a whole: all of storage and core.
LINK_test_partition := $(patsubst %.c,%.o,$(filter-out core/mem_mi.c,$(sort $(wildcard storage/*.c storage/*/*.c core/*.c))))
LINK_test_redo := $(LINK_test_partition)
LINK_test_transactions := $(LINK_test_partition)
LINK_test_shared_flush := $(LINK_test_partition)
LINK_test_turns := $(LINK_test_partition)
LINK_test_zeroing := $(LINK_test_partition)
LINK_test_aborted := storage/log/aborted.o $(CORE_HEAP)
LINK_test_trim := $(filter-out storage/log/log_start.o,$(LINK_test_partition))
LINK_test_cleaner := $(LINK_test_partition)
LINK_test_partition_rows := $(LINK_test_partition)
LINK_test_cold_read := $(LINK_test_partition)
LINK_test_gaps := $(LINK_test_partition)
LINK_test_other_names := $(LINK_test_partition)
LINK_test_unpack := $(filter-out core/mem_libc.o,$(LINK_test_partition))
LINK_test_retention := $(filter-out core/clock_os.o,$(LINK_test_partition))
LINK_test_partition_faults := $(filter-out core/mem_libc.o,$(LINK_test_partition))
LINK_test_alter := $(LINK_test_partition)
LINK_test_lazy := $(filter-out storage/recovery/recovery_run.o,$(LINK_test_partition))
LINK_test_large_index := $(filter-out storage/recovery/recovered_copy.o storage/recovery/checkpoint_item.o,$(LINK_test_partition))
LINK_test_offsets := net/group/offsets.o core/map.o $(CORE_HEAP)
LINK_test_txn_offsets := net/group/txn_offsets.o net/group/offsets.o core/map.o core/mem.o core/mem_os.o
LINK_test_group_records := net/group/records.o net/coord/coord_batch.o net/wire/kmsg.o net/wire/wire.o storage/log/batch.o storage/log/batch_check.o storage/kerr.o core/crc.o $(CORE_HEAP)
NET_GROUP := net/group/group.o net/group/group_members.o net/group/group_rebalance.o net/group/group_events.o \
         net/group/group_record.o net/group/group_check.o storage/kerr.o net/wire/kmsg.o net/wire/wire.o core/map.o
LINK_test_group := $(NET_GROUP) $(CORE_HEAP)
LINK_test_group_sequences := $(NET_GROUP) $(CORE_HEAP)
LINK_test_group_random := $(NET_GROUP) core/mem.o core/mem_os.o

NET_GROUP_LOG := $(patsubst %.c,%.o,$(filter-out net/group/coordinator.c net/coord/coord_call.c net/coord/coord_shard.c,$(sort $(wildcard net/group/*.c net/coord/*.c)))) \
                 net/wire/kmsg.o net/wire/wire.o
LINK_test_group_log := $(NET_GROUP_LOG) $(LINK_test_partition)
LINK_test_group_log_life := $(LINK_test_group_log)
LINK_test_group_log_txn := $(LINK_test_group_log)
LINK_test_group_log_faults := $(NET_GROUP_LOG) $(filter-out core/mem_libc.o,$(LINK_test_partition))
# Everything but the process around it.
LINK_test_request_faults := $(patsubst %.c,%.o,$(filter-out core/mem_mi.c core/mem_libc.c core/buf.c net/main.c net/options.c,$(LAYERS)))
LINK_test_txn_large := $(LINK_test_request_faults)
LINK_test_delete_races := $(LINK_test_request_faults)
LINK_test_txn_coordinator := $(patsubst %.c,%.o,$(filter-out core/mem_mi.c net/main.c net/options.c net/txn/txn_coordinator.c,$(LAYERS)))
LINK_test_regex := net/regex.o $(CORE_HEAP)
LINK_test_txn := net/txn/txn.o net/txn/txn_parts.o net/txn/txn_merge.o $(CORE_HEAP)
LINK_test_txn_records := net/txn/txn_records.o net/txn/txn_parts.o net/txn/txn_merge.o net/coord/coord_batch.o net/wire/kmsg.o net/wire/wire.o storage/log/batch.o core/crc.o $(CORE_HEAP)
LINK_test_txn_log := net/txn/txn_log.o net/txn/txn_records.o net/txn/txn.o net/txn/txn_parts.o net/txn/txn_merge.o $(patsubst %.c,%.o,$(filter-out net/coord/coord_call.c net/coord/coord_shard.c net/coord/coord_topic.c,$(sort $(wildcard net/coord/*.c)))) net/wire/kmsg.o net/wire/wire.o $(LINK_test_partition)
