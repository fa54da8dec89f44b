# The rules for a record, `send`'s as well as `send_many`'s: what it may be made of, how large it may be, where it goes.
# `index` is its place among those of a `send_many`, for an error to name; -1 for the one of a `send`.

import re
from cpython.number cimport PyNumber_Index

cdef object LEGAL_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")

cdef enum:
    # What a record costs beyond its key, value and headers, at most: for the check against max_request_size.
    RECORD_OVERHEAD = 26

cdef struct Fields:
    # A record as the accumulator takes it. A length of -1 is a null; `headers` are encoded already, NULL for none.
    const uint8_t *key
    const uint8_t *value
    const uint8_t *headers
    PyObject *value_object      # the bytes whose inside `value` is; NULL: there are none, it can only be copied
    Py_ssize_t key_length
    Py_ssize_t value_length
    Py_ssize_t headers_length
    int64_t timestamp


cdef inline void set_fields(Fields *fields, PyObject *key, PyObject *value, PyObject *headers) noexcept:
    """All but the timestamp, from bytes or None, which have to be kept as long."""
    fields.key = fields.value = fields.headers = NULL
    fields.value_object = NULL
    fields.key_length = fields.value_length = -1
    fields.headers_length = 1
    if key != NONE:
        fields.key = <const uint8_t *>BytesData(key)
        fields.key_length = BytesSize(key)
    if value != NONE:
        fields.value = <const uint8_t *>BytesData(value)
        fields.value_length = BytesSize(value)
        if TYPE(value) == <PyTypeObject *>bytes:    # what `bytes()` makes of a subclass may be one
            fields.value_object = value
    if headers != NONE:
        fields.headers = <const uint8_t *>BytesData(headers)
        fields.headers_length = BytesSize(headers)


cdef inline Slice *slices_of(Rows rows) noexcept:
    return NULL if rows is None else rows.slices


cdef inline void set_slices(Fields *fields, const Slice *keys, const Slice *values, Py_ssize_t i) noexcept nogil:
    """Key and value number `i` of columns, where there are any."""
    if keys != NULL:
        fields.key = keys[i].data
        fields.key_length = keys[i].length
    if values != NULL:
        fields.value = values[i].data
        fields.value_length = values[i].length
        fields.value_object = NULL


cdef str place_of(str name, Py_ssize_t index):
    return name if index < 0 else f"{name}s[{index}]"


cdef refuse_empty(Py_ssize_t index):
    raise ValueError(f"{'a record' if index < 0 else f'record {index}'} needs a key or a value; both are None")


cdef str legal_topic(topic):
    """`topic` as a plain string."""
    if not isinstance(topic, str):
        raise TypeError(f"topic must be str, not {type(topic).__name__}")
    return <str>topic if type(topic) is str else str.__str__(topic)     # of an Enum, perhaps, whose str() is another


def check_topic(topic):
    """TypeError or ValueError for what can be no topic's name; the name as a plain string."""
    topic = legal_topic(topic)
    refuse_topic(topic)
    return topic


cdef refuse_topic(str topic):
    if LEGAL_TOPIC.fullmatch(topic) is None or topic in (".", ".."):
        raise ValueError(
            f"{topic!r} is no legal topic name: 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', "
            "but not '.' or '..'"
        )


cdef bytes to_bytes(serializer, topic, headers, data, str name, Py_ssize_t index):
    """A key or a value as bytes, or None."""
    if serializer is not None:
        try:
            data = serializer.serialize(topic, headers, data)
        except Exception as error:
            if index < 0 or isinstance(error, Errors.KafkaError):   # whoever expects that expects it of both
                raise
            raise ValueError(f"{place_of(name, index)}: its serializer raised {error!r}") from error
    if is_plain(<PyObject *>data):
        return <bytes>data
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(
        f"{place_of(name, index)} must be bytes, bytearray, memoryview or None once serialized, "
        f"not {type(data).__name__}"
    )


cdef inline bint is_plain(PyObject *data) noexcept:
    """Whether a key or a value is what it has to be without a serializer, bytes or None."""
    return data == NONE or TYPE(data) == <PyTypeObject *>bytes


cdef object headers_for(headers, Py_ssize_t index):
    """A record's headers as serializers are shown them, and may add some."""
    if headers is None:
        return []
    if not isinstance(headers, (list, tuple)):
        encoded_headers(headers, index)     # raises
    return headers


cdef bytes encoded_headers(headers, Py_ssize_t index):
    """Headers as they are written; None for no headers."""
    if isinstance(headers, (list, tuple)) and len(headers) == 0:
        return None
    if index < 0:
        return encode_headers(headers)
    try:
        return encode_headers(headers)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"headers[{index}]: {error}") from None


cdef inline int32_t size_of_headers(Fields *fields) noexcept:
    """What the metadata of a record's future tells of its headers."""
    return -1 if fields.headers == NULL else headers_payload(fields.headers, fields.headers_length)


cdef inline FutureRecordMetadata future_for(Fields *fields):
    """A record's future, which has yet to be given its cell and index."""
    cdef FutureRecordMetadata future = FutureRecordMetadata.__new__(FutureRecordMetadata)
    future.key_size = <int32_t>fields.key_length
    future.value_size = <int32_t>fields.value_length
    future.headers_size = size_of_headers(fields)
    future.timestamp = fields.timestamp
    return future


