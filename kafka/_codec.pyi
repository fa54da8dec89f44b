"""What `_codec.pyx` has, for type checkers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from typing_extensions import Buffer

from kafka.errors import DecodeError, KafkaError, ProtocolError
from kafka.protocol._message import Message, Request, Response
from kafka.protocol.header import RequestHeader
from kafka.records.compression import Codec
from kafka.result import Ok, Result
from kafka.structs import RecordMetadata, TopicPartition

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Response)
F = TypeVar("F", bound=Future)
C = TypeVar("C", bound=ConsumerBase)

# Record batches: where the fields of a v2 header are, the bits of its attributes

BATCH_LENGTH: int
BATCH_LEADER_EPOCH: int
BATCH_MAGIC: int
BATCH_CRC: int
BATCH_ATTRIBUTES: int
BATCH_LAST_OFFSET_DELTA: int
BATCH_BASE_TIMESTAMP: int
BATCH_MAX_TIMESTAMP: int
BATCH_PRODUCER_ID: int
BATCH_PRODUCER_EPOCH: int
BATCH_BASE_SEQUENCE: int
BATCH_COUNT: int
BATCH_HEADER_SIZE: int
BATCH_LENGTH_END: int
ATTRIBUTE_CODEC_MASK: int
ATTRIBUTE_LOG_APPEND_TIME: int
ATTRIBUTE_TRANSACTIONAL: int
ATTRIBUTE_CONTROL: int

def batch_fields(data: Buffer, at: int) -> tuple[int, int, int, int, int, int, int, int, int, int]: ...
def batch_header(
    size: int,
    base_offset: int,
    attributes: int,
    last_offset_delta: int,
    base_timestamp: int,
    max_timestamp: int,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
    count: int,
) -> bytearray: ...
def decode_records(
    data: Buffer,
    count: int,
    base_offset: int,
    last_offset_delta: int,
    base_timestamp: int,
    append_timestamp: int,
    log_append_time: bool,
    memory: int,
) -> tuple[list[Record] | None, str | None, int]: ...

class RecordWriter:
    count: int
    base_timestamp: int
    max_timestamp: int
    def append(
        self,
        timestamp: int,
        key: Buffer | None,
        value: Buffer | None,
        headers: list[tuple[str, bytes | None]] | tuple[tuple[str, bytes | None], ...] | None = None,
    ) -> int: ...
    def encoded(self) -> bytes: ...
    def __len__(self) -> int: ...

class Record:
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    def __init__(
        self, offset: int, timestamp: int, timestamp_type: int, key: bytes | None, value: bytes | None
    ) -> None: ...

# The schema kernel

class Encoded(Ok[bytes]):
    dropped: tuple[tuple[str, Any], ...]

def encode(message: Message, version: int, *, lenient: bool = False) -> Result[bytes, ProtocolError]: ...
def decode(cls: type[M], version: int | None, data: Buffer) -> Result[M, DecodeError]: ...
def encode_request(
    message: Request, version: int, correlation_id: int, client_id: str | None
) -> Result[list[Buffer], ProtocolError]: ...
def encode_response(message: Response, version: int, correlation_id: int) -> Result[list[Buffer], ProtocolError]: ...
def decode_response(cls: type[R], version: int, frame: Buffer) -> Result[tuple[int, R], DecodeError]: ...
def decode_request(frame: Buffer) -> Result[tuple[RequestHeader, Any], DecodeError]: ...
def decode_request_header(frame: Buffer) -> Result[tuple[RequestHeader, int], DecodeError]: ...
def register_protocol(
    request_class: Callable[[int], type[Request] | None],
    load_headers: Callable[[], tuple[type[Message], type[Message]]],
) -> None: ...

# Topics and partitions

def check_topic(topic: object) -> str: ...
def murmur2(data: Buffer) -> int: ...

# The accumulator

class ManualHost:
    now: float
    wall_ms: int
    wakes: int
    def host_capsule(self) -> object: ...

class Queue:
    topic: str
    partition: int
    def pull(self, now: float) -> Batch | None: ...
    def let_go(self) -> bool: ...

class Batch:
    topic: str
    records: int
    first: int
    plain: int
    created: float
    deadline: float
    cell: Cell
    attempts: int
    sequence: int
    stamped: bool
    in_flight: bool
    doubtful: bool
    provable: bool
    @property
    def size(self) -> int: ...
    @property
    def partition(self) -> int: ...
    @property
    def done(self) -> bool: ...
    def bind(self, partition: int) -> None: ...
    def compress(self) -> None: ...
    def stamp(
        self, producer_id: int = -1, epoch: int = -1, base_sequence: int = -1, *, transactional: bool = False
    ) -> None: ...
    def complete(self, base_offset: int = -1, log_append_time: int = -1) -> None: ...
    def fail(self, error: BaseException) -> None: ...
    def fail_records(self, errors: Mapping[int, BaseException], other: BaseException) -> None: ...
    def split(self, limit: int) -> list[Batch]: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Accumulator:
    memory: int
    used: int
    linger: float
    delivery_timeout: float
    largest: int
    codec: Codec | None
    closed: bool
    waits: Any
    failures: dict[tuple[str, int], list[Any]]
    batches_taken: int
    waiting: int
    @property
    def outside(self) -> int: ...
    def __init__(
        self,
        host: Any,
        *,
        memory: int,
        linger: float,
        delivery_timeout: float,
        batch_size: int = 0,
        max_request_size: int = 1048576,
        codec: Codec | None = None,
        waits: Any = None,
    ) -> None: ...
    def partition_count(self, topic: str) -> int: ...
    def set_partition_count(self, topic: str, count: int, *, recreated: bool = False) -> None: ...
    def wake_waiters(self) -> None: ...
    def make_all_ready(self) -> None: ...
    def begin_flush(self) -> None: ...
    def end_flush(self) -> None: ...
    def unresolved(self) -> list[Cell]: ...
    def unresolved_records(self) -> int: ...
    def take_failures(self) -> dict[tuple[str, int], list[Any]]: ...
    def close(self) -> None: ...
    def reopen(self) -> None: ...
    def abandon(self, error: BaseException) -> None: ...
    def take_ready(self, now: float) -> list[Queue]: ...
    def take_expired(self, now: float) -> list[Batch]: ...
    def next_deadline(self) -> float: ...
    def sleep(self, until: float) -> bool: ...
    def awake(self) -> None: ...
    def now(self) -> float: ...

# Futures

class Cell:
    topic: str
    partition: int
    count: int
    base_offset: int
    log_append_time: int
    error: KafkaError | None
    outcomes: list[tuple[int, int, int, int, KafkaError | None]] | None
    done: bool
    told: bool
    def notify(self, release: Callable[[], object], *, told: bool = False) -> bool: ...
    def forget(self, release: Callable[[], object], *, told: bool = False) -> None: ...
    def give_up(self, error: BaseException) -> None: ...

class Future:
    @property
    def is_done(self) -> bool: ...
    @property
    def value(self) -> Any: ...
    @property
    def exception(self) -> KafkaError | None: ...
    def succeeded(self) -> bool: ...
    def failed(self) -> bool: ...
    def retriable(self) -> bool: ...
    def add_callback(self: F, f: Callable[..., object], *args: Any, **kwargs: Any) -> F: ...
    def add_errback(self: F, f: Callable[..., object], *args: Any, **kwargs: Any) -> F: ...
    def add_both(self: F, f: Callable[..., object], *args: Any, **kwargs: Any) -> F: ...

class FutureRecordMetadata(Future):
    @property
    def topic_partition(self) -> TopicPartition | None: ...
    def get(self, timeout: float | None = None) -> RecordMetadata: ...

class FutureRecords(Future):
    def get(self, timeout: float | None = None) -> Sequence[RecordMetadata]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, number: int) -> Result[RecordMetadata, KafkaError] | None: ...
    def __iter__(self) -> Iterator[Result[RecordMetadata, KafkaError] | None]: ...

# The producer

class Unsent:
    closed: bool
    partitions: str | None
    least: int  # of its partitions
    memory: int
    granted: int
    accumulator: Accumulator
    deadline: float
    def queue_up(self, release: Callable[[], object]) -> None: ...
    def take(self) -> bool: ...
    def give_up(self) -> None: ...
    def tell(self, error: BaseException) -> None: ...
    def try_again(self) -> FutureRecordMetadata | FutureRecords | Unsent: ...

class UnsentRecords(Unsent):
    index: int

class ProducerBase:
    waits: bool
    def __init__(
        self,
        accumulator: Accumulator,
        *,
        key_serializer: Any = None,
        value_serializer: Any = None,
        partitioner: Any = None,
        max_request_size: int = 1048576,
    ) -> None: ...
    def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> FutureRecordMetadata: ...
    def send_many(
        self,
        topic: str,
        values: Sequence[Any],
        keys: Sequence[Any] | None = None,
        headers: Sequence[Sequence[tuple[str, bytes | None]] | None] | None = None,
        timestamps: Sequence[int] | None = None,
        partition: int | None = None,
    ) -> FutureRecords: ...
    def _wait(self, unsent: Unsent) -> None: ...
    def _cluster(self) -> Any: ...

# Scanning files

def scan_csv(
    data: Buffer, start: int, column: int, delimiter: bytes = b",", quote: bytes | None = b'"', final: bool = False
) -> tuple[list[bytes], list[bytes | None], int, list[tuple[int, str]]]: ...
def scan_json(
    data: Buffer, start: int, field: bytes | None = None, final: bool = False
) -> tuple[list[bytes], list[bytes | None], int, int, tuple[int, str] | None]: ...
def scan_keyed_lines(
    data: Buffer, start: int, delimiter: bytes, final: bool = False
) -> tuple[list[bytes], list[bytes | None], int, bool]: ...
def scan_lines(data: Buffer, start: int, final: bool = False) -> tuple[list[bytes], int]: ...

class ConsumerRecord:
    _fields: tuple[str, ...]
    _field_defaults: dict[str, Any]
    __match_args__: tuple[str, ...]
    def __init__(
        self,
        topic: str,
        partition: int,
        leader_epoch: int | None,
        offset: int,
        timestamp: int,
        timestamp_type: int,
        key: Any,
        value: Any,
        headers: list[tuple[str, bytes | None]],
        checksum: None = None,
        serialized_key_size: int = -1,
        serialized_value_size: int = -1,
        serialized_header_size: int = -1,
    ) -> None: ...
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def leader_epoch(self) -> int | None: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int: ...
    @property
    def key(self) -> Any: ...
    @property
    def value(self) -> Any: ...
    @property
    def headers(self) -> list[tuple[str, bytes | None]]: ...
    @property
    def checksum(self) -> None: ...
    @property
    def serialized_key_size(self) -> int: ...
    @property
    def serialized_value_size(self) -> int: ...
    @property
    def serialized_header_size(self) -> int: ...
    @classmethod
    def _make(cls, fields: Iterable[Any]) -> ConsumerRecord: ...
    def _asdict(self) -> dict[str, Any]: ...
    def _replace(self, **fields: Any) -> ConsumerRecord: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __contains__(self, item: object) -> bool: ...
    def count(self, item: object) -> int: ...
    def index(self, item: object, *bounds: int) -> int: ...

class Pins:
    @property
    def limit(self) -> int: ...
    @property
    def pinned(self) -> int: ...

class ReadPosition:
    paused: bool
    high_watermark: int
    last_stable: int
    log_start: int
    def __init__(self, partition: TopicPartition) -> None: ...
    @property
    def partition(self) -> TopicPartition: ...
    @property
    def offset(self) -> int: ...
    @property
    def leader_epoch(self) -> int: ...
    @property
    def generation(self) -> int: ...
    def move(self, offset: int, epoch: int) -> int: ...
    def settle(self, generation: int, offset: int) -> bool: ...

class ReadRules:
    @property
    def pins(self) -> Pins: ...
    def __init__(
        self,
        *,
        check_crc: bool,
        read_committed: bool,
        header_memory: int,
        opened: Callable[[int, memoryview], Any],
        legacy: Callable[[memoryview, bool], list[Record]],
        corrupt: Callable[[str, TopicPartition, int], Exception],
        undeserializable: Callable[[ConsumerRecord, str, Exception], Exception],
        key_deserializer: Callable[..., Any] | None = None,
        value_deserializer: Callable[..., Any] | None = None,
    ) -> None: ...

def scan_batches(data: Buffer) -> tuple[int, int, int]: ...

class Fetched:
    def __init__(
        self, position: ReadPosition, rules: ReadRules, data: Buffer, aborted: Iterable[tuple[int, int]] = ()
    ) -> None: ...
    @property
    def position(self) -> ReadPosition: ...
    @property
    def size(self) -> int: ...
    @property
    def is_stale(self) -> bool: ...
    def take(self, most: int) -> list[ConsumerRecord]: ...
    def finish(self) -> None: ...

class ConsumerBase:
    attention: bool
    current: Fetched | None
    def __iter__(self: C) -> C: ...
    def __next__(self) -> ConsumerRecord: ...
    def _next_fetched(self) -> Fetched: ...
