"""How bench/rows measures: each function is one round of one row, and gives {figure: value} of it. A floor is measured in the same round as the broker,
before it in every other round and after it in the others."""

import contextlib
import dataclasses
import glob
import json
import os
import resource
import shutil
import subprocess
import sys
import time

import harness as h

FLUSH_US = 5000
CACHED, DURABLE = ("write.caching=true",), ("write.caching=false",)


@dataclasses.dataclass
class Round:
    broker_cpu: int
    load_cpu: int
    tiny: bool = False
    number: int = 0
    minutes: float = 30  # of the row that takes 30
    kafka: object = None  # a running Apache Kafka, of rows that need one

    def count(self, full, tiny=200):
        return tiny if self.tiny else full

    def seconds(self, full):
        return 0.5 if self.tiny else full

    def in_turn(self, first, second):
        """The results of both; which of them goes first changes from round to round."""
        if self.number % 2 == 0:
            return first(), second()
        last = second()
        return first(), last


def quantile(result, key):
    """None where too few values lie beyond it, or the load spoiled it."""
    return result.get(key)


def ratio(value, floor):
    return value / floor if value and floor else None


# --- what is measured ---

def produce(r, server, *words, cpu=None):
    """The load generator on a broker: all it sent was acked, and a sample is read back and compared."""
    h.load_gen("create", "--to", server.address, "--topic", "bench", "--partitions", 4)
    got = h.load_gen("produce", "--to", server.address, "--pid", server.pid, "--topic", "bench", *words, cpu=r.load_cpu if cpu is None else cpu)
    if got["acked"] != got["sent"] or got["read_back"] == 0:
        raise h.Wrong(f"sent {got['sent']}, acked {got['acked']}, read back {got['read_back']}")
    return got


@contextlib.contextmanager
def broker(r, settings, cpu=None, folder=None):
    home = folder or h.fresh("rows")
    with h.start_broker(home, *settings, cpu=r.broker_cpu if cpu is None else cpu) as server:
        server.folder = home
        yield server
    shutil.rmtree(home if folder is None else f"{home}/data")


def ours(r, settings, *words, cpu=None, folder=None):
    with broker(r, settings, folder=folder) as server:
        return produce(r, server, *words, cpu=cpu)


def echo(r, *words, cpu=None):
    with h.start_echo(h.fresh("rows-echo"), r.broker_cpu) as server:
        return h.load_gen("produce", "--bare", "--to", server.address, "--pid", server.pid, *words, cpu=r.load_cpu if cpu is None else cpu)


def bare_loop(r, settings, *words):
    """What does all that a produce path must: receives, checks, copies, writes; its acks mean what the broker's do. Its file is written round and round, which
    spares zeroing one of the size of the load; that what it acks is on the disk, bench/produce and tests/bench look at."""
    home = h.fresh("rows-bare")
    with h.start_bare(home, "durable" if settings == DURABLE else "written", r.broker_cpu, 32 if r.tiny else 256) as server:
        got = h.load_gen("produce", "--bare", "--to", server.address, "--pid", server.pid, *words, cpu=r.load_cpu)
    shutil.rmtree(home)
    if got["acked"] != got["sent"]:
        raise h.Wrong(f"the bare loop was sent {got['sent']}, acked {got['acked']}")
    return got


def durable_write(r, folder=None):
    home = folder or h.fresh("rows-disk")
    got = h.run_json([h.program("disk_floor"), "write", f"{home}/floor", "--count", str(r.count(1000, 20)), "--cpu", str(r.broker_cpu)])
    os.unlink(f"{home}/floor")
    return got


def own_bench(r, server, workload, *words, warmup=0.5, seconds=3.0):
    """odradek-bench: every acknowledged record was read by every reader."""
    path = os.path.join(h.WORK, "rows-bench.json")
    command = [h.program("odradek_bench"), "--to", server.address, "--pid", server.pid, "--workload", workload, "--json", path, "--cpu", r.load_cpu,
               "--warmup", 0.1 if r.tiny else warmup, "--duration", r.seconds(seconds), *words]
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode:
        raise h.Wrong(f"odradek-bench {workload}: {done.stderr.strip()[-300:]}")
    with open(path, encoding="utf-8") as file:
        got = json.load(file)
    if got["total_read"] != got["total_acked"] * got["plan"]["fan_out"]:
        raise h.Wrong(f"{got['total_acked']} records were acknowledged, {got['total_read']} read by {got['plan']['fan_out']} readers")
    return got


