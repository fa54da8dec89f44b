# TLS inside the turn, by the OpenSSL that Python's `_ssl` has: on the very object that `ssl` has shaken hands with.
#
# Nothing of it is linked. `kafka/drivers/openssl.py` finds the functions, and decides whether they may be used.

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

cdef extern from "Python.h":
    ctypedef struct PyInterpreterState:
        pass
    PyInterpreterState *PyInterpreterState_Get()
    PyInterpreterState *PyInterpreterState_Main()

cdef extern from * nogil:
    """
    /* OpenSSL's functions, with its own types hidden: headers of one version would not fit the library of another. */
    static struct {
        int (*SSL_write)(void *, const void *, int);
        int (*SSL_read)(void *, void *, int);
        int (*SSL_shutdown)(void *);
        int (*SSL_get_error)(const void *, int);
        const char *(*SSL_get_version)(const void *);
        void *(*SSL_get_rbio)(const void *);
        void *(*SSL_get_wbio)(const void *);
        void *(*SSL_get_SSL_CTX)(const void *);
        int (*BIO_write)(void *, const void *, int);
        long (*BIO_ctrl)(void *, int, long, void *);
        void (*ERR_clear_error)(void);
        unsigned long (*ERR_peek_last_error)(void);
        const char *(*ERR_reason_error_string)(unsigned long);
    } kt_openssl;
    static const char *const kt_openssl_names[] = {
        "SSL_write", "SSL_read", "SSL_shutdown", "SSL_get_error", "SSL_get_version", "SSL_get_rbio", "SSL_get_wbio",
        "SSL_get_SSL_CTX", "BIO_write", "BIO_ctrl", "ERR_clear_error", "ERR_peek_last_error",
        "ERR_reason_error_string",
    };
    #define KT_OPENSSL_COUNT ((int)(sizeof(kt_openssl_names) / sizeof(kt_openssl_names[0])))
    #define SSL_write kt_openssl.SSL_write
    #define SSL_read kt_openssl.SSL_read
    #define SSL_shutdown kt_openssl.SSL_shutdown
    #define SSL_get_error kt_openssl.SSL_get_error
    #define SSL_get_version kt_openssl.SSL_get_version
    #define SSL_get_rbio kt_openssl.SSL_get_rbio
    #define SSL_get_wbio kt_openssl.SSL_get_wbio
    #define SSL_get_SSL_CTX kt_openssl.SSL_get_SSL_CTX
    #define BIO_write kt_openssl.BIO_write
    #define BIO_ctrl kt_openssl.BIO_ctrl
    #define ERR_clear_error kt_openssl.ERR_clear_error
    #define ERR_peek_last_error kt_openssl.ERR_peek_last_error
    #define ERR_reason_error_string kt_openssl.ERR_reason_error_string
    """
    void *kt_openssl
    const char *kt_openssl_names[]
    int KT_OPENSSL_COUNT
    int SSL_write(void *ssl, const void *data, int size)
    int SSL_read(void *ssl, void *data, int size)
    int SSL_shutdown(void *ssl)
    int SSL_get_error(void *ssl, int result)
    const char *SSL_get_version(void *ssl)
    void *SSL_get_rbio(void *ssl)
    void *SSL_get_wbio(void *ssl)
    void *SSL_get_SSL_CTX(void *ssl)
    int BIO_write(void *bio, const void *data, int size)
    long BIO_ctrl(void *bio, int command, long number, void *pointer)
    void ERR_clear_error()
    unsigned long ERR_peek_last_error()
    const char *ERR_reason_error_string(unsigned long code)

cdef enum:
    # Of OpenSSL's headers; the same in all its versions.
    SSL_ERROR_WANT_READ = 2
    SSL_ERROR_ZERO_RETURN = 6
    BIO_CTRL_RESET = 1
    BIO_CTRL_INFO = 3
    RECORD = 16384                  # the most a record of TLS has
    PIECE = 1 << 18                 # how much is encrypted at once; nothing more is until the socket has taken it

