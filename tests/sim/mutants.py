"""Bugs that producers had, put into this one: each has to be seen within the seeds of `make test`.

    python -m tests.sim.mutants [NAME...]

A mutant is text of the client's sources replaced by other text, in a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from tests.sim.mutants_authenticating import AUTHENTICATING
from tests.sim.mutants_reading import READING

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 300
SECONDS_A_SEED = 60  # of CPU time; a client that hangs is seen, too


class Mutant(NamedTuple):
    name: str
    bug: str  # what it is, and whose it was
    module: str  # of kafka.core
    changes: tuple[tuple[str, str], ...]  # each text occurs once in the module
    tests: str = ""  # the file of tests in which it has to die, where the seeds do not know what it is about


PRODUCING = (
    Mutant(
        "at once to nobody",
        "kafka-python 1's partitioner: a record without a key goes to a partition that nobody leads",
        "produce.path",
        (("led = [partition for partition in topic.partitions if partition.leader >= 0]", "led = topic.partitions"),),
        "tests/sim/test_produce.py",
    ),
    Mutant(
        "at once to any rack",
        "KIP-1123 forgotten where a record's partition has to be known at once",
        "produce.path",
        (("partition.index for partition in near or led", "partition.index for partition in led"),),
        "tests/sim/test_produce.py",
    ),
    Mutant(
        "slow broker gets more",
        "KAFKA-10888: batches wait for a broker without room and grow meanwhile, so the slowest gets the most",
        "produce.path",
        (
            ("(best is not None and best <= entry)", "(best is not None and best[2] <= entry[2])"),
            ("have their share\n                    continue\n", "have their share\n                    return None\n"),
        ),
    ),
    Mutant(
        "bump with batches in flight",
        "KAFKA-14397: a delivery timeout of a batch in doubt bumps the epoch, later ones are sent under the new one",
        "produce.partitions",
        (
            ("            assert not batch.doubtful\n", "            batch.doubtful = False\n"),
            (
                "if not batch.in_flight and (batch.doubtful or not self.broken):",
                "if not batch.in_flight and not self.broken:",
            ),
        ),
    ),
    Mutant(
        "no gate",
        "KAFKA-15591: two batches in flight to a leader that knows nothing of the producer",
        "produce.partitions",
        ((" and self.sent_on == link and self.proven == link", " and self.sent_on == link"),),
    ),
    Mutant(
        "buffer reused",
        "KAFKA-19012: a buffer is used again while a request can still read it",
        "produce.delivery",
        (
            (
                (
                    "                self._outcomes.failed(batch, self._outcomes.timed_out(batch, partition), now)\n"
                    "            else:\n"
                    "                pending.deadline"
                ),
                (
                    "                self._outcomes.failed(batch, self._outcomes.timed_out(batch, partition), now)\n"
                    "                batch.stamp(7, 7, 7)\n"
                    "            else:\n                pending.deadline"
                ),
            ),
        ),
    ),
    Mutant(
        "bump of all partitions",
        "librdkafka #4953: error 45 on one partition bumps the epoch of all, and others are written twice",
        "produce.delivery",
        (
            (
                "        first = next((b for b in partition.outstanding if b.doubtful",
                (
                    "        for other in partition.topic.partitions:\n"
                    "            other.broken = True\n"
                    "            for b in other.outstanding:\n"
                    "                b.doubtful = False\n"
                    "        first = next((b for b in partition.outstanding if b.doubtful"
                ),
            ),
        ),
    ),
    Mutant(
        "new leader before the old one has answered",
        "franz-go f29fb7f0: a partition moves while the old leader has it in flight",
        "produce.partitions",
        ((" and self.sent_on == link and self.proven == link", " and (self.sent_on != link or self.proven == link)"),),
    ),
    Mutant(
        "partition named twice",
        "a request names a partition twice: the broker keeps one of two batches and says nothing",
        "produce.request",
        (("topics[partition.topic] = [data]", "topics[partition.topic] = [data, data]"),),
    ),
    Mutant(
        "sequence not wrapped",
        "franz-go 27880b49: a sequence past 2^31 - 1 gets negative",
        "produce.numbering",
        (
            (
                "partition.epoch, batch.sequence % SEQUENCES)",
                "partition.epoch, (batch.sequence + SEQUENCES) % (2 * SEQUENCES) - SEQUENCES)",
            ),
        ),
    ),
    Mutant(
        "new number on retry",
        "a retried batch gets the next free number: the broker cannot know it again",
        "produce.delivery",
        (
            (
                "        elif error.retriable and batch.attempts <= self._config.retries:\n",
                (
                    "        elif error.retriable and batch.attempts <= self._config.retries:\n"
                    "            batch.stamped, batch.sequence = False, partition.next_sequence\n"
                    "            partition.next_sequence += batch.records\n"
                ),
            ),
        ),
    ),
    Mutant(
        "numbers forgotten with metadata",
        "librdkafka before 1.9: a topic that a broker does not know for a moment starts at sequence 0 again",
        "produce.path",
        (
            (
                "            if (error := known.error) is not None and",
                (
                    "            if known.error is not None:\n"
                    "                for partition in topic.partitions:\n"
                    "                    partition.next_sequence = 0\n"
                    "            if (error := known.error) is not None and"
                ),
            ),
        ),
    ),
    Mutant(
        "45 behind the head is final",
        "a batch that came before its predecessor is failed, though it only had to wait",
        "produce.delivery",
        (
            (
                '            self._counts["waits for the one before"] += 1\n',
                (
                    "            self._outcomes.failed(batch, error, now)\n"
                    "            self.take_out(partition, batch)\n"
                    "            return\n"
                ),
            ),
        ),
    ),
    Mutant(
        "doubt not told",
        "what may be in the log is reported as not persisted",
        "produce.outcomes",
        (("        in_doubt = batch.doubtful or batch.in_flight\n", "        in_doubt = False\n"),),
    ),
    Mutant(
        "retries out of order",
        "the newest batch is sent again first",
        "produce.partitions",
        (
            (
                "        for batch in self.outstanding:\n            # When numbering",
                "        for batch in reversed(self.outstanding):\n            # When numbering",
            ),
        ),
    ),
    Mutant(
        "throttle ignored",
        "librdkafka: requests are written to a channel that the broker does not read (KIP-219)",
        "net.channel",
        (("if self.throttle is not None or self.moved or not self.is_ready:", "if not self.is_ready:"),),
    ),
    Mutant(
        "45 taken for delivered",
        "a batch that may have been taken and is refused as out of order counts as delivered",
        "produce.delivery",
        (
            (
                "gap:\n            self._ask_leader(partition, batch, now)\n        else:\n            # Never",
                "gap:\n            self._delivered(partition, batch, -1, -1, now)\n        else:\n            # Never",
            ),
        ),
    ),
    Mutant(
        "45 bumps and sends again",
        "Java: error 45 at the head bumps the epoch and sends again what may be in the log",
        "produce.delivery",
        (
            (
                "gap:\n            self._ask_leader(partition, batch, now)\n        else:\n            # Never",
                (
                    "gap:\n            for b in partition.outstanding:\n                b.doubtful = False\n"
                    "            self._restart_numbering(partition, batch, error, now)\n"
                    "        else:\n            # Never"
                ),
            ),
        ),
    ),
    Mutant(
        "error after append is a refusal",
        "error 6 of a leader that was deposed after the append counts as definite",
        "produce.delivery",
        (("            appended = error.retriable and answer.base_offset >= 0\n", "            appended = False\n"),),
    ),
    Mutant(
        "lost connection is a refusal",
        "what was on the way when the connection broke counts as not persisted",
        "produce.delivery",
        (("doubtful=pending.on_wire)", "doubtful=False)"),),
    ),
    Mutant(
        "timeout is a refusal",
        "errors 7 and 20, given after the append, count as definite",
        "produce.delivery",
        (
            ("        Code.REQUEST_TIMED_OUT,\n", ""),
            ("        Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,\n", ""),
            ("            appended = error.retriable and answer.base_offset >= 0\n", "            appended = False\n"),
        ),
    ),
    Mutant(
        "split renumbered",
        "the parts of a split batch overlap in their numbers",
        "produce.delivery",
        (("            sequence += part.records\n", "            sequence += 1\n"),),
    ),
    Mutant(
        "wrong record fails",
        "a record error (KIP-467) reaches another record of the batch",
        "produce.outcomes",
        (("errors[entry.batch_index] = own", "errors[(entry.batch_index + 1) % batch.records] = own"),),
    ),
    Mutant(
        "epochs without end",
        "Dekaf #3341: nothing happens when the epochs of a producer id are used up",
        "produce.numbering",
        (("if partition.epoch < LARGEST_EPOCH:", "if partition.epoch < 2 * LARGEST_EPOCH:"),),
    ),
    Mutant(
        "new epoch, old sequence",
        "KAFKA-12152: after an epoch bump a partition does not start at 0",
        "produce.partitions",
        (
            (
                "        self.next_sequence = 0\n        self.broken = self.gap = False\n",
                "        self.broken = self.gap = False\n",
            ),
        ),
    ),
    Mutant(
        "stuck after a pause",
        "nothing is sent any more when the backoff is over",
        "produce.delivery",
        (
            (
                (
                    "            self._metadata.refresh(partition.topic.name, now)\n"
                    "        self._path.reconsider(partition, now)\n"
                ),
                "            self._metadata.refresh(partition.topic.name, now)\n",
            ),
        ),
    ),
    Mutant(
        "leader never looked for",
        "NOT_LEADER_OR_FOLLOWER does not lead to fresh metadata",
        "produce.delivery",
        (("        if error.invalid_metadata:\n", "        if False:\n"),),
    ),
    Mutant(
        "topic made anew forgets doubt",
        "what was sent by name may have been appended to the new topic",
        "produce.delivery",
        (("        if partition.topic.named:\n", "        if False:\n"),),
    ),
    Mutant(
        "neighbour's answer",
        "an answer is taken for that of another partition",
        "produce.delivery",
        (("partition = topic.partitions[answer.index]\n", "partition = topic.partitions[answer.index - 1]\n"),),
    ),
    Mutant(
        "bound to one, sent to another",
        "KAFKA-6350 and the like: a future names another partition than the one that has the record",
        "produce.path",
        (("batch.bind(partition.index)", "batch.bind((partition.index + 1) % len(partition.topic.partitions))"),),
    ),
    Mutant(
        "tombstone dropped",
        "an expired batch in doubt is dropped, its numbers are given to the next one",
        "produce.delivery",
        (
            (
                "        if batch.doubtful and self._numbering.is_numbered and not over:\n",
                (
                    "        if batch.doubtful and self._numbering.is_numbered and not over:\n"
                    "            partition.outstanding.remove(batch)\n"
                    "            if not partition.outstanding:\n"
                    "                partition.next_sequence = batch.sequence\n"
                    "            return\n"
                    "        if batch.doubtful and self._numbering.is_numbered and not over:\n"
                ),
            ),
        ),
    ),
    Mutant(
        "the last one proves all",
        "librdkafka #4134: a success counts for the batches before it, also for those that were refused",
        "produce.delivery",
        ((" if b.sequence < batch.sequence and b.provable and not b.in_flight]", " if b.sequence < batch.sequence]"),),
    ),
    Mutant(
        "leader among no brokers",
        "krafka #49 and the like: a leader that is no known broker is waited for, nobody asks who leads now",
        "cluster.metadata",
        (
            (
                "topic.partitions):\n                self._needed[name] = None\n",
                "topic.partitions):\n                pass\n",
            ),
            ("still_unclear(topic, snapshot.brokers)", "still_unclear(topic, range(99))"),
        ),
    ),
    Mutant(
        "in the log, so delivered",
        "what the leader says it has counts as delivered before it is on all replicas",
        "produce.delivery",
        (
            (
                "            partition.confirm = there[-1]\n            self._back_off(partition, now)\n",
                "            for batch in there:\n                self._delivered(partition, batch, -1, -1, now)\n",
            ),
        ),
    ),
    Mutant(
        "a follower is believed",
        "DescribeProducers is answered by followers, which may lag: what they lack is taken for lost and sent again",
        "produce.inquiry",
        (
            (
                (
                    "    answer, _ = await calls.ask(leader, ListOffsetsRequest, end_of_log, request_timeout)\n"
                    "    if (error := _error_of(answer)) is not None:\n        return _no_answer(error)\n    described"
                ),
                "    described",
            ),
            (
                (
                    "    answer, _ = await calls.ask(leader, ListOffsetsRequest, end_of_log, request_timeout)\n"
                    "    if (error := _error_of(answer)) is not None:\n        return _no_answer(error)\n"
                    "    return finding"
                ),
                "    return finding",
            ),
        ),
    ),
    Mutant(
        "negative answer after an injected error",
        "an answer that a broker gave to a batch in doubt (it is not there) counts for the time before, too",
        "produce.delivery",
        (
            (
                "        else:\n            batch.provable = False\n        if error.invalid",
                "        else:\n            batch.doubtful = batch.provable = False\n        if error.invalid",
            ),
        ),
    ),
    Mutant(
        "fetch before the rest",
        "every heartbeat, commit and metadata request waits behind a long poll of the same broker",
        "net.lanes",
        (("Lane.FETCH: Lane.FETCH", "Lane.FETCH: Lane.CONTROL"),),
        "tests/sim/test_lanes.py",
    ),
    Mutant(
        "one time to answer for everything",
        "a JoinGroup that is held back by right is written again and again, each time on a new connection",
        "net.connection",
        (("            held = answer_within - patience\n", "            held = 0.0\n"),),
        "tests/sim/test_lanes.py",
    ),
    Mutant(
        "held back for ever",
        "who waits behind an answer that came early is granted the time that this one might have taken",
        "net.connection",
        (("            if now < entry.due:\n                self._go_on_early(now)\n", ""),),
        "tests/sim/test_lanes.py",
    ),
    Mutant(
        "a long poll is a slow broker",
        "the window narrows because answers are held back by right",
        "net.connection",
        (("self.window.answered(entry.due, entry.place, now)", "self.window.answered(entry.sent, entry.place, now)"),),
        "tests/sim/test_lanes.py",
    ),
    Mutant(
        "a long poll is a silent broker",
        "whoever rightly holds an answer back is asked last, and reported",
        "net.connection",
        (("return max(self.in_flight[0].due, self._answered)", "return max(self.in_flight[0].sent, self._answered)"),),
        "tests/sim/test_lanes.py",
    ),
    Mutant(
        "a lane down, the broker down",
        "the produce path gives up a broker because another lane has lost its connection",
        "core",
        (("CONNECTION_OF[part.lane] is channel.lane", "True"),),
        "tests/sim/test_lanes.py",
    ),
    Mutant(
        "the throttle of a dropped broker is forgotten",
        "a fetch lane that must be left alone is not, once its broker was forgotten and named again",
        "net.nodes",
        (("channel = node.channel(key[1])", "channel = node.channel(Lane.CONTROL)"),),
        "tests/sim/test_lanes.py",
    ),
    Mutant(
        "coordinators one by one",
        "to describe many groups takes a lookup for each",
        "cluster.coordinators",
        (("        if len(new) == 1:", "        self._start(route.kind, now)\n        if False:"),),
        "tests/sim/test_routes.py",
    ),
    Mutant(
        "NOT_CONTROLLER reaches the user",
        "confluent-kafka-python #1132: the first broker's answer is taken for the cluster's",
        "cluster.routes",
        (("return self.controller and error.errno == Code.NOT_CONTROLLER", "return False"),),
        "tests/sim/test_routes.py",
    ),
    Mutant(
        "the cluster is changed twice",
        "a slow controller's request goes to a second broker meanwhile",
        "cluster.calls",
        (
            (
                "AnyBroker) or call.route.controller:\n            return call.deadline",
                "AnyBroker):\n            return call.deadline",
            ),
        ),
        "tests/sim/test_routes.py",
    ),
    Mutant(
        "one address takes all the time",
        "Java's clients: a silent address takes its whole set-up timeout from a user who waits for less",
        "net.channel",
        (("        if now < self.network.awaited_until:\n", "        if False:\n"),),
        tests="tests/sim/test_core.py",
    ),
    Mutant(
        "hung up on for ever",
        "a record above socket.request.max.bytes holds up its partition for its delivery timeout, and nobody says why",
        "produce.sizes",
        (("        if partition.hangups < (", "        if True or partition.hangups < ("),),
        tests="tests/sim/test_request_sizes.py",
    ),
    Mutant(
        "neighbours share the blame",
        "a batch is too large because the connection broke under a request with others in it",
        "produce.sizes",
        (
            ("        if len(pending.sent) > 1:\n", "        if False:\n"),
            ("        ((partition, batch),) = pend", "        (partition, batch), *_ = pend"),
        ),
        tests="tests/sim/test_request_sizes.py",
    ),
    Mutant(
        "in parts without asking",
        "a batch that may be in the log is sent in parts, as others that are written twice",
        "produce.delivery",
        (("        if finding.retry or (last is not None and last >= head.sequence):\n", "        if False:\n"),),
        tests="tests/sim/test_request_sizes.py",
    ),
    Mutant(
        "what it took before",
        "a request as large as those that the broker answers is too large for it",
        "produce.sizes",
        (("max(SMALL, self._answered.get(pending.node_id, 0))", "SMALL"),),
        tests="tests/sim/test_request_sizes.py",
    ),
    Mutant(
        "what nobody knows is asked again and again",
        "records wait out their delivery timeout for a producer id that no broker has",
        "cluster.calls",
        (("        if errors and all(isinstance", "        if not errors and all(isinstance"),),
        tests="tests/sim/test_delivery.py",
    ),
    Mutant(
        "silence is a refusal",
        "no broker could be reached, says the client, long before the user's time is over: one may yet answer",
        "cluster.calls",
        ((" and not self._is_kept_waiting(call)", ""),),
        tests="tests/sim/test_core.py",
    ),
    Mutant(
        "a dead letter is overtaken",
        "what a callback has sent in the turn in which its topic becomes known waits for the next one",
        "produce.deferred",
        (
            ("        found += [record for _, record in self._new if record.topic == topic]\n", ""),
            ("deque(entry for entry in self._new if entry[1].topic != topic)", "self._new"),
        ),
        tests="tests/sim/test_deferred.py",
    ),
    Mutant(
        "a dead letter waits for ever",
        "kafka-python: an errback's record for a topic that is not known is neither sent nor failed",
        "produce.deferred",
        (
            (
                "        return min((waiting[0][0] for waiting in self._waiting.values()), default=INFINITY)\n",
                "        return INFINITY\n",
            ),
            ("while waiting and waiting[0][0] <= now:", "while False:"),
        ),
        tests="tests/sim/test_deferred.py",
    ),
    Mutant(
        "impatient with what may pass",
        "a broker that resets handshakes while it starts is given up with those whose certificates are wrong",
        "cluster.calls",
        (("all(_is_mistake(error) for", "any(_is_mistake(error) for"),),
        "tests/sim/test_securing.py",
    ),
    Mutant(
        "a certificate is for ever",
        "once a certificate is not accepted, requests fail for good, also after it was renewed",
        "cluster.calls",
        (('call.patience < float("inf") and all(_is_mistake', "all(_is_mistake"),),
        "tests/sim/test_securing.py",
    ),
    Mutant(
        "an alert is taken for an old broker",
        "kafka-python: the verdict on a client's certificate (TLS 1.3) is lost, and older requests are tried",
        "net.channel",
        (
            ("or (is_tls(cause) and not connection.heard)", ""),
            (" and not connection.heard and not is_tls(cause):", " and not connection.heard:"),
        ),
        "tests/sim/test_securing.py",
    ),
)


class Finder(MetaPathFinder):
    """Loads one module with its text changed."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        if fullname != f"kafka.core.{self.mutant.module}":
            return None
        file = str(source(self.mutant))
        return importlib.util.spec_from_file_location(fullname, file, loader=Loader(self.mutant, fullname, file))


