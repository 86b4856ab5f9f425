"""rsyslog: omkafka writes lines of a file to a topic, imkafka reads them from there into another file."""
from debian import *

CONFIG = """
global(workDirectory="{folder}")
module(load="imfile" pollingInterval="1")
module(load="omkafka")
module(load="imkafka")
template(name="text" type="string" string="%msg%")
template(name="line" type="string" string="%rawmsg%\\n")
ruleset(name="out") {{
  action(type="omkafka" broker=["{address}"] topic="rsyslog" template="text" partitions.auto="on" resubmitOnFailure="on" keepFailedMessages="on"
         failedMsgFile="{folder}/rsyslog.failed" confParam=["compression.codec=lz4", "message.timeout.ms=60000"])
}}
ruleset(name="in") {{ action(type="omfile" file="{folder}/rsyslog.back" template="line") }}
input(type="imfile" file="{path}" tag="test" ruleset="out")
input(type="imkafka" broker=["{address}"] topic="rsyslog" consumergroup="rsyslog" confParam=["auto.offset.reset=earliest"] ruleset="in")
"""


def start(broker, path):
    config = configured("rsyslog", CONFIG.format(folder=os.path.abspath(WORK), address=broker.address, path=path))
    modules = os.path.join(unpacked(), "usr/lib/x86_64-linux-gnu/rsyslog")
    return run_packaged("rsyslog", "usr/sbin/rsyslogd", "-n", "-f", config, "-i", os.path.abspath(f"{WORK}/rsyslog.pid"), "-M", modules)


def back():
    with open(f"{WORK}/rsyslog.back", encoding="ascii") as file:
        return set(file.read().splitlines())


def forwards():
    forwards_lines("rsyslog", start, back)


ON_DEMAND = [("rsyslog writes lines to a topic and reads them again, the broker killed in between", forwards, ())]