cdef struct Tls:
    PyObject *owner                 # the ssl.SSLObject, which keeps the others alive
    void *ssl
    void *incoming
    void *outgoing
    size_t sent                     # of the ciphertext in `outgoing`
    size_t staged
    bint more                       # decrypted bytes are left, of which poll() knows nothing
    bint failed
    unsigned long error             # OpenSSL's, with `failed`; 0 where it gave none
    uint8_t stage[RECORD]           # small buffers, together: each SSL_write makes a record of its own


def openssl_functions():
    """The names of the functions that `use_openssl` wants, in its order."""
    return [kt_openssl_names[i].decode() for i in range(KT_OPENSSL_COUNT)]


def use_openssl(addresses):
    """Where these functions are."""
    cdef void **table = <void **>&kt_openssl
    cdef int i
    for i in range(KT_OPENSSL_COUNT):
        table[i] = <void *><size_t>addresses[i]


def in_main_interpreter():
    """Whether this interpreter is the process's first."""
    return PyInterpreterState_Get() == PyInterpreterState_Main()


cdef void *behind_head(object_, int fields):
    # What `_ssl`'s objects keep of OpenSSL stands behind the head that all objects have, and so many pointers.
    return (<void **>(<char *><void *>object_ + sizeof(PyObject)))[fields]


cdef void *ssl_of(secured):
    # _ssl._SSLSocket: a weak reference, then SSL *.
    return behind_head(secured._sslobj, 1)


def looks_as_expected(secured, outgoing):
    """Whether the pointers in this ssl.SSLObject, hands shaken, and its outgoing MemoryBIO are what they should be.

    Three comparisons of what OpenSSL says with what Python says. `use_openssl` was called.
    """
    cdef void *ssl = ssl_of(secured)
    if ssl == NULL or secured.version() is None:
        return False
    return (
        SSL_get_version(ssl) == secured.version().encode()
        and SSL_get_wbio(ssl) == behind_head(outgoing, 0)
        and SSL_get_SSL_CTX(ssl) == behind_head(secured.context, 0)
    )


cdef Tls *tls_of(secured) except NULL:
    cdef Tls *tls = <Tls *>calloc(1, sizeof(Tls))
    if tls == NULL:
        raise MemoryError()
    tls.ssl = ssl_of(secured)
    tls.incoming = SSL_get_rbio(tls.ssl)
    tls.outgoing = SSL_get_wbio(tls.ssl)
    Py_INCREF(secured)
    tls.owner = <PyObject *>secured
    return tls


cdef void free_tls(Tls *tls):
    Py_DECREF(<object>tls.owner)
    free(tls)


cdef failure_of(Tls *tls):
    cdef const char *text = ERR_reason_error_string(tls.error) if tls.error else NULL
    return text.decode("utf-8", "replace") if text != NULL else "OpenSSL gives no reason"


cdef long ciphertext(Tls *tls, uint8_t **start) noexcept nogil:
    # How much waits for the socket, and where.
    cdef long size = BIO_ctrl(tls.outgoing, BIO_CTRL_INFO, 0, start)
    start[0] += tls.sent
    return size - <long>tls.sent


cdef bint has_ciphertext(Tls *tls) noexcept nogil:
    cdef uint8_t *start = NULL
    return ciphertext(tls, &start) > 0


cdef bint send_ciphertext(Slot *slot) noexcept nogil:
    # Whether all of it was taken.
    cdef Tls *tls = slot.tls
    cdef uint8_t *start = NULL
    cdef ssize_t size
    cdef long left = ciphertext(tls, &start)
    while left > 0:
        size = send(slot.fd, start, left, KT_SEND_FLAGS)
        if size >= 0:
            tls.sent += size
            start += size
            left -= size
        elif errno != EINTR:
            return False
    if tls.sent > 0:
        BIO_ctrl(tls.outgoing, BIO_CTRL_RESET, 0, NULL)
        tls.sent = 0
    return True


