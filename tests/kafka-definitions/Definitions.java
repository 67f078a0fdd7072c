// Reads the configuration keys out of Kafka's own classes and writes them as a table.
//
// Purpose: the table of `crates/config` is what Kafka's published jars say, not what somebody remembers. `renew.sh` runs
// `dump` once for each release with that release's jars as the class path, and `merge` once over all dumps. `judge` has
// Kafka itself say which of the recorded cases it would start with; the rules of `crates/config` must say the same.
// Only facts are taken: names, types, ranges, defaults, how a value is changed. The documentation texts stay in Kafka;
// of them only "begins by saying that it is deprecated" is kept, as a flag.

import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.regex.Pattern;

public final class Definitions {
    /** How Kafka's own texts say that a key is deprecated; a text that only mentions another key's end does not count. */
    private static final Pattern DEPRECATED =
            Pattern.compile("^\\W*deprecated\\b|this config(uration)? (is|has been) deprecated", Pattern.CASE_INSENSITIVE);

    /** Ranges, lists of words, and "not empty"; other validators print a sentence, a class, or the form of a value. */
    private static final Pattern VALID =
            Pattern.compile("(\\(case insensitive\\) )?\\[[^\\[\\]:]*\\]( or -?\\d+)?|non-empty (string|list)");

    private Definitions() {}

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "dump" -> dump();
            case "merge" -> merge(List.of(args).subList(1, args.length));
            case "judge" -> judge(args[1], Path.of(args[2]), Definitions::startKafka);
            case "judge-zookeeper" -> judge(args[1], Path.of(args[2]), Definitions::startZooKeeper);
            default -> throw new IllegalArgumentException("dump, merge VERSION=FILE..., or judge[-zookeeper] VERSION FILE");
        }
    }

    // ---- one release ----

    private static void dump() throws Exception {
        Object broker = call(module("kafka.server.KafkaConfig"), "configDef");
        Map<?, ?> modes = (Map<?, ?>) call(module("kafka.server.DynamicBrokerConfig"), "dynamicConfigUpdateModes");
        TreeMap<String, String> rows = new TreeMap<>();
        for (Object key : ((Map<?, ?>) call(broker, "configKeys")).values()) {
            Object mode = modes.get(field(key, "name"));
            rows.put("broker\t" + field(key, "name"), facts(key, mode == null ? "restart" : mode.toString()));
        }
        for (Object key : ((Map<?, ?>) call(topicDefinition(), "configKeys")).values()) {
            rows.put("topic\t" + field(key, "name"), facts(key, "topic"));
        }
        rows.forEach((name, facts) -> System.out.println(name + "\t" + facts));
    }

    /** The class of topic keys moved from the core to the storage jar in 3.5. */
    private static Object topicDefinition() throws Exception {
        try {
            Class<?> type = Class.forName("org.apache.kafka.storage.internals.log.LogConfig");
            return type.getMethod("configDefCopy").invoke(null);
        } catch (ClassNotFoundException moved) {
            return call(module("kafka.log.LogConfig"), "configDefCopy");
        }
    }

    private static String facts(Object key, String update) throws Exception {
        List<String> flags = new ArrayList<>();
        if (DEPRECATED.matcher(String.valueOf(field(key, "documentation"))).find()) {
            flags.add("deprecated");
        }
        if ((boolean) field(key, "internalConfig")) {
            flags.add("internal");
        }
        return String.join("\t",
                field(key, "type").toString().toLowerCase(),
                valid(field(key, "validator")),
                value(key, field(key, "defaultValue")),
                update,
                field(key, "importance").toString().toLowerCase(),
                flags.isEmpty() ? "-" : String.join(",", flags));
    }

    /**
     * `[0,...]` for a range, `[a, b]` for words, `-` where Kafka's validator does not say what it takes. The list of
     * protocol versions grows with every release and is judged by the release itself, so only its kind is kept.
     */
    private static String valid(Object validator) {
        String text = String.valueOf(validator);
        if (text.startsWith("[0.8.0, ") || text.startsWith("[3.0-IV1, ") || text.startsWith("[3.3-IV3, ")) {
            return "protocol-version";
        }
        if (VALID.matcher(text).matches()) {
            return text;
        }
        return refusesEmpty(validator) ? "non-empty list" : "-";
    }

    /** Since 4.2 lists without a list of words may refuse to be empty, and do not print it (KIP-1161). */
    private static boolean refusesEmpty(Object validator) {
        try {
            Field allowed = validator.getClass().getDeclaredField("isEmptyAllowed");
            allowed.setAccessible(true);
            return !allowed.getBoolean(validator);
        } catch (NullPointerException | ReflectiveOperationException other) {
            return false;
        }
    }

    /** `none` is a key that must be given, `null` one that may be left out; texts stand in quotes. */
    private static String value(Object key, Object value) throws Exception {
        Object none = Class.forName("org.apache.kafka.common.config.ConfigDef").getField("NO_DEFAULT_VALUE").get(null);
        if (value == none) {
            return "none";
        }
        if (value == null) {
            return "null";
        }
        if (value instanceof List<?> list) {
            return quote(String.join(",", list.stream().map(String::valueOf).toList()));
        }
        if (value instanceof Class<?> type) {
            return quote(type.getName());
        }
        return value instanceof Number || value instanceof Boolean ? value.toString() : quote(value.toString());
    }

    private static String quote(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") + '"';
    }

    /** A Scala object. */
    private static Object module(String name) throws Exception {
        return Class.forName(name + "$").getField("MODULE$").get(null);
    }

    private static Object call(Object on, String name) throws Exception {
        Method method = on.getClass().getMethod(name);
        method.setAccessible(true);
        return method.invoke(on);
    }

    private static Object field(Object of, String name) throws Exception {
        return of.getClass().getField(name).get(of);
    }

    private interface Start {
        void with(Properties settings) throws Exception;
    }

    private static void startKafka(Properties settings) throws Exception {
        Class.forName("kafka.server.KafkaConfig").getMethod("fromProps", Properties.class).invoke(null, settings);
    }

    /** A server reads its own number from a file in its data folder; it is number 1 here. */
    private static void startZooKeeper(Properties settings) throws Exception {
        Path folder = Files.createTempDirectory("kfleet");
        Path id = Files.writeString(folder.resolve("myid"), "1");
        // These two are static in ZooKeeper, and would be left over from the row before.
        settings.putIfAbsent("standaloneEnabled", "true");
        settings.putIfAbsent("reconfigEnabled", "false");
        settings.replaceAll((key, value) -> key.equals("dataDir") && !value.equals("") ? folder.toString() : value);
        try {
            Class<?> type = Class.forName("org.apache.zookeeper.server.quorum.QuorumPeerConfig");
            type.getMethod("parseProperties", Properties.class).invoke(type.getConstructor().newInstance(), settings);
        } finally {
            Files.delete(id);
            Files.delete(folder);
        }
    }

    /** Asks the service itself whether it starts with the settings of each row: `VERSION, KEY=VALUE;;..., verdict`. */
    private static void judge(String version, Path cases, Start start) throws Exception {
        for (String line : Files.readAllLines(cases, StandardCharsets.UTF_8)) {
            String[] columns = line.split("\t");
            if (!columns[0].equals(version)) {
                continue;
            }
            Properties settings = new Properties();
            for (String pair : columns[1].split(";;")) {
                settings.setProperty(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
            }
            String verdict = "starts";
            try {
                start.with(settings);
            } catch (InvocationTargetException refusal) {
                verdict = "refuses";
                System.err.println(version + " " + columns[1] + ": " + refusal.getCause().getMessage());
            }
            System.out.println(version + "\t" + columns[1] + "\t" + verdict);
        }
    }

    // ---- all releases ----

    /** Releases in a row with the same facts become one line, `FIRST..LAST`. */
    private static void merge(List<String> dumps) throws Exception {
        TreeMap<String, List<String[]>> keys = new TreeMap<>();
        String before = null;
        List<String> versions = new ArrayList<>();
        for (String dump : dumps) {
            String version = dump.substring(0, dump.indexOf('='));
            versions.add(version);
            for (String line : Files.readAllLines(Path.of(dump.substring(version.length() + 1)), StandardCharsets.UTF_8)) {
                int end = line.indexOf('\t', line.indexOf('\t') + 1);
                List<String[]> spans = keys.computeIfAbsent(line.substring(0, end), name -> new ArrayList<>());
                String facts = line.substring(end + 1);
                String[] last = spans.isEmpty() ? null : spans.get(spans.size() - 1);
                if (last != null && last[1].equals(before) && last[2].equals(facts)) {
                    last[1] = version;
                } else {
                    spans.add(new String[] {version, version, facts});
                }
            }
            before = version;
        }
        System.out.println("# Configuration keys of Apache Kafka, read out of its published jars by tests/kafka-definitions/renew.sh.");
        System.out.println("# releases\t" + String.join("\t", versions));
        System.out.println("# scope\tkey\treleases\ttype\tvalid\tdefault\tupdate\timportance\tflags");
        keys.forEach((name, spans) -> {
            for (String[] span : spans) {
                System.out.println(name + "\t" + span[0] + ".." + span[1] + "\t" + span[2]);
            }
        });
    }
}
