# A sealed batch: its bytes, which go on the wire as they are, and what becomes of its records.

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory

from kafka.records.crc import crc32c


@cython.no_gc   # nothing that it refers to refers to it
cdef class Block:
    """The memory of a batch. It counts as used until the batch and every view of it have let go of it."""

    cdef uint8_t *data
    cdef Py_ssize_t size        # bytes of the batch, but for the values that it refers to
    cdef Py_ssize_t capacity    # bytes that count as used, likewise
    cdef Pieces pieces
    cdef Py_ssize_t exports     # views of it that are alive
    cdef Accumulator accumulator

    def __dealloc__(self):
        if self.accumulator is not None:
            self.accumulator.used -= self.capacity + self.pieces.bytes
            drop_pieces(&self.pieces)
            if self.data != NULL:
                give_block(&self.accumulator.region, self.data, self.capacity)

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("a batch is read-only")
        PyBuffer_FillInfo(view, self, self.data, self.size, 1, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.exports -= 1


cdef Block new_block(Accumulator accumulator, Py_ssize_t size):
    """Memory for a batch of `size` bytes, whether or not it is within what batches may take."""
    cdef Block block = Block.__new__(Block)
    block.data = take_block(&accumulator.region, size)
    if block.data == NULL:
        raise MemoryError()
    block.size = block.capacity = size
    block.accumulator = accumulator
    accumulator.used += size
    return block


cdef bytes whole(Block block):
    """A batch in pieces, in one."""
    cdef Pieces *pieces = &block.pieces
    cdef bytes joined = PyBytes_FromStringAndSize(NULL, block.size + pieces.bytes)
    cdef char *p = PyBytes_AS_STRING(joined)
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t size, i
    for i in range(pieces.count):
        size = pieces.items[i].at - start
        memcpy(p, block.data + start, size)
        start = pieces.items[i].at
        p += size
        size = BytesSize(pieces.items[i].value)
        memcpy(p, BytesData(pieces.items[i].value), size)
        p += size
    memcpy(p, block.data + start, block.size - start)
    return joined


cdef uint32_t checksum(Block block) except? 0:
    """The CRC-32C that belongs in the batch's header."""
    cdef Pieces *pieces = &block.pieces
    cdef Py_ssize_t start = BATCH_ATTRIBUTES
    cdef Py_ssize_t i
    crc = 0
    for i in range(pieces.count):
        crc = crc32c(PyMemoryView_FromMemory(<char *>block.data + start, pieces.items[i].at - start, PyBUF_READ), crc)
        crc = crc32c(<object>pieces.items[i].value, crc)
        start = pieces.items[i].at
    return crc32c(PyMemoryView_FromMemory(<char *>block.data + start, block.size - start, PyBUF_READ), crc)


cdef class Batch(Spliced):
    """A sealed batch on its way to a broker. `memoryview(batch)` is its bytes on the wire.

    Its memory goes back to the accumulator when the object and every view of it are gone, so never while a request
    can still read it. The bytes under a view never change. Of a batch in pieces a view is of a copy; a request has the
    pieces themselves.
    """

    cdef Block block
    cdef readonly str topic
    cdef readonly int32_t records
    cdef readonly int32_t first         # the index of its first record among those of its cell: 0, but for parts
    cdef readonly Py_ssize_t plain      # bytes before compression; 0: it is not compressed
    cdef readonly double created        # clock seconds
    cdef readonly double deadline       # clock seconds: when its delivery timeout is over
    cdef readonly Cell cell
    # The produce path's notes; `kafka.core.produce.partitions` says what they mean.
    cdef public int attempts
    cdef public int64_t sequence
    cdef public bint stamped
    cdef public bint in_flight
    cdef public bint doubtful
    cdef public bint provable
    cdef Accumulator accumulator
    cdef bint ended

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.block.pieces.count == 0:
            PyObject_GetBuffer(self.block, view, flags)
        else:
            PyObject_GetBuffer(whole(self.block), view, flags)

    cdef int splice(self, Writer *w, bint compact) except -1:
        cdef Pieces *pieces = &self.block.pieces
        cdef Py_ssize_t start = 0
        cdef Py_ssize_t i
        write_size(w, compact, 4, self.block.size + pieces.bytes)
        for i in range(pieces.count):
            self.write_own(w, start, pieces.items[i].at)
            start = pieces.items[i].at
            write_piece(w, <object>pieces.items[i].value, BytesData(pieces.items[i].value),
                        BytesSize(pieces.items[i].value))
        self.write_own(w, start, self.block.size)
        return 0

    cdef int write_own(self, Writer *w, Py_ssize_t start, Py_ssize_t end) except -1:
        if w.cuts == NULL or end - start < SCATTER_FROM:
            return write_raw(w, self.block.data + start, end - start)
        view = memoryview(self.block)
        if end - start < self.block.size:
            view = view[start:end]
        return write_piece(w, view, self.block.data + start, end - start)

    @property
    def size(self):
        """Its bytes on the wire."""
        return self.block.size + self.block.pieces.bytes

    @property
    def partition(self):
        """The partition it belongs to, -1 until one was chosen."""
        return self.cell.partition

    @property
    def done(self):
        """Whether its records have their outcome, by this batch or by the parts it was split in."""
        return self.ended or self.cell.done

    def bind(self, int32_t partition):
        """Choose the partition of a batch that has none."""
        if self.cell.partition >= 0:
            raise ValueError(f"{self!r} is bound already")
        self.cell.partition = partition

    def compress(self):
        """Compress the records as the accumulator was told to; once, before the batch is stamped."""
        cdef const uint8_t[::1] view
        cdef Block block
        codec = self.accumulator.codec
        if codec is None:
            return
        view = codec.compress(memoryview(self)[BATCH_HEADER_SIZE:])
        block = new_block(self.accumulator, BATCH_HEADER_SIZE + view.shape[0])
        self.plain = self.block.size
        memcpy(block.data, self.block.data, BATCH_HEADER_SIZE)
        memcpy(block.data + BATCH_HEADER_SIZE, &view[0], view.shape[0])
        store32(block.data + BATCH_LENGTH, <uint32_t>(block.size - BATCH_LENGTH_END))
        store16(block.data + BATCH_ATTRIBUTES, load16(block.data + BATCH_ATTRIBUTES) | <uint16_t>codec.number)
        self.block = block

    def stamp(self, int64_t producer_id=-1, int16_t epoch=-1, int32_t base_sequence=-1, *, bint transactional=False):
        """Write what is known only when it is sent, then the checksum.

        A batch that is known not to be in the log may be stamped again. What views of it show stays as it was, for a
        request may still be on its way to the socket: the batch then moves to a copy.
        """
        cdef Block block
        cdef uint8_t *data
        if self.block.exports > 0:
            block = new_block(self.accumulator, self.block.size)
            memcpy(block.data, self.block.data, block.size)
            share_pieces(&block.pieces, &self.block.pieces)
            self.accumulator.used += block.pieces.bytes
            self.block = block
        data = self.block.data
        store64(data + BATCH_PRODUCER_ID, <uint64_t>producer_id)
        store16(data + BATCH_PRODUCER_EPOCH, <uint16_t>epoch)
        store32(data + BATCH_BASE_SEQUENCE, <uint32_t>base_sequence)
        store16(data + BATCH_ATTRIBUTES, (load16(data + BATCH_ATTRIBUTES) & <uint16_t>~ATTRIBUTE_TRANSACTIONAL)
                | <uint16_t>(ATTRIBUTE_TRANSACTIONAL if transactional else 0))
        store32(data + BATCH_CRC, checksum(self.block))

    def complete(self, int64_t base_offset=-1, int64_t log_append_time=-1):
        """Every record of it is in the log, from `base_offset` on (-1: not told). A first outcome stands."""
        self.resolve(base_offset, log_append_time, None)

    def fail(self, error not None):
        """None of its records is tried any more, because of `error`. A first outcome stands."""
        self.resolve(-1, -1, error)

    cdef resolve(self, int64_t base_offset, int64_t log_append_time, error):
        if self.ended:
            return
        self.ended = True
        if self.records == self.cell.count:
            self.cell.resolve(base_offset, log_append_time, error, self.accumulator)
        else:
            self.cell.resolve_part(self.first, self.records, base_offset, log_append_time, error, self.accumulator)

    def fail_records(self, errors not None, other not None):
        """None of its records is tried any more, because of some of them (KIP-467).

        `errors` has the errors of the wrong records by their index in this batch; all others fail with `other`.
        """
        cdef int32_t next_index = 0
        cdef int32_t index
        if self.ended:
            return
        self.ended = True
        for index in sorted(index for index in errors if 0 <= index < self.records):
            if index > next_index:
                self.resolve_part(next_index, index - next_index, other)
            self.resolve_part(index, 1, errors[index])
            next_index = index + 1
        if next_index < self.records:
            self.resolve_part(next_index, self.records - next_index, other)

    cdef resolve_part(self, int32_t index, int32_t count, error):
        self.cell.resolve_part(self.first + index, count, -1, -1, error, self.accumulator)

    def split(self, Py_ssize_t limit):
        """The same records in two batches or more, for a broker to which this one is too large (KIP-126).

        Each is of at most `limit` bytes or of a single record; records keep their order and all they hold. Parts are
        not compressed yet: of a compressed batch, `limit` holds as far as each part's records compress as well as all
        together. Parts are new batches (no attempt, not stamped) with this one's topic, partition, `created` and
        `deadline`, and each decides the outcome of its own records; this one decides nothing any more. Their memory
        counts as used at once, this one's until it is let go of.

        A batch of one record cannot be split: the list is empty, and the batch stays what it is.
        """
        cdef const uint8_t[::1] view
        cdef Py_ssize_t total
        cdef list parts
        if self.records < 2 or self.done:
            return []
        packed = memoryview(self)[BATCH_HEADER_SIZE:]
        if self.plain > 0:
            packed = self.accumulator.codec.decompress(packed, self.plain - BATCH_HEADER_SIZE).unwrap()
        view = packed
        total = BATCH_HEADER_SIZE + view.shape[0]
        if self.plain > 0:
            limit = <Py_ssize_t>(limit * (<double>total / self.block.size))
        if limit >= total:
            limit = total // 2
        parts = self.parts(&view[0], &view[0] + view.shape[0], limit)
        self.ended = True
        return parts

    cdef list parts(self, const uint8_t *start, const uint8_t *end, Py_ssize_t limit):
        cdef int64_t batch_base = <int64_t>load64(self.block.data + BATCH_BASE_TIMESTAMP)
        cdef const uint8_t *at = start
        cdef const uint8_t *rest
        cdef const uint8_t *record_end
        cdef const uint8_t *part_start = start
        cdef Py_ssize_t size = BATCH_HEADER_SIZE
        cdef Py_ssize_t record
        cdef int64_t timestamp = 0
        cdef int64_t base = 0
        cdef int32_t index = 0
        cdef int32_t first = 0
        cdef list parts = []
        while at < end:
            record_end = _split_record(at, end, &timestamp, &rest)
            timestamp = _plus(batch_base, timestamp)
            if index == first:
                base = timestamp
            record = _moved_size(_minus(timestamp, base), index - first, record_end - rest)
            if index > first and size + record > limit:
                parts.append(self.part(part_start, at, first, index - first, size))
                part_start = at
                first = index
                base = timestamp
                size = BATCH_HEADER_SIZE
                record = _moved_size(0, 0, record_end - rest)
            size += record
            index += 1
            at = record_end
        parts.append(self.part(part_start, end, first, index - first, size))
        return parts

    cdef Batch part(self, const uint8_t *at, const uint8_t *end, int32_t first, int32_t count, Py_ssize_t size):
        """A batch of the `count` records from `at` to `end`; with its header it has `size` bytes."""
        cdef Batch part = Batch.__new__(Batch)
        cdef int64_t batch_base = <int64_t>load64(self.block.data + BATCH_BASE_TIMESTAMP)
        cdef const uint8_t *rest
        cdef const uint8_t *record_end
        cdef uint8_t *p
        cdef int64_t timestamp = 0
        cdef int64_t base = 0
        cdef int64_t latest = 0
        cdef int32_t index = 0
        part.block = new_block(self.accumulator, size)
        p = part.block.data + BATCH_HEADER_SIZE
        while at < end:
            record_end = _split_record(at, end, &timestamp, &rest)
            timestamp = _plus(batch_base, timestamp)
            if index == 0:
                base = latest = timestamp
            latest = max(latest, timestamp)
            p = put_varint(p, _moved_body_size(_minus(timestamp, base), index, record_end - rest))
            p[0] = 0
            p = put_varint(p + 1, _minus(timestamp, base))
            p = put_varint(p, index)
            memcpy(p, rest, record_end - rest)
            p += record_end - rest
            index += 1
            at = record_end
        put_batch_header(part.block.data, size, 0, 0, count - 1, base, latest, -1, -1, -1, count)
        part.accumulator = self.accumulator
        part.cell = self.cell
        part.topic = self.topic
        part.records = count
        part.first = self.first + first
        part.created = self.created
        part.deadline = self.deadline
        return part

    def __repr__(self):
        return f"<Batch {self.topic}[{self.cell.partition}] {self.records} records, {self.size} bytes>"


# A record moves to another batch with a new timestamp delta and a new offset delta; what comes after stays as it is.

cdef const uint8_t *_split_record(
    const uint8_t *at, const uint8_t *end, int64_t *timestamp_delta, const uint8_t **rest
) noexcept nogil:
    """The end of the record at `at`, which `append` has written; `rest` is what follows its offset delta."""
    cdef uint64_t number = 0
    cdef const uint8_t *record_end
    at = get_uvarint(at, end, 5, &number)
    record_end = at + unzigzag(number)
    at = get_uvarint(at + 1, end, 10, &number)
    timestamp_delta[0] = unzigzag(number)
    rest[0] = get_uvarint(at, end, 5, &number)
    return record_end


cdef inline Py_ssize_t _moved_body_size(int64_t timestamp_delta, int32_t offset_delta, Py_ssize_t rest) noexcept nogil:
    return 1 + varint_size(timestamp_delta) + varint_size(offset_delta) + rest


cdef inline Py_ssize_t _moved_size(int64_t timestamp_delta, int32_t offset_delta, Py_ssize_t rest) noexcept nogil:
    cdef Py_ssize_t body = _moved_body_size(timestamp_delta, offset_delta, rest)
    return body + varint_size(body)


# Java's arithmetic wraps around.

cdef inline int64_t _plus(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a + <uint64_t>b)


cdef inline int64_t _minus(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a - <uint64_t>b)
