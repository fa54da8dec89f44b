# What `send` and `send_many` have to wait for, and the records that wait, with all that may run Python behind them:
# serializers, headers, partitioner. Whoever waits, on a lock or in an event loop, then only has them try again.


cdef class Unsent:
    """Records that could not be put in the buffer at once, and what they need for that; one thread's, or one task's.

    It is one of three things. `closed`: no records are taken until the producer is opened, or has started again in the
    child of a fork (where records that were begun before are the parent's to send). `partitions`: the topic of which
    the accumulator must be told `least` partitions. `memory`: so many bytes, which `queue_up` or `take` sets aside.

    Then comes `try_again`; or `give_up`, where they are not to be sent any more.
    """

    cdef readonly bint closed
    cdef readonly str partitions
    cdef readonly int64_t least
    cdef readonly Py_ssize_t memory
    cdef readonly Py_ssize_t granted    # bytes set aside for it, and counted as used
    cdef readonly Accumulator accumulator
    cdef public double deadline         # for whoever waits to keep: when (clock seconds) its patience ends, 0 at first
    cdef ProducerBase producer
    cdef TopicQueues queues
    cdef object partition               # the one that the caller wants; None for any
    cdef object release                 # called when it need not wait for memory any more
    cdef bint queued                    # among those that wait for memory
    cdef bint busy                      # just being tried
    cdef bint over                      # sent or given up

    def queue_up(self, release not None):
        """Wait for memory behind those that came before.

        `release()` is called once: when the memory is set aside (`granted`), at once perhaps, or when the accumulator
        is closed. Meanwhile every batch may be sent, whatever its linger.
        """
        self.check_waiting_for_memory()
        self.release = release
        self.accumulator.make_all_ready()
        self.accumulator.join_waiters(self)

    def take(self):
        """Have the memory set aside at once, whoever else waits; False where there is not enough.

        For the thread that frees memory, which cannot wait for itself.
        """
        self.check_waiting_for_memory()
        self.accumulator.make_all_ready()
        return self.accumulator.set_aside(self)

    def defer(self, accept not None):
        """Accept them all the same, where nobody can wait for their topic's partitions: their future, at once.

        `accept(deferred)` is given a `Deferred` for each record, whose place is to be chosen later. None where not
        enough memory is free; then those before stay accepted.
        """
        raise Errors.IllegalStateError("these records need something else than partitions")

    def give_up(self):
        """They are not to be sent: what was set aside for them is free again."""
        if self.busy:
            raise Errors.IllegalStateError("these records are just being tried")
        self.end()

    def tell(self, error not None):
        """Of a `send_many`: let an error say how many records were taken before (`accepted`), and their `future`."""

    cdef check_waiting_for_memory(self):
        if self.memory == 0 or self.granted > 0 or self.queued or self.busy or self.over:
            raise Errors.IllegalStateError("these records need no memory, or wait for it already")

    cdef end(self):
        self.over = True
        self.accumulator.leave_waiters(self)
        self.release = None
        self.return_memory()

    cdef return_memory(self):
        cdef Py_ssize_t granted = self.granted
        if granted > 0:
            self.granted = 0
            self.accumulator.give_back(granted)

    def try_again(self):
        """Put them in the buffer: their future, or what they (another object, perhaps) need now."""
        if self.busy or self.over:
            raise Errors.IllegalStateError("these records are sent or given up already, or are just being tried")
        self.busy = True
        try:
            self.accumulator.leave_waiters(self)    # where it did not wait long enough
            if self.accumulator is not self.producer.accumulator:
                self.meet_new_accumulator()
            if self.accumulator.closed:
                self.lacks(IS_CLOSED, 0)
                found = self
            else:
                found = self.put_in()
        except BaseException as error:
            self.end()
            self.tell(error)
            raise
        finally:
            self.busy = False
        self.over = found is not self
        return found

    cdef meet_new_accumulator(self):
        """The producer has started again, in the child of a fork."""
        raise Errors.IllegalStateError("the process forked while send() was at work; send again")

    cdef put_in(self):
        raise NotImplementedError

    cdef lacks(self, Appended why, Py_ssize_t memory):
        """Note what is needed; raises where nothing can help."""
        self.return_memory()
        self.closed = why == IS_CLOSED
        self.partitions = self.queues.topic if why == NEEDS_PARTITIONS else None
        self.least = 1 if self.partition is None else <int64_t>PyNumber_Index(self.partition) + 1
        self.memory = memory if why == NEEDS_MEMORY else 0
        if why == OUT_OF_MEMORY:
            raise MemoryError()
        if self.memory > self.accumulator.memory:
            refuse_large(
                f"a record needs a batch of {self.memory} bytes, more than buffer_memory, "
                f"{self.accumulator.memory} bytes",
                "Raise buffer_memory, or send less in a record.", -1,
            )


