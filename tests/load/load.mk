# The load program of the crash and power tests: build/<mode>/tests/load/load
$(B)/tests/load/load: $(call objects,$(sort $(wildcard tests/load/*.c)))
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lisal
