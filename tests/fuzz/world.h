/* A broker in one process without a kernel: the simulator's doors (tests/sim), in a world without troubles. Nothing fails there but
 * what the input brings; the same input is the same run. */
#pragma once
#include "net/wire/kmsg.h"
#include "tests/sim/net_sim.h"

/* An empty disk, no broker. `seed` throws the dice of delays and pieces. */
void world_fresh(uint64_t seed);
void world_over(void); /* everything goes; a broker that runs is killed */

/* --- the disk --- */
void world_put_file(const char *path, const void *at, size_t bytes); /* its folders too */
struct world_file {
    char *path;
    uint8_t *at;
    size_t bytes;
};
struct world_files {
    struct world_file *v;
    uint32_t count;
};
/* All of the data folder, in the order of their names, in memory of libc's. */
struct world_files world_take_files(void);
void world_free_files(struct world_files *files);
bool world_same_files(const struct world_files *a, const struct world_files *b);

/* --- the broker --- */
bool world_start(void); /* false: it refused */
void world_kill(void);
void world_stop(void); /* a clean stop; asserts that it comes to an end */
/* Turns until `done` says so or so much time has passed; false: time passed. */
bool world_run(uint64_t ns, bool (*done)(const void *arg), const void *arg);

/* --- a client's connection --- */
struct talk {
    struct net_link link;
    uint8_t *in;
    size_t in_bytes, in_cap;
    /* A reply's frame, without its length; lent. */
    void (*reply)(struct talk *t, struct kview frame);
    bool open;
};
bool talk_open(struct talk *t);
void talk_close(struct talk *t);
/* One request and its reply: the body behind the header. False: the connection was closed, or there was no answer in time. */
struct kwriter talk_begin(uint8_t *at, size_t room, int16_t key, int16_t version, int32_t correlation);
size_t talk_end(struct kwriter *w);
bool talk_ask(struct talk *t, const uint8_t *frame, size_t bytes, int16_t key, int16_t version, struct kview *out_body);
/* Of a message X of API api: asks and decodes. The reply's memory goes with the next one. */
#define TALK(t, api, request, version, out_response)                                         \
    ({                                                                                       \
        struct kwriter w_ = talk_begin(talk_out, sizeof talk_out, KAPI_##api, (version), 1); \
        bool good_ = api##_request_encode((request), &w_, (version));                        \
        struct kview body_;                                                                  \
        FUZZ_CHECK(good_, #api);                                                             \
        talk_ask((t), talk_out, talk_end(&w_), KAPI_##api, (version), &body_) &&             \
            api##_response_decode((out_response), body_, (version), talk_arena());           \
    })
extern uint8_t talk_out[1 << 20];
struct arena *talk_arena(void);

/* --- what is stored --- */
struct stored_batch {
    int64_t base_offset, last_offset;
    uint32_t crc;
};
struct stored_part {
    char topic[256];
    int32_t index;
    int64_t start, end; /* the log's */
    int16_t error;      /* of its read */
    struct stored_batch *v;
    uint32_t count, cap;
};
struct stored {
    struct stored_part *v;
    uint32_t count, cap;
};
/* Reads every partition of every topic from its start to its end, and checks each batch. False: the broker does not answer. */
bool stored_read(struct stored *s);
void stored_free(struct stored *s);
struct stored_part *stored_find(const struct stored *s, const char *topic, int32_t index); /* NULL: there is none */
/* Is every batch of `before`, but for what lies below `after`'s start, in `after` as it was? */
bool stored_keeps(const struct stored_part *before, const struct stored_part *after);
