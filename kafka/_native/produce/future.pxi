# What send() gives back: a future is a Cell and an index, so that a million futures cost little and none of them keeps
# a batch's bytes alive.

from kafka import errors as Errors
from kafka.structs import RecordMetadata, TopicPartition


cdef class Future:
    """The common part of what `send` and `send_many` give back: waiting and callbacks.

    An `await` in any asyncio loop waits for it too, and so do `asyncio.wrap_future` and the functions of
    `concurrent.futures` (`foreign.pxi`).
    """

    cdef bint looked_at

    cdef Cell cell_at_end(self):
        """The cell that is resolved last as far as is known; None where there is nothing to wait for."""
        raise NotImplementedError

    cdef object peek_error(self):
        """The error once the outcome is known, without having looked at it."""
        raise NotImplementedError

    cdef object peek_value(self):
        """What it succeeded with, where it did."""
        raise NotImplementedError

    cdef look(self):
        """Somebody sees how it ended: its failure is no longer one that nobody has looked at."""

    cdef inline bint ended(self):
        cdef Cell cell = self.cell_at_end()
        return cell is None or cell.done

    def __reduce__(self):
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled: its producer is in this process. Pickle what get() returns."
        )

    @property
    def is_done(self):
        """Whether the outcome is known: of `send_many`, that of every record."""
        return self.ended()

    @property
    def value(self):
        """What was delivered: a `RecordMetadata`; of `send_many`, a sequence of them where all were. Else None."""
        return self.peek_value() if self.ended() and self.peek_error() is None else None

    @property
    def exception(self):
        """The error of a record that was not delivered; of `send_many`, a `DeliveryFailed`. Else None."""
        if not self.ended():
            return None
        self.look()
        return self.peek_error()

    def succeeded(self):
        if not self.ended():
            return False
        self.look()
        return self.peek_error() is None

    def failed(self):
        return self.exception is not None

    def retriable(self):
        """Whether it failed with an error that trying again may mend."""
        return isinstance(self.exception, Errors.RetriableError)

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
        cdef tuple arguments = None
        if not callable(function):
            raise TypeError(f"a callback must be callable, not {type(function).__name__}")
        # Made first: making it may run the garbage collector, and so whatever resolves the cell. Between the look at
        # `done` and the callback's place in the array no object is made, so that none is lost.
        if args or kwargs:
            arguments = (args, kwargs)
        self.add_or_call(when, function, arguments)
        return self

    cdef add_or_call(self, int when, function, tuple arguments):
        cdef Cell cell = self.cell_at_end()
        if cell is None or cell.done:
            self.call(when, function, arguments, False)
        else:
            add_callback(&cell.callbacks, self, function, arguments, when)

    cdef call(self, int when, function, tuple arguments, bint on_io_thread):
        cdef Cell cell = self.cell_at_end()
        if cell is not None and not cell.done:
            # One of several batches is done and another is not: go on with that one.
            self.add_or_call(when, function, arguments)
            return
        try:
            if when == AT_END:
                call_back(function, arguments)
                return
            error = self.peek_error()
            if error is None:
                if when & ON_SUCCESS:
                    call_back_with(function, arguments, self.peek_value())
            elif when & ON_FAILURE:
                self.look()
                call_back_with(function, arguments, error)
        except BaseException as error:
            # As in kafka-python: a callback's own failure is told in the log, and stops nothing. In a caller's thread
            # Ctrl-C and sys.exit() are the caller's.
            if not on_io_thread and not isinstance(error, Exception):
                raise
            callback_failed(function, self)

    cdef wait_until_done(self, timeout):
        cdef Cell cell
        cdef Accumulator accumulator
        cdef double deadline = 0
        while True:
            cell = self.cell_at_end()
            if cell is None or cell.done:
                return
            accumulator = cell.accumulator
            waits = ways_to_wait(accumulator)
            if timeout is not None and deadline == 0:
                deadline = accumulator.now() + timeout
            if not waits.get(cell, None if timeout is None else deadline - accumulator.now()):
                raise Errors.KafkaTimeoutError(
                    f"No answer for {cell.named_place()} within {timeout} seconds; the record may still be delivered"
                )

    def __await__(self):
        """Wait as `get()` does, in the asyncio loop that runs here, whichever that is."""
        cdef Cell cell
        while True:
            cell = self.cell_at_end()
            if cell is None or cell.done:
                return self.get()
            yield from ways_to_wait(cell.accumulator).in_loop(cell)

    # -- under the names of concurrent.futures -------------------------------------------------------------------------

    @property
    def __class__(self):
        # `asyncio.wrap_future` refuses what does not call itself one of these.
        return foreign_class(type(self))

    def __dir__(self):
        return dir(type(self))

    def done(self):
        return self.is_done

    def result(self, timeout=None):
        """The same as `get`."""
        return self.get(timeout)

    def cancel(self):
        """False: a record that was sent cannot be called back."""
        return False

    def cancelled(self):
        return False

    def running(self):
        return False

    def add_done_callback(self, fn):
        """Call `fn(outcome)` at the end, whatever it is, with the methods `result()` and `exception()`.

        As `exception` is an attribute of this class, as in kafka-python, it is not `fn`'s argument itself.
        """
        if not callable(fn):
            raise TypeError(f"a callback must be callable, not {type(fn).__name__}")
        self.add(AT_END, hand_outcome, (fn, self), {})

    @property
    def _condition(self):
        return NO_CONDITION

    @property
    def _state(self):
        # What has ended tells so when a waiter is added: like that no end is missed between a look and the adding.
        return "PENDING"

    @property
    def _waiters(self):
        return ForeignWaiters(self)

    cdef forget_waiter(self, waiter):
        cdef Cell cell = self.cell_at_end()
        if cell is not None:
            forget_callback(&cell.callbacks, self, waiter)


