"""Record batches: format v2 written and read, v0 and v1 read, with every codec.

`RecordBatchBuilder` writes, `read_batches` reads. Nothing here does IO. Names load on first use: a producer needs only
`kafka.records.crc` until it compresses. `compress` and `decompress` load their libraries on first use.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kafka._codec import Record
    from kafka.records.batch import RecordBatch, read_batches
    from kafka.records.builder import RecordBatchBuilder
    from kafka.records.compression import CODECS, compress
    from kafka.records.decompression import MAX_DECOMPRESSED, decompress
    from kafka.records.errors import CorruptBatchError, DecompressionError

__all__ = [
    "CODECS",
    "MAX_DECOMPRESSED",
    "CorruptBatchError",
    "DecompressionError",
    "Record",
    "RecordBatch",
    "RecordBatchBuilder",
    "compress",
    "decompress",
    "read_batches",
]

_MODULES = {
    "kafka._codec": ("Record",),
    "kafka.records.batch": ("RecordBatch", "read_batches"),
    "kafka.records.builder": ("RecordBatchBuilder",),
    "kafka.records.compression": ("CODECS", "compress"),
    "kafka.records.decompression": ("MAX_DECOMPRESSED", "decompress"),
    "kafka.records.errors": ("CorruptBatchError", "DecompressionError"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
