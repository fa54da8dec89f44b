# Keys or values of `send_many` as a column: where each of them lies in memory that is somebody else's.
#
# From Arrow's C data interface, and from NumPy and memoryviews by Python's buffer protocol: without an object for each.
# A column is checked as a whole when it is taken over, as far as it tells how large its memory is. Nothing is copied;
# what owns the memory is kept until the records are in the buffer.

from cpython.memoryview cimport PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef struct Slice:
    const uint8_t *data
    Py_ssize_t length           # -1: null


@cython.final
cdef class ArrowChunk:
    """An array that came from a stream; it is released once."""

    cdef ArrowArray array

    def __dealloc__(self):
        if self.array.release != NULL:
            self.array.release(&self.array)


@cython.final
cdef class Rows:
    """Where the bytes of each row are; `len()` is how many."""

    cdef Slice *slices
    cdef Py_ssize_t count
    cdef Py_ssize_t room
    cdef list held              # what owns the memory

    def __cinit__(self):
        self.held = []

    def __dealloc__(self):
        free(self.slices)

    def __len__(self):
        return self.count

    cdef Slice *more(self, Py_ssize_t count) except NULL:
        """Room for so many rows behind those that there are."""
        cdef Py_ssize_t room = self.count + count
        cdef Slice *slices
        if room > INT32_MAX:
            raise ValueError(f"{room} records are too many for one call")
        if room > self.room or self.slices == NULL:
            room = max(room, min(2 * self.room, INT32_MAX), 16)
            slices = <Slice *>realloc(self.slices, room * sizeof(Slice))
            if slices == NULL:
                raise MemoryError()
            self.slices = slices
            self.room = room
        return self.slices + self.count

    cdef bytes item(self, Py_ssize_t i):
        if self.slices[i].length < 0:
            return None
        return PyBytes_FromStringAndSize(<const char *>self.slices[i].data, self.slices[i].length)

    cdef list items(self):
        cdef Py_ssize_t i
        return [self.item(i) for i in range(self.count)]


def as_rows(items, str what not None):
    """A column as Rows, which `send_many` takes; None for what is none. `what`: its name in errors."""
    return rows_of(items, what)


cdef Rows rows_of(items, str what):
    if items is None or isinstance(items, (list, tuple, str, bytes, bytearray)):
        return None
    if type(items) is Rows:
        return <Rows>items
    kind = type(items)
    if isinstance(items, memoryview):
        return _rows_of_memory(<memoryview?>items, what, None)
    package = (kind.__module__ or "").partition(".")[0]
    if package == "numpy" and kind.__name__ == "ndarray":
        return _rows_of_numpy(items, what)
    if package == "pandas":
        return _rows_of_pandas(items, what)
    if hasattr(kind, "__arrow_c_array__"):
        return _rows_of_arrow(items, "__arrow_c_array__", what)
    if hasattr(kind, "__arrow_c_stream__"):
        return _rows_of_arrow(items, "__arrow_c_stream__", what)
    return None


cdef Rows _rows_of_arrow(items, str offer, str what):
    cdef Rows rows = Rows.__new__(Rows)
    capsules = getattr(items, offer)()
    try:
        if isinstance(capsules, tuple):
            _add_capsules(rows, capsules, what)
        else:
            _add_stream(rows, capsules, what)
    except BaseException:
        rows.held = capsules = None     # here, as a release may be Python's, which is not run beside an exception
        raise
    return rows


# Memory of Python's

cdef Rows _rows_of_numpy(items, str what):
    kind = items.dtype.kind
    if kind == "O":
        return None             # of Python objects, whatever each is
    if items.dtype.hasobject or not (
        items.ndim == 1 and kind in "SV" or items.ndim == 2 and kind in "ui" and items.dtype.itemsize == 1
    ):
        raise TypeError(
            f"{what} is a NumPy array of {items.dtype} with {items.ndim} dimensions; keys and values are bytes: cast "
            "it to 'S', or give one of 'S', void or object items, or rows of uint8, or a serializer"
        )
    if items.ndim == 2 and items.strides[1] != 1:
        items = items.copy()
    return _rows_of_memory(memoryview(items), what, kind)


