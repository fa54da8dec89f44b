# Which partition a key belongs to: murmur2, so that keys land where Java puts them, or CRC-32, where librdkafka does.

cdef enum Placing:
    BY_MURMUR2
    BY_CRC32
    ROUND_ROBIN


cdef uint32_t _murmur2(const uint8_t *data, Py_ssize_t length) noexcept nogil:
    cdef uint32_t m = 0x5BD1E995
    cdef uint32_t h = <uint32_t>0x9747B28C ^ <uint32_t>length
    cdef uint32_t k
    cdef Py_ssize_t i = 0
    while i + 4 <= length:
        k = data[i] | (<uint32_t>data[i + 1] << 8) | (<uint32_t>data[i + 2] << 16) | (<uint32_t>data[i + 3] << 24)
        k *= m
        k ^= k >> 24
        k *= m
        h = (h * m) ^ k
        i += 4
    if length - i == 3:
        h ^= <uint32_t>data[i + 2] << 16
    if length - i >= 2:
        h ^= <uint32_t>data[i + 1] << 8
    if length - i >= 1:
        h = (h ^ data[i]) * m
    h = (h ^ (h >> 13)) * m
    return h ^ (h >> 15)


cdef uint32_t _crc32_table[256]


cdef void _make_crc32_table() noexcept:
    cdef uint32_t value
    cdef int i, bit
    for i in range(256):
        value = i
        for bit in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        _crc32_table[i] = value


_make_crc32_table()


cdef uint32_t _crc32(const uint8_t *data, Py_ssize_t length) noexcept nogil:
    cdef uint32_t crc = 0xFFFFFFFF
    cdef Py_ssize_t i
    for i in range(length):
        crc = (crc >> 8) ^ _crc32_table[(crc ^ data[i]) & 0xFF]
    return ~crc


cdef inline int32_t _partition_of(
    Placing placing, const uint8_t *key, Py_ssize_t length, int32_t partitions
) noexcept nogil:
    if placing == BY_CRC32:
        return <int32_t>(_crc32(key, length) % <uint32_t>partitions)
    # Java masks the sign bit off rather than taking the absolute value.
    return <int32_t>((_murmur2(key, length) & 0x7FFFFFFF) % <uint32_t>partitions)


def murmur2(const uint8_t[::1] data not None):
    """The 32-bit murmur2 hash of `data` (any bytes-like object), unsigned, with Kafka's seed."""
    if data.shape[0] == 0:
        return _murmur2(NULL, 0)
    return _murmur2(&data[0], data.shape[0])
