"""Starts, stops and kills the broker under test.

    broker = Broker("build/tests/mine/one", {"disk.io": "direct"}, ["--cores", "2"])
    broker.start()          # returns once it logged ` started: `
    broker.address          # "localhost:40123", a new ephemeral port at each start
    broker.kill()           # kill -9
    broker.start()          # the same folder again
    broker.stop()           # SIGTERM, must end with 0
    broker.keep_port = True # from now on a start takes the port of the last one, so that clients come back

The folder holds `data/` (log.dirs) and `broker.log` (stderr, appended over restarts). ODRADEK names the binary
(default build/odradek); ODRADEK_ARGS adds arguments, for example `--io-engine=epoll`, to every broker started.
`open_broker` gives Apache Kafka instead when BROKER=kafka (see apache.py), with the same methods.
"""
import atexit
import fcntl
import os
import random
import re
import shlex
import shutil
import signal
import socket

from process import seconds, spawn, wait_until
from report import NotRun


NODES_MAX = 8  # with listeners.per.core=true each core has a port, and at the next start the same one


def binary():
    """The path of the broker under test, or NotRun."""
    path = os.environ.get("ODRADEK", "build/odradek")
    if not os.access(path, os.X_OK):
        raise NotRun(f"{path} is not built")
    return path


def fresh_dir(path):
    """An empty folder at `path`."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return os.path.abspath(path)


def free_ports(count, tries=200):
    """The first of so many ports in a row that nobody has, below those that the kernel gives away by itself."""
    for _ in range(tries):
        first = random.randrange(15000, 30000)
        sockets = []
        try:
            for port in range(first, first + count):
                for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                    s = socket.socket(family, socket.SOCK_STREAM)
                    sockets.append(s)
                    s.bind((host, port))
            return first
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise AssertionError("no free ports")


SHARED_MEMORY = "/dev/shm"
started_in = set()  # data folders


def forget_shared_memory():
    """What killed brokers of these tests left there. (Any later start would remove it once their folders are gone.)"""
    for name in os.listdir(SHARED_MEMORY) if started_in else ():
        path = os.path.join(SHARED_MEMORY, name)
        if not name.startswith("odradek-redo-"):
            continue
        try:
            with open(path, "rb") as file:
                owner = file.read(4096)[60:].split(b"\0", 1)[0].decode(errors="replace")
                if owner in started_in:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # or it lives
                    os.unlink(path)
        except OSError:
            pass


atexit.register(forget_shared_memory)


class Broker:
    start_line = r" started: "
    address_in = r" started: .*?address=([^ ,]+)"
    start_timeout = 20

    def __init__(self, folder, properties=None, arguments=(), fresh=True):
        self.folder = fresh_dir(folder) if fresh else os.path.abspath(folder)
        self.data = os.path.join(self.folder, "data")
        self.log_path = os.path.join(self.folder, "broker.log")
        self.properties = dict(properties or {})
        self.arguments = list(arguments)
        self.process = None
        self.address = None
        self.keep_port = False
        self.log_start = 0

    def __enter__(self):
        if self.process is None:
            self.start()
        return self

    def __exit__(self, _kind, why, _traceback):
        if isinstance(why, Exception) and self.process is not None:
            why.__notes__ = [*getattr(why, "__notes__", ()), self.last_words()]
        self.kill()

    def last_words(self):
        """Whether it runs and the end of its log: what the reader of a failed case wants to know."""
        state = "runs" if self.running() else f"ended with {self.process.returncode}"
        return f"The broker {state}; its log ends: {self.log_since()[-500:]}"

    def command(self):
        more = shlex.split(os.environ.get("ODRADEK_ARGS", ""))
        port = free_ports(NODES_MAX) if "listeners.per.core=true" in more else 0
        listener = f"PLAINTEXT://localhost:{self.port if self.keep_port and self.address else port}"
        # Records of tests are years old: what tests retention says so itself.
        settings = {"log.dirs": self.data, "listeners": listener, "log.initial.task.delay.ms": 10**9, **self.properties}
        return [binary(), "serve", *(f"{k}={v}" for k, v in settings.items()), *self.arguments, *more]

    def environment(self):
        return dict(os.environ)

    def start(self):
        """Starts the process and waits for its start line; raises AssertionError when it does not come."""
        self.launch()
        came = wait_until(lambda: self.started() or not self.running(), self.start_timeout)
        if not (came and self.started()):
            self.kill()
            raise AssertionError(f"the broker did not start: {self.log_since()[-600:]}")
        self.address = self.find_address()
        return self

    def launch(self):
        """Starts the process without waiting."""
        assert not self.running()
        started_in.add(os.path.abspath(self.properties.get("log.dirs", self.data)))
        with open(self.log_path, "ab") as log:
            self.log_start = log.tell()
            self.process = spawn(self.command(), stdin=-3, stdout=log, stderr=log, env=self.environment())

    def find_address(self):
        found = re.search(self.address_in, self.log_since())
        assert found, f"the start line names no address: {self.log_since()[-600:]}"
        return found.group(1)

    @property
    def host(self):
        return self.address.rsplit(":", 1)[0]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def started(self):
        return re.search(self.start_line, self.log_since()) is not None

    def log(self):
        """Everything logged so far, over all starts."""
        with open(self.log_path, "rb") as log:
            return log.read().decode(errors="replace")

    def log_since(self):
        """What was logged since the last start."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def logged(self, text, timeout=5):
        """The lines with `text` since the last start. A line may follow the answer that it is about: a shard does not wait for its log."""
        find = lambda: [line for line in self.log_since().splitlines() if text in line]
        wait_until(find, timeout)
        return find()

    def kill(self):
        """kill -9; also fine when it does not run."""
        if self.running():
            self.process.kill()
            self.process.wait(seconds(30))

    def stop(self, timeout=20):
        """SIGTERM; raises AssertionError unless it ends with 0 in time."""
        assert self.running(), f"the broker is gone already: {self.log_since()[-600:]}"
        self.process.send_signal(signal.SIGTERM)
        ended = wait_until(lambda: not self.running(), timeout)
        if not ended:
            self.kill()
        assert ended, f"the broker did not stop within {seconds(timeout):.0f} s of SIGTERM"
        code = self.process.returncode
        assert code == self.stop_code(), f"the broker ended with {code}: {self.log_since()[-600:]}"

    def stop_code(self):
        """What a clean stop ends with."""
        return 0


def open_broker(folder, properties=None, arguments=()):
    """The broker to test: Odradek, or Apache Kafka when BROKER=kafka."""
    if os.environ.get("BROKER") == "kafka":
        from apache import ApacheKafka
        return ApacheKafka(folder, properties)
    return Broker(folder, properties, arguments)
