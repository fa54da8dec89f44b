# What is called when a batch has its outcome. With a callback for each record these are as many as the records: so they
# are kept in an array of their cell, without an object each that a garbage collection would look at.

cdef enum:
    ON_SUCCESS = 1
    ON_FAILURE = 2
    AT_END = 4      # without the outcome, and without having looked at it

cdef struct Callback:
    # The references are owned.
    PyObject *future
    PyObject *function
    PyObject *arguments         # those of the function, a tuple (args, kwargs); None where there are none
    int when

cdef struct Callbacks:
    Callback *items
    Py_ssize_t count
    Py_ssize_t capacity


cdef bint add_callback(
    Callbacks *callbacks, future, function, tuple arguments, int when
) except False:
    """Nothing in here runs anybody's code."""
    cdef Callback *items
    cdef Callback *item
    cdef Py_ssize_t capacity
    if callbacks.count == callbacks.capacity:
        capacity = callbacks.capacity * 2 + 4
        items = <Callback *>realloc(callbacks.items, capacity * sizeof(Callback))
        if items == NULL:
            raise MemoryError()
        callbacks.items = items
        callbacks.capacity = capacity
    item = &callbacks.items[callbacks.count]
    callbacks.count += 1
    Py_INCREF(future)
    Py_INCREF(function)
    Py_INCREF(arguments)
    item.future = <PyObject *>future
    item.function = <PyObject *>function
    item.arguments = <PyObject *>arguments
    item.when = when
    return True


cdef call_back(function, tuple arguments):
    if arguments is None:
        function()
    else:
        function(*arguments[0], **arguments[1])


cdef call_back_with(function, tuple arguments, last):
    """With `last` behind the arguments that were given for it."""
    if arguments is None:
        function(last)
    else:
        function(*arguments[0], last, **arguments[1])


cdef forget_callback(Callbacks *callbacks, future, waiter):
    """Not to be called any more: the one that tells `waiter`, its first argument, of the end of `future`."""
    cdef Callback found
    cdef Py_ssize_t i
    for i in range(callbacks.count):
        found = callbacks.items[i]
        if found.future == <PyObject *>future and found.when == AT_END and found.arguments != NONE:
            args = (<tuple>found.arguments)[0]
            if args and args[0] is waiter:
                callbacks.count -= 1
                memmove(&callbacks.items[i], &callbacks.items[i + 1], (callbacks.count - i) * sizeof(Callback))
                let_go_of(found)
                return


cdef let_go_of(Callback callback):
    """It will not be called any more; what it refers to may end here, with anybody's code."""
    Py_DECREF(<object>callback.function)
    Py_DECREF(<object>callback.arguments)
    Py_DECREF(<object>callback.future)


cdef Callbacks taken_from(Callbacks *callbacks) noexcept:
    """All of them, which are the caller's from here on."""
    cdef Callbacks taken = callbacks[0]
    callbacks.items = NULL
    callbacks.count = callbacks.capacity = 0
    return taken


cdef drop_callbacks(Callbacks *callbacks):
    """None of them is called."""
    cdef Callbacks taken = taken_from(callbacks)
    cdef Py_ssize_t i
    for i in range(taken.count):
        let_go_of(taken.items[i])
    free(taken.items)
