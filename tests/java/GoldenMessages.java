import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

import java.io.PrintStream;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.jar.JarFile;

/**
 * What Kafka's own classes write, for every message in the kafka-clients jar and every version of it.
 *
 * With the argument "messages": random messages, once in each Kind (SPARSE three times). A line is: message, version,
 * kind, JSON by its JsonConverter, hex of its bytes; tabs between. With "fields": see the class Fields; a line is:
 * message, path of the field, the version whose JSON follows, JSON, and for each version VERSION=HEX, or
 * VERSION=!unsupported or VERSION=!null where Java refuses.
 *
 * Which fields a version has, which of them may be null and which are tagged comes from the SCHEMA_n constants, the
 * values are set by reflection. The seed is fixed per line, so that a new Kafka release changes only what it changed.
 * tests/golden/make.py runs it.
 */
public final class GoldenMessages {
    private static final String PACKAGE = "org/apache/kafka/common/message/";
    private static final int SEED = 20260513;
    private static final String[] WORDS = {
        "a", "orders", "payments.eu-west-1", "__x",
        "key \"quoted\" \\", "na\u00efve", "\u65e5\u672c", "\ud83d\ude00 smile",
        "nul\u0000tab\t", "null", "-1", "group-7", "0123456789abcdef",
    };

    private enum Kind {
        ONE,      // arrays of one element, nothing null, no field at its default, every tagged field set
        MANY,     // arrays of two or three elements, the rest at random
        SPARSE,   // nulls, empty strings and arrays, extreme numbers, tagged fields or not, at random
        UNKNOWN,  // as ONE, with unknown tagged fields in every struct (only the flexible versions)
    }

    private final Random random;
    private final Kind kind;

    private GoldenMessages(Random random, Kind kind) {
        this.random = random;
        this.kind = kind;
    }

