"""The statements of the group (run)."""
import glob
import os
import struct
import time

from dump import dump
from harness import Broker, NotRun, wait_until
from segments import batches, batches_of_file, logs
from tools import jars
from wire import Connection, await_recovered, batch, produced, record
from world import CODECS, Log, lines, topic

WORK = "build/tests/compaction"
QUICK = {"log.cleaner.backoff.ms": 20, "log.segment.delete.delay.ms": 0}


def broker(name, *arguments, **properties):
    settings = {**QUICK, **{k.replace("__", "."): v for k, v in properties.items()}}
    b = Broker(os.path.join(WORK, name), settings, ["--cores", "2", *arguments])
    b.keep_port = True
    return b


def folder_of(b, log):
    return os.path.join(b.data, f"{log.name}-0")


def active_base(b, log):
    return int(os.path.basename(logs(folder_of(b, log))[-1])[:20])


def cleaned_fully(b, log):
    """Waits until all that may be cleaned is; the active segment stays as it is."""
    log.await_clean(active_base(b, log))
    return log.clean_to()


def exact(b, log, tombstones=True):
    end = cleaned_fully(b, log)
    found = log.read()
    log.true_to_what_was_written(found)
    log.exactly(found, end, tombstones)
    return found


# --- every codec, and Kafka's own tool over all of it ---

def codecs(report, random):
    with broker("codecs") as b:
        made = []
        for codec in CODECS:
            topic(b, f"c-{codec}")
            log = Log(b, f"c-{codec}", codec)
            log.produce(lines(random, 6000, 300))
            made.append(log)
        for log in made:
            report.case(f"{log.codec}: a consumer reads exactly the latest record of each key, and the active segment", exact, b, log)
            report.case(f"{log.codec}: batches keep their codec, small segments become few", same_codec, b, log, random)
        report.case("the files of replaced segments go", deleted_go, b, made)
        b.stop()
        report.case("DumpLogSegments reads every cleaned segment and index", dumps_well, b, made)
        b.start()
        for log in made:
            report.case(f"{log.codec}: after a restart the same records", same_after_restart, b, log)
        report.case("odradek check finds nothing wrong", checks_well, b)


def deleted_go(b, made):
    left = lambda: [f for log in made for f in glob.glob(folder_of(b, log) + "/*.deleted")]
    assert wait_until(lambda: not left(), 10), f"{left()[:3]}"
    strange = [f for log in made for e in ("cleaned", "swap") for f in glob.glob(folder_of(b, log) + "/*." + e)]
    assert not strange, f"{strange[:3]}"


def same_codec(b, log, random):
    """One cleaning leaves a small segment for each large one; those that follow make few of them."""
    for _ in range(10):
        if len(logs(folder_of(b, log))) <= 4:
            break
        log.produce(lines(random, 600, 300))
        cleaned_fully(b, log)
    found = batches(folder_of(b, log))
    assert {x.codec for x in found if x.count} == {log.codec}, f"{ {x.codec for x in found} }"
    segments = len(logs(folder_of(b, log)))
    assert segments <= 4, f"{segments} segments are left"


def same_after_restart(b, log):
    found = log.read()
    log.true_to_what_was_written(found)
    log.exactly(found, log.clean_to())


def dumps_well(b, made):
    jars()
    files = [f for log in made for e in (".log", ".index", ".timeindex", ".snapshot")
             for f in glob.glob(folder_of(b, log) + "/*" + e)]
    seen = dump(files, "--deep-iteration", "--index-sanity-check")
    seen.complaints = [c for c in seen.complaints if "Non-consecutive" not in c and "is followed by" not in c]
    seen.clean()
    for log in made:
        dumped = {offset for offset, _ in seen.offsets.get(folder_of(b, log), [])}
        wanted = {offset for offset, _, _ in log.survivors(log.clean_to())}
        assert dumped == wanted, f"{log.codec}: {len(dumped)} records dumped, {len(wanted)} wanted"


def checks_well(b):
    from harness import run
    b.stop()
    code, out, err = run([*b.command()[:1], "check", "--data", b.data], timeout=60)
    assert code == 0, (out + err).decode()[-600:]


# --- tombstones ---

def tombstones(report, random):
    with broker("tombstones") as b:
        topic(b, "stay")
        topic(b, "go", delete__retention__ms=0)
        stay, go = Log(b, "stay"), Log(b, "go")
        for log in (stay, go):
            log.produce(lines(random, 5000, 200, dead=0.4))
        report.case("tombstones stay for delete.retention.ms", exact, b, stay)
        report.case("their batches have a delete horizon of a day", horizons, b, stay)
        report.case("with delete.retention.ms=0 the next cleaning drops them", dropped_next, b, go, random)


