# Cutting files into records: lines, and rows of CSV with a key column. The hot loop of reading a data set.

from libc.string cimport memchr, memcmp


cdef const uint8_t *_csv_row(
    const uint8_t *p, const uint8_t *end, uint8_t delimiter, uint8_t quote, Py_ssize_t column,
    const uint8_t **field, const uint8_t **field_end, Py_ssize_t *columns, bint *open_quote,
) noexcept nogil:
    """The newline that ends the row at `p`, or `end`; a quote counts where it begins a field, as in Python's csv.

    `field` and `field_end` are set to the raw column, quotes included, if the row has it; `columns` to how many
    it has. `open_quote` says that the row ends inside quotes.
    """
    cdef const uint8_t *start
    cdef Py_ssize_t index = 0
    open_quote[0] = False
    while True:
        start = p
        if p < end and p[0] == quote:
            p += 1
            while True:
                p = <const uint8_t *>memchr(p, quote, end - p)
                if p == NULL:
                    open_quote[0] = True
                    p = end
                    break
                p += 1
                if p == end or p[0] != quote:
                    break
                p += 1
        while p < end and p[0] != delimiter and p[0] != c"\n":
            p += 1
        if index == column:
            field[0] = start
            field_end[0] = p
        index += 1
        if p == end or p[0] == c"\n":
            columns[0] = index
            return p
        p += 1


