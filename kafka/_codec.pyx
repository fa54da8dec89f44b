"""The hot path: wire primitives, the schema kernel, record batches, the accumulator.

One extension, cut into files that are read one at a time; this one only puts them together.
No socket, clock, thread or random source in here: the accumulator is handed its clock.
"""

cimport cython

from collections.abc import Sequence

from kafka.result import Err, Ok

include "_codec_primitives.pxi"
include "_codec_kernel.pxi"
include "_codec_decode.pxi"
include "_codec_encode.pxi"
include "_codec_records.pxi"
include "_codec_partition.pxi"
include "_codec_scan.pxi"
include "_codec_region.pxi"
include "_codec_accumulator.pxi"
include "_codec_batch.pxi"
include "_codec_cell.pxi"
include "_codec_future.pxi"
include "_codec_producer.pxi"
