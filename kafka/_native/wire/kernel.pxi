# The schema kernel: walks the program of a struct (kafka/protocol/_program.py) to decode and encode it.
#
# A plan is the program resolved for one version, as C arrays. Bad input is no exception in here: a
# function that meets it leaves the reason in its Reader or Writer and returns NULL (or 1), and each
# level adds its field to the path on the way out, so that paths cost nothing while all is well.
# Python exceptions (out of memory) travel as usual.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport INT64_MIN
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove

from kafka.errors import DecodeError, EncodeError, UnsupportedField
from kafka.result import Err, Ok

cdef extern from *:
    """
    #include <structmember.h>

    #define KT_SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

    /* Where a slot lives in its objects, or -1 unless the descriptor is that of a plain slot. */
    static Py_ssize_t kt_slot_offset(PyObject *descriptor) {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    static inline PyObject *kt_new(PyTypeObject *type) { return type->tp_alloc(type, 0); }
    static inline void kt_set(PyObject *object, Py_ssize_t offset, PyObject *value) {
        PyObject *old = KT_SLOT(object, offset);
        KT_SLOT(object, offset) = value;
        Py_XDECREF(old);
    }
    static inline double kt_load_double(const void *p) {
        uint64_t bits = kt_load64(p); double value; memcpy(&value, &bits, 8); return value;
    }
    static inline void kt_store_double(void *p, double value) {
        uint64_t bits; memcpy(&bits, &value, 8); kt_store64(p, bits);
    }
    #define KT_NONE Py_None
    #define KT_TRUE Py_True
    #define KT_FALSE Py_False
    """
    PyObject *SLOT "KT_SLOT"(PyObject *object, Py_ssize_t offset) noexcept
    Py_ssize_t slot_offset_of "kt_slot_offset"(object descriptor) noexcept
    PyObject *new_object "kt_new"(PyTypeObject *type) noexcept
    void set_slot "kt_set"(PyObject *object, Py_ssize_t offset, PyObject *value) noexcept
    double load_double "kt_load_double"(const void *p) noexcept
    void store_double "kt_store_double"(void *p, double value) noexcept
    PyObject *NONE "KT_NONE"
    PyObject *TRUE "KT_TRUE"
    PyObject *FALSE "KT_FALSE"

cdef extern from "Python.h":
    void INCREF "Py_INCREF"(PyObject *) noexcept
    void DECREF "Py_DECREF"(PyObject *) noexcept
    void XDECREF "Py_XDECREF"(PyObject *) noexcept
    PyTypeObject *TYPE "Py_TYPE"(PyObject *) noexcept
    bint IsSubtype "PyType_IsSubtype"(PyTypeObject *, PyTypeObject *) noexcept
    void UnTrack "PyObject_GC_UnTrack"(void *) noexcept
    PyObject *NewLong "PyLong_FromLong"(long) noexcept
    PyObject *NewLongLong "PyLong_FromLongLong"(long long) noexcept
    PyObject *NewDouble "PyFloat_FromDouble"(double) noexcept
    PyObject *NewBytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t) noexcept
    PyObject *NewText "PyUnicode_DecodeUTF8"(const char *, Py_ssize_t, const char *) noexcept
    PyObject *NewTuple "PyTuple_New"(Py_ssize_t) noexcept
    void SetItem "PyTuple_SET_ITEM"(PyObject *, Py_ssize_t, PyObject *) noexcept
    bint IsLong "PyLong_Check"(PyObject *) noexcept
    bint IsText "PyUnicode_Check"(PyObject *) noexcept
    bint IsBytes "PyBytes_Check"(PyObject *) noexcept
    bint IsFloat "PyFloat_Check"(PyObject *) noexcept
    char *BytesData "PyBytes_AS_STRING"(PyObject *) noexcept
    Py_ssize_t BytesSize "PyBytes_GET_SIZE"(PyObject *) noexcept
    const char *TextData "PyUnicode_AsUTF8AndSize"(PyObject *, Py_ssize_t *) noexcept
    long long LongValue "PyLong_AsLongLongAndOverflow"(PyObject *, int *) noexcept
    double DoubleValue "PyFloat_AsDouble"(PyObject *) noexcept
    PyObject *FastSequence "PySequence_Fast"(PyObject *, const char *) noexcept
    Py_ssize_t FastSize "PySequence_Fast_GET_SIZE"(PyObject *) noexcept
    PyObject *FastItem "PySequence_Fast_GET_ITEM"(PyObject *, Py_ssize_t) noexcept
    int Same "PyObject_RichCompareBool"(PyObject *, PyObject *, int) noexcept
    PyObject *Occurred "PyErr_Occurred"() noexcept
    void Clear "PyErr_Clear"() noexcept
    bint Matches "PyErr_ExceptionMatches"(object) noexcept
    int Py_EQ

cdef enum Kind:
    BOOL, INT8, INT16, UINT16, INT32, INT64, FLOAT64, UUID, STRING, BYTES, RECORDS, STRUCT, ARRAY

cdef dict KINDS = {
    "bool": BOOL, "int8": INT8, "int16": INT16, "uint16": UINT16, "int32": INT32, "int64": INT64,
    "float64": FLOAT64, "uuid": UUID, "string": STRING, "bytes": BYTES, "records": RECORDS,
}
cdef tuple KIND_NAMES = (
    "bool", "int8", "int16", "uint16", "int32", "int64", "float64", "uuid", "string", "bytes", "records",
    "struct", "array",
)
cdef Py_ssize_t *FIXED_SIZES = [1, 1, 2, 2, 4, 8, 8, 16]
cdef long long *LOWEST = [0, -0x80, -0x8000, 0, -0x80000000LL, INT64_MIN]
cdef long long *HIGHEST = [1, 0x7F, 0x7FFF, 0xFFFF, 0x7FFFFFFFLL, 0x7FFFFFFFFFFFFFFFLL]

