# Lines of JSON: checked to be what RFC 8259 calls JSON, and cut into records with the field that is their key.

cdef enum:
    JSON_DEPTH = 1024       # objects and arrays inside one another

cdef enum JsonFault:
    JSON_GOOD
    JSON_ENDS
    JSON_UNEXPECTED
    JSON_CONTROL
    JSON_ESCAPE
    JSON_UTF8
    JSON_DEEP

cdef tuple JSON_FAULTS = (
    "", "it ends too early", "unexpected", "a control character inside a string", "an escape that is none",
    "bytes that are no UTF-8", f"more than {JSON_DEPTH} objects and arrays inside one another",
)

# The bytes that stand for themselves in a string, but for those of UTF-8 sequences.
cdef uint8_t json_plain[256]
for json_byte in range(256):
    json_plain[json_byte] = 0x20 <= json_byte < 0x80 and json_byte not in b'"\\'
del json_byte

cdef struct JsonLine:
    const uint8_t *name         # of the field that is looked for, NULL for none
    Py_ssize_t name_length
    const uint8_t *field        # its value's bytes, of the last one if there are several; NULL where there is none
    const uint8_t *field_end
    JsonFault fault


cdef inline const uint8_t *_json_blank(const uint8_t *p, const uint8_t *end) noexcept nogil:
    while p < end and (p[0] == c" " or p[0] == c"\t" or p[0] == c"\r"):
        p += 1
    return p


