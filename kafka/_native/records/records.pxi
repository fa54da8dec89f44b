# Record batches, format v2 (magic 2): how one is written, and how one is read.
# The writing half is what the accumulator appends with; it trusts its caller with the bounds, as the primitives do.

cimport cython
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8, PyUnicode_GET_LENGTH, PyUnicode_KIND
from libc.stdlib cimport free, realloc

cdef extern from "Python.h":
    # Borrowed, of what is known to be such.
    PyObject *ListItem "PyList_GET_ITEM"(list items, Py_ssize_t index) noexcept
    PyObject *TupleItem "PyTuple_GET_ITEM"(PyObject *items, Py_ssize_t index) noexcept
    Py_ssize_t TupleSize "PyTuple_GET_SIZE"(PyObject *items) noexcept
    bint is_compact_ascii "PyUnicode_IS_COMPACT_ASCII"(PyObject *text) noexcept
    Py_ssize_t ascii_size "PyUnicode_GET_LENGTH"(PyObject *text) noexcept
    const void *ascii_data "PyUnicode_DATA"(PyObject *text) noexcept

# Where the fields of a batch header are. The length counts what follows it, the CRC covers what follows it.
cpdef enum:
    BATCH_BASE_OFFSET = 0
    BATCH_LENGTH = 8
    BATCH_LEADER_EPOCH = 12
    BATCH_MAGIC = 16
    BATCH_CRC = 17
    BATCH_ATTRIBUTES = 21
    BATCH_LAST_OFFSET_DELTA = 23
    BATCH_BASE_TIMESTAMP = 27
    BATCH_MAX_TIMESTAMP = 35
    BATCH_PRODUCER_ID = 43
    BATCH_PRODUCER_EPOCH = 51
    BATCH_BASE_SEQUENCE = 53
    BATCH_COUNT = 57
    BATCH_HEADER_SIZE = 61
    # What comes before the bytes that the length counts: the base offset and the length itself.
    BATCH_LENGTH_END = 12

# The bits of a batch's attributes.
cpdef enum:
    ATTRIBUTE_CODEC_MASK = 0x07
    ATTRIBUTE_LOG_APPEND_TIME = 0x08
    ATTRIBUTE_TRANSACTIONAL = 0x10
    ATTRIBUTE_CONTROL = 0x20


cdef inline Py_ssize_t _record_body_size(
    int64_t timestamp_delta, int32_t offset_delta, Py_ssize_t key_length, Py_ssize_t value_length,
    Py_ssize_t headers_size,
) noexcept nogil:
    cdef Py_ssize_t size = 1 + varint_size(timestamp_delta) + varint_size(offset_delta)
    size += varint_size(key_length) + varint_size(value_length) + headers_size
    if key_length > 0:
        size += key_length
    if value_length > 0:
        size += value_length
    return size


cdef inline Py_ssize_t record_size(
    int64_t timestamp_delta, int32_t offset_delta, Py_ssize_t key_length, Py_ssize_t value_length,
    Py_ssize_t headers_size,
) noexcept nogil:
    """The bytes of one record, its length varint included.

    A null key or value has length -1. `headers_size` is the size of the encoded headers section with its
    count: 1 where there are none.
    """
    cdef Py_ssize_t body = _record_body_size(timestamp_delta, offset_delta, key_length, value_length, headers_size)
    return body + varint_size(body)


cdef inline uint8_t *put_record(
    uint8_t *p, int64_t timestamp_delta, int32_t offset_delta, const uint8_t *key, Py_ssize_t key_length,
    const uint8_t *value, Py_ssize_t value_length, const uint8_t *headers, Py_ssize_t headers_size,
) noexcept nogil:
    """Writes one record of exactly `record_size` bytes at `p`; the byte after it.

    `headers` is an encoded headers section of `headers_size` bytes, or NULL (with a size of 1) for none.
    """
    p = put_until_value(p, timestamp_delta, offset_delta, key, key_length, value_length, headers_size)
    if value_length > 0:
        memcpy(p, value, value_length)
        p += value_length
    return put_headers(p, headers, headers_size)


