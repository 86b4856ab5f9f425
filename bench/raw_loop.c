/* A produce load that shares no code with odradek-bench, load_gen or the broker, to hold odradek-bench against (bench/agree): its own bytes,
 * its own CRC, its own clock, its own percentiles, from a sorted array of every value.
 *
 *   raw_loop PORT TOPIC RECORDS_OF_A_BATCH WINDOW RATE SECONDS [CPU]
 *
 * One connection to localhost, Produce v7 to partition 0 of a topic that exists, acks=all, records of 1 KiB. RATE 0: always WINDOW requests in flight.
 * Otherwise request k is due at start + k / RATE, WINDOW at most are in flight, and latency counts from when it was due. Prints one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { VALUE = 1024, FRAME_MAX = 2 << 20, MANY = 20000000, WARM_DIVISOR = 5 };

static uint8_t frame[FRAME_MAX];
static size_t frame_bytes;
static uint32_t *took_ns;
static size_t took_count;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *why)
{
    printf("{\"ok\": false, \"wrong\": \"%s (%s)\"}\n", why, strerror(errno));
    exit(1);
}

static void add(const void *bytes, size_t n)
{
    memcpy(frame + frame_bytes, bytes, n);
    frame_bytes += n;
}

/* `n` bytes of a number, the highest first. */
static void add_number(uint64_t value, int n)
{
    while (n-- > 0)
        frame[frame_bytes++] = (uint8_t)(value >> 8 * n);
}

static void set_u32(size_t at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        frame[at + (size_t)i] = (uint8_t)(value >> (24 - 8 * i));
}

static void add_varint(int64_t value)
{
    uint64_t z = (uint64_t)value << 1;
    for (; z >= 128; z >>= 7)
        frame[frame_bytes++] = (uint8_t)(z | 128);
    frame[frame_bytes++] = (uint8_t)z;
}

static uint32_t crc32c(const uint8_t *at, size_t n)
{
    uint32_t crc = ~0u;
    while (n-- > 0) {
        crc ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void add_record(int delta)
{
    enum { BEHIND_LENGTH = 6 }; /* attributes, timestamp, key -1, two bytes of the value's length, headers */
    int delta_bytes = delta < 64 ? 1 : 2;
    add_varint(BEHIND_LENGTH + delta_bytes + VALUE);
    add_number(0, 2); /* attributes, timestamp delta */
    add_varint(delta);
    frame[frame_bytes++] = 1; /* no key: -1 */
    add_varint(VALUE);
    for (int i = 0; i < VALUE; i++)
        frame[frame_bytes++] = i % 2 ? 0 : (uint8_t)rand();
    add_number(0, 1);
}

static void add_batch(int records)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t ms = (uint64_t)t.tv_sec * 1000;
    size_t from = frame_bytes;
    add_number(0, 8 + 4);      /* base offset, length: below */
    add_number(UINT32_MAX, 4); /* leader epoch */
    add_number(2, 1);
    add_number(0, 4 + 2); /* CRC: below; attributes */
    add_number((uint64_t)records - 1, 4);
    add_number(ms, 8);
    add_number(ms, 8);
    add_number(UINT64_MAX, 8); /* no producer */
    add_number(UINT64_MAX, 2);
    add_number(UINT64_MAX, 4);
    add_number((uint64_t)records, 4);
    for (int i = 0; i < records; i++)
        add_record(i);
    set_u32(from + 8, (uint32_t)(frame_bytes - from - 12));
    set_u32(from + 17, crc32c(frame + from + 21, frame_bytes - from - 21));
}

static void make_request(const char *topic, int records)
{
    add_number(0, 4);                   /* size: below */
    add_number(0, 2), add_number(7, 2); /* Produce v7 */
    add_number(0, 4);                   /* correlation: of each request */
    add_number(3, 2), add("raw", 3);
    add_number(UINT64_MAX, 2); /* no transaction */
    add_number(UINT64_MAX, 2); /* acks=all */
    add_number(30000, 4);
    add_number(1, 4);
    add_number(strlen(topic), 2), add(topic, strlen(topic));
    add_number(1, 4), add_number(0, 4); /* partition 0 */
    size_t at = frame_bytes;
    add_number(0, 4);
    add_batch(records);
    set_u32(at, (uint32_t)(frame_bytes - at - 4));
    set_u32(0, (uint32_t)(frame_bytes - 4));
}

static int connect_to(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("no connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void send_request(int fd, uint32_t number)
{
    set_u32(8, number);
    for (size_t at = 0; at < frame_bytes;) {
        ssize_t n = send(fd, frame + at, frame_bytes - at, MSG_NOSIGNAL);
        if (n <= 0)
            fail("send");
        at += (size_t)n;
    }
}

static uint64_t number_at(const uint8_t *at, int n)
{
    uint64_t value = 0;
    while (n-- > 0)
        value = value << 8 | *at++;
    return value;
}

/* An answer: size | correlation | 1 topic | name | 1 partition | 0 | error | offset | ... */
static void check_answer(const uint8_t *at, size_t bytes, size_t topic_bytes, uint32_t number, uint64_t *next_offset,
                         int records)
{
    size_t error_at = 4 + 4 + 2 + topic_bytes + 4 + 4;
    if (bytes < error_at + 10 || number_at(at, 4) != number)
        fail("an answer makes no sense");
    if (number_at(at + error_at, 2) != 0)
        fail("Produce was refused");
    uint64_t offset = number_at(at + error_at + 2, 8);
    if (*next_offset != UINT64_MAX && offset != *next_offset)
        fail("offsets do not follow each other");
    *next_offset = offset + (uint64_t)records;
}

struct loop {
    int fd, window, records;
    double rate, start, warm, end;
    size_t topic_bytes;
    uint64_t sent, acked, measured, next_offset;
    double sent_at[1024], last;
    uint8_t in[1 << 16];
    size_t have;
};

static void take_answers(struct loop *l)
{
    ssize_t n = recv(l->fd, l->in + l->have, sizeof l->in - l->have, 0);
    if (n <= 0)
        fail("recv");
    l->have += (size_t)n;
    size_t at = 0;
    double t = now();
    for (size_t size; l->have - at >= 4 && l->have - at >= 4 + (size = number_at(l->in + at, 4)); at += 4 + size) {
        check_answer(l->in + at + 4, size, l->topic_bytes, (uint32_t)l->acked, &l->next_offset, l->records);
        double due = l->rate > 0 ? l->start + (double)l->acked / l->rate : l->sent_at[l->acked % 1024];
        l->acked++;
        if (due >= l->warm && due < l->end && took_count < MANY) {
            took_ns[took_count++] = (uint32_t)((t - due) * 1e9);
            l->measured++;
            l->last = t;
        }
    }
    memmove(l->in, l->in + at, l->have - at);
    l->have -= at;
}

/* Seconds until the next request is due; 0: now. */
static double due_in(const struct loop *l)
{
    double left = l->rate > 0 ? l->start + (double)l->sent / l->rate - now() : 0;
    return left > 0 ? left : 0;
}

static void run(struct loop *l)
{
    while (l->acked < l->sent || now() < l->end) {
        while (now() < l->end && l->sent < l->acked + (uint64_t)l->window && due_in(l) == 0) {
            l->sent_at[l->sent % 1024] = now();
            send_request(l->fd, (uint32_t)l->sent++);
        }
        bool full = l->sent == l->acked + (uint64_t)l->window || now() >= l->end;
        double left = due_in(l);
        struct timespec t = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        if (ppoll(&p, 1, full && l->sent > l->acked ? NULL : &t, NULL) > 0)
            take_answers(l);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double share)
{
    return took_count ? took_ns[(size_t)((double)(took_count - 1) * share)] / 1e3 : 0;
}

int main(int argc, char **argv)
{
    static struct loop l;
    if (argc < 7 || argc > 8)
        return fprintf(stderr, "usage: raw_loop PORT TOPIC RECORDS WINDOW RATE SECONDS [CPU]\n"), 2;
    if (argc == 8) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)atoi(argv[7]), &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    took_ns = malloc(sizeof *took_ns * MANY);
    l.records = atoi(argv[3]);
    l.window = atoi(argv[4]);
    l.rate = atof(argv[5]);
    l.topic_bytes = strlen(argv[2]);
    l.next_offset = UINT64_MAX;
    make_request(argv[2], l.records);
    l.fd = connect_to(atoi(argv[1]));
    double seconds = atof(argv[6]);
    l.start = now();
    l.warm = l.start + seconds / WARM_DIVISOR;
    l.end = l.warm + seconds;
    run(&l);
    qsort(took_ns, took_count, sizeof *took_ns, by_size);
    printf("{\"ok\": true, \"acked\": %llu, \"measured\": %llu, \"records_s\": %.1f, \"p50_us\": %.2f, \"p99_us\": "
           "%.2f, \"end_offset\": %llu}\n",
           (unsigned long long)l.acked, (unsigned long long)l.measured,
           (double)l.measured * l.records / (l.last - l.warm), percentile(0.5), percentile(0.99),
           (unsigned long long)l.next_offset);
    return 0;
}
