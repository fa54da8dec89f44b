# send() and send_many(): from a record to its place in the accumulator.
#
# Their order: checks, serializers and partitioner (they may run anybody's Python); the future; then the critical
# section, again after each wait for memory.

import re
from cpython.exc cimport PyErr_CheckSignals
from cpython.number cimport PyNumber_Index

cdef object LEGAL_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")

cdef enum:
    # What a record costs beyond its key, value and headers, at most: for the check against max_request_size.
    RECORD_OVERHEAD = 26


cdef bytes _bytes_of(data, str what):
    if type(data) is bytes:
        return <bytes>data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"{what} must be bytes, bytearray, memoryview or None once serialized, not {type(data).__name__}")


cdef list _items_of(items, str what, Py_ssize_t count):
    """An argument of `send_many` as a list of our own; `count` is how many items it must have, -1 for any."""
    cdef list result
    if items is None and count >= 0:
        return None
    if isinstance(items, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must have an item for each record; it is a single {type(items).__name__}")
    result = list(items)
    if count >= 0 and len(result) != count:
        raise ValueError(f"{what} has {len(result)} items, values has {count}")
    return result


cdef class ProducerBase:
    """The hot half of a producer; `kafka.KafkaProducer` inherits it, with the methods that may wait."""

    cdef Accumulator accumulator
    cdef object key_serializer      # None, or a Serializer
    cdef object value_serializer
    cdef object partitioner         # None: `placing` says it
    cdef Placing placing
    cdef Py_ssize_t max_request_size
    cdef double max_block           # seconds
    cdef TopicQueues last
    cdef int64_t calls

    def __init__(self, Accumulator accumulator not None, *, key_serializer=None, value_serializer=None,
                 partitioner=None, Py_ssize_t max_request_size=1048576, double max_block=60.0):
        self.accumulator = accumulator
        self.key_serializer = key_serializer
        self.value_serializer = value_serializer
        self.partitioner = None if isinstance(partitioner, str) else partitioner
        if partitioner == "crc32":
            self.placing = BY_CRC32
        elif partitioner == "round_robin":
            self.placing = ROUND_ROBIN
        elif isinstance(partitioner, str) and partitioner != "murmur2":
            raise ValueError(f"there is no partitioner {partitioner!r}: murmur2, crc32 or round_robin")
        self.max_request_size = max_request_size
        self.max_block = max_block
        self.last = None

    cdef TopicQueues topic_queues(self, topic):
        cdef TopicQueues last = self.last
        cdef TopicQueues queues
        if last is not None and last.following != NULL and (<TopicQueues>last.following).topic is topic:
            self.last = <TopicQueues>last.following
            return self.last
        if not isinstance(topic, str):
            raise TypeError(f"topic must be str, not {type(topic).__name__}")
        if type(topic) is not str:
            topic = str.__str__(topic)  # an Enum's member, perhaps, whose str() is something else
        queues = self.accumulator.topics.get(topic)
        if queues is None:
            if LEGAL_TOPIC.fullmatch(topic) is None or topic in (".", ".."):
                raise ValueError(
                    f"{topic!r} is no legal topic name: 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'"
                )
            queues = self.accumulator.topic_queues(topic)
        if last is not None:
            last.following = <PyObject *>queues
        self.last = queues
        return queues

    # What KafkaProducer provides; each may wait.

    def _takes_records_again(self):
        """Whether records are taken after all: after a fork it starts again, with a new accumulator."""
        return False

    def _refuse(self):
        """Raise what says why no record is taken any more."""
        raise NotImplementedError

    def _await_partitions(self, topic):
        """Wait until the accumulator knows how many partitions `topic` has, or raise."""
        raise NotImplementedError

    def _partition_out_of_range(self, topic, partition, count):
        """A partition past the known ones was named: wait for fresher metadata, or raise."""
        raise NotImplementedError

    cdef int32_t known_partitions(self, TopicQueues queues) except -2:
        if queues.partition_count < 0:
            self._await_partitions(queues.topic)
        return queues.partition_count

    cdef Queue explicit_queue(self, TopicQueues queues, partition):
        cdef int32_t number
        if not isinstance(partition, int) or isinstance(partition, bool):
            raise TypeError(f"partition must be int or None, not {type(partition).__name__}")
        if partition < 0 or partition > INT32_MAX:
            raise ValueError(f"partition must not be negative, and fit 32 bits: {partition}")
        number = partition
        if number >= self.known_partitions(queues):
            self._partition_out_of_range(queues.topic, number, queues.partition_count)
        return queues.queue(number)

    cdef Queue queue_in_turn(self, TopicQueues queues):
        cdef int32_t partition = queues.turn % <uint32_t>self.known_partitions(queues)
        queues.turn = partition + 1
        return queues.queue(partition)

    cdef Queue chosen_queue(self, TopicQueues queues, key, bytes key_bytes, value, bytes value_bytes):
        self.known_partitions(queues)
        partition = self.partitioner.partition(
            queues.topic, key, key_bytes, value, value_bytes, self._cluster()
        )
        if partition is None:
            raise ValueError(f"the partitioner {self.partitioner!r} gave no partition for topic {queues.topic}")
        return self.explicit_queue(queues, partition)

    cdef too_large(self, Py_ssize_t size, str where):
        raise Errors.MessageSizeTooLargeError(
            f"{where}a record of {size} bytes (key, value and headers encoded) is larger than max_request_size, "
            f"{self.max_request_size} bytes"
        )

    cdef Py_ssize_t wait_for_memory(self, Py_ssize_t needed, double *deadline) except -1:
        """Wait until `needed` bytes are set aside for the caller, who has to append with them or give them back.

        0 where the accumulator was closed meanwhile. `deadline` is 0 before the call's first wait. Raises
        KafkaTimeoutError, and MessageSizeTooLargeError for what will never fit.
        """
        cdef Accumulator accumulator = self.accumulator
        cdef Py_ssize_t granted
        if needed > accumulator.memory:
            raise Errors.MessageSizeTooLargeError(
                f"a record needs a batch of {needed} bytes, more than buffer_memory, {accumulator.memory} bytes"
            )
        if deadline[0] == 0:
            deadline[0] = accumulator.now() + self.max_block
        granted = accumulator.wait_for_memory(needed, deadline[0])
        if granted > 0 or accumulator.closed:
            return granted
        if accumulator.io_thread == PyThread_get_thread_ident():
            raise Errors.KafkaTimeoutError(
                f"send() in a callback found buffer_memory ({accumulator.memory} bytes) full; it cannot wait there, as "
                "the thread that runs callbacks is the one that frees memory. Send from another thread."
            )
        raise Errors.KafkaTimeoutError(
            f"buffer_memory ({accumulator.memory} bytes) stayed full for max_block_ms ({self.max_block * 1000:.0f} "
            f"ms): the brokers take records more slowly than send() brings them, or not at all. "
            f"{accumulator.used} bytes wait."
        )

    cdef give_up(self, Accumulator accumulator, Appended why, Py_ssize_t granted):
        """The record cannot be appended, not even with what was set aside for it."""
        accumulator.give_back(granted)
        if why == OUT_OF_MEMORY:
            raise MemoryError()
        # It was closed after the call began.
        if not self._takes_records_again():
            self._refuse()
        raise Errors.IllegalStateError("the process forked while send() was at work; send again")

    def send(self, topic, value=None, key=None, headers=None, partition=None, timestamp_ms=None):
        """Put a record in the buffer, to be sent soon by a thread in the background.

        `value` and `key` are bytes, or what their serializers take; not both None. `headers`: a list of (str, bytes)
        tuples. `partition`: where it goes; left out, the key decides (records without one are spread evenly).
        `timestamp_ms`: milliseconds since 1970, by default now. Waits at most `max_block_ms` for buffer memory and for
        the topic's partition count.

        Returns a `FutureRecordMetadata`. Raises TypeError and ValueError for wrong arguments, MessageSizeTooLargeError
        for a record over `max_request_size`, KafkaTimeoutError where it waited in vain, IllegalStateError once closed.
        """
        cdef Accumulator accumulator = self.accumulator
        cdef TopicQueues queues = self.last
        cdef Queue queue
        cdef bytes key_bytes = None
        cdef bytes value_bytes = None
        cdef bytes headers_bytes = None
        cdef const uint8_t *key_data = NULL
        cdef const uint8_t *value_data = NULL
        cdef const uint8_t *headers_data = NULL
        cdef Py_ssize_t key_length = -1
        cdef Py_ssize_t value_length = -1
        cdef Py_ssize_t headers_length = 1
        cdef Py_ssize_t size
        cdef Py_ssize_t memory = 0
        cdef int64_t timestamp
        cdef double deadline = 0
        cdef PyObject *cell = NULL
        cdef Appended appended
        cdef FutureRecordMetadata future
        if accumulator.closed:
            if not self._takes_records_again():
                self._refuse()
            accumulator = self.accumulator      # a new one after a fork
            queues = None
        if value is None and key is None:
            raise ValueError("a record needs a key or a value; both are None")
        if queues is None or queues.topic is not topic:
            queues = self.topic_queues(topic)

        if headers is None:
            if self.key_serializer is not None or self.value_serializer is not None:
                headers = []
        elif not isinstance(headers, (list, tuple)):
            encode_headers(headers)     # raises
        if self.key_serializer is None:
            if key is not None:
                key_bytes = _bytes_of(key, "key")
        else:
            data = self.key_serializer.serialize(topic, headers, key)
            if data is not None:
                key_bytes = _bytes_of(data, "key")
        if self.value_serializer is None:
            if value is not None:
                value_bytes = _bytes_of(value, "value")
        else:
            data = self.value_serializer.serialize(topic, headers, value)
            if data is not None:
                value_bytes = _bytes_of(data, "value")
        if headers:     # a serializer may have added some
            headers_bytes = encode_headers(headers)
            headers_data = <const uint8_t *>PyBytes_AS_STRING(headers_bytes)
            headers_length = PyBytes_GET_SIZE(headers_bytes)
        if key_bytes is not None:
            key_data = <const uint8_t *>PyBytes_AS_STRING(key_bytes)
            key_length = PyBytes_GET_SIZE(key_bytes)
        if value_bytes is not None:
            value_data = <const uint8_t *>PyBytes_AS_STRING(value_bytes)
            value_length = PyBytes_GET_SIZE(value_bytes)

        if partition is not None:
            queue = self.explicit_queue(queues, partition)
        elif self.partitioner is not None:
            queue = self.chosen_queue(queues, key, key_bytes, value, value_bytes)
        elif self.placing == ROUND_ROBIN:
            queue = self.queue_in_turn(queues)
        elif key_length > 0 or (key_length == 0 and self.placing == BY_MURMUR2):
            queue = queues.queue(_partition_of(self.placing, key_data, key_length, self.known_partitions(queues)))
        else:
            queue = queues
        prefetch(queue.links.open)

        size = BATCH_HEADER_SIZE + RECORD_OVERHEAD + headers_length
        size += (key_length if key_length > 0 else 0) + (value_length if value_length > 0 else 0)
        if size > self.max_request_size:
            self.too_large(size, "")
        timestamp = accumulator.host.wall_ms(accumulator.host.context)
        if timestamp_ms is not None:
            timestamp = PyNumber_Index(timestamp_ms)    # a float is a mistake: time.time() * 1000, or seconds
        future = FutureRecordMetadata.__new__(FutureRecordMetadata)
        future.key_size = <int32_t>key_length
        future.value_size = <int32_t>value_length
        future.headers_size = -1 if headers_data == NULL else headers_payload(headers_data, headers_length)
        future.timestamp = timestamp
        while True:
            if accumulator.spare == NULL:
                accumulator.make_spare()
            appended = accumulator.append(
                &queue.links, timestamp, key_data, key_length, value_data, value_length, headers_data, headers_length,
                &cell, &future.index, &memory,
            )
            if appended == APPENDED:
                future.cell = <Cell>cell
                if memory > 0:
                    accumulator.wake_waiters()      # it may have needed less
                return future
            if appended == NEEDS_MEMORY:
                memory = self.wait_for_memory(memory, &deadline)
            elif appended != NEEDS_CELL:
                self.give_up(accumulator, appended, memory)

    def send_many(self, topic, values, keys=None, headers=None, timestamps=None, partition=None):
        """Put many records in the buffer in one call.

        `values` is a sequence of bytes or None (or of what the serializer takes); `keys`, `headers` and `timestamps`
        (milliseconds since 1970) are None or sequences as long, with an item per record; `partition` holds for all.
        Every record is checked before the first is taken: an error names the index of the wrong one. Then they are
        taken in order, waiting at most `max_block_ms` in all for memory.

        Returns one `FutureRecords`, with an outcome for each record. Raises as `send` does; a KafkaTimeoutError has
        `.accepted`, how many records were taken before, and `.future`, theirs.
        """
        cdef Accumulator accumulator = self.accumulator
        cdef TopicQueues queues
        cdef Queue queue = None
        cdef list value_list, key_list, headers_list
        cdef FutureRecords future
        cdef Py_ssize_t count, i, size
        cdef Py_ssize_t memory = 0
        cdef const uint8_t *key_data
        cdef const uint8_t *value_data
        cdef const uint8_t *headers_data
        cdef Py_ssize_t key_length, value_length, headers_length
        cdef int32_t *key_sizes
        cdef int32_t *value_sizes
        cdef int64_t timestamp = 0
        cdef int64_t call
        cdef double deadline = 0
        cdef PyObject *cell = NULL
        cdef int32_t index = 0
        cdef int32_t partitions = -1
        cdef Appended appended
        cdef bint chosen = False
        cdef bint in_turn = False
        if accumulator.closed:
            if not self._takes_records_again():
                self._refuse()
            accumulator = self.accumulator      # a new one after a fork
        queues = self.topic_queues(topic)
        values = _items_of(values, "values", -1)
        count = len(values)
        keys = _items_of(keys, "keys", count)
        headers = _items_of(headers, "headers", count)
        timestamps = _items_of(timestamps, "timestamps", count)
        value_list = self.serialized(self.value_serializer, topic, values, headers, "values")
        key_list = self.serialized(self.key_serializer, topic, keys, headers, "keys")
        headers_list = self.encoded_headers(headers)
        future = FutureRecords.__new__(FutureRecords)
        self.fill_sizes(future, value_list, key_list, headers_list, timestamps)
        value_sizes = <int32_t *>future.value_sizes.data
        key_sizes = <int32_t *>future.key_sizes.data

        if partition is not None:
            queue = self.explicit_queue(queues, partition)
        elif self.partitioner is not None:
            chosen = True
            placed = [
                self.chosen_queue(queues, None if keys is None else keys[i], None if keys is None else key_list[i],
                                  values[i], value_list[i])
                for i in range(count)
            ]
        elif self.placing == ROUND_ROBIN:
            in_turn = True
            self.known_partitions(queues)
        elif key_list is None:
            queue = queues
        else:
            partitions = self.known_partitions(queues)

        self.calls += 1
        call = self.calls
        key_data = headers_data = NULL
        key_length = -1
        headers_length = 1
        for i in range(count):
            if i % PIECE == 0:
                if i > 0:
                    with nogil:
                        pass
                    PyErr_CheckSignals()
                if future.clock:
                    timestamp = future.timestamps[i // PIECE] = accumulator.host.wall_ms(accumulator.host.context)
            value_data = NULL
            value_length = value_sizes[i]
            if value_length >= 0:
                value_data = <const uint8_t *>PyBytes_AS_STRING(value_list[i])
            if key_list is not None:
                key_length = key_sizes[i]
                if key_length >= 0:
                    key_data = <const uint8_t *>PyBytes_AS_STRING(key_list[i])
            if headers_list is not None:
                headers_data = <const uint8_t *>PyBytes_AS_STRING(headers_list[i])
                headers_length = PyBytes_GET_SIZE(headers_list[i])
            if chosen:
                queue = <Queue>placed[i]
            elif partitions >= 0:
                queue = queues
                if key_length > 0 or (key_length == 0 and self.placing == BY_MURMUR2):
                    queue = queues.queue(_partition_of(self.placing, key_data, key_length, partitions))
            elif in_turn:
                queue = self.queue_in_turn(queues)
            if not future.clock:
                timestamp = future.timestamps[i]
            while True:
                if accumulator.spare == NULL:
                    accumulator.make_spare()
                future.reserve()
                appended = accumulator.append(
                    &queue.links, timestamp, key_data, key_length, value_data, value_length,
                    headers_data, headers_length, &cell, &index, &memory,
                )
                if appended == APPENDED:
                    future.add_record(<Cell>cell, index, call)
                    if memory > 0:
                        memory = 0
                        accumulator.wake_waiters()      # it may have needed less
                    break
                if appended != NEEDS_CELL:
                    try:
                        if appended == NEEDS_MEMORY:
                            memory = self.wait_for_memory(memory, &deadline)
                        else:
                            self.give_up(accumulator, appended, memory)
                    except Errors.KafkaError as error:
                        error.accepted = i
                        error.future = future
                        raise
        future.pack()
        return future

    cdef list serialized(self, serializer, topic, list items, list headers, str what):
        cdef list result
        cdef Py_ssize_t i
        if items is None:
            return None
        # A partitioner is shown what the serializer was given.
        result = items if serializer is None and self.partitioner is None else items.copy()
        for i in range(len(result)):
            item = result[i]
            if serializer is not None:
                try:
                    item = serializer.serialize(
                        topic, [] if headers is None or headers[i] is None else headers[i], item
                    )
                except Exception as error:
                    raise ValueError(f"{what}[{i}]: its serializer raised {error!r}") from error
                result[i] = item
            if type(item) is not bytes and item is not None:
                result[i] = _bytes_of(item, f"{what}[{i}]")
        return result

    cdef list encoded_headers(self, list headers):
        cdef list result = []
        if headers is None:
            return None
        for i, item in enumerate(headers):
            try:
                result.append(encode_headers(item))
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"headers[{i}]: {error}") from None
        return result

    cdef fill_sizes(self, FutureRecords future, list values, list keys, list headers, timestamps):
        """Check every record's size, and note what the metadata of its future will tell."""
        cdef Py_ssize_t count = len(values)
        cdef Py_ssize_t i, size, key_length, value_length
        cdef size_t room = count if count > 0 else 1
        cdef int32_t *value_sizes
        cdef int32_t *key_sizes = NULL
        cdef int32_t *headers_sizes = NULL
        if count > INT32_MAX:
            raise ValueError(f"{count} records are too many for one call")
        future.value_sizes.data = value_sizes = <int32_t *>malloc(room * sizeof(int32_t))
        if keys is not None:
            future.key_sizes.data = key_sizes = <int32_t *>malloc(room * sizeof(int32_t))
        if headers is not None:
            future.headers_sizes.data = headers_sizes = <int32_t *>malloc(room * sizeof(int32_t))
        future.clock = timestamps is None
        future.timestamps = <int64_t *>malloc((room // PIECE + 1 if future.clock else room) * sizeof(int64_t))
        if (
            value_sizes == NULL or future.timestamps == NULL or (keys is not None and key_sizes == NULL)
            or (headers is not None and headers_sizes == NULL)
        ):
            raise MemoryError()
        for i in range(count):
            item = values[i]
            value_length = -1 if item is None else PyBytes_GET_SIZE(item)
            size = value_length
            key_length = -1
            if keys is not None:
                item = keys[i]
                key_length = -1 if item is None else PyBytes_GET_SIZE(item)
                key_sizes[i] = <int32_t>key_length
                size += key_length
            if value_length < 0 and key_length < 0:
                raise ValueError(f"record {i} needs a key or a value; both are None")
            if headers is not None:
                size += PyBytes_GET_SIZE(headers[i])
            if timestamps is not None:
                try:
                    future.timestamps[i] = PyNumber_Index(timestamps[i])
                except (TypeError, OverflowError) as error:
                    raise type(error)(f"timestamps[{i}]: {error}") from None
            size += BATCH_HEADER_SIZE + RECORD_OVERHEAD + 3
            if size > self.max_request_size:
                self.too_large(size, f"values[{i}]: ")
            if headers is not None:
                headers_sizes[i] = headers_payload(
                    <const uint8_t *>PyBytes_AS_STRING(headers[i]), PyBytes_GET_SIZE(headers[i])
                )
            value_sizes[i] = <int32_t>value_length