cdef Rows _rows_of_pandas(items, str what):
    """A Series or an Index: NumPy's, or Arrow's; in a column of objects what is missing is null."""
    if not hasattr(items, "dtype") or not hasattr(items, "to_numpy"):
        raise TypeError(f"{what} must be a column, not a {type(items).__name__}; give one of its columns")
    if type(items.dtype).__module__.partition(".")[0] == "numpy":
        return _rows_of_numpy(items.to_numpy(), what)
    if not hasattr(items, "__arrow_c_stream__"):
        return None
    try:
        return _rows_of_arrow(items, "__arrow_c_stream__", what)
    except ImportError:         # pandas gives it by pyarrow alone
        return None


cdef list objects_of(items, str what):
    """A column for a serializer: the Python object of each row, as its library makes them."""
    cdef Rows rows = None
    package = (type(items).__module__ or "").partition(".")[0]
    for name in ("to_pylist", "to_list"):
        method = getattr(type(items), name, None)
        if method is not None and package in ("pyarrow", "polars"):
            return list(method(items))
    # What the columns of a DataFrame are called is not what it has.
    if not hasattr(type(items), "__iter__") or package == "pandas" and not hasattr(items, "dtype"):
        rows = rows_of(items, what)
    return list(items) if rows is None else rows.items()


cdef bint is_column(items):
    """Whether it may be one; a list is none."""
    if items is None or isinstance(items, (list, tuple, str, bytes, bytearray)):    # NumPy's str_ and bytes_, too
        return False
    if isinstance(items, memoryview):
        return True
    kind = type(items)
    return hasattr(kind, "__arrow_c_array__") or hasattr(kind, "__arrow_c_stream__") or hasattr(kind, "__array__")


cdef Rows _rows_of_memory(memoryview view, str what, kind):
    """Rows of one width. `kind` "S": without the zero bytes at their end, as NumPy has them."""
    view = PyMemoryView_FromObject(view)    # the user may release the other; ValueError where that was done
    cdef Py_buffer *buffer = PyMemoryView_GET_BUFFER(view)
    cdef Rows rows
    cdef Slice *slices
    cdef Py_ssize_t i, length, count, step
    cdef const uint8_t *data
    cdef bint strips = kind == "S"
    if buffer.ndim == 1 and kind is None:
        if not view.format.endswith(("s", "x")) or buffer.itemsize == 1 and view.format in ("s", "x"):
            return None
    elif buffer.ndim != 1 and not (buffer.ndim == 2 and buffer.itemsize == 1):
        raise TypeError(f"{what} is a memoryview of {buffer.ndim} dimensions; rows of bytes have two")
    if buffer.suboffsets != NULL or buffer.ndim == 2 and buffer.shape[1] > 1 and buffer.strides[1] != 1:
        raise TypeError(f"{what} is a memoryview whose rows do not lie in one piece")
    count = buffer.shape[0]
    length = buffer.shape[1] if buffer.ndim == 2 else buffer.itemsize
    step = buffer.strides[0]
    rows = Rows.__new__(Rows)
    rows.held.append(view)
    slices = rows.more(count)
    data = <const uint8_t *>buffer.buf
    for i in range(count):
        slices[i].data = data + i * step
        slices[i].length = length
        if strips:
            while slices[i].length > 0 and slices[i].data[slices[i].length - 1] == 0:
                slices[i].length -= 1
    rows.count = count
    return rows


# Arrow's

cdef struct Layout:
    char kind                   # as in its format: z and Z (offsets of 32 and 64 bits), v (views), w, n
    Py_ssize_t width