cdef inline uint8_t *put_until_value(
    uint8_t *p, int64_t timestamp_delta, int32_t offset_delta, const uint8_t *key, Py_ssize_t key_length,
    Py_ssize_t value_length, Py_ssize_t headers_size,
) noexcept nogil:
    """What comes before the value's bytes."""
    p = put_varint(p, _record_body_size(timestamp_delta, offset_delta, key_length, value_length, headers_size))
    p[0] = 0  # the record's own attributes: none are defined
    p = put_varint(p + 1, timestamp_delta)
    p = put_varint(p, offset_delta)
    p = put_varint(p, key_length)
    if key_length > 0:
        memcpy(p, key, key_length)
        p += key_length
    return put_varint(p, value_length)


cdef inline uint8_t *put_headers(uint8_t *p, const uint8_t *headers, Py_ssize_t headers_size) noexcept nogil:
    """What comes behind them."""
    if headers == NULL:
        p[0] = 0
        return p + 1
    memcpy(p, headers, headers_size)
    return p + headers_size


cdef inline void put_batch_header(
    uint8_t *p, Py_ssize_t size, int64_t base_offset, int16_t attributes, int32_t last_offset_delta,
    int64_t base_timestamp, int64_t max_timestamp, int64_t producer_id, int16_t producer_epoch,
    int32_t base_sequence, int32_t count,
) noexcept nogil:
    """Writes the 61 bytes of a batch header at `p`, for a batch of `size` bytes in all.

    The CRC is left zero: it is that of the bytes from BATCH_ATTRIBUTES to the end, and is stored at BATCH_CRC
    once those are final.
    """
    store64(p + BATCH_BASE_OFFSET, <uint64_t>base_offset)
    store32(p + BATCH_LENGTH, <uint32_t>(size - BATCH_LENGTH_END))
    store32(p + BATCH_LEADER_EPOCH, 0xFFFFFFFF)  # the broker's to fill in; outside the CRC
    p[BATCH_MAGIC] = 2
    store32(p + BATCH_CRC, 0)
    store16(p + BATCH_ATTRIBUTES, <uint16_t>attributes)
    store32(p + BATCH_LAST_OFFSET_DELTA, <uint32_t>last_offset_delta)
    store64(p + BATCH_BASE_TIMESTAMP, <uint64_t>base_timestamp)
    store64(p + BATCH_MAX_TIMESTAMP, <uint64_t>max_timestamp)
    store64(p + BATCH_PRODUCER_ID, <uint64_t>producer_id)
    store16(p + BATCH_PRODUCER_EPOCH, <uint16_t>producer_epoch)
    store32(p + BATCH_BASE_SEQUENCE, <uint32_t>base_sequence)
    store32(p + BATCH_COUNT, <uint32_t>count)


cdef enum:
    PLAIN_HEADERS = 256     # bytes of a headers section that `put_plain_headers` writes at most


cdef Py_ssize_t put_plain_headers(headers, uint8_t *out) noexcept:
    """Writes the section that `encode_headers` makes, and returns its size; -1 for headers that are not so plain.

    Plain is a list of tuples of an ASCII string and bytes, all together short: those are most, and two to a record
    would otherwise take as long as all else that is done for it. Nothing is made here, so nobody's code runs.
    """
    cdef uint8_t *p
    cdef uint8_t *end = out + PLAIN_HEADERS
    cdef Py_ssize_t count, length, i
    cdef PyObject *item
    cdef PyObject *key
    cdef PyObject *value
    if TYPE(<PyObject *>headers) != <PyTypeObject *>list:
        return -1
    count = len(<list>headers)
    if count > PLAIN_HEADERS:
        return -1
    p = put_varint(out, count)
    for i in range(count):
        item = ListItem(<list>headers, i)
        if TYPE(item) != <PyTypeObject *>tuple or TupleSize(item) != 2:
            return -1
        key = TupleItem(item, 0)
        value = TupleItem(item, 1)
        if TYPE(key) != <PyTypeObject *>str or not is_compact_ascii(key) or TYPE(value) != <PyTypeObject *>bytes:
            return -1
        length = ascii_size(key)
        if length + 4 > end - p:    # with the length, 2 bytes at most
            return -1
        p = put_varint(p, length)
        memcpy(p, ascii_data(key), length)
        p += length
        length = BytesSize(value)
        if length + 4 > end - p:
            return -1
        p = put_varint(p, length)
        memcpy(p, BytesData(value), length)
        p += length
    return p - out


