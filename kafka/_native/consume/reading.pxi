# What reader and IO thread both know of a partition, how its records are made, and what headers say of an answer.


cdef enum:
    MIN_BATCH_LENGTH = 14       # of what follows the length: a message of format v0 without key and value


@cython.final
cdef class ReadPosition:
    """Where the user is in a partition. The thread that reads moves it, the IO thread looks at it; under the GIL."""

    cdef readonly object partition      # a TopicPartition
    cdef readonly int64_t offset        # of the next record to be handed out; -1: not known yet
    cdef readonly int32_t leader_epoch  # of the record before, -1: unknown
    cdef readonly int32_t generation    # grows when the user goes elsewhere: what was fetched before is of no use
    cdef public bint paused
    cdef public int64_t high_watermark  # as the last answer had them; -1: none yet
    cdef public int64_t last_stable
    cdef public int64_t log_start
    cdef public int64_t nothing_from    # of a bounded range: as answers have it, no record is in [from, until)
    cdef public int64_t nothing_until

    def __init__(self, partition):
        self.partition = partition
        self.offset = self.high_watermark = self.last_stable = self.log_start = -1
        self.leader_epoch = -1
        self.nothing_from = self.nothing_until = -1

    def move(self, int64_t offset, int32_t epoch):
        """Go there; the generation from now on. Whatever was fetched for the earlier ones is passed over."""
        self.generation += 1
        self.offset = offset
        self.leader_epoch = epoch
        return self.generation

    def settle(self, int32_t generation, int64_t offset):
        """Where reading begins has been found; False where it has been moved since."""
        if self.generation != generation:
            return False
        self.offset = offset
        return True

    def __repr__(self):
        return f"<{self.partition.topic}[{self.partition.partition}] at {self.offset}>"


@cython.final
cdef class ReadRules:
    """How a consumer's records are made of batches; one for all its partitions.

    `opened(codec, data)` is a buffer of what compressed `data` holds, and `legacy(data)` the list of `Record` that one
    batch of format v0 or v1 is; both raise a CorruptRecordError. `header_memory`: bytes that the headers of a batch's
    records may take as objects, beside what they hold. `deserialize(deserializer, topic, headers, data)` is
    not needed where there are no deserializers. `corrupt(text, position, offset)` makes the error of a broken batch.
    """

    cdef bint check_crc
    cdef bint read_committed
    cdef Py_ssize_t header_memory
    cdef object opened
    cdef object legacy
    cdef object corrupt
    cdef object undeserializable
    cdef object key_deserializer        # None, or the method `deserialize` of a Deserializer
    cdef object value_deserializer
    cdef readonly Pins pins

    def __init__(self, *, bint check_crc, bint read_committed, Py_ssize_t header_memory, opened, legacy, corrupt,
                 undeserializable, key_deserializer=None, value_deserializer=None):
        self.check_crc = check_crc
        self.read_committed = read_committed
        self.header_memory = header_memory
        self.opened = opened
        self.legacy = legacy
        self.corrupt = corrupt
        self.undeserializable = undeserializable
        self.key_deserializer = key_deserializer
        self.value_deserializer = value_deserializer
        self.pins = Pins()


def scan_batches(const uint8_t[::1] data not None):
    """What the headers of the whole batches in `data` say: (the offset after the last of them, its leader epoch, count
    of batches, of records). (-1, -1, 0, 0) where there is none that is whole. A set of messages counts as one record.

    Nothing but their lengths is looked at; a length that cannot be ends it, as if nothing followed.
    """
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size = data.shape[0]
    cdef int64_t next_offset = -1
    cdef int64_t last
    cdef int32_t epoch = -1
    cdef int32_t length
    cdef Py_ssize_t count = 0
    cdef int64_t records = 0
    cdef const uint8_t *p
    while size - at > BATCH_MAGIC:
        p = &data[at]
        length = <int32_t>load32(p + BATCH_LENGTH)
        if length < MIN_BATCH_LENGTH or length > size - at - BATCH_LENGTH_END:
            break
        last = <int64_t>load64(p)
        if p[BATCH_MAGIC] >= 2:
            if length < BATCH_HEADER_SIZE - BATCH_LENGTH_END:
                break
            last += <int32_t>load32(p + BATCH_LAST_OFFSET_DELTA)
            epoch = <int32_t>load32(p + BATCH_LEADER_EPOCH)
            records += <int32_t>load32(p + BATCH_COUNT)
        else:
            records += 1
        if last >= next_offset:
            next_offset = last + 1
        count += 1
        at += BATCH_LENGTH_END + length
    return next_offset, epoch, count, records