@contextlib.contextmanager
def busy_programs(but):
    """A program that spins on every processor but one, at normal priority whatever ours is."""
    others = [c for c in sorted(os.sched_getaffinity(0)) if c != but]
    spinning = [subprocess.Popen(["taskset", "-c", str(c), "sh", "-c", "while :; do :; done"], preexec_fn=lambda: os.setpriority(os.PRIO_PROCESS, 0, 0))
                for c in others]
    try:
        time.sleep(0.2)
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


# --- the rows ---

def one_in_flight(requests):
    return "--batch", 1024, "--window", 1, "--requests", requests, "--warmup", requests // 10


def produce_one_cached(r):
    words = one_in_flight(r.count(8000))
    floor, got = r.in_turn(lambda: echo(r, *words), lambda: ours(r, CACHED, *words))
    return {"p50 / echo": ratio(got["p50_us"], floor["p50_us"]), "p99 / echo": ratio(got["p99_us"], floor["p99_us"]), "p50 us": got["p50_us"],
            "p99 us": got["p99_us"], "echo p50 us": floor["p50_us"], "echo p99 us": floor["p99_us"]}


def durable_and_its_floor(r, cpu=None):
    words = one_in_flight(r.count(4000))
    return r.in_turn(lambda: (echo(r, *words, cpu=cpu), durable_write(r)), lambda: ours(r, DURABLE, *words, cpu=cpu))


def produce_one_durable(r):
    (floor, write), got = durable_and_its_floor(r)
    return {"p50 / (write + echo)": ratio(got["p50_us"], write["p50_us"] + floor["p50_us"]), "p50 us": got["p50_us"], "p99 us": got["p99_us"],
            "write p50 us": write["p50_us"], "echo p50 us": floor["p50_us"]}


def produce_one_durable_busy(r):
    cpu = r.broker_cpu  # the others are kept busy
    idle = ours(r, DURABLE, *one_in_flight(r.count(4000)), cpu=cpu)
    with busy_programs(cpu):
        (floor, write), busy = durable_and_its_floor(r, cpu)
    return {"busy / idle": ratio(busy["p50_us"], idle["p50_us"]), "busy / (write + echo)": ratio(busy["p50_us"], write["p50_us"] + floor["p50_us"]),
            "idle p50 us": idle["p50_us"], "busy p50 us": busy["p50_us"], "busy p99 us": busy["p99_us"], "busy write p50 us": write["p50_us"],
            "busy echo p50 us": floor["p50_us"]}