cdef inline int _hex_digit(uint8_t c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    c |= 0x20
    return c - c"a" + 10 if c"a" <= c <= c"f" else -1


cdef inline int _json_utf16(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """What the four hexadecimal digits at `p` say, or -1."""
    cdef int unit = 0
    cdef int digit
    cdef int i
    if end - p < 4:
        return -1
    for i in range(4):
        digit = _hex_digit(p[i])
        if digit < 0:
            return -1
        unit = unit << 4 | digit
    return unit


cdef inline int _utf8_length(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Bytes of the character of several bytes at `p`; 0 where there is none."""
    cdef uint8_t c = p[0]
    cdef uint8_t lowest = 0x80
    cdef uint8_t highest = 0xBF
    cdef int length
    cdef int i
    if 0xC2 <= c <= 0xDF:
        length = 2
    elif 0xE0 <= c <= 0xEF:
        length = 3
        if c == 0xE0:
            lowest = 0xA0       # fewer bytes would do
        elif c == 0xED:
            highest = 0x9F      # surrogates
    elif 0xF0 <= c <= 0xF4:
        length = 4
        if c == 0xF0:
            lowest = 0x90
        elif c == 0xF4:
            highest = 0x8F      # behind U+10FFFF
    else:
        return 0
    if end - p < length or not lowest <= p[1] <= highest:
        return 0
    for i in range(2, length):
        if p[i] & 0xC0 != 0x80:
            return 0
    return length


cdef const uint8_t *_json_string(const uint8_t *p, const uint8_t *end, JsonLine *line) noexcept nogil:
    """Behind the quote that closes the string whose inside begins at `p`; where it goes wrong, with the fault."""
    cdef int length
    while True:
        while p < end and json_plain[p[0]]:
            p += 1
        if p == end:
            line.fault = JSON_ENDS
            return p
        if p[0] == c'"':
            return p + 1
        if p[0] == c"\\":
            if p + 1 == end:
                line.fault = JSON_ENDS
                return end
            if p[1] == c"u":
                if _json_utf16(p + 2, end) < 0:
                    line.fault = JSON_ESCAPE
                    return p
                p += 6
            elif (p[1] == c'"' or p[1] == c"\\" or p[1] == c"/" or p[1] == c"b" or p[1] == c"f" or p[1] == c"n"
                    or p[1] == c"r" or p[1] == c"t"):
                p += 2
            else:
                line.fault = JSON_ESCAPE
                return p
        elif p[0] < 0x20:
            line.fault = JSON_CONTROL
            return p
        else:
            length = _utf8_length(p, end)
            if length == 0:
                line.fault = JSON_UTF8
                return p
            p += length


cdef const uint8_t *_json_digits(const uint8_t *p, const uint8_t *end, JsonLine *line) noexcept nogil:
    """Behind one digit or more."""
    if p == end or not c"0" <= p[0] <= c"9":
        line.fault = JSON_ENDS if p == end else JSON_UNEXPECTED
        return p
    while p < end and c"0" <= p[0] <= c"9":
        p += 1
    return p


cdef const uint8_t *_json_number(const uint8_t *p, const uint8_t *end, JsonLine *line) noexcept nogil:
    if p[0] == c"-":
        p += 1
    if p < end and p[0] == c"0":
        p += 1
    else:
        p = _json_digits(p, end, line)
    if line.fault == JSON_GOOD and p < end and p[0] == c".":
        p = _json_digits(p + 1, end, line)
    if line.fault == JSON_GOOD and p < end and (p[0] == c"e" or p[0] == c"E"):
        p += 1
        if p < end and (p[0] == c"+" or p[0] == c"-"):
            p += 1
        p = _json_digits(p, end, line)
    return p


cdef const uint8_t *_json_word(const uint8_t *p, const uint8_t *end, const char *word, JsonLine *line) noexcept nogil:
    while word[0]:
        if p == end or p[0] != <uint8_t>word[0]:
            line.fault = JSON_ENDS if p == end else JSON_UNEXPECTED
            return p
        p += 1
        word += 1
    return p


cdef const uint8_t *_json_scalar(const uint8_t *p, const uint8_t *end, JsonLine *line) noexcept nogil:
    """Behind the value at `p` that is neither object nor array."""
    if p == end:
        line.fault = JSON_ENDS
        return p
    if p[0] == c'"':
        return _json_string(p + 1, end, line)
    if p[0] == c"-" or c"0" <= p[0] <= c"9":
        return _json_number(p, end, line)
    if p[0] == c"t":
        return _json_word(p, end, "true", line)
    if p[0] == c"f":
        return _json_word(p, end, "false", line)
    if p[0] == c"n":
        return _json_word(p, end, "null", line)
    line.fault = JSON_UNEXPECTED
    return p


cdef inline const uint8_t *_json_character(const uint8_t *p, uint8_t *out, int *length) noexcept nogil:
    """Behind the character at `p` of a string that was checked. In UTF-8 it goes to `out`, room for 4 bytes; half a
    surrogate pair is none: its `length` is 0."""
    cdef int code, low
    length[0] = 1
    if p[0] != c"\\":
        out[0] = p[0]           # of several bytes, one after the other
        return p + 1
    if p[1] != c"u":
        if p[1] == c"b":
            out[0] = 8
        elif p[1] == c"f":
            out[0] = 12
        elif p[1] == c"n":
            out[0] = 10
        elif p[1] == c"r":
            out[0] = 13
        elif p[1] == c"t":
            out[0] = 9
        else:
            out[0] = p[1]
        return p + 2
    code = _json_utf16(p + 2, p + 6)
    p += 6
    if 0xD800 <= code <= 0xDFFF:
        # A quote ends the string at the latest: what is looked at is there.
        low = -1
        if code < 0xDC00 and p[0] == c"\\" and p[1] == c"u":
            low = _json_utf16(p + 2, p + 6)
        if not 0xDC00 <= low <= 0xDFFF:
            length[0] = 0
            return p
        p += 6
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
    if code < 0x80:
        out[0] = <uint8_t>code
    elif code < 0x800:
        out[0] = <uint8_t>(0xC0 | code >> 6)
        length[0] = 2
    elif code < 0x10000:
        out[0] = <uint8_t>(0xE0 | code >> 12)
        length[0] = 3
    else:
        out[0] = <uint8_t>(0xF0 | code >> 18)
        length[0] = 4
    for low in range(1, length[0]):
        out[low] = <uint8_t>(0x80 | (code >> 6 * (length[0] - 1 - low)) & 0x3F)
    return p


cdef bint _json_is(const uint8_t *p, const uint8_t *end, const JsonLine *line) noexcept nogil:
    """Whether the string between `p` and `end`, which was checked, is the name that is looked for."""
    cdef const uint8_t *name = line.name
    cdef Py_ssize_t left = line.name_length
    cdef uint8_t out[4]
    cdef int length = 0
    if end - p == left and memcmp(p, name, left) == 0:
        return memchr(name, c"\\", left) == NULL
    if end - p <= left or memchr(p, c"\\", end - p) == NULL:
        return False
    while p < end:
        p = _json_character(p, out, &length)
        if length == 0 or length > left or memcmp(out, name, length) != 0:
            return False
        name += length
        left -= length
    return left == 0


cdef enum JsonState:
    JSON_VALUE      # what has to come next
    JSON_NAME
    JSON_AFTER      # a comma, or what closes; at the outermost, the end


cdef const uint8_t *_json_line(const uint8_t *p, const uint8_t *end, JsonLine *line) noexcept nogil:
    """Checks the line from `p` to `end`, and finds its field. Where it goes wrong, with the fault."""
    cdef uint8_t closers[JSON_DEPTH]    # of the objects and arrays that are open
    cdef int depth = 0
    cdef JsonState state = JSON_VALUE
    cdef bint wanted = False            # the value that comes next, or the one that is open, is the field's
    cdef const uint8_t *name
    line.field = line.field_end = NULL
    line.fault = JSON_GOOD
    while True:
        p = _json_blank(p, end)
        if state == JSON_AFTER and depth == 0:
            if p < end:
                line.fault = JSON_UNEXPECTED
            return p
        if p == end:
            line.fault = JSON_ENDS
            return p
        if state == JSON_VALUE:
            if wanted and depth == 1:
                line.field = p
            if p[0] != c"{" and p[0] != c"[":
                p = _json_scalar(p, end, line)
                if line.fault != JSON_GOOD:
                    return p
                state = JSON_AFTER
            else:
                if depth == JSON_DEPTH:
                    line.fault = JSON_DEEP
                    return p
                state = JSON_NAME if p[0] == c"{" else JSON_VALUE
                closers[depth] = c"}" if p[0] == c"{" else c"]"
                depth += 1
                p = _json_blank(p + 1, end)
                if p == end or p[0] != closers[depth - 1]:
                    continue
                depth -= 1
                p += 1
                state = JSON_AFTER
        elif state == JSON_NAME:
            if p[0] != c'"':
                line.fault = JSON_UNEXPECTED
                return p
            name = p + 1
            p = _json_string(name, end, line)
            if line.fault != JSON_GOOD:
                return p
            wanted = wanted or depth == 1 and line.name != NULL and _json_is(name, p - 1, line)
            p = _json_blank(p, end)
            if p == end or p[0] != c":":
                line.fault = JSON_ENDS if p == end else JSON_UNEXPECTED
                return p
            p += 1
            state = JSON_VALUE
            continue
        elif p[0] == c",":
            p += 1
            state = JSON_NAME if closers[depth - 1] == c"}" else JSON_VALUE
            continue
        elif p[0] == closers[depth - 1]:
            p += 1
            depth -= 1
        else:
            line.fault = JSON_UNEXPECTED
            return p
        if wanted and depth == 1:       # a value has ended
            line.field_end = p
            wanted = False


cdef bytes _json_text(const uint8_t *p, const uint8_t *end):
    """What the string between `p` and `end`, which was checked, says; None for half a surrogate pair."""
    cdef bytes out
    cdef uint8_t *at
    cdef int length = 0
    if memchr(p, c"\\", end - p) == NULL:
        return PyBytes_FromStringAndSize(<const char *>p, end - p)
    out = PyBytes_FromStringAndSize(NULL, end - p)      # an escape is longer than what it stands for
    at = <uint8_t *>PyBytes_AS_STRING(out)
    while p < end:
        p = _json_character(p, at, &length)
        if length == 0:
            return None
        at += length
    return out[:at - <uint8_t *>PyBytes_AS_STRING(out)]


cdef str _json_fault(const uint8_t *start, const uint8_t *p, JsonFault fault):
    if fault == JSON_UNEXPECTED:
        return f"is no JSON: {chr(p[0])!a} is not what can stand there, at byte {p - start}"
    return f"is no JSON: {JSON_FAULTS[<int>fault]}, at byte {p - start}"


def scan_json(const uint8_t[::1] data not None, Py_ssize_t start, bytes field=None, bint final=False):
    """Cuts `data` from byte `start` on into lines of JSON: (values, keys, consumed, lines, problem).

    `values`: each line's bytes without its end (LF or CR LF); lines of blanks are none. `keys`: what the field of that
    name has in each line's object, strings as UTF-8, None for null, anything else as the JSON it is; the last one if it
    has several; empty without `field`. `consumed`: where the line begins that is not all there; with `final` the data
    ends here, and so does the last line. `lines`: how many were consumed, those of blanks too.

    The first line that is not what RFC 8259 calls JSON, or has no such field, ends it: `problem` is its number, from 0
    on, and what is wrong; else None. What is behind it is not looked at.
    """
    cdef Py_ssize_t size = data.shape[0]
    if not 0 <= start <= size:
        raise ValueError(f"start must be within the {size} bytes, not {start}")
    cdef list values = []
    cdef list keys = []
    cdef Py_ssize_t lines = 0
    cdef JsonLine line
    cdef const uint8_t *base
    cdef const uint8_t *end
    cdef const uint8_t *at
    cdef const uint8_t *line_end
    cdef const uint8_t *trimmed
    cdef const uint8_t *p
    cdef str problem = None
    line.name = NULL
    line.name_length = 0
    if field is not None:
        line.name = <const uint8_t *>PyBytes_AS_STRING(field)
        line.name_length = PyBytes_GET_SIZE(field)
    if start == size:
        return values, keys, start, 0, None
    base = &data[0]
    end = base + size
    at = base + start
    while at < end:
        line_end = <const uint8_t *>memchr(at, c"\n", end - at)
        if line_end == NULL:
            if not final:
                break
            line_end = end
        trimmed = line_end
        if line_end < end and line_end > at and (line_end - 1)[0] == c"\r":
            trimmed -= 1
        if _json_blank(at, trimmed) < trimmed:
            p = _json_line(at, trimmed, &line)
            if line.fault != JSON_GOOD:
                problem = _json_fault(at, p, line.fault)
            elif field is not None:
                if line.field == NULL:
                    problem = f"there is no field {field.decode(errors='backslashreplace')!r}"
                elif line.field[0] == c"n":
                    keys.append(None)
                elif line.field[0] == c'"':
                    key = _json_text(line.field + 1, line.field_end - 1)
                    if key is None:
                        problem = f"field {field.decode(errors='backslashreplace')!r} has half a surrogate pair"
                    else:
                        keys.append(key)
                else:
                    keys.append(PyBytes_FromStringAndSize(<const char *>line.field, line.field_end - line.field))
            if problem is not None:
                break
            values.append(PyBytes_FromStringAndSize(<const char *>at, trimmed - at))
        lines += 1
        at = line_end + 1
    return values, keys, min(at, end) - base, lines, None if problem is None else (lines, problem)
