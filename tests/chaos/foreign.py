"""Members that are other clients: Java's, by Kafka's own VerifiableConsumer, and confluent-kafka's.

with Mixed(bootstrap, "t", 6, folder, group_protocol="consumer") as group:
    group.enters(Java); group.enters(Librdkafka); group.enters(Member)
    group.leaves(0)
    group.finish()

Configurations have the names of `KafkaConsumer`, for all. These commit whenever they have read.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from broker.cluster import tool_command

from kafka import KafkaProducer
from tests.broker.requests import until
from tests.chaos.groups import Event, Group, Member, check_apart

Configs = Mapping[str, Any]
_CONSUMER = "org.apache.kafka.clients.consumer."
_ASSIGNORS = {
    "range": "RangeAssignor",
    "roundrobin": "RoundRobinAssignor",
    "sticky": "StickyAssignor",
    "cooperative-sticky": "CooperativeStickyAssignor",
}


def _theirs(configs: Configs) -> dict[str, Any]:
    """The names that librdkafka and Java have for the same."""
    return {name.replace("_", "."): value for name, value in configs.items()}


class Librdkafka(Member):
    def command(self, configs: Configs, topic: str) -> list[str]:
        settings = {**_theirs(configs), "enable.auto.commit": False}
        if "partition_assignment_strategy" in configs:
            settings["partition.assignment.strategy"] = ",".join(configs["partition_assignment_strategy"])
        return [sys.executable, "-m", "tests.chaos.member_confluent", json.dumps(settings), topic, str(self.path)]


class Java(Member):
    """What the tool prints are events like ours, by the time of day."""

    STOPPED = 143  # what a JVM says after SIGTERM, once its hooks have run

    def command(self, configs: Configs, topic: str) -> list[str]:
        file = self.path.with_suffix(".properties")
        file.write_text("".join(f"{name}={value}\n" for name, value in _theirs(configs).items()))
        options = [
            *("--bootstrap-server", configs["bootstrap_servers"], "--topic", topic, "--verbose"),
            *("--group-id", configs["group_id"], "--command-config", str(file)),
        ]
        # These have defaults that count for more than what is in the file.
        if "group_protocol" in configs:
            options += ["--group-protocol", configs["group_protocol"]]
        for option, name in (
            ("--group-remote-assignor", "group_remote_assignor"),
            ("--group-instance-id", "group_instance_id"),
            ("--session-timeout", "session_timeout_ms"),
        ):
            if name in configs:
                options += [option, str(configs[name])]
        if "partition_assignment_strategy" in configs:
            names = (_CONSUMER + _ASSIGNORS[name] for name in configs["partition_assignment_strategy"])
            options += ["--assignment-strategy", ",".join(names)]
        return tool_command("org.apache.kafka.tools.VerifiableConsumer", *options)

    def events(self) -> Iterator[Event]:
        behind = time.time() - time.monotonic()
        for line in self.output().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                yield from self._event(json.loads(line), behind)

    @staticmethod
    def _event(said: dict[str, Any], behind: float) -> Iterator[Event]:
        when = said["timestamp"] / 1000 - behind
        match said["name"]:
            case "partitions_assigned" | "partitions_revoked":
                name = said["name"].removeprefix("partitions_")
                yield [name, when, [place["partition"] for place in said["partitions"]]]
            case "record_data":
                offset = said["offset"]
                yield ["read", when, said["partition"], offset, offset, zlib.crc32(said["value"].encode())]
            case "offsets_committed" if said["success"]:
                yield ["committed", when, {place["partition"]: place["offset"] for place in said["offsets"]}]
            case "offsets_committed":
                yield ["failed", when, said["error"]]


class Mixed(Group):
    """A topic that is there, and a group that reads all of it: after each change it has to come to rest, and to read
    what is produced then."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, folder: Path, **configs: Any) -> None:
        configs = {"bootstrap_servers": bootstrap, "group_id": topic, "auto_offset_reset": "earliest", **configs}
        super().__init__(configs, topic, folder)
        self.logs: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
        self._producer = KafkaProducer(bootstrap_servers=bootstrap)
        self.produce()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._producer.close(10)

    def produce(self, count: int = 20) -> None:
        """So many to each partition."""
        for partition, values in self.logs.items():
            for number in range(len(values), len(values) + count):
                values.append(b"%d of %d" % (number, partition))
                self._producer.send(self.topic, values[-1], partition=partition)
        self._producer.flush(60)

    def rests(self) -> None:
        """Who is there shares the partitions, and reads what comes."""
        try:
            until(lambda: self.is_shared(len(self.logs)))
            self.produce()
            until(lambda: self.has_read({partition: len(values) for partition, values in self.logs.items()}))
        except AssertionError as error:
            shares = [(type(member).__name__, member.partitions(), member.said()) for member in self.living]
            raise AssertionError(f"{error}: {shares}") from None

    def enters(self, kind: type[Member], **configs: Any) -> Member:
        member = self.start(kind, **configs)
        self.rests()
        return member

    def leaves(self, index: int, how: str = "stop") -> None:
        """The one of the living at this index, who stops or is killed."""
        member = self.living[index]
        member.stop() if how == "stop" else member.kill()
        if self.living:
            self.rests()

    def finish(self) -> int:
        """All leave, and everything was read, by one member at a time; how many records were read again."""
        for member in self.living:
            member.stop()
        check_apart([list(member.events()) for member in self.members])
        return self.check(self.logs)
