"""Cases: every API in every version, cut short, with lengths that lie, with random changes."""
import os
import random
import time

import poison
from messages import call, frame, schema, take, versions
from wire import *

SEED = os.environ.get("BADINPUT_SEED", "20261121")
MUTATIONS = int(os.environ.get("BADINPUT_MUTATIONS", "6000"))
CUTS_MAX = 40  # of one request
SILENCE_S = 0.03
FATAL = ("the highest", "ten million")  # more than any of these frames holds


def everything():
    return [(api, version) for api in sorted(schema()[0]) for version in versions(api)]


def victim(world):
    """A topic and a group that may suffer."""
    create_topic(world.witness, "victim", 4)
    topics = call(world.witness, "metadata", 12, topics=[{"name": "victim"}]).topics
    poison.IDS[:] = [bytes(16), topics[0].topic_id]


def outcome(connection, api, version, may_wait):
    """"answered" when the answer is a message of that version, "closed", or "silent" where that is allowed."""
    try:
        if may_wait and api in poison.SILENT:
            connection.socket.settimeout(SILENCE_S)
            try:
                if not connection.socket.recv(1, socket.MSG_PEEK):
                    return "closed"
            except TimeoutError:
                return "silent"
            connection.socket.settimeout(20)
        answer = take(connection, api, version)
        if answer.get("member_id"):
            poison.seen(answer.member_id)
        return "answered"
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return "closed"


def ask(world, raw, api, version, may_wait=True):
    with Connection(world.port) as c:
        c.send(raw)
        try:
            return outcome(c, api, version, may_wait)
        except Exception as why:
            raise AssertionError(f"{api} version {version} to {raw.hex()[-500:]}: {type(why).__name__}: {why}") from None


def no_request_may_be_cut_short(world):
    victim(world)
    count = 0
    for api, version in everything():
        raw = frame(api, version, **poison.valid(random.Random(f"{SEED} {api} {version}"), api, version))[4:]
        start = 10 + len("test")
        cuts = range(start, len(raw)) if len(raw) - start <= CUTS_MAX else random.Random(SEED).sample(range(start, len(raw)), CUTS_MAX)
        for n in cuts:
            with Connection(world.port) as c:
                c.send(i32(n) + raw[:n])
                assert c.closed(), f"{api} version {version}: {n} of {len(raw)} bytes were taken as a request: {raw[:n].hex()}"
            count += 1
    assert count > 1000, f"only {count} requests"
    world.undisturbed()


def what_is_malformed_is_logged_with_the_peer(world):
    """Among the first cases: peers may provoke a burst of log lines, and then one a second."""
    for api in sorted(schema()[0]):
        version = max(versions(api))
        raw = frame(api, version, **poison.valid(random.Random(SEED), api, version))[4:-1]
        with Connection(world.port) as c:
            name = c.name()
            c.send(i32(len(raw)) + raw)
            assert c.closed(), f"{api} version {version} without its last byte was taken"
            world.logged(name, api)


def no_length_may_lie(world):
    """A null where none is allowed, and more than there is, close the connection; whatever else is answered or closed."""
    victim(world)
    found = {"answered": 0, "closed": 0, "silent": 0}
    for api, version in everything():
        values = poison.valid(random.Random(f"{SEED} {api} {version}"), api, version)
        for lie, null_is_allowed, raw in poison.spoilt_lengths(api, version, values):
            must_close = lie in FATAL or (lie == "null" and not null_is_allowed)
            came = ask(world, raw, api, version, may_wait=not must_close)
            found[came] += 1
            assert came == "closed" or not must_close, f"{api} version {version}, a length says {lie}: {came}: {raw.hex()[-500:]}"
    assert found["answered"] > 100 and found["closed"] > 1000, found
    world.undisturbed()


def random_changes_of_every_api_are_survived(world):
    victim(world)
    seeded = random.Random(SEED)
    every = everything()
    found = {"answered": 0, "closed": 0, "silent": 0}
    for n in range(MUTATIONS):
        api, version = every[n % len(every)]
        raw = frame(api, version, **poison.valid(seeded, api, version))
        if n % 8:
            raw = poison.mutated(seeded, raw)
        came = ask(world, raw, api, version)
        found[came] += 1
        assert world.broker.running(), f"the broker is gone after {raw.hex()}"
        if n % 1000 == 0:
            victim(world)
            world.undisturbed()
    assert found["answered"] > MUTATIONS / 8 and found["closed"] > MUTATIONS / 8, found
    print(f"    {found}", flush=True)
    world.undisturbed()


CASES = (
    no_request_may_be_cut_short, no_length_may_lie, random_changes_of_every_api_are_survived,
)
