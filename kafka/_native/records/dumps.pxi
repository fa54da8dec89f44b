# Objects as JSON text, byte for byte as the standard library's `json.dumps` writes it.
#
# Only what is plain: None, bool, str, float, int of 64 bits, lists and tuples of these, dicts with str for keys; no
# subclass of any. For all else `plain_json` gives None, and the standard library has the word. Nobody's code runs in
# here, so nothing that is being written changes meanwhile.

cdef extern from "Python.h":
    bint DictNext "PyDict_Next"(PyObject *items, Py_ssize_t *position, PyObject **key, PyObject **value) noexcept
    Py_ssize_t SequenceSize "PySequence_Fast_GET_SIZE"(PyObject *items) noexcept        # of a list or a tuple
    PyObject *SequenceItem "PySequence_Fast_GET_ITEM"(PyObject *items, Py_ssize_t index) noexcept
    double FloatValue "PyFloat_AS_DOUBLE"(PyObject *number) noexcept
    int TextKind "PyUnicode_KIND"(PyObject *text) noexcept
    int ucs1 "PyUnicode_1BYTE_KIND"
    uint32_t CharAt "PyUnicode_READ"(int kind, const void *data, Py_ssize_t index) noexcept
    char *PyOS_double_to_string(double number, char format, int precision, int flags, int *kind)
    int Py_DTSF_ADD_DOT_0
    void PyMem_Free(void *p) noexcept
    void PyErr_Clear() noexcept

cdef extern from *:
    """
    static inline long long kt_whole(PyObject *number, int *overflow) {
        return PyLong_AsLongLongAndOverflow(number, overflow);
    }
    """
    long long whole_number "kt_whole"(PyObject *number, int *overflow) noexcept

cdef enum:
    DEEPEST = 64            # levels
    LONGEST = 1 << 20       # characters of a string
    KEPT = 1 << 20          # bytes of room that are kept for the next call

cdef struct Text:
    uint8_t *data
    Py_ssize_t size
    Py_ssize_t capacity

cdef Text JSON_TEXT         # of the one call at a time that there is
cdef const char *HEX = "0123456789abcdef"


def plain_json(data, *, bint compact):
    """`data` as JSON in bytes; None for what the standard library has to write, or to refuse.

    `compact`: what `dumps(data, ensure_ascii=False, separators=(",", ":"))` gives, in UTF-8; else what `dumps(data)`
    gives, in ASCII.
    """
    cdef bytes made = None
    JSON_TEXT.size = 0
    if dump(&JSON_TEXT, <PyObject *>data, compact, 0):
        made = PyBytes_FromStringAndSize(<char *>JSON_TEXT.data, JSON_TEXT.size)
    if JSON_TEXT.capacity > KEPT:
        free(JSON_TEXT.data)
        JSON_TEXT.data = NULL
        JSON_TEXT.capacity = 0
    return made


cdef inline bint text_room(Text *text, Py_ssize_t size) noexcept:
    cdef uint8_t *data
    cdef Py_ssize_t capacity
    if text.capacity - text.size >= size:
        return True
    capacity = 2 * text.capacity + size + 256
    data = <uint8_t *>realloc(text.data, capacity)
    if data == NULL:
        return False
    text.data = data
    text.capacity = capacity
    return True


cdef inline bint put_text(Text *text, const char *characters, Py_ssize_t size) noexcept:
    if not text_room(text, size):
        return False
    memcpy(text.data + text.size, characters, size)
    text.size += size
    return True


cdef bint dump(Text *text, PyObject *value, bint compact, int depth) noexcept:
    """False where it is not plain."""
    cdef PyTypeObject *kind = TYPE(value)
    cdef int overflow = 0
    cdef long long number
    if kind == <PyTypeObject *>str:
        return dump_str(text, value, compact)
    if kind == <PyTypeObject *>int:
        number = whole_number(value, &overflow)
        return overflow == 0 and put_whole(text, number)
    if kind == <PyTypeObject *>dict:
        return dump_dict(text, value, compact, depth)
    if kind == <PyTypeObject *>float:
        return dump_float(text, FloatValue(value))
    if value == NONE:
        return put_text(text, "null", 4)
    if value == TRUE:
        return put_text(text, "true", 4)
    if value == FALSE:
        return put_text(text, "false", 5)
    if kind == <PyTypeObject *>list or kind == <PyTypeObject *>tuple:
        return dump_list(text, value, compact, depth)
    return False


cdef bint dump_dict(Text *text, PyObject *items, bint compact, int depth) noexcept:
    cdef Py_ssize_t position = 0
    cdef PyObject *key = NULL
    cdef PyObject *value = NULL
    cdef bint first = True
    if depth >= DEEPEST or not put_text(text, "{", 1):
        return False
    while DictNext(items, &position, &key, &value):
        if not first and not put_text(text, ", ", 1 if compact else 2):
            return False
        first = False
        if TYPE(key) != <PyTypeObject *>str or not dump_str(text, key, compact):
            return False
        if not put_text(text, ": ", 1 if compact else 2) or not dump(text, value, compact, depth + 1):
            return False
    return put_text(text, "}", 1)


