"""collectd: write_kafka writes what it measures each second."""
from debian import *

CONFIG = """
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
PluginDir "{root}/usr/lib/collectd"
TypesDB "{root}/usr/share/collectd/types.db"
Interval 1
LoadPlugin load
LoadPlugin uptime
LoadPlugin write_kafka
<Plugin write_kafka>
  Property "bootstrap.servers" "{address}"
  <Topic "collectd">
    Format JSON
  </Topic>
</Plugin>
"""


def measures(broker):
    """How many measurements of each plugin the topic has."""
    found = {}
    for value in asked("values", broker.address, "collectd"):
        for one in json.loads(value):
            found[one["plugin"]] = found.get(one["plugin"], 0) + 1
    return found


def more_than(broker, before):
    now = measures(broker)
    return all(now.get(plugin, 0) > before.get(plugin, 0) for plugin in ("load", "uptime"))


def writes():
    broker = open_broker(f"{WORK}/collectd", SOON)
    broker.keep_port = True
    with broker:
        client("topic", broker.address, "collectd", 1)
        config = configured("collectd", CONFIG.format(folder=os.path.abspath(WORK), root=unpacked(), address=broker.address))
        collectd = run_packaged("collectd", "usr/sbin/collectd", "-f", "-C", config)
        assert wait_until(lambda: more_than(broker, {}), 60, 1), f"nothing is measured: {collectd.said()[-800:]}"
        broker.kill(), broker.start()
        before = measures(broker)
        assert wait_until(lambda: more_than(broker, before), 60, 1), f"nothing is measured any more: {collectd.said()[-800:]}"
        collectd.stop()
        broker.stop()


ON_DEMAND = [("collectd writes what it measures, the broker killed in between", writes, ())]
