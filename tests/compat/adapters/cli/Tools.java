import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools one after the other in one JVM, because starting one takes longer than most tools run.
 *
 * A line {"id", "do": "tool", "main": class, "args": [..], "stdin": text} runs the class's main and is answered by
 * {"id", "ok": true, "code", "out", "err"} at its end; what it prints comes as {"event": "text", "text"} meanwhile.
 * {"id", "do": "stop"} does what SIGTERM does to the running tool: its hooks run. Those that Kafka's Exit keeps run here,
 * a tool that gave its hooks to the JVM ends with the JVM.
 */
public class Tools {
    /** Ends a tool where it wanted to end the process. */
    static class Left extends Error {
        private static final long serialVersionUID = 1;
    }

    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream ANSWERS = System.out;
    static final List<Runnable> HOOKS = new ArrayList<>();
    static final ByteArrayOutputStream OUT = new ByteArrayOutputStream();
    static final ByteArrayOutputStream ERR = new ByteArrayOutputStream();
    static Integer code;

    public static void main(String[] args) throws Exception {
        System.setOut(new PrintStream(new Output(), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new Errors(System.err), true, StandardCharsets.UTF_8));
        Exit.setExitProcedure((status, why) -> leave(status));
        Exit.setHaltProcedure((status, why) -> leave(status));
        Exit.setShutdownHookAdder((name, hook) -> {
            synchronized (HOOKS) {
                HOOKS.add(hook);
            }
        });
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String text = lines.readLine(); text != null; text = lines.readLine())
            serve(JSON.readTree(text));
        Runtime.getRuntime().halt(0);
    }

    static void serve(JsonNode request) throws Exception {
        ObjectNode answer = JSON.createObjectNode();
        answer.set("id", request.get("id"));
        if (request.get("do").asText().equals("tool"))
            new Thread(() -> run(request, answer), "tool").start();
        else
            say(answer.put("ok", true));
        if (request.get("do").asText().equals("stop"))
            new Thread(Tools::stop, "stop").start();
    }

    /** The first status counts: tools that catch everything exit a second time because of the first. */
    static synchronized void leave(int status) {
        if (code == null)
            code = status;
        throw new Left();
    }

    static void stop() {
        boolean none;
        synchronized (HOOKS) {
            none = HOOKS.isEmpty();
        }
        if (none)
            Runtime.getRuntime().exit(0);
        runHooks();
    }

    static void runHooks() {
        List<Runnable> hooks;
        synchronized (HOOKS) {
            hooks = new ArrayList<>(HOOKS);
            HOOKS.clear();
        }
        hooks.forEach(Runnable::run);
    }

    static void run(JsonNode request, ObjectNode answer) {
        OUT.reset();
        ERR.reset();
        code = null;
        System.setIn(new ByteArrayInputStream(request.path("stdin").asText("").getBytes(StandardCharsets.UTF_8)));
        List<String> words = new ArrayList<>();
        request.get("args").forEach(word -> words.add(word.asText()));
        runMain(request.get("main").asText(), words.toArray(new String[0]));
        runHooks();
        say(answer.put("ok", true).put("code", code == null ? 0 : code).put("out", OUT.toString(StandardCharsets.UTF_8))
            .put("err", ERR.toString(StandardCharsets.UTF_8)));
    }

    static void runMain(String name, String[] words) {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) words);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Left))
                failed(thrown.getCause());
        } catch (ReflectiveOperationException thrown) {
            failed(thrown);
        }
    }

    static void failed(Throwable thrown) {
        thrown.printStackTrace();
        code = code == null ? 1 : code;
    }

    static void say(ObjectNode text) {
        synchronized (ANSWERS) {
            ANSWERS.println(text);
            ANSWERS.flush();
        }
    }

    /** Standard output of the tools. */
    static class Output extends OutputStream {
        @Override
        public void write(int one) {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public synchronized void write(byte[] bytes, int from, int count) {
            OUT.write(bytes, from, count);
            say(JSON.createObjectNode().put("event", "text").put("text",
                new String(bytes, from, count, StandardCharsets.UTF_8)));
        }
    }

    /** Their standard error, also kept in the log. */
    static class Errors extends OutputStream {
        private final PrintStream log;

        Errors(PrintStream log) {
            this.log = log;
        }

        @Override
        public synchronized void write(int one) {
            ERR.write(one);
            log.write(one);
        }
    }
}
