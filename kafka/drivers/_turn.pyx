"""The IO thread's turn: one call without the GIL writes what is queued, waits, and reads what came.

Taking the GIL back costs an IO thread up to a switch interval (5 ms) while another thread computes, so a turn takes it
once, however many connections had something to say.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport close, read, write

import os

from kafka._native.host cimport Host, host_capsule_of

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long count, int timeout_ms)
    short POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int fd, msghdr *message, int flags)
    ssize_t recv(int fd, void *buffer, size_t length, int flags)
    ssize_t send(int fd, void *buffer, size_t length, int flags)
    int getsockopt(int fd, int level, int name, void *value, unsigned int *length)
    int SOL_SOCKET, SO_ERROR

cdef extern from *:
    """
    #include <sys/socket.h>
    #include <time.h>
    /* A closed peer must be an error code, not a signal; where there is no such flag the socket has the option. */
    #ifdef MSG_NOSIGNAL
    #define KT_SEND_FLAGS MSG_NOSIGNAL
    #else
    #define KT_SEND_FLAGS 0
    #endif
    /* The coarse clocks step every 1 to 4 ms and cost a quarter of the precise ones. */
    #ifdef CLOCK_REALTIME_COARSE
    #define KT_WALL_CLOCK CLOCK_REALTIME_COARSE
    #else
    #define KT_WALL_CLOCK CLOCK_REALTIME
    #endif
    """
    int KT_SEND_FLAGS
    int KT_WALL_CLOCK

cdef enum:
    # How much one connection is read in a turn. With 64 KiB values of 10 KB took 1.4 times the CPU time: turns cost.
    READ_SIZE = 262144
    IOVECS = 64             # how many buffers one write takes; under every system's limit

cdef enum State:
    CONNECTING
    OPEN
    BROKEN                  # reported; waits for remove()

cdef struct Tls             # what encrypts a connection; see _openssl.pxi

cdef struct Slot:
    int id
    int fd
    State state
    Py_buffer *queue        # what is to be written, from `first` on
    Py_ssize_t first
    Py_ssize_t count
    Py_ssize_t capacity
    Py_ssize_t written      # of the first buffer
    uint8_t *received
    Py_ssize_t received_size
    int error               # what broke it, 0 for an orderly end
    bint full               # the last turn ended with bytes that the socket had not taken
    bint opened             # connected in this turn
    bint ended              # broken in this turn
    Tls *tls                # NULL: what is sent goes out as it is


include "_openssl.pxi"


cdef double _monotonic(void *context) noexcept:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + time.tv_nsec * 1e-9


cdef int64_t _wall_ms(void *context) noexcept:
    cdef timespec time
    clock_gettime(KT_WALL_CLOCK, &time)
    return <int64_t>time.tv_sec * 1000 + time.tv_nsec // 1000000


cdef void _wake(void *context) noexcept:
    cdef char byte = 0
    # A full pipe has woken it already.
    if write((<int *>context)[1], &byte, 1) < 0:
        pass


cdef class Turn:
    """The sockets of one IO thread. Only that thread calls it, but for `wake`, which any thread may."""

    cdef Slot *slots
    cdef Py_ssize_t slot_count
    cdef Py_ssize_t slot_capacity
    cdef pollfd *polled
    cdef uint8_t *raw       # what was read and is to be decrypted; NULL until something is
    cdef int pipe[2]
    cdef Host host

    def __cinit__(self):
        self.polled = <pollfd *>malloc(sizeof(pollfd))  # the pipe's; `add` makes room for the sockets'
        if self.polled == NULL:
            raise MemoryError()
        self.pipe[0] = self.pipe[1] = -1
        self.pipe[0], self.pipe[1] = os.pipe()
        os.set_blocking(self.pipe[0], False)
        os.set_blocking(self.pipe[1], False)
        self.host.monotonic = _monotonic
        self.host.wall_ms = _wall_ms
        self.host.wake = _wake
        self.host.context = &self.pipe[0]

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.slot_count):
            self.clear(&self.slots[i])
        free(self.slots)
        free(self.polled)
        free(self.raw)
        self.close_pipe()

    cdef void close_pipe(self) noexcept:
        # Not os.close: the interpreter may be at its end, with its modules gone.
        cdef int i
        for i in range(2):
            if self.pipe[i] >= 0:
                close(self.pipe[i])
                self.pipe[i] = -1

    def host_capsule(self):
        """The clock and the wake-up, for the accumulator."""
        return host_capsule_of(&self.host, self)

    def wake(self):
        """End the present or the next `run`'s wait. Any thread, and signal handlers, may call it."""
        _wake(&self.pipe[0])

    cdef Slot *find(self, int id) noexcept:
        cdef Py_ssize_t i
        for i in range(self.slot_count):
            if self.slots[i].id == id:
                return &self.slots[i]
        return NULL

    cdef void clear(self, Slot *slot):
        cdef Py_ssize_t i
        for i in range(slot.first, slot.count):
            PyBuffer_Release(&slot.queue[i])
        free(slot.queue)
        free(slot.received)
        if slot.tls != NULL:
            free_tls(slot.tls)

    def add(self, int id, int fd):
        """Watch a non-blocking socket whose connect() has been called; the caller keeps it open until `remove`."""
        cdef Slot *slots
        cdef pollfd *polled
        cdef Py_ssize_t capacity
        if self.slot_count == self.slot_capacity:
            capacity = self.slot_capacity * 2 + 8
            slots = <Slot *>realloc(self.slots, capacity * sizeof(Slot))
            if slots == NULL:
                raise MemoryError()
            self.slots = slots
            polled = <pollfd *>realloc(self.polled, (capacity + 1) * sizeof(pollfd))
            if polled == NULL:
                raise MemoryError()
            self.polled = polled
            self.slot_capacity = capacity
        memset(&self.slots[self.slot_count], 0, sizeof(Slot))
        self.slots[self.slot_count].id = id
        self.slots[self.slot_count].fd = fd
        self.slots[self.slot_count].state = CONNECTING
        self.slots[self.slot_count].received = <uint8_t *>malloc(READ_SIZE)
        if self.slots[self.slot_count].received == NULL:
            raise MemoryError()
        self.slot_count += 1

    def encrypt(self, int id, secured):
        """Encrypt what is sent from now on, and decrypt what comes, with this ssl.SSLObject. Nobody else uses it again.

        It `looks_as_expected`, and has nothing left to be written. Nor has the socket.
        """
        cdef Slot *slot = self.find(id)
        if self.raw == NULL:
            self.raw = <uint8_t *>malloc(READ_SIZE)
        if self.raw == NULL:
            raise MemoryError()
        slot.tls = tls_of(secured)

    def remove(self, int id):
        """Forget a socket, and let go what was not written."""
        cdef Slot removed
        cdef Slot *slot = self.find(id)
        if slot != NULL:
            removed = slot[0]
            self.slot_count -= 1
            slot[0] = self.slots[self.slot_count]
            if removed.tls != NULL:
                say_goodbye(&removed)
            self.clear(&removed)    # which may run anybody's code

    def send(self, int id, buffers):
        """Queue buffers to be written, uncopied: each is held until its last byte was taken by the system."""
        cdef Slot *slot
        cdef Py_ssize_t capacity, i
        cdef Py_buffer *queue
        buffers = tuple(buffers)    # nobody else's, so that there stays room for all of them
        slot = self.find(id)        # after what may run anybody's code
        if slot == NULL or slot.state == BROKEN:
            return
        if slot.first > 0 and slot.count + len(buffers) > slot.capacity:
            for i in range(slot.first, slot.count):
                slot.queue[i - slot.first] = slot.queue[i]
            slot.count -= slot.first
            slot.first = 0
        if slot.count + len(buffers) > slot.capacity:
            capacity = slot.capacity * 2 + len(buffers) + 16
            queue = <Py_buffer *>realloc(slot.queue, capacity * sizeof(Py_buffer))
            if queue == NULL:
                raise MemoryError()
            slot.queue = queue
            slot.capacity = capacity
        for buffer in buffers:
            PyObject_GetBuffer(buffer, &slot.queue[slot.count], PyBUF_SIMPLE)
            slot.count += 1

    def unwritten(self, int id):
        """Whether bytes of this socket wait to be written."""
        cdef Slot *slot = self.find(id)
        return slot != NULL and slot.state != BROKEN and has_unwritten(slot)

    def now(self):
        """The monotonic clock, in seconds."""
        return _monotonic(NULL)

    def run(self, double timeout):
        """Write, wait at most `timeout` seconds for the first event, read; without the GIL.

        Returns a list of (id, event): bytes that came, True for "connected", an errno for "broken" (0: the peer closed
        it in order), or a string for that, OpenSSL's reason. What came before a connection broke comes first.
        """
        cdef int wait = 0
        cdef Py_ssize_t i
        cdef Slot *slot
        if timeout > 0:
            # Rounded up, so as not to spin through the last fraction of a millisecond.
            wait = 3600000 if timeout > 3600 else <int>(timeout * 1000 + 0.999)
        with nogil:
            self.turn(wait)
        events = []
        for i in range(self.slot_count):
            slot = &self.slots[i]
            while slot.first < slot.count and slot.queue[slot.first].len <= slot.written:
                slot.written -= slot.queue[slot.first].len
                PyBuffer_Release(&slot.queue[slot.first])
                slot.first += 1
            if slot.first == slot.count:
                slot.first = slot.count = 0
            if slot.opened:
                slot.opened = False
                events.append((slot.id, True))
            if slot.received_size > 0:
                events.append((slot.id, PyBytes_FromStringAndSize(<char *>slot.received, slot.received_size)))
                slot.received_size = 0
            if slot.ended:
                slot.ended = False
                events.append((slot.id, failure_of(slot.tls) if slot.tls != NULL and slot.tls.failed else slot.error))
        return events

    cdef void turn(self, int wait) noexcept nogil:
        cdef Py_ssize_t i
        cdef Slot *slot
        cdef pollfd *polled
        cdef char drained[64]
        cdef int ready
        cdef bint more = False
        self.polled[0].fd = self.pipe[0]
        self.polled[0].events = POLLIN
        self.polled[0].revents = 0
        for i in range(self.slot_count):
            slot = &self.slots[i]
            polled = &self.polled[i + 1]
            polled.fd = -1 if slot.state == BROKEN else slot.fd     # poll() passes over negative ones
            polled.revents = 0
            if slot.state == OPEN:
                self.write_out(slot)
            polled.events = POLLIN
            if slot.state == CONNECTING:
                polled.events = polled.events | POLLOUT
            elif has_unwritten(slot):
                if slot.tls == NULL or has_ciphertext(slot.tls):    # else the peer has to say something first
                    polled.events = polled.events | POLLOUT
                slot.full = True
            elif slot.full:
                # Had it taken all of it a moment later, poll() would have said so: somebody waits to hear of it.
                slot.full = False
                wait = 0
            if slot.ended:
                wait = 0
            if slot.tls != NULL and slot.tls.more:
                wait = 0
                more = True
        ready = poll(self.polled, self.slot_count + 1, wait)
        if ready <= 0 and not more:
            return
        if self.polled[0].revents:
            while read(self.pipe[0], drained, sizeof(drained)) == sizeof(drained):
                pass
        for i in range(self.slot_count):
            slot = &self.slots[i]
            polled = &self.polled[i + 1]
            more = slot.tls != NULL and slot.tls.more
            if polled.revents == 0 and not more or slot.state == BROKEN:
                continue
            if slot.state == CONNECTING:
                self.finish_connect(slot)
                continue
            # The last: somebody else has closed it.
            if more or polled.revents & (POLLIN | POLLERR | POLLHUP | POLLNVAL):
                if slot.tls != NULL:
                    read_tls(slot, self.raw)
                else:
                    self.read_in(slot)
            if polled.revents & POLLOUT and slot.state == OPEN:
                self.write_out(slot)
                slot.full = has_unwritten(slot)

    cdef void finish_connect(self, Slot *slot) noexcept nogil:
        cdef int error = 0
        cdef unsigned int length = sizeof(error)
        if getsockopt(slot.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0:
            error = errno
        if error != 0:
            broke(slot, error)
        else:
            slot.state = OPEN
            slot.opened = True

    cdef void read_in(self, Slot *slot) noexcept nogil:
        cdef ssize_t size
        while slot.received_size < READ_SIZE:
            size = recv(slot.fd, slot.received + slot.received_size, READ_SIZE - slot.received_size, 0)
            if size > 0:
                slot.received_size += size
            elif size == 0:
                broke(slot, 0)
                return
            elif errno != EINTR:
                if errno != EAGAIN:
                    broke(slot, errno)
                return

    cdef void write_out(self, Slot *slot) noexcept nogil:
        cdef iovec vectors[IOVECS]
        cdef msghdr message
        cdef Py_ssize_t i, skip, total
        cdef size_t used
        cdef ssize_t size
        if slot.tls != NULL:
            write_tls(slot)
            return
        memset(&message, 0, sizeof(message))
        message.msg_iov = vectors
        while True:
            # `written` counts from the first buffer still held: those that are out are let go under the GIL.
            skip = slot.written
            used = 0
            total = 0
            for i in range(slot.first, slot.count):
                if skip >= slot.queue[i].len:
                    skip -= slot.queue[i].len
                    continue
                vectors[used].iov_base = <uint8_t *>slot.queue[i].buf + skip
                vectors[used].iov_len = slot.queue[i].len - skip
                total += slot.queue[i].len - skip
                skip = 0
                used += 1
                if used == IOVECS:
                    break
            if used == 0:
                return
            message.msg_iovlen = used
            size = sendmsg(slot.fd, &message, KT_SEND_FLAGS)
            if size < 0:
                if errno == EINTR:
                    continue
                # A broken connection is reported by the read that follows; what the peer said last is still there.
                return
            slot.written += size
            if size < total:
                return


cdef bint has_unwritten(Slot *slot) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t total = 0
    if slot.tls != NULL and (slot.tls.staged > 0 or has_ciphertext(slot.tls)):
        return True
    for i in range(slot.first, slot.count):
        total += slot.queue[i].len
        if total > slot.written:
            return True
    return False


cdef void broke(Slot *slot, int error) noexcept nogil:
    slot.state = BROKEN
    slot.error = error
    slot.ended = True
