// Writes the record batches that the tests read: every format, codec, timestamp type and flag, by Java's own classes.
// Run by write_batches.py; prints one line of JSON per case, the bytes in base64 beside what Java reads back from them.

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Random;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;
import org.apache.kafka.common.record.internal.*;

public class WriteBatches {
    static final Random random = new Random(20260101);

    static String base64(byte[] bytes) {
        return bytes == null ? "null" : "\"" + Base64.getEncoder().encodeToString(bytes) + "\"";
    }

    static byte[] bytes(ByteBuffer buffer) {
        if (buffer == null)
            return null;
        byte[] out = new byte[buffer.remaining()];
        buffer.duplicate().get(out);
        return out;
    }

    static byte[] text(int i) {
        StringBuilder out = new StringBuilder();
        int words = random.nextInt(20);
        for (int j = 0; j < words; j++)
            out.append("word").append(random.nextInt(30)).append(' ');
        return (i + " " + out).getBytes(StandardCharsets.UTF_8);
    }

    static Compression compression(String name, Integer level) {
        switch (name) {
            case "gzip": return (level == null ? Compression.gzip() : Compression.gzip().level(level)).build();
            case "lz4": return (level == null ? Compression.lz4() : Compression.lz4().level(level)).build();
            case "zstd": return (level == null ? Compression.zstd() : Compression.zstd().level(level)).build();
            case "snappy": return Compression.snappy().build();
            default: return Compression.NONE;
        }
    }

    static void write(byte magic, String codec, Integer level, TimestampType type, boolean transactional, int count) {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
        long base = 1000 + random.nextInt(1000000);
        boolean stamped = magic == 2 && (transactional || random.nextBoolean());
        long id = stamped ? random.nextInt(100000) : -1;
        short epoch = (short) (stamped ? random.nextInt(100) : -1);
        int sequence = stamped ? random.nextInt(100000) : -1;
        MemoryRecordsBuilder builder = MemoryRecords.builder(buffer, magic, compression(codec, level), type, base,
            1700000009999L, id, epoch, sequence, transactional, false, 7);
        for (int i = 0; i < count; i++) {
            byte[] key = count > 100 || random.nextInt(3) == 0 ? null : ("key" + random.nextInt(50)).getBytes(StandardCharsets.UTF_8);
            // Large batches, of several blocks in every codec, repeat themselves to keep the committed file small.
            byte[] value = count > 100 ? (i + " repeated".repeat(12)).getBytes(StandardCharsets.UTF_8)
                : random.nextInt(6) == 0 ? null : text(i);
            Header[] headers = new Header[magic < 2 || count > 100 ? 0 : random.nextInt(3)];
            for (int j = 0; j < headers.length; j++)
                headers[j] = new RecordHeader("h\u00e9" + j, random.nextInt(4) == 0 ? null : text(j));
            long timestamp = 1700000000000L + (count > 100 ? i : random.nextInt(100000) - 50000);
            builder.appendWithOffset(base + i, timestamp, key, value, headers);
        }
        print(magic, codec, transactional, false, type, builder.build());
    }

    static void writeControl(ControlRecordType kind) {
        MemoryRecords records = MemoryRecords.withEndTransactionMarker(4711, 1700000000000L, 3, 12L, (short) 2,
            new EndTransactionMarker(kind, 5));
        print((byte) 2, "none", true, true, TimestampType.CREATE_TIME, records);
    }

    static void print(byte magic, String codec, boolean transactional, boolean control, TimestampType type,
            MemoryRecords records) {
        RecordBatch first = records.batches().iterator().next();
        StringBuilder out = new StringBuilder();
        out.append("{\"magic\":").append(magic).append(",\"codec\":\"").append(codec).append("\",\"transactional\":")
            .append(transactional).append(",\"control\":").append(control).append(",\"timestamp_type\":")
            .append(magic == 0 ? -1 : type.id).append(",\"producer_id\":").append(first.producerId())
            .append(",\"producer_epoch\":").append(first.producerEpoch()).append(",\"base_sequence\":")
            .append(first.baseSequence()).append(",\"max_timestamp\":").append(first.maxTimestamp())
            .append(",\"leader_epoch\":").append(first.partitionLeaderEpoch())
            .append(",\"data\":").append(base64(bytes(records.buffer()))).append(",\"records\":[");
        String comma = "";
        for (RecordBatch batch : records.batches())
            for (org.apache.kafka.common.record.internal.Record record : batch) {
                out.append(comma).append("[").append(record.offset()).append(",").append(record.timestamp())
                    .append(",").append(base64(bytes(record.key()))).append(",").append(base64(bytes(record.value())))
                    .append(",[");
                String inner = "";
                for (Header header : record.headers()) {
                    out.append(inner).append("[\"").append(header.key()).append("\",").append(base64(header.value()))
                        .append("]");
                    inner = ",";
                }
                out.append("]]");
                comma = ",";
            }
        System.out.println(out.append("]}"));
    }

    public static void main(String[] arguments) {
        String[] codecs = {"none", "gzip", "snappy", "lz4", "zstd"};
        for (byte magic = 0; magic <= 2; magic++)
            for (String codec : codecs) {
                if (magic < 2 && codec.equals("zstd"))
                    continue;
                for (TimestampType type : new TimestampType[] {TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME}) {
                    if (magic == 0 && type == TimestampType.LOG_APPEND_TIME)
                        continue;
                    for (int count : new int[] {1, 2, 30, magic == 2 ? 1200 : 0})
                        if (count > 0)
                            write(magic, codec, null, magic == 0 ? TimestampType.NO_TIMESTAMP_TYPE : type,
                                magic == 2 && count == 2, count);
                }
            }
        for (int level : new int[] {1, 9})
            write((byte) 2, "gzip", level, TimestampType.CREATE_TIME, false, 30);
        for (int level : new int[] {1, 9, 17})
            write((byte) 2, "lz4", level, TimestampType.CREATE_TIME, false, 30);
        for (int level : new int[] {-5, 1, 22})
            write((byte) 2, "zstd", level, TimestampType.CREATE_TIME, false, 30);
        writeControl(ControlRecordType.COMMIT);
        writeControl(ControlRecordType.ABORT);
    }
}
