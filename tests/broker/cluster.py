"""Apache Kafka nodes as child processes, and Kafka's own command-line tools to look at what is in them.

    with KafkaCluster(nodes=3) as cluster:
        cluster.create_topic("t", partitions=6)
        ...                                      # produce to cluster.bootstrap
        cluster.nodes[0].kill()                  # SIGKILL; start() brings it back on the same ports and folder
        assert sum(cluster.end_offsets("t").values()) == 1000

Every node is a broker, and a controller too unless told otherwise (KRaft); Kafka 3.9 and newer. A tool is a JVM of its
own: 1 to 2 seconds a call, so ask for much at once. Nodes die with the process that started them, and with the *thread*
that started them: call start() from a thread that outlives the node.
"""

from __future__ import annotations

import atexit
import base64
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import kafka_jars

from . import wire

_HERE = Path(__file__).resolve().parent
# Nodes live for seconds: without the optimising compiler, and with their classes from an archive (see _archive), one
# starts with a third of the processor time, 2.4 seconds of it instead of 7.
_JVM = ["-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
_NODE_JVM = [*_JVM, "-Xms350m", "-Xmx350m", "-XX:+UseG1GC"]
_TOOL_JVM = [*_JVM, "-Xmx350m", "-XX:+UseSerialGC"]
_STARTED = b"Kafka Server started"

# A fast node on a shared two-core machine, safe for one to three nodes. Everything else is Kafka's default.
_CONFIGS = {
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.session.timeout.ms": "6000",
    "log.cleaner.dedupe.buffer.size": "4194304",  # the default is a third of the heap
}


class ToolFailed(Exception):
    """One of Kafka's command-line tools ended with an error; carries what it wrote to standard error."""


class NodeFailed(Exception):
    """A node ended or did not serve in time; carries its log from the first error on."""


@dataclass(frozen=True)
class ConsumedRecord:
    """What Java's console consumer read. `timestamp` is as printed: `CreateTime:1700000000000`."""

    partition: int
    offset: int
    timestamp: str
    headers: bytes
    key: bytes | None
    value: bytes | None


@dataclass
class DumpedBatch:
    """A batch as DumpLogSegments prints it: `fields["baseOffset"]`, `fields["isvalid"]`, ...; a line a record."""

    fields: dict[str, str]
    records: list[str] = field(default_factory=list)


class KafkaNode:
    """One Apache Kafka process: its ports, folder and log, kept over any number of starts."""

    def __init__(self, node_id: int, folder: Path, version: str) -> None:
        self.node_id = node_id
        self.folder = folder
        self.version = version
        self.choose_ports()
        self.config_file = folder / "server.properties"
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.jvm: tuple[str, ...] = ()  # options for Java
        self.process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def choose_ports(self) -> None:
        self.port, self.controller_port = _free_ports(2)
        self.address = f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *jvm: str) -> None:
        """Starts the process, `jvm` being more options for Java; wait_ready() waits until it serves."""
        assert not self.alive, f"node {self.node_id} is running"
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    kafka_jars.java(),
                    *_NODE_JVM,
                    *(jvm or _from_archive(self.version)),
                    *self.jvm,
                    f"-Dlog4j2.configurationFile={_HERE / 'log4j2.properties'}",
                    "-cp",
                    kafka_jars.classpath(self.version),
                    "kafka.Kafka",
                    str(self.config_file),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C is for the tests; they stop the node
            )
        atexit.register(self.kill)

    def wait_ready(self, timeout: float = 90.0) -> None:
        """Returns when the node has said that it started and answers a request; NodeFailed otherwise."""
        deadline = time.monotonic() + timeout
        while True:
            if not self.alive:
                raise NodeFailed(f"node {self.node_id} ended while starting:\n{self._why()}")
            with open(self.log, "rb") as log:
                log.seek(self._log_start)
                started = _STARTED in log.read()
            if started:
                try:
                    return wire.api_versions(self.port)
                except OSError:
                    pass
            if time.monotonic() > deadline:
                raise NodeFailed(f"node {self.node_id} did not serve within {timeout:.0f} s:\n{self._why()}")
            time.sleep(0.05)

    def stop(self, timeout: float = 30.0) -> None:
        """A clean stop (SIGTERM); SIGKILL when that takes longer than `timeout` seconds."""
        if self.process is None:
            return
        if self.alive:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as a power cut would; returns when the process is gone."""
        atexit.unregister(self.kill)
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: the node holds its connections and says nothing, until resume()."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # Its threads may run on for a moment: until then it answers.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _why(self) -> str:
        """The log from the first error of this start on, else its end."""
        with open(self.log, "rb") as log:
            text = log.read()[self._log_start :].decode(errors="replace")
        error = re.search(r"^\[[^]]*\] (ERROR|FATAL) ", text, re.MULTILINE)
        return text[error.start() :][:4000] if error else text[-4000:]


class KafkaCluster:
    """`nodes` Apache Kafka nodes on 127.0.0.1, in a temporary folder that goes with them.

    `configs` are server properties on top of Kafka's defaults, for every node. The first `controllers` nodes are
    controllers too (None: all), so that the others can go without a vote on who comes after them.
    kafka_jars.Unavailable when this machine has no Java or cannot get the jars.
    """

    def __init__(
        self,
        nodes: int = 1,
        configs: Mapping[str, str] | None = None,
        version: str = kafka_jars.VERSION,
        controllers: int | None = None,
    ) -> None:
        self.version = version
        self._controllers = nodes if controllers is None else controllers
        kafka_jars.java(), kafka_jars.classpath(version)
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.cluster_id = _new_id()
        self.nodes = [KafkaNode(number, self.folder / f"node-{number}", version) for number in range(1, nodes + 1)]
        self.bootstrap = ",".join(node.address for node in self.nodes)
        # 4.2 moved DumpLogSegments and renamed the options of the console tools.
        self._old_tools = tuple(map(int, version.split(".")[:2])) < (4, 2)
        self._configs = {**_CONFIGS, **(configs or {})}

    def start(self) -> None:
        """Formats the folders, starts every node and returns when all of them serve."""
        _archive(self.version)
        try:
            self._start()
        except NodeFailed as failed:
            # A port that was free is not always free any more. Once is bad luck, and is said; twice is a failure.
            print(f"Kafka is started once more, on other ports: {failed}", file=sys.__stderr__)
            for node in self.nodes:
                node.kill()
                shutil.rmtree(node.folder)
                node.choose_ports()
            self.bootstrap = ",".join(node.address for node in self.nodes)
            self._start()

    def _start(self) -> None:
        self._format()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()

    def _format(self) -> None:
        for node in self.nodes:
            node.folder.mkdir()
            properties = {**self._properties(node), **self._configs}
            node.config_file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        # The tool formats the first folder, and the others are copies with names of their own: a JVM less for each.
        first = self.nodes[0]
        cluster = f"--cluster-id={self.cluster_id}"  # one argument: the id may start with a dash
        self._tool("kafka.tools.StorageTool", "format", cluster, "--config", str(first.config_file))
        for node in self.nodes[1:]:
            shutil.copytree(first.data, node.data)
            file = node.data / "meta.properties"
            own = {"node.id": str(node.node_id), "directory.id": _new_id()}
            lines = (line.partition("=") for line in file.read_text().splitlines() if not line.startswith("#"))
            file.write_text("".join(f"{name}={own.get(name, value)}\n" for name, _, value in lines))

    def _properties(self, node: KafkaNode) -> dict[str, str]:
        """What the node is told unless `configs` say otherwise."""
        controllers = self.nodes[: self._controllers]
        control = node in controllers
        replicas = str(len(self.nodes))
        return {
            "node.id": str(node.node_id),
            "process.roles": "broker,controller" if control else "broker",
            "listeners": f"PLAINTEXT://{node.address}"
            + (f",CONTROLLER://127.0.0.1:{node.controller_port}" if control else ""),
            "advertised.listeners": f"PLAINTEXT://{node.address}",
            "controller.quorum.voters": ",".join(
                f"{other.node_id}@127.0.0.1:{other.controller_port}" for other in controllers
            ),
            "log.dirs": str(node.data),
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "share.coordinator.state.topic.replication.factor": replicas,
        }

    def stop(self) -> None:
        """Stops every node and removes the folder."""
        for node in self.nodes:
            if node.alive:
                node.resume()
                if node.process is not None:
                    node.process.terminate()
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> KafkaCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def create_topic(
        self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None, replicas: int | None = None
    ) -> None:
        """Creates the topic and returns when every living node names a leader for every partition; 20 ms or so."""
        living = [node for node in self.nodes if node.alive]
        wire.create_topic(living[0].port, name, partitions, replicas or len(self.nodes), configs or {})
        deadline = time.monotonic() + 30
        for node in living:
            while True:
                leaders = wire.leaders(node.port, name)
                if len(leaders) == partitions and -1 not in leaders.values():
                    break
                assert time.monotonic() < deadline, f"node {node.node_id} knows no leaders of {name}: {leaders}"
                time.sleep(0.02)

    def leaders(self, topic: str) -> dict[int, int]:
        """Partition -> node id of its leader (-1: none), as the first living node sees it."""
        return wire.leaders(next(node.port for node in self.nodes if node.alive), topic)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Partition -> end offset, as Java's GetOffsetShell says."""
        answer = self._tool(
            "org.apache.kafka.tools.GetOffsetShell",
            *("--bootstrap-server", self.bootstrap, "--topic", topic.replace(".", "[.]")),
        )
        lines = (line.rsplit(":", 2) for line in answer.decode().splitlines())
        return {int(partition): int(offset) for _, partition, offset in lines}

    def dump_log(self, topic: str, partition: int = 0, node: int = 0) -> list[DumpedBatch]:
        """The batches in a partition's files on one node (index into `nodes`), read by Java's DumpLogSegments."""
        files = sorted(self.nodes[node].data.joinpath(f"{topic}-{partition}").glob("*.log"))
        assert files, f"node {self.nodes[node].node_id} has no log of {topic}-{partition}"
        answer = self._tool(
            "kafka.tools.DumpLogSegments" if self._old_tools else "org.apache.kafka.tools.DumpLogSegments",
            *("--files", ",".join(map(str, files)), "--print-data-log"),
        )
        batches: list[DumpedBatch] = []
        for line in answer.decode(errors="replace").splitlines():
            if line.startswith("baseOffset:"):
                batches.append(DumpedBatch(dict(re.findall(r"(\w+): (\S+)", line))))
            elif line.startswith("| "):
                batches[-1].records.append(line[2:])
        return batches

    def console_consume(
        self, topic: str, count: int, partition: int | None = None, *options: str, timeout: float = 60.0
    ) -> list[ConsumedRecord]:
        """The first `count` records by Java's console consumer: of one partition, or of all (through a group).

        Fewer come back when none arrives for 10 s. `options` go to the tool, e.g. "--isolation-level".
        """
        formatting = {
            "key.separator": "\x1f",
            "line.separator": "\x1e\n",
            "null.literal": "\x1d",
            **{f"print.{name}": "true" for name in ("partition", "offset", "timestamp", "headers", "key", "value")},
        }
        option = "--property" if self._old_tools else "--formatter-property"
        where = ["--from-beginning"] if partition is None else ["--partition", str(partition), "--offset", "earliest"]
        answer = self._tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            *("--bootstrap-server", self.bootstrap, "--topic", topic, *where),
            *("--max-messages", str(count), "--timeout-ms", "10000"),
            *(part for key, value in formatting.items() for part in (option, f"{key}={value}")),
            *options,
            timeout=timeout,
            check=False,
        )
        records = []
        for line in answer.split(b"\x1e\n")[:-1]:
            timestamp, number, offset, headers, key, value = line.split(b"\x1f", 5)
            records.append(
                ConsumedRecord(
                    int(number.removeprefix(b"Partition:")),
                    int(offset.removeprefix(b"Offset:")),
                    timestamp.decode(),
                    headers,
                    None if key == b"\x1d" else key,
                    None if value == b"\x1d" else value,
                )
            )
        return records

    def console_produce(
        self, topic: str, lines: Iterable[bytes], *options: str, timeout: float = 60.0, **properties: str
    ) -> None:
        """Java's console producer on `lines`; `properties` are the producer's, with _ for the dot.

        With "--reader-property", "parse.key=true" among `options` a line is key, tab, value.
        """
        option = "--producer-property" if self._old_tools else "--command-property"
        settings = (f"{key.replace('_', '.')}={value}" for key, value in properties.items())
        self._tool(
            "kafka.tools.ConsoleProducer" if self.version < "4" else "org.apache.kafka.tools.ConsoleProducer",
            *("--bootstrap-server", self.bootstrap, "--topic", topic),
            *(part for setting in settings for part in (option, setting)),
            *options,
            stdin=b"".join(line + b"\n" for line in lines),
            timeout=timeout,
        )

    def _tool(self, main: str, *arguments: str, stdin: bytes = b"", timeout: float = 60.0, check: bool = True) -> bytes:
        done = subprocess.run(
            tool_command(main, *arguments, version=self.version), input=stdin, capture_output=True, timeout=timeout
        )
        # A tool that logged an error and gave up has often still ended with 0.
        if check and (done.returncode or b"] ERROR" in done.stderr):
            raise ToolFailed(f"{main} ended with {done.returncode}: {done.stderr[-3000:].decode(errors='replace')}")
        return done.stdout


