# A table that `send_table` reads: record batches of Arrow's C data interface, one at a time; its rows as JSON.


@cython.final
cdef class TextMemory:
    """Text that rows refer to."""

    cdef uint8_t *data

    def __dealloc__(self):
        free(self.data)


cdef class ArrowTable:
    """The record batches that something with `__arrow_c_stream__` or `__arrow_c_array__` offers, one after another.

    `next_batch` makes the next one the one that all else is about: `rows` are how many it has. Columns have the names
    in `names`.
    """

    cdef readonly tuple names
    cdef readonly int64_t rows
    cdef ArrowSchema *schema
    cdef ArrowSchema own_schema
    cdef ArrowArray *batch
    cdef ArrowArrayStream *stream
    cdef object capsules
    cdef object chunk           # keeps the batch
    cdef int64_t before         # rows of the batches before

    def __cinit__(self, table):
        try:
            self.open(table)
        except BaseException:
            self.close()
            raise

    def __dealloc__(self):
        if self.own_schema.release != NULL:
            self.own_schema.release(&self.own_schema)

    cdef open(self, table):
        cdef int code
        cdef int64_t i
        if hasattr(type(table), "__arrow_c_stream__"):
            self.capsules = table.__arrow_c_stream__()
            self.stream = <ArrowArrayStream *>PyCapsule_GetPointer(self.capsules, "arrow_array_stream")
            if self.stream.release == NULL:
                raise ValueError("table is an Arrow stream that has been released, or read to its end before")
            with nogil:
                code = self.stream.get_schema(self.stream, &self.own_schema)
            if code != 0:
                memset(&self.own_schema, 0, sizeof(ArrowSchema))
                _stream_failed(self.stream, code, "table", 0)
            self.schema = &self.own_schema
        else:
            self.capsules = table.__arrow_c_array__()
            self.schema = <ArrowSchema *>PyCapsule_GetPointer(self.capsules[0], "arrow_schema")
        if self.schema.release == NULL:
            raise ValueError("table: its Arrow schema has been released")
        if self.schema.format == NULL or <bytes>self.schema.format != b"+s":
            raise TypeError("table must be a table; a single column is what send_many takes")
        _check_children(self.schema)
        self.names = tuple([_name_of(self.schema.children[i]) for i in range(self.schema.n_children)])
        for name in self.names:
            if self.names.count(name) > 1:
                raise ValueError(f"table has more than one column {name!r}")

    def close(self):
        """Let go of everything."""
        self.batch = NULL
        self.stream = NULL
        self.schema = NULL
        self.rows = 0
        self.chunk = None
        self.capsules = None

    def next_batch(self):
        """Go on to the next one; False where there is none."""
        cdef ArrowChunk chunk
        cdef int code
        if self.schema == NULL:
            return False
        self.before += self.rows
        self.rows = 0
        self.batch = NULL
        self.chunk = None
        if self.stream == NULL:
            if self.before > 0 or isinstance(self.capsules, list):
                return False
            self.batch = <ArrowArray *>PyCapsule_GetPointer(self.capsules[1], "arrow_array")
            self.capsules = list(self.capsules)     # read
        else:
            chunk = ArrowChunk.__new__(ArrowChunk)
            with nogil:
                code = self.stream.get_next(self.stream, &chunk.array)
            if code != 0:
                memset(&chunk.array, 0, sizeof(ArrowArray))
                _stream_failed(self.stream, code, "table", self.before)
            if chunk.array.release == NULL:
                return False
            self.chunk = chunk
            self.batch = &chunk.array
        if self.batch.release == NULL:
            self.batch = NULL
            _wrong("table", "it has been released")
        _check_extent(self.batch, "table")
        if self.batch.n_children != self.schema.n_children or self.batch.n_children and self.batch.children == NULL:
            _wrong("table", f"it has {self.batch.n_children} columns, its schema has {self.schema.n_children}")
        if self.batch.null_count > 0:
            raise ValueError(f"table: {self.batch.null_count} of its rows are null as a whole")
        self.rows = self.batch.length
        return True

    cdef int check(self, int64_t start, int64_t count) except -1:
        if self.batch == NULL:
            raise ValueError("there is no batch: next_batch() comes first")
        if start < 0 or count < 0 or start > self.rows or count > self.rows - start:
            raise IndexError(f"the batch has {self.rows} rows")
        return 0

    cdef ArrowSchema *find(self, str name, str what, int64_t start, int64_t count, ArrowArray *part) except NULL:
        """The column of that name, and so many of its rows."""
        cdef Py_ssize_t number
        if name not in self.names:
            raise ValueError(f"{what}: table has no column {name!r}; it has {', '.join(map(repr, self.names))}")
        number = self.names.index(name)
        self.cut(number, start, count, part)
        return self.schema.children[number]

    cdef int cut(self, int64_t number, int64_t start, int64_t count, ArrowArray *part) except -1:
        cdef ArrowArray *child
        self.check(start, count)
        child = self.batch.children[number]
        if child == NULL or child.release == NULL:
            _wrong("table", f"column {self.names[number]!r} has been released")
        part[0] = child[0]
        _check_extent(part, f"column {self.names[number]!r}")
        if child.length < self.batch.offset + self.rows:
            _wrong("table", f"column {self.names[number]!r} has {child.length} rows of {self.batch.offset + self.rows}")
        part.offset += self.batch.offset + start
        part.length = count
        if part.null_count > 0:
            part.null_count = -1
        return 0

    def column(self, str name not None, str what not None, int64_t start, int64_t count):
        """So many rows of a column of bytes or text, as Rows; `what` it is for."""
        cdef Rows rows = Rows.__new__(Rows)
        cdef ArrowArray part
        cdef ArrowSchema *schema = self.find(name, what, start, count, &part)
        rows.held.append(self.chunk if self.chunk is not None else self.capsules)
        _add_array(rows, schema, &part, what)
        return rows

    def is_text(self, str name not None):
        """Whether a column is of text."""
        cdef ArrowSchema *schema
        self.check(0, 0)
        schema = self.schema.children[self.names.index(name)]
        if schema.dictionary != NULL:
            schema = schema.dictionary
        return <bytes>schema.format in (b"u", b"U", b"vu")

    def milliseconds(self, str name not None, str what not None, int64_t start, int64_t count):
        """A column of timestamps, or of 64 bit integers, as a list of milliseconds."""
        cdef ArrowArray part
        cdef ArrowSchema *schema = self.find(name, what, start, count, &part)
        cdef bytes format = <bytes>schema.format
        cdef int64_t divisor = {b"l": 1, b"tsm": 1, b"tsu": 1000, b"tsn": 1000000}.get(format.partition(b":")[0], 0)
        cdef int64_t factor = 1000 if format.startswith(b"tss:") else 1
        cdef int64_t i, at
        cdef const uint8_t *bits
        cdef list found = []
        if format.startswith(b"tss:"):
            divisor = 1
        if divisor == 0 or schema.dictionary != NULL:
            raise TypeError(
                f"{_named(what, schema)} is an Arrow array of {_arrow_name(format)}; a timestamp is one of Arrow's, or "
                "an int64 of milliseconds"
            )
        _check_fixed(&part, what)
        bits = _valid_bits(&part, what)
        for i in range(count):
            at = part.offset + i
            if not _is_valid(bits, at):
                raise ValueError(f"{_named(what, schema)} is null in row {self.before + start + i}")
            found.append((<const int64_t *>part.buffers[1])[at] // divisor * factor)
        return found

    def json(self, int64_t start, int64_t count):
        """So many rows as JSON objects: Rows with the bytes that `value_serializer="json"` makes of each row's dict."""
        cdef Rows rows = Rows.__new__(Rows)
        cdef TextMemory memory = TextMemory.__new__(TextMemory)
        cdef Text text
        cdef Slice *slices
        cdef ArrowArray *parts
        cdef int64_t columns = len(self.names)
        cdef int64_t i, number
        cdef Py_ssize_t begin
        self.check(start, count)
        slices = rows.more(count)
        memset(&text, 0, sizeof(Text))
        parts = <ArrowArray *>calloc(max(columns, 1), sizeof(ArrowArray))
        if parts == NULL:
            raise MemoryError()
        try:
            for number in range(columns):
                self.cut(number, start, count, &parts[number])
                _check_json(self.schema.children[number], &parts[number], self.names[number], 0)
            for i in range(count):
                begin = text.size
                _put(&text, "{", 1)
                for number in range(columns):
                    if number > 0:
                        _put(&text, ",", 1)
                    _put_name(&text, self.schema.children[number])
                    _put_cell(&text, self.schema.children[number], &parts[number], parts[number].offset + i)
                _put(&text, "}", 1)
                slices[i].length = text.size - begin
        finally:
            free(parts)
            memory.data = text.data
        begin = 0
        for i in range(count):
            slices[i].data = text.data + begin
            begin += slices[i].length
        rows.held.append(memory)
        rows.count = count
        return rows


cdef str _name_of(ArrowSchema *schema):
    return "" if schema.name == NULL else (<bytes>schema.name).decode("utf-8", "backslashreplace")


cdef int _check_children(ArrowSchema *schema) except -1:
    cdef int64_t i
    if schema.n_children < 0 or schema.n_children > 0 and schema.children == NULL:
        raise ValueError(f"table: its Arrow schema has {schema.n_children} columns, and none")
    for i in range(schema.n_children):
        if schema.children[i] == NULL or schema.children[i].release == NULL or schema.children[i].format == NULL:
            raise ValueError(f"table: column {i} of its Arrow schema has been released, or has no format")
    return 0


cdef int _check_fixed(ArrowArray *array, str what) except -1:
    if array.n_buffers != 2:
        _wrong(what, f"it has {array.n_buffers} buffers where its type has 2")
    if array.length > 0 and array.buffers[1] == NULL:
        _wrong(what, f"it has {array.length} items, and no memory of them")
    return 0


# JSON

cdef int _put(Text *text, const char *characters, Py_ssize_t size) except -1:
    if not put_text(text, characters, size):
        raise MemoryError()
    return 0


cdef int _put_utf8(Text *text, const uint8_t *data, Py_ssize_t length, ArrowSchema *schema) except -1:
    cdef const uint8_t *end = data + length
    cdef const uint8_t *run
    cdef uint8_t *p
    cdef int size
    if not text_room(text, 6 * length + 2):
        raise MemoryError()
    p = text.data + text.size
    p[0] = 34
    p += 1
    while data < end:
        run = data
        while data < end and json_plain[data[0]]:
            data += 1
        if data > run:
            memcpy(p, run, data - run)
            p += data - run
        elif data[0] < 0x80:
            p = put_ascii(p, data[0], True)
            data += 1
        else:
            size = _utf8_length(data, end)
            if size == 0:
                raise ValueError(f"column {_name_of(schema)!r} has text that is no UTF-8")
            memcpy(p, data, size)
            p += size
            data += size
    p[0] = 34
    text.size = p + 1 - text.data
    return 0


cdef int _put_name(Text *text, ArrowSchema *schema) except -1:
    if schema.name == NULL:
        _put(text, '""', 2)
    else:
        _put_utf8(text, <const uint8_t *>schema.name, strlen(schema.name), schema)
    return _put(text, ":", 1)


cdef int _check_json(ArrowSchema *schema, ArrowArray *array, str name, int depth) except -1:
    """Whether a column can be JSON, and whether its memory holds together; before the first row is written."""
    cdef bytes format = <bytes>schema.format
    cdef Slice *slices
    cdef Rows rows
    cdef int64_t i, lowest, highest
    _check_extent(array, f"column {name!r}")
    if depth > DEEPEST:
        raise ValueError(f"column {name!r} has more than {DEEPEST} lists and structs inside one another")
    if schema.dictionary != NULL:
        if array.dictionary == NULL:
            _wrong(f"column {name!r}", "it has no dictionary")
        if array.n_buffers != 2 or len(format) != 1 or format not in b"cCsSiIlL":
            _wrong(f"column {name!r}", "its dictionary's indices are none")
        _check_fixed(array, f"column {name!r}")
        _check_json(schema.dictionary, array.dictionary, name, depth + 1)
        _valid_bits(array, f"column {name!r}")
        for i in range(array.length):
            if _is_valid(_bits(array), array.offset + i):
                lowest = _whole(format[0], array.buffers[1], array.offset + i)
                if not 0 <= lowest < array.dictionary.length:
                    _wrong(f"column {name!r}", f"item {i} is none of its dictionary's {array.dictionary.length}")
        return 0
    if format == b"n":
        return 0
    if format in (b"u", b"U", b"vu"):
        rows = Rows.__new__(Rows)
        slices = rows.more(array.length)
        _fill(slices, schema, array, f"column {name!r}")
        return 0
    if format in (b"+l", b"+L"):
        if array.n_buffers != 2 or array.n_children != 1 or array.children == NULL or schema.n_children != 1:
            _wrong(f"column {name!r}", "it is a list without items")
        _check_children(schema)
        _check_fixed(array, f"column {name!r}")
        if array.children[0] == NULL or array.children[0].release == NULL:
            _wrong(f"column {name!r}", "its items have been released")
        _valid_bits(array, f"column {name!r}")
        for i in range(array.length):
            lowest = _end_of(format[1], array, i)
            highest = _end_of(format[1], array, i + 1)
            if lowest < 0 or highest < lowest or highest > array.children[0].length:
                _wrong(f"column {name!r}", f"item {i} lies outside of its memory")
        return _check_json(schema.children[0], array.children[0], name, depth + 1)
    if format == b"+s":
        _check_children(schema)
        if array.n_buffers != 1 or array.n_children != schema.n_children or array.n_children and array.children == NULL:
            _wrong(f"column {name!r}", f"it has {array.n_children} fields where its schema has {schema.n_children}")
        _valid_bits(array, f"column {name!r}")
        for i in range(array.n_children):
            if array.children[i] == NULL or array.children[i].release == NULL:
                _wrong(f"column {name!r}", f"field {i} has been released")
            if array.children[i].length < array.offset + array.length:
                _wrong(f"column {name!r}", f"field {i} has {array.children[i].length} rows")
            _check_json(schema.children[i], array.children[i], f"{name}.{_name_of(schema.children[i])}", depth + 1)
        return 0
    if len(format) == 1 and format in b"bcCsSiIlLfg":
        _check_fixed(array, f"column {name!r}")
        _valid_bits(array, f"column {name!r}")
        return 0
    kind = "binary" if format in (b"z", b"Z", b"vz") or format[:2] == b"w:" else _arrow_name(format)
    raise TypeError(
        f"column {name!r} is of {kind}, which JSON has nothing for: cast it to string, or leave it out of the table"
    )


cdef inline const uint8_t *_bits(ArrowArray *array) noexcept nogil:
    return <const uint8_t *>NULL if array.null_count == 0 else <const uint8_t *>array.buffers[0]


cdef inline int64_t _end_of(char kind, ArrowArray *array, int64_t i) noexcept nogil:
    if kind == c"l":
        return (<const int32_t *>array.buffers[1])[array.offset + i]
    return (<const int64_t *>array.buffers[1])[array.offset + i]


cdef inline int64_t _whole(char kind, const void *numbers, int64_t at) noexcept nogil:
    """Number `at` of those of that format; above 2**63 it wraps around."""
    if kind == c"c":
        return (<const int8_t *>numbers)[at]
    if kind == c"C":
        return (<const uint8_t *>numbers)[at]
    if kind == c"s":
        return (<const int16_t *>numbers)[at]
    if kind == c"S":
        return (<const uint16_t *>numbers)[at]
    if kind == c"i":
        return (<const int32_t *>numbers)[at]
    if kind == c"I":
        return (<const uint32_t *>numbers)[at]
    return (<const int64_t *>numbers)[at]


cdef int _put_float(Text *text, double number) except -1:
    if number != number:
        return _put(text, "NaN", 3)
    if number - number != 0:
        return _put(text, "Infinity", 8) if number > 0 else _put(text, "-Infinity", 9)
    if not dump_float(text, number):
        raise MemoryError()
    return 0


cdef int _put_cell(Text *text, ArrowSchema *schema, ArrowArray *array, int64_t at) except -1:
    """Item `at` of a column that `_check_json` has looked at, from the beginning of its memory."""
    cdef const char *format = schema.format
    cdef char kind = format[0]
    cdef int64_t i, first, last
    cdef Slice slice
    cdef ArrowArray one
    if schema.dictionary != NULL:
        if not _is_valid(_bits(array), at):
            return _put(text, "null", 4)
        first = _whole(kind, array.buffers[1], at)
        return _put_cell(text, schema.dictionary, array.dictionary, array.dictionary.offset + first)
    if kind == c"n" or not _is_valid(_bits(array), at):
        return _put(text, "null", 4)
    if kind == c"u" or kind == c"U" or kind == c"v":
        one = array[0]
        one.offset = at
        one.length = 1
        if kind == c"u":
            first = _fill_narrow(&slice, &one, NULL)
        elif kind == c"U":
            first = _fill_wide(&slice, &one, NULL)
        else:
            first = _fill_views(&slice, &one, NULL)
        if first >= 0:
            _wrong(f"column {_name_of(schema)!r}", "it has changed meanwhile")
        return _put_utf8(text, slice.data, slice.length, schema)
    if kind == c"b":
        if (<const uint8_t *>array.buffers[1])[at >> 3] >> (at & 7) & 1:
            return _put(text, "true", 4)
        return _put(text, "false", 5)
    if kind == c"f":
        return _put_float(text, (<const float *>array.buffers[1])[at])
    if kind == c"g":
        return _put_float(text, (<const double *>array.buffers[1])[at])
    if kind == c"L" and (<const uint64_t *>array.buffers[1])[at] > <uint64_t>0x7FFFFFFFFFFFFFFF:
        digits = b"%d" % (<const uint64_t *>array.buffers[1])[at]
        return _put(text, PyBytes_AS_STRING(digits), PyBytes_GET_SIZE(digits))
    if kind == c"+" and format[1] == c"s":
        _put(text, "{", 1)
        for i in range(schema.n_children):
            if i > 0:
                _put(text, ",", 1)
            _put_name(text, schema.children[i])
            _put_cell(text, schema.children[i], array.children[i], array.children[i].offset + at)
        return _put(text, "}", 1)
    if kind == c"+":
        first = _end_of(format[1], array, at - array.offset)
        last = _end_of(format[1], array, at - array.offset + 1)
        _put(text, "[", 1)
        for i in range(first, last):
            if i > first:
                _put(text, ",", 1)
            _put_cell(text, schema.children[0], array.children[0], array.children[0].offset + i)
        return _put(text, "]", 1)
    if not put_whole(text, _whole(kind, array.buffers[1], at)):
        raise MemoryError()
    return 0
