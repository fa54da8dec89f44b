# The memory of batches: one region, cut into blocks of 1 KiB to 1 MiB by halving, and joined again (a buddy allocator).
#
# Blocks of all sizes, taken by some threads and given back by another, are what malloc is bad at: after minutes it was
# seen to hold three times what was in use. Of the free blocks of a size the one at the lowest address is taken: what is
# in use gathers at the beginning, and behind it large blocks are whole again. A region is a quarter larger than the
# memory it stands for, as something is always left between blocks; what was never in use is not touched, and costs
# nothing. What it has no room for comes from malloc all the same: whether there is memory is decided by the
# accumulator's count of bytes.

from libc.stdlib cimport calloc, free, malloc

cdef extern from *:
    int trailing_zeros "__builtin_ctzll"(uint64_t word) noexcept nogil

cdef enum:
    UNIT = 1024
    ORDERS = 11                 # blocks of 1, 2, 4, ... 1024 units
    WHOLE = 1024
    LEVELS = 7                  # enough for 64 ** 7 blocks

cdef struct FreeBlocks:
    # Those of one order. On level 0 a bit for each block, above it a bit for each word below that is not 0,
    # up to the level that is one word.
    uint64_t *levels[LEVELS]
    int top

cdef struct Region:
    uint8_t *start
    Py_ssize_t units
    FreeBlocks free[ORDERS]
    Py_ssize_t outside          # bytes that malloc gave


cdef bint open_blocks(FreeBlocks *blocks, Py_ssize_t count) noexcept:
    cdef int level
    for level in range(LEVELS):
        count = (count + 63) // 64
        blocks.levels[level] = <uint64_t *>calloc(count, sizeof(uint64_t))
        blocks.top = level
        if blocks.levels[level] == NULL or count == 1:
            break
    return blocks.levels[level] != NULL


cdef inline bint has_block(FreeBlocks *blocks, Py_ssize_t number) noexcept:
    return blocks.levels[0][number >> 6] >> (number & 63) & 1


cdef inline void add_block(FreeBlocks *blocks, Py_ssize_t number) noexcept:
    cdef int level
    cdef uint64_t before
    for level in range(blocks.top + 1):
        before = blocks.levels[level][number >> 6]
        blocks.levels[level][number >> 6] = before | <uint64_t>1 << (number & 63)
        if before != 0:
            break
        number >>= 6


cdef inline void remove_block(FreeBlocks *blocks, Py_ssize_t number) noexcept:
    cdef int level
    for level in range(blocks.top + 1):
        blocks.levels[level][number >> 6] &= ~(<uint64_t>1 << (number & 63))
        if blocks.levels[level][number >> 6] != 0:
            break
        number >>= 6


cdef inline Py_ssize_t lowest_block(FreeBlocks *blocks) noexcept:
    """Its number, -1 where there is none."""
    cdef Py_ssize_t number = 0
    cdef int level
    if blocks.levels[blocks.top][0] == 0:
        return -1
    for level in range(blocks.top, -1, -1):
        number = number << 6 | trailing_zeros(blocks.levels[level][number])
    return number


cdef void open_region(Region *region, Py_ssize_t memory) noexcept:
    """A region for so many bytes in use. Where it cannot be had, everything comes from malloc."""
    cdef Py_ssize_t units = (memory + memory // 4) // (UNIT * WHOLE) * WHOLE
    cdef Py_ssize_t number
    cdef bint opened = units > 0
    cdef int order
    if opened:
        region.start = <uint8_t *>malloc(units * UNIT)
        opened = region.start != NULL
    for order in range(ORDERS):
        opened = opened and open_blocks(&region.free[order], units >> order)
    if not opened:
        close_region(region)
        return
    region.units = units
    for number in range(units // WHOLE):
        add_block(&region.free[ORDERS - 1], number)


cdef void close_region(Region *region) noexcept:
    cdef int order, level
    free(region.start)
    for order in range(ORDERS):
        for level in range(LEVELS):
            free(region.free[order].levels[level])
    memset(region, 0, sizeof(Region))


cdef inline int _order(Py_ssize_t units) noexcept:
    """Of the smallest block that has so many units."""
    cdef int order = 0
    while 1 << order < units:
        order += 1
    return order


cdef inline Py_ssize_t free_for(Region *region, Py_ssize_t capacity) noexcept:
    """`capacity`, or as much of it as the largest free block has. It is all of it where no block could have so much."""
    cdef int order
    if region.units == 0 or capacity > WHOLE * UNIT:
        return capacity
    for order in range(ORDERS - 1, -1, -1):
        if lowest_block(&region.free[order]) >= 0:
            return min(capacity, <Py_ssize_t>UNIT << order)
    return 0


cdef uint8_t *take_block(Region *region, Py_ssize_t capacity) noexcept:
    """Memory for so many bytes; NULL where the machine has none."""
    cdef Py_ssize_t units = (capacity + UNIT - 1) // UNIT
    cdef int order = _order(units)
    cdef Py_ssize_t at = -1
    cdef Py_ssize_t end
    cdef uint8_t *data
    if region.units > 0:
        while at < 0 and order < ORDERS:
            at = lowest_block(&region.free[order])
            order += 1
    if at < 0:
        data = <uint8_t *>malloc(capacity)
        if data != NULL:
            region.outside += capacity
        return data
    order -= 1
    remove_block(&region.free[order], at)
    at <<= order
    data = region.start + at * UNIT
    # Nothing is wasted but part of the last unit: what is behind it is free, in blocks that grow towards the end.
    end = at + (1 << order)
    at += units
    while at < end:
        order = trailing_zeros(at)
        add_block(&region.free[order], at >> order)
        at += 1 << order
    return data


cdef void give_block(Region *region, uint8_t *data, Py_ssize_t capacity) noexcept:
    """Takes back what `take_block` gave for so many bytes."""
    cdef Py_ssize_t at, units, number
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
        number = at >> order
        joined = order
        while joined < ORDERS - 1 and has_block(&region.free[joined], number ^ 1):
            remove_block(&region.free[joined], number ^ 1)
            number >>= 1
            joined += 1
        add_block(&region.free[joined], number)
        at += 1 << order
        units -= 1 << order
