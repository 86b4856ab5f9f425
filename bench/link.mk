# The objects that each bench program links. Programs are bench/*.c and bench/*.cc; what they share is in bench/*/.
BENCH_LOAD := bench/load/wire.o bench/load/batch.o bench/load/fill.o bench/load/hist.o bench/load/sock.o bench/load/cpu.o bench/load/kafka.o \
              bench/load/proto_bare.o

LINK_bare_loop := bench/bare/disk.o bench/bare/conn.o bench/load/wire.o bench/load/cpu.o core/crc.o core/mem.o core/mem_libc.o core/mem_os.o
LINK_echo      := bench/load/wire.o bench/load/cpu.o
LINK_raw_loop  :=
LINK_disk_floor := bench/load/hist.o bench/load/cpu.o
LINK_load_gen  := $(BENCH_LOAD) bench/load/lane.o bench/load/produce.o bench/load/consume.o
LINK_odradek_bench := bench/load/wire.o bench/load/fill.o bench/load/hist.o bench/load/sock.o bench/load/cpu.o bench/load/kafka.o bench/load/records.o bench/load/flow.o \
                  bench/load/source.o bench/load/sink.o bench/load/driver.o bench/load/durable.o bench/load/outcome.o bench/load/run.o \
                  bench/load/workloads.o storage/log/codec.o storage/log/codec_pack.o storage/log/batch.o storage/log/batch_check.o core/crc.o \
                  core/mem.o core/mem_libc.o core/mem_os.o
LINK_group_load := bench/group/talk.o bench/group/member.o bench/load/wire.o bench/load/sock.o bench/load/hist.o bench/load/cpu.o
LINK_txn_load := bench/txn/actor.o bench/txn/talk.o bench/load/wire.o bench/load/sock.o bench/load/hist.o bench/load/cpu.o bench/load/batch.o bench/load/fill.o
LINK_near_far  := bench/load/cpu.o
LINK_slices    := bench/load/cpu.o
LINK_ping      := bench/load/cpu.o bench/load/sock.o bench/load/wire.o bench/load/hist.o
LINK_launch    := bench/load/cpu.o bench/load/sock.o bench/load/wire.o bench/load/kafka.o
LINK_micro_bench := $(BENCH_LOAD) bench/micro/subject.o bench/micro/requests.o core/crc.o net/wire/kmsg.o net/wire/wire.o core/mem.o core/mem_libc.o core/mem_os.o \
                  storage/log/batch.o storage/log/batch_check.o

-include $(wildcard $(B)/bench/*/*.d)