cdef class FutureBase(Future):
    """For outcomes that are no batch's: a subclass in Python says what they are, and who waits for them."""


cdef object ways_to_wait(Accumulator accumulator):
    if accumulator.waits is None:
        raise Errors.IllegalStateError("this client has no way to wait; the outcome is not known yet")
    return accumulator.waits


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

    cdef object peek_error(self):
        return self.cell.error_of(self.index)

    cdef object peek_value(self):
        return self.cell.metadata(self.index, self.timestamp, self.key_size, self.value_size, self.headers_size)

    @property
    def topic_partition(self):
        """Where the record goes; None while no partition was chosen."""
        if self.cell.partition < 0:
            return None
        return self.cell.topic_partition()

    @property
    def _produce_future(self):
        # OpenTelemetry's instrumentor reads `future._produce_future.topic_partition` as soon as send() has returned.
        if self.cell.partition < 0 and self.cell.accumulator is not None:
            self.cell.accumulator.binds_at_once = True
        return self

    def get(self, timeout=None):
        """Wait for the `RecordMetadata`, at most `timeout` seconds.

        Raises the error if the record was not delivered, KafkaTimeoutError if nothing is known in time.
        """
        self.wait_until_done(timeout)
        self.look()
        error = self.peek_error()
        if error is not None:
            raise error.about(self.cell.named_place())
        return self.peek_value()

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

cdef struct Numbers:
    # All -1 or more. As they are in 4 bytes each; packed into 1 or 2 they are one more than that.
    void *data
    int width                   # 0 while they are plain


cdef inline int32_t number_at(Numbers *numbers, Py_ssize_t i) noexcept:
    if numbers.width == 1:
        return <int32_t>(<uint8_t *>numbers.data)[i] - 1
    if numbers.width == 2:
        return <int32_t>(<uint16_t *>numbers.data)[i] - 1
    return (<int32_t *>numbers.data)[i]


cdef void pack(Numbers *numbers, Py_ssize_t count) noexcept:
    """Keep `count` numbers of 4 bytes each in as little memory as they need."""
    cdef int32_t *wide = <int32_t *>numbers.data
    cdef int32_t most = -1
    cdef int width
    cdef void *narrow
    cdef Py_ssize_t i
    if wide == NULL or count == 0 or numbers.width != 0:
        return
    for i in range(count):
        most = max(most, wide[i])
    width = 1 if most < 255 else 2 if most < 65535 else 4
    narrow = realloc(wide, <size_t>count * 4) if width == 4 else malloc(<size_t>count * width)
    if narrow == NULL:
        return
    if width == 1:
        for i in range(count):
            (<uint8_t *>narrow)[i] = <uint8_t>(wide[i] + 1)
    elif width == 2:
        for i in range(count):
            (<uint16_t *>narrow)[i] = <uint16_t>(wide[i] + 1)
    if width < 4:
        free(wide)
    numbers.data = narrow
    numbers.width = width


