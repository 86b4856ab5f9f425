import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyQueryMetadata;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.query.KeyQuery;
import org.apache.kafka.streams.query.StateQueryRequest;
import org.apache.kafka.streams.query.StateQueryResult;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * Every kind of join and window over the topics of streams_story.py, each into a topic of its own: Topologies ADDRESS STATE-FOLDER GUARANTEE PORT.
 * On the port it answers what is in its state: /totals, all of its own; /total/KEY, one; /owner/KEY, who has it. Ends with SIGTERM.
 */
public final class Topologies {
    private static final Duration GRACE = Duration.ofHours(1);
    private static final Serde<String> TEXT = Serdes.String();
    private static final Produced<String, String> TEXTS = Produced.with(TEXT, TEXT);

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[3]);
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> views = builder.stream("views", Consumed.with(TEXT, TEXT));
        join(builder, views);
        joinTables(builder);
        countWindows(views);
        views.filter((user, view) -> !view.equals("end")).groupByKey().count(Materialized.as("totals")).toStream()
            .mapValues(String::valueOf).to("totals", TEXTS);
        run(new KafkaStreams(builder.build(), settings(arguments, port)), port);
    }

    private static Properties settings(String[] arguments, int port) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "topologies");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[1]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[2]);
        settings.put(StreamsConfig.APPLICATION_SERVER_CONFIG, "localhost:" + port);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "200");
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        settings.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, "1000");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), "6000");
        settings.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), "1000");
        settings.put(StreamsConfig.topicPrefix("segment.bytes"), "1048576");
        settings.put(StreamsConfig.topicPrefix("segment.ms"), "1000");
        settings.put(StreamsConfig.topicPrefix("min.cleanable.dirty.ratio"), "0.01");
        return settings;
    }

    private static void join(StreamsBuilder builder, KStream<String, String> views) {
        KStream<String, String> clicks = builder.stream("clicks", Consumed.with(TEXT, TEXT));
        JoinWindows near = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(2600), GRACE);
        views.join(clicks, (view, click) -> view + ":" + click, near, StreamJoined.with(TEXT, TEXT, TEXT).withName("inner")).to("joined", TEXTS);
        views.leftJoin(clicks, (view, click) -> view + ":" + click, near, StreamJoined.with(TEXT, TEXT, TEXT).withName("left"))
            .to("left-joined", TEXTS);
        KTable<String, String> users = builder.table("users", Consumed.with(TEXT, TEXT), Materialized.as("users"));
        views.join(users, (view, user) -> view + "@" + user).to("enriched", TEXTS);
    }

    private static void joinTables(StreamsBuilder builder) {
        KTable<String, String> members = builder.table("members", Consumed.with(TEXT, TEXT), Materialized.as("members"));
        KTable<String, String> teams = builder.table("teams", Consumed.with(TEXT, TEXT), Materialized.as("teams"));
        members.join(teams, team -> team, (team, name) -> team + "=" + name, Materialized.with(TEXT, TEXT)).toStream().to("who", TEXTS);
        members.leftJoin(builder.table("notes", Consumed.with(TEXT, TEXT), Materialized.as("notes")), (team, note) -> team + "+" + note)
            .toStream().to("noted", TEXTS);
    }

    /** Counts per group: what a view's number is modulo 7. A window is told once, when it closes. */
    private static void countWindows(KStream<String, String> views) {
        KGroupedStream<String, String> groups = views
            .selectKey((user, view) -> view.startsWith("end") ? "g" + user.charAt(user.length() - 1) : "g" + Integer.parseInt(view) % 7)
            .repartition(Repartitioned.with(TEXT, TEXT).withName("groups")).groupByKey();
        groups.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(5), GRACE)).count(Materialized.as("tumbling"))
            .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()).withName("tumbling-closed"))
            .toStream(Topologies::named).mapValues(String::valueOf).to("tumbling", TEXTS);
        groups.windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofSeconds(1), GRACE)).count(Materialized.as("sessions"))
            .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()).withName("sessions-closed"))
            .toStream(Topologies::named).mapValues(String::valueOf).to("sessions", TEXTS);
        groups.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(1), GRACE)).count(Materialized.as("sliding"))
            .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()).withName("sliding-closed"))
            .toStream(Topologies::named).mapValues(String::valueOf).to("sliding", TEXTS);
    }

    private static String named(Windowed<String> window, Long count) {
        return window.key() + "@" + window.window().start() + "-" + window.window().end();
    }

    private static void run(KafkaStreams streams, int port) throws Exception {
        CountDownLatch over = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            System.out.println("failed: " + error);
            over.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setGlobalStateRestoreListener(new Restored());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(20));
            over.countDown();
        }));
        HttpServer server = HttpServer.create(new InetSocketAddress("localhost", port), 0);
        server.createContext("/", asked -> answer(streams, asked));
        server.start();
        streams.start();
        over.await();
        server.stop(0);
    }

    private static void answer(KafkaStreams streams, HttpExchange asked) throws IOException {
        String said;
        int status = 200;
        try {
            String[] path = asked.getRequestURI().getPath().split("/");
            said = path[1].equals("totals") ? totals(streams) : path[1].equals("total") ? total(streams, path[2]) : owner(streams, path[2]);
        } catch (RuntimeException error) {  // a state that is being restored, or moves to another instance
            said = error.toString();
            status = 503;
        }
        byte[] raw = said.getBytes();
        asked.sendResponseHeaders(status, raw.length == 0 ? -1 : raw.length);
        asked.getResponseBody().write(raw);
        asked.close();
    }

    private static String totals(KafkaStreams streams) {
        StringBuilder lines = new StringBuilder();
        try (KeyValueIterator<String, Long> all =
                 streams.store(StoreQueryParameters.fromNameAndType("totals", QueryableStoreTypes.<String, Long>keyValueStore())).all()) {
            while (all.hasNext()) {
                KeyValue<String, Long> one = all.next();
                lines.append(one.key).append(' ').append(one.value).append('\n');
            }
        }
        return lines.toString();
    }

    private static String total(KafkaStreams streams, String key) {
        KeyQueryMetadata where = streams.queryMetadataForKey("totals", key, TEXT.serializer());
        StateQueryResult<Long> found = streams.query(StateQueryRequest.inStore("totals").withQuery(KeyQuery.<String, Long>withKey(key))
            .withPartitions(Set.of(where.partition())));
        return String.valueOf(found.getOnlyPartitionResult().getResult());
    }

    private static String owner(KafkaStreams streams, String key) {
        KeyQueryMetadata where = streams.queryMetadataForKey("totals", key, TEXT.serializer());
        return where.activeHost().host() + ":" + where.activeHost().port();
    }
}
