# Big-endian loads and stores, varints: what every other part of the extension is written in.
# All of these trust their caller with the bounds; the callers check.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport (
    INT32_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.string cimport memcpy, memmove, memset, strlen

cdef extern from *:
    """
    static inline uint16_t kt_load16(const void *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
    static inline uint32_t kt_load32(const void *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
    static inline uint64_t kt_load64(const void *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
    static inline void kt_store16(void *p, uint16_t v) { v = __builtin_bswap16(v); memcpy(p, &v, 2); }
    static inline void kt_store32(void *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
    static inline void kt_store64(void *p, uint64_t v) { v = __builtin_bswap64(v); memcpy(p, &v, 8); }
    """
    uint16_t load16 "kt_load16"(const void *p) noexcept nogil
    uint32_t load32 "kt_load32"(const void *p) noexcept nogil
    uint64_t load64 "kt_load64"(const void *p) noexcept nogil
    void store16 "kt_store16"(void *p, uint16_t value) noexcept nogil
    void store32 "kt_store32"(void *p, uint32_t value) noexcept nogil
    void store64 "kt_store64"(void *p, uint64_t value) noexcept nogil
    void prefetch "__builtin_prefetch"(const void *p) noexcept nogil


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int64_t unzigzag(uint64_t value) noexcept nogil:
    return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)


cdef inline int uvarint_size(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline uint8_t *put_uvarint(uint8_t *p, uint64_t value) noexcept nogil:
    while value >= 0x80:
        p[0] = <uint8_t>(value | 0x80)
        p += 1
        value >>= 7
    p[0] = <uint8_t>value
    return p + 1


cdef inline int varint_size(int64_t value) noexcept nogil:
    return uvarint_size(zigzag(value))


cdef inline uint8_t *put_varint(uint8_t *p, int64_t value) noexcept nogil:
    return put_uvarint(p, zigzag(value))


cdef inline const uint8_t *get_uvarint(
    const uint8_t *p, const uint8_t *end, int max_bytes, uint64_t *out
) noexcept nogil:
    """The byte after the varint, or NULL where it is cut short, longer than `max_bytes` or does not fit.

    `max_bytes` is 5 for 32-bit values and 10 for 64-bit ones; the last byte may only carry the bits
    that are left (4 of them, and 1).
    """
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef uint8_t byte
    cdef int left = max_bytes
    while left > 0 and p < end:
        byte = p[0]
        p += 1
        left -= 1
        if left == 0 and byte > (0x0F if max_bytes == 5 else 0x01):
            return NULL
        value |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            out[0] = value
            return p
        shift += 7
    return NULL
