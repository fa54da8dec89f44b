# What is owed to whoever sent: the cells of batches that have no outcome yet, and failures that nobody has looked at.


cdef class Failures:
    """Failures that nobody has looked at. Kept futures keep it, so it keeps nothing but that."""

    cdef dict places                # (topic, partition) -> [count, first error]
    cdef int taken                  # how often they were: what was taken is not counted down any more

    def __cinit__(self):
        self.places = {}

    # In both, the key is made before the entry is looked up: making it may run anybody's code, the other half's too.

    cdef note(self, str topic, int32_t partition, int32_t count, error):
        cdef tuple key = (topic, partition)
        cdef list entry = [0, error]
        entry = self.places.setdefault(key, entry)
        entry[0] += count

    cdef seen(self, str topic, int32_t partition, int32_t count, int taken):
        cdef tuple key = (topic, partition)
        cdef list entry = self.places.get(key) if taken == self.taken else None
        if entry is not None:
            entry[0] -= count
            if entry[0] <= 0:
                del self.places[key]

    cdef dict take(self):
        places, self.places = self.places, {}
        self.taken += 1
        return places


cdef class Ledger:
    """The part of an accumulator that outlives its batches."""

    cdef PyObject *first_cell       # every unresolved Cell, in order of creation; each owned by the list
    cdef PyObject *last_cell
    cdef Failures unseen

    def __cinit__(self, *args, **kwargs):
        self.unseen = Failures.__new__(Failures)

    def __dealloc__(self):
        cdef PyObject *cell = self.first_cell
        cdef PyObject *next_cell
        while cell != NULL:
            next_cell = (<Cell>cell).newer
            Py_DECREF(<object>cell)
            cell = next_cell

    cdef inline void link_cell(self, Cell cell, Queue queue) noexcept:
        Py_INCREF(cell)
        cell.linked = True
        cell.topic = queue.topic
        cell.partition = queue.partition
        cell.older = self.last_cell
        cell.newer = NULL
        if self.last_cell == NULL:
            self.first_cell = <PyObject *>cell
        else:
            (<Cell>self.last_cell).newer = <PyObject *>cell
        self.last_cell = <PyObject *>cell

    cdef void unlink_cell(self, Cell cell):
        if not cell.linked:
            return
        cell.linked = False
        if cell.older == NULL:
            self.first_cell = cell.newer
        else:
            (<Cell>cell.older).newer = cell.newer
        if cell.newer == NULL:
            self.last_cell = cell.older
        else:
            (<Cell>cell.newer).older = cell.older
        cell.older = cell.newer = NULL
        Py_DECREF(cell)

    def unresolved(self):
        """The Cells of all batches that have no outcome yet, oldest first."""
        cells = []
        cdef PyObject *cell = self.first_cell
        while cell != NULL:
            cells.append(<Cell>cell)
            cell = (<Cell>cell).newer
        return cells

    cdef Py_ssize_t records_taken(self):
        """How many records of batches that were taken have no outcome yet."""
        cdef Py_ssize_t count = 0
        cdef PyObject *cell = self.first_cell
        while cell != NULL:
            if not (<Cell>cell).done:
                count += (<Cell>cell).count - (<Cell>cell).known    # 0 while its batch was not taken
            cell = (<Cell>cell).newer
        return count

    @property
    def failures(self):
        """(topic, partition) -> [count, first error]: failures nobody has looked at."""
        return self.unseen.places

    def take_failures(self):
        """The failures nobody looked at, (topic, partition) -> [count, first error]; they count as looked at now."""
        return self.unseen.take()
