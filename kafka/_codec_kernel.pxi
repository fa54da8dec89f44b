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
    Py_ssize_t SizeOf "PyObject_Size"(PyObject *) noexcept
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
        plan = Plan()
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


# Decoding ---------------------------------------------------------------------------------------

cdef struct Reader:
    const uint8_t *p
    const uint8_t *end
    const uint8_t *base
    PyObject *source    # what is decoded, borrowed
    PyObject *view      # a memoryview of it, made for the first records field
    PyObject *reason    # why it failed, and where, and (innermost first) in which fields
    PyObject *path
    Py_ssize_t offset


cdef PyObject *bad(Reader *r, str reason) except? NULL:
    """Notes the failure; NULL for the caller to return."""
    pieces = []
    r.offset = r.p - r.base
    INCREF(<PyObject *>reason)
    INCREF(<PyObject *>pieces)
    r.reason = <PyObject *>reason
    r.path = <PyObject *>pieces
    return NULL


cdef PyObject *short_of(Reader *r, Py_ssize_t needed) except? NULL:
    return bad(r, f"needs {needed} byte{'' if needed == 1 else 's'}, {r.end - r.p} left")


cdef int inside(Reader *r, object piece) except -1:
    """Adds a field or an index to the path of a failure on its way out."""
    if r.path != NULL:
        (<list>r.path).append(piece)
    return 0


cdef inline bint read_uvarint(Reader *r, uint64_t *out) except -1:
    """False where there is no valid one; the reason is noted."""
    cdef const uint8_t *after
    if r.p < r.end and r.p[0] < 0x80:
        out[0] = r.p[0]
        r.p += 1
        return True
    after = get_uvarint(r.p, r.end, 5, out)
    if after == NULL:
        if r.end - r.p < 5:
            bad(r, f"needs another byte of a varint, {r.end - r.p} left" if r.p < r.end else "needs 1 byte, 0 left")
        else:
            bad(r, "a varint that does not fit 32 bits")
        return False
    r.p = after
    return True


cdef inline bint read_size(Reader *r, bint compact, Py_ssize_t width, bint nullable, Py_ssize_t *out) except -1:
    """The length of a string, of bytes or of an array; -1 for null, only where null may be."""
    cdef uint64_t raw = 0
    if compact:
        if not read_uvarint(r, &raw):
            return False
        out[0] = <Py_ssize_t>raw - 1
    else:
        if r.end - r.p < width:
            short_of(r, width)
            return False
        out[0] = <int16_t>load16(r.p) if width == 2 else <int32_t>load32(r.p)
        r.p += width
    if out[0] < 0 and (out[0] < -1 or not nullable):
        r.p -= 1 if compact else width
        bad(r, "is null, which this version does not allow" if out[0] == -1 else f"has the length {out[0]}")
        return False
    return True


cdef PyObject *read_text(Reader *r, bint compact, bint nullable) except? NULL:
    cdef Py_ssize_t size = 0
    cdef PyObject *value
    if not read_size(r, compact, 2, nullable, &size):
        return NULL
    if size < 0:
        INCREF(NONE)
        return NONE
    if size > LONGEST_STRING:
        return bad(r, f"a string of {size} bytes; {LONGEST_STRING} is the most")
    if r.end - r.p < size:
        return short_of(r, size)
    value = NewText(<const char *>r.p, size, NULL)
    if value == NULL:
        if not Matches(UnicodeDecodeError):
            return NULL
        Clear()
        return bad(r, "is not valid UTF-8")
    r.p += size
    return value


cdef PyObject *read_bytes(Reader *r, bint compact, bint nullable, bint view) except? NULL:
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t start
    cdef PyObject *value
    if not read_size(r, compact, 4, nullable, &size):
        return NULL
    if size < 0:
        INCREF(NONE)
        return NONE
    if r.end - r.p < size:
        return short_of(r, size)
    if not view:
        value = NewBytes(<const char *>r.p, size)
        if value == NULL:
            return NULL
    else:
        if r.view == NULL:
            whole = memoryview(<object>r.source)
            if whole.format != "B" or whole.ndim != 1:
                whole = whole.cast("B")
            INCREF(<PyObject *>whole)
            r.view = <PyObject *>whole
        start = r.p - r.base
        part = (<object>r.view)[start:start + size]
        value = <PyObject *>part
        INCREF(value)
    r.p += size
    return value


