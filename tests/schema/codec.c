/* The C half of the schema check (see run):
 *   codec table     prints the schema files and the error codes, one word of the grammar per line
 *   codec vectors   reads lines `message version hex` and checks each: it decodes, encodes to the same bytes by copying and
 *                   by splicing, measures to the same size, and no proper prefix and no longer frame decodes.
 * It exits with 1 if a vector fails; the last line counts them. */
#include "storage/kerr.h"
#include "net/wire/kmsg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_MAX = 1 << 20, ARENA_BYTES = 1 << 22, SPLICE_MAX = 4096, PREFIXED_MAX = 4096 };

/* ---- table ---- */

static void print_table(void)
{
#define API(api, name, key, advertised, first, last, flexible) \
    printf("api %s %s %d %d %d %d %d\n", #api, #name, key, advertised, first, last, flexible);
#define VERSIONS(s, first, last, flexible) printf("versions %s %d %d %d\n", #s, first, last, flexible);
#define STRUCT(s) printf("struct %s\n", #s);
#define ROW(kind, type, name, since, until, null_since, fit, dflt, tag)                              \
    printf("field %s %s %s %d %d %d %d %lld %d\n", kind, type, #name, since, until, null_since, fit, \
           (long long)(dflt), tag);
#define FIELD(t, name, since, until, fit, dflt) ROW("FIELD", #t, name, since, until, NEVER, fit, dflt, -1)
#define TEXT(t, name, since, until, null_since, fit, dflt) \
    ROW("TEXT", #t, name, since, until, null_since, fit, dflt, -1)
#define LIST(t, name, since, until, null_since, fit, dflt) \
    ROW("LIST", #t, name, since, until, null_since, fit, dflt, -1)
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    ROW("ARRAY", #e, name, since, until, null_since, fit, dflt, -1)
#define NULLABLE(e, name, since, until, null_since, fit) \
    ROW("NULLABLE", #e, name, since, until, null_since, fit, NONE, -1)
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) ROW("FIELD", #t, name, since, until, NEVER, fit, dflt, tag)
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) \
    ROW("TEXT", #t, name, since, until, null_since, fit, dflt, tag)
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) \
    ROW("ARRAY", #e, name, since, until, null_since, fit, dflt, tag)
#define TAG_NEST(tag, e, name, since, until, fit) ROW("NEST", #e, name, since, until, NEVER, fit, 0, tag)
#define END(s) printf("end %s\n", #s);
#define MESSAGE(s, api) printf("message %s %s\n", #s, #api);
#include "net/wire/schema/all.def"
#undef ROW
}

static void print_errors(void)
{
#define PRINT_ERROR(number, name) printf("error %d %s %s\n", number, #name, kerr_name(number));
    KERR_LIST(PRINT_ERROR)
#undef PRINT_ERROR
}

/* ---- vectors ---- */

static uint8_t frame[FRAME_MAX], out[FRAME_MAX], memory[ARENA_BYTES];
static struct ksplice splices[SPLICE_MAX];

static struct arena fresh_arena(void)
{
    return arena_of(memory, sizeof memory);
}

/* Puts the spliced records back where they belong and compares with the vector. */
static bool joined_equals(const struct kwriter *w, size_t n)
{
    size_t from = 0, at = 0;
    for (uint32_t i = 0; i <= w->splice_count; i++) {
        size_t to = i < w->splice_count ? splices[i].at : (size_t)(w->at - w->start);
        if (at + (to - from) > n || memcmp(frame + at, out + from, to - from) != 0)
            return false;
        at += to - from;
        from = to;
        if (i == w->splice_count)
            break;
        size_t bytes = (size_t)splices[i].records->n;
        if (at + bytes > n || memcmp(frame + at, splices[i].records->at, bytes) != 0)
            return false;
        at += bytes;
    }
    return at == n;
}

/* The frame stands alone on the heap, so that a sanitizer sees every byte read beyond it. */
#define PREFIXES_REFUSED(s)                                                                    \
    for (size_t k = 0; k <= n + 1 && n <= PREFIXED_MAX; k++) {                                 \
        if (k == n)                                                                            \
            continue;                                                                          \
        uint8_t *alone = malloc(k > 0 ? k : 1);                                                \
        struct arena b = fresh_arena();                                                        \
        if (!alone)                                                                            \
            abort();                                                                           \
        memcpy(alone, frame, k);                                                               \
        bool good = s##_decode(&m, (struct kview){alone, (int32_t)k}, (int16_t)version, &b);   \
        free(alone);                                                                           \
        if (good)                                                                              \
            return k < n ? "a proper prefix decodes" : "a frame with a byte too much decodes"; \
    }

/* One function per message: NULL when everything holds, else what does not. */
#define MESSAGE(s, api)                                                               \
    static const char *check_##s(int version, size_t n)                               \
    {                                                                                 \
        struct s m;                                                                   \
        struct arena a = fresh_arena();                                               \
        if (version < KFIRST_##api || version > KLAST_##api)                          \
            return "the schema does not have this version";                           \
        if (!s##_decode(&m, (struct kview){frame, (int32_t)n}, (int16_t)version, &a)) \
            return "it does not decode";                                              \
        struct kwriter w = kwriter_of(out, sizeof out);                               \
        if (!s##_encode(&m, &w, (int16_t)version))                                    \
            return "it does not encode";                                              \
        if (kwriter_bytes(&w) != n || memcmp(frame, out, n) != 0)                     \
            return "it encodes to other bytes";                                       \
        if (w.lost)                                                                   \
            return "encoding lost a field that decoding gave";                        \
        struct ksize size = s##_size(&m, (int16_t)version);                           \
        w = kwriter_of(out, size.bytes);                                              \
        kwriter_splice(&w, splices, size.splices);                                    \
        if (!s##_encode(&m, &w, (int16_t)version) || kwriter_bytes(&w) != size.bytes) \
            return "its measured size is wrong";                                      \
        if (w.splice_count != size.splices || !joined_equals(&w, n))                  \
            return "it splices to other bytes";                                       \
        PREFIXES_REFUSED(s)                                                           \
        return NULL;                                                                  \
    }
#include "net/wire/schema/all.def"

static const char *check(const char *name, int version, size_t n)
{
#define MESSAGE(s, api)        \
    if (strcmp(name, #s) == 0) \
        return check_##s(version, n);
#include "net/wire/schema/all.def"
    return "the schema does not have this message";
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the bytes put into `frame`, or SIZE_MAX. */
static size_t unhex(const char *hex)
{
    size_t n = 0;
    for (; hex[0] && hex[0] != '\n' && n < FRAME_MAX - 1; hex += 2) {
        int high = hex_digit(hex[0]), low = high < 0 ? -1 : hex_digit(hex[1]);
        if (low < 0)
            return SIZE_MAX;
        frame[n++] = (uint8_t)(high * 16 + low);
    }
    return n;
}

static int check_vectors(void)
{
    static char line[2 * FRAME_MAX + 256];
    long total = 0, failed = 0;
    while (fgets(line, sizeof line, stdin)) {
        char name[80];
        int version, at;
        if (sscanf(line, "%79s %d %n", name, &version, &at) < 2)
            return 2;
        size_t n = unhex(line + at);
        const char *why = n == SIZE_MAX ? "bad hex" : check(name, version, n);
        total++;
        if (why && ++failed <= 20)
            printf("failed %s v%d %zu bytes: %s: %.200s\n", name, version, n, why, line + at);
    }
    printf("vectors %ld failed %ld\n", total, failed);
    return failed > 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "table") == 0) {
        print_table();
        print_errors();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "vectors") == 0)
        return check_vectors();
    fprintf(stderr, "usage: codec table|vectors\n");
    return 2;
}
