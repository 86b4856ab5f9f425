# The disk that forgets, and the program that checks the disk. The plugin needs nbdkit's header (scripts/deps disks).
$(B)/tests/power/forget.so: tests/power/forget.c Makefile
	@mkdir -p $(@D)
	$(SAY) '  SO   $@'
	$(Q)$(CC) -std=gnu2x $(WARN) -O2 -g -fPIC -shared -D_GNU_SOURCE= -o $@ $<

$(B)/tests/power/probe: $(B)/tests/power/probe.o
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

# The doors of core/ for flushes, and who asks them.
$(B)/tests/power/flushes: $(B)/tests/power/flushes.o $(addprefix $(B)/,core/io_disk.o core/fs_os.o core/err.o core/clock_os.o)
	$(SAY) '  LD   $@'
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpthread
