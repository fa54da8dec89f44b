# What the accumulator asks of the world around it. A driver or the simulator provides it, as a capsule "kafka.Host".

from libc.stdint cimport int64_t

cdef extern from *:
    """
    static void kt_drop_host(PyObject *capsule) { Py_XDECREF((PyObject *)PyCapsule_GetContext(capsule)); }

    static PyObject *kt_host_capsule(void *host, PyObject *owner) {
        PyObject *capsule = PyCapsule_New(host, "kafka.Host", kt_drop_host);
        if (capsule != NULL) {
            Py_INCREF(owner);
            PyCapsule_SetContext(capsule, owner);
        }
        return capsule;
    }
    """
    # Keeps `owner`, in which the host is.
    object host_capsule_of "kt_host_capsule"(Host *host, object owner)

cdef struct Host:
    double (*monotonic)(void *context) noexcept   # seconds
    int64_t (*wall_ms)(void *context) noexcept    # milliseconds since 1970
    void (*wake)(void *context) noexcept          # end the IO thread's sleep
    void *context