def end_to_end(r, settings, rate, seconds):
    rate = r.count(rate)
    words = "--batch", 1024, "--window", 64, "--rate", rate, "--requests", int(rate * r.seconds(seconds)), "--warmup", r.count(rate // 2, 20), "--sleep"

    def from_due_to_read():
        with broker(r, settings) as server:
            return own_bench(r, server, "end-to-end-1k", "--rate", rate, "--spin", seconds=seconds)
    return r.in_turn(lambda: (echo(r, *words), durable_write(r) if settings == DURABLE else None), from_due_to_read)


def end_to_end_cached(r, rate, seconds):
    (floor, _), got = end_to_end(r, CACHED, rate, seconds)
    took = got["end_to_end_us"]
    return {"p99 / 2 echoes": ratio(took["p99"], 2 * floor["intended_p99_us"]), "p99.9 / 2 echoes": ratio(took["p99.9"], 2 * floor["intended_p999_us"]),
            "p50 us": took["p50"], "p99 us": took["p99"], "p99.9 us": took["p99.9"], "echo p50 us": floor["intended_p50_us"],
            "echo p99 us": floor["intended_p99_us"], "echo p99.9 us": floor["intended_p999_us"], "load late p99 us": got["late_us"]["p99"]}


def end_to_end_durable(r, rate, seconds):
    (floor, write), got = end_to_end(r, DURABLE, rate, seconds)
    took = got["end_to_end_us"]
    return {"p99 / (write + 2 echoes)": ratio(took["p99"], write["p99_us"] + 2 * floor["intended_p99_us"]), "p50 us": took["p50"], "p99 us": took["p99"],
            "write p99 us": write["p99_us"], "echo p99 us": floor["intended_p99_us"], "load late p99 us": got["late_us"]["p99"]}


def large_batches(r, settings):
    words = "--batch", 65536, "--lanes", 4, "--window", 8, "--partitions", 4, "--requests", r.count(24000), "--warmup", r.count(2400, 20)
    (floor, bare), got = r.in_turn(lambda: (echo(r, *words), bare_loop(r, settings, *words)), lambda: ours(r, settings, *words))
    return {"CPU per byte / echo": ratio(got["cpu_s_per_gb"], floor["cpu_s_per_gb"]), "CPU per byte / bare loop": ratio(got["cpu_s_per_gb"], bare["cpu_s_per_gb"]),
            "CPU s/GB": got["cpu_s_per_gb"], "echo CPU s/GB": floor["cpu_s_per_gb"], "bare loop CPU s/GB": bare["cpu_s_per_gb"], "MB/s": got["mb_s"],
            "echo MB/s": floor["mb_s"], "bare loop MB/s": bare["mb_s"]}


def small_batches(r, settings):
    words = "--batch", 1024, "--lanes", 4, "--window", 64, "--partitions", 4, "--requests", r.count(200000, 2000), "--warmup", r.count(20000)
    floor, got = r.in_turn(lambda: echo(r, *words), lambda: ours(r, settings, *words))
    return {"CPU per request / echo": ratio(got["cpu_us_per_request"], floor["cpu_us_per_request"]), "CPU us": got["cpu_us_per_request"],
            "echo CPU us": floor["cpu_us_per_request"], "requests/s": got["req_s"], "echo requests/s": floor["req_s"]}


@contextlib.contextmanager
def slow_disk():
    """A file system on the disk that forgets, whose flush takes FLUSH_US."""
    command = [sys.executable, os.path.join(h.ROOT, "tests/power/slow_disk"), os.path.join(h.WORK, f"rows-slow-{os.getpid()}"), str(FLUSH_US)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline().strip()
        if not said.startswith("/"):
            process.stdin.close()
            raise h.NotRun(said.removeprefix("not run: ")) if said else h.Wrong("the disk that forgets could not be mounted")
        try:
            yield said
        finally:
            process.stdin.close()
            process.wait(60)


def slow_flush(r):
    rate = r.count(10000, 1000)
    words = "--batch", 1024, "--window", 1024, "--rate", rate, "--requests", 4 * rate, "--warmup", rate // 2
    with slow_disk() as folder:
        write = h.run_json([h.program("disk_floor"), "write", f"{folder}/floor", "--count", str(r.count(200, 10)), "--cpu", str(r.broker_cpu)])
        os.unlink(f"{folder}/floor")
        got = ours(r, DURABLE, *words, folder=folder)
    return {"p99 / flush": ratio(got["intended_p99_us"], FLUSH_US), "p50 us": got["intended_p50_us"], "p99 us": got["intended_p99_us"],
            "durable write p50 us": write["p50_us"], "requests/s": got["req_s"]}


def fan_out(r):
    """What delivering takes: the broker's CPU a second with readers, less that of the same load without."""
    def with_readers(count):
        with broker(r, CACHED) as server:
            got = own_bench(r, server, "fan-out-10", "--rate", r.count(20000, 2000), "--readers", count, seconds=2)
        return got["broker_cpu_s"] / got["seconds"], got["read_bytes"] / 1e9 / got["seconds"]
    (none, _), (one, one_gb), (ten, ten_gb) = (with_readers(n) for n in (0, 1, 10))
    each_one, each_ten = (one - none) / one_gb, (ten - none) / ten_gb
    return {"CPU per delivered byte, 10 / 1": ratio(max(each_ten, 0), max(each_one, 0)), "1: CPU s/GB": each_one, "10: CPU s/GB": each_ten}


def busy_partitions(r):
    def with_partitions(count):
        with broker(r, DURABLE) as server:
            got = own_bench(r, server, "max-rate-1-topic-1-partition-1p-1c-1kb", "--partitions", count, "--connections", r.count(1000, 50), "--batch", 16384,
                            "--in-flight", 1, "--readers", 0, seconds=2)
        return got["acked_bytes"] / 1e6 / got["seconds"]
    few, many = r.in_turn(lambda: with_partitions(10), lambda: with_partitions(r.count(1000, 50)))
    return {"throughput, 1000 / 10": ratio(many, few), "10: MB/s": few, "1000: MB/s": many}


@contextlib.contextmanager
def more_arguments(*words):
    before = h.ODRADEK_ARGS
    h.ODRADEK_ARGS = [*before, *words]
    try:
        yield
    finally:
        h.ODRADEK_ARGS = before


def engines(r):
    """The broker's own figures with io_uring by those with epoll."""
    def figures():
        one = {k: ours(r, s, *one_in_flight(r.count(3000))) for k, s in (("cached", CACHED), ("durable", DURABLE))}
        large = ours(r, CACHED, "--batch", 65536, "--lanes", 4, "--window", 8, "--partitions", 4, "--requests", r.count(12000), "--warmup", r.count(1200, 20))
        small = ours(r, CACHED, "--batch", 1024, "--lanes", 4, "--window", 64, "--partitions", 4, "--requests", r.count(100000, 2000), "--warmup", 200)
        return {"one cached, p50": one["cached"]["p50_us"], "one durable, p50": one["durable"]["p50_us"], "64 KiB cached, CPU per byte": large["cpu_s_per_gb"],
                "1 KiB pipelined, CPU": small["cpu_us_per_request"]}

    def with_engine(name):
        with more_arguments(f"--io-engine={name}"):
            return figures()
    uring, epoll = r.in_turn(lambda: with_engine("io_uring"), lambda: with_engine("epoll"))
    return {name: ratio(uring[name], epoll[name]) for name in uring}


def two_shards(r):
    """CPU per byte of two shards by that of one, the same load offered; with one port, and with each shard a broker of its own. Judged with 64 KiB batches; with
    batches of a few records a shard that has half of the load finds less in each turn, whatever leads the other half where: shown."""
    usable = [c for c in sorted(os.sched_getaffinity(0)) if c != r.load_cpu or r.tiny]

    def per_byte(cpus, load, *settings):
        with broker(r, (*DURABLE, *settings), cpu=cpus) as server:
            got = own_bench(r, server, "1-topic-16-partitions-1kb", *load, "--readers", 0)
        return got["broker_cpu_s"] / (got["acked_bytes"] / 1e9)

    def by_one(load):
        one, port = per_byte(usable[:1], load), per_byte(usable[:2], load)
        try:
            each = per_byte(usable[:2], load, "listeners.per.core=true")
        except h.Wrong as wrong:
            if "is no setting" not in str(wrong):
                raise
            each = None  # an older broker
        return one, ratio(port, one), ratio(each, one)
    large, few = ("--rate", r.count(300000, 2000), "--batch", 65536, "--linger", 5), ("--rate", r.count(50000, 2000))
    (one, port, each), (_, few_port, few_each) = r.in_turn(lambda: by_one(large), lambda: by_one(few))
    return {"one port, 2 / 1": port, "listeners.per.core, 2 / 1": each, "1: CPU s/GB": one, "few records, one port, 2 / 1": few_port,
            "few records, per core, 2 / 1": few_each}


# --- the long ones ---

def telemetry(r):
    """One record of 200 B a request, 20,000 of them a second, from many connections and from few."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def with_connections(count):
        with broker(r, ()) as server:
            got = own_bench(r, server, "telemetry", "--connections", count, "--rate", r.count(20000, 1000), "--batch", 285, "--linger", 0, "--in-flight", 5, "--spin",
                            warmup=3, seconds=10)
        return got["broker_cpu_s"] / got["acked_records"] * 1e6, got["from_due_us"]["p99"]
    (few, few_p99), (many, many_p99) = r.in_turn(lambda: with_connections(10), lambda: with_connections(r.count(10000, 300)))
    return {"CPU, 10000 / 10": ratio(many, few), "p99, 10000 / 10": ratio(many_p99, few_p99), "10: CPU us": few, "10000: CPU us": many, "10: p99 us": few_p99,
            "10000: p99 us": many_p99}


def cold_logs(folder):
    h.drop_caches()
    return sorted(glob.glob(f"{folder}/data/bench-0/*.log"))


def backlog_cold(r):
    """A backlog from a disk whose pages are in no cache: its speed by that of the disk, and what a client beside it sees."""
    requests = r.count(48000, 64)
    beside = ("--topic", "beside", "--batch", 1024, "--window", 64, "--rate", 1000, "--sleep", "--requests", r.count(3000, 100), "--warmup", r.count(500, 10))
    home = h.fresh("rows")
    with broker(r, CACHED, folder=home) as server:
        h.load_gen("create", "--to", server.address, "--topic", "bench")
        made = h.load_gen("produce", "--to", server.address, "--topic", "bench", "--batch", 65536, "--window", 8, "--requests", requests, cpu=r.load_cpu)
        kept = f"{home}-kept"
        server.stop()
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(f"{home}/data", f"{kept}/data", copy_function=os.link)
        server.stop = lambda: None
    fetch = ("fetch", "--topic", "bench", "--bytes", made["bytes"])
    paths = cold_logs(kept)
    raw = h.run_json([h.program("disk_floor"), "read", *paths, "--cpu", str(r.broker_cpu)])
    cold_logs(kept)
    with h.start_broker(kept, *CACHED, cpu=r.broker_cpu) as server:
        got = h.load_gen(*fetch, "--to", server.address, "--pid", server.pid, cpu=r.load_cpu)
    with h.start_broker(kept, *CACHED, cpu=r.broker_cpu) as server:
        h.load_gen("create", "--to", server.address, "--topic", "beside")
        alone = h.load_gen("produce", "--to", server.address, *beside, cpu=r.load_cpu)
        cold_logs(kept)
        reader = subprocess.Popen([h.program("load_gen"), *map(str, fetch), "--bytes", str(100 * made["bytes"]), "--to", server.address, "--cpu", str(r.load_cpu)],
                                  stdout=subprocess.DEVNULL, preexec_fn=lambda: os.nice(10))
        try:
            together = h.load_gen("produce", "--to", server.address, *beside, cpu=r.load_cpu)
        finally:
            reader.kill()
            reader.wait()
    shutil.rmtree(kept)
    return {"MB/s / disk": ratio(got["mb_s"], raw["mb_s"]), "producer's p99, beside / alone": ratio(together["intended_p99_us"], alone["intended_p99_us"]),
            "MB/s": got["mb_s"], "disk MB/s": raw["mb_s"], "CPU s/GB": got["cpu_s_per_gb"], "alone p99 us": alone["intended_p99_us"],
            "beside p99 us": together["intended_p99_us"]}


def with_retention(r):
    """Each minute by the first one: as fast as it goes, with segments that are made and deleted all the time."""
    keep = ("retention.bytes=1073741824", "segment.bytes=67108864", "file.delete.delay.ms=1000")
    minutes = 2 if r.tiny else r.minutes
    span = 0.5 if r.tiny else 60
    with broker(r, (*CACHED, "log.retention.check.interval.ms=1000")) as server:
        got = own_bench(r, server, "max-rate-1-topic-1-partition-1p-1c-1kb", "--batch", 65536, "--in-flight", 4, "--readers", 0,
                        *(w for k in keep for w in ("--config", k)), warmup=5, seconds=minutes * span)
        left = sum(os.path.getsize(p) for p in glob.glob(f"{server.folder}/data/bench-*/*.log"))
    if not r.tiny and left > 4 << 30:
        raise h.Wrong(f"{left} bytes are left of what was to be deleted beyond 1 GiB")
    if r.tiny:
        return {"throughput, last / first minute": 1.0, "p99, last / first minute": 1.0}
    series = got["series"][:int(minutes) * 60]
    first, last = series[:60], series[-60:]
    rate = [h.median([s[0] for s in part]) for part in (first, last)]
    p99 = [h.median([s[4] for s in part]) for part in (first, last)]
    return {"throughput, last / first minute": ratio(rate[1], rate[0]), "p99, last / first minute": ratio(p99[1], p99[0]), "minutes": minutes,
            "records/s": rate[1], "p99 us": p99[1]}


# --- beside Apache Kafka ---

def produce_one_kafka(r):
    words = one_in_flight(r.count(8000))
    first = ("--warmup", 20000, "--requests", 28000) if r.number == 0 and not r.tiny else ()
    theirs, got = r.in_turn(lambda: produce(r, r.kafka, *words, *first), lambda: ours(r, CACHED, *words))
    return {"p50 / Kafka's": ratio(got["p50_us"], theirs["p50_us"]), "p50 us": got["p50_us"], "Kafka p50 us": theirs["p50_us"], "p99 us": got["p99_us"],
            "Kafka p99 us": theirs["p99_us"]}


def backlog_memory(r):
    """2 GB that fit into memory, read from their start."""
    def read(server):
        topic = f"backlog-{r.number}"
        h.load_gen("create", "--to", server.address, "--topic", topic)
        made = h.load_gen("produce", "--to", server.address, "--topic", topic, "--batch", 65536, "--window", 8, "--requests", r.count(32000), cpu=r.load_cpu)
        return h.load_gen("fetch", "--to", server.address, "--pid", server.pid, "--topic", topic, "--bytes", made["bytes"], cpu=r.load_cpu)

    def read_ours():
        with broker(r, CACHED) as server:
            return read(server)
    theirs, got = r.in_turn(lambda: read(r.kafka), read_ours)
    return {"MB/s / Kafka's": ratio(got["mb_s"], theirs["mb_s"]), "CPU per GB / Kafka's": ratio(got["cpu_s_per_gb"], theirs["cpu_s_per_gb"]),
            "MB/s": got["mb_s"], "Kafka MB/s": theirs["mb_s"], "CPU s/GB": got["cpu_s_per_gb"], "Kafka CPU s/GB": theirs["cpu_s_per_gb"]}
