"""Creates topics and reads them back, for tests: one request a line on standard input, one answer a line out.

Runs under kafka-python, so that what either producer wrote is judged by the same foreign consumer.

    {"create": NAME, "partitions": 3, "configs": {}}  ->  {}
    {"read": NAME}  ->  [[partition, offset, key, value, headers, timestamp], ...], bytes as Latin-1 text
"""

import json
import sys

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition


def text(data):
    return None if data is None else bytes(data).decode("latin-1")


def read(consumer, name):
    partitions = [TopicPartition(name, number) for number in sorted(consumer.partitions_for_topic(name))]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    found = []
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for records in consumer.poll(timeout_ms=500).values():
            for r in records:
                headers = [[key, text(value)] for key, value in r.headers]
                found.append([r.partition, r.offset, text(r.key), text(r.value), headers, r.timestamp])
    return sorted(found, key=lambda record: record[:2])


def main():
    bootstrap = sys.argv[1]
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    for line in sys.stdin:
        request = json.loads(line)
        if "create" in request:
            settings = {"num_partitions": request["partitions"], "replication_factor": 1, "configs": request["configs"]}
            admin.create_topics({request["create"]: settings}, wait_for_metadata=True)
            answer = {}
        else:
            answer = read(consumer, request["read"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
