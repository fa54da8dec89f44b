# What a Fetch brought of one partition: from the bytes of its answer to the records that the user gets.
#
# It belongs to the thread that reads. Batches are checked and decompressed one at a time when their turn comes, so that
# memory is bounded by what was fetched and one batch; the IO thread has only looked at their headers (`scan_batches`).

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory

from operator import itemgetter

TOO_LARGE = "Seek past this batch to read on."
cdef const char *MUCH_HEADERS = "take more than"


cdef object in_use():
    return Errors.IllegalStateError(
        "A consumer is for one thread at a time, and this one is being read from: by another thread, or by what called "
        "its deserializer. Make a consumer for each thread, or hold a lock."
    )


cdef list cut(const uint8_t[::1] data):
    """The batches in `data`, the first one last; one whose length cannot be ends them, as much of it as there is."""
    cdef list batches = []
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size = data.shape[0]
    cdef int64_t length
    while size - at > BATCH_MAGIC:
        length = BATCH_LENGTH_END + <int64_t><int32_t>load32(&data[at] + BATCH_LENGTH)
        if length < BATCH_LENGTH_END + MIN_BATCH_LENGTH:
            batches.append(PyBytes_FromStringAndSize(<const char *>&data[at], min(size - at, BATCH_HEADER_SIZE)))
            break
        if length > size - at:
            break   # a broker cuts the last one where its limit falls
        batches.append(PyBytes_FromStringAndSize(<const char *>&data[at], length))
        at += length
    batches.reverse()
    return batches


