# The memory of records that were read: one page for each batch, so that a record that is kept keeps its batch alone.
#
# A page knows which of its records are alive. Once the reader has left it, its memory goes with the last of them; and
# where records that are kept hold more memory in all than they may (`Pins.limit`), the oldest of them are given bytes
# of their own, and their page's memory goes, too.


@cython.final
cdef class Pins:
    """What pages that the reader has left still take, because records of theirs are alive. Sizes are bytes."""

    cdef readonly Py_ssize_t limit
    cdef readonly Py_ssize_t pinned
    cdef Py_ssize_t count       # pages that take it
    cdef list pages             # those that were left, oldest first; some are free by now
    cdef Py_ssize_t first       # those before it are

    def __cinit__(self, Py_ssize_t limit=16 * 1024 * 1024):
        self.limit = limit
        self.pages = []

    cdef int leave(self, Page page) except -1:
        """The reader goes on to the next batch."""
        cdef Page oldest
        page.is_left = True
        if page.alive == NULL:
            page.free()
            return 0
        page.pins = self
        self.pinned += page.size
        self.count += 1
        self.pages.append(page)
        while self.pinned > self.limit and self.first < len(self.pages):
            oldest = <Page>self.pages[self.first]
            self.first += 1
            oldest.detach()
        if len(self.pages) > 64 and len(self.pages) > 2 * self.count:
            self.pages = [kept for kept in self.pages[self.first:] if (<Page>kept).is_held]
            self.first = 0
        return 0


@cython.final
cdef class Page:
    """The records of one batch, decompressed, one behind the other; and what they have in common."""

    cdef str topic
    cdef int32_t partition
    cdef int32_t leader_epoch   # -1: unknown
    cdef int timestamp_type     # 0: the producer's times; 1: the broker's; -1: none
    cdef Py_buffer memory
    cdef bint is_held
    cdef Py_ssize_t size        # of all that is held
    cdef PyObject *alive        # the newest of its records that are; each knows its neighbours
    cdef bint is_left
    cdef Pins pins              # once it is left with records that are alive

    def __dealloc__(self):
        if self.is_held:
            PyBuffer_Release(&self.memory)

    cdef int hold(self, data, Py_ssize_t start) except -1:
        """Take `data`, any buffer that nobody changes, from `start` on as the memory of its records."""
        PyObject_GetBuffer(data, &self.memory, PyBUF_SIMPLE)
        self.memory.buf = <uint8_t *>self.memory.buf + start
        self.memory.len -= start
        self.is_held = True
        self.size = self.memory.len
        return 0

    cdef void free(self):
        if self.is_held:
            self.is_held = False
            PyBuffer_Release(&self.memory)
            if self.pins is not None:
                self.pins.pinned -= self.size
                self.pins.count -= 1

    cdef int detach(self) except -1:
        """Give the records that are alive bytes of their own, and free the rest."""
        # Giving them bytes may run the garbage collector, which may take some of them: the list holds them meanwhile,
        # and is made before the first is looked at. Growing a list runs no collector.
        cdef list alive = []
        cdef PyObject *at = self.alive
        cdef ConsumerRecord record
        while at != NULL:
            alive.append(<object>at)
            at = (<ConsumerRecord>at).older
        if self.is_held:
            for record in alive:
                record.own()
        self.free()
        return 0
