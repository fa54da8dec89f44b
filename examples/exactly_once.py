"""Reads a topic, makes something else of each record, and writes that to another topic: each exactly once.

    python examples/exactly_once.py --bootstrap localhost:9092 --source orders --target invoices --worker 1

It may be killed at any point and started again, and any number of workers may share the source's partitions, each with
a number of its own. How it works stands in docs/transactions.md. Ends after `--idle` seconds without a record.
"""

from __future__ import annotations

import argparse
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka.errors import CommitFailedError, TransactionAbortableError


def transform(value: bytes) -> bytes:
    return value.upper()


def work(bootstrap: str, source: str, target: str, worker: str, idle: float) -> int:
    """How many records were written; those of transactions that had to be aborted are not counted."""
    group = f"{source}-to-{target}"
    done = 0
    # What a worker of this name has left open is aborted by init_transactions(), before anything is read.
    with (
        KafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=f"{group}-{worker}", transaction_timeout_ms=10_000
        ) as producer,
        KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            enable_auto_commit=False,  # offsets are committed with what was made of the records
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        ) as consumer,
    ):
        producer.init_transactions()
        consumer.subscribe([source])
        last = time.monotonic()
        while time.monotonic() < last + idle:
            polled = consumer.poll(timeout_ms=200)
            if not polled:
                continue
            last = time.monotonic()
            try:
                with producer.transaction():
                    for records in polled.values():
                        for record in records:
                            producer.send(target, transform(record.value), key=record.key)
                    offsets = {tp: OffsetAndMetadata(consumer.position(tp), "", -1) for tp in polled}
                    producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
            except (TransactionAbortableError, CommitFailedError) as error:
                # Nothing of it counts. What is still ours is read again; what is not, its new owner reads.
                print(f"again: {error}", file=sys.stderr)
                for tp, records in polled.items():
                    if tp in consumer.assignment():
                        consumer.seek(tp, records[0].offset)
            else:
                done += sum(map(len, polled.values()))
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default="localhost:9092")
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--worker", default="1", help="different for each process that runs at the same time")
    parser.add_argument("--idle", type=float, default=float("inf"), help="seconds without a record after which it ends")
    arguments = parser.parse_args()
    done = work(arguments.bootstrap, arguments.source, arguments.target, arguments.worker, arguments.idle)
    print(f"{done} records")


if __name__ == "__main__":
    main()