DEF LONGEST_STRING = 0x7FFF
# Payloads from here on stay buffers of their own in a frame: below, a copy is cheaper than an iovec.
DEF SCATTER_FROM = 1024


# Plans ------------------------------------------------------------------------------------------

cdef struct Program:
    PyTypeObject *type
    int size          # of `ops`: fields on the wire, in order
    int tagged_size   # of `tagged`: by ascending tag
    int absent_size   # of `absent`: fields that this version does not have
    Op *ops
    Op *tagged
    Op *absent
    Py_ssize_t tags_offset  # of the slot `unknown_tags`
    bint flexible
    bint leaf               # holds nothing that could be part of a cycle

cdef struct Op:
    int kind
    int element       # the kind of an array's elements
    bint nullable
    bint compact
    bint ignorable
    long tag
    Py_ssize_t offset    # of the slot; -1: a plain attribute, because a subclass has redefined it
    PyObject *name       # borrowed from the plan's `keep`, as is `default`
    PyObject *default    # NULL: a new struct
    Program *sub


cdef class Plan:
    """The program of one class for one version."""

    cdef Program program
    cdef list keep  # what the program points to
    cdef object cls
    cdef int version
    cdef bint prefixed

    def __cinit__(self):
        memset(&self.program, 0, sizeof(Program))
        self.keep = []

    def __dealloc__(self):
        free(self.program.ops)
        free(self.program.tagged)
        free(self.program.absent)

    cdef int build(self, cls, int version, bint flexible) except -1:
        cdef Program *program = &self.program
        cdef Op *op
        fields = cls.fields()
        present = [f for f in fields if f.versions[0] <= version <= f.versions[1]]
        tagged = sorted((f for f in present if f.tag is not None), key=lambda f: f.tag)
        absent = [f for f in fields if f not in present]
        present = [f for f in present if f.tag is None]
        self.cls = cls
        self.version = version
        self.prefixed = getattr(cls, "PREFIXED", False)
        self.keep += [cls, fields]
        program.type = <PyTypeObject *>cls
        program.flexible = flexible
        program.leaf = True
        program.ops = <Op *>calloc(len(present) + 1, sizeof(Op))
        program.tagged = <Op *>calloc(len(tagged) + 1, sizeof(Op))
        program.absent = <Op *>calloc(len(absent) + 1, sizeof(Op))
        if program.ops == NULL or program.tagged == NULL or program.absent == NULL:
            raise MemoryError
        program.tags_offset = slot_offset(cls, "unknown_tags")
        for field in present:
            self.fill(&program.ops[program.size], field, flexible)
            program.size += 1
        for field in tagged:
            self.fill(&program.tagged[program.tagged_size], field, flexible)
            program.tagged_size += 1
        for field in absent:
            self.fill(&program.absent[program.absent_size], field, flexible)
            program.absent_size += 1
        return 0

    cdef int fill(self, Op *op, field, bint flexible) except -1:
        cdef Plan sub
        cdef int version = self.version
        kind = KINDS.get(field.type, STRUCT)
        op.kind = ARRAY if field.array else kind
        op.element = kind
        op.nullable = field.nullable[0] <= version <= field.nullable[1]
        op.compact = flexible and not field.plain
        op.ignorable = field.ignorable
        op.tag = -1 if field.tag is None else field.tag
        op.offset = slot_offset(self.cls, field.name)
        op.name = <PyObject *>field.name
        if field.struct is not None:
            sub = plan_of_struct(field.struct, version, flexible)
            self.keep.append(sub)
            op.sub = &sub.program
            if field.array or not sub.program.leaf:
                self.program.leaf = False
        if field.default == () and field.struct is not None and not field.array:
            op.default = NULL
        else:
            default = field.default
            self.keep.append(default)
            op.default = <PyObject *>default
        return 0


cdef Py_ssize_t slot_offset(cls, name) except -2:
    for base in cls.__mro__:
        if name in base.__dict__:
            return slot_offset_of(base.__dict__[name])
    return -1


cdef Plan plan_of_struct(cls, int version, bint flexible):
    cdef Plan plan = cls._plans.get(version)
    if plan is None:
        plan = Plan.__new__(Plan)
        plan.build(cls, version, flexible)
        cls._plans[version] = plan
    return plan


cdef Plan plan_of(cls, int version):
    """The plan of a message, or None where the message has no such version."""
    plan = (<dict?>cls._plans).get(version)
    if plan is not None:
        return <Plan>plan
    lowest, highest = cls.VERSIONS
    if not lowest <= version <= highest:
        return None
    return plan_of_struct(cls, version, cls.FLEXIBLE is not None and version >= cls.FLEXIBLE)


cdef str join_path(list pieces):
    """From the innermost piece to the outermost -> `topics[3].partitions`."""
    path = ""
    for piece in reversed(pieces):
        path += f"[{piece}]" if type(piece) is int else f".{piece}"
    return path[1:] if path.startswith(".") else path


cdef str versions_of(cls):
    return f"there are versions {cls.VERSIONS[0]} to {cls.VERSIONS[1]}"
