# How much memory batches take, and who waits for some: whoever came first is served first.

from collections import deque


cdef class Memory(Ledger):
    """The part of an accumulator that counts bytes. Nobody is told to wait here, only when to go on."""

    cdef readonly Py_ssize_t memory     # bytes that all batches together may take
    cdef readonly Py_ssize_t used       # and that they take, or that are set aside
    cdef readonly bint closed
    cdef object waiters                 # each an Unsent
    cdef int64_t calls                  # of send_many, numbered: which of them a cell's records are of
    cdef readonly Py_ssize_t waiting    # how many they are; meanwhile every batch may be sent, whatever its linger

    def __cinit__(self, *args, **kwargs):
        self.waiters = deque()

    cdef join_waiters(self, Unsent unsent):
        unsent.queued = True
        self.waiters.append(unsent)
        self.waiting += 1
        self.wake_waiters()

    cdef leave_waiters(self, Unsent unsent):
        if unsent.queued:
            unsent.queued = False
            self.waiters.remove(unsent)
            self.waiting -= 1
            self.wake_waiters()     # it may have been in the way of others

    cdef bint set_aside(self, Unsent unsent):
        """Count the memory that it needs as used, if there is as much."""
        if self.used + unsent.memory > self.memory:
            return False
        self.used += unsent.memory
        unsent.granted = unsent.memory
        return True

    cdef give_back(self, Py_ssize_t granted):
        """What was set aside is not needed after all."""
        self.used -= granted
        self.wake_waiters()

    def wake_waiters(self):
        """Let those go on that wait for memory, as far as there is enough. Called after batches were freed."""
        cdef Unsent first
        failure = None
        while self.waiting > 0:
            first = self.waiters[0]
            if not self.closed and not self.set_aside(first):
                return
            self.waiters.popleft()
            self.waiting -= 1
            first.queued = False
            release, first.release = first.release, None
            try:
                released(release)
            except BaseException as error:      # Ctrl-C, say: those behind are let go all the same
                failure = error
            # Either may have been the last reference, and run anybody's code: not while the next one is looked at.
            first = release = None
        if failure is not None:
            raise failure
