# A record as a consumer's user has it.
#
# It behaves as the namedtuple of kafka-python, but its raw fields are made when they are asked for: most programs look
# at one or two of the thirteen.

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    void GC_Track "PyObject_GC_Track"(PyObject *object)
    void GC_UnTrack "PyObject_GC_UnTrack"(PyObject *object)
    object RichCompare "PyObject_RichCompare"(object left, object right, int operation)

cdef tuple RECORD_FIELDS = (
    "topic", "partition", "leader_epoch", "offset", "timestamp", "timestamp_type", "key", "value", "headers",
    "checksum", "serialized_key_size", "serialized_value_size", "serialized_header_size",
)


@cython.final
@cython.freelist(1024)
cdef class ConsumerRecord:
    """One record as read.

    `timestamp` is in ms since 1970 UTC; `timestamp_type` is 0 where the producer set it, 1 where the broker did, -1 for
    none. `key` and `value` are bytes or None, or what the deserializers made of them; `headers` is a list of (str,
    bytes or None). `leader_epoch` is None where it is not known. `checksum` is always None: records have none since
    Kafka 0.11. The sizes are in bytes, -1 where there is no key, value or header.

    Its fields have the order of the namedtuple that kafka-python gives: it unpacks, compares and hashes like that one,
    though it is no tuple.
    """

    cdef PyObject *page         # a Page, owned; no attribute: the collector would clear that before __dealloc__
    cdef PyObject *newer        # its neighbours among the records of the page that are alive, borrowed
    cdef PyObject *older
    cdef readonly int64_t offset
    cdef readonly int64_t timestamp
    cdef const uint8_t *key_at  # in the page's memory
    cdef const uint8_t *value_at
    cdef const uint8_t *headers_at  # the encoded section
    cdef int32_t key_size       # -1: null
    cdef int32_t value_size
    cdef int32_t headers_size   # of the encoded section
    cdef int32_t header_size    # of its keys and values
    cdef bint has_key           # `own_key` is what `key` gives, rather than bytes of the page
    cdef bint has_value
    cdef bint has_headers
    cdef object own_key
    cdef object own_value
    cdef object own_headers

    _fields = RECORD_FIELDS
    _field_defaults = {}
    __match_args__ = RECORD_FIELDS

    def __init__(self, str topic, int32_t partition, leader_epoch, int64_t offset, int64_t timestamp,
                 int timestamp_type, key, value, headers, checksum=None, int32_t serialized_key_size=-1,
                 int32_t serialized_value_size=-1, int32_t serialized_header_size=-1):
        cdef Page page
        if self.page != NULL:
            raise TypeError("a ConsumerRecord does not change")
        page = Page.__new__(Page)
        page.topic = topic
        page.partition = partition
        page.leader_epoch = -1 if leader_epoch is None else leader_epoch
        page.timestamp_type = timestamp_type
        self.settle(page)
        self.offset = offset
        self.timestamp = timestamp
        self.own_key, self.own_value, self.own_headers = key, value, headers
        self.has_key = self.has_value = self.has_headers = True
        self.key_size = serialized_key_size
        self.value_size = serialized_value_size
        self.header_size = serialized_header_size

    cdef void settle(self, Page page):
        """Become a record of this page."""
        INCREF(<PyObject *>page)
        self.page = <PyObject *>page
        self.older = page.alive
        if page.alive != NULL:
            (<ConsumerRecord>page.alive).newer = <PyObject *>self
        page.alive = <PyObject *>self

    def __dealloc__(self):
        cdef PyObject *page = self.page
        if page == NULL:
            return
        if self.newer != NULL:
            (<ConsumerRecord>self.newer).older = self.older
        else:
            (<Page>page).alive = self.older
        if self.older != NULL:
            (<ConsumerRecord>self.older).newer = self.newer
        elif (<Page>page).alive == NULL and (<Page>page).is_left:
            (<Page>page).free()
        self.page = NULL
        XDECREF(page)

    cdef Page home(self):
        if self.page == NULL:
            raise TypeError("a ConsumerRecord whose __init__ has not run")
        return <Page>self.page

    cdef int own(self) except -1:
        """Have bytes of its own, so that the page's memory may go."""
        self.get_key()
        self.get_value()
        self.get_headers()
        return 0

    cdef inline object get_key(self):
        if not self.has_key:
            if self.key_size >= 0:
                self.own_key = PyBytes_FromStringAndSize(<const char *>self.key_at, self.key_size)
            self.has_key = True
        return self.own_key

    cdef inline object get_value(self):
        if not self.has_value:
            if self.value_size >= 0:
                self.own_value = PyBytes_FromStringAndSize(<const char *>self.value_at, self.value_size)
            self.has_value = True
        return self.own_value

    cdef list get_headers(self):
        cdef Cursor c
        cdef int64_t count = 0
        cdef Py_ssize_t memory = PY_SSIZE_T_MAX
        if not self.has_headers:
            c.at = self.headers_at
            c.end = c.at + self.headers_size
            self.header_size = headers_payload(c.at, self.headers_size)
            _next_varint(&c, 5, &count)
            # They were looked through when it was read, also for how much they take.
            self.own_headers = list(_next_headers(&c, count, &memory))
            self.has_headers = True
        return self.own_headers

    @property
    def topic(self):
        return self.home().topic

    @property
    def partition(self):
        return self.home().partition

    @property
    def leader_epoch(self):
        cdef int32_t epoch = self.home().leader_epoch
        return None if epoch < 0 else epoch

    @property
    def timestamp_type(self):
        return self.home().timestamp_type

    @property
    def key(self):
        return self.get_key()

    @property
    def value(self):
        return self.get_value()

    @property
    def headers(self):
        return self.get_headers() if self.page != NULL else []

    @property
    def checksum(self):
        return None

    @property
    def serialized_key_size(self):
        return self.key_size

    @property
    def serialized_value_size(self):
        return self.value_size

    @property
    def serialized_header_size(self):
        self.headers
        return self.header_size

    # -- as a namedtuple ---------------------------------------------------------------------------------------------

    cdef tuple fields(self):
        cdef Page page = self.home()
        return (
            page.topic, page.partition, self.leader_epoch, self.offset, self.timestamp, page.timestamp_type,
            self.get_key(), self.get_value(), self.get_headers(), None, self.key_size, self.value_size,
            self.header_size,
        )

    @classmethod
    def _make(cls, fields):
        """A record of these thirteen fields."""
        return cls(*fields)

    def _asdict(self):
        """A dict of the fields."""
        return dict(zip(RECORD_FIELDS, self.fields()))

    def _replace(self, **fields):
        """The same record with other values for these fields; ValueError for names that are none."""
        if not fields.keys() <= set(RECORD_FIELDS):
            raise ValueError(f"Got unexpected field names: {sorted(fields.keys() - set(RECORD_FIELDS))!r}")
        return ConsumerRecord(**{**self._asdict(), **fields})

    def __len__(self):
        return len(RECORD_FIELDS)

    def __getitem__(self, index):
        return self.fields()[index]

    def __iter__(self):
        return iter(self.fields())

    def __contains__(self, item):
        return item in self.fields()

    def count(self, item):
        """How many of the fields equal it."""
        return self.fields().count(item)

    def index(self, item, *bounds):
        """The first of the fields that equals it; ValueError for none."""
        return self.fields().index(item, *bounds)

    def __richcmp__(self, other, int operation):
        if type(other) is ConsumerRecord:
            other = (<ConsumerRecord>other).fields()
        elif not isinstance(other, tuple):
            return NotImplemented
        return RichCompare(self.fields(), other, operation)

    def __hash__(self):
        return hash(self.fields())

    def __reduce__(self):
        return ConsumerRecord, self.fields()

    def __repr__(self):
        return f"ConsumerRecord({', '.join(f'{name}={field!r}' for name, field in zip(RECORD_FIELDS, self.fields()))})"