cdef inline bint check_size(Fields *fields, Py_ssize_t limit, Py_ssize_t index) except False:
    cdef Py_ssize_t size = BATCH_HEADER_SIZE + RECORD_OVERHEAD + fields.headers_length
    size += (fields.key_length if fields.key_length > 0 else 0)
    size += (fields.value_length if fields.value_length > 0 else 0)
    if size > limit:
        refuse_size(size, limit, index)
    return True


cdef refuse_size(Py_ssize_t size, Py_ssize_t limit, Py_ssize_t index):
    refuse_large(
        f"{'' if index < 0 else f'values[{index}]: '}a record of {size} bytes (key, value and headers encoded) is "
        f"larger than max_request_size, {limit} bytes",
        "Raise max_request_size, and max.message.bytes of the topic if that is less; or send less in a record.",
        index,
    )


cdef refuse_large(str reason, str hint, Py_ssize_t index):
    error = Errors.MessageSizeTooLargeError(reason)
    error.hint = hint       # a broker's refusal has another one
    if index >= 0:
        error.index = index
    raise error


cdef int64_t timestamp_from(timestamp, Py_ssize_t index) except? -1:
    """Milliseconds; a float is a mistake: time.time() * 1000, or seconds."""
    try:
        return PyNumber_Index(timestamp)
    except (TypeError, OverflowError) as error:
        name = "timestamp_ms" if index < 0 else place_of("timestamp", index)
        if isinstance(error, OverflowError):
            raise ValueError(f"{name} must be milliseconds since 1970, and fit 64 bits") from None
        raise TypeError(f"{name} must be int, milliseconds since 1970, not {type(timestamp).__name__}") from None


cdef Queue numbered_queue(TopicQueues queues, partition, partitioner=None):
    """The queue of a partition; None while no partition of that number is known. `partitioner`: whoever chose it."""
    cdef long long number = -1      # what counts is the number, whatever a subclass of int compares as
    said = "partition" if partitioner is None else "what it returns"
    try:
        if isinstance(partition, bool):
            raise TypeError
        number = PyNumber_Index(partition)
    except TypeError:
        said = f"{said} must be int or None, not {type(partition).__name__}"
        raise TypeError(said if partitioner is None else f"the partitioner {partitioner!r}: {said}") from None
    except OverflowError:
        pass
    if number < 0 or number > INT32_MAX:
        said = f"{said} must not be negative, and fit 32 bits: {partition}"
        raise ValueError(said if partitioner is None else f"the partitioner {partitioner!r}: {said}")
    return queues.queue(<int32_t>number) if number < queues.partition_count else None


cdef inline Queue place(
    ProducerBase producer, TopicQueues queues, partition, key, bytes key_bytes, value, bytes value_bytes
):
    """The queue that a record goes to; None where that takes the topic's partitions, which are not known yet."""
    if partition is not None:
        return numbered_queue(queues, partition)
    if producer.partitioner is not None:
        return chosen_queue(producer, queues, key, key_bytes, value, value_bytes)
    if key_bytes is None and producer.placing != ROUND_ROBIN:
        return queues.at_once() if producer.accumulator.binds_at_once else queues
    if queues.partition_count < 1:
        return keyless_queue(producer.placing, queues, size_of(<PyObject *>key_bytes))
    if key_bytes is None:
        return keyed_queue(producer.placing, queues, queues.partition_count, NULL, -1)
    return keyed_queue(producer.placing, queues, queues.partition_count,
                       <const uint8_t *>PyBytes_AS_STRING(key_bytes), PyBytes_GET_SIZE(key_bytes))


cdef Queue chosen_queue(ProducerBase producer, TopicQueues queues, key, bytes key_bytes, value, bytes value_bytes):
    # A partitioner is not asked before there are partitions, and so once.
    if queues.partition_count < 1:
        return None
    partition = producer.partitioner.partition(queues.topic, key, key_bytes, value, value_bytes, producer._cluster())
    if partition is None:
        raise ValueError(f"the partitioner {producer.partitioner!r} gave no partition for topic {queues.topic}")
    queue = numbered_queue(queues, partition, producer.partitioner)
    if queue is None:
        raise ValueError(
            f"the partitioner {producer.partitioner!r} gave partition {partition} for topic {queues.topic}, "
            f"which has {queues.partition_count}: 0 to {queues.partition_count - 1}"
        )
    return queue


cdef inline Py_ssize_t size_of(PyObject *data) noexcept:
    """Of bytes, or -1 of None."""
    return -1 if data == NONE else BytesSize(data)


cdef inline Queue keyless_queue(Placing placing, TopicQueues queues, Py_ssize_t key_length):
    """That of a record to which no partition belongs: librdkafka takes an empty key for none. None for any other."""
    return queues if placing == BY_CRC32 and key_length == 0 else None


cdef inline Queue keyed_queue(
    Placing placing, TopicQueues queues, int32_t count, const uint8_t *key, Py_ssize_t length
):
    """The queue that a record goes to where `count` partitions are known, at least 1. A length of -1 is no key."""
    if placing == ROUND_ROBIN:
        return queues.in_turn(count)
    if length < 0 or length == 0 and placing == BY_CRC32:
        return queues
    return queues.queue(_partition_of(placing, key, length, count))
