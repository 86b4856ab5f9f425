# Odradek's build. `make help` lists the targets.
#
# Each MODE (release debug asan tsan coverage) has its own folder below build/, and so has each planted bug (PLANT=name), so that
# switching costs nothing. The program is every .c of the three layers; the simulator is the same without the files that
# open a door to the kernel (KERNEL_FILES), whose place its own files in tests/sim/ take.
MODE   ?= release
BUILD  := build
CC      = cc
CXX     = c++
WERROR ?= -Werror
SEED   ?= 1
# What is shown of a command: its kind and its target, all of it with V=1, nothing with -s.
Q      := $(if $(V),,@)
SAY    := @$(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),:,echo)

MODES := release debug asan tsan coverage
ifeq ($(filter $(MODE),$(MODES)),)
$(error MODE=$(MODE) is none of: $(MODES))
endif

B := $(BUILD)/$(MODE)
ifdef PLANT
ifeq ($(filter any,$(PLANT))$(shell grep -rlF 'PLANTED($(PLANT))' core storage net tests/sim 2>/dev/null),)
$(error PLANT=$(PLANT): no source file has PLANTED($(PLANT)), so this would build a healthy broker)
endif
B := $(BUILD)/plant-$(PLANT)$(if $(filter-out release,$(MODE)),-$(MODE))
PLANT_FLAGS := $(if $(filter any,$(PLANT)),-DPLANT_ANY,-DPLANT_CHOSEN=PLANT_$(PLANT))
endif

# FS_GUARD=1: core/fs.h asserts that no shard's turn calls it (core/fs_guard.h); so do the modes for tests, and the simulator always.
# 0 leaves it out, 2 names the callers and goes on.
ifdef FS_GUARD
B := $(B)-guard$(FS_GUARD)
else
FS_GUARD := $(if $(filter release,$(MODE)),0,1)
endif
GUARD_FLAGS := -DFS_GUARD=$(FS_GUARD)

# --- flags ---------------------------------------------------------------------------------------------------------

WARN := -Wall -Wextra $(WERROR) -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
        -Wwrite-strings -Wpointer-arith -Wold-style-definition
# Asserts stay on everywhere: no mode defines NDEBUG. Ubuntu's gcc sets _FORTIFY_SOURCE by itself and with it gets
# warnings that Debian's does not; setting it here makes both see the same.
FLAGS_release := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
FLAGS_debug   := -Og -g -U_FORTIFY_SOURCE -DDEBUG_CHECKS=1
FLAGS_asan    := -O1 -g -U_FORTIFY_SOURCE -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_coverage := -O0 -g -U_FORTIFY_SOURCE --coverage -fprofile-update=atomic
FLAGS_tsan    := -O1 -g -U_FORTIFY_SOURCE -fno-omit-frame-pointer -fsanitize=thread

# -fno-strict-aliasing: received bytes are read in place through structs and integers. _GNU_SOURCE is defined as empty,
# as a file that defines it itself would, so that both together are no redefinition.
COMMON   := -I. -D_GNU_SOURCE= -fno-strict-aliasing -fno-common -pthread $(PLANT_FLAGS) $(FLAGS_$(MODE))
ALL_CFLAGS   = -std=gnu2x $(WARN) $(COMMON) $(GUARD_FLAGS) $(CFLAGS)
# g++ defines _GNU_SOURCE itself, as 1.
ALL_CXXFLAGS = -std=c++17 -Wall -Wextra $(WERROR) $(filter-out -D_GNU_SOURCE=,$(COMMON)) $(CXXFLAGS)
ALL_LDFLAGS  = $(FLAGS_$(MODE)) -pthread -Wl,--as-needed $(LDFLAGS)
LIBS         = -luring -lisal -lzstd -llz4 -lsnappy -lm

# --- sources -------------------------------------------------------------------------------------------------------

