# Records as columns: all offsets, all times, all keys and values of what was fetched, without an object for each.
#
# Their layout is that of Arrow, whose libraries take them as they are (see arrow.pxi). The loop that fills them holds
# no GIL: other Python threads compute meanwhile.


@cython.final
cdef class RecordColumns:
    """Records of one partition, in order, as columns.

    `offsets` and `timestamps` (ms since 1970 UTC) are memoryviews of 64 bit integers, `keys` and `values` sequences of
    bytes or None, `headers` a sequence of lists of (str, bytes or None); all have `len()` of this. It offers itself to
    Arrow as one record batch: `pyarrow.record_batch(columns)`, without copying.
    """

    cdef readonly str topic
    cdef readonly int32_t partition
    cdef readonly BytesColumn keys
    cdef readonly BytesColumn values
    cdef readonly HeadersColumn headers
    cdef Column offset_column
    cdef Column timestamp_column
    cdef Py_ssize_t count
    # What Arrow has beside these:
    cdef Column topic_column    # 0 for each record, of a dictionary of one name
    cdef BytesColumn topic_names
    cdef Column partition_column

    def __cinit__(self):
        self.topic = ""
        self.keys = BytesColumn.__new__(BytesColumn)
        self.values = BytesColumn.__new__(BytesColumn)
        self.headers = HeadersColumn.__new__(HeadersColumn)
        self.offset_column = new_column(8, b"q")
        self.timestamp_column = new_column(8, b"q")

    @property
    def offsets(self):
        return memoryview(self.offset_column)

    @property
    def timestamps(self):
        return memoryview(self.timestamp_column)

    @property
    def nbytes(self):
        """What they take, in bytes."""
        return self.size()

    cdef Py_ssize_t size(self) noexcept:
        cdef HeadersColumn headers = self.headers
        return (
            self.offset_column.size + self.timestamp_column.size
            + self.keys.ends.size + self.keys.bytes.size + self.values.ends.size + self.values.bytes.size
            + headers.ends.size + headers.keys.ends.size + headers.keys.bytes.size
            + headers.values.ends.size + headers.values.bytes.size
        )

    cdef bint reserve(self, Py_ssize_t records, Py_ssize_t size) noexcept nogil:
        return (
            self.offset_column.reserve(8 * records) and self.timestamp_column.reserve(8 * records)
            and self.keys.reserve(records, size) and self.values.reserve(records, size)
            and self.headers.ends.reserve(4 * records)
        )

    cdef void cut(self, Py_ssize_t count) noexcept:
        """Only so many are left; there will be no more."""
        self.count = count
        self.offset_column.size = self.timestamp_column.size = 8 * count
        self.keys.cut(count)
        self.values.cut(count)
        self.headers.cut(count)

    cdef int settle(self) except -1:
        self.offset_column.settle()
        self.timestamp_column.settle()
        self.keys.settle()
        self.values.settle()
        self.headers.settle()
        return 0

    def __len__(self):
        return self.count

    def __repr__(self):
        cdef int64_t *offsets = <int64_t *>self.offset_column.data
        span = f", offsets {offsets[0]} to {offsets[self.count - 1]}" if self.count else ""
        return f"<{self.count} records of {self.topic}[{self.partition}]{span}>"

    def __arrow_c_schema__(self):
        """The types of its columns, for libraries that speak Arrow's C data interface."""
        return arrow_schema()

    def __arrow_c_array__(self, requested_schema=None):
        """Itself as a record batch, for libraries that speak Arrow's C data interface; it is not cast."""
        return arrow_schema(), arrow_array(self)


