/* A Kafka broker that says yes to everything and keeps nothing: what is measured on it is the client.
 *
 *     cc -O2 -pthread discarding_broker.c -o discarding_broker && ./discarding_broker
 *
 * Prints its port on 127.0.0.1 and serves until standard input ends. Each line there is answered by one of JSON: how many
 * records, batches, bytes and Produce requests have come since the start. Every topic exists; one whose name ends in a dash
 * and a number has so many partitions, any other has 6.
 *
 * It speaks the last versions before flexible ones, each of a layout without tags: ApiVersions 0 to 2, Metadata 1 to 8,
 * Produce 3 to 8, InitProducerId 0 and 1. Fetch is named, as clients take a broker without it for one of another age.
 * A request of any other kind ends its connection. Records are counted by their batches' headers, and offsets go on from
 * batch to batch, in each partition of each topic alike.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PRODUCE = 0, FETCH = 1, METADATA = 3, API_VERSIONS = 18, INIT_PRODUCER_ID = 22 };
enum { UNSUPPORTED_VERSION = 35, PARTITIONS = 6, MAX_FRAME = 256 << 20 };
enum { BATCH_HEADER = 61, BATCH_LENGTH_AT = 8, BATCH_COUNT_AT = 57 };

static const struct { int16_t key, least, most; } SPOKEN[] = {
    {PRODUCE, 3, 8}, {FETCH, 4, 11}, {METADATA, 1, 8}, {API_VERSIONS, 0, 2}, {INIT_PRODUCER_ID, 0, 1},
};
enum { SPOKEN_COUNT = sizeof SPOKEN / sizeof *SPOKEN };

static uint16_t port;
static _Atomic int64_t records, batches, bytes, requests, producer_ids;

/* What is read: a cursor that fails once and for all where something would lie beyond the end. */
typedef struct { const uint8_t *at, *end; int failed; } Input;
/* What is written: grows. */
typedef struct { uint8_t *data; size_t size, room; } Output;

static const uint8_t *take(Input *in, int64_t count) {
    const uint8_t *at = in->at;
    if (in->failed || count < 0 || count > in->end - at) { in->failed = 1; return NULL; }
    in->at += count;
    return at;
}
static int16_t read16(Input *in) {
    uint16_t value = 0;
    const uint8_t *at = take(in, 2);
    if (at) memcpy(&value, at, 2);
    return (int16_t)be16toh(value);
}
static int32_t read32(Input *in) {
    uint32_t value = 0;
    const uint8_t *at = take(in, 4);
    if (at) memcpy(&value, at, 4);
    return (int32_t)be32toh(value);
}
static Input read_string(Input *in) {
    int16_t size = read16(in);
    const uint8_t *at = take(in, size < 0 ? 0 : size);
    return (Input){at, at ? at + (size < 0 ? 0 : size) : at, 0};
}

static void put(Output *out, const void *data, size_t size) {
    if (out->size + size > out->room) {
        out->room = (out->size + size) * 2;
        out->data = realloc(out->data, out->room);
        if (!out->data) { perror("realloc"); exit(1); }
    }
    if (size) memcpy(out->data + out->size, data, size);
    out->size += size;
}
static void put8(Output *out, int8_t value) { put(out, &value, 1); }
static void put16(Output *out, int16_t value) { uint16_t big = htobe16((uint16_t)value); put(out, &big, 2); }
static void put32(Output *out, int32_t value) { uint32_t big = htobe32((uint32_t)value); put(out, &big, 4); }
static void put64(Output *out, int64_t value) { uint64_t big = htobe64((uint64_t)value); put(out, &big, 8); }
static void put_string(Output *out, const void *text, size_t size) { put16(out, (int16_t)size); put(out, text, size); }

static int partitions_of(Input name) {
    char digits[8] = "";
    size_t size = (size_t)(name.end - name.at), count = 0;
    while (count < size && count < sizeof digits - 1 && name.end[-1 - (long)count] >= '0' && name.end[-1 - (long)count] <= '9') count++;
    if (!count || count == size || name.end[-1 - (long)count] != '-') return PARTITIONS;
    memcpy(digits, name.end - count, count);
    int found = atoi(digits);
    return found > 0 && found <= 10000 ? found : PARTITIONS;
}

static void api_versions(int version, Output *out) {
    int known = version <= 2;
    put16(out, known ? 0 : UNSUPPORTED_VERSION);
    put32(out, SPOKEN_COUNT);
    for (int i = 0; i < SPOKEN_COUNT; i++) {
        put16(out, SPOKEN[i].key); put16(out, SPOKEN[i].least); put16(out, SPOKEN[i].most);
    }
    if (known && version >= 1) put32(out, 0); /* throttled for 0 ms */
}

static void metadata(int version, Input *in, Output *out) {
    if (version >= 3) put32(out, 0);
    put32(out, 1); /* brokers */
    put32(out, 1); put_string(out, "127.0.0.1", 9); put32(out, port); put16(out, -1);
    if (version >= 2) put_string(out, "discarding", 10);
    put32(out, 1); /* the controller */
    int32_t topics = read32(in);
    put32(out, topics < 0 ? 0 : topics);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        Input name = read_string(in);
        int count = partitions_of(name);
        put16(out, 0); put_string(out, name.at, (size_t)(name.end - name.at)); put8(out, 0); put32(out, count);
        for (int32_t partition = 0; partition < count; partition++) {
            put16(out, 0); put32(out, partition); put32(out, 1);
            if (version >= 7) put32(out, 0); /* leader epoch */
            put32(out, 1); put32(out, 1); /* replicas */
            put32(out, 1); put32(out, 1); /* in sync */
            if (version >= 5) put32(out, 0); /* offline */
        }
        if (version >= 8) put32(out, INT32_MIN); /* authorized operations: not said */
    }
    if (version >= 8) put32(out, INT32_MIN);
}

/* The records of a partition's batches; counts them, too. */
static int64_t count_batches(Input in) {
    int64_t found = 0;
    while (in.end - in.at >= BATCH_HEADER) {
        Input length = {in.at + BATCH_LENGTH_AT, in.end, 0}, count = {in.at + BATCH_COUNT_AT, in.end, 0};
        if (!take(&in, 12 + (int64_t)read32(&length))) break;
        found += read32(&count);
        batches++;
    }
    return found;
}

/* Whether there is an answer: with acks=0 nobody waits for one. */
static int produce(int version, Input *in, Output *out, int64_t *offset) {
    read_string(in); /* transactional id */
    int16_t acks = read16(in);
    read32(in); /* timeout */
    int32_t topics = read32(in);
    put32(out, topics);
    for (int32_t i = 0; i < topics && !in->failed; i++) {
        Input name = read_string(in);
        put_string(out, name.at, (size_t)(name.end - name.at));
        int32_t count = read32(in);
        put32(out, count);
        for (int32_t j = 0; j < count && !in->failed; j++) {
            int32_t partition = read32(in), size = read32(in);
            const uint8_t *at = take(in, size);
            int64_t found = at ? count_batches((Input){at, at + size, 0}) : 0;
            put32(out, partition); put16(out, 0); put64(out, *offset); put64(out, -1); /* the time is the client's */
            if (version >= 5) put64(out, 0); /* the log's start */
            if (version >= 8) { put32(out, 0); put16(out, -1); } /* no errors */
            *offset += found;
            records += found;
            bytes += size;
        }
    }
    put32(out, 0);
    requests++;
    return acks != 0;
}

static int read_all(int fd, void *to, size_t size) {
    for (uint8_t *at = to; size;) {
        ssize_t count = read(fd, at, size);
        if (count <= 0) return 0;
        at += count;
        size -= (size_t)count;
    }
    return 1;
}
static int write_all(int fd, const uint8_t *at, size_t size) {
    while (size) {
        ssize_t count = write(fd, at, size);
        if (count <= 0) return 0;
        at += count;
        size -= (size_t)count;
    }
    return 1;
}

static int answer(Input *in, Output *out, int64_t *offset) {
    int16_t key = read16(in), version = read16(in);
    int32_t correlation = read32(in);
    read_string(in); /* the client's name */
    int spoken = key == API_VERSIONS;
    for (int i = 0; i < SPOKEN_COUNT; i++)
        spoken |= key == SPOKEN[i].key && version >= SPOKEN[i].least && version <= SPOKEN[i].most;
    int wanted = 1;
    out->size = 4;
    put32(out, correlation);
    if (spoken && key == PRODUCE) wanted = produce(version, in, out, offset);
    else if (spoken && key == METADATA) metadata(version, in, out);
    else if (spoken && key == API_VERSIONS) api_versions(version, out);
    else if (spoken && key == INIT_PRODUCER_ID) { put32(out, 0); put16(out, 0); put64(out, ++producer_ids); put16(out, 0); }
    else { fprintf(stderr, "discarding broker: no answer to request %d, version %d\n", key, version); return -1; }
    if (in->failed && key != API_VERSIONS) { fprintf(stderr, "discarding broker: request %d ends early\n", key); return -1; }
    return wanted;
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument, one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Output out = {malloc(4096), 0, 4096};
    uint8_t *frame = NULL;
    size_t room = 0;
    uint32_t size;
    int64_t offset = 0;
    while (read_all(fd, &size, 4) && (size = be32toh(size)) <= MAX_FRAME) {
        if (size > room) {
            free(frame);
            frame = malloc(room = size);
            if (!frame) break;
        }
        if (!read_all(fd, frame, size)) break;
        Input in = {frame, frame + size, 0};
        int wanted = answer(&in, &out, &offset);
        if (wanted < 0) break;
        if (!wanted) continue;
        uint32_t length = htobe32((uint32_t)(out.size - 4));
        memcpy(out.data, &length, 4);
        if (!write_all(fd, out.data, out.size)) break;
    }
    close(fd);
    free(frame);
    free(out.data);
    return NULL;
}

static void *accept_all(void *argument) {
    int listener = (int)(intptr_t)argument;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd < 0) continue;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd)) close(fd);
        else pthread_detach(thread);
    }
    return NULL;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 64)
        || getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("discarding broker");
        return 1;
    }
    port = ntohs(address.sin_port);
    printf("%d\n", port);
    fflush(stdout);
    pthread_t thread;
    if (pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)listener)) return 1;
    for (char line[64]; fgets(line, sizeof line, stdin);) {
        printf("{\"records\": %lld, \"batches\": %lld, \"bytes\": %lld, \"requests\": %lld}\n", (long long)records,
               (long long)batches, (long long)bytes, (long long)requests);
        fflush(stdout);
    }
    return 0;
}
