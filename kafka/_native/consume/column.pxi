# One column: numbers, bytes or headers of many records, in the layout of Arrow.

from cpython.number cimport PyNumber_AsSsize_t


@cython.final
cdef class Column:
    """Numbers or bytes of one width behind one another; a buffer that can be read but not written.

    It grows while it is filled and never after: nothing may be reserved once anybody has seen it.
    """

    cdef uint8_t *data
    cdef Py_ssize_t size        # bytes
    cdef Py_ssize_t room
    cdef Py_ssize_t width       # of one item
    cdef Py_ssize_t length
    cdef char *format           # as in Python's struct

    def __dealloc__(self):
        free(self.data)

    cdef bint reserve(self, Py_ssize_t more) noexcept nogil:
        """Have room for so many bytes more; False where there is no memory."""
        cdef Py_ssize_t room = self.size + more
        cdef uint8_t *data
        if room <= self.room:
            return True
        room = max(room, 2 * self.room)
        data = <uint8_t *>realloc(self.data, room)
        if data == NULL:
            return False
        self.data = data
        self.room = room
        return True

    cdef inline void put(self, const void *data, Py_ssize_t size) noexcept nogil:
        if size > 0:    # else there may be no memory at all
            memcpy(self.data + self.size, data, size)
            self.size += size

    cdef inline void put64(self, int64_t number) noexcept nogil:
        (<int64_t *>(self.data + self.size))[0] = number
        self.size += 8

    cdef inline void put32(self, int32_t number) noexcept nogil:
        (<int32_t *>(self.data + self.size))[0] = number
        self.size += 4

    cdef void settle(self) noexcept:
        """Give back the room that was not needed."""
        cdef uint8_t *data
        if self.size < self.room and self.size > 0:
            data = <uint8_t *>realloc(self.data, self.size)
            if data != NULL:
                self.data = data
                self.room = self.size

    def __getbuffer__(self, Py_buffer *view, int flags):
        if PyBuffer_FillInfo(view, self, self.data if self.size else <uint8_t *>b"", self.size, True, flags) < 0:
            raise BufferError("columns cannot be written")
        self.length = self.size // self.width
        view.itemsize = self.width
        if view.format != NULL:
            view.format = self.format
        if view.shape != NULL:
            view.shape = &self.length
        if view.strides != NULL:
            view.strides = &self.width


cdef Column new_column(Py_ssize_t width, char *format):
    cdef Column column = Column.__new__(Column)
    column.width = width
    column.format = format
    return column


@cython.final
cdef class BytesColumn:
    """The keys or the values of records: a sequence of bytes, None where there is none.

    `data` holds them behind one another; item i is `data[starts[i]:starts[i + 1]]`.
    """

    cdef Column ends            # int32; one more than there are items, the first one 0
    cdef Column bytes
    cdef Column valid           # a bit for each item that is not null
    cdef Py_ssize_t count
    cdef Py_ssize_t nulls

    def __cinit__(self):
        self.ends = new_column(4, b"i")
        self.bytes = new_column(1, b"B")
        self.valid = new_column(1, b"B")
        if not self.ends.reserve(4):
            raise MemoryError
        self.ends.put32(0)

    cdef bint reserve(self, Py_ssize_t items, Py_ssize_t size) noexcept nogil:
        """Have room for so many items more that take so many bytes in all."""
        cdef Py_ssize_t bits = (self.count + items + 7) // 8 - self.valid.size
        if not (self.ends.reserve(4 * items) and self.bytes.reserve(size) and self.valid.reserve(bits)):
            return False
        if bits > 0:
            memset(self.valid.data + self.valid.size, 0, bits)
            self.valid.size += bits
        return True

    cdef inline void put(self, const uint8_t *data, int64_t size) noexcept nogil:
        """Another item; null where its size is -1."""
        cdef uint8_t *bits = self.valid.data + (self.count >> 3)
        if size >= 0:
            bits[0] |= <uint8_t>(1 << (self.count & 7))
            self.bytes.put(data, size)
        else:
            self.nulls += 1
        self.count += 1
        self.ends.put32(<int32_t>self.bytes.size)

    cdef int put_object(self, bytes item) except -1:
        """Another item, None for null."""
        if not self.reserve(1, 0 if item is None else len(item)):
            raise MemoryError
        if item is None:
            self.put(NULL, -1)
        else:
            self.put(item, len(item))
        return 0

    cdef void cut(self, Py_ssize_t count) noexcept:
        """Only so many are left; there will be no more."""
        cdef Py_ssize_t i
        self.count = count
        self.ends.size = 4 * (count + 1)
        self.bytes.size = (<int32_t *>self.ends.data)[count]
        self.nulls = 0
        for i in range(count):
            self.nulls += not self.valid.data[i >> 3] >> (i & 7) & 1

    cdef object item(self, Py_ssize_t index):
        cdef int32_t *ends = <int32_t *>self.ends.data
        if not self.valid.data[index >> 3] >> (index & 7) & 1:
            return None
        return PyBytes_FromStringAndSize(<char *>self.bytes.data + ends[index], ends[index + 1] - ends[index])

    cdef void settle(self) noexcept:
        self.valid.size = (self.count + 7) // 8
        self.ends.settle()
        self.bytes.settle()
        self.valid.settle()

    @property
    def data(self):
        """All of them, a memoryview of bytes."""
        return memoryview(self.bytes)

    @property
    def starts(self):
        """Where each begins in `data`, and the end of the last one: a memoryview of 32 bit integers."""
        return memoryview(self.ends)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        cdef Py_ssize_t at
        if isinstance(index, slice):
            return [self.item(at) for at in range(*index.indices(self.count))]
        return self.item(_index(index, self.count))

    def __iter__(self):
        return iter(self[:])

    def __repr__(self):
        return f"<{self.count} items, {self.bytes.size} bytes>"


