import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.producer.KafkaProducer;

/** The adapter of the Java clients (PROTOCOL.md): reads requests, has them done, writes answers. */
public class Adapter {
    /** What one word does: reads its fields, fills in its answer, throws what the client throws. */
    interface Word {
        void run(JsonNode fields, ObjectNode answer) throws Exception;
    }

    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        Map<String, Word> words = new HashMap<>();
        Records records = new Records(args[0]);
        Member member = new Member(args[0]);
        Transactions transactions = new Transactions(args[0]);
        Administrator admin = new Administrator(args[0]);
        records.teach(words);
        member.teach(words);
        transactions.teach(words);
        admin.teach(words);
        words.put("hello", (in, out) -> out.put("client", "kafka-clients").put("version", version()));
        words.put("quit", (in, out) -> {
            member.close();
            transactions.close();
            records.close();
            admin.close();
        });
        serve(words);
    }

    /** The library's own note of its version; the class that reads it moves between versions. */
    static String version() throws Exception {
        Properties notes = new Properties();
        try (InputStream file = KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties")) {
            notes.load(file);
        }
        return notes.getProperty("version");
    }

    static void serve(Map<String, Word> words) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode request = JSON.readTree(line);
            String verb = request.path("do").asText();
            say(answer(words.get(verb), request));
            if (verb.equals("quit"))
                Runtime.getRuntime().halt(0);
        }
        Runtime.getRuntime().halt(0);
    }

    static ObjectNode answer(Word word, JsonNode request) {
        ObjectNode answer = JSON.createObjectNode();
        answer.set("id", request.get("id"));
        if (word == null)
            return answer.put("error", "the adapter does not know this word");
        try {
            word.run(request, answer);
            return answer.put("ok", true);
        } catch (Throwable thrown) {
            thrown.printStackTrace();
            ObjectNode failure = JSON.createObjectNode();
            failure.set("id", request.get("id"));
            return failure.put("error", textOf(thrown));
        }
    }

    static String textOf(Throwable thrown) {
        boolean wrapped = thrown instanceof ExecutionException || thrown instanceof CompletionException;
        Throwable said = wrapped && thrown.getCause() != null ? thrown.getCause() : thrown;
        return said.getClass().getSimpleName() + ": " + said.getMessage();
    }

    /** Writes one line. Requests are answered on one thread and events come from another. */
    static void say(ObjectNode line) throws Exception {
        String text = JSON.writeValueAsString(line);
        synchronized (OUT) {
            OUT.print(text + "\n");
            OUT.flush();
        }
    }
}
