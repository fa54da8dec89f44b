"""Record batches: format v2 written and read, v0 and v1 read, with every codec.

`RecordBatchBuilder` writes, `read_batches` reads. Nothing here does IO; `compress` and `decompress` load their
library on first use.
"""

from kafka._codec import Record
from kafka.records.batch import RecordBatch, read_batches
from kafka.records.builder import RecordBatchBuilder
from kafka.records.compression import CODECS, MAX_DECOMPRESSED, compress, decompress
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
