import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Transactional producers by their names, and the chain: a thread that reads as a member and writes in transactions with its offsets. */
class Transactions {
    private static final byte[] DID = "did ".getBytes(StandardCharsets.UTF_8);

    private final String address;
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private Thread chain;
    private volatile boolean over;

    Transactions(String address) {
        this.address = address;
    }

    void teach(Map<String, Adapter.Word> words) {
        words.put("txn_open", (in, out) -> producers.put(in.get("as").asText(), open(in)));
        words.put("txn_begin", (in, out) -> producer(in).beginTransaction());
        words.put("txn_send", (in, out) -> Records.send(producer(in), in, out));
        words.put("txn_end", this::end);
        words.put("transform", this::transform);
    }

    void close() throws InterruptedException {
        over = true;
        if (chain != null)
            chain.join();
        producers.values().forEach(producer -> producer.close(Duration.ZERO));
    }

    private KafkaProducer<byte[], byte[]> producer(JsonNode in) {
        return producers.get(in.get("as").asText());
    }

    private KafkaProducer<byte[], byte[]> open(JsonNode in) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", address);
        settings.put("transactional.id", in.get("txn").asText());
        settings.put("transaction.timeout.ms", in.get("timeout_ms").asText());
        settings.put("linger.ms", "5");
        settings.put("delivery.timeout.ms", "50000");
        settings.put("max.block.ms", "50000");
        KafkaProducer<byte[], byte[]> producer =
            new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        producer.initTransactions();
        return producer;
    }

    private void end(JsonNode in, ObjectNode out) {
        if (in.get("commit").asBoolean())
            producer(in).commitTransaction();
        else
            producer(in).abortTransaction();
    }

    private void transform(JsonNode in, ObjectNode out) {
        KafkaProducer<byte[], byte[]> producer = open(in);
        producers.put("chain", producer);
        Properties settings = Member.settings(address, in);
        settings.put("isolation.level", "read_committed");
        KafkaConsumer<byte[], byte[]> consumer = Member.open(settings);
        consumer.subscribe(List.of(in.get("topic").asText()));
        chain = new Thread(() -> run(producer, consumer, in.get("to").asText()), "chain");
        chain.start();
    }

    private void run(KafkaProducer<byte[], byte[]> producer, KafkaConsumer<byte[], byte[]> consumer, String to) {
        try (consumer) {
            while (!over) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(50));
                if (records.count() > 0) {
                    turn(producer, consumer, records, to);
                    Adapter.say(Adapter.JSON.createObjectNode().put("event", "transformed").put("count", records.count()));
                }
            }
        } catch (Exception error) {
            error.printStackTrace();
            Member.say(error);
        }
    }

    private static void turn(KafkaProducer<byte[], byte[]> producer, KafkaConsumer<byte[], byte[]> consumer,
                             ConsumerRecords<byte[], byte[]> records, String to) {
        Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
        producer.beginTransaction();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            producer.send(new ProducerRecord<>(to, record.partition(), null, transformed(record.value())));
            ends.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        producer.sendOffsetsToTransaction(ends, consumer.groupMetadata());
        producer.commitTransaction();
    }

    private static byte[] transformed(byte[] value) {
        byte[] made = new byte[DID.length + value.length];
        System.arraycopy(DID, 0, made, 0, DID.length);
        System.arraycopy(value, 0, made, DID.length, value.length);
        return made;
    }
}