cdef dict ARROW_NAMES = {
    b"b": "bool", b"c": "int8", b"C": "uint8", b"s": "int16", b"S": "uint16", b"i": "int32", b"I": "uint32",
    b"l": "int64", b"L": "uint64", b"e": "float16", b"f": "float32", b"g": "float64", b"tdD": "date32",
    b"tdm": "date64", b"+l": "list", b"+L": "large_list", b"+s": "struct", b"+m": "map", b"+r": "run_end_encoded",
}


cdef str _arrow_name(bytes format):
    if format[:2] == b"ts":
        return "timestamp"
    if format[:2] == b"d:":
        return "decimal"
    return ARROW_NAMES.get(format, f"the format {format.decode('utf-8', 'backslashreplace')!r}")


cdef str _named(str what, ArrowSchema *schema):
    if schema.name == NULL or schema.name[0] == 0:
        return what
    return f"{what} (column {(<bytes>schema.name).decode('utf-8', 'backslashreplace')!r})"


cdef _wrong(str what, str fault):
    raise ValueError(f"{what} is an Arrow array that does not hold together: {fault}")


cdef Layout _layout(ArrowSchema *schema, str what) except *:
    cdef Layout layout
    cdef bytes format = b"" if schema.format == NULL else <bytes>schema.format
    layout.width = 0
    layout.kind = 0
    if format in (b"z", b"u"):
        layout.kind = c"z"
    elif format in (b"Z", b"U"):
        layout.kind = c"Z"
    elif format in (b"vz", b"vu"):
        layout.kind = c"v"
    elif format == b"n":
        layout.kind = c"n"
    elif format[:2] == b"w:" and format[2:].isdigit() and len(format) < 13:
        layout.kind = c"w"
        layout.width = int(format[2:])
    elif format == b"+s":
        raise TypeError(f"{_named(what, schema)} is a table (an Arrow struct), not a column; give one of its columns")
    else:
        raise TypeError(
            f"{_named(what, schema)} is an Arrow array of {_arrow_name(format)}; keys and values are bytes: cast it to "
            "binary or string, or give a serializer"
        )
    return layout


cdef int _add_capsules(Rows rows, capsules, str what) except -1:
    cdef ArrowSchema *schema
    cdef ArrowArray *array
    schema_capsule, array_capsule = capsules
    schema = <ArrowSchema *>PyCapsule_GetPointer(schema_capsule, "arrow_schema")
    array = <ArrowArray *>PyCapsule_GetPointer(array_capsule, "arrow_array")
    rows.held.append(capsules)          # whose end releases the array
    if schema.release == NULL:
        _wrong(what, "its schema has been released")
    return _add_array(rows, schema, array, what)


cdef int _add_stream(Rows rows, capsule, str what) except -1:
    cdef ArrowArrayStream *stream = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    cdef ArrowSchema schema
    cdef ArrowChunk chunk
    cdef int code
    if stream.release == NULL:
        raise ValueError(f"{what} is an Arrow stream that has been released, or read to its end before")
    memset(&schema, 0, sizeof(schema))
    with nogil:
        code = stream.get_schema(stream, &schema)
    if code != 0:
        _stream_failed(stream, code, what, rows.count)
    try:
        _layout(&schema if schema.dictionary == NULL else schema.dictionary, what)
        while True:
            PyErr_CheckSignals()
            chunk = ArrowChunk.__new__(ArrowChunk)
            with nogil:
                code = stream.get_next(stream, &chunk.array)
            if code != 0:
                memset(&chunk.array, 0, sizeof(ArrowArray))
                _stream_failed(stream, code, what, rows.count)
            if chunk.array.release == NULL:
                return 0
            rows.held.append(chunk)
            _add_array(rows, &schema, &chunk.array, what)
    finally:
        if schema.release != NULL:
            schema.release(&schema)


cdef _stream_failed(ArrowArrayStream *stream, int code, str what, Py_ssize_t rows):
    cdef const char *text = stream.get_last_error(stream)
    said = f"error {code}" if text == NULL else (<bytes>text).decode("utf-8", "backslashreplace")
    raise ValueError(f"{what}: its Arrow stream failed after {rows} rows: {said}")


