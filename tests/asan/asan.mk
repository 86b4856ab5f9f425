# The planted mistakes: build/asan/tests/asan/planted
$(B)/tests/asan/planted: $(B)/tests/asan/planted.o
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^
