"""The load program for Python groups: builds it, runs it against a broker, turns what it finds into AssertionErrors."""
import ctypes
import errno
import os
import random
import re
import socket
import subprocess

from harness import NotRun, run, run_ok, seconds, spawn, wait_until

PROGRAM = "build/release/tests/load/load"
PORTS = range(20000, 32000)  # below what the kernel hands out: a restarted broker finds its port again
IO_URING_SETUP = 425


def build(*more):
    """Builds the load program and the given others with the project's Makefile."""
    run_ok(["make", "-s", PROGRAM, *more], timeout=300)
    run_ok([PROGRAM, "selftest"])


def free_port():
    for _ in range(100):
        port = random.choice(PORTS)
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


def need_engine(name):
    """NotRun where the kernel refuses io_uring."""
    if name != "io_uring":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(IO_URING_SETUP, 2, ctypes.create_string_buffer(120))
    if fd < 0:
        raise NotRun(f"no io_uring in the kernel ({errno.errorcode[ctypes.get_errno()]})")
    os.close(fd)


def words(settings):
    return [f"{name}={value}" for name, value in settings.items() if value is not None]


def create(broker, topic, partitions, configs=None):
    code, out, _ = run([PROGRAM, "create", broker.address, topic, str(partitions), *words(configs or {})])
    assert code == 0, f"{topic} could not be created: {out.decode()}"


def start(broker, topic, history, **settings):
    """Starts producing; hand the result to finish()."""
    return spawn([PROGRAM, "produce", broker.address, topic, history, *words(settings)], stdout=subprocess.PIPE)


def await_trigger(child, victim, timeout=30):
    """Waits until the load has killed its victim (a process); a load that ends before says why it could not."""
    wait_until(lambda: victim.poll() is not None or child.poll() is not None, timeout, 0.001)
    if child.poll():
        raise AssertionError(f"the load ended before its trigger: {child.communicate()[0].decode()}")
    died = wait_until(lambda: victim.poll() is not None, timeout, 0.001)
    assert died, "the trigger of the load never came"


def finish(child, timeout=60):
    """Waits for the end of a load; answers its numbers (acked, read, losses, bytes)."""
    try:
        out = child.communicate(timeout=seconds(timeout))[0].decode()
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise AssertionError("the load did not end in time") from None
    assert child.returncode == 0, f"load: {out}"
    return numbers(out, "produced")


def produce(broker, topic, history, **settings):
    return finish(start(broker, topic, history, **settings))


def verify(broker, topic, history, **settings):
    """Reads everything back; answers the numbers compared (acked, read, lost, batches, epoch)."""
    code, out, _ = run([PROGRAM, "verify", broker.address, topic, history, *words(settings)], timeout=120)
    assert code == 0, f"{topic}: {out.decode()}"
    return numbers(out.decode(), "verified")


def numbers(out, word):
    found = re.search(rf"^{word}: (.*)$", out, re.M)
    assert found, f"the load program said nothing: {out}"
    return {key: int(value) for key, value in re.findall(r"(\w+)=(-?\d+)", found.group(1))}