cdef PyObject *read_array(Reader *r, Op *op) except? NULL:
    cdef Py_ssize_t count = 0, index
    cdef PyObject *array
    cdef PyObject *value
    cdef int kind = op.element
    if not read_size(r, op.compact, 4, op.nullable, &count):
        return NULL
    if count < 0:
        INCREF(NONE)
        return NONE
    if count > r.end - r.p:  # before anything is allocated for it
        return bad(r, f"{count} elements, {r.end - r.p} bytes left")
    array = NewTuple(count)
    if array == NULL:
        return NULL
    for index in range(count):
        if kind == STRUCT:
            value = read_struct(r, op.sub)
        elif kind == INT32:  # replicas: worth the short cut
            value = NewLong(<int32_t>load32(r.p)) if r.end - r.p >= 4 else short_of(r, 4)
            r.p += 4 if value != NULL else 0
        else:
            value = read_scalar(r, kind, op.compact, False)
        if value == NULL:
            DECREF(array)
            inside(r, index)
            return NULL
        SetItem(array, index, value)
    if kind != STRUCT and count:
        UnTrack(array)
    return array


cdef PyObject *read_scalar(Reader *r, int kind, bint compact, bint nullable) except? NULL:
    cdef PyObject *value
    cdef Py_ssize_t size
    if kind == STRING:
        return read_text(r, compact, nullable)
    if kind > UUID:
        return read_bytes(r, compact, nullable, kind == RECORDS)
    size = FIXED_SIZES[kind]
    if r.end - r.p < size:
        return short_of(r, size)
    if kind == INT32:
        value = NewLong(<int32_t>load32(r.p))
    elif kind == INT16:
        value = NewLong(<int16_t>load16(r.p))
    elif kind == INT64:
        value = NewLongLong(<int64_t>load64(r.p))
    elif kind == INT8:
        value = NewLong(<int8_t>r.p[0])
    elif kind == BOOL:
        value = TRUE if r.p[0] else FALSE
        INCREF(value)
    elif kind == UINT16:
        value = NewLong(load16(r.p))
    elif kind == UUID:
        value = NewBytes(<const char *>r.p, 16)
    else:
        value = NewDouble(load_double(r.p))
    r.p += size
    return value


cdef PyObject *read_value(Reader *r, Op *op) except? NULL:
    cdef uint64_t marker = 0
    if op.kind < STRUCT:
        return read_scalar(r, op.kind, op.compact, op.nullable)
    if op.kind == ARRAY:
        return read_array(r, op)
    if op.nullable:
        if op.tag >= 0:
            if not read_uvarint(r, &marker):
                return NULL
            marker = 1 if marker else 0
        elif r.p >= r.end:
            return short_of(r, 1)
        else:
            marker = <int8_t>r.p[0] >= 0
            r.p += 1
        if not marker:
            INCREF(NONE)
            return NONE
    return read_struct(r, op.sub)


cdef int put(PyObject *target, Op *op, PyObject *value) except -1:
    """Gives the target's field the value, whose reference it takes."""
    if op.offset >= 0:
        set_slot(target, op.offset, value)
        return 0
    owned = <object>value
    DECREF(value)
    setattr(<object>target, <object>op.name, owned)
    return 0


cdef int put_defaults(PyObject *target, Op *ops, int size) except -1:
    cdef int i
    cdef PyObject *value
    for i in range(size):
        if ops[i].default != NULL:
            value = ops[i].default
            INCREF(value)
        else:
            value = default_struct(ops[i].sub)
        put(target, &ops[i], value)
    return 0


cdef int put_tags(PyObject *target, Program *program, object tags) except -1:
    INCREF(<PyObject *>tags)
    if program.tags_offset >= 0:
        set_slot(target, program.tags_offset, <PyObject *>tags)
    else:
        DECREF(<PyObject *>tags)
        (<object>target).unknown_tags = tags
    return 0


cdef PyObject *default_struct(Program *program) except NULL:
    """A new struct with every field at its default."""
    cdef PyObject *target = new_object(program.type)
    if target == NULL:
        raise MemoryError
    try:
        put_defaults(target, program.ops, program.size)
        put_defaults(target, program.tagged, program.tagged_size)
        put_defaults(target, program.absent, program.absent_size)
        put_tags(target, program, None)
    except BaseException:
        DECREF(target)
        raise
    if program.leaf:
        UnTrack(target)
    return target


cdef PyObject *read_struct(Reader *r, Program *program) except? NULL:
    cdef PyObject *target = new_object(program.type)
    cdef PyObject *value
    cdef int i
    if target == NULL:
        return NULL
    for i in range(program.size):
        value = read_value(r, &program.ops[i])
        if value == NULL:
            inside(r, <object>program.ops[i].name)
            DECREF(target)
            return NULL
        put(target, &program.ops[i], value)
    put_defaults(target, program.absent, program.absent_size)
    put_defaults(target, program.tagged, program.tagged_size)
    if program.flexible and not (r.p < r.end and r.p[0] == 0):
        if read_tags(r, program, target) == NULL:
            DECREF(target)
            return NULL
    else:
        r.p += program.flexible
        put_tags(target, program, None)
    if program.leaf:
        UnTrack(target)
    return target


