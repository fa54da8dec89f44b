# What the encoder writes into, and where it notes why a value cannot be encoded.

cdef enum:
    FIRST_ROOM = 2048   # on the caller's stack: what is longer moves to the heap

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


cdef int open_writer(Writer *w, uint8_t *room) except -1:
    """Begin to write into the caller's `room`, of FIRST_ROOM bytes; `close_writer` must follow."""
    memset(w, 0, sizeof(Writer))
    w.data = room
    w.room = FIRST_ROOM
    return 0


cdef int close_writer(Writer *w) except -1:
    free(w.heap)
    XDECREF(w.error)
    XDECREF(w.path)
    return 0


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


cdef int failed_in(Writer *w, piece) except -1:
    """Adds a field or an index to the path of a failure on its way out; 1 for the caller to return."""
    (<list>w.path).append(piece)
    return 1


cdef int not_set(Writer *w, Op *op) except -1:
    refuse(w, "is not set")
    return failed_in(w, <object>op.name)


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


cdef inline int write_byte(Writer *w, uint8_t value) except -1:
    reserve(w, 1)
    w.data[w.size] = value
    w.size += 1
    return 0


cdef inline int write_raw(Writer *w, const void *data, Py_ssize_t size) except -1:
    reserve(w, size)
    memcpy(w.data + w.size, data, size)
    w.size += size
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
