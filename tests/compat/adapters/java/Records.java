import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Producing, reading by assignment, and offsets. Clients are made when first needed and kept. */
class Records {
    private final String address;
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private KafkaConsumer<byte[], byte[]> reader;
    private KafkaConsumer<byte[], byte[]> committedReader;

    Records(String address) {
        this.address = address;
    }

    void teach(Map<String, Adapter.Word> words) {
        words.put("produce", this::produce);
        words.put("read", this::read);
        words.put("offset", this::offset);
    }

    void close() {
        producers.values().forEach(KafkaProducer::close);
        if (reader != null)
            reader.close();
        if (committedReader != null)
            committedReader.close();
    }

    private KafkaProducer<byte[], byte[]> producer(String codec, boolean idempotent) {
        return producers.computeIfAbsent(codec + idempotent, key -> {
            Properties settings = new Properties();
            settings.put("bootstrap.servers", address);
            settings.put("acks", "all");
            settings.put("compression.type", codec);
            settings.put("enable.idempotence", String.valueOf(idempotent));
            settings.put("linger.ms", "20");
            settings.put("delivery.timeout.ms", "50000");
            settings.put("max.block.ms", "30000");
            return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        });
    }

    private KafkaConsumer<byte[], byte[]> openReader(String isolation) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", address);
        settings.put("group.protocol", "classic");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "none");
        settings.put("isolation.level", isolation);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private KafkaConsumer<byte[], byte[]> reader() {
        if (reader == null)
            reader = openReader("read_uncommitted");
        return reader;
    }

    private KafkaConsumer<byte[], byte[]> committedReader() {
        if (committedReader == null)
            committedReader = openReader("read_committed");
        return committedReader;
    }

    private void produce(JsonNode in, ObjectNode out) throws Exception {
        send(producer(in.get("codec").asText(), in.path("idempotent").asBoolean()), in, out);
    }

    static void send(KafkaProducer<byte[], byte[]> producer, JsonNode in, ObjectNode out) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (JsonNode record : in.get("records"))
            sent.add(producer.send(recordOf(in.get("topic").asText(), record)));
        producer.flush();
        ArrayNode offsets = out.putArray("offsets");
        for (Future<RecordMetadata> one : sent)
            offsets.add(one.get().offset());
    }

    private static ProducerRecord<byte[], byte[]> recordOf(String topic, JsonNode fields) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : fields.path("headers"))
            headers.add(new RecordHeader(header.get(0).asText(), bytesOf(header.get(1))));
        return new ProducerRecord<>(topic, number(fields, "partition") == null ? null : fields.get("partition").asInt(),
                                    number(fields, "timestamp"), bytesOf(fields.get("key")),
                                    bytesOf(fields.get("value")), headers);
    }

    private static Long number(JsonNode fields, String name) {
        return fields.path(name).isNumber() ? fields.get(name).asLong() : null;
    }

    private void read(JsonNode in, ObjectNode out) {
        TopicPartition from = partitionOf(in);
        int count = in.get("count").asInt();
        long end = System.nanoTime() + in.get("timeout_ms").asLong() * 1_000_000;
        ArrayNode records = out.putArray("records");
        KafkaConsumer<byte[], byte[]> consumer = in.path("committed").asBoolean() ? committedReader() : reader();
        consumer.assign(Set.of(from));
        consumer.seek(from, in.get("offset").asLong());
        while (records.size() < count && System.nanoTime() < end)
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100)))
                if (records.size() < count)
                    describe(record, records.addObject());
        consumer.unsubscribe();
    }

    private static void describe(ConsumerRecord<byte[], byte[]> record, ObjectNode to) {
        to.put("offset", record.offset()).put("timestamp", record.timestamp());
        to.put("key", textOf(record.key())).put("value", textOf(record.value()));
        ArrayNode headers = to.putArray("headers");
        for (Header header : record.headers())
            headers.addArray().add(header.key()).add(textOf(header.value()));
    }

    private void offset(JsonNode in, ObjectNode out) {
        out.put("offset", offsetAt(partitionOf(in), in.get("at").asLong()));
    }

    private long offsetAt(TopicPartition partition, long at) {
        if (at == -2)
            return reader().beginningOffsets(Set.of(partition)).get(partition);
        if (at == -1)
            return reader().endOffsets(Set.of(partition)).get(partition);
        OffsetAndTimestamp found = reader().offsetsForTimes(Map.of(partition, at)).get(partition);
        return found == null ? -1 : found.offset();
    }

    static TopicPartition partitionOf(JsonNode in) {
        return new TopicPartition(in.get("topic").asText(), in.get("partition").asInt());
    }

    static byte[] bytesOf(JsonNode text) {
        return text == null || text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    static String textOf(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }
}