    public static void main(String[] arguments) throws Exception {
        Path jar = Path.of(ApiMessage.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        TreeMap<String, Class<?>> messages = new TreeMap<>();
        try (JarFile file = new JarFile(jar.toFile())) {
            for (var entry : file.stream().toList()) {
                String path = entry.getName();
                if (path.startsWith(PACKAGE) && path.endsWith(".class") && !path.contains("$")) {
                    Class<?> type = Class.forName(path.substring(0, path.length() - 6).replace('/', '.'));
                    if (ApiMessage.class.isAssignableFrom(type) && !type.isInterface()) {
                        messages.put(type.getSimpleName().replaceFirst("(Request|Response|Header)Data$", "$1"), type);
                    }
                }
            }
        }
        for (var message : messages.entrySet()) {
            if (arguments[0].equals("fields")) {
                new Fields(out, message.getKey(), message.getValue()).print();
            } else {
                print(out, message.getKey(), message.getValue());
            }
        }
        out.flush();
    }

    private static void print(PrintStream out, String name, Class<?> type) throws Exception {
        short lowest = type.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
        short highest = type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
        for (short version = lowest; version <= highest; version++) {
            Schema schema = (Schema) type.getField("SCHEMA_" + version).get(null);
            for (Kind kind : Kind.values()) {
                if (kind == Kind.UNKNOWN && !isFlexible(schema)) {
                    continue;
                }
                for (int repeat = 0; repeat < (kind == Kind.SPARSE ? 3 : 1); repeat++) {
                    Random random = new Random(SEED + 31L * (name + version + kind + repeat).hashCode());
                    Message message = (Message) type.getConstructor().newInstance();
                    new GoldenMessages(random, kind).fill(message, schema, 0);
                    String kindName = kind.name().toLowerCase();
                    String json = toJson(message, version);
                    out.print(String.join("\t", name, "" + version, kindName, json, write(message, version)) + "\n");
                }
            }
        }
    }

    private static String toJson(Message message, short version) throws Exception {
        Class<?> converter = Class.forName(message.getClass().getName() + "JsonConverter");
        return converter.getMethod("write", message.getClass(), short.class).invoke(null, message, version).toString();
    }

    private static String write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining()) {
            throw new IllegalStateException(message + " in version " + version + " is shorter than its size");
        }
        return HexFormat.of().formatHex(buffer.array());
    }

    private static boolean isFlexible(Schema schema) {
        for (BoundField field : schema.fields()) {
            if (field.def.type instanceof TaggedFields) {
                return true;
            }
        }
        return false;
    }

    private void fill(Object struct, Schema schema, int depth) throws Exception {
        for (BoundField field : schema.fields()) {
            if (field.def.type instanceof TaggedFields tagged) {
                for (Field each : tagged.fields().values()) {
                    if (kind != Kind.SPARSE || random.nextBoolean()) {
                        set(struct, each.name, each.type, depth);
                    }
                }
                if (kind == Kind.UNKNOWN) {
                    addUnknownTags((Message) struct);
                }
            } else {
                set(struct, field.def.name, field.def.type, depth);
            }
        }
    }

    private void addUnknownTags(Message struct) {
        int tag = 100;
        for (int count = 1 + random.nextInt(2); count > 0; count--) {
            tag += 1 + random.nextInt(200);
            struct.unknownTaggedFields().add(new RawTaggedField(tag, bytes(random.nextInt(6))));
        }
    }

    private static java.lang.reflect.Field javaField(Class<?> struct, String name) {
        for (java.lang.reflect.Field each : struct.getDeclaredFields()) {
            if (each.getName().equalsIgnoreCase(name.replace("_", ""))) {
                each.setAccessible(true);
                return each;
            }
        }
        throw new IllegalStateException(struct + " has no field " + name);
    }

    private void set(Object struct, String name, Type type, int depth) throws Exception {
        java.lang.reflect.Field field = javaField(struct.getClass(), name);
        if (kind == Kind.SPARSE) {
            field.set(struct, type.isNullable() && random.nextInt(2) == 0 ? null : value(field, type, depth));
            return;
        }
        Object byDefault = field.get(struct);
        Object value = value(field, type, depth);
        for (int tries = 0; kind != Kind.MANY && tries < 50 && Objects.equals(value, byDefault); tries++) {
            value = value(field, type, depth);
        }
        field.set(struct, value);
    }

    private Object value(java.lang.reflect.Field field, Type type, int depth) throws Exception {
        Class<?> java = field.getType();
        if (type.arrayElementType().isEmpty()) {
            return single(java, type, depth);
        }
        Type elementType = type.arrayElementType().get();
        int count = switch (kind) {
            case ONE, UNKNOWN -> 1;
            case MANY -> depth == 0 ? 2 + random.nextInt(2) : 1 + random.nextInt(2);
            case SPARSE -> random.nextInt(3) == 0 ? 0 : 1;
        };
        Collection<Object> all = emptyCollection(java);
        for (int i = 0; i < count; i++) {
            all.add(single(elementClass(field), elementType, depth + 1));
        }
        return all;
    }

    @SuppressWarnings("unchecked")
    private static Collection<Object> emptyCollection(Class<?> java) throws Exception {
        // If not a list, then an ImplicitLinkedHashMultiCollection.
        return java == List.class ? new ArrayList<>() : (Collection<Object>) java.getConstructor().newInstance();
    }

    private static Class<?> elementClass(java.lang.reflect.Field field) {
        boolean isList = field.getType() == List.class;
        var generic = (ParameterizedType) (isList ? field.getGenericType() : field.getType().getGenericSuperclass());
        return (Class<?>) generic.getActualTypeArguments()[0];
    }

    private Object single(Class<?> java, Type type, int depth) throws Exception {
        if (type instanceof Schema schema) {
            Object struct = java.getConstructor().newInstance();
            fill(struct, schema, depth);
            return struct;
        }
        String name = type.toString().replace("COMPACT_", "").replace("NULLABLE_", "");
        return switch (name) {
            case "BOOLEAN" -> random.nextBoolean();
            case "INT8" -> (byte) number(8);
            case "INT16" -> (short) number(16);
            case "UINT16" -> (int) (number(16) & 0xffff);
            case "INT32" -> (int) number(32);
            case "UINT32" -> number(32) & 0xffffffffL;
            case "INT64" -> number(64);
            case "FLOAT64" -> random.nextBoolean() ? random.nextInt(2000) / 8.0 - 100 : random.nextGaussian() * 1e9;
            case "UUID" -> kind == Kind.SPARSE && random.nextBoolean() ? Uuid.ZERO_UUID
                : new Uuid(random.nextLong(), random.nextLong());
            case "STRING" -> kind == Kind.SPARSE && random.nextInt(3) == 0 ? "" : WORDS[random.nextInt(WORDS.length)];
            case "BYTES" -> binary(java);
            case "RECORDS" -> records(kind == Kind.SPARSE ? 1 : 3);
            default -> throw new IllegalStateException("unknown type " + type);
        };
    }

    private long number(int bits) {
        long highest = (1L << (bits - 1)) - 1;
        if (kind == Kind.SPARSE) {
            return new long[] {0, -1, 1, highest, -highest - 1}[random.nextInt(5)];
        }
        long small = 1 + random.nextInt(120);
        return random.nextInt(3) == 0 ? random.nextLong() >> (64 - bits) : small;
    }

    private Object binary(Class<?> java) {
        byte[] data = bytes(kind == Kind.SPARSE ? random.nextInt(2) : 1 + random.nextInt(12));
        return java == byte[].class ? data : ByteBuffer.wrap(data);
    }

    private byte[] bytes(int size) {
        byte[] data = new byte[size];
        random.nextBytes(data);
        return data;
    }

    /**
     * What Java does with each field by itself in every version: messages at their defaults but for one field (and an
     * element in each array above it), which is set, or null where some version lets it be.
     */
    private static final class Fields {
        private final PrintStream out;
        private final String name;
        private final Class<?> type;
        private final short lowest;
        private final short highest;
        private final Set<String> seen = new HashSet<>();

        Fields(PrintStream out, String name, Class<?> type) throws Exception {
            this.out = out;
            this.name = name;
            this.type = type;
            this.lowest = type.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
            this.highest = type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
        }

        void print() throws Exception {
            for (short version = highest; version >= lowest; version--) {
                walk((Schema) type.getField("SCHEMA_" + version).get(null), version, List.of());
            }
        }

        private void walk(Schema schema, short version, List<String> above) throws Exception {
            for (BoundField bound : schema.fields()) {
                Collection<Field> fields =
                    bound.def.type instanceof TaggedFields tagged ? tagged.fields().values() : List.of(bound.def);
                for (Field field : fields) {
                    List<String> path = new ArrayList<>(above);
                    path.add(field.name);
                    if (seen.add(path + " set")) {
                        print(path, field.type, version, false);
                    }
                    if (field.type.isNullable() && seen.add(path + " null")) {
                        print(path, field.type, version, true);
                    }
                    if (field.type.arrayElementType().orElse(field.type) instanceof Schema inner) {
                        walk(inner, version, path);
                    }
                }
            }
        }

        private void print(List<String> path, Type fieldType, short version, boolean isNull) throws Exception {
            Message message = (Message) type.getConstructor().newInstance();
            Object struct = message;
            for (String above : path.subList(0, path.size() - 1)) {
                struct = addStruct(struct, javaField(struct.getClass(), above));
            }
            String last = path.get(path.size() - 1);
            java.lang.reflect.Field field = javaField(struct.getClass(), last);
            if (isNull) {
                field.set(struct, null);
            } else if (fieldType.arrayElementType().orElse(fieldType) instanceof Schema) {
                addStruct(struct, field);
            } else {
                Random random = new Random(SEED + 31L * (name + path).hashCode());
                new GoldenMessages(random, Kind.ONE).set(struct, last, fieldType, 0);
            }
            StringBuilder outcomes = new StringBuilder();
            for (short each = lowest; each <= highest; each++) {
                outcomes.append("\t").append(each).append("=").append(outcome(message, each));
            }
            String where = String.join(".", path) + (isNull ? "=null" : "");
            out.print(String.join("\t", name, where, "" + version, toJson(message, version)) + outcomes + "\n");
        }

        private static Object addStruct(Object struct, java.lang.reflect.Field field) throws Exception {
            boolean isArray = Collection.class.isAssignableFrom(field.getType());
            Object made = (isArray ? elementClass(field) : field.getType()).getConstructor().newInstance();
            Object value = made;
            if (isArray) {
                Collection<Object> all = emptyCollection(field.getType());
                all.add(made);
                value = all;
            }
            for (java.lang.reflect.Field each : made.getClass().getDeclaredFields()) {
                if (BaseRecords.class.isAssignableFrom(each.getType())) {
                    each.setAccessible(true);
                    each.set(made, MemoryRecords.EMPTY);  // null by default, even where null is not allowed
                }
            }
            field.set(struct, value);
            return made;
        }

        private static String outcome(Message message, short version) {
            try {
                return write(message, version);
            } catch (UnsupportedVersionException e) {
                return "!unsupported";
            } catch (NullPointerException e) {
                return "!null";
            }
        }
    }

    private Object records(int count) {
        SimpleRecord[] records = new SimpleRecord[count];
        for (int i = 0; i < count; i++) {
            long time = 1700000000000L + random.nextInt(1000);
            byte[] value = new byte[1 + random.nextInt(20)];
            random.nextBytes(value);
            records[i] = new SimpleRecord(time, value);
        }
        return MemoryRecords.withRecords(Compression.NONE, records);
    }
}
