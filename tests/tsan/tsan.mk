# The planted race: build/tsan/tests/tsan/race
$(B)/tests/tsan/race: $(B)/tests/tsan/race.o
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^