@cython.final
cdef class Fetched:
    """The records that a Fetch brought of one partition, to be handed out in order.

    `data` is a buffer, of which each batch is copied: else the whole answer would stay while anything of it is kept.
    `aborted` is the answer's aborted transactions, (producer id, first offset) each. What lies below the position is
    passed over, and so is everything once the position's generation has grown.
    """

    cdef readonly ReadPosition position
    cdef readonly Py_ssize_t size       # bytes of the answer that it keeps until it is finished
    cdef int32_t generation
    cdef bint is_in_use                 # a record is being made, by a deserializer perhaps
    cdef ReadRules rules
    cdef list batches                   # the bytes of those to come, the next one last; None once finished
    cdef list aborted                   # those whose first offset is still to come, the first one last
    cdef set aborting                   # producers whose records, from here on, are those of an aborted transaction
    # The batch whose records are handed out:
    cdef Page page
    cdef Cursor cursor
    cdef int32_t left                   # records
    cdef Py_ssize_t header_memory       # what is left of the rules'
    cdef int64_t base_offset
    cdef int64_t last_offset            # of the batch, whether there is a record or not
    cdef int64_t base_timestamp
    cdef int64_t append_timestamp
    cdef list messages                  # of formats v0 and v1, the next one last

    def __init__(self, ReadPosition position not None, ReadRules rules not None, const uint8_t[::1] data not None,
                 aborted=()):
        if self.position is not None:
            raise TypeError("a Fetched does not change")
        self.position = position
        self.generation = position.generation
        self.rules = rules
        self.aborted = sorted(aborted, key=itemgetter(1), reverse=True)
        self.aborting = set()
        self.size = data.shape[0]
        self.batches = cut(data)

    @property
    def is_stale(self):
        """Whether the user has gone elsewhere since."""
        return self.position is None or self.generation != self.position.generation

    cpdef int finish(self) except -1:
        """Let go of all memory but that of records which are alive. Where it is in use, who uses it does."""
        if self.is_in_use:
            return 0
        self.leave_page()
        self.batches = None
        return 0

    cdef int leave_page(self) except -1:
        cdef Page page = self.page
        if page is not None:
            self.page = None
            self.messages = None
            self.rules.pins.leave(page)
        return 0

    def take(self, Py_ssize_t most):
        """At most so many records, in a list; shorter, even empty, only where there are no more, or where one is wrong.

        What is wrong with the first one that would be handed out is raised, at each call until the position is moved.
        """
        cdef list records = []
        cdef ConsumerRecord record
        while len(records) < most:
            try:
                record = self.next()
            except Exception:
                if records:
                    break
                raise
            if record is None:
                break
            records.append(record)
        return records

    cdef ConsumerRecord next(self):
        """The next record; None where there are no more."""
        cdef ConsumerRecord record
        self.begin()
        try:
            while self.has_page():
                if self.messages is not None:
                    record = self.next_message()
                else:
                    record = self.next_record()
                if record is not None:
                    return record
                self.end_page()
        finally:
            self.is_in_use = False
        self.finish()
        return None

    cdef inline int begin(self) except -1:
        if self.is_in_use:
            raise in_use()
        self.is_in_use = True
        return 0

    cdef inline bint has_page(self) except -1:
        """Whether there is a batch to read on in; goes to the next one where none is open."""
        return (
            self.batches is not None
            and self.generation == self.position.generation
            and (self.page is not None or self.next_page())
            # The log may have been found truncated meanwhile: checksums and decompression let other threads run.
            and self.generation == self.position.generation
        )

    cdef int end_page(self) except -1:
        """All records of the batch have been read: go past it."""
        cdef const uint8_t *end
        if self.messages is None:
            end = <const uint8_t *>self.page.memory.buf + self.page.size
            if self.cursor.at != end:
                raise self.broken(self.base_offset, f"has {end - self.cursor.at} bytes left over after its records")
        if self.last_offset >= self.position.offset:
            self.position.offset = self.last_offset + 1
        self.leave_page()
        return 0

    cdef bint next_page(self) except -1:
        """Go to the next batch that has something for the user; False where there is none."""
        cdef const uint8_t *p
        cdef bytes batch
        cdef Py_ssize_t size
        cdef int16_t attributes
        cdef int64_t base, last
        while self.batches:
            batch = <bytes>self.batches[len(self.batches) - 1]
            p = <const uint8_t *>PyBytes_AS_STRING(batch)
            size = PyBytes_GET_SIZE(batch)
            base = <int64_t>load64(p)
            if <int32_t>load32(p + BATCH_LENGTH) < MIN_BATCH_LENGTH:
                raise self.broken(base, f"has length {<int32_t>load32(p + BATCH_LENGTH)}")
            if p[BATCH_MAGIC] < 2:
                if base >= self.position.offset:    # of a compressed set: that of its last message
                    self.open_messages(base, batch)
                    self.batches.pop()
                    return True
                self.batches.pop()
                continue
            if p[BATCH_MAGIC] > 2:
                raise self.broken(base, f"is of an unknown format, magic {p[BATCH_MAGIC]}")
            if size < BATCH_HEADER_SIZE:
                raise self.broken(base, f"has {size} bytes, less than a batch header")
            if self.rules.check_crc:    # before anything in it decides that it may be passed over
                self.check(batch, base)
                if self.generation != self.position.generation:
                    return False    # other threads have run: where the reader is now is no business of this batch
            last = base + <int32_t>load32(p + BATCH_LAST_OFFSET_DELTA)
            if last < base:
                raise self.broken(base, f"has last offset delta {last - base}")
            if last < self.position.offset:
                self.batches.pop()
                continue
            attributes = <int16_t>load16(p + BATCH_ATTRIBUTES)
            if self.is_for_nobody(p, attributes, last):
                self.position.offset = last + 1
                self.batches.pop()
                continue
            self.open_batch(batch, base, last, attributes)
            self.batches.pop()
            return True
        return False

    cdef bint is_for_nobody(self, const uint8_t *p, int16_t attributes, int64_t last) except -1:
        """Whether a batch holds a marker of the broker's, or records that were never committed."""
        cdef object producer = <int64_t>load64(p + BATCH_PRODUCER_ID)
        if self.rules.read_committed:
            while self.aborted and self.aborted[len(self.aborted) - 1][1] <= last:
                self.aborting.add(self.aborted.pop()[0])
            if attributes & ATTRIBUTE_CONTROL:
                # A transaction's end, whichever way it went: what this producer writes next is another one.
                self.aborting.discard(producer)
            elif attributes & ATTRIBUTE_TRANSACTIONAL and producer in self.aborting:
                return True
        return bool(attributes & ATTRIBUTE_CONTROL)

    cdef object broken(self, int64_t offset, str what):
        return self.rules.corrupt(what, self.position.partition, offset)

    cdef int check(self, bytes batch, int64_t base) except -1:
        """Raise where the batch's bytes are not those that its checksum is of."""
        cdef char *p = PyBytes_AS_STRING(batch)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(batch) - BATCH_ATTRIBUTES
        cdef uint32_t expected = load32(<const uint8_t *>p + BATCH_CRC)
        cdef uint32_t found = crc32c(PyMemoryView_FromMemory(p + BATCH_ATTRIBUTES, size, PyBUF_READ))
        if found != expected:
            raise self.broken(base, f"has CRC {expected:#010x} in its header, but its bytes have {found:#010x}")
        return 0

    cdef int open_batch(self, bytes batch, int64_t base, int64_t last, int16_t attributes) except -1:
        cdef Page page
        cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(batch)
        cdef int32_t count = <int32_t>load32(p + BATCH_COUNT)
        cdef int codec = attributes & ATTRIBUTE_CODEC_MASK
        cdef Py_ssize_t size = PyBytes_GET_SIZE(batch) - BATCH_HEADER_SIZE
        if count < 0:
            raise self.broken(base, f"has count {count}")
        page = Page.__new__(Page)
        page.topic = self.position.partition[0]
        page.partition = self.position.partition[1]
        page.leader_epoch = <int32_t>load32(p + BATCH_LEADER_EPOCH)
        page.timestamp_type = 1 if attributes & ATTRIBUTE_LOG_APPEND_TIME else 0
        if codec == 0:
            page.hold(batch, BATCH_HEADER_SIZE)
        else:
            try:
                page.hold(self.rules.opened(codec, PyMemoryView_FromMemory(
                    <char *>p + BATCH_HEADER_SIZE, size, PyBUF_READ)), 0)
            except Errors.UnsupportedCodecError as error:
                raise error.about(f"the batch at offset {base} of {page.topic}[{page.partition}]")
            except Errors.CorruptRecordError as error:
                broken = self.broken(base, f"cannot be decompressed: {error}")
                if getattr(error, "too_large", False):
                    broken.hint = TOO_LARGE
                raise broken from error
        # 7 bytes is the least that a record takes: a hostile count is found before anybody waits for its end.
        if count > page.size // 7:
            raise self.broken(base, f"cannot hold {count} records in {page.size} bytes")
        self.cursor.at = <const uint8_t *>page.memory.buf
        self.left = count
        self.header_memory = self.rules.header_memory
        self.base_offset = base
        self.last_offset = last
        self.base_timestamp = <int64_t>load64(p + BATCH_BASE_TIMESTAMP)
        self.append_timestamp = <int64_t>load64(p + BATCH_MAX_TIMESTAMP)
        self.page = page
        return 0

    cdef ConsumerRecord next_record(self):
        """The next record of the batch that is at or above the position; None at the batch's end."""
        cdef Cursor c
        cdef Page page = self.page
        cdef const uint8_t *page_end = <const uint8_t *>page.memory.buf + page.size
        cdef RecordFields fields
        cdef const char *wrong
        cdef ConsumerRecord record
        cdef Py_ssize_t header_memory
        while self.left > 0:
            c.at = self.cursor.at
            wrong = open_record(&c, page_end, self.base_offset, self.last_offset, &fields)
            if wrong != NULL:
                raise self.bad_record(wrong)
            if fields.offset < self.position.offset:
                self.cursor.at = c.end
                self.left -= 1
                continue
            header_memory = self.header_memory
            wrong = next_fields(&c, &fields, &header_memory)
            if wrong != NULL:
                raise self.bad_record(wrong)
            record = ConsumerRecord.__new__(ConsumerRecord)
            GC_UnTrack(<PyObject *>record)
            record.settle(page)
            record.offset = fields.offset
            if page.timestamp_type == 1:
                record.timestamp = self.append_timestamp
            else:
                record.timestamp = <int64_t>(<uint64_t>self.base_timestamp + <uint64_t>fields.timestamp_delta)
            record.key_at = fields.key_at
            record.key_size = fields.key_size
            record.value_at = fields.value_at
            record.value_size = fields.value_size
            record.headers_at = fields.headers_at
            record.headers_size = fields.headers_size
            if self.rules.key_deserializer is not None or self.rules.value_deserializer is not None:
                record = self.deserialized(record)
                if self.generation != self.position.generation:
                    return record   # by a deserializer that seeks
            self.cursor.at = c.end
            self.header_memory = header_memory
            self.left -= 1
            if self.left == 0 and c.end == page_end:
                self.position.offset = self.last_offset + 1
            else:
                self.position.offset = fields.offset + 1
            self.position.leader_epoch = page.leader_epoch
            return record
        return None

    cdef object bad_record(self, const char *wrong):
        cdef str what = (<bytes>wrong).decode()
        if wrong == MUCH_HEADERS:
            what = (f"has headers that, with those before it, {what} {self.rules.header_memory} bytes of memory "
                    "beside their contents")
        error = self.broken(self.base_offset, f"has a record, {self.left} before its end, that {what}")
        if wrong == MUCH_HEADERS:
            error.hint = TOO_LARGE
        return error

    cdef ConsumerRecord deserialized(self, ConsumerRecord record):
        """The record with what the deserializers make of it. From here on it may be part of a cycle."""
        cdef object key, value
        cdef bint is_key = True
        try:
            if self.rules.key_deserializer is not None:
                key = self.rules.key_deserializer(record.topic, record.get_headers(), record.get_key())
            is_key = False
            if self.rules.value_deserializer is not None:
                value = self.rules.value_deserializer(record.topic, record.get_headers(), record.get_value())
        except Exception as error:
            raise self.rules.undeserializable(record, "key" if is_key else "value", error) from error
        if self.rules.key_deserializer is not None:
            record.own_key = key
            record.has_key = True
        if self.rules.value_deserializer is not None:
            record.own_value = value
            record.has_value = True
        GC_Track(<PyObject *>record)
        return record

    # -- formats v0 and v1 -------------------------------------------------------------------------------------------

    cdef int open_messages(self, int64_t last, bytes batch) except -1:
        cdef Page page = Page.__new__(Page)
        try:
            messages = self.rules.legacy(memoryview(batch), self.rules.check_crc)
        except Errors.CorruptRecordError as error:
            raise self.broken(last, f"cannot be read: {error}") from error
        page.topic = self.position.partition[0]
        page.partition = self.position.partition[1]
        page.leader_epoch = -1
        page.timestamp_type = messages[0].timestamp_type if messages else -1
        self.messages = messages[::-1]
        self.last_offset = last
        self.base_offset = last
        self.page = page
        return 0

    cdef ConsumerRecord next_message(self):
        cdef Record message
        cdef ConsumerRecord record
        while self.messages:
            message = <Record>self.messages[len(self.messages) - 1]
            if message.offset < self.position.offset:
                self.messages.pop()
                continue
            record = ConsumerRecord.__new__(ConsumerRecord)
            GC_UnTrack(<PyObject *>record)
            record.settle(self.page)
            record.offset = message.offset
            record.timestamp = message.timestamp
            record.own_key, record.own_value, record.own_headers = message.key, message.value, []
            record.has_key = record.has_value = record.has_headers = True
            record.key_size = -1 if message.key is None else len(message.key)
            record.value_size = -1 if message.value is None else len(message.value)
            record.header_size = -1
            if self.rules.key_deserializer is not None or self.rules.value_deserializer is not None:
                record = self.deserialized(record)
                if self.generation != self.position.generation:
                    return record
            self.messages.pop()
            self.position.offset = message.offset + 1
            self.position.leader_epoch = -1
            return record
        return None


