"""The members: started, stopped, killed, and made to commit."""
import os
import random
import signal
import threading
import time

from driver import Crew
from member import Member, partitions_of

# The first one leads the group. Java's 4.x would, by itself, ask for a rebalance as a leader whose broker was away: it forgets its
# metadata then (metadata.recovery.strategy=rebootstrap). As a follower it does no harm.
CLIENTS = ("franz-go", "java-4", "confluent-kafka", "kafka-python")
SESSION_MS = 6000
PAUSE_MAX_S = 12  # twice a session
LEAVE_MAX_S = 30
SETTLE_S = 10  # what a member that was stopped says for so long may be old


class Guest(Member):
    """A Member with what chaos does to it."""

    def __init__(self, crew, name, group, topic):
        self.crew = crew
        self.paused_until = None
        self.pauses = []  # [from, to]
        self.request, self.attempts = None, []
        self.leaving = None
        super().__init__(self, name, group, topic, session_ms=SESSION_MS)

    def pause(self, span):
        self.paused_until = time.monotonic() + span
        self.pauses.append([time.monotonic(), None])
        os.kill(self.adapter.process.pid, signal.SIGSTOP)

    def wake(self):
        self.pauses[-1][1] = time.monotonic()
        self.paused_until = None
        os.kill(self.adapter.process.pid, signal.SIGCONT)

    def places(self):
        """Partition -> where it is, of what it owns now and was given something of since."""
        places = {}
        for event in list(self.adapter.events):
            if event.get("event") in ("assigned", "revoked"):
                for partition in partitions_of(event):
                    places.pop(partition, None)
            elif event.get("event") == "record":
                places[event["partition"]] = event["offset"] + 1
        owned = self.owned or set()
        return {partition: at for partition, at in places.items() if partition in owned}

    def begin_commit(self, judge):
        places = self.places()
        if self.request is None and places:
            now = time.monotonic()
            self.attempts = [judge.attempt(partition, at, now) for partition, at in places.items()]
            offsets = [[self.topic, partition, at, ""] for partition, at in places.items()]
            self.request = self.adapter.ask("commit", offsets=offsets)

    def end_commit(self):
        """Takes the answer if it is there; answers whether nothing is under way."""
        if self.request is None:
            return True
        with self.adapter.changed:
            said = self.adapter.answers.pop(self.request, None)
        if said is None and not self.adapter.ended:
            return False
        for attempt in self.attempts:
            attempt.end(time.monotonic(), bool(said and said.get("ok")))
        self.request, self.attempts = None, []
        return True

    def crash(self):
        super().crash()
        self.end_commit()

    def begin_leave(self):
        self.leaving = (self.adapter.ask("leave"), time.monotonic() + LEAVE_MAX_S)

    def end_leave(self):
        with self.adapter.changed:
            over = self.leaving[0] in self.adapter.answers or self.adapter.ended
        if over or time.monotonic() > self.leaving[1]:
            self.end_commit()
            self.crash()

    def heard_at(self, at):
        """The earliest moment at which what it said at `at` may have been true."""
        for begin, end in self.pauses:
            if at >= begin and (end is None or at <= end + SETTLE_S):
                return begin
        return at


class Crowd:
    def __init__(self, commands, broker, folder, group, topic, judge, seed):
        self.changed = threading.Condition()
        self.group, self.topic, self.judge = group, topic, judge
        self.dice = random.Random(seed)
        self.guests = []
        self.crews = []
        for name, command in commands.items():
            crew = Crew(command, broker, f"{folder}/{name}")
            crew.changed = self.changed
            self.crews.append(crew)

    def living(self):
        return [guest for guest in self.guests if not guest.gone and not guest.leaving]

    def awake(self):
        return [guest for guest in self.living() if guest.paused_until is None]

    def join(self):
        crew = self.crews[len(self.guests) % len(self.crews)]
        name = f"{os.path.basename(crew.folder)}-{len(self.guests)}"
        self.guests.append(Guest(crew, name, self.group, self.topic))

    def tend(self):
        """What is due: wakes, ends leaving, ends and begins commits."""
        now = time.monotonic()
        for guest in self.guests:
            if guest.gone:
                continue
            if guest.paused_until is not None and now > guest.paused_until:
                guest.wake()
            if guest.paused_until is None and guest.leaving:
                guest.end_leave()
            elif guest.paused_until is None and guest.end_commit() and self.dice.random() < 0.15:
                guest.begin_commit(self.judge)

    def disturb(self, count):
        """One change."""
        what = self.dice.choice(("join", "join", "join", "leave", "crash", "pause", "pause"))
        awake = self.awake()
        if what == "join" or len(awake) < count // 2:
            if len(self.living()) < count:
                self.join()
            return
        guest = self.dice.choice(awake)
        if what == "leave":
            guest.begin_leave()
        elif what == "crash":
            guest.crash()
        else:
            guest.pause(self.dice.uniform(0.5, PAUSE_MAX_S))

    def calm(self):
        """Everybody wakes up; those that leave are gone."""
        for guest in self.guests:
            if not guest.gone and guest.paused_until is not None:
                guest.wake()
        while any(guest.leaving and not guest.gone for guest in self.guests):
            self.tend()
            time.sleep(0.05)

    def wait(self, condition, timeout, what):
        self.crews[0].wait(condition, timeout, what)

    def close(self):
        for crew in self.crews:
            crew.close()
