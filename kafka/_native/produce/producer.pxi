# send() and send_many(): from a record to its place in the accumulator.
#
# Their order: checks, serializers and partitioner (they may run anybody's Python); the future; then the critical
# section. What cannot be done at once becomes an `Unsent`, which has all of that behind it and is tried again.

from cpython.exc cimport PyErr_CheckSignals


cdef list items_of(items, str what, Py_ssize_t count):
    """An argument of `send_many` as a list of our own; `count` is how many items it must have, -1 for any."""
    cdef list result
    if items is None and count >= 0 or type(items) is Rows:
        return None
    if isinstance(items, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must have an item for each record; it is a single {type(items).__name__}")
    result = list(items)
    if count >= 0 and len(result) != count:
        raise ValueError(f"{what} has {len(result)} items, values has {count}")
    return result


# A producer whose __init__ has not run finds this one, which is closed; so send() need not look for that, too.
cdef Accumulator NOT_INITIALIZED = Accumulator(ManualHost(), memory=0, linger=0.0, delivery_timeout=0.0)
NOT_INITIALIZED.close()


cdef class ProducerBase:
    """The hot half of a producer: `send` and `send_many`.

    A subclass says in `_wait(unsent)` how to wait for what an `Unsent` needs. It returns None when trying again is
    worth while, the future where it has deferred the records, or raises. `_cluster()` is what a partitioner is given.
    With `waits` false both return the `Unsent` instead, for whoever awaits what it needs (in an event loop, say) and
    has it try again, as `finish` here does it.
    """

    cdef public bint waits

    cdef Accumulator accumulator
    cdef object key_serializer      # None, or a Serializer
    cdef object value_serializer
    cdef object partitioner         # None: `placing` says it
    cdef Placing placing
    cdef Py_ssize_t max_request_size
    cdef TopicQueues last

    def __cinit__(self, *args, **kwargs):
        self.accumulator = NOT_INITIALIZED
        self.waits = True

    def __init__(self, Accumulator accumulator not None, *, key_serializer=None, value_serializer=None,
                 partitioner=None, Py_ssize_t max_request_size=1048576):
        self.key_serializer = key_serializer
        self.value_serializer = value_serializer
        self.partitioner = None if isinstance(partitioner, str) else partitioner
        self.placing = BY_MURMUR2
        if partitioner == "crc32":
            self.placing = BY_CRC32
        elif partitioner == "round_robin":
            self.placing = ROUND_ROBIN
        elif isinstance(partitioner, str) and partitioner != "murmur2":
            raise ValueError(f"there is no partitioner {partitioner!r}: murmur2, crc32 or round_robin")
        self.max_request_size = max_request_size
        self.last = None
        self.accumulator = accumulator

    cdef TopicQueues topic_queues(self, topic):
        cdef TopicQueues last = self.last
        cdef TopicQueues queues
        if last is not None and last.following != NULL and (<TopicQueues>last.following).topic is topic:
            self.last = <TopicQueues>last.following
            return self.last
        topic = legal_topic(topic)
        queues = self.accumulator.topics.get(topic)
        if queues is None:
            refuse_topic(topic)
            queues = self.accumulator.topic_queues(topic)
        if last is not None and last.accumulator is queues.accumulator:
            last.following = <PyObject *>queues
        self.last = queues
        return queues

    def _wait(self, unsent):
        raise NotImplementedError

    cdef finish(self, Unsent unsent):
        """Wait, and try again, until the records are in the buffer: their future."""
        while True:
            try:
                found = self._wait(unsent)
            except BaseException as error:
                unsent.give_up()
                unsent.tell(error)
                raise
            if found is None:
                found = unsent.try_again()
            if not isinstance(found, Unsent):
                return found
            unsent = <Unsent>found

    cdef closed_call(self, method, tuple arguments):
        cdef UnsentCall unsent
        if self.accumulator is NOT_INITIALIZED:
            raise Errors.IllegalStateError(f"{type(self).__name__}.__init__() has not been called, or has failed.")
        unsent = UnsentCall.__new__(UnsentCall)
        unsent.producer = self
        unsent.accumulator = self.accumulator
        unsent.closed = True
        unsent.method = method
        unsent.arguments = (self, *arguments)
        return self.finish(unsent) if self.waits else unsent

    def send(self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None):
        """Put a record in the buffer, to be sent soon by a thread in the background.

        `value` and `key` are bytes, or what their serializers take; not both None. `headers`: a list of (str, bytes)
        tuples. `partition`: where it goes; left out, the key decides (records without one are spread evenly).
        `timestamp_ms`: milliseconds since 1970, by default now. Waits at most `max_block_ms` for buffer memory and for
        the topic's partitions to be known; in a callback never: there the record is accepted, and fails if it has no
        partition by then.

        Returns a `FutureRecordMetadata`. Raises TypeError and ValueError for wrong arguments, MessageSizeTooLargeError
        for a record over `max_request_size`, KafkaTimeoutError where it waited in vain, IllegalStateError once closed.
        """
        cdef Accumulator accumulator = self.accumulator
        cdef TopicQueues queues = self.last
        cdef Queue queue
        # Borrowed: from the arguments, or from what they became. References to None that are counted cost most of all.
        cdef PyObject *key_bytes = <PyObject *>key
        cdef PyObject *value_bytes = <PyObject *>value
        cdef PyObject *headers_bytes = <PyObject *>None
        cdef bytes own_key, own_value, own_headers
        cdef uint8_t plain_headers[PLAIN_HEADERS]
        cdef Py_ssize_t plain_size = -1
        cdef Fields fields
        cdef Py_ssize_t memory = 0
        cdef PyObject *cell = NULL
        cdef Appended appended = NEEDS_PARTITIONS
        cdef FutureRecordMetadata future
        cdef UnsentRecord unsent
        if accumulator.closed:
            return self.closed_call(ProducerBase.send, (topic, value, key, headers, partition, timestamp_ms))
        if value is None and key is None:
            refuse_empty(-1)
        if queues is None or queues.topic is not topic:
            queues = self.topic_queues(topic)
        if self.key_serializer is not None or self.value_serializer is not None:
            own = headers_for(headers, -1)      # a serializer may add some
            own_key = to_bytes(self.key_serializer, topic, own, key, "key", -1)
            own_value = to_bytes(self.value_serializer, topic, own, value, "value", -1)
            own_headers = encoded_headers(own, -1)
            key_bytes, value_bytes, headers_bytes = <PyObject *>own_key, <PyObject *>own_value, <PyObject *>own_headers
        else:
            if not is_plain(key_bytes):
                own_key = to_bytes(None, topic, None, key, "key", -1)
                key_bytes = <PyObject *>own_key
            if not is_plain(value_bytes):
                own_value = to_bytes(None, topic, None, value, "value", -1)
                value_bytes = <PyObject *>own_value
            if headers is not None:
                plain_size = put_plain_headers(headers, plain_headers)
                if plain_size < 0:
                    own_headers = encoded_headers(headers, -1)
                    headers_bytes = <PyObject *>own_headers
        set_fields(&fields, key_bytes, value_bytes, headers_bytes)
        if plain_size > 1:      # 1: an empty list
            fields.headers = plain_headers
            fields.headers_length = plain_size
        check_size(&fields, self.max_request_size, -1)
        queue = place(self, queues, partition, key, <bytes>key_bytes, value, <bytes>value_bytes)
        if queue is not None:
            prefetch(queue.links.open)
        fields.timestamp = accumulator.host.wall_ms(accumulator.host.context)
        if timestamp_ms is not None:
            fields.timestamp = timestamp_from(timestamp_ms, -1)
        future = future_for(&fields)
        if queue is not None:
            appended = append_record(accumulator, &queue.links, &fields, &cell, &future.index, &memory)
            if appended == APPENDED:
                future.cell = <Cell>cell
                return future
        if fields.headers == plain_headers:
            own_headers = PyBytes_FromStringAndSize(<char *>plain_headers, plain_size)
            headers_bytes = <PyObject *>own_headers
            fields.headers = <const uint8_t *>BytesData(headers_bytes)
        unsent = UnsentRecord.__new__(UnsentRecord)
        unsent.producer = self
        unsent.accumulator = accumulator
        unsent.queues = queues
        unsent.queue = queue
        unsent.key, unsent.value, unsent.partition = key, value, partition
        unsent.key_bytes, unsent.value_bytes = <bytes>key_bytes, <bytes>value_bytes
        unsent.headers_bytes = <bytes>headers_bytes
        unsent.fields = fields
        unsent.lacks(appended, memory)
        return self.finish(unsent) if self.waits else unsent

    def send_many(self, topic, values, keys=None, headers=None, timestamps=None, partition=None):
        """Put many records in the buffer in one call.

        `values` is a sequence of bytes or None (or of what the serializer takes); `keys`, `headers` and `timestamps`
        (milliseconds since 1970) are None or sequences as long, with an item per record; `partition` holds for all.
        `values` and `keys` may be columns: what speaks Arrow's C data interface (binary, string, fixed-size binary, a
        dictionary of those; nulls are None), a NumPy array of 'S' or void, a memoryview of rows. Those are copied from
        where they lie, without an object for each, and must not change meanwhile.
        Every record is checked before the first is taken: an error names the index of the wrong one. Then they are
        taken in order, waiting at most `max_block_ms` in all for memory.

        Returns one `FutureRecords`, with an outcome for each record. Raises as `send` does; whatever it raises, Ctrl-C
        too, has `.accepted`, how many records were taken before, and `.future`, theirs.
        """
        cdef UnsentRecords unsent
        if self.accumulator.closed:
            return self.closed_call(
                ProducerBase.send_many, (topic, values, keys, headers, timestamps, partition)
            )
        unsent = UnsentRecords.__new__(UnsentRecords)
        unsent.producer = self
        unsent.accumulator = self.accumulator
        unsent.future = FutureRecords.__new__(FutureRecords)
        try:
            self.begin_many(unsent, topic, values, keys, headers, timestamps, partition)
        except BaseException as error:
            unsent.key_rows = unsent.value_rows = None
            unsent.tell(error)
            raise
        found = unsent.try_again()
        return self.finish(<Unsent>found) if isinstance(found, Unsent) and self.waits else found

    cdef begin_many(self, UnsentRecords unsent, topic, values, keys, headers, timestamps, partition):
        """All that comes before the first record is taken."""
        cdef Py_ssize_t count
        unsent.queues = self.topic_queues(topic)
        values = self.plain_column(values, "values", self.value_serializer)
        if type(values) is Rows:
            unsent.value_rows = values
            count = unsent.value_rows.count
        else:
            unsent.values = items_of(values, "values", -1)
            count = len(unsent.values)
        unsent.count = count
        keys = self.plain_column(keys, "keys", self.key_serializer)
        if type(keys) is Rows:
            unsent.key_rows = keys
            if unsent.key_rows.count != count:
                raise ValueError(f"keys has {unsent.key_rows.count} items, values has {count}")
        unsent.keys = items_of(keys, "keys", count)
        if keys is None and self.key_serializer is not None:
            unsent.keys = [None] * count    # it is asked about each record
        headers = items_of(headers, "headers", count)
        timestamps = items_of(timestamps, "timestamps", count)
        unsent.partition = partition
        if partition is not None:
            numbered_queue(unsent.queues, partition)    # raises for what can be no partition
        if count > INT32_MAX:
            raise ValueError(f"{count} records are too many for one call")
        unsent.future.make_room(count, keys is not None or unsent.keys is not None, timestamps is None)
        self.prepare_many(unsent, topic, headers, timestamps)
        unsent.opening = self.accumulator.openings
        self.accumulator.calls += 1
        unsent.call = self.accumulator.calls

    cdef plain_column(self, items, str what, serializer):
        """A column as Rows, or as a list where somebody's Python wants an object of each; anything else as it is."""
        if not is_column(items):
            return items
        if serializer is not None and not isinstance(items, memoryview):
            return objects_of(items, what)
        rows = rows_of(items, what)
        if rows is None:
            if hasattr(items, "isna"):  # of pandas, with whatever it has for what is missing; text as UTF-8
                return [
                    None if missing else item.encode() if isinstance(item, str) else item
                    for item, missing in zip(items, items.isna())
                ]
            return items
        return rows if self.partitioner is None and serializer is None else (<Rows>rows).items()

    cdef prepare_many(self, UnsentRecords unsent, topic, list headers, list timestamps):
        """Check every record and run its serializers; note what the metadata of its future will tell."""
        cdef FutureRecords future = unsent.future
        cdef bint own_each = headers is not None or self.key_serializer is not None or self.value_serializer is not None
        cdef list key_list = unsent.keys
        cdef list value_list = unsent.values
        cdef list headers_list = None
        cdef Slice *key_slices = slices_of(unsent.key_rows)
        cdef Slice *value_slices = slices_of(unsent.value_rows)
        cdef int32_t *key_sizes = <int32_t *>future.key_sizes.data
        cdef int32_t *value_sizes = <int32_t *>future.value_sizes.data
        cdef PyObject *key = NONE       # borrowed, as in `send`
        cdef PyObject *value = NONE
        cdef PyObject *encoded = NONE
        cdef bytes own_key, own_value, own_headers
        cdef Py_ssize_t i
        cdef Fields fields
        if self.partitioner is not None:    # it is shown what was given
            value_list = value_list.copy()      # never a column
            key_list = None if key_list is None else key_list.copy()
        else:
            unsent.keys = unsent.values = None
        for i in range(unsent.count):
            if value_list is not None:
                value = ListItem(value_list, i)
            if key_list is not None:
                key = ListItem(key_list, i)
            if (
                value == NONE and (value_slices == NULL or value_slices[i].length < 0)
                and key == NONE and (key_slices == NULL or key_slices[i].length < 0)
            ):
                refuse_empty(i)
            if own_each or not is_plain(key) or not is_plain(value):
                own = headers_for(None if headers is None else headers[i], i)
                if key_list is not None:
                    key_list[i] = own_key = to_bytes(self.key_serializer, topic, own, <object>key, "key", i)
                    key = <PyObject *>own_key
                if value_list is not None:
                    value_list[i] = own_value = to_bytes(self.value_serializer, topic, own, <object>value, "value", i)
                    value = <PyObject *>own_value
                own_headers = encoded_headers(own, i)
                encoded = <PyObject *>own_headers
                if own_headers is not None and headers_list is None:
                    headers_list = [None] * unsent.count
                    future.make_headers_room(unsent.count)
                if headers_list is not None:
                    headers_list[i] = own_headers
            set_fields(&fields, key, value, encoded)
            set_slices(&fields, key_slices, value_slices, i)
            check_size(&fields, self.max_request_size, i)
            if timestamps is not None:
                future.timestamps[i] = timestamp_from(timestamps[i], i)
            if key_sizes != NULL:
                key_sizes[i] = <int32_t>fields.key_length
            value_sizes[i] = <int32_t>fields.value_length
            if headers_list is not None:
                (<int32_t *>future.headers_sizes.data)[i] = size_of_headers(&fields)
        unsent.key_list, unsent.value_list, unsent.headers_list = key_list, value_list, headers_list
