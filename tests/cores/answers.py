"""What each node answers, by hand: who leads, who coordinates, what it tells of, and that it serves what it does not lead."""
import functools

from harness import wait_until
from messages import alter, call, coordinated
from wire_txn import read
from wire import Connection, batch, produced
from world import GROUPS, IDS, TOPICS, Nodes, commit, fill, leaders, make, restart

REBOOTSTRAP = 129
NOT_LEADER, INVALID_REQUEST, NO_REASSIGNMENT, INVALID_ASSIGNMENT, NOT_NEEDED = 6, 42, 85, 39, 84
BROKER = 4
ALL = {(t, p) for t, n in TOPICS.items() for p in range(n)}


class World:
    def __init__(self, broker):
        self.broker = broker
        self.nodes = Nodes(broker)
        self.ids = self.nodes.ids
        self.any = self.nodes[self.ids[0]]

    # --- who leads

    def every_node_says_the_same(self, count):
        assert self.ids == list(range(1, count + 1)), self.ids
        told = [(leaders(c), {b.broker_id: b.port for b in call(c, "describe_cluster", 2).brokers}) for _, c in self.nodes]
        assert all(t == told[0] for t in told), told
        assert set(told[0][0].values()) == set(self.ids), "some node leads nothing"

    def each_knows_its_own_id(self):
        """KIP-1242: a client says which node it means."""
        cluster = call(self.any, "describe_cluster", 2).cluster_id
        for id_, c in self.nodes:
            for meant in self.ids:
                r = call(c, "api_versions", 5, client_software_name="t", client_software_version="1", cluster_id=cluster, node_id=meant)
                assert r.error_code == (0 if meant == id_ else REBOOTSTRAP), (id_, meant, r.error_code)

    def replicas_are_the_leader_alone(self):
        for _, c in self.nodes:
            for t in call(c, "metadata", 12, topics=None).topics:
                for p in t.partitions:
                    assert p.replica_nodes == p.isr_nodes == [p.leader_id], p

    def pages_of_topics_say_the_same(self):
        r = call(self.any, "describe_topic_partitions", 0, topics=[{"name": n} for n in TOPICS], response_partition_limit=2000)
        told = {(t.name, p.partition_index): p.leader_id for t in r.topics for p in t.partitions}
        assert told == leaders(self.any, TOPICS), told

    def one_node_controls(self):
        for _, c in self.nodes:
            assert call(c, "metadata", 12, topics=[]).controller_id == 1
            r = call(c, "describe_quorum", 2, topics=[{"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}])
            assert r.topics[0].partitions[0].leader_id == 1 and [n.node_id for n in r.nodes] == [1], r

    def coordinators_are_where_their_partition_is(self):
        for kind, keys, topic in ((0, GROUPS, "__consumer_offsets"), (1, IDS, "__transaction_state")):
            led = set(leaders(self.any, [topic]).values())
            found = [{k.key: k.node_id for k in call(c, "find_coordinator", 4, key_type=kind, coordinator_keys=keys).coordinators}
                     for _, c in self.nodes]
            assert all(f == found[0] for f in found) and set(found[0].values()) <= led, found
            assert len(self.ids) == 1 or len(set(found[0].values())) > 1, "all keys have one coordinator"
            for key in keys:
                one = call(self.any, "find_coordinator", 3, key=key, key_type=kind)
                assert one.node_id == found[0][key], (one, found[0])

    # --- who tells of what

    def gathered(self, api, version, items, **ask):
        """{item: [the nodes that told of it]}"""
        told = {}
        for id_, c in self.nodes:
            for item in items(call(c, api, version, **ask)):
                told.setdefault(item, []).append(id_)
        return told

    def where_it_is_led(self, told):
        led = leaders(self.any)
        wrong = {item: ids for item, ids in told.items() if ids != [led[item]]}
        assert not wrong, wrong

    def folders_are_told_once(self):
        items = lambda r: [(t.name, p.partition_index) for t in r.results[0].topics for p in t.partitions]
        told = self.gathered("describe_log_dirs", 4, items, topics=None)
        assert set(told) == set(leaders(self.any)), set(leaders(self.any)) - set(told)
        self.where_it_is_led(told)
        named = [{"topic": t, "partitions": list(range(n))} for t, n in TOPICS.items()]
        told = self.gathered("describe_log_dirs", 4, items, topics=named)
        assert set(told) == ALL, told
        self.where_it_is_led(told)

    def coordinated_at(self, kind, keys):
        found = call(self.any, "find_coordinator", 4, key_type=kind, coordinator_keys=keys).coordinators
        return {k.key: [k.node_id] for k in found}

    def groups_are_told_once(self):
        assert wait_until(lambda: all(coordinated(c, GROUPS) for _, c in self.nodes), 20), "not loaded"
        told = self.gathered("list_groups", 4, lambda r: [g.group_id for g in r.groups])
        assert told == self.coordinated_at(0, GROUPS), told

    def transactions_are_told_once(self):
        told = self.gathered("list_transactions", 0, lambda r: [t.transactional_id for t in r.transaction_states])
        assert told == self.coordinated_at(1, IDS), told

    def producers_are_told_by_the_leader(self):
        led = leaders(self.any, TOPICS)
        for id_, c in self.nodes:
            topics = [{"name": t, "partition_indexes": list(range(n))} for t, n in TOPICS.items()]
            for t in call(c, "describe_producers", 0, topics=topics).topics:
                for p in t.partitions:
                    expected = 0 if led[t.name, p.partition_index] == id_ else NOT_LEADER
                    assert p.error_code == expected, (id_, t.name, p)

    # --- who serves what

    def every_node_serves_everything(self):
        for id_, c in self.nodes:
            for topic, partition in sorted(ALL):
                error, _ = produced(c, topic, partition, batch([b"through %d" % id_]))
                assert error == 0, (id_, topic, partition, error)
                part = read(c, topic, partition, isolation=0)
                assert part.error_code == 0 and part.records, (id_, topic, partition)
            for group in GROUPS:
                assert commit(c, group, "one", 0, 1) == 0, (id_, group)

    def topics_are_made_and_deleted_anywhere(self):
        for id_, c in self.nodes:
            name = f"of-{id_}"
            made = call(c, "create_topics", 7, timeout_ms=10000, topics=[{"name": name, "num_partitions": 4, "replication_factor": 1}])
            assert made.topics[0].error_code == 0, made
            for _, other in self.nodes:
                assert len(leaders(other, [name])) == 4
            r = call(c, "delete_topics", 6, timeout_ms=10000, topics=[{"name": name}])
            assert r.responses[0].error_code == 0, r

    # --- administration

    def settings_of(self, connection, id_, *names):
        r = call(connection, "describe_configs", 4, resources=[{"resource_type": BROKER, "resource_name": str(id_),
                                                                 "configuration_keys": list(names)}]).results[0]
        return r.error_code, {c.name: c.value for c in r.configs}

    def each_id_names_the_broker(self):
        for id_, c in self.nodes:
            error, now = self.settings_of(c, id_, "node.id", "listeners", "listeners.per.core")
            port = {b.node_id: b.port for b in call(c, "metadata", 12, topics=[]).brokers}[id_]
            assert error == 0 and now["node.id"] == str(id_) and now["listeners.per.core"] == "true", now
            assert len(self.ids) == 1 or now["listeners"] == f"PLAINTEXT://localhost:{port}", now
        for id_ in (self.ids[0] - 1, self.ids[-1] + 1):
            assert self.settings_of(self.any, id_)[0] == INVALID_REQUEST
            assert alter(self.any, str(id_), BROKER, log_cleaner_threads=1)[0] == INVALID_REQUEST

    def what_is_altered_at_one_counts_at_all(self):
        for id_, c in self.nodes:
            assert alter(c, str(id_), BROKER, log_cleaner_backoff_ms=1000 + id_) == (0, None)
            for other, d in self.nodes:
                assert self.settings_of(d, other, "log.cleaner.backoff.ms") == (0, {"log.cleaner.backoff.ms": str(1000 + id_)})

    def nothing_can_be_moved(self):
        led = leaders(self.any, ["one"])["one", 0]
        for id_, c in self.nodes:
            for replicas, expected in ((None, NO_REASSIGNMENT), ([led], 0), ([99], INVALID_ASSIGNMENT),
                                       *(([other], INVALID_ASSIGNMENT) for other in self.ids if other != led)):
                ask = [{"name": "one", "partitions": [{"partition_index": 0, "replicas": replicas}]}]
                r = call(c, "alter_partition_reassignments", 0, topics=ask)
                assert r.responses[0].partitions[0].error_code == expected, (id_, replicas, r)
            ask = [{"topic": "many", "partitions": list(range(TOPICS["many"]))}]
            r = call(c, "elect_leaders", 2, topic_partitions=ask)
            assert {p.error_code for t in r.replica_election_results for p in t.partition_result} == {NOT_NEEDED}, r

    def no_node_can_be_unregistered(self):
        for id_ in self.ids:
            assert call(self.any, "unregister_broker", 0, broker_id=id_).error_code == INVALID_REQUEST

    def assignments_name_the_leader_or_are_refused(self):
        if len(self.ids) == 1:
            return
        ask = [{"name": "assigned", "num_partitions": -1, "replication_factor": -1, "assignments": [{"partition_index": 0, "broker_ids": [1]}]}]
        r = call(self.any, "create_topics", 7, timeout_ms=10000, topics=ask).topics[0]
        assert r.error_code == INVALID_ASSIGNMENT and "number of partitions" in r.error_message, r
        errors = {}
        for id_ in self.ids:
            more = [{"name": "few", "count": TOPICS["few"] + 1, "assignments": [{"broker_ids": [id_]}]}]
            r = call(self.any, "create_partitions", 3, timeout_ms=10000, topics=more, validate_only=True).results[0]
            errors[id_] = r.error_code
        assert sorted(errors.values()) == [0] + [INVALID_ASSIGNMENT] * (len(self.ids) - 1), errors


STATEMENTS = (
    ("every node leads something, and all say who", "every_node_says_the_same"),
    ("ApiVersions takes the node's own id and no other", "each_knows_its_own_id"),
    ("replicas and ISR are the leader", "replicas_are_the_leader_alone"),
    ("DescribeTopicPartitions says what Metadata does", "pages_of_topics_say_the_same"),
    ("one node is the controller", "one_node_controls"),
    ("FindCoordinator names the node that owns the key's partition", "coordinators_are_where_their_partition_is"),
    ("ListGroups of all nodes has each group once", "groups_are_told_once"),
    ("ListTransactions of all nodes has each id once", "transactions_are_told_once"),
    ("DescribeLogDirs of all nodes has each partition once, at its leader", "folders_are_told_once"),
    ("DescribeProducers is answered by the leader", "producers_are_told_by_the_leader"),
    ("every node serves what it does not lead", "every_node_serves_everything"),
    ("topics are made and deleted through any node", "topics_are_made_and_deleted_anywhere"),
    ("the configuration goes by the id of each node, and shows its own addresses", "each_id_names_the_broker"),
    ("what is altered at one node counts at all", "what_is_altered_at_one_counts_at_all"),
    ("partitions stay with their leader", "nothing_can_be_moved"),
    ("no node can be unregistered", "no_node_can_be_unregistered"),
    ("an assignment that is not the leader's is refused", "assignments_name_the_leader_or_are_refused"),
)


def state(report, broker, name, cores, only=None):
    w = World(broker)
    with w.nodes:
        for statement, function in STATEMENTS:
            if only is None or function in only:
                run = getattr(w, function)
                report.case(f"cores: {name}: {statement}", functools.partial(run, cores) if function == "every_node_says_the_same" else run)


def run(report, work, _):
    broker = make(f"{work}/answers", 3).start()
    with Connection(broker.port) as c:
        fill(c)
    state(report, broker, "three cores", 3)
    again = ("every_node_says_the_same", "coordinators_are_where_their_partition_is", "groups_are_told_once", "transactions_are_told_once",
             "folders_are_told_once", "producers_are_told_by_the_leader", "every_node_serves_everything")
    broker.kill()
    broker = restart(broker, 2, True)
    state(report, broker, "two cores after kill -9 with three", 2, again)
    report.case("cores: two cores after kill -9 with three: it stops cleanly", broker.stop)
    broker = restart(broker, 1, True)
    state(report, broker, "one core after two", 1)
    report.case("cores: one core after two: it stops cleanly", broker.stop)
