# The kernel's encoder: messages to bytes (see kernel.pxi).

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