def horizons(b, log):
    cleaned = [x for path in logs(folder_of(b, log))[:-1] for x in batches_of_file(path)]
    marked = [x for x in cleaned if x.attributes & 64]
    day = 86400000
    assert marked, "no batch has a horizon"
    now = time.time() * 1000
    assert all(now + day - 120000 < x.base_timestamp <= now + day for x in marked), f"{marked[0]}"


def dropped_next(b, log, random):
    cleaned_fully(b, log)
    for _ in range(3):
        log.produce(lines(random, 1500, 200, dead=0))
        cleaned_fully(b, log)
    found = log.read()
    log.true_to_what_was_written(found)
    log.same_state(found)
    first = log.clean_to()
    dead = [f for f in found if f[2] is None and f[0] < first - 3000]
    assert not dead, f"{len(dead)} old tombstones are left: {dead[:3]}"


# --- a map that is too small ---

def passes(report, random):
    with broker("passes", log__cleaner__dedupe__buffer__size=2 * 24 * 150) as b:
        topic(b, "passes")
        log = Log(b, "passes", "lz4")
        log.produce(lines(random, 8000, 1500))
        report.case("keys that do not fit into the map are cleaned in several passes, none lost", exact, b, log)
        runs = b.log().count(" cleaned: partition=passes-0")
        report.check("those were several passes", runs > 5, f"{runs} passes")


# --- what is left alone ---

def refusals(report, random):
    with broker("refusals", log__cleaner__backoff__ms=1000) as b:
        topic(b, "damaged")
        log = Log(b, "damaged")
        log.produce(lines(random, 3000, 3000, dead=0))
        report.case("a damaged segment is not compacted away, and named", damaged_stays, b, log)
        report.case("another topic is compacted beside it", beside, b, random)
    with broker("off", log__cleaner__enable="false") as b:
        topic(b, "off")
        log = Log(b, "off")
        log.produce(lines(random, 3000, 10))
        report.case("log.cleaner.enable=false: nothing is compacted", never, b, log)


def damaged_stays(b, log):
    b.stop()
    path = logs(folder_of(b, log))[1]
    log.damaged, log.before = path, os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    os.unlink(os.path.join(folder_of(b, log), "cleaner-offset-checkpoint")) if os.path.exists(
        os.path.join(folder_of(b, log), "cleaner-offset-checkpoint")) else None
    b.start()
    with Connection(b.port) as c:
        await_recovered(c, log.name, 1)
    named = f"partition=damaged-0 segment={os.path.basename(path)[:20]}"
    assert wait_until(lambda: named in b.log_since(), 20), b.log_since()[-600:]
    assert os.path.getsize(path) == log.before


def beside(b, random):
    topic(b, "beside")
    log = Log(b, "beside")
    log.produce(lines(random, 3000, 50))
    exact(b, log)


def never(b, log):
    time.sleep(1)
    found = log.read()
    assert len(found) == len(log.lines), f"{len(found)} of {len(log.lines)} records"


# --- kill -9 ---

def kills(report, random):
    rounds = int(os.environ.get("COMPACTION_ROUNDS", "3"))
    with broker("kills", log__cleaner__backoff__ms=10, log__segment__delete__delay__ms=300) as b:
        logs_ = []
        for codec in ("none", "zstd"):
            topic(b, f"k-{codec}", delete__retention__ms=200, internal__segment__bytes=8192)
            logs_.append(Log(b, f"k-{codec}", codec))
        for n in range(1, rounds + 1):
            report.case(f"round {n} of kill -9 while segments are cleaned: no live key lost, none back from the dead",
                        one_round, b, logs_, random)
        swaps = b.log().count("swap finished")
        print(f"    {b.log().count(' cleaned: ')} cleanings ended, {swaps} swaps were finished by a start", flush=True)


def one_round(b, made, random):
    writers = [log.begin(lines(random, 3000, 400, dead=0.2)) for log in made]
    for _ in range(3):
        time.sleep(random.uniform(0.05, 0.6))
        b.kill()
        b.start()
    for writer in writers:
        code = writer.wait(timeout=120)
        assert code == 0, f"kcat ended with {code}"
    time.sleep(random.uniform(0, 0.3))
    b.kill()
    b.start()
    for log in made:
        found = log.read()
        log.true_to_what_was_written(found)
        log.same_state(found)
