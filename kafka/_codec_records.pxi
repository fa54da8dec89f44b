# Record batches, format v2 (magic 2): how one is written, and how one is read.
# The writing half is what the accumulator appends with; it trusts its caller with the bounds, as the primitives do.

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

# Where the fields of a batch header are. The length counts what follows it, the CRC covers what follows it.
cdef enum:
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
cdef enum:
    ATTRIBUTE_CODEC_MASK = 0x07
    ATTRIBUTE_LOG_APPEND_TIME = 0x08
    ATTRIBUTE_TRANSACTIONAL = 0x10
    ATTRIBUTE_CONTROL = 0x20
    ATTRIBUTE_DELETE_HORIZON = 0x40


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
    p = put_varint(p, _record_body_size(timestamp_delta, offset_delta, key_length, value_length, headers_size))
    p[0] = 0  # the record's own attributes: none are defined
    p = put_varint(p + 1, timestamp_delta)
    p = put_varint(p, offset_delta)
    p = put_varint(p, key_length)
    if key_length > 0:
        memcpy(p, key, key_length)
        p += key_length
    p = put_varint(p, value_length)
    if value_length > 0:
        memcpy(p, value, value_length)
        p += value_length
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
        if len(item) != 2:
            raise TypeError(f"headers[{i}] must be a (str, bytes or None) tuple, not a tuple of {len(item)}")
        key = item[0]
        value = item[1]
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
        key = item[0]
        text = PyUnicode_AsUTF8AndSize(key, &length)
        p = put_varint(p, length)
        memcpy(p, text, length)
        p += length
        value = item[1]
        if value is None:
            p = put_varint(p, -1)
        else:
            length = PyBytes_GET_SIZE(value)
            p = put_varint(p, length)
            memcpy(p, PyBytes_AS_STRING(value), length)
            p += length
    return out
