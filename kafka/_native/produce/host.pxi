# Where the accumulator has its clock from, and whom it wakes.

from cpython.pycapsule cimport PyCapsule_GetPointer

from kafka._native.host cimport Host, host_capsule_of


cdef class ManualHost:
    """A host whose clock is a variable and whose wake-ups are counted: for the simulator and for tests."""

    cdef public double now
    cdef public int64_t wall_ms
    cdef public int wakes
    cdef Host host

    def __cinit__(self):
        self.host.monotonic = _manual_monotonic
        self.host.wall_ms = _manual_wall_ms
        self.host.wake = _manual_wake
        self.host.context = <void *>self

    def host_capsule(self):
        return host_capsule_of(&self.host, self)


cdef double _manual_monotonic(void *context) noexcept:
    return (<ManualHost>context).now


cdef int64_t _manual_wall_ms(void *context) noexcept:
    return (<ManualHost>context).wall_ms


cdef void _manual_wake(void *context) noexcept:
    (<ManualHost>context).wakes += 1
