import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.TransactionNamingStrategy;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/**
 * Counts the keys of the topic NAME-words into NAME-counts exactly once, on a mini cluster of its own:
 * FlinkCount ADDRESS NAME CHECKPOINTS INCREMENTING|POOLING [CHECKPOINT]. Goes on from the checkpoint.
 */
public final class FlinkCount {
    public static void main(String[] arguments) throws Exception {
        String address = arguments[0];
        KafkaSource<String> words = KafkaSource.<String>builder().setBootstrapServers(address).setTopics(arguments[1] + "-words")
            .setGroupId("flink").setStartingOffsets(OffsetsInitializer.earliest()).setDeserializer(new Keys()).build();
        Properties timeouts = new Properties();
        timeouts.put("transaction.timeout.ms", "60000");
        KafkaSink<String> sink = KafkaSink.<String>builder().setBootstrapServers(address).setKafkaProducerConfig(timeouts)
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).setTransactionalIdPrefix(arguments[1])
            .setTransactionNamingStrategy(TransactionNamingStrategy.valueOf(arguments[3]))
            .setRecordSerializer(KafkaRecordSerializationSchema.<String>builder().setTopic(arguments[1] + "-counts")
                .setKeySerializationSchema(new Part(0)).setValueSerializationSchema(new Part(1)).build()).build();
        StreamExecutionEnvironment world = StreamExecutionEnvironment.getExecutionEnvironment(settings(arguments));
        world.setParallelism(2);
        world.fromSource(words, WatermarkStrategy.noWatermarks(), "words").keyBy(word -> word).process(new Count()).sinkTo(sink);
        world.execute("count");
    }

    private static Configuration settings(String[] arguments) {
        Configuration settings = new Configuration();
        settings.setString("execution.checkpointing.interval", "500 ms");
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("execution.checkpointing.dir", "file://" + arguments[2]);
        settings.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        settings.setString("execution.checkpointing.num-retained", "3");
        settings.setString("restart-strategy.type", "fixed-delay");
        settings.setString("restart-strategy.fixed-delay.attempts", "1000");
        settings.setString("restart-strategy.fixed-delay.delay", Duration.ofSeconds(1).toMillis() + " ms");
        settings.setString("taskmanager.memory.managed.size", "16m");
        settings.setString("taskmanager.memory.network.min", "32m");
        settings.setString("taskmanager.memory.network.max", "32m");
        settings.setString("rest.port", "0");
        if (arguments.length > 4) {
            settings.setString("execution.state-recovery.path", arguments[4]);
        }
        return settings;
    }

    private static final class Keys implements KafkaRecordDeserializationSchema<String> {
        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<String> out) {
            out.collect(new String(record.key(), StandardCharsets.UTF_8));
        }

        @Override
        public org.apache.flink.api.common.typeinfo.TypeInformation<String> getProducedType() {
            return Types.STRING;
        }
    }

    /** Of "word count", one of the two. */
    private static final class Part implements SerializationSchema<String> {
        private final int which;

        private Part(int which) {
            this.which = which;
        }

        @Override
        public byte[] serialize(String text) {
            return text.split(" ")[which].getBytes(StandardCharsets.UTF_8);
        }
    }

    private static final class Count extends KeyedProcessFunction<String, String, String> {
        private transient ValueState<Long> seen;

        @Override
        public void open(OpenContext context) {
            seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Types.LONG));
        }

        @Override
        public void processElement(String word, Context context, Collector<String> out) throws Exception {
            long count = seen.value() == null ? 1 : seen.value() + 1;
            seen.update(count);
            out.collect(word + " " + count);
        }
    }
}
