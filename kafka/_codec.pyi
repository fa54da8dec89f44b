from typing_extensions import Buffer

# Record batches

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

# Scanning files

def scan_csv(
    data: Buffer, start: int, column: int, delimiter: bytes = b",", quote: bytes | None = b'"', final: bool = False
) -> tuple[list[bytes], list[bytes | None], int, list[tuple[int, str]]]: ...
def scan_lines(data: Buffer, start: int, final: bool = False) -> tuple[list[bytes], int]: ...
