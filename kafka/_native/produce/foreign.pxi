# What asyncio and concurrent.futures ask of a future that is none of theirs. Nothing here is made before they ask.

import sys


cdef object foreign_class(own):
    """What a future of the class `own` calls its class: that of concurrent.futures, once anybody has loaded that."""
    module = sys.modules.get("concurrent.futures")
    return getattr(module, "Future", own)


class Outcome:
    """How a future ended, with the methods of a `concurrent.futures.Future`; `future` is the one it is of."""

    def __init__(self, future):
        self.future = future

    def done(self):
        return True

    def cancelled(self):
        return False

    def exception(self, timeout=None):
        """The error, None where all was delivered."""
        error = self.future.exception
        return None if error is None else error.fresh()

    def result(self, timeout=None):
        """What `get()` returns or raises."""
        return self.future.get()

    def _get_snapshot(self):    # asyncio's of Python 3.14: done, cancelled, result, exception
        error = self.exception()
        return True, False, self.result() if error is None else None, error


def hand_outcome(fn, future):
    fn(Outcome(future))


cdef class NoCondition:
    """Where `concurrent.futures` takes a future's lock. Ours need none: whoever waits is told of the end."""

    def acquire(self):
        return True

    def release(self):
        pass

    def __enter__(self):
        return True

    def __exit__(self, *error):
        pass


cdef NoCondition NO_CONDITION = NoCondition()


cdef class ForeignWaiters:
    """Who waits for a future in `concurrent.futures.wait` or `as_completed`, like the list that theirs has."""

    cdef Future future

    def __cinit__(self, Future future not None):
        self.future = future

    def append(self, waiter):
        self.future.add(AT_END, tell_waiter, (waiter, self.future), {})

    def remove(self, waiter):
        self.future.forget_waiter(waiter)


def tell_waiter(waiter, future):
    if (<Future>future).peek_error() is None:
        waiter.add_result(future)
    else:
        waiter.add_exception(future)
