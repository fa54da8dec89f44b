# What send() gives back: a future is a Cell and an index, so that a million futures cost little and none of them keeps
# a batch's bytes alive.

from kafka import errors as Errors
from kafka._log import callback_failed
from kafka.structs import RecordMetadata, TopicPartition


cdef enum:
    ON_SUCCESS = 1
    ON_FAILURE = 2


cdef class Future:
    """The common part of what `send` and `send_many` give back: waiting and callbacks."""

    cdef bint looked_at

    cdef Cell cell_at_end(self):
        """The cell that is resolved last as far as is known; None where there is nothing to wait for."""
        raise NotImplementedError

    cdef look(self):
        """Somebody sees how it ended: its failure is no longer one that nobody has looked at."""

    @property
    def is_done(self):
        """Whether the outcome is known."""
        raise NotImplementedError

    @property
    def value(self):
        """What it succeeded with, else None."""
        return None

    @property
    def exception(self):
        """The error it failed with, else None."""
        return None

    def succeeded(self):
        return self.is_done and self.exception is None

    def failed(self):
        return self.is_done and self.exception is not None

    def retriable(self):
        """Whether it failed with an error that trying again may mend."""
        return self.is_done and isinstance(self.exception, Errors.RetriableError)

    def add_callback(self, f, *args, **kwargs):
        """Call `f(*args, value, **kwargs)` on success: on the IO thread, or here and now if that is known already."""
        return self.add(ON_SUCCESS, f, args, kwargs)

    def add_errback(self, f, *args, **kwargs):
        """Call `f(*args, exception, **kwargs)` on failure: on the IO thread, or here and now if that is known."""
        return self.add(ON_FAILURE, f, args, kwargs)

    def add_both(self, f, *args, **kwargs):
        """`add_callback` and `add_errback` in one."""
        return self.add(ON_SUCCESS | ON_FAILURE, f, args, kwargs)

    cdef add(self, int when, function, tuple args, dict kwargs):
        cdef Cell cell
        if not callable(function):
            raise TypeError(f"a callback must be callable, not {type(function).__name__}")
        # Made first: making them may run the garbage collector, and so whatever resolves the cell. Between the look
        # at `done` and the callback's place on the list nothing is made, so that none is lost.
        cdef list callbacks = []
        cdef tuple callback = (self, when, function, args, kwargs)
        cell = self.cell_at_end()
        if cell is None or cell.done:
            self.call(when, function, args, kwargs, False)
            return self
        if cell.callbacks is None:
            cell.callbacks = callbacks
        cell.callbacks.append(callback)
        return self

    cdef call(self, int when, function, tuple args, dict kwargs, bint on_io_thread):
        cdef Cell cell = self.cell_at_end()
        if cell is not None and not cell.done:
            # One of several batches is done and another is not: go on with that one.
            self.add(when, function, args, kwargs)
            return
        try:
            error = self.exception if when & ON_FAILURE else self.peek_error()
            if error is None:
                if when & ON_SUCCESS:
                    function(*args, self.value, **kwargs)
            elif when & ON_FAILURE:
                function(*args, error, **kwargs)
        except BaseException as error:
            # As in kafka-python: a callback's own failure is told in the log, and stops nothing. In a caller's thread
            # Ctrl-C and sys.exit() are the caller's.
            if not on_io_thread and not isinstance(error, Exception):
                raise
            callback_failed(function, self)

    cdef object peek_error(self):
        """The error, without having looked at it."""
        raise NotImplementedError

    cdef wait_until_done(self, timeout):
        cdef Cell cell
        cdef Accumulator accumulator
        cdef double deadline = 0
        while True:
            cell = self.cell_at_end()
            if cell is None or cell.done:
                return
            accumulator = cell.accumulator
            if timeout is not None and deadline == 0:
                deadline = accumulator.now() + timeout
            if accumulator.io_thread == PyThread_get_thread_ident():
                raise Errors.IllegalStateError(
                    "get() was called in a callback, on the thread that has to bring the answer: it would wait for "
                    "ever. Use add_callback, or hand the future to another thread."
                )
            if not cell.wait(None if timeout is None else deadline - accumulator.now()):
                raise Errors.KafkaTimeoutError(f"No answer within {timeout} seconds; the record may still be delivered")