cdef class FutureRecords(Future):
    """The outcomes of one `send_many`, a `Result` for each record: `len(future)`, `future[i]`, iteration."""

    cdef list cells             # of all its batches, each once
    cdef Py_ssize_t done_cells  # how many of them, from the first on, were seen done
    cdef Numbers runs           # three for each Run
    cdef Py_ssize_t run_count
    cdef Py_ssize_t run_capacity
    cdef int32_t count
    # For the records' metadata, without data where no record has any.
    cdef int64_t *timestamps    # of each record, or (`clock`) of each PIECE of them
    cdef bint clock
    cdef Numbers key_sizes
    cdef Numbers value_sizes
    cdef Numbers headers_sizes

    def __cinit__(self):
        self.cells = []

    def __dealloc__(self):
        free(self.runs.data)
        free(self.timestamps)
        free(self.key_sizes.data)
        free(self.value_sizes.data)
        free(self.headers_sizes.data)

    cdef make_room(self, Py_ssize_t count, bint with_keys, bint clock):
        """For what the metadata of `count` records will tell; `clock`: of their timestamps, one for each PIECE."""
        cdef size_t room = count if count > 0 else 1
        self.clock = clock
        self.value_sizes.data = malloc(room * sizeof(int32_t))
        self.timestamps = <int64_t *>malloc((room // PIECE + 1 if clock else room) * sizeof(int64_t))
        if with_keys:
            self.key_sizes.data = malloc(room * sizeof(int32_t))
        if self.value_sizes.data == NULL or self.timestamps == NULL or (with_keys and self.key_sizes.data == NULL):
            raise MemoryError()

    cdef make_headers_room(self, Py_ssize_t count):
        self.headers_sizes.data = malloc(count * sizeof(int32_t))
        if self.headers_sizes.data == NULL:
            raise MemoryError()
        memset(self.headers_sizes.data, 0xFF, count * sizeof(int32_t))      # -1 in each

    cdef bint reserve(self) except False:
        """Make room for one more run, before the critical section."""
        cdef void *runs
        cdef Py_ssize_t capacity
        if self.run_count == self.run_capacity:
            capacity = self.run_capacity * 2 + 16
            runs = realloc(self.runs.data, capacity * sizeof(Run))
            if runs == NULL:
                raise MemoryError()
            self.runs.data = runs
            self.run_capacity = capacity
        return True

    cdef inline add_record(self, Cell cell, int32_t index, int64_t call):
        cdef Run *runs = <Run *>self.runs.data
        cdef Run *last = &runs[self.run_count - 1] if self.run_count > 0 else NULL
        cdef Run *run
        if cell.call != call:
            cell.call = call
            cell.place = <int32_t>len(self.cells)
            self.cells.append(cell)
        if last == NULL or last.cell != cell.place or index - last.index != self.count - last.first:
            run = &runs[self.run_count]
            run.first = self.count
            run.index = index
            run.cell = cell.place
            self.run_count += 1
        self.count += 1

    cdef pack(self):
        """All records were added: keep what is known of them small, as their outcomes may be long in coming."""
        pack(&self.runs, 3 * self.run_count)
        pack(&self.key_sizes, self.count)
        pack(&self.value_sizes, self.count)
        pack(&self.headers_sizes, self.count)

    cdef inline Run run(self, Py_ssize_t number) noexcept:
        cdef Run run
        run.first = number_at(&self.runs, 3 * number)
        run.index = number_at(&self.runs, 3 * number + 1)
        run.cell = number_at(&self.runs, 3 * number + 2)
        return run

    cdef inline int32_t end_of(self, Py_ssize_t number) noexcept:
        """The number of the first record behind this run."""
        return number_at(&self.runs, 3 * number + 3) if number + 1 < self.run_count else self.count

    cdef Cell cell_at_end(self):
        cdef Py_ssize_t total = len(self.cells)
        while self.done_cells < total:
            if not (<Cell>self.cells[self.done_cells]).done:
                return <Cell>self.cells[self.done_cells]
            self.done_cells += 1
        return None

    cdef bint any_failed(self):
        """Whether a batch with some of the records failed, though maybe with others of it."""
        for cell in self.cells:
            if (<Cell>cell).error is not None:
                return True
        return False

    cdef look(self):
        cdef Cell cell
        cdef Py_ssize_t i
        cdef Run run
        if self.looked_at or self.cell_at_end() is not None:
            return
        self.looked_at = True
        if not self.any_failed():
            return
        for i in range(self.run_count):
            run = self.run(i)
            cell = <Cell>self.cells[run.cell]
            if cell.error is not None:
                cell.seen(cell.failed_among(run.index, self.end_of(i) - run.first)[0])

    cdef object peek_error(self):
        cdef Cell cell
        cdef Py_ssize_t i
        cdef Run run
        if not self.any_failed():
            return None
        failed = 0
        first = {}
        for i in range(self.run_count):
            run = self.run(i)
            cell = <Cell>self.cells[run.cell]
            if cell.error is not None:
                count, error = cell.failed_among(run.index, self.end_of(i) - run.first)
                if count:
                    failed += count
                    first.setdefault(cell.topic_partition(), error)
        return Errors.DeliveryFailed(failed, first) if failed else None

    cdef object peek_value(self):
        return RecordsMetadata(self)

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

    cdef Run find(self, Py_ssize_t number) noexcept:
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.run_count - 1
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high + 1) // 2
            if number_at(&self.runs, 3 * middle) <= number:
                low = middle
            else:
                high = middle - 1
        return self.run(low)

    cdef metadata(self, Py_ssize_t number):
        cdef Run run = self.find(number)
        return (<Cell>self.cells[run.cell]).metadata(
            run.index + <int32_t>number - run.first,
            self.timestamps[number // PIECE if self.clock else number],
            -1 if self.key_sizes.data == NULL else number_at(&self.key_sizes, number),
            -1 if self.value_sizes.data == NULL else number_at(&self.value_sizes, number),
            -1 if self.headers_sizes.data == NULL else number_at(&self.headers_sizes, number),
        )

    def __len__(self):
        return self.count

    def __getitem__(self, Py_ssize_t number):
        """Record `number`'s outcome: `Ok(RecordMetadata)` or `Err(error)`; None while it is not known."""
        cdef Cell cell
        cdef Run run
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