# One record of a batch, as it lies there.
cdef struct RecordFields:
    int64_t offset
    int64_t timestamp_delta
    const uint8_t *key_at
    const uint8_t *value_at
    const uint8_t *headers_at
    int32_t key_size            # -1: null
    int32_t value_size
    int32_t headers_size        # of the encoded section


cdef inline const char *open_record(
    Cursor *c, const uint8_t *page_end, int64_t base_offset, int64_t last_offset, RecordFields *fields
) noexcept nogil:
    """Its offset and time; the cursor then stands before its key, and its end is the record's. Or what is wrong."""
    cdef int64_t length = 0
    cdef int64_t delta = 0
    c.end = page_end
    if not _next_varint(c, 5, &length) or length < 6 or length > c.end - c.at:
        return "has a length that is wrong or past the end"
    c.end = c.at + length
    c.at += 1   # the attributes of a record: none are defined
    if not (_next_varint(c, 10, &fields.timestamp_delta) and _next_varint(c, 5, &delta)):
        return "has a bad varint"
    fields.offset = <int64_t>(<uint64_t>base_offset + <uint64_t>delta)
    if delta < 0 or fields.offset > last_offset:
        return "has an offset below the batch's first or above its last one"
    return NULL


cdef inline const char *next_fields(Cursor *c, RecordFields *fields, Py_ssize_t *header_memory) noexcept nogil:
    """Where its key, value and headers are, and `header_memory` less what those take. Or what is wrong."""
    cdef int64_t length = 0
    if not _next_length(c, &length):
        return "has a key of a wrong length"
    fields.key_at = c.at
    fields.key_size = <int32_t>length
    if length > 0:
        c.at += length
    if not _next_length(c, &length):
        return "has a value of a wrong length"
    fields.value_at = c.at
    fields.value_size = <int32_t>length
    if length > 0:
        c.at += length
    fields.headers_at = c.at
    fields.headers_size = <int32_t>(c.end - c.at)
    if c.end - c.at == 1 and c.at[0] == 0:
        return NULL
    if not _are_headers(c, header_memory):
        return "has headers that do not hold together, or bytes left over"
    if header_memory[0] < 0:
        return MUCH_HEADERS
    return NULL