cdef PyObject *read_tags(Reader *r, Program *program, PyObject *target) except? NULL:
    """The tagged fields of a struct; what it does not know stays as bytes. Not NULL when all is well."""
    cdef uint64_t count = 0, tag = 0, size = 0
    cdef int64_t last = -1
    cdef const uint8_t *end = r.end
    cdef PyObject *value
    cdef Op *op
    cdef int i
    cdef dict unknown = None
    if not read_uvarint(r, &count):
        return NULL
    if count > <uint64_t>(r.end - r.p) // 2:
        return bad(r, f"{count} tagged fields of at least 2 bytes each, {r.end - r.p} left")
    while count:
        count -= 1
        if not read_uvarint(r, &tag):
            return NULL
        if <int64_t>tag <= last:
            return bad(r, f"tag {tag} comes after tag {last}")
        last = tag
        if not read_uvarint(r, &size):
            return NULL
        if size > <uint64_t>(r.end - r.p):
            return short_of(r, size)
        op = NULL
        for i in range(program.tagged_size):
            if program.tagged[i].tag == <int64_t>tag:
                op = &program.tagged[i]
        if op == NULL:
            if unknown is None:
                unknown = {}
            unknown[tag] = r.p[:size]
            r.p += size
            continue
        r.end = r.p + size
        value = read_value(r, op)
        if value != NULL and r.p != r.end:
            DECREF(value)
            value = bad(r, f"{r.end - r.p} bytes of the tagged field are left over")
        if value == NULL:
            inside(r, <object>op.name)
            return NULL
        put(target, op, value)
        r.end = end
    put_tags(target, program, unknown)
    return target


cdef object decode_error(Reader *r, str message, int version):
    """`Err`, from what the reader has noted; frees it."""
    reason, path = <object>r.reason, <object>r.path
    DECREF(r.reason)
    DECREF(r.path)
    r.reason = r.path = NULL
    return Err(DecodeError(message, version, join_path(path), r.offset, reason))


cdef object decode_message(Plan plan, Reader *r):
    """(message, None), or (None, Err); all bytes up to the end have to be used."""
    cdef PyObject *value = read_struct(r, &plan.program)
    if value != NULL and r.p != r.end:
        DECREF(value)
        value = bad(r, f"{r.end - r.p} bytes are left over")
    if value == NULL:
        return None, decode_error(r, plan.cls.__name__, plan.version)
    message = <object>value
    DECREF(value)
    return message, None


def decode(cls, version, data):
    """Decode all of `data` (any contiguous buffer) as a message of `cls`.

    `Ok(message)`, or `Err(DecodeError)` with the path to the field and the offset. Records are memoryviews of
    `data`. Where the wire has the version in front (`cls.PREFIXED`), `version` may be None: the
    one in front is taken, and a newer one is read as the newest known, without what it adds.
    """
    cdef Py_buffer buffer
    cdef Reader r
    cdef Plan plan
    cdef int wire
    cdef bint newer = False
    memset(&r, 0, sizeof(Reader))
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        r.base = r.p = <const uint8_t *>buffer.buf
        r.end = r.base + buffer.len
        r.source = <PyObject *>data
        if cls.PREFIXED:
            if buffer.len < 2:
                short_of(&r, 2)
                return decode_error(&r, cls.__name__, -1 if version is None else version)
            wire = <int16_t>load16(r.p)
            if version is not None and wire != version:
                bad(&r, f"the version in front is {wire}")
                return decode_error(&r, cls.__name__, version)
            version = min(wire, cls.VERSIONS[1])
            newer = wire > version
            r.p += 2
        plan = plan_of(cls, version)
        if plan is None:
            return Err(DecodeError(cls.__name__, version, "", 0, versions_of(cls)))
        if newer:
            return decode_newer(plan, &r)
        message, error = decode_message(plan, &r)
        return Ok(message) if error is None else error
    finally:
        XDECREF(r.view)
        PyBuffer_Release(&buffer)


cdef object decode_newer(Plan plan, Reader *r):
    cdef PyObject *value = read_struct(r, &plan.program)
    if value == NULL:
        return decode_error(r, plan.cls.__name__, plan.version)
    message = <object>value
    DECREF(value)
    return Ok(message)


cdef object decode_part(Plan plan, Reader *r):
    """(message, None) or (None, Err), from the reader's place on; bytes may be left."""
    cdef PyObject *value = read_struct(r, &plan.program)
    if value == NULL:
        return None, decode_error(r, plan.cls.__name__, plan.version)
    message = <object>value
    DECREF(value)
    return message, None


_header_classes = None


cdef tuple header_classes():
    global _header_classes
    if _header_classes is None:
        from kafka.protocol.header import RequestHeader, ResponseHeader
        _header_classes = (RequestHeader, ResponseHeader)
    return _header_classes