cdef int _add_array(Rows rows, ArrowSchema *schema, ArrowArray *array, str what) except -1:
    cdef Rows dictionary
    cdef Slice *slices
    if array.release == NULL:
        _wrong(what, "it has been released")
    _check_extent(array, what)
    if schema.dictionary == NULL:
        slices = rows.more(array.length)
        _fill(slices, schema, array, what)
    else:
        if array.dictionary == NULL:
            _wrong(what, "it has no dictionary")
        _check_extent(array.dictionary, what)
        dictionary = Rows.__new__(Rows)
        if schema.dictionary.dictionary != NULL:
            raise TypeError(f"{_named(what, schema)} is an Arrow array of a dictionary of dictionaries")
        slices = dictionary.more(array.dictionary.length)
        _fill(slices, schema.dictionary, array.dictionary, what)
        dictionary.count = array.dictionary.length
        slices = rows.more(array.length)
        _look_up(slices, schema, array, dictionary, what)
    rows.count += array.length
    return 0


cdef int _check_extent(ArrowArray *array, str what) except -1:
    if array.length < 0 or array.offset < 0 or array.length > INT32_MAX or array.offset > (<int64_t>1 << 56):
        _wrong(what, f"it has {array.length} items from {array.offset} on")
    if array.n_buffers < 0 or array.n_buffers > 0 and array.buffers == NULL:
        _wrong(what, f"it has {array.n_buffers} buffers, and none")
    return 0


cdef const uint8_t *_valid_bits(ArrowArray *array, str what) except? NULL:
    """The bits of what is not null; NULL: everything."""
    if array.null_count != 0 and array.buffers[0] == NULL:
        if array.null_count > 0 and array.length > 0:
            _wrong(what, f"{array.null_count} items are null, and it does not tell which")
        return NULL
    if array.null_count == 0:
        return NULL
    return <const uint8_t *>array.buffers[0]


cdef inline bint _is_valid(const uint8_t *bits, int64_t at) noexcept nogil:
    return bits == NULL or bits[at >> 3] >> (at & 7) & 1


cdef int _fill(Slice *slices, ArrowSchema *schema, ArrowArray *array, str what) except -1:
    """The slices of an array that has no dictionary."""
    cdef Layout layout = _layout(schema, what)
    cdef int64_t wrong = -1
    cdef int64_t i
    cdef int64_t buffers = 0 if layout.kind == c"n" else 2 if layout.kind == c"w" else 3
    cdef const uint8_t *bits
    if layout.kind == c"n":
        for i in range(array.length):
            slices[i].data = NULL
            slices[i].length = -1
        return 0
    if array.n_buffers < buffers or layout.kind != c"v" and array.n_buffers != buffers:
        _wrong(what, f"it has {array.n_buffers} buffers where its type has {buffers}")
    if array.length == 0:
        return 0
    bits = _valid_bits(array, what)
    if array.buffers[1] == NULL and not (layout.kind == c"w" and layout.width == 0):
        _wrong(what, f"it has {array.length} items, and no memory of them")
    with nogil:
        if layout.kind == c"z":
            wrong = _fill_narrow(slices, array, bits)
        elif layout.kind == c"Z":
            wrong = _fill_wide(slices, array, bits)
        elif layout.kind == c"v":
            wrong = _fill_views(slices, array, bits)
        else:
            for i in range(array.length):
                slices[i].length = layout.width if _is_valid(bits, array.offset + i) else -1
                slices[i].data = <const uint8_t *>array.buffers[1] + (array.offset + i) * layout.width
    if wrong >= 0:
        _wrong(what, f"item {wrong} lies outside of its memory")
    return 0


cdef int64_t _fill_narrow(Slice *slices, ArrowArray *array, const uint8_t *bits) noexcept nogil:
    cdef const int32_t *ends = <const int32_t *>array.buffers[1] + array.offset
    cdef const uint8_t *data = <const uint8_t *>array.buffers[2]
    cdef int64_t i
    if ends[0] < 0:
        return 0
    for i in range(array.length):
        if ends[i + 1] < ends[i] or data == NULL and ends[i + 1] > ends[i]:
            return i
        slices[i].data = data + ends[i]
        slices[i].length = <Py_ssize_t>ends[i + 1] - ends[i] if _is_valid(bits, array.offset + i) else -1
    return -1


