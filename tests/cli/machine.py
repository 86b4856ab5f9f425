"""Cases: limits that the process is given, and what people do with data folders."""
import os
import re
import shutil
import subprocess
import threading

from harness import Broker, NotRun, binary, fresh_dir, seconds
from wire import *

WORK = "build/tests/cli"


def limited(limit, *arguments):
    """(exit code, what it says) of a start under a limit of the shell's ulimit."""
    folder = fresh_dir(f"{WORK}/limited")
    p = subprocess.run(["bash", "-c", f'ulimit {limit}; exec timeout 5 "$0" "$@"', binary(), "serve", f"log.dirs={folder}/data",
                        "listeners=PLAINTEXT://localhost:0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds(20))
    return p.returncode, p.stdout.decode(errors="replace")


def limits_of_the_process_are_said():
    of_space = [("-v 150000", [], ["ulimit -v", "146M", "16M at least"]), ("-v 300000", ["--memory", "256M"], ["ulimit -v", "256M"])]
    if "ASAN_OPTIONS" in os.environ:
        of_space = []  # a sanitizer's shadow alone is larger than any such limit
    for limit, arguments, words in (*of_space, ("-f 1000", [], ["ulimit -f", "1000K", "at least"])):
        code, text = limited(limit, *arguments)
        assert code in (1, 2) and all(w in text for w in words), f"ulimit {limit}: {code}: {text}"
    code, text = limited("-v 400000" if of_space else "-v unlimited")
    assert code == 124 or (code == 0 and " started: " in text), f"within the address space that there is, it does not start: {code}: {text}"


def all_interfaces_are_said():
    for listener in ("PLAINTEXT://:0", "PLAINTEXT://0.0.0.0:0"):
        with Broker(f"{WORK}/interfaces", {"listeners": listener, "advertised.listeners": "PLAINTEXT://localhost:1"}) as broker:
            line = [l for l in broker.log().splitlines() if " started: " in l][0]
            assert "all interfaces" in line, line


def content(broker, least):
    """What is in t-0: a value for each offset, `least` of them at least."""
    with Connection(broker.port) as c:
        await_recovered(c, "t", 1)
        end = list_offset(c, "t", 0, LATEST)[1]
        assert end >= least, f"{end} records of {least}"
        for offset, (base, raw) in enumerate(read_batches(c, "t", 0, end)):
            assert base == offset and b"value-%d-" % offset in raw, f"not what was sent at {offset}"
        assert produced(c, "t", 0, batch([b"value-%d-" % end])) == (0, end), "it takes no more"
    return end


def a_data_folder_may_be_copied_moved_restored_and_linked():
    source = Broker(f"{WORK}/source")
    with source:
        acked, over = [0], threading.Event()

        def feed():
            with Connection(source.port) as c:
                while not over.is_set():
                    error, offset = produced(c, "t", 0, batch([b"value-%d-" % acked[0] + b"x" * 3000]))
                    assert (error, offset) == (0, acked[0])
                    acked[0] += 1
        with Connection(source.port) as c:
            assert create_topic(c, "t") == 0
        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            while acked[0] < 100 and feeder.is_alive():
                pass
            before = acked[0]
            copy = fresh_dir(f"{WORK}/copy")
            shutil.copytree(source.data, f"{copy}/data")  # while it runs: as good as after a kill
        finally:
            over.set()
            feeder.join()
        with Broker(f"{WORK}/copy", fresh=False) as copied:
            content(copied, before)
            copied.stop()
        source.stop()
    older = fresh_dir(f"{WORK}/older")
    shutil.copytree(source.data, f"{older}/data")
    moved = fresh_dir(f"{WORK}/moved")
    os.rename(source.data, f"{moved}/data")
    with Broker(f"{WORK}/moved", fresh=False) as broker:
        assert content(broker, acked[0]) == acked[0]
        broker.stop()
    shutil.rmtree(f"{moved}/data")  # and the backup in its place
    shutil.copytree(f"{older}/data", f"{moved}/data")
    with Broker(f"{WORK}/moved", fresh=False) as broker:
        assert content(broker, acked[0]) == acked[0]
        broker.stop()
    linked = fresh_dir(f"{WORK}/linked")
    os.symlink(f"{older}/data", f"{linked}/data")
    with Broker(f"{WORK}/linked", fresh=False) as broker:
        assert content(broker, acked[0]) == acked[0]
        second = subprocess.run([binary(), "serve", f"log.dirs={older}/data", "listeners=PLAINTEXT://localhost:0"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=seconds(30))
        assert second.returncode and b"in use by another broker" in second.stdout, "the folder behind the link was opened twice"
        broker.stop()


def the_way_of_small_durable_writes_is_named_once():
    with Broker(f"{WORK}/durable-way") as broker:
        if " engine=io_uring " not in broker.log():
            raise NotRun("no io_uring in the kernel: there is one way")
        with Connection(broker.port) as c:
            assert create_topic(c, "t") == 0
            for i in range(100):
                assert produced(c, "t", 0, batch([b"x" * 1000])) == (0, i)
        lines = broker.logged(" small durable writes: ")
        assert len(lines) == 1 and re.search(r": way=(ring|thread) ring_us=[1-9]\d* thread_us=[1-9]\d*$", lines[0]), lines


CASES = (limits_of_the_process_are_said, all_interfaces_are_said, the_way_of_small_durable_writes_is_named_once,
         a_data_folder_may_be_copied_moved_restored_and_linked)