def decode_response(cls, int version, frame):
    """Decode a response frame (without its size): `Ok((correlation_id, message))` or `Err(DecodeError)`.

    The header of ApiVersionsResponse is never flexible, so that any client can read it.
    """
    cdef Py_buffer buffer
    cdef Reader r
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return Err(DecodeError(cls.__name__, version, "", 0, versions_of(cls)))
    memset(&r, 0, sizeof(Reader))
    PyObject_GetBuffer(frame, &buffer, PyBUF_SIMPLE)
    try:
        r.base = r.p = <const uint8_t *>buffer.buf
        r.end = r.base + buffer.len
        r.source = <PyObject *>frame
        flexible = plan.program.flexible and cls.API_KEY != 18
        header, error = decode_part(plan_of(header_classes()[1], 1 if flexible else 0), &r)
        if error is not None:
            return error
        message, error = decode_message(plan, &r)
        return Ok((header.correlation_id, message)) if error is None else error
    finally:
        XDECREF(r.view)
        PyBuffer_Release(&buffer)


def decode_request_header(frame):
    """Decode a request frame's header (without the size): `Ok((header, offset of the body))` or `Err(DecodeError)`.

    Works for versions that are newer than this schema too, but not for unknown API keys.
    """
    cdef Py_buffer buffer
    cdef Reader r
    memset(&r, 0, sizeof(Reader))
    PyObject_GetBuffer(frame, &buffer, PyBUF_SIMPLE)
    try:
        r.base = r.p = <const uint8_t *>buffer.buf
        r.end = r.base + buffer.len
        r.source = <PyObject *>frame
        if buffer.len < 4:
            short_of(&r, 4)
            return decode_error(&r, "RequestHeader", 0)
        api_key, version = <int16_t>load16(r.p), <int16_t>load16(r.p + 2)
        from kafka.protocol import request_class
        cls = request_class(api_key)
        if cls is None:
            return Err(DecodeError("RequestHeader", 0, "api_key", 0, f"there is no API {api_key}"))
        flexible = cls.FLEXIBLE is not None and version >= cls.FLEXIBLE
        header, error = decode_part(plan_of(header_classes()[0], 2 if flexible else 1), &r)
        return Ok((header, r.p - r.base)) if error is None else error
    finally:
        PyBuffer_Release(&buffer)


def decode_request(frame):
    """Decode a request frame (without its size): `Ok((header, message))` or `Err(DecodeError)`."""
    cdef Py_buffer buffer
    cdef Reader r
    result = decode_request_header(frame)
    if type(result) is Err:
        return result
    header, offset = result.value
    from kafka.protocol import request_class
    cls = request_class(header.api_key)
    cdef Plan plan = plan_of(cls, header.api_version)
    if plan is None:
        return Err(DecodeError(cls.__name__, header.api_version, "", 2, versions_of(cls)))
    memset(&r, 0, sizeof(Reader))
    PyObject_GetBuffer(frame, &buffer, PyBUF_SIMPLE)
    try:
        r.base = <const uint8_t *>buffer.buf
        r.p = r.base + <Py_ssize_t>offset
        r.end = r.base + buffer.len
        r.source = <PyObject *>frame
        message, error = decode_message(plan, &r)
        return Ok((header, message)) if error is None else error
    finally:
        XDECREF(r.view)
        PyBuffer_Release(&buffer)


# Encoding ---------------------------------------------------------------------------------------

cdef struct Writer:
    uint8_t *data
    Py_ssize_t size
    Py_ssize_t room
    uint8_t *heap       # `data` once it has outgrown the caller's array
    PyObject *cuts      # [(position, payload), ...] where payloads stay out of `data`
    PyObject *dropped   # a list: be lenient, and note here what was dropped
    PyObject *error     # (kind, reason or value) of a failure
    PyObject *path
    Py_ssize_t outside  # bytes in `cuts`


cdef int refuse(Writer *w, str reason) except -1:
    """Notes why a value cannot be encoded; 1 for the caller to return."""
    return refuse_with(w, (False, reason))


cdef int refuse_with(Writer *w, tuple error) except -1:
    pieces = []
    INCREF(<PyObject *>error)
    INCREF(<PyObject *>pieces)
    w.error = <PyObject *>error
    w.path = <PyObject *>pieces
    return 1


cdef str shown(PyObject *value):
    text = repr(<object>value)
    return f"{type(<object>value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


cdef inline int reserve(Writer *w, Py_ssize_t more) except -1:
    if w.size + more > w.room:
        grow(w, more)
    return 0


