"""syslog-ng: its Kafka destination writes lines of a file to a topic, asynchronously and with sync-send(yes), which is transactional."""
from debian import *

CONFIG = """
@version: 3.38
@module kafka
source lines {{ file("{path}" follow-freq(1) flags(no-parse)); }};
destination topic {{ kafka-c(topic("{name}") bootstrap-servers("{address}") message("$MSG") flush-timeout-on-shutdown(10000) {more}); }};
log {{ source(lines); destination(topic); flags(flow-control); }};
"""


def start(broker, path, name, more):
    config = configured(name, CONFIG.format(address=broker.address, path=path, name=name, more=more))
    files = {option: os.path.abspath(f"{WORK}/{name}.{option}") for option in ("persist-file", "pidfile", "control")}
    return run_packaged(name, "usr/sbin/syslog-ng", "-F", "--no-caps", "-f", config, *(f"--{option}={path}" for option, path in files.items()),
                        f"--module-path={unpacked()}/usr/lib/syslog-ng/3.38")


def forwards(name, more):
    forwards_lines(name, lambda broker, path: start(broker, path, name, more))


ON_DEMAND = [("syslog-ng writes lines to a topic, the broker killed in between", forwards, ("syslog-ng", "")),
             ("syslog-ng with sync-send(yes) writes lines to a topic, the broker killed in between", forwards, ("syslog-ng-sync", "sync-send(yes)"))]