@cython.no_gc
cdef class FutureRecordMetadata(Future):
    """The outcome of one `send`: a `RecordMetadata`, or the error that says why not."""
    # no_gc: a cycle through a callback ends when the batch has its outcome, and every batch gets one.

    cdef Cell cell
    cdef int32_t index
    cdef int32_t key_size       # -1: null
    cdef int32_t value_size
    cdef int32_t headers_size
    cdef int64_t timestamp

    cdef Cell cell_at_end(self):
        return self.cell

    cdef look(self):
        if not self.looked_at and self.cell.done:
            self.looked_at = True
            if self.cell.error_of(self.index) is not None:
                self.cell.seen(1)

    @property
    def is_done(self):
        """Whether the outcome is known."""
        return self.cell.done

    @property
    def value(self):
        """The `RecordMetadata` of a delivered record, else None."""
        if not self.cell.done or self.cell.error_of(self.index) is not None:
            return None
        return self.cell.metadata(self.index, self.timestamp, self.key_size, self.value_size, self.headers_size)

    @property
    def exception(self):
        """The error of a record that was not delivered, else None."""
        self.look()
        return self.cell.error_of(self.index)

    cdef object peek_error(self):
        return self.cell.error_of(self.index)

    @property
    def topic_partition(self):
        """Where the record goes; None while no partition was chosen."""
        if self.cell.partition < 0:
            return None
        return TopicPartition(self.cell.topic, self.cell.partition)

    @property
    def _produce_future(self):
        # OpenTelemetry's instrumentor reads `future._produce_future.topic_partition`.
        return self

    def get(self, timeout=None):
        """Wait for the `RecordMetadata`, at most `timeout` seconds.

        Raises the error if the record was not delivered, KafkaTimeoutError if nothing is known in time.
        """
        self.wait_until_done(timeout)
        error = self.exception
        if error is not None:
            raise error.fresh()
        return self.value

    def __repr__(self):
        cdef Cell cell = self.cell
        error = cell.error_of(self.index)
        state = "pending" if not cell.done else f"failed: {error}" if error is not None else "delivered"
        return f"<FutureRecordMetadata {cell.topic}[{cell.partition}] {state}>"


cdef enum:
    # How many records send_many puts in before it lets other threads have the GIL, and looks at the clock again.
    PIECE = 8192

cdef struct Run:
    # The records from number `first` of the call on, up to the next run, are `index`, `index` + 1, ... of a batch.
    int32_t first
    int32_t index
    int32_t cell                # which of `cells`