cdef void failed(Slot *slot) noexcept nogil:
    slot.tls.failed = True
    slot.tls.error = ERR_peek_last_error()
    ERR_clear_error()  # `ssl` takes it for granted that nothing is left there
    broke(slot, 0)


cdef bint encrypt(Slot *slot, const void *data, int size) noexcept nogil:
    # Whether it was. False where it has failed, or the peer has to say something first: a renegotiation, where the
    # user's context allows them. The next try is to begin with the same bytes.
    cdef Tls *tls = slot.tls
    cdef int result = SSL_write(tls.ssl, data, size)
    if result == size:      # less is for those who ask for partial writes, and Python does not
        return True
    if SSL_get_error(tls.ssl, result) != SSL_ERROR_WANT_READ:
        failed(slot)
    return False


cdef void write_tls(Slot *slot) noexcept nogil:
    # Bytes of the queue count as written once they are encrypted, or in `stage`.
    cdef Tls *tls = slot.tls
    cdef Py_ssize_t i, skip, size
    cdef Py_ssize_t room
    cdef uint8_t *data
    ERR_clear_error()
    while send_ciphertext(slot):
        room = PIECE
        i = slot.first
        skip = slot.written     # of those from `i` on
        while room > 0:
            while i < slot.count and skip >= slot.queue[i].len:
                skip -= slot.queue[i].len
                i += 1
            if i == slot.count:
                if tls.staged == 0:
                    break
            else:
                data = <uint8_t *>slot.queue[i].buf + skip
                size = slot.queue[i].len - skip
                if tls.staged == 0 and size >= RECORD:
                    size = min(size, room) // RECORD * RECORD
                    if not encrypt(slot, data, <int>size):
                        break
                    skip += size
                    slot.written += size
                    room -= size
                    continue
                if tls.staged < RECORD:
                    size = min(size, RECORD - <Py_ssize_t>tls.staged)
                    memcpy(tls.stage + tls.staged, data, size)
                    tls.staged += size
                    skip += size
                    slot.written += size
                    if tls.staged < RECORD:
                        continue
            if not encrypt(slot, tls.stage, <int>tls.staged):
                break
            room -= RECORD
            tls.staged = 0
        if room == PIECE or slot.state != OPEN:
            break


cdef void read_tls(Slot *slot, uint8_t *raw) noexcept nogil:
    # `raw`: room for READ_SIZE bytes.
    cdef Tls *tls = slot.tls
    cdef ssize_t size
    cdef int result
    ERR_clear_error()
    while True:
        if not tls.more:
            size = recv(slot.fd, raw, READ_SIZE, 0)
            if size == 0:       # no matter whether the peer has announced it: many do not
                broke(slot, 0)
                return
            if size < 0:
                if errno == EINTR:
                    continue
                if errno != EAGAIN:
                    broke(slot, errno)
                return
            if BIO_write(tls.incoming, raw, <int>size) != size:
                failed(slot)
                return
        tls.more = False
        while True:
            if slot.received_size == READ_SIZE:
                tls.more = True
                return
            result = SSL_read(tls.ssl, slot.received + slot.received_size, <int>(READ_SIZE - slot.received_size))
            if result <= 0:
                break
            slot.received_size += result
        result = SSL_get_error(tls.ssl, result)
        if result == SSL_ERROR_ZERO_RETURN:
            broke(slot, 0)
            return
        if result != SSL_ERROR_WANT_READ:
            failed(slot)
            return


cdef void say_goodbye(Slot *slot) noexcept:
    # A word to the peer that this is the end, if the socket takes it at once. Not in the middle of a record.
    cdef Tls *tls = slot.tls
    if not tls.failed:      # else OpenSSL has said why
        if has_ciphertext(tls):
            return
        ERR_clear_error()
        SSL_shutdown(tls.ssl)
        ERR_clear_error()
    send_ciphertext(slot)