cdef tell_accepted(error, Py_ssize_t accepted, FutureRecords future):
    """Whatever ends a `send_many`, Ctrl-C too: nothing else says what became of the records taken before."""
    try:
        error.accepted = accepted
        error.future = future
    except Exception:
        pass    # somebody's own class may refuse


cdef class UnsentCall(Unsent):
    """A `send` or `send_many` that found the accumulator closed: nothing was looked at yet."""

    cdef object method
    cdef tuple arguments
    cdef bint begun                 # from there on it is the method that tells

    def tell(self, error not None):
        if not self.begun and self.method is ProducerBase.send_many:
            tell_accepted(error, 0, FutureRecords.__new__(FutureRecords))

    cdef meet_new_accumulator(self):
        self.accumulator = self.producer.accumulator

    cdef put_in(self):
        self.begun = True
        return self.method(*self.arguments)


cdef class UnsentRecord(Unsent):
    """The record of a `send`."""

    cdef bytes key_bytes
    cdef bytes value_bytes
    cdef bytes headers_bytes
    cdef object key                 # as they were given, for a partitioner
    cdef object value
    cdef Queue queue                # None until it is known where the record goes
    cdef Fields fields

    cdef put_in(self):
        cdef Appended appended = NEEDS_PARTITIONS
        cdef Py_ssize_t memory = self.granted
        cdef PyObject *cell = NULL
        cdef FutureRecordMetadata future = future_for(&self.fields)
        if self.queue is None:
            self.queue = place(
                self.producer, self.queues, self.partition, self.key, self.key_bytes, self.value, self.value_bytes
            )
        if self.queue is not None:
            appended = append_record(
                self.accumulator, &self.queue.links, &self.fields, &cell, &future.index, &memory
            )
        if appended == APPENDED:
            future.cell = <Cell>cell
            if self.granted > 0:
                self.granted = 0
                self.accumulator.wake_waiters()     # it may have needed less
            return future
        self.lacks(appended, memory)
        return self

    def defer(self, accept not None):
        cdef FutureRecordMetadata future = future_for(&self.fields)
        cdef Deferred record = deferred(self)
        if record is None:
            return None
        future.cell = record.cell
        accept(record)
        return future