cdef bytes encode_headers(headers):
    """The headers section of a record: the count, then the pairs.

    `headers` is None or a list (or tuple) of (str, bytes or None) tuples. TypeError, or ValueError for a key that
    is not valid Unicode, names the index and what was given.
    """
    if headers is None:
        return b"\x00"
    if not isinstance(headers, (list, tuple)):
        raise TypeError(f"headers must be a list of (str, bytes or None) tuples, not {type(headers).__name__}")
    cdef tuple items = tuple(headers)  # a copy that nobody changes between the two passes
    cdef Py_ssize_t count = len(items)
    cdef Py_ssize_t size = varint_size(count)
    cdef Py_ssize_t length = 0
    cdef Py_ssize_t i
    for i in range(count):
        item = items[i]
        if not isinstance(item, tuple):
            raise TypeError(f"headers[{i}] must be a (str, bytes or None) tuple, not {type(item).__name__}")
        if len(<tuple>item) != 2:
            raise TypeError(f"headers[{i}] must be a (str, bytes or None) tuple, not a tuple of {len(<tuple>item)}")
        key = (<tuple>item)[0]      # of a subclass, too, what it holds
        value = (<tuple>item)[1]
        if not isinstance(key, str):
            raise TypeError(f"headers[{i}]: the key must be str, not {type(key).__name__}")
        try:
            PyUnicode_AsUTF8AndSize(key, &length)
        except UnicodeEncodeError:
            raise ValueError(f"headers[{i}]: the key {key!r} is not valid Unicode") from None
        size += varint_size(length) + length
        if value is None:
            length = -1
            size += 1
        elif isinstance(value, bytes):
            length = PyBytes_GET_SIZE(value)
            size += varint_size(length) + length
        else:
            raise TypeError(f"headers[{i}]: the value must be bytes or None, not {type(value).__name__}")
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *p = <uint8_t *>PyBytes_AS_STRING(out)
    cdef const char *text
    p = put_varint(p, count)
    for i in range(count):
        item = items[i]
        key = (<tuple>item)[0]      # of a subclass, too, what it holds
        text = PyUnicode_AsUTF8AndSize(key, &length)
        p = put_varint(p, length)
        memcpy(p, text, length)
        p += length
        value = (<tuple>item)[1]
        if value is None:
            p = put_varint(p, -1)
        else:
            length = PyBytes_GET_SIZE(value)
            p = put_varint(p, length)
            memcpy(p, PyBytes_AS_STRING(value), length)
            p += length
    return out


cdef int32_t headers_payload(const uint8_t *p, Py_ssize_t size) noexcept nogil:
    """The bytes of keys and values in an encoded headers section, without the lengths between; -1 for no headers."""
    cdef const uint8_t *end = p + size
    cdef uint64_t number = 0
    cdef int64_t length
    cdef int64_t total = 0
    cdef uint64_t strings = 0
    p = get_uvarint(p, end, 5, &strings)
    strings = <uint64_t>unzigzag(strings) * 2
    if strings == 0:
        return -1
    while strings > 0:
        strings -= 1
        p = get_uvarint(p, end, 5, &number)
        length = unzigzag(number)
        if length > 0:
            total += length
            p += length
    return <int32_t>total


def batch_header(
    Py_ssize_t size, int64_t base_offset, int16_t attributes, int32_t last_offset_delta, int64_t base_timestamp,
    int64_t max_timestamp, int64_t producer_id, int16_t producer_epoch, int32_t base_sequence, int32_t count,
):
    """The 61 bytes of a v2 batch header, its CRC zero, as a bytearray; `size` is that of the whole batch."""
    cdef uint8_t header[BATCH_HEADER_SIZE]
    put_batch_header(
        header, size, base_offset, attributes, last_offset_delta, base_timestamp, max_timestamp, producer_id,
        producer_epoch, base_sequence, count,
    )
    return bytearray((<char *>header)[:BATCH_HEADER_SIZE])