# Exactly one heap is linked: mimalloc's, or libc's where a sanitizer or the simulator must see every allocation.
HEAP_FILES   := core/mem_mi.c core/mem_libc.c
HEAP_mi      := core/mem_mi.c
HEAP_libc    := core/mem_libc.c
HEAP         := $(if $(filter asan tsan,$(MODE)),libc,mi)
KERNEL_FILES := $(filter-out core/io_op.c,$(wildcard core/io*.c)) $(wildcard core/*_os.c) core/threads.c core/shard_run.c net/main.c net/options.c

LAYERS      := $(sort $(wildcard core/*.c storage/*.c storage/*/*.c net/*.c net/*/*.c))
HEADERS     := $(sort $(wildcard core/*.h storage/*.h storage/*/*.h net/*.h net/*/*.h))
BROKER_SRC  := $(filter-out $(HEAP_FILES),$(LAYERS)) $(filter $(HEAP_$(HEAP)),$(LAYERS))
SIM_SRC     := $(filter-out $(HEAP_FILES) $(KERNEL_FILES),$(LAYERS)) $(filter $(HEAP_libc),$(LAYERS)) \
               $(sort $(wildcard tests/sim/*.c))
UNIT_SRC    := $(sort $(wildcard tests/unit/test_*.c))
BENCH_C     := $(sort $(wildcard bench/*.c))
BENCH_CXX   := $(sort $(wildcard bench/*.cc))

objects = $(patsubst %.c,$(B)/%.o,$(1))
UNIT_BIN  := $(UNIT_SRC:%.c=$(B)/%)
BENCH_BIN := $(BENCH_C:%.c=$(B)/%) $(BENCH_CXX:%.cc=$(B)/%)

# --- targets -------------------------------------------------------------------------------------------------------

.PHONY: all run unit unit-bin test compat compare compare-answers check format sim sim-bin bench bench-long bench-all bench-bin coverage clean help
.DELETE_ON_ERROR:
.SECONDEXPANSION:
MAKEFLAGS += --no-builtin-rules

# The release broker is also found at build/odradek.
all: $(if $(filter $(BUILD)/release,$(B)),$(BUILD)/odradek,$(B)/odradek)

run: $(BUILD)/odradek
	@mkdir -p $(BUILD)/data
	$(BUILD)/odradek serve log.dirs=$(BUILD)/data $(ARGS)

# The tests call make themselves, with their own modes: nothing of this call's variables may reach them.
FRESH := env -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u MODE -u PLANT -u FS_GUARD -u V

# A test of another mode than release means its unit tests; the groups in tests/*/run build the modes that they need.
test: $(BUILD)/.deps-test
ifeq ($(MODE),release)
	@$(FRESH) scripts/test $(if $(GROUPS),--groups "$(GROUPS)") $(ARGS)
else
	@$(FRESH) scripts/test --groups unit-$(MODE) $(ARGS)
endif

# All rows of the matrix of clients, also those that are too slow for `make test`.
compat: all $(BUILD)/.deps-test $(BUILD)/.deps-compat
	@$(FRESH) tests/compat/run --all $(ARGS)

unit unit-bin: $(UNIT_BIN)

check: $(BUILD)/.deps-check $(call objects,$(BROKER_SRC))
	@CC='$(CC)' HEADER_FLAGS='$(ALL_CFLAGS)' OBJECTS='$(call objects,$(BROKER_SRC))' scripts/check

format: $(BUILD)/.deps-check
	@scripts/format $(FILES)

sim: $(B)/sim
	$(B)/sim $(if $(SEEDS),$(SEEDS),$(SEED)) $(ARGS)

sim-bin: $(B)/sim

# Line coverage, against its goals: on demand (tests/fuzz/README.md has the last result).
coverage: $(BUILD)/.deps-test
	@$(FRESH) scripts/coverage $(ARGS)

# The rows that judge (bench/rows): the short ones in ten minutes; those that take longer; and every other bench.
bench bench-long bench-all: all $(BUILD)/.deps-bench
	@$(MAKE) --no-print-directory bench-bin
	@$(if $(filter bench-all,$@),bench/run,bench/rows $(if $(filter bench-long,$@),--long)) $(ARGS)

bench-bin: $$(BENCH_BIN) $(BUILD)/odradek-bench

# The load generator for any Kafka broker, beside ours: bench/README.md.
$(BUILD)/odradek-bench: $(BUILD)/release/bench/odradek_bench
	@cp $< $@

# Odradek beside Apache Kafka, as one page, build/bench/compare.html; then the rows that are judged beside it.
compare: all $(BUILD)/.deps-bench $(BUILD)/.deps-test
	@$(MAKE) --no-print-directory bench-bin
	@bench/compare $(ARGS); page=$$?; bench/rows --kafka; rows=$$?; exit $$((page > rows ? page : rows))

# The data that `make run` wrote stays: a clean build is no reason to lose what was acknowledged.
clean:
	@if [ -d $(BUILD) ]; then find $(BUILD) -mindepth 1 -maxdepth 1 ! -name data -exec rm -rf {} +; fi
	@rmdir $(BUILD) 2>/dev/null || true

help:
	@echo 'make                build the broker: build/odradek'
	@echo 'make run            build it and start it on localhost:9092, data in build/data   ARGS="key=value ..."'
	@echo 'make test           every test   GROUPS="unit schema ..." selects, MODE=asan|tsan|debug runs that build'"'"'s unit tests'
	@echo 'make compat         every client library of the matrix   ARGS="--table kafkajs ..."'
	@echo 'make compare-answers   odd requests, to Apache Kafka and to us   ARGS="--requests 20000 --seed 7 --show"'
	@echo 'make check          format, layers, circles, doors, headers, sizes, names, assertions'
	@echo 'make format         put the sources into shape   FILES="..." only these'
	@echo 'make sim            the simulator   SEED=n or SEEDS=from-to'
	@echo 'make fuzz           the fuzzers   FUZZERS="folder wire" FUZZ_SECONDS=3600'
	@echo 'make coverage       line coverage of the three layers, against its goals   ARGS="--quick"'
	@echo 'make compare        Odradek beside Apache Kafka, measured by build/odradek-bench, as a page   ARGS="--rounds 5 --seconds 60"'
	@echo 'make bench          the rows that judge, ten minutes: goal beside figure   ARGS="--only NAME --old BINARY --list"'
	@echo 'make bench-long     those that take longer: 30 minutes of retention, a cold disk, 10,000 connections'
	@echo 'make bench-all      every other bench (bench/README.md)'
	@echo 'make clean          remove build/ except build/data'
	@echo 'V=1                 show the commands'
	@echo 'MODE=release|debug|asan|tsan   which build (asan has UBSan too); each has its folder build/MODE'
	@echo 'FS_GUARD=1          a release build that stops where a shard calls the file system itself (the other modes and the simulator always do)'
	@echo 'PLANT=name          a build with that planted bug, in build/plant-name; PLANT=any: the simulator with all, chosen by --plant'

# --- what the distribution has to bring ------------------------------------------------------------------------------

# scripts/deps looks for what is missing and installs it; the stamp keeps later builds from looking again.
STAMPS := $(addprefix $(BUILD)/.deps-,build check test compat fuzz bench)
$(STAMPS): $(BUILD)/.deps-%: scripts/deps
	@mkdir -p $(@D)
	@scripts/deps $*
	@touch $@

# --- rules -----------------------------------------------------------------------------------------------------------

$(BUILD)/odradek: $(BUILD)/release/odradek
	@ln -f $< $@.new 2>/dev/null || cp -f $< $@.new
	@mv -f $@.new $@

$(B)/odradek: $(call objects,$(BROKER_SRC))
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(if $(filter mi,$(HEAP)),-lmimalloc)

# The simulator keeps a list of the heaps that are open: closing them all is how it kills a broker. And it refuses memory.
SIM_WRAPS := heap_open heap_close heap_alloc heap_zalloc heap_realloc heap_strdup bufpool_get
$(B)/sim: $(call objects,$(SIM_SRC))
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) $(SIM_WRAPS:%=-Wl,--wrap=%) -o $@ $^ $(LIBS)

# Each unit test and each bench names the objects that it links: a long list is a module with too many friends.
# Other folders of tests and benches bring their programs' link rules in fragments like these; objects have their rule here.
include $(sort $(wildcard tests/*/*.mk bench/*.mk bench/*/*.mk))

$(UNIT_BIN): $(B)/tests/unit/%: $(B)/tests/unit/%.o $$(addprefix $(B)/,$$(LINK_$$*))
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -lcmocka $(LIBS)

$(BENCH_C:%.c=$(B)/%): $(B)/bench/%: $(B)/bench/%.o $$(addprefix $(B)/,$$(LINK_$$*))
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

$(BENCH_CXX:%.cc=$(B)/%): $(B)/bench/%: $(B)/bench/%.o $$(addprefix $(B)/,$$(LINK_$$*))
	$(SAY) '  LD   $@'
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -lbenchmark $(LIBS)

$(UNIT_SRC:%.c=$(B)/%.o): | $(BUILD)/.deps-test
$(BENCH_C:%.c=$(B)/%.o) $(BENCH_CXX:%.cc=$(B)/%.o): | $(BUILD)/.deps-bench

# Its turns are marked by its own files, which are the same in every mode.
$(B)/tests/sim/%.o: GUARD_FLAGS := -DFS_GUARD=$(if $(filter 0,$(FS_GUARD)),1,$(FS_GUARD))

$(B)/%.o: %.c Makefile | $(BUILD)/.deps-build
	@mkdir -p $(@D)
	$(SAY) '  CC   $@'
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/%.o: %.cc Makefile | $(BUILD)/.deps-build
	@mkdir -p $(@D)
	$(SAY) '  CXX  $@'
	$(Q)$(CXX) $(ALL_CXXFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(B) -name '*.d' 2>/dev/null)
