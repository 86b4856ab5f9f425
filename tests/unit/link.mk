# The objects that each unit test links besides its own, one line per test: LINK_test_X := core/a.o core/b.o
# A long line is a module with too many friends.
LINK_test_wire := net/wire/wire.o
LINK_test_kmsg := net/wire/kmsg.o net/wire/wire.o