cdef int grow(Writer *w, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = max(2 * w.room, w.size + more)
    cdef uint8_t *bigger = <uint8_t *>realloc(w.heap, room)
    if bigger == NULL:
        raise MemoryError
    if w.heap == NULL:
        memcpy(bigger, w.data, w.size)
    w.heap = w.data = bigger
    w.room = room
    return 0


cdef inline int write_uvarint(Writer *w, uint64_t value) except -1:
    reserve(w, 10)
    w.size = put_uvarint(w.data + w.size, value) - w.data
    return 0


cdef inline int write_size(Writer *w, bint compact, Py_ssize_t width, Py_ssize_t size) except -1:
    """A length, -1 for null."""
    if compact:
        return write_uvarint(w, <uint64_t>(size + 1))
    reserve(w, width)
    if width == 2:
        store16(w.data + w.size, <uint16_t>size)
    else:
        store32(w.data + w.size, <uint32_t>size)
    w.size += width
    return 0


cdef int write_text(Writer *w, PyObject *value, bint compact) except -1:
    cdef Py_ssize_t size = 0
    cdef const char *text
    if not IsText(value):
        return refuse(w, f"needs a str, not {shown(value)}")
    text = TextData(value, &size)
    if text == NULL:
        if not Matches(UnicodeEncodeError):
            return -1
        Clear()
        return refuse(w, "cannot be written as UTF-8")
    if size > LONGEST_STRING:
        return refuse(w, f"a string of {size} bytes; {LONGEST_STRING} is the most")
    write_size(w, compact, 2, size)
    reserve(w, size)
    memcpy(w.data + w.size, text, size)
    w.size += size
    return 0


cdef int write_bytes(Writer *w, PyObject *value, bint compact, bint records) except -1:
    cdef Py_buffer buffer
    if IsBytes(value) and not (records and w.cuts != NULL):
        write_size(w, compact, 4, BytesSize(value))
        reserve(w, BytesSize(value))
        memcpy(w.data + w.size, BytesData(value), BytesSize(value))
        w.size += BytesSize(value)
        return 0
    if IsText(value):
        return refuse(w, f"needs bytes, not {shown(value)}")
    try:
        PyObject_GetBuffer(<object>value, &buffer, PyBUF_SIMPLE)
    except (TypeError, BufferError, ValueError):
        return refuse(w, f"needs contiguous bytes, not {shown(value)}")
    try:
        if buffer.len > INT32_MAX:
            return refuse(w, f"{buffer.len} bytes; {INT32_MAX} is the most")
        write_size(w, compact, 4, buffer.len)
        if records and w.cuts != NULL and buffer.len >= SCATTER_FROM:
            payload = memoryview(<object>value)
            if payload.format != "B" or payload.ndim != 1:
                payload = payload.cast("B")
            (<list>w.cuts).append((w.size, payload))
            w.outside += buffer.len
        else:
            reserve(w, buffer.len)
            memcpy(w.data + w.size, buffer.buf, buffer.len)
            w.size += buffer.len
    finally:
        PyBuffer_Release(&buffer)
    return 0


cdef int write_uuid(Writer *w, PyObject *value) except -1:
    cdef Py_buffer buffer
    if not IsText(value):
        try:
            PyObject_GetBuffer(<object>value, &buffer, PyBUF_SIMPLE)
        except (TypeError, BufferError, ValueError):
            return refuse(w, f"needs 16 bytes, not {shown(value)}")
        try:
            if buffer.len == 16:
                reserve(w, 16)
                memcpy(w.data + w.size, buffer.buf, 16)
                w.size += 16
                return 0
        finally:
            PyBuffer_Release(&buffer)
    return refuse(w, f"needs 16 bytes, not {shown(value)}")


cdef int write_scalar(Writer *w, int kind, PyObject *value, bint compact) except -1:
    cdef long long number
    cdef double real
    cdef int overflow = 0
    cdef uint8_t *at
    if kind <= INT64:
        if not IsLong(value):
            return refuse(w, f"needs {'a bool' if kind == BOOL else 'an int'}, not {shown(value)}")
        number = LongValue(value, &overflow)
        if overflow or number < LOWEST[kind] or number > HIGHEST[kind]:
            return refuse(w, f"{KIND_NAMES[kind]} cannot hold {shown(value)}")
        reserve(w, 8)
        at = w.data + w.size
        if kind == INT32:
            store32(at, <uint32_t>number)
        elif kind == INT16 or kind == UINT16:
            store16(at, <uint16_t>number)
        elif kind == INT64:
            store64(at, <uint64_t>number)
        else:
            at[0] = <uint8_t>number
        w.size += FIXED_SIZES[kind]
        return 0
    if kind == STRING:
        return write_text(w, value, compact)
    if kind == UUID:
        return write_uuid(w, value)
    if kind == FLOAT64:
        if not IsFloat(value) and not IsLong(value):
            return refuse(w, f"needs a float, not {shown(value)}")
        real = DoubleValue(value)
        if real == -1.0 and Occurred() != NULL:
            Clear()
            return refuse(w, f"float64 cannot hold {shown(value)}")
        reserve(w, 8)
        store_double(w.data + w.size, real)
        w.size += 8
        return 0
    return write_bytes(w, value, compact, kind == RECORDS)


cdef int write_array(Writer *w, Op *op, PyObject *value) except -1:
    cdef PyObject *array
    cdef PyObject *item
    cdef Py_ssize_t index, count, mark
    cdef int failed = 0
    if IsText(value) or IsBytes(value) or isinstance(<object>value, dict):
        return refuse(w, f"needs a sequence, not {shown(value)}")
    array = FastSequence(value, "not a sequence")
    if array == NULL:
        if not Matches(TypeError):
            return -1
        Clear()
        return refuse(w, f"needs a sequence, not {shown(value)}")
    try:
        count = FastSize(array)
        if count > INT32_MAX:
            return refuse(w, f"{count} elements; {INT32_MAX} is the most")
        write_size(w, op.compact, 4, count)
        for index in range(count):
            if index >= FastSize(array):
                return refuse(w, "changed its size while it was encoded")
            item = FastItem(array, index)
            mark = 0 if w.dropped == NULL else len(<list>w.dropped)
            INCREF(item)
            try:
                if item == NONE:
                    failed = refuse(w, "cannot be null")
                elif op.element == STRUCT:
                    failed = write_struct(w, op.sub, item)
                else:
                    failed = write_scalar(w, op.element, item, op.compact)
            finally:
                DECREF(item)
            if failed:
                (<list>w.path).append(index)
                return 1
            if w.dropped != NULL:
                dropped_inside(<list>w.dropped, mark, index)
        return 0
    finally:
        DECREF(array)


cdef int dropped_inside(list dropped, Py_ssize_t mark, piece) except -1:
    """Adds a field or an index to the path of all that was dropped since `mark`."""
    cdef Py_ssize_t i
    for i in range(mark, len(dropped)):
        (<list>(<tuple>dropped[i])[0]).append(piece)
    return 0


cdef int write_value(Writer *w, Op *op, PyObject *value) except -1:
    if value == NONE:
        if not op.nullable:
            return refuse(w, "cannot be null in this version")
        if op.kind != STRUCT:
            return write_size(w, op.compact, 2 if op.kind == STRING else 4, -1)
        reserve(w, 1)
        w.data[w.size] = 0 if op.tag >= 0 else 0xFF
        w.size += 1
        return 0
    if op.kind < STRUCT:
        return write_scalar(w, op.kind, value, op.compact)
    if op.kind == ARRAY:
        return write_array(w, op, value)
    if op.nullable:
        reserve(w, 1)
        w.data[w.size] = 1
        w.size += 1
    return write_struct(w, op.sub, value)


cdef object field_of(PyObject *target, Op *op):
    """The value of a field; raises AttributeError where it is not set."""
    cdef PyObject *value
    if op.offset >= 0:
        value = SLOT(target, op.offset)
        if value != NULL:
            return <object>value
    return getattr(<object>target, <object>op.name)


cdef bint is_default(Op *op, object value) except -1:
    cdef int i
    cdef int same
    cdef Program *sub = op.sub
    if op.default == NONE or value is None:
        return op.default == NONE and value is None
    if op.kind == STRUCT:
        if not IsSubtype(TYPE(<PyObject *>value), sub.type) or value.unknown_tags:
            return False
        return (all_default(sub.ops, sub.size, value) and all_default(sub.tagged, sub.tagged_size, value)
                and all_default(sub.absent, sub.absent_size, value))
    if op.kind == ARRAY or op.kind == BYTES or op.kind == RECORDS:
        try:
            return len(value) == 0
        except TypeError:
            return False
    same = Same(<PyObject *>value, op.default, Py_EQ)
    if same < 0:
        Clear()
        return False
    return same


cdef bint all_default(Op *ops, int size, object struct) except -1:
    cdef int i
    for i in range(size):
        if not is_default(&ops[i], field_of(<PyObject *>struct, &ops[i])):
            return False
    return True


cdef int write_struct(Writer *w, Program *program, PyObject *target) except -1:
    cdef int i
    cdef int failed
    cdef Py_ssize_t mark = 0
    cdef PyObject *value
    cdef Op *op
    if TYPE(target) != program.type and not IsSubtype(TYPE(target), program.type):
        return refuse(w, f"needs a {(<type>program.type).__name__}, not {shown(target)}")
    for i in range(program.size):
        op = &program.ops[i]
        value = SLOT(target, op.offset) if op.offset >= 0 else NULL
        if value != NULL:
            INCREF(value)
        else:
            try:
                attribute = getattr(<object>target, <object>op.name)
            except AttributeError:
                failed = refuse(w, "is not set")
                (<list>w.path).append(<object>op.name)
                return 1
            value = <PyObject *>attribute
            INCREF(value)
        if w.dropped != NULL:
            mark = len(<list>w.dropped)
        try:
            failed = write_value(w, op, value)
        finally:
            DECREF(value)
        if failed:
            (<list>w.path).append(<object>op.name)
            return 1
        if w.dropped != NULL:
            dropped_inside(<list>w.dropped, mark, <object>op.name)
    for i in range(program.absent_size):
        op = &program.absent[i]
        if op.offset >= 0 and SLOT(target, op.offset) == op.default and op.default != NULL:
            continue
        if op.ignorable and w.dropped == NULL:
            continue
        if leave_out(w, op, target):
            return 1
    return write_tags(w, program, target)


cdef int leave_out(Writer *w, Op *op, PyObject *target) except -1:
    """A field that the version does not have: fine at its default, else noted or refused."""
    try:
        value = field_of(target, op)
    except AttributeError:
        return 0
    if is_default(op, value):
        return 0
    if w.dropped != NULL:
        (<list>w.dropped).append(([<object>op.name], value))
        return 0
    refuse_with(w, (True, value))
    (<list>w.path).append(<object>op.name)
    return 1


cdef int write_tags(Writer *w, Program *program, PyObject *target) except -1:
    cdef PyObject *raw = SLOT(target, program.tags_offset) if program.tags_offset >= 0 else NULL
    cdef Op *op
    cdef int i
    cdef list known
    if program.flexible and program.tagged_size == 0 and (raw == NONE or raw == NULL) and program.tags_offset >= 0:
        reserve(w, 1)
        w.data[w.size] = 0
        w.size += 1
        return 0
    unknown = getattr(<object>target, "unknown_tags", None)
    if not program.flexible:
        if not unknown:
            return 0
        if w.dropped != NULL:
            (<list>w.dropped).append((["unknown_tags"], unknown))
            return 0
        refuse_with(w, (True, unknown))
        (<list>w.path).append("unknown_tags")
        return 1
    known = []
    for i in range(program.tagged_size):
        op = &program.tagged[i]
        try:
            value = field_of(target, op)
        except AttributeError:
            refuse(w, "is not set")
            (<list>w.path).append(<object>op.name)
            return 1
        if not is_default(op, value):
            known.append((op.tag, i, value))
    if unknown:
        try:
            unknown = {tag: bytes(memoryview(raw_value)) for tag, raw_value in dict(unknown).items()}
            if any(type(tag) is not int or not 0 <= tag <= 0xFFFFFFFF for tag in unknown):
                raise TypeError
        except (TypeError, ValueError):
            refuse(w, "needs a dict of tag -> bytes")
            (<list>w.path).append("unknown_tags")
            return 1
        for i in range(program.tagged_size):
            if program.tagged[i].tag in unknown:
                refuse(w, f"has tag {program.tagged[i].tag}, which is a field of its own")
                (<list>w.path).append("unknown_tags")
                return 1
        known = sorted([*known, *((tag, -1, raw_value) for tag, raw_value in unknown.items())], key=first_of)
    write_uvarint(w, len(known))
    for tag, index, value in known:
        if write_tag(w, program, tag, index, value):
            return 1
    return 0


def first_of(entry):
    return entry[0]


cdef int write_tag(Writer *w, Program *program, long tag, int index, value) except -1:
    """One tagged field; `index` is its place among the program's, -1 for raw bytes."""
    cdef Py_ssize_t start, size, mark, width
    cdef Op *op
    write_uvarint(w, tag)
    if index < 0:
        write_uvarint(w, len(value))
        reserve(w, len(value))
        memcpy(w.data + w.size, PyBytes_AS_STRING(value), len(value))
        w.size += len(value)
        return 0
    op = &program.tagged[index]
    # The size comes first and is mostly one byte: leave that, and make room where it is more.
    reserve(w, 1)
    w.size += 1
    start = w.size
    mark = 0 if w.dropped == NULL else len(<list>w.dropped)
    if write_value(w, op, <PyObject *>value):
        (<list>w.path).append(<object>op.name)
        return 1
    if w.dropped != NULL:
        dropped_inside(<list>w.dropped, mark, <object>op.name)
    size = w.size - start
    width = uvarint_size(size)
    if width > 1:
        reserve(w, width - 1)
        memmove(w.data + start + width - 1, w.data + start, size)
        w.size += width - 1
    put_uvarint(w.data + start - 1, size)
    return 0


cdef object encode_error(Writer *w, str message, int version):
    unsupported, what = <object>w.error
    path = join_path(<list>w.path)
    if unsupported:
        return Err(UnsupportedField(message, version, path, what))
    return Err(EncodeError(message, version, path, what))


cdef int free_writer(Writer *w) except -1:
    free(w.heap)
    XDECREF(w.error)
    XDECREF(w.path)
    return 0


class Encoded(Ok):
    """The `Ok` of a lenient `encode`: `value` is the bytes, `dropped` ((path, value), ...) what the
    version does not have."""

    __slots__ = ("dropped",)
    __match_args__ = ("value", "dropped")

    def __init__(self, value, dropped):
        self.value = value
        self.dropped = dropped


def encode(message, int version, *, bint lenient=False):
    """Encode a message: `Ok(bytes)`, `Err(UnsupportedField)` where a field is set that the version does not have and
    that matters, or `Err(EncodeError)` with the path to a value that cannot be encoded.

    With `lenient` whatever the version does not have is dropped, and the `Ok` has `.dropped`:
    ((path, value), ...).
    """
    cdef uint8_t room[2048]
    cdef Writer w
    cls = type(message)
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return Err(EncodeError(cls.__name__, version, "", versions_of(cls)))
    memset(&w, 0, sizeof(Writer))
    w.data = room
    w.room = sizeof(room)
    dropped = [] if lenient else None
    if lenient:
        w.dropped = <PyObject *>dropped
    try:
        if plan.prefixed:
            store16(w.data, <uint16_t>version)
            w.size = 2
        if write_struct(&w, &plan.program, <PyObject *>message):
            return encode_error(&w, cls.__name__, version)
        data = PyBytes_FromStringAndSize(<char *>w.data, w.size)
        if lenient:
            return Encoded(data, tuple([(join_path(path), value) for path, value in dropped]))
        return Ok(data)
    finally:
        free_writer(&w)


cdef object frame(Writer *w, Plan plan, message):
    """The rest of a frame whose header is written: `Ok` of a list of buffers, size first."""
    cdef Py_ssize_t start = 0, total
    cdef list cuts = <list>w.cuts
    if write_struct(w, &plan.program, <PyObject *>message):
        return encode_error(w, plan.cls.__name__, plan.version)
    total = w.size - 4 + w.outside
    if total > INT32_MAX:
        reason = f"a frame of {total} bytes; {INT32_MAX} is the most"
        return Err(EncodeError(plan.cls.__name__, plan.version, "", reason))
    store32(w.data, <uint32_t>total)
    if not cuts:
        return Ok([PyBytes_FromStringAndSize(<char *>w.data, w.size)])
    buffers = []
    for position, payload in cuts:
        if position > start:
            buffers.append(PyBytes_FromStringAndSize(<char *>w.data + start, <Py_ssize_t>position - start))
        buffers.append(payload)
        start = position
    if w.size > start:
        buffers.append(PyBytes_FromStringAndSize(<char *>w.data + start, w.size - start))
    return Ok(buffers)


def encode_request(message, int version, int correlation_id, client_id):
    """A whole request frame, size first: `Ok(list of buffers)` for `sendmsg`, or `Err` as `encode`.

    Records of at least 1 KiB are views of the caller's buffers, not copies.
    """
    cdef uint8_t room[2048]
    cdef Writer w
    cls = type(message)
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return Err(EncodeError(cls.__name__, version, "", versions_of(cls)))
    cuts = []
    memset(&w, 0, sizeof(Writer))
    w.data = room
    w.room = sizeof(room)
    w.cuts = <PyObject *>cuts
    try:
        store16(w.data + 4, <uint16_t><int>cls.API_KEY)
        store16(w.data + 6, <uint16_t>version)
        store32(w.data + 8, <uint32_t>correlation_id)
        w.size = 12
        if client_id is None:
            write_size(&w, False, 2, -1)
        elif write_text(&w, <PyObject *>client_id, False):  # never compact, whatever the version
            (<list>w.path).append("client_id")
            return encode_error(&w, "RequestHeader", 2 if plan.program.flexible else 1)
        if plan.program.flexible:
            reserve(&w, 1)
            w.data[w.size] = 0
            w.size += 1
        return frame(&w, plan, message)
    finally:
        free_writer(&w)


def encode_response(message, int version, int correlation_id):
    """A whole response frame, size first: `Ok(list of buffers)`, or `Err` as `encode`."""
    cdef uint8_t room[2048]
    cdef Writer w
    cls = type(message)
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return Err(EncodeError(cls.__name__, version, "", versions_of(cls)))
    cuts = []
    memset(&w, 0, sizeof(Writer))
    w.data = room
    w.room = sizeof(room)
    w.cuts = <PyObject *>cuts
    try:
        store32(w.data + 4, <uint32_t>correlation_id)
        w.size = 8
        if plan.program.flexible and cls.API_KEY != 18:
            w.data[8] = 0
            w.size = 9
        return frame(&w, plan, message)
    finally:
        free_writer(&w)