cdef bint dump_list(Text *text, PyObject *items, bint compact, int depth) noexcept:
    cdef Py_ssize_t i
    if depth >= DEEPEST or not put_text(text, "[", 1):
        return False
    for i in range(SequenceSize(items)):
        if i > 0 and not put_text(text, ", ", 1 if compact else 2):
            return False
        if not dump(text, SequenceItem(items, i), compact, depth + 1):
            return False
    return put_text(text, "]", 1)


cdef bint put_whole(Text *text, long long number) noexcept:
    cdef char digits[24]
    cdef int at = sizeof(digits)
    cdef uint64_t rest = <uint64_t>number if number >= 0 else 0 - <uint64_t>number
    while True:
        at -= 1
        digits[at] = <char>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if number < 0:
        at -= 1
        digits[at] = 45     # -
    return put_text(text, digits + at, sizeof(digits) - at)


cdef bint dump_float(Text *text, double number) noexcept:
    """As `float.__repr__`; not plain where that is no number."""
    cdef char *digits
    cdef bint done
    if number - number != 0:
        return False        # NaN and the infinities
    if number != 0 and -1e15 < number < 1e15 and <double><long long>number == number:
        return put_whole(text, <long long>number) and put_text(text, ".0", 2)
    digits = PyOS_double_to_string(number, c"r", 0, Py_DTSF_ADD_DOT_0, NULL)
    if digits == NULL:
        PyErr_Clear()       # no memory: the standard library will say so
        return False
    done = put_text(text, digits, strlen(digits))
    PyMem_Free(digits)
    return done


cdef inline bint is_ordinary(uint64_t eight) noexcept nogil:
    """Whether none of eight ASCII characters is a control character, DEL, a quote or a backslash."""
    cdef uint64_t ones = 0x0101010101010101
    cdef uint64_t quotes = eight ^ (ones * 0x22)
    cdef uint64_t slashes = eight ^ (ones * 0x5C)
    cdef uint64_t deletes = eight ^ (ones * 0x7F)
    # All are below 0x80, so in each a borrow shows in the high bit, of the lowest at the least.
    return ((eight - ones * 0x20) | (quotes - ones) | (slashes - ones) | (deletes - ones)) & (ones * 0x80) == 0


cdef bint dump_str(Text *text, PyObject *string, bint compact) noexcept:
    cdef Py_ssize_t length = ascii_size(string)
    cdef const void *data = ascii_data(string)
    cdef int kind = TextKind(string)
    cdef bint ascii = is_compact_ascii(string)
    cdef uint8_t *p
    cdef Py_ssize_t i = 0
    cdef uint64_t eight
    cdef uint32_t character
    if kind == 0 or length > LONGEST:   # 0: made by an extension in the form before Python 3.3
        return False
    if not text_room(text, (12 if kind == 4 else 6) * length + 2):
        return False
    p = text.data + text.size
    p[0] = 34
    p += 1
    while i < length:
        if ascii and i + 8 <= length:
            memcpy(&eight, <const uint8_t *>data + i, 8)
            if is_ordinary(eight):
                memcpy(p, &eight, 8)
                p += 8
                i += 8
                continue
        character = CharAt(kind, data, i)
        i += 1
        if character < 0x80:
            p = put_ascii(p, character, compact)
        elif not compact:
            if character >= 0x10000:
                character -= 0x10000
                p = put_escape(p, 0xD800 | (character >> 10))
                character = 0xDC00 | (character & 0x3FF)
            p = put_escape(p, character)
        elif character < 0x800:
            p[0] = <uint8_t>(0xC0 | (character >> 6))
            p[1] = <uint8_t>(0x80 | (character & 0x3F))
            p += 2
        elif character < 0x10000:
            if 0xD800 <= character < 0xE000:
                return False    # half a pair, which UTF-8 cannot say
            p[0] = <uint8_t>(0xE0 | (character >> 12))
            p[1] = <uint8_t>(0x80 | ((character >> 6) & 0x3F))
            p[2] = <uint8_t>(0x80 | (character & 0x3F))
            p += 3
        else:
            p[0] = <uint8_t>(0xF0 | (character >> 18))
            p[1] = <uint8_t>(0x80 | ((character >> 12) & 0x3F))
            p[2] = <uint8_t>(0x80 | ((character >> 6) & 0x3F))
            p[3] = <uint8_t>(0x80 | (character & 0x3F))
            p += 4
    p[0] = 34
    text.size = p + 1 - text.data
    return True


cdef inline uint8_t *put_ascii(uint8_t *p, uint32_t character, bint compact) noexcept nogil:
    cdef uint8_t letter = 0
    if character == 34 or character == 92:
        letter = <uint8_t>character
    elif character >= 0x20 and (character != 0x7F or compact):
        p[0] = <uint8_t>character
        return p + 1
    elif character == 10:
        letter = 110    # n
    elif character == 13:
        letter = 114    # r
    elif character == 9:
        letter = 116    # t
    elif character == 8:
        letter = 98     # b
    elif character == 12:
        letter = 102    # f
    else:
        return put_escape(p, character)
    p[0] = 92
    p[1] = letter
    return p + 2


cdef inline uint8_t *put_escape(uint8_t *p, uint32_t unit) noexcept nogil:
    p[0] = 92
    p[1] = 117          # u
    p[2] = HEX[unit >> 12]
    p[3] = HEX[(unit >> 8) & 15]
    p[4] = HEX[(unit >> 4) & 15]
    p[5] = HEX[unit & 15]
    return p + 6
