# What moves the clocks of a broker.
$(B)/tests/clocks/shift.so: tests/clocks/shift.c Makefile
	@mkdir -p $(@D)
	$(SAY) '  SO   $@'
	$(Q)$(CC) -std=gnu2x $(WARN) -O2 -g -fPIC -shared -D_GNU_SOURCE= -o $@ $<
