# What fails a broker's operations on files.
$(B)/tests/eio/faults.so: tests/eio/faults.c Makefile
	@mkdir -p $(@D)
	$(SAY) '  SO   $@'
	$(Q)$(CC) -std=gnu2x $(WARN) -O2 -g -fPIC -shared -D_GNU_SOURCE= -o $@ $<