cdef bint _are_headers(Cursor *c, Py_ssize_t *memory) noexcept nogil:
    """Whether the section up to the cursor's end is one of whole headers; `memory` less what they take at most."""
    cdef int64_t count = 0
    cdef int64_t length = 0
    if not _next_varint(c, 5, &count) or count < 0 or count > (c.end - c.at) // 2:
        return False
    memory[0] -= count * HEADER_MEMORY
    while count > 0:
        count -= 1
        if not _next_length(c, &length) or length < 0:
            return False
        if length > 1:
            memory[0] -= STR_MEMORY + 3 * length    # a single wide character widens them all
        c.at += length
        if not _next_length(c, &length):
            return False
        if length > 1:
            memory[0] -= BYTES_MEMORY
        if length > 0:
            c.at += length
    return c.at == c.end


cdef class ConsumerBase:
    """The hot half of a consumer: the iterator.

    A subclass makes in `_go_on_by_itself()` what to go on with `current`; it waits for it, and raises StopIteration
    where it gives up. It is also asked as soon as `attention` is set, whatever is left of what was fetched before.
    """

    cdef public bint attention
    cdef public Fetched current
    cdef readonly int64_t handed_out    # by iterators
    cdef readonly unsigned long reader  # the thread that is in poll(), or waits for more; 0: none

    def __iter__(self):
        return self

    def __next__(self):
        cdef ConsumerRecord record
        while True:
            record = self.at_hand()
            if record is not None:
                return record
            self._go_on_by_itself()

    cdef inline ConsumerRecord at_hand(self):
        cdef Fetched current = self.current     # whoever takes it away meanwhile does not free it
        cdef ConsumerRecord record = None
        if current is not None and not self.attention:
            try:
                record = current.next()
            except Errors.KafkaError as error:
                self._cannot_read(current, error)
                raise
            if record is not None:
                self.handed_out += 1
        return record

    def next_at_hand(self):
        """The next record of what is `current`; None where there is none, or attention is wanted."""
        return self.at_hand()

    def _enter(self, unsigned long thread):
        """Reading begins in this thread, or goes on within itself; IllegalStateError where another one is at it."""
        if self.reader != 0 and self.reader != thread or self.current is not None and self.current.is_in_use:
            raise in_use()
        self.reader = thread

    def _exit(self, unsigned long thread, bint is_inner):
        """`is_inner`: this thread was reading before."""
        if self.reader == thread and not is_inner:
            self.reader = 0

    def _go_on_by_itself(self):
        raise NotImplementedError

    def _cannot_read(self, Fetched fetched, error):
        """`fetched`, which is `current`, has a record next that cannot be had."""
        raise NotImplementedError
