# The accumulator: where records wait, already encoded, until a request has room for them.
#
# One critical section, `_append`, puts a record into its batch. On a GIL build the GIL is that section, so nothing
# inside may give it up: no Python is called, no collectable object is made, no last reference dropped. What the section
# needs is made ready before it (a spare Cell) or comes from malloc. Everything else (serializers, waiting for memory)
# happens outside, and the section starts over.
#
# A batch is a C struct while records are put in; a Python object (`Batch`) is made when the IO thread takes it.
# Every batch that was not taken is on the accumulator's list in order of creation. As all of them linger equally long
# and expire after equally long, one cursor finds the lingering ones and the head of the list those that expire.

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc, realloc

from _thread import allocate_lock
from collections import deque

from kafka.records.crc import crc32c

# What the accumulator asks of the world around it; a driver or the simulator provides it.
cdef struct Host:
    double (*monotonic)(void *context) noexcept   # seconds
    int64_t (*wall_ms)(void *context) noexcept    # milliseconds since 1970
    void (*wake)(void *context) noexcept          # end the IO thread's sleep
    void *context

cdef struct OpenBatch:
    uint8_t *data
    Py_ssize_t size
    Py_ssize_t capacity
    Py_ssize_t limit            # it never grows past this
    int32_t count
    int64_t base_timestamp
    int64_t max_timestamp
    double created
    PyObject *cell              # owned
    QueueLinks *queue
    OpenBatch *next_in_queue
    OpenBatch *older
    OpenBatch *newer

cdef struct QueueLinks:
    PyObject *queue             # borrowed: the accumulator keeps every queue for its own lifetime
    OpenBatch *head             # sealed batches, oldest first
    OpenBatch *tail
    OpenBatch *open
    QueueLinks *next_ready
    bint ready                  # on the ready list, or taken by the core and not yet found empty
    Py_ssize_t last_size        # of the batch before: the next one starts with as much room

cdef enum:
    FIRST_CAPACITY = 1024
    UNBOUND = -1

cdef enum Appended:
    APPENDED
    NEEDS_MEMORY
    NEEDS_CELL
    IS_CLOSED


cdef class ManualHost:
    """A host whose clock is a variable and whose wake-ups are counted: for the simulator and for tests."""

    cdef public double now
    cdef public int64_t wall_ms
    cdef public int wakes
    cdef Host host

    def __cinit__(self):
        self.host.monotonic = _manual_monotonic
        self.host.wall_ms = _manual_wall_ms
        self.host.wake = _manual_wake
        self.host.context = <void *>self

    def host_capsule(self):
        return PyCapsule_New(&self.host, "kafka.Host", NULL)


cdef double _manual_monotonic(void *context) noexcept:
    return (<ManualHost>context).now


cdef int64_t _manual_wall_ms(void *context) noexcept:
    return (<ManualHost>context).wall_ms


cdef void _manual_wake(void *context) noexcept:
    (<ManualHost>context).wakes += 1


cdef class Queue:
    """The batches of one partition, or (partition -1) those of a topic that no partition was chosen for yet."""

    cdef readonly str topic
    cdef readonly int32_t partition
    cdef QueueLinks links
    cdef Accumulator accumulator

    def __cinit__(self, Accumulator accumulator, str topic, int32_t partition):
        self.accumulator = accumulator
        self.topic = topic
        self.partition = partition
        self.links.queue = <PyObject *>self

    def pull(self, double now):
        """The oldest batch that may be sent at `now` (clock seconds), sealed; None where there is none.

        None also arms the queue again: `Accumulator.take_ready` will name it when it next has something to send.
        """
        cdef OpenBatch *batch = self.links.head
        if batch == NULL:
            batch = self.links.open
            if batch == NULL or not self.accumulator.sendable(batch, now):
                self.links.ready = False
                return None
            self.links.open = NULL
        else:
            self.links.head = batch.next_in_queue
            if self.links.head == NULL:
                self.links.tail = NULL
        return self.accumulator.hand_over(batch)

    def __repr__(self):
        return f"<Queue {self.topic}[{self.partition if self.partition >= 0 else 'unbound'}]>"


cdef class TopicQueues:
    """A topic's queues: one for records without a partition, one for each partition."""

    cdef readonly str topic
    cdef readonly int32_t partition_count   # -1 until metadata told
    cdef Queue unbound
    cdef list queues
    cdef Accumulator accumulator

    def __cinit__(self, Accumulator accumulator, str topic):
        self.accumulator = accumulator
        self.topic = topic
        self.partition_count = -1
        self.unbound = Queue(accumulator, topic, UNBOUND)
        self.queues = []

    cdef Queue queue(self, int32_t partition):
        return <Queue>self.queues[partition]