cdef class UnsentRecords(Unsent):
    """The records of a `send_many`; those before `index` are in the buffer."""

    cdef readonly Py_ssize_t index
    cdef Py_ssize_t count
    cdef list key_list              # each bytes or None; or None for no keys at all
    cdef list value_list
    cdef Rows key_rows              # in their place: columns
    cdef Rows value_rows
    cdef list headers_list
    cdef list keys                  # as they were given, for a partitioner
    cdef list values
    cdef list chosen                # queues, by a partitioner
    cdef int32_t partition_count    # for all records alike, so that those with one key stay together; 0: not known yet
    cdef Queue queue                # that of the record at `index`, where it was found already
    cdef FutureRecords future
    cdef int64_t call
    cdef int64_t opening            # of the accumulator: when the first record was taken

    cdef end(self):
        Unsent.end(self)
        self.future.pack()
        self.key_rows = self.value_rows = None

    def tell(self, error not None):
        tell_accepted(error, self.index, self.future)

    cdef bint choose_partitions(self) except -1:
        """Ask the partitioner about every record, before the first is taken; False while it cannot be asked."""
        cdef Queue queue
        cdef Py_ssize_t i
        if self.chosen is None:
            self.chosen = []
        for i in range(len(self.chosen), self.count):   # it is asked about each record once
            queue = place(
                self.producer, self.queues, None, None if self.keys is None else self.keys[i],
                None if self.key_list is None else <bytes>self.key_list[i], self.values[i], <bytes>self.value_list[i],
            )
            if queue is None:
                return False
            self.chosen.append(queue)
        return True

    cdef bint all_keyless(self):
        """Whether no record has a partition that belongs to it."""
        cdef Py_ssize_t i
        if self.producer.placing == ROUND_ROBIN:
            return False
        cdef Py_ssize_t length
        for i in range(self.count):
            if self.key_rows is not None:
                length = self.key_rows.slices[i].length
            else:
                length = size_of(ListItem(self.key_list, i))
            if length >= 0 and keyless_queue(self.producer.placing, self.queues, length) is None:
                return False
        return True

    cdef put_in(self):
        cdef Accumulator accumulator = self.accumulator
        cdef ProducerBase producer = self.producer
        cdef FutureRecords future = self.future
        cdef Appended appended
        cdef Fields fields
        cdef TopicQueues queues = self.queues
        cdef Queue queue
        cdef list keys = self.key_list
        cdef list values = self.value_list
        cdef PyObject *key = NONE       # borrowed from those
        cdef PyObject *value = NONE
        cdef PyObject *headers = NONE
        cdef Slice *key_slices = slices_of(self.key_rows)
        cdef Slice *value_slices = slices_of(self.value_rows)
        cdef Py_ssize_t i
        cdef Py_ssize_t start = self.index
        cdef Py_ssize_t memory = self.granted
        cdef PyObject *cell = NULL
        cdef int32_t index = 0
        cdef bint each      # has a queue of its own, else one holds for all
        partition = self.partition
        queue, self.queue = self.queue, None
        if partition is None and self.values is not None and not self.choose_partitions():
            self.lacks(NEEDS_PARTITIONS, 0)
            return self
        each = partition is None and (
            self.chosen is not None or keys is not None or key_slices != NULL or producer.placing == ROUND_ROBIN
        )
        if each and self.chosen is None and self.partition_count == 0:
            if queues.partition_count > 0:
                self.partition_count = queues.partition_count
            elif not self.all_keyless():
                self.lacks(NEEDS_PARTITIONS, 0)
                return self
        for i in range(start, self.count):
            if i % PIECE == 0 and (i > start or i == 0):
                if i > 0:
                    with nogil:
                        pass
                    self.index = i
                    PyErr_CheckSignals()
                if future.clock:
                    future.timestamps[i // PIECE] = accumulator.host.wall_ms(accumulator.host.context)
            if keys is not None:
                key = ListItem(keys, i)
            if self.headers_list is not None:
                headers = ListItem(self.headers_list, i)
            if values is not None:
                value = ListItem(values, i)
            set_fields(&fields, key, value, headers)
            set_slices(&fields, key_slices, value_slices, i)
            fields.timestamp = future.timestamps[i // PIECE if future.clock else i]
            if each and not (i == start and queue is not None):
                if self.chosen is not None:
                    queue = <Queue>self.chosen[i]
                elif self.partition_count == 0:
                    queue = queues
                else:
                    queue = keyed_queue(
                        producer.placing, queues, self.partition_count, fields.key, fields.key_length
                    )
            elif queue is None:
                queue = place(producer, queues, partition, None, None, None, None)
            appended = NEEDS_PARTITIONS
            if queue is not None:
                future.reserve()
                if accumulator.openings != self.opening:
                    if i > 0:
                        self.index = i
                        raise Errors.IllegalStateError(
                            f"The transaction in which send_many() had put {i} of its {self.count} records has ended "
                            "meanwhile, and another one has begun; the others were not sent."
                        )
                    self.opening = accumulator.openings
                appended = append_record(accumulator, &queue.links, &fields, &cell, &index, &memory)
            if appended != APPENDED:
                self.index = i
                self.queue = queue
                self.lacks(appended, memory)
                return self
            self.granted = 0
            future.add_record(<Cell>cell, index, self.call)
            if memory > 0:
                memory = 0
                accumulator.wake_waiters()      # it may have needed less
        self.index = self.count
        self.key_rows = self.value_rows = None
        future.pack()
        return future

    def defer(self, accept not None):
        cdef FutureRecords future = self.future
        cdef UnsentRecord unsent
        cdef Deferred record
        while self.index < self.count:
            unsent = self.record(self.index)
            future.reserve()
            record = deferred(unsent)
            if record is None:
                return None
            future.add_record(record.cell, 0, self.call)
            self.index += 1
            accept(record)
        self.over = True
        self.key_rows = self.value_rows = None
        future.pack()
        return future

    cdef UnsentRecord record(self, Py_ssize_t i):
        """One of them by itself."""
        cdef UnsentRecord unsent = UnsentRecord.__new__(UnsentRecord)
        cdef FutureRecords future = self.future
        if future.clock and (i % PIECE == 0):
            future.timestamps[i // PIECE] = self.accumulator.host.wall_ms(self.accumulator.host.context)
        unsent.producer, unsent.accumulator, unsent.queues = self.producer, self.accumulator, self.queues
        unsent.partition = self.partition
        if self.key_rows is not None:
            unsent.key_bytes = self.key_rows.item(i)
        else:
            unsent.key_bytes = None if self.key_list is None else <bytes>self.key_list[i]
        unsent.value_bytes = <bytes>self.value_list[i] if self.value_rows is None else self.value_rows.item(i)
        unsent.headers_bytes = None if self.headers_list is None else <bytes>self.headers_list[i]
        unsent.key = None if self.keys is None else self.keys[i]
        unsent.value = None if self.values is None else self.values[i]
        set_fields(
            &unsent.fields, <PyObject *>unsent.key_bytes, <PyObject *>unsent.value_bytes,
            <PyObject *>unsent.headers_bytes,
        )
        unsent.fields.timestamp = future.timestamps[i // PIECE if future.clock else i]
        return unsent
