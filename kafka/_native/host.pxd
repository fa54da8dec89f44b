# What the accumulator asks of the world around it. A driver or the simulator provides it, as a capsule "kafka.Host".

from libc.stdint cimport int64_t

cdef struct Host:
    double (*monotonic)(void *context) noexcept   # seconds
    int64_t (*wall_ms)(void *context) noexcept    # milliseconds since 1970
    void (*wake)(void *context) noexcept          # end the IO thread's sleep
    void *context
