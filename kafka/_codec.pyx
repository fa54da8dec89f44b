"""The hot path: wire primitives, the schema kernel, record batches, the accumulator, records that are read.

One extension, cut into rooms of files that are read one at a time; this one only puts them together.
No socket, clock, thread, lock or random source in here: the accumulator is handed its clock, and is told by whoever
waits what to call when the wait is over.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject

from collections.abc import Sequence

from kafka.result import Err, Ok

include "_native/wire/primitives.pxi"
include "_native/wire/kernel.pxi"
include "_native/wire/decode.pxi"
include "_native/wire/writer.pxi"
include "_native/wire/encode.pxi"
include "_native/wire/frames.pxi"
include "_native/records/records.pxi"
include "_native/records/partition.pxi"
include "_native/records/scan.pxi"
include "_native/records/json.pxi"
include "_native/records/dumps.pxi"
include "_native/arrow.pxi"
include "_native/produce/region.pxi"
include "_native/produce/host.pxi"
include "_native/produce/pieces.pxi"
include "_native/produce/queues.pxi"
include "_native/produce/ledger.pxi"
include "_native/produce/memory.pxi"
include "_native/produce/rows.pxi"
include "_native/produce/rules.pxi"
include "_native/produce/accumulator.pxi"
include "_native/produce/batch.pxi"
include "_native/produce/callbacks.pxi"
include "_native/produce/cell.pxi"
include "_native/produce/foreign.pxi"
include "_native/produce/future.pxi"
include "_native/produce/unsent.pxi"
include "_native/produce/deferred.pxi"
include "_native/produce/producer.pxi"
include "_native/consume/page.pxi"
include "_native/consume/record.pxi"
include "_native/consume/reading.pxi"
include "_native/consume/fetched.pxi"
include "_native/consume/column.pxi"
include "_native/consume/columns.pxi"
include "_native/consume/arrow.pxi"

cdef extern from *:
    """
    static int kt_keep_from_python(PyTypeObject *type) {
        type->tp_new = NULL;
        type->tp_vectorcall = NULL;
        type->tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
        if (PyDict_DelItemString(type->tp_dict, "__new__") < 0) return -1;
        PyType_Modified(type);
        return 0;
    }
    """
    int keep_from_python "kt_keep_from_python"(PyTypeObject *type) except -1

# Made by anybody else these would be empty inside, where the code above does not look whether they are.
for made_here in (Plan, Spliced, Ledger, Memory, Block, Batch, Cell, Future, FutureRecordMetadata, FutureRecords,
                  Unsent, UnsentCall, UnsentRecord, UnsentRecords, Deferred, Failures, Page,
                  Column, BytesColumn, HeadersColumn, RecordColumns, Rows, ArrowChunk):
    keep_from_python(<PyTypeObject *>made_here)
del made_here


class MockSignature:
    """The signature that `unittest.mock.create_autospec` finds for a method in C: that of the method's `__call__`.

    It has the method's arguments, without `self`; without it, a mock of a producer takes any.
    """

    def __init__(self, method):
        self._method = method

    def __call__(self, *args, **kwargs):
        return self._method(*args, **kwargs)

    @property
    def __signature__(self):
        from inspect import signature

        whole = signature(self._method)
        return whole.replace(parameters=list(whole.parameters.values())[1:])


for documented in (Future, FutureRecordMetadata, FutureRecords, ProducerBase):
    for name, method in vars(documented).items():
        if not name.startswith("_") and callable(method):
            method.__call__ = MockSignature(method)
del documented, name, method
