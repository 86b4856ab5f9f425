"""Power cuts while groups commit and topics, settings, partitions and log starts change (tests/load/numbered.py).

A cut is
    load    under the changes
    back    the broker is killed first, restarted, and the power goes when the clients have just come back
    early   the same, but the power goes while the new broker recovers
"""
import random
import time

import cuts
import numbered
from harness import wait_until

CUTS = ("load", "load", "back", "load", "early")
FIRST_ROUND = 60  # changes by each client: enough that the logs of groups are compacted
AGAIN = 1


class Series(cuts.Series):
    settings = {**numbered.SETTINGS, "write.caching": "true"}  # which must not matter
    crowd_of, first_round, again = numbered.Crowd, FIRST_ROUND, AGAIN

    def __init__(self, setup, program=None):
        super().__init__(setup, program)
        self.broker.properties.update(self.settings)
        self.loses_little = True  # nearly all is flushed at once
        self.crowd = self.crowd_of()

    def begin(self):
        super().begin()
        self.crowd.set_up(self.broker)

    def round(self, wanted):
        self.crowd.start(self.broker, self.again if self.totals["rounds"] else self.first_round)
        if wanted == "load":
            time.sleep(random.uniform(*cuts.CUT_US) / 1e6)
            self.totals["acked"] += self.crowd.crash(self.die)
        else:
            self.totals["acked"] += self.crowd.crash(self.broker.kill)
            self.cut_again(wanted)
        self.come_back()
        self.totals["compared"] += self.crowd.compare(self.broker)
        self.totals["rounds"] += 1

    def cut_again(self, wanted):
        if wanted == "early":
            self.broker.launch()
            time.sleep(random.uniform(*cuts.EARLY_S))
            self.die()
            return
        self.broker.start()
        self.crowd.compare(self.broker)
        self.crowd.start(self.broker, self.again)
        self.totals["acked"] += self.crowd.crash(self.die)

    def end(self):
        assert wait_until(lambda: self.crowd.cleaned(self.broker) > 0, 10, 0.1), "nothing was compacted"
        self.totals["cleaned"] += self.crowd.cleaned(self.broker)
        super().end()


def run_all(report):
    cuts.run_setups(report, Series, CUTS, "commits, members, settings, partitions, log starts and topics are as last acknowledged, or later")
