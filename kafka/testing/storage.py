"""Where a partition's batches are kept: in memory, or in segment files as Apache Kafka lays them out."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from kafka.records import read_batches
from kafka.result import Err

SEGMENT_BYTES = 1 << 30  # log.segment.bytes of Kafka


class MemoryStorage:
    """Keeps the views it is given, and with them the request that they are part of: nothing is copied."""

    def __init__(self) -> None:
        self._batches: list[memoryview] = []

    def append(self, batch: memoryview, base: int) -> None:
        self._batches.append(batch)

    def read(self, first: int, most: int, at_least_one: bool, until: int | None = None) -> bytes:
        found: list[memoryview] = []
        for index in range(first, len(self._batches) if until is None else until):
            batch = self._batches[index]
            most -= len(batch)
            if most < 0 and not (at_least_one and not found):
                break
            found.append(batch)
        return b"".join(found)

    def truncate(self, batches: int) -> None:
        """Only so many are left."""
        del self._batches[batches:]

    def drop(self, number: int) -> None:
        """Lets go of one."""
        del self._batches[number]

    def close(self) -> None:
        self._batches.clear()


class FolderStorage:
    """`00000000000000000000.log` and its successors in `folder`, each named after its first offset.

    What was written is handed to the operating system before `append` returns, so that it survives the end of this
    process, but not of the machine. Kafka's own indexes are not written; it would rebuild them.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self._files: list[int] = []  # descriptors
        self._where: list[tuple[int, int, int]] = []  # of each batch: file, position, size
        self._end = 0  # of the last file
        folder.mkdir(parents=True, exist_ok=True)

    def reopen(self, topic: str | None = None, partition: int | None = None) -> Iterator[memoryview]:
        """Opens the segments that are there, and gives what is in them.

        A torn last batch is cut off. Raises CorruptBatchError, which names `topic` and `partition`, for one whose bytes
        are not what was written.
        """
        for path in sorted(path for path in self.folder.iterdir() if re.fullmatch(r"\d{20}\.log", path.name)):
            self._open(path)
            data = path.read_bytes()
            end = 0
            for result in read_batches(data, topic=topic, partition=partition):
                if isinstance(result, Err):
                    error = result.error.fresh()
                    error.hint = f"{path} is damaged; what stands before byte {error.position} is whole."
                    raise error
                batch = result.unwrap()
                self._where.append((len(self._files) - 1, batch.position, batch.size))
                end = batch.position + batch.size
                yield memoryview(data)[batch.position : end]
            if end < len(data):
                os.ftruncate(self._files[-1], end)
            self._end = end

    def append(self, batch: memoryview, base: int) -> None:
        size = len(batch)
        if not self._files or self._end + size > self.segment_bytes:
            self._open(self.folder / f"{base:020}.log")
            self._end = 0
        file = self._files[-1]
        rest = batch
        while rest:
            rest = rest[os.pwrite(file, rest, self._end + size - len(rest)) :]
        self._where.append((len(self._files) - 1, self._end, size))
        self._end += size

    def read(self, first: int, most: int, at_least_one: bool, until: int | None = None) -> bytes:
        found: list[bytes] = []
        number, start, end = -1, 0, 0
        for index in range(first, len(self._where) if until is None else until):
            file, position, size = self._where[index]
            most -= size
            if most < 0 and not (at_least_one and index == first):
                break
            if file != number:
                found.append(self._read(number, start, end))
                number, start = file, position
            end = position + size
        found.append(self._read(number, start, end))
        return b"".join(found)

    def _read(self, number: int, start: int, end: int) -> bytes:
        return os.pread(self._files[number], end - start, start) if end > start else b""

    def _open(self, path: Path) -> None:
        self._files.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))

    def close(self) -> None:
        for file in self._files:
            os.close(file)
        self._files.clear()

    def delete(self) -> None:
        self.close()
        shutil.rmtree(self.folder)
