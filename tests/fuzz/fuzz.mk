# The fuzzers: one program, called by the name of each (entry.c). Built by clang with AddressSanitizer, UndefinedBehaviorSanitizer and
# libFuzzer's counters (the three layers only), from everything but what opens a door to the kernel: the simulator's doors are behind it.
#
#   make fuzz                        each fuzzer for FUZZ_SECONDS (tests/fuzz/run says what it prints)
#   make fuzz FUZZERS="folder wire" FUZZ_SECONDS=3600
FUZZ          := $(BUILD)/fuzz
FUZZ_CC       ?= clang
FUZZ_SRC      := $(filter-out tests/sim/main.c,$(SIM_SRC)) net/options.c $(filter-out tests/fuzz/entry.c,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ_FLAGS    := -O1 -gline-tables-only -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_CFLAGS   := -std=gnu2x -w -I. -D_GNU_SOURCE= -fno-strict-aliasing -fno-common -pthread -DFS_GUARD=1 $(FUZZ_FLAGS)

.PHONY: fuzz fuzz-bin
fuzz: $(BUILD)/.deps-fuzz
	@$(FRESH) tests/fuzz/run $(FUZZERS)

fuzz-bin: $(FUZZ)/fuzzer

$(FUZZ)/fuzzer: $(patsubst %.c,$(FUZZ)/%.o,$(FUZZ_SRC) tests/fuzz/entry.c)
	$(SAY) '  LD   $@'
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -pthread $(SIM_WRAPS:%=-Wl,--wrap=%) -o $@ $^ $(LIBS)

$(FUZZ)/%.o: %.c Makefile tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	$(SAY) '  CC   $@'
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) $(if $(filter tests/%,$*),,-fsanitize=fuzzer-no-link) -MMD -MP -c -o $@ $<

-include $(shell find $(FUZZ) -name '*.d' 2>/dev/null)

# What they found, and their corpora, once each, without clang: a unit test.
$(B)/tests/fuzz/%.o: GUARD_FLAGS := -DFS_GUARD=$(if $(filter 0,$(FS_GUARD)),1,$(FS_GUARD))
FUZZ_OBJECTS  := $(patsubst %.c,%.o,$(FUZZ_SRC))
$(B)/tests/unit/test_fuzz_inputs: ALL_LDFLAGS += $(SIM_WRAPS:%=-Wl,--wrap=%)
LINK_test_fuzz_inputs := $(FUZZ_OBJECTS)
