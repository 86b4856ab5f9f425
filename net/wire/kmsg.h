/* Kafka's messages: one C struct per struct of the schema, for all versions at once, with
 *
 *   void  X_init(struct X *m)                   every field at Kafka's default
 *   bool  X_decode(struct X *m, frame, version, arena)
 *                                               false unless the frame is exactly one message
 *   bool  X_read(struct X *m, struct kreader *) the same for a part of a frame: it may go on
 *   bool  X_encode(const struct X *m, w, version)
 *                                               false when the writer is bad or was too small
 *   struct ksize X_size(m, version)             what X_encode will write
 *
 *   X_read_any, X_encode_any    the same for callers that do not know which message it is
 *
 * for each MESSAGE X, and X_init for the structs inside. All of it is generated from schema/ (see
 * its README.md, which also says how Kafka's names become ours). A field that the version lacks
 * keeps its default when decoding and is not written when encoding. Decoded texts, bytes and
 * records point into the frame, arrays and nullable structs into the arena.
 *
 * What a decode may cost: time linear in the frame, memory from the arena only. A version outside
 * of [X's first, X's last] is the caller's mistake and asserts: use kmsg_open() first. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "net/wire/wire.h"

#define KTYPE_bool bool
#define KTYPE_int8 int8_t
#define KTYPE_int16 int16_t
#define KTYPE_int32 int32_t
#define KTYPE_int64 int64_t
#define KTYPE_uint16 uint16_t
#define KTYPE_float64 double
#define KTYPE_uuid struct kuuid
#define KTYPE_string struct kview
#define KTYPE_string16 struct kview
#define KTYPE_bytes struct kview
#define KTYPE_records struct krecords

/* 1. The structs. `n` of a list or an array is -1 for null. */
#define STRUCT(s) struct s {
#define FIELD(t, name, since, until, fit, dflt) KTYPE_##t name;
#define TEXT(t, name, since, until, null_since, fit, dflt) KTYPE_##t name;
#define LIST(t, name, since, until, null_since, fit, dflt) \
    struct {                                               \
        const KTYPE_##t *v;                                \
        int32_t n;                                         \
    } name;
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    struct {                                                \
        struct e *v;                                        \
        int32_t n;                                          \
    } name;
#define NULLABLE(e, name, since, until, null_since, fit) struct e *name; /* NULL: null */
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) KTYPE_##t name;
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) KTYPE_##t name;
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) \
    struct {                                                         \
        struct e *v;                                                 \
        int32_t n;                                                   \
    } name;
#define TAG_NEST(tag, e, name, since, until, fit) struct e name; /* written unless all default */
#define END(s) \
    }          \
    ;
#include "net/wire/schema/all.def"

/* The bytes X_encode puts into the buffer when it splices, and how many records of how many bytes
 * it then leaves out. Without a splice list the buffer needs bytes + spliced_bytes. */
struct ksize {
    uint64_t bytes;
    uint64_t spliced_bytes;
    uint32_t splices;
};

/* 2. The functions. */
#define STRUCT(s) void s##_init(struct s *m);
#define MESSAGE(s, api)                                                                     \
    bool s##_read(struct s *m, struct kreader *r);                                          \
    bool s##_decode(struct s *m, struct kview frame, int16_t version, struct arena *arena); \
    bool s##_encode(const struct s *m, struct kwriter *w, int16_t version);                 \
    bool s##_read_any(void *m, struct kreader *r);                                          \
    bool s##_encode_any(const void *m, struct kwriter *w, int16_t version);                 \
    struct ksize s##_size(const struct s *m, int16_t version);
#include "net/wire/schema/all.def"

/* 3. The APIs. KFIRST_fetch and KLAST_fetch bound the versions of `fetch`, KFLEX_fetch is its first flexible one. */
enum {
#define API(api, name, key, advertised, first, last, flexible) \
    KFIRST_##api = (first), KLAST_##api = (last), KFLEX_##api = (flexible),
#define VERSIONS(s, first, last, flexible) KFIRST_##s = (first), KLAST_##s = (last), KFLEX_##s = (flexible),
#include "net/wire/schema/all.def"
};

/* Kafka's API keys: KAPI_produce and so on. */
enum kapi_key {
#define API(api, name, key, advertised, first, last, flexible) KAPI_##api = (key),
#include "net/wire/schema/all.def"
};

/* Versions [advertised, last] are shown to clients, [first, last] are understood: Produce 0 to 2
 * are advertised for the sake of older clients' feature tests (KAFKA-18659) and then refused. */
struct kapi {
    const char *name;
    int16_t key;
    int16_t advertised, first, last;
    int16_t flexible; /* the first flexible version */
};

/* The table, in ascending order of the keys. */
int32_t kapi_count(void);
const struct kapi *kapi_at(int32_t i);
/* NULL for a key that is not in the table. */
const struct kapi *kapi_find(int16_t key);
int16_t kapi_request_header(const struct kapi *api, int16_t version);
int16_t kapi_response_header(const struct kapi *api, int16_t version);

enum kopen {
    KOPEN_OK,
    KOPEN_BAD,     /* not a request header: close */
    KOPEN_KEY,     /* a key that we do not have: close, log */
    KOPEN_VERSION, /* a version that we do not have: close, log; ApiVersions is answered in v0 */
};

/* Reads the header of a request frame (without its size). *out_api is set for OK and VERSION,
 * *out_body is what follows the header (for OK only), *out_header is filled unless BAD. */
enum kopen kmsg_open(struct kview frame, struct arena *arena, struct request_header *out_header,
                     const struct kapi **out_api, struct kview *out_body);