cdef bytes _unquote(const uint8_t *p, const uint8_t *end, uint8_t quote):
    """A field without its quotes, doubled ones made one; what follows the closing quote stays, as in Python's csv."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, end - p)
    cdef char *start = PyBytes_AS_STRING(out)
    cdef char *at = start
    cdef bint quoted = True
    p += 1
    while p < end:
        if quoted and p[0] == quote:
            if p + 1 < end and p[1] == quote:
                p += 1
            else:
                quoted = False
                p += 1
                continue
        at[0] = <char>p[0]
        at += 1
        p += 1
    return out[:at - start]


def scan_csv(
    const uint8_t[::1] data not None, Py_ssize_t start, Py_ssize_t column, delimiter=b",", quote=b'"', bint final=False,
):
    """Cuts `data` from byte `start` on into rows of CSV: (values, keys, consumed, errors).

    `values`: each row's raw bytes without its line end (LF or CR LF). `keys`: what its column of that index holds,
    without the quotes; empty if `column` is -1. Quoted fields may hold delimiters, line ends and doubled quotes, read
    as Python's csv module does; empty lines are no rows. `consumed`: where the first row begins that is not all there;
    with `final` the data ends here, and so does the last row. `errors`: (index into values, what is wrong) for each
    row without that column, whose key is None, and for a last row that ends inside quotes.

    `delimiter` is one byte, `quote` one byte or None; ValueError for anything else. A quote that is never closed makes
    the rest one row: the caller limits what it gathers for one.
    """
    cdef bint quotes
    if not isinstance(delimiter, bytes) or len(delimiter) != 1 or delimiter in b"\r\n":
        raise ValueError(f"delimiter must be one byte and no line end, not {delimiter!r}")
    quotes = quote is not None
    if quotes and (not isinstance(quote, bytes) or len(quote) != 1 or quote in b"\r\n" or quote == delimiter):
        raise ValueError(f"quote must be None or one byte, no line end and not the delimiter, not {quote!r}")
    if column < -1:
        raise ValueError(f"column must be an index or -1, not {column}")
    cdef Py_ssize_t size = data.shape[0]
    if not 0 <= start <= size:
        raise ValueError(f"start must be within the {size} bytes, not {start}")
    cdef list values = []
    cdef list keys = []
    cdef list errors = []
    if start == size:
        return values, keys, start, errors
    cdef const uint8_t *base = &data[0]
    cdef const uint8_t *end = base + size
    cdef const uint8_t *row = base + start
    cdef const uint8_t *next_quote = end
    cdef const uint8_t *row_end
    cdef const uint8_t *trimmed
    cdef const uint8_t *field
    cdef const uint8_t *field_end = NULL
    cdef const uint8_t *p
    cdef uint8_t comma = (<const uint8_t *>PyBytes_AS_STRING(delimiter))[0]
    cdef uint8_t mark = 0
    cdef Py_ssize_t index
    cdef Py_ssize_t columns = 0
    cdef bint open_quote
    if quotes:
        mark = (<const uint8_t *>PyBytes_AS_STRING(quote))[0]
        next_quote = base
    while row < end:
        # Most rows have no quotes: where the next one is, is looked up once, and rows before it are cut by memchr.
        if next_quote < row or next_quote == base:
            next_quote = <const uint8_t *>memchr(row, mark, end - row)
            if next_quote == NULL:
                next_quote = end
        open_quote = False
        field = NULL
        columns = -1
        row_end = <const uint8_t *>memchr(row, c"\n", end - row)
        if next_quote < (end if row_end == NULL else row_end):
            row_end = _csv_row(row, end, comma, mark, column, &field, &field_end, &columns, &open_quote)
        elif row_end == NULL:
            row_end = end
        if row_end == end and not final:
            break
        trimmed = row_end
        if row_end < end and row_end > row and (row_end - 1)[0] == c"\r":
            trimmed -= 1
        if trimmed == row:
            row = row_end + 1
            continue
        if columns < 0 and column >= 0:
            p = row
            index = 0
            while index < column and p < trimmed:
                index += p[0] == comma
                p += 1
            if index == column:
                field = p
                field_end = <const uint8_t *>memchr(p, comma, trimmed - p)
                if field_end == NULL:
                    field_end = trimmed
            else:
                columns = index + 1
        if column >= 0:
            if field == NULL:
                errors.append((len(values), f"has {columns} columns, no column {column}"))
                keys.append(None)
            else:
                if field_end > trimmed:
                    field_end = trimmed
                if quotes and field < field_end and field[0] == mark:
                    keys.append(_unquote(field, field_end, mark))
                else:
                    keys.append(PyBytes_FromStringAndSize(<const char *>field, field_end - field))
        if open_quote:
            errors.append((len(values), "ends inside quotes"))
        values.append(PyBytes_FromStringAndSize(<const char *>row, trimmed - row))
        row = row_end + 1
    return values, keys, min(row, end) - base, errors


def scan_lines(const uint8_t[::1] data not None, Py_ssize_t start, bint final=False):
    """Cuts `data` from byte `start` on into lines: (values, consumed).

    `values`: each line's bytes without its end (LF or CR LF), empty ones too. `consumed`: where the line begins that
    is not all there; with `final` the data ends here, and a last line without an end counts.
    """
    cdef Py_ssize_t size = data.shape[0]
    if not 0 <= start <= size:
        raise ValueError(f"start must be within the {size} bytes, not {start}")
    cdef list values = []
    if start == size:
        return values, start
    cdef const uint8_t *base = &data[0]
    cdef const uint8_t *end = base + size
    cdef const uint8_t *line = base + start
    cdef const uint8_t *line_end
    cdef Py_ssize_t length
    while line < end:
        line_end = <const uint8_t *>memchr(line, c"\n", end - line)
        if line_end == NULL:
            if not final:
                break
            line_end = end
        length = line_end - line
        if line_end < end and length and (line_end - 1)[0] == c"\r":
            length -= 1
        values.append(PyBytes_FromStringAndSize(<const char *>line, length))
        line = line_end + 1
    return values, min(line, end) - base


def scan_keyed_lines(const uint8_t[::1] data not None, Py_ssize_t start, bytes delimiter not None, bint final=False):
    """Cuts `data` from byte `start` on into lines of key, delimiter and value: (values, keys, consumed, whole).

    As `scan_lines` does; a key ends where the delimiter first stands in its line. `whole` is False where a line has
    none: it ends there, before that line. ValueError for an empty delimiter.
    """
    cdef Py_ssize_t size = data.shape[0]
    cdef Py_ssize_t width = PyBytes_GET_SIZE(delimiter)
    if not 0 <= start <= size:
        raise ValueError(f"start must be within the {size} bytes, not {start}")
    if width == 0:
        raise ValueError("delimiter must be a byte or more")
    cdef list values = []
    cdef list keys = []
    if start == size:
        return values, keys, start, True
    cdef const uint8_t *mark = <const uint8_t *>PyBytes_AS_STRING(delimiter)
    cdef const uint8_t *base = &data[0]
    cdef const uint8_t *end = base + size
    cdef const uint8_t *line = base + start
    cdef const uint8_t *line_end
    cdef const uint8_t *trimmed
    cdef const uint8_t *at
    while line < end:
        line_end = <const uint8_t *>memchr(line, c"\n", end - line)
        if line_end == NULL:
            if not final:
                break
            line_end = end
        trimmed = line_end
        if line_end < end and line_end > line and (line_end - 1)[0] == c"\r":
            trimmed -= 1
        at = line
        while True:
            at = <const uint8_t *>memchr(at, mark[0], trimmed - at)
            if at == NULL or trimmed - at < width:
                return values, keys, line - base, False
            if memcmp(at, mark, width) == 0:
                break
            at += 1
        keys.append(PyBytes_FromStringAndSize(<const char *>line, at - line))
        at += width
        values.append(PyBytes_FromStringAndSize(<const char *>at, trimmed - at))
        line = line_end + 1
    return values, keys, min(line, end) - base, True