cdef class Accumulator:
    """Holds records in encoded batches, in bounded memory, until they are taken to be sent.

    `memory` is the bytes that all batches together may take, `linger` how long (seconds) a batch waits for more
    records, `delivery_timeout` how long one may live. With `batch_size` 0 a batch may be sent from 16 KiB on and grows
    to 256 KiB while it is not taken; a positive `batch_size` is an upper bound, as in Java's client. A record larger
    than that has a batch of its own.
    """

    cdef Host *host
    cdef object host_owner
    cdef readonly Py_ssize_t memory
    cdef readonly Py_ssize_t used
    cdef readonly double linger
    cdef readonly double delivery_timeout
    cdef Py_ssize_t target          # an open batch of this size may be sent
    cdef readonly Py_ssize_t largest    # an open batch does not grow past this
    cdef readonly int compression   # the codec's id, as in a batch's attributes
    cdef readonly object compression_level
    cdef dict topics
    cdef QueueLinks *ready_head
    cdef QueueLinks *ready_tail
    cdef OpenBatch *oldest
    cdef OpenBatch *newest
    cdef OpenBatch *lingering       # the oldest batch whose linger was not yet seen to be over
    cdef PyObject *spare            # owned: the next batch's Cell
    cdef PyObject *first_cell       # every unresolved Cell, in order of creation; each owned by the list
    cdef PyObject *last_cell
    cdef double sleeping_until      # 0 while the IO thread is awake
    cdef int flushes                # flush() calls in progress: every batch is sendable
    cdef object waiters             # locks of threads that wait for memory, first come first served
    cdef readonly bint closed
    cdef public unsigned long io_thread    # its identifier, 0 for none: it must never wait for itself
    cdef readonly dict failures     # (topic, partition) -> [count, first error]: failures nobody has looked at
    cdef int failures_taken         # how often they were: what was taken is not counted down any more
    cdef readonly int64_t batches_taken

    def __cinit__(self, host, *, Py_ssize_t memory, double linger, double delivery_timeout,
                  Py_ssize_t batch_size=0, Py_ssize_t max_request_size=1048576, int compression=0,
                  compression_level=None):
        self.host_owner = host
        self.host = <Host *>PyCapsule_GetPointer(host.host_capsule(), "kafka.Host")
        self.memory = memory
        self.linger = linger
        self.delivery_timeout = delivery_timeout
        self.target = batch_size if batch_size > 0 else 16384
        self.largest = batch_size if batch_size > 0 else 262144
        if self.largest > max_request_size:
            self.largest = max_request_size
        if self.target > self.largest:
            self.target = self.largest
        self.compression = compression
        self.compression_level = compression_level
        self.topics = {}
        self.waiters = deque()
        self.failures = {}

    def __dealloc__(self):
        cdef OpenBatch *batch = self.oldest
        cdef OpenBatch *newer
        while batch != NULL:
            newer = batch.newer
            Py_DECREF(<object>batch.cell)
            free(batch.data)
            free(batch)
            batch = newer
        if self.spare != NULL:
            Py_DECREF(<object>self.spare)
        cdef PyObject *cell = self.first_cell
        cdef PyObject *next_cell
        while cell != NULL:
            next_cell = (<Cell>cell).newer
            Py_DECREF(<object>cell)
            cell = next_cell

    # What the producer's threads call

    cdef TopicQueues topic_queues(self, str topic):
        cdef TopicQueues queues = self.topics.get(topic)
        if queues is None:
            queues = self.topics.setdefault(topic, TopicQueues(self, topic))
        return queues

    def partition_count(self, str topic not None):
        """How many partitions `topic` is known to have, -1 where nothing is known yet."""
        return self.topic_queues(topic).partition_count

    def set_partition_count(self, str topic not None, int32_t count):
        """Tell how many partitions `topic` has; a topic never gets fewer."""
        cdef TopicQueues queues = self.topic_queues(topic)
        while len(queues.queues) < count:
            queues.queues.append(Queue(self, topic, len(queues.queues)))
        # Last, as other threads read it without asking: the queues it promises are there.
        if count > queues.partition_count:
            queues.partition_count = count

    cdef inline bint make_spare(self):
        # Making a Cell may run the garbage collector, and so anybody's code, another send() included.
        cdef Cell cell
        while self.spare == NULL:
            cell = Cell.__new__(Cell)
            if self.spare == NULL:
                Py_INCREF(cell)
                self.spare = <PyObject *>cell
        return True

    cdef inline Appended append(
        self, QueueLinks *links, int64_t timestamp,
        const uint8_t *key, Py_ssize_t key_length, const uint8_t *value, Py_ssize_t value_length,
        const uint8_t *headers, Py_ssize_t headers_length, PyObject **cell, int32_t *index,
        Py_ssize_t *needed,
    ) noexcept:
        """The critical section. A length of -1 is a null; `headers` are encoded already."""
        cdef OpenBatch *batch = links.open
        cdef Py_ssize_t size, capacity
        cdef uint8_t *data
        cdef bint opened = False
        if self.closed:
            return IS_CLOSED
        if batch != NULL:
            size = record_size(timestamp - batch.base_timestamp, batch.count, key_length, value_length, headers_length)
            if batch.size + size > batch.capacity and not self.grow(batch, batch.size + size):
                self.seal(links)
                batch = NULL
        if batch == NULL:
            size = BATCH_HEADER_SIZE + record_size(0, 0, key_length, value_length, headers_length)
            if self.spare == NULL:
                return NEEDS_CELL
            capacity = links.last_size if links.last_size > FIRST_CAPACITY else FIRST_CAPACITY
            if capacity > self.largest:
                capacity = self.largest
            if capacity < size or self.used + capacity > self.memory:
                capacity = size
            if self.used + capacity > self.memory:
                needed[0] = capacity
                return NEEDS_MEMORY
            batch = <OpenBatch *>malloc(sizeof(OpenBatch))
            data = <uint8_t *>malloc(capacity)
            if batch == NULL or data == NULL:
                free(batch)
                free(data)
                needed[0] = capacity
                return NEEDS_MEMORY
            self.used += capacity
            batch.data = data
            batch.capacity = capacity
            batch.limit = self.largest if self.largest > size else size
            batch.size = BATCH_HEADER_SIZE
            batch.count = 0
            batch.base_timestamp = batch.max_timestamp = timestamp
            batch.created = self.host.monotonic(self.host.context)
            batch.queue = links
            batch.next_in_queue = NULL
            batch.cell = self.spare
            self.spare = NULL
            self.link_batch(batch)
            self.link_cell(<Cell>batch.cell, <Queue>links.queue)
            links.open = batch
            opened = True
            size -= BATCH_HEADER_SIZE
        put_record(batch.data + batch.size, timestamp - batch.base_timestamp, batch.count,
                   key, key_length, value, value_length, headers, headers_length)
        cell[0] = batch.cell
        index[0] = batch.count
        batch.size += size
        batch.count += 1
        if timestamp > batch.max_timestamp:
            batch.max_timestamp = timestamp
        if self.linger <= 0 or batch.size >= self.target:
            self.mark_ready(links)
        elif opened and self.sleeping_until > batch.created + self.linger:
            self.wake()
        return APPENDED

    cdef bint grow(self, OpenBatch *batch, Py_ssize_t needed) noexcept:
        cdef Py_ssize_t capacity
        cdef uint8_t *data
        if needed > batch.limit:
            return False
        capacity = batch.capacity * 2
        if capacity > batch.limit:
            capacity = batch.limit
        if capacity < needed or self.used + capacity - batch.capacity > self.memory:
            capacity = needed
        if self.used + capacity - batch.capacity > self.memory:
            return False
        data = <uint8_t *>realloc(batch.data, capacity)
        if data == NULL:
            return False
        self.used += capacity - batch.capacity
        batch.data = data
        batch.capacity = capacity
        return True

    cdef void seal(self, QueueLinks *links) noexcept:
        cdef OpenBatch *batch = links.open
        links.open = NULL
        links.last_size = batch.size
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

    cdef inline void link_cell(self, Cell cell, Queue queue) noexcept:
        Py_INCREF(cell)
        cell.linked = True
        cell.accumulator = self
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

    def wait_for_memory(self, Py_ssize_t needed, double deadline):
        """Wait until `needed` bytes may be free; False where `deadline` (clock seconds) came first.

        Every batch becomes sendable while somebody waits, whatever its linger.
        """
        if self.io_thread == PyThread_get_thread_ident():
            return False
        lock = allocate_lock()
        lock.acquire()
        self.waiters.append(lock)
        self.make_all_ready()
        try:
            if self.used + needed <= self.memory or self.closed:
                return True     # it was freed before we stood in the queue
            left = deadline - self.host.monotonic(self.host.context)
            # Locks refuse very long waits; a day is as good as for ever to the caller's loop.
            return left > 0 and lock.acquire(True, min(left, 86400.0))
        finally:
            try:
                self.waiters.remove(lock)
            except ValueError:
                # It was our turn; if we leave without using it, the next one has it.
                self.wake_waiters()

    def wake_waiters(self):
        """Let the threads go on that wait for memory. The IO thread calls this after batches were freed."""
        if self.used >= self.memory and not self.closed:
            return
        while self.waiters:
            try:
                self.waiters.popleft().release()
            except IndexError:
                return

    def make_all_ready(self):
        """Make every batch sendable at once."""
        cdef OpenBatch *batch = self.oldest
        while batch != NULL:
            self.mark_ready(batch.queue)
            batch = batch.newer

    def begin_flush(self):
        """From now to `end_flush`, every batch is sendable whatever its linger."""
        self.flushes += 1
        self.make_all_ready()

    def end_flush(self):
        self.flushes -= 1

    def unresolved(self):
        """The Cells of all batches that have no outcome yet, oldest first."""
        cells = []
        cdef PyObject *cell = self.first_cell
        while cell != NULL:
            cells.append(<Cell>cell)
            cell = (<Cell>cell).newer
        return cells

    def unresolved_records(self):
        """How many records have no outcome yet."""
        cdef Py_ssize_t count = 0
        cdef OpenBatch *batch = self.oldest
        while batch != NULL:
            count += batch.count
            batch = batch.newer
        cdef PyObject *cell = self.first_cell
        while cell != NULL:
            if not (<Cell>cell).done:
                count += (<Cell>cell).count - (<Cell>cell).known    # 0 while its batch is one of those above
            cell = (<Cell>cell).newer
        return count

    # In both, the key is made before the entry is looked up: making it may run anybody's code, the other half's too.

    cdef note_failure(self, str topic, int32_t partition, int32_t count, error):
        cdef tuple key = (topic, partition)
        cdef list entry = [0, error]
        entry = self.failures.setdefault(key, entry)
        entry[0] += count

    cdef failure_seen(self, str topic, int32_t partition, int32_t count, int failures_taken):
        cdef tuple key = (topic, partition)
        cdef list entry = self.failures.get(key) if failures_taken == self.failures_taken else None
        if entry is not None:
            entry[0] -= count
            if entry[0] <= 0:
                del self.failures[key]

    def take_failures(self):
        """The failures nobody looked at, (topic, partition) -> [count, first error]; they count as looked at now."""
        failures, self.failures = self.failures, {}
        self.failures_taken += 1
        return failures

    def close(self):
        """Accept nothing more, and let go on whoever waits for memory."""
        self.closed = True
        self.make_all_ready()
        self.wake_waiters()

    def reopen(self):
        """Accept records again: another transaction has begun."""
        self.closed = False

    def abandon(self, error not None):
        """For the child of a fork: the records are the parent's to deliver; here their futures fail with `error`."""
        cdef Cell cell
        self.closed = True
        self.io_thread = 0
        for cell in self.unresolved():
            cell.error = error
            cell.callbacks = cell.known_outcomes = None
            cell.done = cell.told = True
            self.unlink_cell(cell)

    # What the IO thread calls

    cdef inline bint sendable(self, OpenBatch *batch, double now) noexcept:
        return (
            batch.size >= self.target or batch.created + self.linger <= now
            or self.flushes > 0 or self.closed or len(self.waiters) > 0
        )

    cdef Batch hand_over(self, OpenBatch *open_batch):
        cdef Batch batch = Batch.__new__(Batch)
        cdef Block block = Block.__new__(Block)
        cdef Queue queue = <Queue>open_batch.queue.queue
        self.unlink_batch(open_batch)
        open_batch.queue.last_size = open_batch.size
        batch.accumulator = self
        batch.cell = <Cell>open_batch.cell
        Py_DECREF(<object>open_batch.cell)
        batch.cell.count = open_batch.count
        batch.topic = queue.topic
        block.accumulator = self
        block.data = open_batch.data
        block.size = open_batch.size
        block.capacity = open_batch.capacity
        batch.block = block
        batch.records = open_batch.count
        batch.created = open_batch.created
        batch.deadline = open_batch.created + self.delivery_timeout
        put_batch_header(open_batch.data, open_batch.size, 0, 0, open_batch.count - 1, open_batch.base_timestamp,
                         open_batch.max_timestamp, -1, -1, -1, open_batch.count)
        free(open_batch)
        self.batches_taken += 1
        return batch

    def take_ready(self, double now):
        """The queues that have something to send since they were last found empty, each once."""
        cdef QueueLinks *links
        while self.lingering != NULL and self.lingering.created + self.linger <= now:
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
            expired.append(self.hand_over(batch))
        return expired

    def next_deadline(self):
        """When (clock seconds) the next linger or delivery timeout ends; infinity for never."""
        cdef double deadline = INFINITY
        if self.lingering != NULL:
            deadline = self.lingering.created + self.linger
        if self.oldest != NULL and self.oldest.created + self.delivery_timeout < deadline:
            deadline = self.oldest.created + self.delivery_timeout
        return deadline

    def sleep(self, double until):
        """The IO thread is about to sleep until `until`; False where there is work and it should not."""
        if self.ready_head != NULL:
            return False
        self.sleeping_until = until
        return True

    def awake(self):
        """The IO thread is awake: it looks for work by itself, nobody need wake it."""
        self.sleeping_until = 0

    def now(self):
        """The host's clock, in seconds."""
        return self.host.monotonic(self.host.context)
