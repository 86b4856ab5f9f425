import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The words of the admin client. It uses what versions 3.9 and 4.x both have, deprecated or not. */
class Administrator {
    private final String address;
    private Admin admin;

    Administrator(String address) {
        this.address = address;
    }

    void teach(Map<String, Adapter.Word> words) {
        words.put("create_topic", this::createTopic);
        words.put("describe_topic", this::describeTopic);
        words.put("list_topics", (in, out) -> list(out, "topics", admin().listTopics().names().get()));
        words.put("create_partitions", this::createPartitions);
        words.put("alter_config", this::alterConfig);
        words.put("describe_config", this::describeConfig);
        words.put("delete_records", this::deleteRecords);
        words.put("delete_topic", (in, out) -> admin().deleteTopics(List.of(in.get("topic").asText())).all().get());
        words.put("list_groups", this::listGroups);
        words.put("describe_group", this::describeGroup);
        words.put("delete_group", (in, out) -> admin().deleteConsumerGroups(List.of(group(in))).all().get());
        words.put("delete_group_offsets", this::deleteGroupOffsets);
    }

    void close() {
        if (admin != null)
            admin.close();
    }

    private Admin admin() {
        if (admin == null) {
            Properties settings = new Properties();
            settings.put("bootstrap.servers", address);
            admin = Admin.create(settings);
        }
        return admin;
    }

    private static String group(JsonNode in) {
        return in.get("group").asText();
    }

    private static void list(ObjectNode out, String name, Iterable<String> texts) {
        ArrayNode array = out.putArray(name);
        texts.forEach(array::add);
    }

    private void createTopic(JsonNode in, ObjectNode out) throws Exception {
        Map<String, String> configs = new HashMap<>();
        in.path("configs").fields().forEachRemaining(one -> configs.put(one.getKey(), one.getValue().asText()));
        NewTopic topic = new NewTopic(in.get("topic").asText(), in.get("partitions").asInt(), (short) 1);
        admin().createTopics(List.of(topic.configs(configs))).all().get();
    }

    private void describeTopic(JsonNode in, ObjectNode out) throws Exception {
        String topic = in.get("topic").asText();
        out.put("partitions", admin().describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size());
    }

    private void createPartitions(JsonNode in, ObjectNode out) throws Exception {
        NewPartitions total = NewPartitions.increaseTo(in.get("total").asInt());
        admin().createPartitions(Map.of(in.get("topic").asText(), total)).all().get();
    }

    private static ConfigResource resource(JsonNode in) {
        return in.hasNonNull("broker") ? new ConfigResource(ConfigResource.Type.BROKER, in.get("broker").asText())
                                       : new ConfigResource(ConfigResource.Type.TOPIC, in.get("topic").asText());
    }

    private void alterConfig(JsonNode in, ObjectNode out) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        in.get("set").fields().forEachRemaining(one -> changes.add(new AlterConfigOp(
            new ConfigEntry(one.getKey(), one.getValue().asText()), AlterConfigOp.OpType.SET)));
        admin().incrementalAlterConfigs(Map.of(resource(in), changes)).all().get();
        out.put("incremental", true);
    }

    private void describeConfig(JsonNode in, ObjectNode out) throws Exception {
        ConfigResource of = resource(in);
        ObjectNode configs = out.putObject("configs");
        for (ConfigEntry entry : admin().describeConfigs(Set.of(of)).all().get().get(of).entries())
            configs.put(entry.name(), entry.value());
    }

    private void deleteRecords(JsonNode in, ObjectNode out) throws Exception {
        TopicPartition partition = Records.partitionOf(in);
        RecordsToDelete before = RecordsToDelete.beforeOffset(in.get("before").asLong());
        out.put("low_watermark", admin().deleteRecords(Map.of(partition, before)).lowWatermarks().get(partition).get()
                .lowWatermark());
    }

    private void listGroups(JsonNode in, ObjectNode out) throws Exception {
        List<String> groups = new ArrayList<>();
        admin().listConsumerGroups().all().get().forEach(one -> groups.add(one.groupId()));
        list(out, "groups", groups);
    }

    /** The client tells the protocol type only as far as a group is of consumers or has none. */
    private void describeGroup(JsonNode in, ObjectNode out) throws Exception {
        ConsumerGroupDescription found = admin().describeConsumerGroups(List.of(group(in))).all().get().get(group(in));
        out.put("state", found.state().toString()).put("members", found.members().size());
        out.put("protocol_type", found.isSimpleConsumerGroup() ? "" : "consumer");
    }

    private void deleteGroupOffsets(JsonNode in, ObjectNode out) throws Exception {
        admin().deleteConsumerGroupOffsets(group(in), Set.of(Records.partitionOf(in))).all().get();
    }
}