cdef class FutureRecords(Future):
    """The outcomes of one `send_many`, a `Result` for each record: `len(future)`, `future[i]`, iteration."""

    cdef list cells             # of all its batches, each once
    cdef Py_ssize_t done_cells  # how many of them, from the first on, were seen done
    cdef Run *runs
    cdef Py_ssize_t run_count
    cdef Py_ssize_t run_capacity
    cdef int32_t count
    # For the records' metadata, each NULL where no record has any.
    cdef int64_t *timestamps    # of each record, or (`clock`) of each PIECE of them
    cdef bint clock
    cdef int32_t *key_sizes
    cdef int32_t *value_sizes
    cdef int32_t *headers_sizes

    def __cinit__(self):
        self.cells = []

    def __dealloc__(self):
        free(self.runs)
        free(self.timestamps)
        free(self.key_sizes)
        free(self.value_sizes)
        free(self.headers_sizes)

    cdef bint reserve(self) except False:
        """Make room for one more run, before the critical section."""
        cdef Run *runs
        cdef Py_ssize_t capacity
        if self.run_count == self.run_capacity:
            capacity = self.run_capacity * 2 + 16
            runs = <Run *>realloc(self.runs, capacity * sizeof(Run))
            if runs == NULL:
                raise MemoryError()
            self.runs = runs
            self.run_capacity = capacity
        return True

    cdef inline add_record(self, Cell cell, int32_t index, int64_t call):
        cdef Run *last = &self.runs[self.run_count - 1] if self.run_count > 0 else NULL
        cdef Run *run
        if cell.call != call:
            cell.call = call
            cell.place = <int32_t>len(self.cells)
            self.cells.append(cell)
        if last == NULL or last.cell != cell.place or index - last.index != self.count - last.first:
            run = &self.runs[self.run_count]
            run.first = self.count
            run.index = index
            run.cell = cell.place
            self.run_count += 1
        self.count += 1

    cdef fit(self):
        """Keep no more room than there are runs."""
        cdef Run *runs
        if self.run_count > 0:
            runs = <Run *>realloc(self.runs, self.run_count * sizeof(Run))
            if runs != NULL:
                self.runs = runs
                self.run_capacity = self.run_count

    cdef inline int32_t length_of(self, Py_ssize_t run) noexcept:
        return (self.runs[run + 1].first if run + 1 < self.run_count else self.count) - self.runs[run].first

    cdef Cell cell_at_end(self):
        cdef Py_ssize_t total = len(self.cells)
        while self.done_cells < total:
            if not (<Cell>self.cells[self.done_cells]).done:
                return <Cell>self.cells[self.done_cells]
            self.done_cells += 1
        return None

    @property
    def is_done(self):
        """Whether the outcome of every record is known."""
        return self.cell_at_end() is None

    cdef look(self):
        cdef Cell cell
        cdef Py_ssize_t i
        if self.looked_at or self.cell_at_end() is not None:
            return
        self.looked_at = True
        for i in range(self.run_count):
            cell = <Cell>self.cells[self.runs[i].cell]
            if cell.error is not None:
                cell.seen(cell.failed_among(self.runs[i].index, self.length_of(i))[0])

    cdef object peek_error(self):
        cdef Cell cell
        cdef Py_ssize_t i
        failed = 0
        first = {}
        for i in range(self.run_count):
            cell = <Cell>self.cells[self.runs[i].cell]
            if cell.error is not None:
                count, error = cell.failed_among(self.runs[i].index, self.length_of(i))
                if count:
                    failed += count
                    first.setdefault(TopicPartition(cell.topic, cell.partition), error)
        return Errors.DeliveryFailed(failed, first) if failed else None

    @property
    def value(self):
        """The records' `RecordMetadata`, in order, made when asked for; None unless all were delivered."""
        if self.cell_at_end() is not None or self.peek_error() is not None:
            return None
        return RecordsMetadata(self)

    @property
    def exception(self):
        """A `DeliveryFailed` where at least one record was not delivered, else None."""
        if self.cell_at_end() is not None:
            return None
        self.look()
        return self.peek_error()

    def get(self, timeout=None):
        """Wait for all records, at most `timeout` seconds: their `RecordMetadata`, a sequence in order.

        Raises DeliveryFailed where at least one was not delivered (`future[i]` says which and why), KafkaTimeoutError
        where not everything is known in time.
        """
        self.wait_until_done(timeout)
        error = self.exception
        if error is not None:
            raise error
        return self.value

    cdef Run *find(self, Py_ssize_t number) noexcept:
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.run_count - 1
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high + 1) // 2
            if self.runs[middle].first <= number:
                low = middle
            else:
                high = middle - 1
        return &self.runs[low]

    cdef metadata(self, Py_ssize_t number):
        cdef Run *run = self.find(number)
        return (<Cell>self.cells[run.cell]).metadata(
            run.index + <int32_t>number - run.first,
            self.timestamps[number // PIECE if self.clock else number],
            -1 if self.key_sizes == NULL else self.key_sizes[number],
            -1 if self.value_sizes == NULL else self.value_sizes[number],
            -1 if self.headers_sizes == NULL else self.headers_sizes[number],
        )

    def __len__(self):
        return self.count

    def __getitem__(self, Py_ssize_t number):
        """Record `number`'s outcome: `Ok(RecordMetadata)` or `Err(error)`; None while it is not known."""
        cdef Cell cell
        cdef Run *run
        if number < 0:
            number += self.count
        if not 0 <= number < self.count:
            raise IndexError(f"record {number} of {self.count}")
        run = self.find(number)
        cell = <Cell>self.cells[run.cell]
        if not cell.done:
            return None
        self.look()
        error = cell.error_of(run.index + <int32_t>number - run.first)
        return Ok(self.metadata(number)) if error is None else Err(error)

    def __repr__(self):
        return f"<FutureRecords of {self.count}, {'done' if self.is_done else 'pending'}>"


class RecordsMetadata(Sequence):
    """The `RecordMetadata` of all records of a `send_many`, in order, each made when asked for."""

    def __init__(self, FutureRecords future not None):
        self._future = future

    def __len__(self):
        return len(self._future)

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        return self._future[number].unwrap()

    def __repr__(self):
        return f"<RecordMetadata of {len(self)} records>"
