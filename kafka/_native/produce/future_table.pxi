# What `send_table` gives back: the outcomes of several calls of `send_many`, behind one another.

from bisect import bisect_right


cdef class FutureTable(Future):
    """The outcomes of one `send_table`, a `Result` for each row: `len(future)`, `future[i]`, iteration."""

    cdef list parts             # FutureRecords
    cdef list ends              # the number of rows up to the end of each
    cdef Py_ssize_t done_parts  # how many of them, from the first on, were seen done

    def __cinit__(self):
        self.parts = []
        self.ends = []

    def add_part(self, FutureRecords part not None):
        """Rows that come behind those that there are."""
        self.parts.append(part)
        self.ends.append(len(self) + len(part))

    cdef Cell cell_at_end(self):
        cdef Cell cell
        while self.done_parts < len(self.parts):
            cell = (<FutureRecords>self.parts[self.done_parts]).cell_at_end()
            if cell is not None:
                return cell
            self.done_parts += 1
        return None

    cdef look(self):
        if self.cell_at_end() is None:
            for part in self.parts:
                (<FutureRecords>part).look()

    cdef object peek_error(self):
        failed = 0
        first = {}
        for part in self.parts:
            error = (<FutureRecords>part).peek_error()
            if error is not None:
                failed += error.count
                for place, cause in error.errors.items():
                    first.setdefault(place, cause)
        return Errors.DeliveryFailed(failed, first) if failed else None

    cdef object peek_value(self):
        return RecordsMetadata(self)

    def get(self, timeout=None):
        """Wait for all rows, at most `timeout` seconds: their `RecordMetadata`, a sequence in order.

        Raises as the future of `send_many` does.
        """
        self.wait_until_done(timeout)
        error = self.exception
        if error is not None:
            raise error
        return self.value

    def __len__(self):
        return self.ends[len(self.ends) - 1] if self.ends else 0

    def __getitem__(self, Py_ssize_t number):
        """Row `number`'s outcome: `Ok(RecordMetadata)` or `Err(error)`; None while it is not known."""
        cdef Py_ssize_t count = len(self)
        if number < 0:
            number += count
        if not 0 <= number < count:
            raise IndexError(f"row {number} of {count}")
        place = bisect_right(self.ends, number)
        return self.parts[place][number - (self.ends[place - 1] if place else 0)]

    def __repr__(self):
        return f"<FutureTable of {len(self)}, {'done' if self.is_done else 'pending'}>"