class Loader(SourceFileLoader):
    def __init__(self, mutant: Mutant, fullname: str, file: str) -> None:
        super().__init__(fullname, file)
        self.mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        return compile(changed(self.mutant), self.path, "exec")


def source(mutant: Mutant) -> Path:
    return (ROOT / "kafka" / "core" / mutant.module.replace(".", "/")).with_suffix(".py")


def changed(mutant: Mutant) -> str:
    text = source(mutant).read_text()
    for old, new in mutant.changes:
        if text.count(old) != 1:
            raise ValueError(f"{mutant.name}: {old!r} occurs {text.count(old)} times in {mutant.module}.py")
        text = text.replace(old, new)
    return text


MUTANTS = (*PRODUCING, *(Mutant(*row) for row in (*READING, *AUTHENTICATING)))


class Death(NamedTuple):
    mutant: Mutant
    seeds: int | None  # how many it took; None: it survived
    how: str


def kill(mutant: Mutant, seeds: int = SEEDS) -> Death:
    """Plays seeds on a mutant until one fails."""
    changed(mutant)
    run = subprocess.run(
        [sys.executable, "-m", "tests.sim.mutants", "--play", mutant.name, str(seeds)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"^killed after (\d+): (.*)$", run.stdout, re.MULTILINE)
    if re.search(r"(Attribute|Name|Import|Syntax)Error", found[2] if found is not None else run.stderr):
        raise ValueError(
            f"{mutant.name} is no client with a bug, but no client: {run.stdout[-300:]}{run.stderr[-300:]}"
        )
    if found is not None:
        return Death(mutant, int(found[1]), found[2][:150])
    if run.returncode == -signal.SIGXCPU or "survived" not in run.stdout:
        # It took the interpreter with it, or all its time.
        started = len(re.findall(r"^seed ", run.stdout, re.MULTILINE))
        return Death(mutant, started, f"process ended with {run.returncode}: {run.stderr[-150:]!r}")
    return Death(mutant, None, "")


def kill_all(mutants: Sequence[Mutant] = MUTANTS, seeds: int = SEEDS) -> Iterator[Death]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in as_completed([pool.submit(kill, mutant, seeds) for mutant in mutants]):
            yield future.result()


def _play(name: str, seeds: int) -> None:
    import resource

    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    sys.meta_path.insert(0, Finder(mutant))
    if mutant.tests:
        import pytest

        result = pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", mutant.tests])
        print("killed after 1: a test fails" if result == pytest.ExitCode.TESTS_FAILED else "survived")
        return
    from tests.sim.scenario import play

    for seed in range(seeds):
        print(f"seed {seed}", flush=True)
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + SECONDS_A_SEED, resource.RLIM_INFINITY))
        outcome = play(seed)
        if outcome.violation is not None:
            text = outcome.violation.strip().splitlines()
            print(f"killed after {seed + 1}: {text[0] if len(text) == 1 else text[-1]}")
            return
    print("survived")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--play"]:
        _play(arguments[1], int(arguments[2]))
        return 0
    survivors = 0
    for death in kill_all([mutant for mutant in MUTANTS if not arguments or mutant.name in arguments]):
        print(f"{death.seeds or 'SURVIVED':>8}  {death.mutant.name:<45}{death.how}", flush=True)
        survivors += death.seeds is None
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
