import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractPartitionAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractStickyAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * What Kafka's own assignors decide, for random groups whose members and replicas are in racks (KIP-881).
 *
 * A line is JSON: the assignor's name ("sticky" is what both sticky ones decide), members (id: rack, instance, topics,
 * owned partitions), topics (name: for each partition the racks of its replicas), shares (member id: partitions).
 * tests/golden/make.py runs it.
 */
public final class GoldenAssignments {
    private static final int CASES = 1200;
    private static final String[] RACKS = {"a", "b", "c"};

    /** Believes what members say they own, as the cooperative one does; but holds nothing back. */
    private static final class Sticky extends AbstractStickyAssignor {
        @Override
        public String name() {
            return "sticky";
        }

        @Override
        protected MemberData memberData(Subscription subscription) {
            return new MemberData(subscription.ownedPartitions(), subscription.generationId(), subscription.rackId());
        }
    }

    public static void main(String[] arguments) {
        for (int number = 0; number < CASES; number++) {
            System.out.println(line(new Random(number), number % 2 == 0 ? new RangeAssignor() : new Sticky()));
        }
    }

    private static String line(Random random, AbstractPartitionAssignor assignor) {
        String[] brokers = new String[2 + random.nextInt(4)];
        List<Node> nodes = new ArrayList<>();
        boolean haveRacks = random.nextInt(8) > 0;
        for (int id = 0; id < brokers.length; id++) {
            brokers[id] = haveRacks && random.nextInt(12) > 0 ? RACKS[id % RACKS.length] : null;
            nodes.add(new Node(id, "host", 9092, brokers[id]));
        }
        Map<String, Integer> sizes = new TreeMap<>();
        Map<String, List<Set<String>>> racks = new TreeMap<>();
        List<PartitionInfo> infos = new ArrayList<>();
        int same = 1 + random.nextInt(8);
        for (int topic = 0; topic < 1 + random.nextInt(3); topic++) {
            String name = "t" + topic;
            sizes.put(name, random.nextBoolean() ? same : 1 + random.nextInt(8));
            racks.put(name, new ArrayList<>());
            int factor = 1 + random.nextInt(brokers.length);
            for (int partition = 0; partition < sizes.get(name); partition++) {
                Node[] replicas = new Node[factor];
                Set<String> found = new TreeSet<>();
                int first = random.nextInt(brokers.length);
                for (int index = 0; index < factor; index++) {
                    replicas[index] = nodes.get((first + index) % brokers.length);
                    if (replicas[index].rack() != null) found.add(replicas[index].rack());
                }
                racks.get(name).add(found);
                infos.add(new PartitionInfo(name, partition, replicas[0], replicas, replicas));
            }
        }
        int count = 1 + random.nextInt(6);
        boolean isUniform = random.nextInt(3) > 0;
        Map<String, List<String>> topics = new TreeMap<>();
        Map<String, List<TopicPartition>> owned = new TreeMap<>();
        for (int member = 0; member < count; member++) {
            topics.put("m" + member, sizes.keySet().stream().filter(t -> isUniform || random.nextInt(3) > 0).toList());
            owned.put("m" + member, new ArrayList<>());
        }
        List<String> ids = new ArrayList<>(topics.keySet());
        int owning = random.nextInt(4);
        for (PartitionInfo info : infos) {
            String id = ids.get(random.nextInt(count));
            if (random.nextInt(4) < owning && topics.get(id).contains(info.topic()))
                owned.get(id).add(new TopicPartition(info.topic(), info.partition()));
        }
        Map<String, Subscription> members = new HashMap<>();
        List<String> said = new ArrayList<>();
        for (String id : ids) {
            Optional<String> rack = random.nextInt(5) > 0 ? Optional.of(RACKS[random.nextInt(3)]) : Optional.empty();
            Subscription subscription = new Subscription(topics.get(id), null, owned.get(id), 1, rack);
            Optional<String> instance = random.nextInt(6) == 0 ? Optional.of("i" + (9 - id.charAt(1) + '0')) : Optional.empty();
            subscription.setGroupInstanceId(instance);
            members.put(id, subscription);
            said.add(text(id) + ":{\"rack\":" + text(rack.orElse(null)) + ",\"instance\":" + text(instance.orElse(null))
                + ",\"topics\":" + list(topics.get(id)) + ",\"owned\":" + partitions(owned.get(id)) + "}");
        }
        Cluster cluster = new Cluster("c", nodes, infos, Set.of(), Set.of());
        Map<String, String> shares = new TreeMap<>();
        assignor.assign(cluster, new GroupSubscription(members)).groupAssignment()
            .forEach((id, each) -> shares.put(id, partitions(each.partitions())));
        return "{\"assignor\":" + text(assignor.name()) + ",\"members\":{" + String.join(",", said) + "},\"topics\":{"
            + racks.entrySet().stream().map(e -> text(e.getKey()) + ":[" + e.getValue().stream()
                .map(GoldenAssignments::list).collect(Collectors.joining(",")) + "]").collect(Collectors.joining(","))
            + "},\"shares\":{" + shares.entrySet().stream().map(e -> text(e.getKey()) + ":" + e.getValue())
                .collect(Collectors.joining(",")) + "}}";
    }

    private static String partitions(List<TopicPartition> all) {
        return all.stream().sorted((x, y) -> x.topic().equals(y.topic()) ? x.partition() - y.partition() : x.topic().compareTo(y.topic()))
            .map(each -> "[" + text(each.topic()) + "," + each.partition() + "]").collect(Collectors.joining(",", "[", "]"));
    }

    private static String list(Iterable<String> all) {
        List<String> quoted = new ArrayList<>();
        all.forEach(each -> quoted.add(text(each)));
        return "[" + String.join(",", quoted) + "]";
    }

    private static String text(String value) {
        return value == null ? "null" : "\"" + value + "\"";
    }
}