def batch_fields(const uint8_t[::1] data not None, Py_ssize_t at):
    """What the header of the v2 batch at byte `at` of `data` says; ValueError where it is not all there.

    (leader epoch, CRC, attributes, last offset delta, base timestamp, max timestamp, producer id, producer epoch, base
    sequence, count)
    """
    cdef const uint8_t *p
    if not 0 <= at <= data.shape[0] - BATCH_HEADER_SIZE:
        raise ValueError(f"there is no batch header at byte {at} of {data.shape[0]}")
    p = &data[at]
    return (
        <int32_t>load32(p + BATCH_LEADER_EPOCH), load32(p + BATCH_CRC), <int16_t>load16(p + BATCH_ATTRIBUTES),
        <int32_t>load32(p + BATCH_LAST_OFFSET_DELTA), <int64_t>load64(p + BATCH_BASE_TIMESTAMP),
        <int64_t>load64(p + BATCH_MAX_TIMESTAMP), <int64_t>load64(p + BATCH_PRODUCER_ID),
        <int16_t>load16(p + BATCH_PRODUCER_EPOCH), <int32_t>load32(p + BATCH_BASE_SEQUENCE),
        <int32_t>load32(p + BATCH_COUNT),
    )


cdef class RecordWriter:
    """Encodes records one behind the other, without a batch header."""

    cdef uint8_t *_buffer
    cdef Py_ssize_t _size
    cdef Py_ssize_t _capacity
    cdef readonly int32_t count
    cdef readonly int64_t base_timestamp
    cdef readonly int64_t max_timestamp

    def __cinit__(self, *args, **kwargs):
        self._buffer = NULL
        self._size = 0
        self._capacity = 0
        self.count = 0
        self.base_timestamp = -1
        self.max_timestamp = -1

    def __dealloc__(self):
        free(self._buffer)

    def append(self, int64_t timestamp, key, value, headers=None):
        """Appends a record and returns its offset within the batch.

        `timestamp` is in milliseconds since the epoch; the first one becomes the batch's base. `key` and `value`
        are bytes-like or None, `headers` a list of (str, bytes or None) tuples or None. Raises TypeError for
        anything else and OverflowError past the 2 GiB that a batch can hold; the writer is then unchanged.
        """
        cdef bytes section = encode_headers(headers)
        cdef const uint8_t[::1] key_view
        cdef const uint8_t[::1] value_view
        cdef const uint8_t *key_data = NULL
        cdef const uint8_t *value_data = NULL
        cdef Py_ssize_t key_length = -1
        cdef Py_ssize_t value_length = -1
        if key is not None:
            key_view = key
            key_length = key_view.shape[0]
            if key_length:
                key_data = &key_view[0]
        if value is not None:
            value_view = value
            value_length = value_view.shape[0]
            if value_length:
                value_data = &value_view[0]
        cdef int64_t base = timestamp if self.count == 0 else self.base_timestamp
        # Java's arithmetic wraps around here too, and so does the reading half.
        cdef int64_t delta = <int64_t>(<uint64_t>timestamp - <uint64_t>base)
        cdef Py_ssize_t size = record_size(delta, self.count, key_length, value_length, len(section))
        if size > INT32_MAX - BATCH_HEADER_SIZE - self._size or self.count == INT32_MAX:
            raise OverflowError(f"a record of {size} bytes does not fit in the batch, which holds {self._size}")
        self._reserve(self._size + size)
        put_record(
            self._buffer + self._size, delta, self.count, key_data, key_length, value_data, value_length,
            <const uint8_t *>PyBytes_AS_STRING(section), len(section),
        )
        self.base_timestamp = base
        if self.count == 0 or timestamp > self.max_timestamp:
            self.max_timestamp = timestamp
        self._size += size
        self.count += 1
        return self.count - 1

    cdef int _reserve(self, Py_ssize_t capacity) except -1:
        cdef uint8_t *grown
        if capacity > self._capacity:
            capacity = max(capacity, 2 * self._capacity, 1024)
            grown = <uint8_t *>realloc(self._buffer, capacity)
            if grown == NULL:
                raise MemoryError
            self._buffer = grown
            self._capacity = capacity
        return 0

    def __len__(self):
        """The size in bytes of the records so far, without a batch header, uncompressed."""
        return self._size

    def encoded(self):
        """The records so far, as bytes."""
        return PyBytes_FromStringAndSize(<char *>self._buffer, self._size)


