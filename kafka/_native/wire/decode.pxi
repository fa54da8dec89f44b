# The kernel's decoder: bytes to messages (see kernel.pxi).

cdef struct Reader:
    const uint8_t *p
    const uint8_t *end
    const uint8_t *base
    PyObject *source    # what is decoded, borrowed
    PyObject *view      # a memoryview of it, made for the first records field
    PyObject *reason    # why it failed, and where, and (innermost first) in which fields
    PyObject *path
    Py_ssize_t offset


cdef int open_reader(Reader *r, Py_buffer *buffer, data) except -1:
    """Begin to read `data`, any contiguous buffer, from its start; `close_reader` must follow."""
    memset(r, 0, sizeof(Reader))
    PyObject_GetBuffer(data, buffer, PyBUF_SIMPLE)
    r.base = r.p = <const uint8_t *>buffer.buf
    r.end = r.base + buffer.len
    r.source = <PyObject *>data
    return 0


cdef int close_reader(Reader *r, Py_buffer *buffer) except -1:
    XDECREF(r.view)
    PyBuffer_Release(buffer)
    return 0


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


cdef object decode_part(Plan plan, Reader *r):
    """(message, None) or (None, Err), from the reader's place on; bytes may be left."""
    cdef PyObject *value = read_struct(r, &plan.program)
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
    open_reader(&r, &buffer, data)
    try:
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
        message, error = decode_part(plan, &r) if newer else decode_message(plan, &r)
        return Ok(message) if error is None else error
    finally:
        close_reader(&r, &buffer)