def tool_command(main: str, *arguments: str, version: str = kafka_jars.VERSION) -> list[str]:
    """The command that runs one of Kafka's tools, by the name of its class."""
    return [
        str(kafka_jars.java()),
        *_TOOL_JVM,
        *_from_archive(version),
        f"-Dlog4j2.configurationFile={_HERE / 'log4j2-tools.properties'}",
        "-cp",
        kafka_jars.classpath(version),
        main,
        *arguments,
    ]


def _new_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _archive_file(version: str) -> Path:
    return kafka_jars.cache_folder() / f"kafka-{version}.jsa"


def _from_archive(version: str) -> list[str]:
    # Java takes no notice of an archive that another Java or other jars made.
    file = _archive_file(version)
    return [f"-XX:SharedArchiveFile={file}"] if file.exists() else []


def _archive(version: str) -> None:
    """Sees to it that the archive of the classes that a node loads is there: written by a node as it ends, once a
    checkout and version; some 15 seconds."""
    file = _archive_file(version)
    if file.exists():
        return
    with kafka_jars.locked():
        if file.exists():
            return
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        cluster = KafkaCluster(version=version)
        try:
            cluster._format()
            cluster.nodes[0].start(f"-XX:ArchiveClassesAtExit={partial}")
            cluster.nodes[0].wait_ready()
            cluster.create_topic("t")
        finally:
            cluster.stop()
        if partial.exists():  # a Java without such archives does without
            partial.rename(file)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now. From below the range that the system gives to outgoing connections, so that a node that
    is down for a while finds its ports still free."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15000, 32000)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        found.append(port)
    return found


_given: set[int] = set()  # ports of this process's nodes, whether they are up or not


_PR_SET_PDEATHSIG = 1
try:
    _prctl = ctypes.CDLL(None).prctl
except AttributeError:  # not Linux: atexit has to do
    _prctl = None


def _die_with_parent() -> None:
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
