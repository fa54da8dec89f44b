# The kernel's encoder: messages to bytes (see kernel.pxi).

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
    write_raw(w, text, size)
    return 0


cdef class Spliced:
    """Records that are not all in one place; as a buffer they are, in a copy perhaps."""

    cdef int splice(self, Writer *w, bint compact) except -1:
        """Write them, with their size before."""
        raise NotImplementedError


cdef int write_piece(Writer *w, payload, const void *data, Py_ssize_t size) except -1:
    """Have `payload`, a buffer of `size` bytes at `data`, stay where it is, if the frame is written in pieces."""
    if w.cuts == NULL:
        return write_raw(w, data, size)
    (<list>w.cuts).append((w.size, payload))
    w.outside += size
    return 0


cdef int write_bytes(Writer *w, PyObject *value, bint compact, bint records) except -1:
    cdef Py_buffer buffer
    if IsBytes(value) and not (records and w.cuts != NULL):
        write_size(w, compact, 4, BytesSize(value))
        write_raw(w, BytesData(value), BytesSize(value))
        return 0
    if IsText(value):
        return refuse(w, f"needs bytes, not {shown(value)}")
    if records and isinstance(<object>value, Spliced):
        return (<Spliced>value).splice(w, compact)
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
            write_piece(w, payload, buffer.buf, buffer.len)
        else:
            write_raw(w, buffer.buf, buffer.len)
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
                write_raw(w, buffer.buf, 16)
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
                return failed_in(w, index)
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
        write_byte(w, 0 if op.tag >= 0 else 0xFF)
        return 0
    if op.kind < STRUCT:
        return write_scalar(w, op.kind, value, op.compact)
    if op.kind == ARRAY:
        return write_array(w, op, value)
    if op.nullable:
        write_byte(w, 1)
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
                return not_set(w, op)
            value = <PyObject *>attribute
            INCREF(value)
        if w.dropped != NULL:
            mark = len(<list>w.dropped)
        try:
            failed = write_value(w, op, value)
        finally:
            DECREF(value)
        if failed:
            return failed_in(w, <object>op.name)
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
    return failed_in(w, <object>op.name)


cdef int write_tags(Writer *w, Program *program, PyObject *target) except -1:
    cdef PyObject *raw = SLOT(target, program.tags_offset) if program.tags_offset >= 0 else NULL
    cdef Op *op
    cdef int i
    cdef list known
    if program.flexible and program.tagged_size == 0 and (raw == NONE or raw == NULL) and program.tags_offset >= 0:
        write_byte(w, 0)
        return 0
    unknown = getattr(<object>target, "unknown_tags", None)
    if not program.flexible:
        if not unknown:
            return 0
        if w.dropped != NULL:
            (<list>w.dropped).append((["unknown_tags"], unknown))
            return 0
        refuse_with(w, (True, unknown))
        return failed_in(w, "unknown_tags")
    known = []
    for i in range(program.tagged_size):
        op = &program.tagged[i]
        try:
            value = field_of(target, op)
        except AttributeError:
            return not_set(w, op)
        if not is_default(op, value):
            known.append((op.tag, i, value))
    if unknown:
        try:
            unknown = {tag: bytes(memoryview(raw_value)) for tag, raw_value in dict(unknown).items()}
            if any(type(tag) is not int or not 0 <= tag <= 0xFFFFFFFF for tag in unknown):
                raise TypeError
        except (TypeError, ValueError):
            refuse(w, "needs a dict of tag -> bytes")
            return failed_in(w, "unknown_tags")
        for i in range(program.tagged_size):
            if program.tagged[i].tag in unknown:
                refuse(w, f"has tag {program.tagged[i].tag}, which is a field of its own")
                return failed_in(w, "unknown_tags")
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
        write_raw(w, PyBytes_AS_STRING(value), len(value))
        return 0
    op = &program.tagged[index]
    # The size comes first and is mostly one byte: leave that, and make room where it is more.
    reserve(w, 1)
    w.size += 1
    start = w.size
    mark = 0 if w.dropped == NULL else len(<list>w.dropped)
    if write_value(w, op, <PyObject *>value):
        return failed_in(w, <object>op.name)
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


cdef object no_version(cls, int version):
    return Err(EncodeError(cls.__name__, version, "", versions_of(cls)))


cdef object encode_error(Writer *w, str message, int version):
    unsupported, what = <object>w.error
    path = join_path(<list>w.path)
    if unsupported:
        return Err(UnsupportedField(message, version, path, what))
    return Err(EncodeError(message, version, path, what))


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
    cdef uint8_t room[FIRST_ROOM]
    cdef Writer w
    cls = type(message)
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return no_version(cls, version)
    open_writer(&w, room)
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
        close_writer(&w)