@cython.final
@cython.no_gc  # key, value and headers are exact, immutable types: no cycle can go through a record
@cython.freelist(256)
cdef class Record:
    """One record as it was read.

    `timestamp` is in milliseconds since the epoch, -1 where there is none; `timestamp_type` is 0 for the time that the
    producer gave, 1 for the time the broker appended it, -1 for none (format v0). `key` and `value` are bytes or None,
    `headers` is a tuple of (str, bytes or None) tuples.
    """

    cdef readonly int64_t offset
    cdef readonly int64_t timestamp
    cdef readonly int timestamp_type
    cdef readonly object key
    cdef readonly object value
    cdef readonly tuple headers

    def __init__(self, int64_t offset, int64_t timestamp, int timestamp_type, key, value):
        if not (key is None or type(key) is bytes) or not (value is None or type(value) is bytes):
            raise TypeError("key and value must be bytes or None")
        self.offset = offset
        self.timestamp = timestamp
        self.timestamp_type = timestamp_type
        self.key = key
        self.value = value
        self.headers = ()

    def __repr__(self):
        return (
            f"Record(offset={self.offset}, timestamp={self.timestamp}, timestamp_type={self.timestamp_type}, "
            f"key={self.key!r}, value={self.value!r}, headers={self.headers!r})"
        )

    def __eq__(self, other):
        if type(other) is not Record:
            return NotImplemented
        return self._fields() == (<Record>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def _fields(self):
        return (self.offset, self.timestamp, self.timestamp_type, self.key, self.value, self.headers)


cdef struct Cursor:
    const uint8_t *at
    const uint8_t *end


cdef inline bint _next_varint(Cursor *c, int max_bytes, int64_t *out) noexcept nogil:
    cdef uint64_t value = 0
    cdef const uint8_t *after
    if c.at < c.end and c.at[0] < 0x80:
        out[0] = unzigzag(c.at[0])
        c.at += 1
        return True
    after = get_uvarint(c.at, c.end, max_bytes, &value)
    if after == NULL:
        return False
    c.at = after
    out[0] = unzigzag(value)
    return True


cdef inline bint _next_length(Cursor *c, int64_t *out) noexcept nogil:
    """A length of bytes that are all there, or -1 for null."""
    return _next_varint(c, 5, out) and -1 <= out[0] <= c.end - c.at


cdef object _next_bytes(Cursor *c, int64_t length):
    if length < 0:
        return None
    cdef object value = PyBytes_FromStringAndSize(<const char *>c.at, length)
    c.at += length
    return value


# What the objects of a record take at most beside what they hold, in bytes. Two bytes of a batch can be a header
# that takes forty times as much.
cdef enum:
    RECORD_MEMORY = 96      # with its place in the list
    BYTES_MEMORY = 48
    HEADER_MEMORY = 88      # with its places in a list and a tuple
    STR_MEMORY = 80


cdef tuple _next_headers(Cursor *c, int64_t count, Py_ssize_t *memory):
    """The headers, or None where they do not hold together or take more than `memory`, which then is negative."""
    cdef int64_t length = 0
    cdef int64_t i
    cdef list headers
    if count < 0 or count > (c.end - c.at) // 2:
        return None
    memory[0] -= count * HEADER_MEMORY
    if memory[0] < 0:
        return None
    headers = []
    for i in range(count):
        if not _next_length(c, &length) or length < 0:
            return None
        # As Java does: a key that is no UTF-8 must not stop its reader for good.
        key = PyUnicode_DecodeUTF8(<const char *>c.at, length, "replace")
        c.at += length
        if length > 1:
            memory[0] -= STR_MEMORY + PyUnicode_GET_LENGTH(key) * PyUnicode_KIND(key) - length
        if not _next_length(c, &length):
            return None
        if length > 1:
            memory[0] -= BYTES_MEMORY
        if memory[0] < 0:
            return None
        headers.append((key, _next_bytes(c, length)))
    return tuple(headers)


def decode_records(
    const uint8_t[::1] data not None, int32_t count, int64_t base_offset, int32_t last_offset_delta,
    int64_t base_timestamp, int64_t append_timestamp, bint log_append_time, Py_ssize_t memory,
):
    """The records of one v2 batch: (list of Record, None, 0), or (None, what is wrong, at which byte).

    `data` is what follows the batch header, decompressed. With `log_append_time` every record's timestamp is
    `append_timestamp`. Bytes that do not hold exactly `count` records are never an exception. Where the records would
    take more than `memory` bytes beside the bytes that they hold, the answer is (None, None, at which byte).
    """
    cdef Cursor c
    cdef const uint8_t *start = NULL
    cdef const uint8_t *record_start
    cdef const uint8_t *data_end
    cdef int64_t length = 0
    cdef int64_t timestamp_delta = 0
    cdef int64_t offset_delta = 0
    cdef int32_t i
    cdef Record record
    cdef tuple headers
    cdef list records = []
    if data.shape[0] == 0:
        return ([], None, 0) if count == 0 else (None, f"has no bytes for its {count} records", 0)
    # 7 bytes is the least that a record takes: a hostile count is found before memory is spent on it.
    if count < 0 or count > data.shape[0] // 7:
        return (None, f"cannot hold {count} records in {data.shape[0]} bytes", 0)
    memory -= count * <Py_ssize_t>RECORD_MEMORY
    if memory < 0:
        return (None, None, 0)
    start = &data[0]
    data_end = start + data.shape[0]
    c.at = start
    for i in range(count):
        record_start = c.at
        c.end = data_end
        if not _next_varint(&c, 5, &length) or length < 6 or length > c.end - c.at:
            return (None, f"record {i} of {count} has a length that is wrong or past the end", record_start - start)
        c.end = c.at + length
        c.at += 1  # the attributes of a record: none are defined
        if not (_next_varint(&c, 10, &timestamp_delta) and _next_varint(&c, 5, &offset_delta)):
            return (None, f"record {i} of {count} has a bad varint", record_start - start)
        if offset_delta < 0 or offset_delta > last_offset_delta:
            return (None, f"record {i} of {count} has offset delta {offset_delta}, the last one is "
                    f"{last_offset_delta}", record_start - start)
        record = Record.__new__(Record)
        record.offset = <int64_t>(<uint64_t>base_offset + <uint64_t>offset_delta)
        if log_append_time:
            record.timestamp = append_timestamp
            record.timestamp_type = 1
        else:
            record.timestamp = <int64_t>(<uint64_t>base_timestamp + <uint64_t>timestamp_delta)
            record.timestamp_type = 0
        if not _next_length(&c, &length):
            return (None, f"record {i} of {count} has a key of a wrong length", record_start - start)
        if length > 1:
            memory -= BYTES_MEMORY
        record.key = _next_bytes(&c, length)
        if not _next_length(&c, &length):
            return (None, f"record {i} of {count} has a value of a wrong length", record_start - start)
        if length > 1:
            memory -= BYTES_MEMORY
        record.value = _next_bytes(&c, length)
        if c.at < c.end and c.at[0] == 0:
            c.at += 1
            record.headers = ()
        else:
            headers = _next_headers(&c, length, &memory) if _next_varint(&c, 5, &length) else None
            if headers is None and memory >= 0:
                return (None, f"record {i} of {count} has headers that do not hold together", record_start - start)
            record.headers = headers
        if memory < 0:
            return (None, None, record_start - start)
        if c.at != c.end:
            return (None, f"record {i} of {count} has {c.end - c.at} bytes left over", record_start - start)
        records.append(record)
    if c.at != data_end:
        return (None, f"has {data_end - c.at} bytes left over after its {count} records", c.at - start)
    return (records, None, 0)