def take_columns(Fetched fetched not None, Py_ssize_t most, Py_ssize_t enough):
    """At most `most` records as RecordColumns, which end with a batch once they take `enough` bytes; None: no more.

    As with `Fetched.take`, what is wrong with the first record is raised, and ends them before it where it is another.
    """
    cdef RecordColumns columns
    if fetched.position is None:
        return None     # it was never made
    columns = RecordColumns.__new__(RecordColumns)
    columns.topic = fetched.position.partition[0]
    columns.partition = fetched.position.partition[1]
    cdef bint is_over = False
    fetched.begin()
    try:
        while columns.count < most and (columns.count == 0 or columns.size() < enough):
            try:
                if not fetched.has_page():
                    is_over = True
                    break
                if fetched.messages is not None:
                    _fill_from_messages(fetched, columns, most)
                elif not _fill_from_page(fetched, columns, most):
                    break
            except Exception:
                if columns.count:
                    break
                raise
    finally:
        fetched.is_in_use = False
    if is_over:
        fetched.finish()
    columns.settle()
    return columns if columns.count else None


cdef bint _fill_from_page(Fetched fetched, RecordColumns columns, Py_ssize_t most) except -1:
    """Records of the batch that is open, up to `most` in all, and past its end; False: no room for them in these."""
    cdef Page page = fetched.page
    cdef Cursor cursor = fetched.cursor
    cdef Cursor c
    cdef const uint8_t *page_end = <const uint8_t *>page.memory.buf + page.size
    cdef RecordFields fields
    cdef int32_t left = fetched.left
    cdef int64_t position = fetched.position.offset
    cdef int64_t base_offset = fetched.base_offset
    cdef int64_t last_offset = fetched.last_offset
    cdef int64_t append_timestamp = fetched.append_timestamp
    cdef uint64_t base_timestamp = <uint64_t>fetched.base_timestamp
    cdef bint is_append_time = page.timestamp_type == 1
    cdef Py_ssize_t header_memory = fetched.header_memory
    cdef Py_ssize_t memory = header_memory
    cdef Py_ssize_t size = page_end - cursor.at
    cdef Py_ssize_t count_before = columns.count
    cdef Py_ssize_t rows = min(<Py_ssize_t>left, most - columns.count)
    cdef const char *wrong = NULL
    cdef bint is_full = False
    # The ends of bytes are 32 bit integers.
    if columns.count and columns.size() + size > INT32_MAX:
        return False
    if not columns.reserve(rows, size):
        raise MemoryError
    with nogil:
        while left > 0 and columns.count < most:
            c = cursor
            wrong = open_record(&c, page_end, base_offset, last_offset, &fields)
            if wrong != NULL:
                break
            if fields.offset >= position:
                memory = header_memory
                wrong = next_fields(&c, &fields, &memory)
                if wrong != NULL:
                    break
                if not columns.headers.put(fields.headers_at, fields.headers_size):
                    is_full = True
                    break
                header_memory = memory
                position = fields.offset + 1
                columns.offset_column.put64(fields.offset)
                if is_append_time:
                    columns.timestamp_column.put64(append_timestamp)
                else:
                    columns.timestamp_column.put64(<int64_t>(base_timestamp + <uint64_t>fields.timestamp_delta))
                columns.keys.put(fields.key_at, fields.key_size)
                columns.values.put(fields.value_at, fields.value_size)
                columns.count += 1
            cursor.at = c.end
            left -= 1
    if is_full:
        raise MemoryError
    if fetched.generation != fetched.position.generation:
        columns.cut(count_before)   # the IO thread has found the log truncated, and has gone back to before these
        return False
    fetched.cursor.at = cursor.at
    fetched.left = left
    fetched.header_memory = header_memory
    fetched.position.offset = position
    fetched.position.leader_epoch = page.leader_epoch
    if wrong != NULL:
        raise fetched.bad_record(wrong)
    if left == 0:
        fetched.end_page()
    return True


cdef int _fill_from_messages(Fetched fetched, RecordColumns columns, Py_ssize_t most) except -1:
    """Messages of the set that is open, of format v0 or v1."""
    cdef ConsumerRecord record = None
    cdef bytes key, value
    while columns.count < most:
        record = fetched.next_message()
        if record is None:
            fetched.end_page()
            break
        key, value = record.own_key, record.own_value
        if not columns.reserve(1, 0):
            raise MemoryError
        columns.keys.put_object(key)
        columns.values.put_object(value)
        columns.offset_column.put64(record.offset)
        columns.timestamp_column.put64(record.timestamp)
        columns.headers.put(b"\0", 1)
        columns.count += 1
    return 0
