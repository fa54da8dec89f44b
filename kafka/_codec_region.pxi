# The memory of batches: one region, cut into blocks of 1 KiB to 1 MiB by halving, and joined again (a buddy allocator).
#
# Blocks of all sizes, taken by some threads and given back by another, are what malloc is bad at: after minutes it was
# seen to hold three times what was in use. A region is a quarter larger than the memory it stands for, as something is
# always left between blocks, and what was in use once is used again before any more of it is touched. What it has no
# room for comes from malloc all the same: whether there is memory is decided by the accumulator's count of bytes.

from libc.stdlib cimport calloc, free, malloc

cdef enum:
    UNIT = 1024
    ORDERS = 11                 # blocks of 1, 2, 4, ... 1024 units
    WHOLE = 1024

cdef struct FreeBlock:
    FreeBlock *newer
    FreeBlock *older

cdef struct Region:
    uint8_t *start
    Py_ssize_t units
    Py_ssize_t touched          # whole blocks are cut off here, in units; behind it nothing was ever in use
    uint8_t *orders             # for each unit: 1 + the order of the free block that begins there; 0: none does
    FreeBlock *free[ORDERS]     # newest first
    Py_ssize_t outside          # bytes that malloc gave


cdef void open_region(Region *region, Py_ssize_t memory) noexcept:
    """A region for so many bytes in use. Where it cannot be had, everything comes from malloc."""
    cdef Py_ssize_t units = (memory + memory // 4) // (UNIT * WHOLE) * WHOLE
    if units > 0:
        region.start = <uint8_t *>malloc(units * UNIT)
        region.orders = <uint8_t *>calloc(units, 1)
        if region.start != NULL and region.orders != NULL:
            region.units = units
        else:
            close_region(region)


cdef void close_region(Region *region) noexcept:
    free(region.start)
    free(region.orders)
    region.start = region.orders = NULL
    region.units = 0


cdef inline int _order(Py_ssize_t units) noexcept:
    """Of the smallest block that has so many units."""
    cdef int order = 0
    while 1 << order < units:
        order += 1
    return order


cdef inline void _put(Region *region, Py_ssize_t at, int order) noexcept:
    cdef FreeBlock *block = <FreeBlock *>(region.start + at * UNIT)
    block.newer = NULL
    block.older = region.free[order]
    if block.older != NULL:
        block.older.newer = block
    region.free[order] = block
    region.orders[at] = <uint8_t>(1 + order)


cdef inline void _remove(Region *region, Py_ssize_t at, int order) noexcept:
    cdef FreeBlock *block = <FreeBlock *>(region.start + at * UNIT)
    if block.newer == NULL:
        region.free[order] = block.older
    else:
        block.newer.older = block.older
    if block.older != NULL:
        block.older.newer = block.newer
    region.orders[at] = 0


cdef uint8_t *take_block(Region *region, Py_ssize_t capacity) noexcept:
    """Memory for so many bytes; NULL where the machine has none."""
    cdef Py_ssize_t units = (capacity + UNIT - 1) // UNIT
    cdef int order = _order(units)
    cdef int found = order
    cdef Py_ssize_t at, end
    cdef uint8_t *data
    while found < ORDERS and region.free[found] == NULL:
        found += 1
    if found < ORDERS:
        at = (<uint8_t *>region.free[found] - region.start) // UNIT
        _remove(region, at, found)
    elif order < ORDERS and region.touched < region.units:
        found = ORDERS - 1
        at = region.touched
        region.touched += WHOLE
    else:
        data = <uint8_t *>malloc(capacity)
        if data != NULL:
            region.outside += capacity
        return data
    data = region.start + at * UNIT
    # Nothing is wasted but part of the last unit: what is behind it is free, in blocks that grow towards the end.
    end = at + (1 << found)
    at += units
    while at < end:
        order = 0
        while not at >> order & 1:
            order += 1
        _put(region, at, order)
        at += 1 << order
    return data


cdef void give_block(Region *region, uint8_t *data, Py_ssize_t capacity) noexcept:
    """Takes back what `take_block` gave for so many bytes."""
    cdef Py_ssize_t at, units, buddy
    cdef int order, joined
    if data < region.start or data >= region.start + region.units * UNIT:
        free(data)
        region.outside -= capacity
        return
    at = (data - region.start) // UNIT
    units = (capacity + UNIT - 1) // UNIT
    order = ORDERS - 1
    while units > 0:
        while 1 << order > units:
            order -= 1
        # Two free halves of a block are that block again.
        buddy = at
        joined = order
        while joined < ORDERS - 1 and region.orders[buddy ^ (1 << joined)] == 1 + joined:
            _remove(region, buddy ^ (1 << joined), joined)
            buddy &= ~(<Py_ssize_t>1 << joined)
            joined += 1
        _put(region, buddy, joined)
        at += 1 << order
        units -= 1 << order
