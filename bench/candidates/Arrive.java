import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** Arrive BOOTSTRAP TOPIC WARM SECONDS: nanoseconds from the stamp in each value to the call that handed it out. */
public class Arrive {
    static final int STAMP = 19;

    static long now() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000L + now.getNano();
    }

    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", UUID.randomUUID().toString());
        settings.put("auto.offset.reset", "latest");
        String bytes = "org.apache.kafka.common.serialization.ByteArrayDeserializer";
        settings.put("key.deserializer", bytes);
        settings.put("value.deserializer", bytes);
        long warm = (long) (Double.parseDouble(arguments[2]) * 1e9);
        long seconds = (long) (Double.parseDouble(arguments[3]) * 1e9);
        List<Long> latencies = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of(arguments[1]));
            long begin = 0;
            while (true) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                long now = now();
                if (begin == 0 && !records.isEmpty()) {
                    begin = now + warm;
                }
                if (begin == 0 || now < begin) {
                    continue;
                }
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    latencies.add(now - Long.parseLong(new String(record.value(), 0, STAMP)));
                }
                if (now >= begin + seconds) {
                    break;
                }
            }
        }
        StringBuilder told = new StringBuilder();
        for (long latency : latencies) {
            told.append(latency).append('\n');
        }
        System.out.print(told);
    }
}