cdef int64_t _fill_wide(Slice *slices, ArrowArray *array, const uint8_t *bits) noexcept nogil:
    cdef const int64_t *ends = <const int64_t *>array.buffers[1] + array.offset
    cdef const uint8_t *data = <const uint8_t *>array.buffers[2]
    cdef int64_t i
    if ends[0] < 0:
        return 0
    for i in range(array.length):
        if ends[i + 1] < ends[i] or data == NULL and ends[i + 1] > ends[i]:
            return i
        slices[i].data = data + ends[i]
        slices[i].length = ends[i + 1] - ends[i] if _is_valid(bits, array.offset + i) else -1
    return -1


cdef int64_t _fill_views(Slice *slices, ArrowArray *array, const uint8_t *bits) noexcept nogil:
    # Each of 16 bytes: a length, and up to 12 bytes themselves; or 4 of them, the number of a buffer, and where in it.
    cdef const uint8_t *view = <const uint8_t *>array.buffers[1] + array.offset * 16
    cdef int64_t others = array.n_buffers - 3
    cdef const int64_t *sizes = <const int64_t *>array.buffers[array.n_buffers - 1]
    cdef int32_t length, number, start
    cdef int64_t i
    for i in range(array.length):
        slices[i].data = view + 4
        slices[i].length = -1
        if _is_valid(bits, array.offset + i):
            length = (<const int32_t *>view)[0]
            if length < 0:
                return i
            if length > 12:
                number = (<const int32_t *>view)[2]
                start = (<const int32_t *>view)[3]
                if (number < 0 or number >= others or sizes == NULL or start < 0 or array.buffers[2 + number] == NULL
                        or <int64_t>start + length > sizes[number]):
                    return i
                slices[i].data = <const uint8_t *>array.buffers[2 + number] + start
            slices[i].length = length
        view += 16
    return -1


cdef int _look_up(Slice *slices, ArrowSchema *schema, ArrowArray *array, Rows dictionary, str what) except -1:
    cdef bytes format = b"" if schema.format == NULL else <bytes>schema.format
    cdef char kind
    cdef const uint8_t *bits
    cdef const void *numbers
    cdef int64_t i, at, number
    cdef int64_t wrong = -1
    if len(format) != 1 or format not in b"cCsSiIlL":
        _wrong(what, f"its dictionary has {_arrow_name(format)} for indices")
    if array.n_buffers != 2:
        _wrong(what, f"it has {array.n_buffers} buffers where its type has 2")
    if array.length == 0:
        return 0
    bits = _valid_bits(array, what)
    numbers = array.buffers[1]
    if numbers == NULL:
        _wrong(what, f"it has {array.length} items, and no memory of them")
    kind = format[0]
    with nogil:
        for i in range(array.length):
            at = array.offset + i
            if not _is_valid(bits, at):
                slices[i].data = NULL
                slices[i].length = -1
                continue
            if kind == c"c":
                number = (<const int8_t *>numbers)[at]
            elif kind == c"C":
                number = (<const uint8_t *>numbers)[at]
            elif kind == c"s":
                number = (<const int16_t *>numbers)[at]
            elif kind == c"S":
                number = (<const uint16_t *>numbers)[at]
            elif kind == c"i":
                number = (<const int32_t *>numbers)[at]
            elif kind == c"I":
                number = (<const uint32_t *>numbers)[at]
            else:
                number = (<const int64_t *>numbers)[at]
            if number < 0 or number >= dictionary.count:
                wrong = i
                break
            slices[i] = dictionary.slices[number]
    if wrong >= 0:
        _wrong(what, f"item {wrong} is none of its dictionary's {dictionary.count}")
    return 0
