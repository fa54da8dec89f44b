# A batch has one Cell, which knows how the batch ended; its futures and whoever waits for it look there.

from operator import itemgetter

cdef extern from *:
    """
    static inline PyObject *kt_new_tuple(PyTypeObject *type, Py_ssize_t size) {
        PyObject *made = type->tp_alloc(type, size);
    #if PY_VERSION_HEX >= 0x030E0000
        if (made != NULL) ((PyTupleObject *)made)->ob_hash = -1;    /* 0 would pass for its hash */
    #endif
        return made;
    }
    static inline void kt_put_item(PyObject *tuple, Py_ssize_t index, PyObject *item) {
        Py_INCREF(item);
        PyTuple_SET_ITEM(tuple, index, item);
    }
    """
    object new_tuple "kt_new_tuple"(PyTypeObject *type, Py_ssize_t size)
    void put_item "kt_put_item"(object tuple, Py_ssize_t index, object item) noexcept
    void untrack "PyObject_GC_UnTrack"(object item) noexcept

from kafka._log import callback_failed, callback_slow

cdef enum:
    SLOW = 1    # seconds: a callback that takes longer is told of in the log


cdef released(release):
    """Let somebody go on who waits; its failure stops nobody else."""
    try:
        release()
    except Exception:
        callback_failed(release, None)


cdef release_all(list releases):
    while releases:
        released(releases.pop(0))


cdef object _first_index = itemgetter(0)


cdef object telling(Cell cell, Accumulator accumulator):
    return lambda: (<Cell>cell).tell(accumulator)


cdef object record_metadata(
    str topic, int32_t partition, place, int64_t offset, int64_t timestamp, int32_t key_size, int32_t value_size,
    int32_t headers_size,
):
    """What `RecordMetadata(...)` makes, without its constructor, a function in Python: that takes several times longer.

    There are as many as there are callbacks. As nothing in one can refer to it, no garbage collection need look at it.
    """
    metadata = new_tuple(<PyTypeObject *>RecordMetadata, 9)
    put_item(metadata, 0, topic)
    put_item(metadata, 1, partition)
    put_item(metadata, 2, place)
    put_item(metadata, 3, offset)
    put_item(metadata, 4, timestamp)
    put_item(metadata, 5, None)
    put_item(metadata, 6, key_size)
    put_item(metadata, 7, value_size)
    put_item(metadata, 8, headers_size)
    untrack(metadata)
    return metadata


