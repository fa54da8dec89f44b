# The accumulator: where records wait, already encoded, until a request has room for them.
#
# One critical section, `append`, puts a record into its batch. On a GIL build the GIL is that section, so nothing
# inside may give it up: no Python is called, no collectable object is made, no last reference dropped. What the section
# needs is made ready before it (a spare Cell) or comes from malloc. Everything else (serializers, waiting for memory)
# happens outside, and the section starts over.
#
# Every batch that was not taken is on the accumulator's list in order of creation. As all of them linger equally long
# and expire after equally long, one cursor finds the lingering ones and the head of the list those that expire.

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo, PyObject_GetBuffer
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free

cdef enum:
    FIRST_CAPACITY = UNIT
    # A batch of this size is worth a request: rather than take memory from elsewhere it stays as large as what is free.
    ENOUGH = 16 * UNIT

cdef enum Appended:
    APPENDED
    NEEDS_MEMORY
    NEEDS_PARTITIONS            # before it can be appended
    NEEDS_CELL
    IS_CLOSED
    OUT_OF_MEMORY               # the machine is, not the accumulator


@cython.final
cdef class Accumulator(Memory):
    """Holds records in encoded batches, in bounded memory, until they are taken to be sent.

    `memory` is the bytes that all batches together may take, `linger` how long (seconds) a batch waits for more
    records, `delivery_timeout` how long one may live. With `batch_size` 0 a batch may be sent from 16 KiB on and grows
    to 256 KiB while it is not taken; a positive `batch_size` is an upper bound, as in Java's client. A record larger
    than that has a batch of its own. Values of `by_reference` bytes and more are not copied, if batches are not
    compressed. `waits.get(cell, timeout)` waits for the outcome of a batch, for its futures:
    True once there is one, False after `timeout` seconds.
    """

    cdef Host *host
    cdef object host_capsule        # keeps the host
    cdef readonly double linger
    cdef readonly double delivery_timeout
    cdef Py_ssize_t target          # an open batch of this size may be sent
    cdef readonly Py_ssize_t largest    # an open batch does not grow past this
    cdef Py_ssize_t by_reference    # values of so many bytes stay where they are
    # Somebody reads a record's partition as soon as send() returns: one is chosen there for records without a key, too.
    cdef bint binds_at_once
    # Whom to hand a batch's callbacks, a function without arguments; None: they run where the batch got its outcome.
    cdef public object run_callbacks
    cdef readonly object waits      # how a future's outcome is waited for: `waits.get(cell, timeout)`; None for not
    cdef readonly object codec      # what batches are compressed with: a kafka.records.compression.Codec, or None
    cdef dict topics
    cdef QueueLinks *ready_head
    cdef QueueLinks *ready_tail
    cdef OpenBatch *oldest
    cdef OpenBatch *newest
    cdef OpenBatch *lingering       # the oldest batch that is not yet due
    cdef Py_ssize_t open_batches
    cdef Region region
    cdef OpenBatch *free_batches    # kept for later: there are as many as there ever were at a time
    cdef PyObject *spare            # owned: the next batch's Cell
    cdef double sleeping_until      # 0 while the IO thread is awake
    cdef int flushes                # flush() calls in progress: every batch is sendable
    cdef readonly int64_t batches_taken
    cdef bint admits                # even while it is closed: a record that was accepted before
    cdef int64_t openings           # how often it was opened again: which transaction a record gets into

    def __cinit__(self, host, *, Py_ssize_t memory, double linger, double delivery_timeout,
                  Py_ssize_t batch_size=0, Py_ssize_t max_request_size=1048576, codec=None,
                  waits=None, Py_ssize_t by_reference=BY_REFERENCE):
        self.host_capsule = host.host_capsule()
        self.host = <Host *>PyCapsule_GetPointer(self.host_capsule, "kafka.Host")
        self.memory = memory
        open_region(&self.region, memory)
        self.linger = linger
        self.delivery_timeout = delivery_timeout
        self.target = batch_size if batch_size > 0 else 16384
        self.largest = batch_size if batch_size > 0 else 262144
        if self.largest > max_request_size:
            self.largest = max_request_size
        if self.target > self.largest:
            self.target = self.largest
        self.codec = codec
        self.by_reference = max(by_reference, 1) if codec is None else PY_SSIZE_T_MAX
        self.waits = waits
        self.topics = {}

    def __dealloc__(self):
        cdef OpenBatch *batch = self.oldest
        cdef OpenBatch *newer
        while batch != NULL:
            newer = batch.newer
            Py_DECREF(<object>batch.cell)
            give_block(&self.region, batch.data, batch.capacity - batch.pieces.bytes)
            drop_pieces(&batch.pieces)
            free(batch)
            batch = newer
        while self.free_batches != NULL:
            newer = self.free_batches.newer
            drop_pieces(&self.free_batches.pieces)
            free(self.free_batches)
            self.free_batches = newer
        close_region(&self.region)
        if self.spare != NULL:
            Py_DECREF(<object>self.spare)

    # What the producer's threads call

    cdef TopicQueues topic_queues(self, str topic):
        cdef TopicQueues queues = self.topics.get(topic)
        if queues is None:
            queues = self.topics.setdefault(topic, TopicQueues(self, topic, UNBOUND))
        return queues

    def partition_count(self, str topic not None):
        """How many partitions `topic` is known to have, -1 where nothing is known yet."""
        return self.topic_queues(topic).partition_count

    def set_partition_count(self, str topic not None, int32_t count, *, bint recreated=False, keyless=()):
        """Tell how many partitions `topic` has; never fewer than before, unless it was deleted and `recreated`.

        `keyless`: the numbers of those that records without a key may go to, where that has to be known at once.
        """
        cdef TopicQueues queues = self.topic_queues(topic)
        while len(queues.queues) < count:
            queues.queues.append(Queue(self, topic, len(queues.queues)))
        # Last, as other threads read it without asking: the queues it promises are there.
        if count > queues.partition_count or recreated:
            queues.partition_count = count
        queues.open_to_all = [queues.queues[number] for number in keyless]

    cdef bint make_spare(self) except False:
        # Making a Cell may run the garbage collector, and so anybody's code, another send() included.
        cdef Cell cell
        while self.spare == NULL:
            cell = Cell.__new__(Cell)
            if self.spare == NULL:
                Py_INCREF(cell)
                self.spare = <PyObject *>cell
        return True

    cdef Appended append_with_spare(
        self, QueueLinks *links, const Fields *fields, PyObject **cell, int32_t *index, Py_ssize_t *memory
    ) except? OUT_OF_MEMORY:
        cdef Appended appended = NEEDS_CELL
        while appended == NEEDS_CELL:
            self.make_spare()
            appended = self.append(links, fields, cell, index, memory)
        return appended

    cdef inline Appended append(
        self, QueueLinks *links, const Fields *fields, PyObject **cell, int32_t *index, Py_ssize_t *memory
    ) noexcept:
        """The critical section.

        `memory` is the bytes that were set aside for this record, mostly 0, which are no longer once it is appended;
        after NEEDS_MEMORY, those that it has to wait for.
        """
        cdef OpenBatch *batch = links.open
        cdef Py_ssize_t size, capacity, room
        cdef Py_ssize_t referenced = 0      # bytes of the value, where it is not copied
        cdef uint8_t *data
        cdef bint opened = False
        if fields.value_length >= self.by_reference and fields.value_object != NULL:
            referenced = fields.value_length
        if self.closed and not self.admits:
            return IS_CLOSED
        if batch != NULL:
            prefetch(batch.cell)
            size = record_size(fields.timestamp - batch.base_timestamp, batch.count, fields.key_length,
                               fields.value_length, fields.headers_length)
            if (batch.size + size > batch.full_at or referenced > 0) and not self.extend(batch, size, referenced):
                self.seal(links)
                batch = NULL
        if batch == NULL:
            size = BATCH_HEADER_SIZE + record_size(0, 0, fields.key_length, fields.value_length,
                                                   fields.headers_length)
            if self.spare == NULL:
                return NEEDS_CELL
            # While others wait, nobody takes more than was set aside for him: so they are served in order.
            # What was set aside is enough, even where a batch on its way has made more of the memory its own since.
            room = memory[0] if self.waiting > 0 else max(memory[0], self.memory - self.used + memory[0])
            capacity = self.first_capacity(links)
            if capacity < size or capacity > room or referenced > 0:
                capacity = size
            if capacity > room:
                memory[0] = capacity
                return NEEDS_MEMORY
            capacity = max(free_for(&self.region, capacity), min(capacity, ENOUGH), size)
            batch = self.take_batch()
            data = take_block(&self.region, capacity - referenced)
            if batch == NULL or data == NULL or (referenced > 0 and not room_for_piece(&batch.pieces)):
                if batch != NULL:
                    self.give_batch(batch)
                if data != NULL:
                    give_block(&self.region, data, capacity - referenced)
                return OUT_OF_MEMORY
            self.used += capacity
            batch.data = data
            batch.end = data + BATCH_HEADER_SIZE
            batch.capacity = batch.full_at = capacity
            batch.limit = self.largest if self.largest > size else size
            batch.size = BATCH_HEADER_SIZE
            batch.count = 0
            batch.base_timestamp = batch.max_timestamp = fields.timestamp
            batch.created = self.host.monotonic(self.host.context)
            batch.due = False
            batch.queue = links
            batch.next_in_queue = NULL
            batch.cell = self.spare
            self.spare = NULL
            (<Cell>batch.cell).accumulator = self
            self.link_batch(batch)
            self.link_cell(<Cell>batch.cell, <Queue>links.queue)
            links.open = batch
            self.open_batches += 1
            opened = True
            size -= BATCH_HEADER_SIZE
        if referenced > 0:
            batch.end = put_until_value(
                batch.end, fields.timestamp - batch.base_timestamp, batch.count, fields.key, fields.key_length,
                fields.value_length, fields.headers_length,
            )
            add_piece(&batch.pieces, fields.value_object, batch.end - batch.data)
            batch.end = put_headers(batch.end, fields.headers, fields.headers_length)
        else:
            batch.end = put_record(
                batch.end, fields.timestamp - batch.base_timestamp, batch.count, fields.key, fields.key_length,
                fields.value, fields.value_length, fields.headers, fields.headers_length,
            )
        cell[0] = batch.cell
        index[0] = batch.count
        batch.size += size
        batch.count += 1
        if fields.timestamp > batch.max_timestamp:
            batch.max_timestamp = fields.timestamp
        self.used -= memory[0]
        if self.linger <= 0 or batch.size >= self.target:
            self.mark_ready(links)
        elif opened:
            if self.waiting > 0 or self.flushes > 0:
                self.mark_ready(links)
            elif self.sleeping_until > batch.created + self.linger:
                self.wake()
        return APPENDED

    cdef inline Py_ssize_t first_capacity(self, QueueLinks *links) noexcept:
        """The memory that a batch starts with: as much as the one before had use for, if few others are open."""
        cdef Py_ssize_t capacity = FIRST_CAPACITY
        if links.last_size > FIRST_CAPACITY:
            capacity = min(links.last_size, self.memory // (16 * (self.open_batches + 1)))
            capacity = (capacity + UNIT - 1) // UNIT * UNIT
        return capacity if capacity < self.largest else self.largest

    cdef inline OpenBatch *take_batch(self) noexcept:
        cdef OpenBatch *batch = self.free_batches
        if batch == NULL:
            return <OpenBatch *>calloc(1, sizeof(OpenBatch))
        self.free_batches = batch.newer
        return batch

    cdef inline void give_batch(self, OpenBatch *batch) noexcept:
        batch.newer = self.free_batches
        self.free_batches = batch

    cdef bint extend(self, OpenBatch *batch, Py_ssize_t size, Py_ssize_t referenced) noexcept:
        """Make room for a record of `size` bytes, `referenced` of which stay where they are, if there is any."""
        cdef Py_ssize_t own = batch.capacity - batch.pieces.bytes
        if batch.size + size > batch.limit or self.waiting > 0 or self.used + referenced > self.memory:
            return False
        if referenced > 0 and not room_for_piece(&batch.pieces):
            return False
        self.used += referenced
        batch.capacity += referenced
        if batch.size + size <= batch.capacity or self.grow(batch, own, size - referenced):
            batch.full_at = min(batch.capacity, batch.limit)
            return True
        self.used -= referenced
        batch.capacity -= referenced
        return False

    cdef bint grow(self, OpenBatch *batch, Py_ssize_t own, Py_ssize_t more) noexcept:
        """Give a batch, whose own memory has `own` bytes, as much that `more` bytes fit in."""
        cdef Py_ssize_t filled = batch.end - batch.data
        cdef Py_ssize_t needed = filled + more
        cdef Py_ssize_t capacity = min(max(own * 2, <Py_ssize_t>FIRST_CAPACITY), batch.limit - (batch.capacity - own))
        cdef uint8_t *data
        if capacity < needed or self.used + capacity - own > self.memory:
            capacity = needed
        if self.used + capacity - own > self.memory:
            return False
        capacity = max(free_for(&self.region, capacity), min(capacity, ENOUGH))
        if capacity < needed:
            return False
        data = take_block(&self.region, capacity)
        if data == NULL:
            return False
        memcpy(data, batch.data, filled)
        give_block(&self.region, batch.data, own)
        self.used += capacity - own
        batch.capacity += capacity - own
        batch.data = data
        batch.end = data + filled
        return True

    cdef void seal(self, QueueLinks *links) noexcept:
        cdef OpenBatch *batch = links.open
        links.open = NULL
        self.open_batches -= 1
        links.last_size = batch.end - batch.data
        if links.tail == NULL:
            links.head = batch
        else:
            links.tail.next_in_queue = batch
        links.tail = batch
        self.mark_ready(links)

    cdef void mark_ready(self, QueueLinks *links) noexcept:
        if links.ready:
            return
        links.ready = True
        links.next_ready = NULL
        if self.ready_tail == NULL:
            self.ready_head = links
        else:
            self.ready_tail.next_ready = links
        self.ready_tail = links
        self.wake()

    cdef inline void wake(self) noexcept:
        # Only a sleeping IO thread is woken, and once.
        if self.sleeping_until > 0:
            self.sleeping_until = 0
            self.host.wake(self.host.context)

    cdef inline void link_batch(self, OpenBatch *batch) noexcept:
        batch.newer = NULL
        batch.older = self.newest
        if self.newest == NULL:
            self.oldest = batch
        else:
            self.newest.newer = batch
        self.newest = batch
        if self.lingering == NULL:
            self.lingering = batch

    cdef inline void unlink_batch(self, OpenBatch *batch) noexcept:
        if self.lingering == batch:
            self.lingering = batch.newer
        if batch.older == NULL:
            self.oldest = batch.newer
        else:
            batch.older.newer = batch.newer
        if batch.newer == NULL:
            self.newest = batch.older
        else:
            batch.newer.older = batch.older

    def make_all_ready(self):
        """Make every batch there is sendable at once."""
        while self.lingering != NULL:
            self.lingering.due = True
            self.mark_ready(self.lingering.queue)
            self.lingering = self.lingering.newer

    def begin_flush(self):
        """From now to `end_flush`, every batch is sendable whatever its linger."""
        self.flushes += 1
        self.make_all_ready()

    def end_flush(self):
        self.flushes -= 1

    @property
    def outside(self):
        """How many of the used bytes the accumulator's own region had no room for."""
        return self.region.outside

    def unresolved_records(self):
        """How many records have no outcome yet."""
        cdef Py_ssize_t count = 0
        cdef OpenBatch *batch = self.oldest
        while batch != NULL:
            count += batch.count
            batch = batch.newer
        return count + self.records_taken()

    def close(self):
        """Accept nothing more, and let go on whoever waits for memory."""
        self.closed = True
        self.make_all_ready()
        self.wake_waiters()

    def reopen(self):
        """Accept records again: another transaction has begun."""
        self.openings += 1
        self.closed = False

    def let_go(self):
        """For the end of the IO thread, when every batch was taken and nothing is accepted any more, ever.

        Queues refer to their accumulator; without this only a collector would find that nobody needs its memory.
        """
        cdef TopicQueues queues
        if not self.closed or self.oldest != NULL:
            return
        topics, self.topics = self.topics, {}
        self.ready_head = self.ready_tail = NULL
        for queues in topics.values():
            queues.following = NULL     # borrowed

    def abandon(self, error not None):
        """For the child of a fork: the records are the parent's to deliver; here their futures fail with `error`."""
        cdef Cell cell
        self.closed = True
        for cell in self.unresolved():
            cell.error = error
            cell.known_outcomes = None
            drop_callbacks(&cell.callbacks)
            cell.done = cell.told = True
            self.unlink_cell(cell)
            release_all(cell.releases)
            release_all(cell.told_releases)
            cell.accumulator = None     # a batch that was not taken refers to its cell where no collector looks
        self.wake_waiters()

    # What the IO thread calls

    cdef inline bint sendable(self, OpenBatch *batch, double now) noexcept:
        return (
            batch.due or batch.size >= self.target or batch.created + self.linger <= now
            or self.flushes > 0 or self.closed or self.waiting > 0
        )

    cdef Batch hand_over(self, OpenBatch *open_batch):
        cdef Batch batch = Batch.__new__(Batch)
        cdef Block block = Block.__new__(Block)
        cdef Queue queue = <Queue>open_batch.queue.queue
        self.unlink_batch(open_batch)
        open_batch.queue.last_size = open_batch.end - open_batch.data
        batch.accumulator = self
        batch.cell = <Cell>open_batch.cell
        Py_DECREF(<object>open_batch.cell)
        batch.cell.count = open_batch.count
        batch.topic = queue.topic
        block.accumulator = self
        block.data = open_batch.data
        block.size = open_batch.end - open_batch.data
        block.capacity = open_batch.capacity - open_batch.pieces.bytes
        block.pieces = open_batch.pieces
        memset(&open_batch.pieces, 0, sizeof(Pieces))
        batch.block = block
        batch.records = open_batch.count
        batch.created = open_batch.created
        batch.deadline = open_batch.created + self.delivery_timeout
        put_batch_header(open_batch.data, open_batch.size, 0, 0, open_batch.count - 1, open_batch.base_timestamp,
                         open_batch.max_timestamp, -1, -1, -1, open_batch.count)
        self.give_batch(open_batch)
        self.batches_taken += 1
        return batch

    def take_ready(self, double now):
        """The queues that have something to send since they were last found empty, each once."""
        cdef QueueLinks *links
        while self.lingering != NULL and self.lingering.created + self.linger <= now:
            self.lingering.due = True
            self.mark_ready(self.lingering.queue)
            self.lingering = self.lingering.newer
        taken = []
        while self.ready_head != NULL:
            links = self.ready_head
            self.ready_head = links.next_ready
            if self.ready_head == NULL:
                self.ready_tail = NULL
            taken.append(<Queue>links.queue)
        return taken

    def take_expired(self, double now):
        """The batches that were never taken and whose delivery timeout is over at `now`, oldest first."""
        cdef OpenBatch *batch
        cdef QueueLinks *links
        expired = []
        while self.oldest != NULL and self.oldest.created + self.delivery_timeout <= now:
            batch = self.oldest
            links = batch.queue
            # The oldest of all is the oldest of its queue.
            if links.head == batch:
                links.head = batch.next_in_queue
                if links.head == NULL:
                    links.tail = NULL
            else:
                links.open = NULL
                self.open_batches -= 1
            expired.append(self.hand_over(batch))
        return expired

    cpdef double next_deadline(self):
        """When (clock seconds) the next linger or delivery timeout ends; infinity for never."""
        cdef double deadline = INFINITY
        if self.lingering != NULL:
            deadline = self.lingering.created + self.linger
        if self.oldest != NULL and self.oldest.created + self.delivery_timeout < deadline:
            deadline = self.oldest.created + self.delivery_timeout
        return deadline

    def sleep(self, double until):
        """The IO thread is about to sleep until `until`; False where there is work before, and it should not."""
        if self.ready_head != NULL or self.next_deadline() < until:
            return False
        self.sleeping_until = until
        return True

    def awake(self):
        """The IO thread is awake: it looks for work by itself, nobody need wake it."""
        self.sleeping_until = 0

    def now(self):
        """The host's clock, in seconds."""
        return self.host.monotonic(self.host.context)


cdef inline Appended append_record(
    Accumulator accumulator, QueueLinks *links, const Fields *fields, PyObject **cell, int32_t *index,
    Py_ssize_t *memory,
) except? OUT_OF_MEMORY:
    """`append`, with what it needs made ready."""
    cdef Appended appended = NEEDS_CELL
    if accumulator.spare != NULL:
        appended = accumulator.append(links, fields, cell, index, memory)
    if appended == NEEDS_CELL:
        appended = accumulator.append_with_spare(links, fields, cell, index, memory)
    return appended
