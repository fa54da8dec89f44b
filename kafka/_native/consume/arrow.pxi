# Columns in the hands of Arrow's libraries: two structs of pointers, as its C data interface has them.
#
# A struct lives in a capsule until a library takes it over, and says `release` when it needs it no more, in whatever
# thread. Each keeps the RecordColumns alive, whose memory it points into; children may be taken one by one.

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New

cdef enum:
    ARROW_NULLABLE = 2
    MOST_CHILDREN = 7           # of the record batch: topic, partition, offset, timestamp, key, value, headers

# What a struct owns: it lies behind its `private_data`.
cdef struct SchemaParts:
    ArrowSchema *pointers[MOST_CHILDREN]
    ArrowSchema children[MOST_CHILDREN]
    ArrowSchema dictionary

cdef struct ArrayParts:
    PyObject *owner
    const void *buffers[3]
    ArrowArray *pointers[MOST_CHILDREN]
    ArrowArray children[MOST_CHILDREN]
    ArrowArray dictionary


cdef void _release_schema(ArrowSchema *schema) noexcept nogil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release != NULL:
            schema.children[i].release(schema.children[i])
    if schema.dictionary != NULL and schema.dictionary.release != NULL:
        schema.dictionary.release(schema.dictionary)
    free(schema.private_data)
    schema.release = NULL


cdef void _release_array(ArrowArray *array) noexcept with gil:
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i].release != NULL:
            array.children[i].release(array.children[i])
    if array.dictionary != NULL and array.dictionary.release != NULL:
        array.dictionary.release(array.dictionary)
    XDECREF((<ArrayParts *>array.private_data).owner)
    free(array.private_data)
    array.release = NULL


cdef void _end_schema(object capsule) noexcept:
    cdef ArrowSchema *schema = <ArrowSchema *>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef void _end_array(object capsule) noexcept:
    cdef ArrowArray *array = <ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    if array.release != NULL:
        array.release(array)
    free(array)


cdef ArrowSchema *_describe(ArrowSchema *schema, const char *format, const char *name, int children) except NULL:
    cdef SchemaParts *parts = <SchemaParts *>calloc(1, sizeof(SchemaParts))
    cdef int i
    if parts == NULL:
        raise MemoryError
    for i in range(children):
        parts.pointers[i] = &parts.children[i]
    schema.format = format
    schema.name = name
    schema.n_children = children
    schema.children = parts.pointers
    schema.private_data = parts
    schema.release = _release_schema
    return schema


cdef object arrow_schema():
    """A capsule with the types of a RecordColumns."""
    cdef ArrowSchema *batch = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
    cdef ArrowSchema *child
    if batch == NULL:
        raise MemoryError
    capsule = PyCapsule_New(batch, "arrow_schema", _end_schema)
    _describe(batch, "+s", "", 7)
    child = _describe(batch.children[0], "c", "topic", 0)
    child.dictionary = _describe(&(<SchemaParts *>child.private_data).dictionary, "u", "", 0)
    _describe(batch.children[1], "i", "partition", 0)
    _describe(batch.children[2], "l", "offset", 0)
    _describe(batch.children[3], "tsm:UTC", "timestamp", 0)
    _describe(batch.children[4], "z", "key", 0).flags = ARROW_NULLABLE
    _describe(batch.children[5], "z", "value", 0).flags = ARROW_NULLABLE
    child = _describe(batch.children[6], "+l", "headers", 1)
    child = _describe(child.children[0], "+s", "item", 2)
    _describe(child.children[0], "u", "key", 0)
    _describe(child.children[1], "z", "value", 0).flags = ARROW_NULLABLE
    return capsule


cdef ArrowArray *_point(
    ArrowArray *array, owner, Py_ssize_t length, int children, int buffers, Column first=None, Column second=None
) except NULL:
    """Make it an array of so many items; its buffers: bits of what is not null (all are), then these."""
    cdef ArrayParts *parts = <ArrayParts *>calloc(1, sizeof(ArrayParts))
    cdef int i
    if parts == NULL:
        raise MemoryError
    for i in range(children):
        parts.pointers[i] = &parts.children[i]
    if first is not None:
        parts.buffers[1] = first.data
    if second is not None:
        parts.buffers[2] = second.data
    INCREF(<PyObject *>owner)
    parts.owner = <PyObject *>owner
    array.length = length
    array.n_buffers = buffers
    array.buffers = parts.buffers
    array.n_children = children
    array.children = parts.pointers
    array.private_data = parts
    array.release = _release_array
    return array


cdef int _point_at_bytes(ArrowArray *array, owner, BytesColumn column) except -1:
    _point(array, owner, column.count, 0, 3, column.ends, column.bytes)
    array.null_count = column.nulls
    if column.nulls:
        array.buffers[0] = column.valid.data
    return 0


cdef object arrow_array(RecordColumns columns):
    """A capsule with the columns, and where they are from."""
    cdef ArrowArray *batch = <ArrowArray *>calloc(1, sizeof(ArrowArray))
    cdef ArrowArray *child
    cdef HeadersColumn headers = columns.headers
    cdef Py_ssize_t count = columns.count
    cdef BytesColumn names
    cdef Py_ssize_t i
    if batch == NULL:
        raise MemoryError
    capsule = PyCapsule_New(batch, "arrow_array", _end_array)
    if columns.topic_names is None:
        columns.topic_column = new_column(1, b"b")
        columns.partition_column = new_column(4, b"i")
        names = BytesColumn.__new__(BytesColumn)
        names.put_object(columns.topic.encode())
        if not (columns.topic_column.reserve(count) and columns.partition_column.reserve(4 * count)):
            raise MemoryError
        memset(columns.topic_column.data, 0, count)
        for i in range(count):
            columns.partition_column.put32(columns.partition)
        columns.topic_names = names
    _point(batch, columns, count, 7, 1)
    child = _point(batch.children[0], columns, count, 0, 2, columns.topic_column)
    child.dictionary = &(<ArrayParts *>child.private_data).dictionary
    _point_at_bytes(child.dictionary, columns, columns.topic_names)
    _point(batch.children[1], columns, count, 0, 2, columns.partition_column)
    _point(batch.children[2], columns, count, 0, 2, columns.offset_column)
    _point(batch.children[3], columns, count, 0, 2, columns.timestamp_column)
    _point_at_bytes(batch.children[4], columns, columns.keys)
    _point_at_bytes(batch.children[5], columns, columns.values)
    child = _point(batch.children[6], columns, count, 1, 2, headers.ends)
    child = _point(child.children[0], columns, headers.keys.count, 2, 1)
    _point_at_bytes(child.children[0], columns, headers.keys)
    _point_at_bytes(child.children[1], columns, headers.values)
    return capsule