cdef Py_ssize_t _index(object index, Py_ssize_t count) except -1:
    cdef Py_ssize_t at = PyNumber_AsSsize_t(index, IndexError)
    if at < 0:
        at += count
    if not 0 <= at < count:
        raise IndexError("index out of range")
    return at


@cython.final
cdef class HeadersColumn:
    """The headers of records: a sequence with a list of (str, bytes or None) for each record.

    Those of record i are the items from `starts[i]` to `starts[i + 1]` of `keys` and `values`. Keys are UTF-8.
    """

    cdef Column ends            # int32
    cdef readonly BytesColumn keys
    cdef readonly BytesColumn values
    cdef Py_ssize_t count
    cdef bint has_wide          # a key that is not ASCII, and may be no UTF-8

    def __cinit__(self):
        self.ends = new_column(4, b"i")
        self.keys = BytesColumn.__new__(BytesColumn)
        self.values = BytesColumn.__new__(BytesColumn)
        if not self.ends.reserve(4):
            raise MemoryError
        self.ends.put32(0)

    cdef bint put(self, const uint8_t *data, Py_ssize_t size) noexcept nogil:
        """The headers of one more record, an encoded section that `_are_headers`; False where there is no memory."""
        cdef Cursor c
        cdef int64_t count = 0
        cdef int64_t length = 0
        cdef Py_ssize_t i
        c.at = data
        c.end = data + size
        _next_varint(&c, 5, &count)
        if count > 0 and not (self.keys.reserve(count, size) and self.values.reserve(count, size)):
            return False
        while count > 0:
            count -= 1
            _next_length(&c, &length)
            for i in range(length):
                self.has_wide = self.has_wide or c.at[i] >= 0x80
            self.keys.put(c.at, length)
            c.at += length
            _next_length(&c, &length)
            self.values.put(c.at, length)
            if length > 0:
                c.at += length
        self.count += 1
        self.ends.put32(<int32_t>self.keys.count)
        return True

    cdef void cut(self, Py_ssize_t count) noexcept:
        cdef int32_t *ends = <int32_t *>self.ends.data
        self.count = count
        self.ends.size = 4 * (count + 1)
        self.keys.cut(ends[count])
        self.values.cut(ends[count])

    cdef int settle(self) except -1:
        if self.has_wide:
            self.decode_keys()
        self.ends.settle()
        self.keys.settle()
        self.values.settle()
        return 0

    cdef int decode_keys(self) except -1:
        """Make UTF-8 of keys that are none, as `ConsumerRecord.headers` does."""
        cdef BytesColumn keys = BytesColumn.__new__(BytesColumn)
        cdef bytes key
        cdef Py_ssize_t i
        for i in range(self.keys.count):
            key = (<bytes>self.keys.item(i)).decode("utf-8", "replace").encode()
            keys.put_object(key)
        self.keys = keys
        return 0

    @property
    def starts(self):
        """Where those of each record begin, and the end of the last ones: a memoryview of 32 bit integers."""
        return memoryview(self.ends)

    cdef list item(self, Py_ssize_t index):
        cdef int32_t *ends = <int32_t *>self.ends.data
        cdef Py_ssize_t i
        return [((<bytes>self.keys.item(i)).decode(), self.values.item(i)) for i in range(ends[index], ends[index + 1])]

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        cdef Py_ssize_t at
        if isinstance(index, slice):
            return [self.item(at) for at in range(*index.indices(self.count))]
        return self.item(_index(index, self.count))

    def __iter__(self):
        return iter(self[:])

    def __repr__(self):
        return f"<headers of {self.count} records, {self.keys.count} in all>"
