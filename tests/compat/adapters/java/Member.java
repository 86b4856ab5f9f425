import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The group member: a consumer with a thread of its own that polls for ever, and between two polls does what requests ask,
 * because a KafkaConsumer may be used by one thread only.
 */
class Member implements ConsumerRebalanceListener {
    private static final Duration POLL = Duration.ofMillis(50);

    private final String address;
    private final BlockingQueue<FutureTask<?>> tasks = new LinkedBlockingQueue<>();
    private final Map<TopicPartition, OffsetAndMetadata> delivered = new HashMap<>();
    private KafkaConsumer<byte[], byte[]> consumer;
    private Thread thread;
    private String group;
    private volatile boolean leaving;

    Member(String address) {
        this.address = address;
    }

    void teach(Map<String, Adapter.Word> words) {
        words.put("join", this::join);
        words.put("commit", (in, out) -> onThread(() -> commit(in.get("offsets"))));
        words.put("committed", this::committed);
        words.put("leave", (in, out) -> close());
    }

    private static Properties settings(String address, String name) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", address);
        settings.put("group.id", name);
        settings.put("group.protocol", "classic");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("metadata.max.age.ms", "2000");
        return settings;
    }

    /** What a request to join says. */
    static Properties settings(String address, JsonNode in) {
        boolean cooperative = in.path("strategy").asText().equals("cooperative");
        Properties settings = settings(address, in.get("group").asText());
        settings.put("session.timeout.ms", in.get("session_ms").asText());
        settings.put("heartbeat.interval.ms", in.get("heartbeat_ms").asText());
        settings.put("max.poll.interval.ms", in.get("rebalance_ms").asText());
        settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer."
                     + (cooperative ? "CooperativeStickyAssignor" : "RangeAssignor"));
        if (in.path("instance").isTextual())
            settings.put("group.instance.id", in.get("instance").asText());
        return settings;
    }

    static KafkaConsumer<byte[], byte[]> open(Properties settings) {
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private void join(JsonNode in, ObjectNode out) {
        group = in.get("group").asText();
        List<String> topics = new ArrayList<>();
        in.get("topics").forEach(topic -> topics.add(topic.asText()));
        consumer = open(settings(address, in));
        consumer.subscribe(topics, this);
        leaving = false;
        thread = new Thread(this::live, "member");
        thread.start();
    }

    private void live() {
        while (!leaving) {
            try {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL))
                    deliver(record);
            } catch (Exception error) {
                failed(error);
            }
            for (FutureTask<?> task = tasks.poll(); task != null; task = tasks.poll())
                task.run();
        }
    }

    /** Says what the client reported; a pause, for some errors come again from every poll. */
    private void failed(Exception error) {
        error.printStackTrace();
        say(error);
        try {
            Thread.sleep(100);
        } catch (InterruptedException ignored) {
            leaving = true;
        }
    }

    static void say(Exception error) {
        event("error").finish(event -> event.put("error", Adapter.textOf(error)));
    }

    private void deliver(ConsumerRecord<byte[], byte[]> record) {
        TopicPartition from = new TopicPartition(record.topic(), record.partition());
        delivered.put(from, new OffsetAndMetadata(record.offset() + 1));
        event("record").finish(event -> event.put("topic", record.topic()).put("partition", record.partition())
                               .put("offset", record.offset()).put("value", Records.textOf(record.value())));
    }

    /** Runs `work` on the member's thread and passes on what it throws. */
    private void onThread(Callable<?> work) throws Exception {
        if (thread == null)
            throw new IllegalStateException("no member has joined");
        FutureTask<?> task = new FutureTask<>(work);
        tasks.add(task);
        task.get();
    }

    private Void commit(JsonNode offsets) {
        Map<TopicPartition, OffsetAndMetadata> wanted = new HashMap<>();
        if (offsets == null || offsets.isNull())
            wanted.putAll(delivered);
        else
            for (JsonNode one : offsets)
                wanted.put(new TopicPartition(one.get(0).asText(), one.get(1).asInt()),
                           new OffsetAndMetadata(one.get(2).asLong(), one.path(3).asText("")));
        consumer.commitSync(wanted);
        return null;
    }

    private void committed(JsonNode in, ObjectNode out) throws Exception {
        Set<TopicPartition> partitions = new LinkedHashSet<>();
        in.get("partitions").forEach(one -> partitions.add(new TopicPartition(one.get(0).asText(), one.get(1).asInt())));
        Map<TopicPartition, OffsetAndMetadata> found = new HashMap<>();
        if (thread != null && in.get("group").asText().equals(group))
            onThread(() -> {
                found.putAll(consumer.committed(partitions));
                return null;
            });
        else
            try (KafkaConsumer<byte[], byte[]> other = open(settings(address, in.get("group").asText()))) {
                found.putAll(other.committed(partitions));
            }
        ArrayNode offsets = out.putArray("offsets");
        ArrayNode metadata = out.putArray("metadata");
        for (TopicPartition partition : partitions) {
            OffsetAndMetadata one = found.get(partition);
            offsets.add(one == null ? -1 : one.offset());
            metadata.add(one == null ? "" : one.metadata());
        }
    }

    void close() throws Exception {
        if (thread == null)
            return;
        onThread(() -> {
            leaving = true;
            consumer.close();
            return null;
        });
        thread.join();
        thread = null;
        delivered.clear();
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> added) {
        event("assigned").finish(event -> {
            list(event, consumer.assignment());
            event.put("generation", consumer.groupMetadata().generationId());
        });
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> taken) {
        delivered.keySet().removeAll(taken);
        event("revoked").finish(event -> list(event, taken));
    }

    private static void list(ObjectNode event, Collection<TopicPartition> partitions) {
        ArrayNode list = event.putArray("partitions");
        partitions.forEach(one -> list.addArray().add(one.topic()).add(one.partition()));
    }

    private interface Filling {
        void fill(ObjectNode event);
    }

    private record Event(ObjectNode line) {
        void finish(Filling filling) {
            filling.fill(line);
            try {
                Adapter.say(line);
            } catch (Exception impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }

    private static Event event(String name) {
        return new Event(Adapter.JSON.createObjectNode().put("event", name));
    }
}
