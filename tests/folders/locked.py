"""One broker for one folder, also when somebody deletes the lock; and a folder that is taken away while the broker runs."""
import os
import shutil
import time

from contents import batch_of
from harness import Broker, wait_until
from wire import *
from world import WORK, settings

STORAGE_ERROR, OK = 56, 0


def without_the_lock_file():
    broker = Broker(f"{WORK}/unlocked", settings())
    with broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "t") == OK
        os.remove(f"{broker.data}/.lock")
        second = Broker(f"{WORK}/unlocked-second", settings(**{"log.dirs": broker.data}))
        second.launch()
        try:
            assert wait_until(lambda: not second.running(), 20), "a second broker runs on the folder"
            assert "in use by another broker" in second.log_since(), second.log_since()[-400:]
        finally:
            second.kill()
        assert not os.path.exists(f"{broker.data}/.lock"), "the second broker touched the folder"
        with Connection(broker.port) as c:
            assert produced(c, "t", 0, batch_of(0, 3)) == (OK, 0)
        broker.stop(), broker.start(), broker.stop()


def take_away(data, how):
    if how == "deleted":
        shutil.rmtree(data)
    elif how == "emptied":
        for entry in os.scandir(data):
            shutil.rmtree(entry.path) if entry.is_dir() else os.remove(entry.path)
    else:
        os.rename(data, data + ".old")
        shutil.copytree(data + ".old", data)


def gone_while_running(how):
    broker = Broker(f"{WORK}/gone-{how}", settings())
    with broker:
        with Connection(broker.port) as c:
            assert create_topic(c, "t", 2) == OK
            assert produced(c, "t", 0, batch_of(0, 3))[0] == OK and produced(c, "t", 1, batch_of(0, 3))[0] == OK
            take_away(broker.data, how)
            until = time.monotonic() + 10
            while produced(c, "t", 0, batch_of(0, 3))[0] == OK:
                assert time.monotonic() < until, "the broker goes on acknowledging"
                time.sleep(0.1)
            for partition in (0, 1):
                error = produced(c, "t", partition, batch_of(0, 3))[0]
                assert error == STORAGE_ERROR, f"partition {partition} answers {error}"
            time.sleep(0.2)
            error = create_topic(c, "new")
            assert error == STORAGE_ERROR, f"CreateTopics answers {error}"
        lines = broker.logged("data folder lost")
        assert lines and "deleted or replaced" in lines[0], broker.log_since()[-500:]
    shutil.rmtree(broker.data + ".old", ignore_errors=True)


CASES = [("a second broker is kept out also when .lock was deleted", without_the_lock_file, ())]
CASES += [(f"a data folder that is {how} while the broker runs is noticed: nothing more is acknowledged", gone_while_running, (how,))
          for how in ("deleted", "emptied", "replaced")]
