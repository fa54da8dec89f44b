"""How much memory a consumer takes: where records are kept, and where many large ones wait for a slow reader."""

from __future__ import annotations

import sys

import pytest

from kafka.testing import EmbeddedCluster
from tests.consumer.batches import batch, values
from tests.processes import Script

pytestmark = pytest.mark.timing

PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("fields", ["", "record.value, record.key, record.headers"])
def test_records_that_are_kept_take_little(fields: str) -> None:
    """One of each batch of 16 KiB, of 160 MB in all: not their batches, and at most 40 MB."""
    data = batch([(b"k", bytes(100), [])] * 150)
    with EmbeddedCluster(topics={"t": 1}) as cluster:

        def put() -> None:
            log = cluster.topics["t"].partitions[0].log
            assert log.storage is not None
            for number in range(10_000):
                copy = bytearray(data)
                copy[:8] = (number * 150).to_bytes(8, "big")
                log.storage.append(memoryview(copy), number * 150)
                log.restore(copy)

        cluster._on_thread(put)
        code = f"""
        {PEAK.replace(chr(10), chr(10) + "        ")}
        from kafka import KafkaConsumer
        consumer = KafkaConsumer(
            "t", bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_buffer_bytes=4_000_000
        )
        for _ in range(15_000):
            next(consumer)
        before, kept = peak(), []
        for number in range(1_485_000):
            record = next(consumer)
            if number % 150 == 0:
                kept.append(record)
                {fields or "pass"}
        print(peak() - before, len(kept), sum(record.offset for record in kept) > 0, flush=True)
        os._exit(0)
        """
        script = Script(code, cluster.bootstrap)
        grown, kept, _ = script.line().split()
        script.end(60)
    assert int(kept) == 9900
    assert int(grown) <= 40


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_many_large_records_and_a_slow_reader() -> None:
    """200 partitions with records of 0.9 MB, 720 MB in all, and 30 of them read: at most 150 MB in all."""
    data = memoryview(bytearray(values(bytes(900_000))))
    with EmbeddedCluster(topics={"t": 200}) as cluster:

        def put() -> None:
            for partition in cluster.topics["t"].partitions:
                log = partition.log
                assert log.storage is not None
                for offset in range(4):
                    copy = bytearray(data[:61])
                    copy[:8] = offset.to_bytes(8, "big")
                    # The bytes are the same for all; only the first one of each is ever asked for.
                    log.storage.append(data, offset)
                    log.restore(copy)

        cluster._on_thread(put)
        code = f"""
        {PEAK.replace(chr(10), chr(10) + "        ")}
        from kafka import KafkaConsumer
        consumer = KafkaConsumer("t", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        read = 0
        while read < 30:
            records = [record for found in consumer.poll(5000, max_records=1).values() for record in found]
            read += len(records)
            assert all(len(record.value) == 900_000 for record in records)
            time.sleep(0.05)
        print(peak(), flush=True)
        os._exit(0)
        """
        script = Script(code, cluster.bootstrap)
        peak = script.line()
        script.end(60)
    assert int(peak) <= 150


def test_kept_records_in_cycles_are_collected_while_their_batches_are_let_go() -> None:
    """Past 16 MiB of batches that kept records pin, those get bytes of their own. That makes objects, so the garbage
    collector may run, and take records of the same batch that it finds in cycles of the user's.
    """
    code = """
    import gc
    from kafka._codec import Fetched, ReadPosition
    from kafka.structs import TopicPartition
    from tests.consumer.batches import batch, fetched
    class Keeps: pass
    data = b"".join(batch([(None, b"x" * 2000, [("h", b"v" * 100)])] * 40, base=base * 40) for base in range(240))
    for pause in range(1, 60, 3):
        gc.collect(); gc.disable()
        source = fetched(data)
        kept = []
        def keep(records):
            for record in records:
                each = Keeps(); each.itself = each; each.record = record; kept.append(each)
        keep(source.take(8200))
        del kept[::2]
        gc.set_threshold(gc.get_count()[0] + pause, 1000, 1000); gc.enable()
        while taken := source.take(10):
            keep(taken)
        gc.disable()
        assert all(each.record.value == b"x" * 2000 and each.record.headers == [("h", b"v" * 100)] for each in kept)
        gc.set_threshold(700, 10, 10)
    print("done", flush=True)
    """
    script = Script(code, "")
    assert script.line() == "done"
    script.end()
