"""`EmbeddedCluster`: brokers of a Kafka cluster inside this process, on real sockets."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from kafka.records import Record, read_batches
from kafka.testing.model.cluster import Cluster, Partition, Topic
from kafka.testing.model.log import Log
from kafka.testing.model.sasl import Sasl
from kafka.testing.node import Node
from kafka.testing.storage import FolderStorage, MemoryStorage

T = TypeVar("T")
_PARTITION_FOLDER = re.compile(r"(.+)-(\d+)")
_PRODUCER_IDS = 1000  # producer ids are given out in blocks; a restart begins a new one


class _World:
    """Time and chance for what the brokers do."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self.random = random.Random()

    @property
    def now(self) -> float:
        return self.loop.time()

    def after(self, delay: float, happens: Callable[[], None]) -> object:
        return self.loop.call_later(delay, happens)


class EmbeddedCluster(Cluster):
    """Brokers that any Kafka client can talk to, on a thread of this process.

        with EmbeddedCluster(nodes=3) as cluster:
            cluster.create_topic("flights", partitions=6)
            ...                                            # produce to cluster.bootstrap
            assert cluster.end_offset("flights", 0) == 1000

    `topics` maps names to numbers of partitions; they are there from the start. `port` is that of the first node, the
    others follow it; 0 takes free ones. With `folder` the log is kept in segment files like Kafka's, and is there again
    when a cluster is started in that folder; otherwise it is in memory. With `discard` everything is checked and
    counted, and the records are thrown away: for measuring producers. `auto_create`: a client's first mention of a
    topic creates it, with `default_partitions`. With `tls`, a context for servers, clients have to speak TLS; one that
    requires certificates of them does so here.

    With `users` (passwords by name) clients have to authenticate: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER
    with a token that nobody has signed. `cluster.sasl` has more: sessions that end, refusals, how long they take.

    What is there: Produce, Fetch, ListOffsets, Metadata, CreateTopics, DeleteTopics, idempotence and transactions,
    DescribeProducers, FindCoordinator, groups of the classic and the consumer protocol with their offsets,
    DescribeCluster, ApiVersions, SASL. Configuration, ACLs and quotas are not.
    """

    world: _World

    def __init__(
        self,
        nodes: int = 1,
        *,
        topics: Mapping[str, int] | None = None,
        users: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        folder: str | os.PathLike[str] | None = None,
        discard: bool = False,
        auto_create: bool = True,
        default_partitions: int = 1,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not _is_count(nodes):
            raise ValueError(f"a cluster needs a node at least, not {nodes!r}")
        if not _is_count(default_partitions):
            raise ValueError(f"a topic needs a partition at least: default_partitions is {default_partitions!r}")
        if not isinstance(topics or {}, Mapping):
            raise TypeError(f"topics maps names to numbers of partitions, as {{'orders': 6}} does; it is {topics!r}")
        if users is not None and not all(isinstance(text, str) for pair in dict(users).items() for text in pair):
            raise TypeError("users maps names to passwords, both strings")
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise TypeError(f"tls is an ssl.SSLContext for servers, not {tls!r}")
        if discard and folder is not None:
            raise ValueError("records cannot be both thrown away and kept in a folder")
        if port and not 1 <= port <= 65536 - nodes:
            raise ValueError(f"there are no {nodes} ports from {port} on: the last one is 65535, and 0 takes free ones")
        for name, count in (topics or {}).items():
            self._check_topic(name, count)
        super().__init__(_World(), base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode())
        self.sasl = None if users is None else Sasl(users, self.world, time.time)
        self.discards = discard
        self.auto_create = auto_create
        self.default_partitions = default_partitions
        self.tls = tls
        self.folder = None if folder is None else Path(folder)
        self.next_producer_id = _PRODUCER_IDS
        self.nodes = [Node(self, number + 1, host, port + number if port else 0) for number in range(nodes)]
        self.brokers = self.nodes
        self._wanted = dict(topics or {})
        self._thread: threading.Thread | None = None
        self._process = 0  # in which it runs
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> EmbeddedCluster:
        """Opens the sockets; clients can connect when this returns.

        After `stop()` it goes on: at the same ports, with what is in memory or in the folder. RuntimeError if it runs
        already, OSError if a port is taken or the folder cannot be used, ValueError if there is something else in it,
        CorruptBatchError if a log is damaged; nothing is left open then.
        """
        if self._thread is not None:
            raise RuntimeError(f"this cluster runs already, at {self.bootstrap}")
        try:
            for node in self.nodes:
                node.open()
            if self.folder is not None:
                self._reopen(self.folder)
            for name, count in self._wanted.items():
                if name not in self.topics:
                    self.add_topic(name, count)
            self._loop = self.world.loop = asyncio.new_event_loop()
            started: Future[None] = Future()
            run = threading.Thread(target=self._run, args=(self._loop, started), name="kafka.testing", daemon=True)
            run.start()
            self._thread = run
            self._process = os.getpid()
            started.result()
        except BaseException:
            self.stop()
            raise
        self._wanted.clear()
        return self

    def stop(self) -> None:
        """Closes all connections and files. What is in memory can still be looked at, and `start()` goes on with it.

        In the child of a fork this does nothing: the cluster is its parent's.
        """
        if self._thread is not None and self._process != os.getpid():
            return
        if self._thread is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the thread has failed
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = None
        for node in self.nodes:
            node.close()
        if self.folder is not None:
            for topic in self.topics.values():
                for partition in topic.partitions:
                    assert partition.log.storage is not None
                    partition.log.storage.close()

    def __enter__(self) -> EmbeddedCluster:
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, loop: asyncio.AbstractEventLoop, started: Future[None]) -> None:
        try:
            self.transactions.resume()
            for node in self.nodes:
                loop.run_until_complete(node.start())
            loop.call_soon(started.set_result, None)
            loop.run_forever()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            loop.run_until_complete(self._end())
            loop.close()

    async def _end(self) -> None:
        for node in self.nodes:
            node.close()
        # Connections that are being accepted have tasks; those that are being closed end in later turns of the loop.
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)
        for node in self.nodes:
            node.disconnect()
        while any(node.connections for node in self.nodes):
            await asyncio.sleep(0)

    def _on_thread(self, work: Callable[[], T]) -> T:
        """Everything here belongs to the cluster's thread: `work` runs there."""
        if self._thread is None or self._loop is None or self._thread is threading.current_thread():
            return work()
        if self._process != os.getpid():
            raise RuntimeError("this process was forked from the one in which the cluster runs: ask it there")
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result()

    # -- for tests ----------------------------------------------------------------------------------------------------

    @property
    def bootstrap(self) -> str:
        """`host:port` of every node, with commas between. RuntimeError before it is known, which `start()` decides."""
        if not all(node.port for node in self.nodes):
            raise RuntimeError("this cluster takes free ports when it starts: start() it, or use it in a with block")
        return ",".join(node.address for node in self.nodes)

    def create_topic(self, name: str, partitions: int = 1, configs: Mapping[str, str | None] | None = None) -> None:
        """ValueError if it exists or cannot have that name."""

        def create() -> None:
            if name in self.topics:
                raise ValueError(f"topic {name!r} exists")
            self._check_topic(name, partitions)
            self.add_topic(name, partitions, configs=configs)

        self._on_thread(create)

    def delete_topic(self, name: str) -> None:
        """KeyError if there is none."""
        self._on_thread(lambda: self.remove_topic(self.topics[name]))

    def end_offset(self, topic: str, partition: int) -> int:
        """The offset that the next record will get. KeyError, IndexError if there is no such partition."""
        return self._on_thread(lambda: self._partition(topic, partition).log.end)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Partition -> offset that the next record will get."""
        partitions = self._on_thread(lambda: [partition.log.end for partition in self.topics[topic].partitions])
        return dict(enumerate(partitions))

    def records(self, topic: str, partition: int = 0) -> list[Record]:
        """All records of a partition, in the order of their offsets; those of aborted transactions, too."""
        log = self._partition(topic, partition).log
        if log.storage is None:
            raise ValueError("this cluster throws its records away (discard=True)")
        if self.folder is not None and self._thread is None:
            raise RuntimeError(f"this cluster is stopped, and its records are in {self.folder}: start() opens them")
        data = self._on_thread(log.read_all)
        batches = [result.unwrap() for result in read_batches(data)]
        return [record for batch in batches if not batch.is_control for record in batch.records().unwrap()]

    def committed_offsets(self, group: str) -> dict[tuple[str, int], int]:
        """(topic, partition) -> offset that the group's members or transactions have committed."""
        known = self._on_thread(lambda: dict(self.groups.groups[group].offsets) if group in self.groups.groups else {})
        return {place: committed.offset for place, committed in known.items()}

    def _partition(self, topic: str, index: int) -> Partition:
        if index < 0:
            raise IndexError(f"there is no partition {index}")
        return self.topics[topic].partitions[index]

    def _check_topic(self, name: str, partitions: int) -> None:
        if not isinstance(name, str) or not self.is_valid_name(name) or not _is_count(partitions):
            raise ValueError(f"there can be no topic {name!r} with {partitions!r} partitions")

    # -- what the model asks for ---------------------------------------------------------------------------------------

    def new_partition(self, topic: Topic, index: int, replicas: Sequence[int]) -> Partition:
        return Partition(Log(self._storage(topic, index)), replicas)

    def remove_topic(self, topic: Topic) -> None:
        super().remove_topic(topic)
        for partition in topic:
            storage = partition.log.storage
            if isinstance(storage, FolderStorage):
                storage.delete()

    def _storage(self, topic: Topic, index: int) -> MemoryStorage | FolderStorage | None:
        if self.folder is None:
            return None if self.discards else MemoryStorage()
        storage = FolderStorage(self.folder / f"{topic.name}-{index}")
        id = base64.urlsafe_b64encode(topic.id).rstrip(b"=").decode()
        (storage.folder / "partition.metadata").write_text(f"version: 0\ntopic_id: {id}\n")
        return storage

    def _reopen(self, folder: Path) -> None:
        """Finds topics, logs and producers again, and the cluster's id; nothing else is known any more."""
        self.topics.clear()
        self.topics_by_id.clear()
        self.transactions.forget()
        self.next_producer_id = _PRODUCER_IDS
        folder.mkdir(parents=True, exist_ok=True)
        properties = folder / "meta.properties"
        if properties.exists():
            self.id = _written(properties, r"^cluster\.id=(.+)$")
        else:
            properties.write_text(f"version=1\ncluster.id={self.id}\n")
        found: dict[str, dict[int, Path]] = {}
        for path in folder.iterdir():
            match = _PARTITION_FOLDER.fullmatch(path.name)
            if match and (path / "partition.metadata").exists():
                found.setdefault(match[1], {})[int(match[2])] = path
        for name, paths in sorted(found.items()):
            if sorted(paths) != list(range(len(paths))):
                raise ValueError(f"{folder} has partitions {sorted(paths)} of topic {name}: they must go from 0 on")
            id = base64.urlsafe_b64decode(_written(paths[0] / "partition.metadata", r"^topic_id: ([\w-]{22})$") + "==")
            topic = Topic(name, id, [], {})
            count = len(self.nodes)
            first = len(self.topics)
            self.topics[name] = self.topics_by_id[id] = topic
            for index in range(len(paths)):
                storage = FolderStorage(paths[index])
                log = Log(storage)
                ids = [self.nodes[(first + index + copy) % count].id for copy in range(min(3, count))]
                partition = Partition(log, ids)
                topic.partitions.append(partition)
                for batch in storage.reopen(name, index):
                    log.restore(batch)
                used = max(log.producers.known, default=-1) // _PRODUCER_IDS + 1
                self.next_producer_id = max(self.next_producer_id, used * _PRODUCER_IDS)
                for producer_id in list(log.producers.open):  # nobody knows any more what was to become of it
                    partition.end_transaction(producer_id, log.producers.known[producer_id].epoch, False)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _written(path: Path, pattern: str) -> str:
    """What a small file of Kafka's says."""
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{path} is not what Kafka writes there: it has no line {pattern}")
    return found[1]