@cython.no_gc
cdef class Cell:
    """How a batch ended, for all the futures of its records.

    Mostly they all end alike. Where they do not (a batch that was sent in parts, or refused for some of its records),
    the cell is resolved when the last of them has its outcome.
    """
    # no_gc: a cycle through a callback ends when the batch has its outcome, and every batch gets one.

    cdef readonly str topic
    cdef readonly int32_t partition
    cdef readonly int32_t count
    cdef readonly int64_t base_offset
    cdef readonly int64_t log_append_time
    cdef readonly object error      # of the first record that failed, None where none did
    # None where those three hold for all records; else a tuple (index of the first record, count, base offset, log
    # append time, error) for each run of records that ended alike, in order.
    cdef readonly list outcomes
    cdef readonly bint done
    cdef readonly bint told     # and its callbacks have run
    cdef bint linked            # on the accumulator's list of unresolved cells
    cdef list known_outcomes    # the outcomes so far, in order of their arrival
    cdef int32_t known          # how many records they are of
    cdef list releases          # to be called by `conclude`, for those who wait: as soon as it is done
    cdef list told_releases     # and when its callbacks have run
    cdef Callbacks callbacks    # until they are called
    cdef object known_place     # the TopicPartition of its records, once somebody has asked for it
    cdef int32_t unseen         # failed records that nobody has looked at
    cdef Failures failures      # that they are counted in
    cdef int failures_taken
    cdef int64_t call               # the send_many call that last put a record in
    cdef int32_t place              # which of that call's cells it is
    cdef Accumulator accumulator    # while unresolved: a kept future keeps no producer's memory
    # The accumulator's list of unresolved cells.
    cdef PyObject *older
    cdef PyObject *newer

    def __cinit__(self):
        self.partition = -1
        self.base_offset = -1
        self.log_append_time = -1

    def __dealloc__(self):
        drop_callbacks(&self.callbacks)

    def notify(self, release not None, *, bint told=False):
        """Have `release()` called once, when the batch has an outcome (with `told`: and its callbacks have run).

        False where that is so already.
        """
        # Made before it is known to be needed: making it may run the garbage collector, and so another thread.
        cdef list releases = []
        if told:
            if self.told_releases is None:
                self.told_releases = releases
            releases = self.told_releases
        else:
            if self.releases is None:
                self.releases = releases
            releases = self.releases
        if self.told if told else self.done:
            return False
        releases.append(release)
        return True

    def forget(self, release, *, bint told=False):
        """It need not be called any more."""
        releases = self.told_releases if told else self.releases
        if releases is not None and release in releases:
            releases.remove(release)

    cdef resolve(self, int64_t base_offset, int64_t log_append_time, error, Accumulator accumulator):
        """The outcome of all records that have none yet."""
        cdef int32_t index = 0
        if self.done:
            return
        if self.known_outcomes is not None:
            for outcome in sorted(self.known_outcomes, key=_first_index):
                if outcome[0] > index:
                    self.add_outcome(index, outcome[0] - index, base_offset, log_append_time, error)
                index = outcome[0] + outcome[1]
            if index < self.count:
                self.add_outcome(index, self.count - index, base_offset, log_append_time, error)
            self.finish(accumulator)
            return
        self.base_offset = base_offset
        self.log_append_time = log_append_time
        if error is not None:
            accumulator.unseen.note(self.topic, self.partition, self.count, error)
        self.conclude(error, self.count if error is not None else 0, accumulator)

    cdef resolve_part(self, int32_t first, int32_t count, int64_t base_offset, int64_t log_append_time, error,
                      Accumulator accumulator):
        """The outcome of `count` records from index `first` on, none of which has one yet."""
        if self.done:
            return
        self.add_outcome(first, count, base_offset, log_append_time, error)
        if self.known >= self.count:
            self.finish(accumulator)

    cdef add_outcome(self, int32_t first, int32_t count, int64_t base_offset, int64_t log_append_time, error):
        if self.known_outcomes is None:
            self.known_outcomes = []
        self.known_outcomes.append((first, count, base_offset, log_append_time, error))
        self.known += count

    cdef finish(self, Accumulator accumulator):
        """Every record has its outcome."""
        cdef list outcomes = sorted(self.known_outcomes, key=_first_index)
        cdef int32_t failed = 0
        first_error = None
        self.known_outcomes = None
        for _, count, _, _, error in outcomes:
            if error is not None:
                failed += <int32_t>count
                accumulator.unseen.note(self.topic, self.partition, count, error)
                if first_error is None:
                    first_error = error
        self.outcomes = outcomes
        self.conclude(first_error, failed, accumulator)

    cdef conclude(self, error, int32_t failed, Accumulator accumulator):
        self.error = error
        if error is not None:
            self.unseen = failed
            self.failures = accumulator.unseen
            self.failures_taken = self.failures.taken
        self.done = True
        self.accumulator = None
        try:
            release_all(self.releases)
        finally:
            if self.callbacks.count == 0 or accumulator.run_callbacks is None:
                self.tell(accumulator)
            else:
                accumulator.run_callbacks(telling(self, accumulator))

    cdef tell(self, Accumulator accumulator):
        cdef Callbacks callbacks = taken_from(&self.callbacks)
        cdef Callback *callback
        cdef Py_ssize_t i = 0   # how many were let go of
        cdef double begun, over
        try:
            if callbacks.count > 0:
                over = accumulator.host.monotonic(accumulator.host.context)
                while i < callbacks.count:
                    callback = &callbacks.items[i]
                    begun = over
                    (<Future>callback.future).call(
                        callback.when, <object>callback.function, <tuple>callback.arguments, True
                    )
                    over = accumulator.host.monotonic(accumulator.host.context)
                    if over - begun >= SLOW:
                        callback_slow(<object>callback.function, over - begun)
                    i += 1
                    let_go_of(callback[0])
        finally:
            while i < callbacks.count:
                let_go_of(callbacks.items[i])
                i += 1
            free(callbacks.items)
            accumulator.unlink_cell(self)
            self.told = True
            release_all(self.told_releases)

    cdef tuple outcome(self, int32_t index):
        """Of the record at `index`: (index of the first record, count, base offset, log append time, error)."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high, middle
        if self.outcomes is None:
            return (0, self.count, self.base_offset, self.log_append_time, self.error)
        high = len(self.outcomes) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if (<tuple>self.outcomes[middle])[0] <= index:
                low = middle
            else:
                high = middle - 1
        return <tuple>self.outcomes[low]

    cdef str named_place(self):
        """Where its records go, as errors name it (`KafkaError.place`)."""
        return f"topic {self.topic}" if self.partition < 0 else f"{self.topic}[{self.partition}]"

    cdef inline object error_of(self, int32_t index):
        """The error of the record at `index`; None while there is no outcome."""
        return self.error if self.outcomes is None else self.outcome(index)[4]

    cdef object metadata(self, int32_t index, int64_t timestamp, int32_t key_size, int32_t value_size,
                         int32_t headers_size):
        """The RecordMetadata of the record at `index`, which was delivered."""
        cdef int64_t base_offset = self.base_offset
        cdef int64_t log_append_time = self.log_append_time
        cdef int32_t first = 0
        if self.outcomes is not None:
            first, _, base_offset, log_append_time, _ = self.outcome(index)
        return record_metadata(
            self.topic, self.partition, self.topic_partition(),
            base_offset + index - first if base_offset >= 0 else -1,
            timestamp if log_append_time < 0 else log_append_time,
            key_size, value_size, headers_size,
        )

    cdef object topic_partition(self):
        """The TopicPartition of its records."""
        if self.partition < 0:
            return TopicPartition(self.topic, self.partition)   # it may get one yet
        if self.known_place is None:
            self.known_place = TopicPartition(self.topic, self.partition)
        return self.known_place

    cdef tuple failed_among(self, int32_t first, int32_t count):
        """How many of `count` records from index `first` on failed, and the first one's error."""
        cdef int32_t failed = 0
        cdef int32_t start, end
        if self.outcomes is None:
            return (0 if self.error is None else count, self.error)
        first_error = None
        for outcome_first, outcome_count, _, _, error in self.outcomes:
            start = max(first, <int32_t>outcome_first)
            end = min(first + count, <int32_t>(outcome_first + outcome_count))
            if error is not None and start < end:
                failed += end - start
                if first_error is None:
                    first_error = error
        return (failed, first_error)

    def give_up(self, error not None):
        """For the driver's own end: every record that has no outcome fails with `error`, whoever holds the batch."""
        if not self.done:
            self.resolve(-1, -1, error, self.accumulator)

    cdef seen(self, int32_t count):
        """`count` more of its failed records were looked at."""
        if count > self.unseen:
            count = self.unseen
        if count > 0:
            self.unseen -= count
            self.failures.seen(self.topic, self.partition, count, self.failures_taken)
