"""The simulated broker's log does what brokers were measured to do (tests/broker has the same probes for real ones)."""

from __future__ import annotations

import random

import pytest

from kafka.testing.model.producers import SEQUENCES
from kafka.testing.sim_log import SimPartition
from tests.sim.world import batch

PID = 4000


def stamped(first: int, count: int = 1, epoch: int = 0, pid: int = PID) -> bytes:
    return batch(count, pid, epoch, first)


def filled(batches: int = 7) -> SimPartition:
    partition = SimPartition(0)
    for number in range(batches):
        assert partition.append(stamped(number * 2, 2)).error == 0
    return partition


def test_the_first_batch_of_an_unknown_producer_is_taken_whatever_its_sequence() -> None:
    partition = SimPartition(0)
    assert partition.append(stamped(7))[:2] == (0, 0)
    assert partition.append(stamped(9)).error == 45
    assert partition.append(stamped(8))[:2] == (0, 1)


def test_the_last_five_are_recognised_and_older_ones_are_out_of_order() -> None:
    partition = filled(7)
    for number in range(2, 7):
        again = partition.append(stamped(number * 2, 2))
        assert again.error == 0 and again.base == number * 2 and again.duplicate
    assert partition.append(stamped(2, 2)).error == 45
    assert partition.append(stamped(12, 1)).error == 45  # overlaps
    assert partition.end == 14


def test_a_restart_leaves_the_last_one() -> None:
    partition = filled(7)
    partition.restarted(0)
    assert partition.append(stamped(12, 2)).duplicate
    assert [partition.append(stamped(number * 2, 2)).error for number in range(2, 6)] == [45] * 4
    assert partition.producers[PID].last == 13  # which DescribeProducers still tells
    assert partition.append(stamped(14)).error == 0


def test_a_follower_that_did_not_restart_recognises_five_when_it_leads() -> None:
    partition = filled(7)
    partition.committed = partition.end
    partition.restarted(1)
    partition.append(stamped(14))
    partition.committed = partition.end
    partition.move(2, random.Random(1))
    assert partition.append(stamped(8, 2)).duplicate
    partition.move(1, random.Random(1))
    assert partition.append(stamped(12, 2)).duplicate and partition.append(stamped(14)).duplicate
    assert partition.append(stamped(10, 2)).error == 45


@pytest.mark.parametrize("epoch, first, error", [(1, 0, 0), (1, 5, 45), (5, 0, 0)])
def test_epochs_go_up_from_sequence_0(epoch: int, first: int, error: int) -> None:
    partition = filled(2)
    assert partition.append(stamped(first, 1, epoch)).error == error
    assert partition.append(stamped(4)).error == (0 if error else 47)  # the old epoch, in order


def test_sequences_wrap_between_batches_and_inside_one() -> None:
    partition = SimPartition(0)
    assert partition.append(stamped(SEQUENCES - 2)).error == 0
    assert partition.append(stamped(SEQUENCES - 1, 3)).error == 0  # 2^31 - 1, 0, 1
    assert partition.append(stamped(2)).error == 0
    assert partition.append(stamped(SEQUENCES - 1, 3)).duplicate


def test_a_new_leader_has_what_is_committed_and_perhaps_more() -> None:
    ends = set()
    for seed in range(30):
        partition = filled(6)
        partition.committed = 6
        partition.move(1, random.Random(seed))
        ends.add(partition.end)
        assert partition.producers[PID].last == partition.end - 1
        assert [entry.base for entry in partition.log] == list(range(0, partition.end, 2))
    assert ends == {6, 8, 10, 12}


def test_damaged_batches_are_refused() -> None:
    partition = SimPartition(0)
    assert partition.append(b"short").error == 2
    assert partition.append(stamped(-1)).error == 2
    assert partition.append(stamped(0) + b"more").error == 2
