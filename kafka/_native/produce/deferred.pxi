# Records that a callback sends to a topic whose partitions are not known. Nobody may wait there: it is the IO thread,
# and would wait for itself. So the record is accepted, and its place is chosen once it can be.


cdef class Deferred:
    """One record, accepted before it could be put in the buffer. On the IO thread only.

    Its future has a Cell of its own, which ends as the record does; so whoever waits for what was sent waits for it.
    `put` or `fail` follows.
    """

    cdef readonly str topic
    cdef readonly double created    # clock seconds
    cdef readonly Py_ssize_t size   # bytes set aside for it
    cdef UnsentRecord unsent        # until it is in the buffer or has failed
    cdef Accumulator accumulator
    cdef Cell cell
    cdef Cell batch                 # that of the batch it is in
    cdef int32_t index              # its place there

    @property
    def done(self):
        """Whether it is settled, by whoever."""
        return self.cell.done

    def put(self):
        """Put it where it belongs, whether or not more records are taken by now; its topic's partitions are known.

        Raises what a partitioner raises; then `fail` has to follow.
        """
        cdef UnsentRecord unsent = self.unsent
        cdef Accumulator accumulator = self.accumulator
        cdef Appended appended = NEEDS_CELL
        cdef PyObject *cell = NULL
        cdef Py_ssize_t memory
        if unsent is None or self.cell.done:
            return
        unsent.queue = place(
            unsent.producer, unsent.queues, unsent.partition, unsent.key, unsent.key_bytes, unsent.value,
            unsent.value_bytes,
        )
        if unsent.queue is None:
            raise Errors.UnknownPartitionError(
                f"there is no partition {unsent.partition}: it has {accumulator.partition_count(self.topic)}"
            )
        while appended == NEEDS_CELL:
            accumulator.make_spare()
            memory = unsent.granted
            accumulator.admits = True
            appended = accumulator.append(&unsent.queue.links, &unsent.fields, &cell, &self.index, &memory)
            accumulator.admits = False
        if appended != APPENDED:
            raise MemoryError()
        unsent.granted = 0
        self.batch = <Cell>cell
        self.unsent = None
        self.cell.known = 1         # from here on it counts as one of its batch
        self.cell.partition = unsent.queue.partition
        self.batch.notify(self.settle)

    def settle(self):
        """Its batch has an outcome."""
        cdef Cell batch = self.batch
        cdef int32_t first
        if batch is None or not batch.done or self.cell.done:
            return
        first, _, offset, log_append_time, error = batch.outcome(self.index)
        if error is not None:
            batch.seen(1)           # whether somebody looks at it is known of its own cell
        self.cell.partition = batch.partition
        self.cell.resolve(
            offset + self.index - first if offset >= 0 else -1, log_append_time, error, self.accumulator
        )

    def fail(self, error not None):
        """It is not sent, because of `error`. A first outcome stands."""
        cdef UnsentRecord unsent = self.unsent
        if unsent is not None:
            self.unsent = None
            unsent.return_memory()
            self.cell.resolve(-1, -1, error, self.accumulator)


cdef Deferred deferred(UnsentRecord unsent):
    """The record, with memory set aside and a cell for its future; None where there is not enough memory."""
    cdef Accumulator accumulator = unsent.accumulator
    cdef Deferred made = Deferred.__new__(Deferred)
    cdef Cell cell = Cell.__new__(Cell)
    cdef Fields *fields = &unsent.fields
    # Never less than a batch starts with: that covers what its objects take, too.
    made.size = max(
        <Py_ssize_t>FIRST_CAPACITY,
        BATCH_HEADER_SIZE
        + record_size(0, 0, fields.key_length, fields.value_length, fields.headers_length),
    )
    unsent.lacks(NEEDS_MEMORY, made.size)
    if not accumulator.set_aside(unsent):
        return None
    unsent.over = True
    cell.count = 1
    cell.accumulator = accumulator
    accumulator.link_cell(cell, unsent.queues)
    made.unsent = unsent
    made.accumulator = accumulator
    made.cell = cell
    made.topic = unsent.queues.topic
    made.created = accumulator.now()
    return made
