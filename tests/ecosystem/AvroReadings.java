import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Readings in Avro with Apicurio's serializers: AvroReadings write|read ADDRESS REGISTRY TOPIC COUNT. Writes readings 0, 1, ... to a topic of one
 * partition; or reads that many, says the number of each, and fails where one is not what was written.
 */
public final class AvroReadings {
    private static final Schema READING = new Schema.Parser().parse("{\"type\":\"record\",\"name\":\"Reading\",\"fields\":["
        + "{\"name\":\"n\",\"type\":\"int\"},{\"name\":\"place\",\"type\":\"string\"}]}");

    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[1]);
        settings.put("apicurio.registry.url", arguments[2]);
        settings.put("apicurio.registry.auto-register", "true");
        int count = Integer.parseInt(arguments[4]);
        if (arguments[0].equals("write")) {
            write(settings, arguments[3], count);
        } else {
            read(settings, arguments[3], count);
        }
    }

    private static void write(Properties settings, String topic, int count) {
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", AvroKafkaSerializer.class.getName());
        try (KafkaProducer<String, GenericRecord> producer = new KafkaProducer<>(settings)) {
            for (int i = 0; i < count; i++) {
                GenericRecord reading = new GenericData.Record(READING);
                reading.put("n", i);
                reading.put("place", "place " + i);
                producer.send(new ProducerRecord<>(topic, String.valueOf(i), reading));
            }
        }
    }

    private static void read(Properties settings, String topic, int count) {
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", AvroKafkaDeserializer.class.getName());
        try (KafkaConsumer<String, GenericRecord> consumer = new KafkaConsumer<>(settings)) {
            TopicPartition only = new TopicPartition(topic, 0);
            consumer.assign(List.of(only));
            consumer.seekToBeginning(List.of(only));
            for (int seen = 0; seen < count;) {
                for (ConsumerRecord<String, GenericRecord> record : consumer.poll(Duration.ofSeconds(1))) {
                    if ((int) record.value().get("n") != seen || !record.value().get("place").toString().equals("place " + seen)) {
                        throw new IllegalStateException("reading " + seen + " is " + record.value());
                    }
                    System.out.println(seen++);
                }
            }
        }
    }
}
