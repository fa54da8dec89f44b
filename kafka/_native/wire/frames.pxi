# Whole frames, as they follow each other on a connection: a header and a message.

# How kafka.protocol, which is above, lets headers be read: it registers these when it is imported.
cdef object _request_class = None
cdef object _load_headers = None
cdef tuple _headers = None


def register_protocol(request_class, load_headers):
    """`request_class(api_key)` is the class of a request, or None; `load_headers()` is those of the two headers."""
    global _request_class, _load_headers
    _request_class, _load_headers = request_class, load_headers


cdef object header_class(bint response):
    global _headers
    if _headers is None:
        _headers = _load_headers()
    return _headers[response]


cdef object frame(Writer *w, Plan plan, message):
    """The rest of a frame whose header is written: `Ok` of a list of buffers, size first."""
    cdef Py_ssize_t start = 0, total
    cdef list cuts = <list>w.cuts
    if write_struct(w, &plan.program, <PyObject *>message):
        return encode_error(w, plan.cls.__name__, plan.version)
    total = w.size - 4 + w.outside
    if total > INT32_MAX:
        reason = f"a frame of {total} bytes; {INT32_MAX} is the most"
        return Err(EncodeError(plan.cls.__name__, plan.version, "", reason))
    store32(w.data, <uint32_t>total)
    if not cuts:
        return Ok([PyBytes_FromStringAndSize(<char *>w.data, w.size)])
    buffers = []
    for position, payload in cuts:
        if position > start:
            buffers.append(PyBytes_FromStringAndSize(<char *>w.data + start, <Py_ssize_t>position - start))
        buffers.append(payload)
        start = position
    if w.size > start:
        buffers.append(PyBytes_FromStringAndSize(<char *>w.data + start, w.size - start))
    return Ok(buffers)


def encode_request(message, int version, int correlation_id, client_id):
    """A whole request frame, size first: `Ok(list of buffers)` for `sendmsg`, or `Err` as `encode`.

    Records of at least 1 KiB are views of the caller's buffers, not copies.
    """
    cdef uint8_t room[FIRST_ROOM]
    cdef Writer w
    cls = type(message)
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return no_version(cls, version)
    cuts = []
    open_writer(&w, room)
    w.cuts = <PyObject *>cuts
    try:
        store16(w.data + 4, <uint16_t><int>cls.API_KEY)
        store16(w.data + 6, <uint16_t>version)
        store32(w.data + 8, <uint32_t>correlation_id)
        w.size = 12
        if client_id is None:
            write_size(&w, False, 2, -1)
        elif write_text(&w, <PyObject *>client_id, False):  # never compact, whatever the version
            failed_in(&w, "client_id")
            return encode_error(&w, "RequestHeader", 2 if plan.program.flexible else 1)
        if plan.program.flexible:
            write_byte(&w, 0)
        return frame(&w, plan, message)
    finally:
        close_writer(&w)


def encode_response(message, int version, int correlation_id):
    """A whole response frame, size first: `Ok(list of buffers)`, or `Err` as `encode`."""
    cdef uint8_t room[FIRST_ROOM]
    cdef Writer w
    cls = type(message)
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return no_version(cls, version)
    cuts = []
    open_writer(&w, room)
    w.cuts = <PyObject *>cuts
    try:
        store32(w.data + 4, <uint32_t>correlation_id)
        w.size = 8
        if has_flexible_header(cls, plan):
            write_byte(&w, 0)
        return frame(&w, plan, message)
    finally:
        close_writer(&w)


cdef bint has_flexible_header(cls, Plan plan) except -1:
    """Of a response; that of ApiVersionsResponse never is, so that any client can read it."""
    return plan.program.flexible and cls.API_KEY != 18


def decode_response(cls, int version, frame):
    """Decode a response frame (without its size): `Ok((correlation_id, message))` or `Err(DecodeError)`."""
    cdef Py_buffer buffer
    cdef Reader r
    cdef Plan plan = plan_of(cls, version)
    if plan is None:
        return Err(DecodeError(cls.__name__, version, "", 0, versions_of(cls)))
    open_reader(&r, &buffer, frame)
    try:
        header, error = decode_part(plan_of(header_class(True), 1 if has_flexible_header(cls, plan) else 0), &r)
        if error is not None:
            return error
        message, error = decode_message(plan, &r)
        return Ok((header.correlation_id, message)) if error is None else error
    finally:
        close_reader(&r, &buffer)


cdef tuple decode_header(Reader *r):
    """A request's (class, header, None), or (None, None, Err)."""
    if r.end - r.p < 4:
        short_of(r, 4)
        return None, None, decode_error(r, "RequestHeader", 0)
    api_key, version = <int16_t>load16(r.p), <int16_t>load16(r.p + 2)
    cls = _request_class(api_key)
    if cls is None:
        return None, None, Err(DecodeError("RequestHeader", 0, "api_key", 0, f"there is no API {api_key}"))
    flexible = cls.FLEXIBLE is not None and version >= cls.FLEXIBLE
    header, error = decode_part(plan_of(header_class(False), 2 if flexible else 1), r)
    return cls, header, error


def decode_request_header(frame):
    """Decode a request frame's header (without the size): `Ok((header, offset of the body))` or `Err(DecodeError)`.

    Works for versions that are newer than this schema too, but not for unknown API keys.
    """
    cdef Py_buffer buffer
    cdef Reader r
    open_reader(&r, &buffer, frame)
    try:
        _, header, error = decode_header(&r)
        return Ok((header, r.p - r.base)) if error is None else error
    finally:
        close_reader(&r, &buffer)


def decode_request(frame):
    """Decode a request frame (without its size): `Ok((header, message))` or `Err(DecodeError)`."""
    cdef Py_buffer buffer
    cdef Reader r
    cdef Plan plan
    open_reader(&r, &buffer, frame)
    try:
        cls, header, error = decode_header(&r)
        if error is not None:
            return error
        plan = plan_of(cls, header.api_version)
        if plan is None:
            return Err(DecodeError(cls.__name__, header.api_version, "", 2, versions_of(cls)))
        message, error = decode_message(plan, &r)
        return Ok((header, message)) if error is None else error
    finally:
        close_reader(&r, &buffer)
