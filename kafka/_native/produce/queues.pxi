# Open and sealed batches in their queues, one for each partition and one for each topic's records without a partition.
#
# A batch is a C struct while records are put in; a Python object (`Batch`) is made when the IO thread takes it.

cdef struct OpenBatch:
    # What every record looks at comes first: with 10,000 topics none of it is in the processor's cache.
    uint8_t *end                # where the next record goes
    Py_ssize_t size             # bytes on the wire, with the values that it refers to
    Py_ssize_t full_at          # it may have so many without another look
    int64_t base_timestamp
    int64_t max_timestamp
    PyObject *cell              # owned
    int32_t count
    bint due                    # it may be sent, whatever its linger
    Py_ssize_t limit            # its size never grows past this
    Py_ssize_t capacity         # bytes that count as used: its own memory's, and those of the values
    uint8_t *data               # its own memory
    Pieces pieces
    double created
    QueueLinks *queue
    OpenBatch *next_in_queue
    OpenBatch *older
    OpenBatch *newer

cdef struct QueueLinks:
    OpenBatch *open
    PyObject *queue             # borrowed: the accumulator keeps every queue for its own lifetime
    OpenBatch *head             # sealed batches, oldest first
    OpenBatch *tail
    QueueLinks *next_ready
    bint ready                  # on the ready list, or taken by the core and not yet found empty
    Py_ssize_t last_size        # of the batch before, in its own memory: the next one starts with as much room

cdef enum:
    UNBOUND = -1    # the partition of records that none was chosen for yet


cdef class Queue:
    """The batches of one partition, or (partition -1) those of a topic that no partition was chosen for yet."""

    cdef readonly str topic
    cdef readonly int32_t partition
    cdef QueueLinks links
    cdef Accumulator accumulator

    def __cinit__(self, Accumulator accumulator not None, str topic not None, int32_t partition):
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
            self.accumulator.open_batches -= 1
        else:
            self.links.head = batch.next_in_queue
            if self.links.head == NULL:
                self.links.tail = NULL
        return self.accumulator.hand_over(batch)

    def let_go(self):
        """Whether there is nothing here to be sent, now or later; if so, the queue is armed again, as by `pull`."""
        if self.links.head != NULL or self.links.open != NULL:
            return False
        self.links.ready = False
        return True

    def __repr__(self):
        return f"<Queue {self.topic}[{self.partition if self.partition >= 0 else 'unbound'}]>"


cdef class TopicQueues(Queue):
    """A topic's queues: itself is the one for records without a partition, and it has one for each partition."""

    cdef readonly int32_t partition_count   # -1 until metadata told
    cdef list queues
    cdef list open_to_all                   # those of `queues` that records without a key may be put in
    cdef uint32_t turn                      # of the next record, where they go round
    # Borrowed: the topic sent to after this one, last time. Most of what a record costs that is one of thousands of
    # topics' is finding its topic, far from every cache; and mostly they come in the same order again.
    cdef PyObject *following

    def __cinit__(self, Accumulator accumulator, str topic, int32_t partition):
        self.partition_count = -1
        self.queues = []

    cdef inline Queue queue(self, int32_t partition):
        return <Queue>self.queues[partition]

    cdef Queue at_once(self):
        """The queue of a record without a partition where that has to be known at once: the same for a whole batch."""
        cdef list queues = self.open_to_all
        cdef Py_ssize_t count = 0 if queues is None else len(queues)
        cdef Queue queue
        if count == 0:
            return self
        queue = <Queue>queues[self.turn % <uint32_t>count]
        if queue.links.open == NULL:
            self.turn += 1
            queue = <Queue>queues[self.turn % <uint32_t>count]
        return queue

    cdef Queue in_turn(self, int32_t count):
        cdef int32_t partition = self.turn % <uint32_t>count
        self.turn = partition + 1
        return self.queue(partition)
