/* A request, from its frame to the last byte of its reply. It owns one bump memory; everything a handler needs for this
 * request comes from there, nothing is freed singly.
 *
 * HOW TO WRITE A HANDLER (net/api/<family>.c: one function per API, listed in net/api/api.h and in a row of dispatch.c)
 *
 *   void list_offsets_run(struct request *req)
 *   {
 *       struct list_offsets_request *m = REQUEST_DECODE(req, list_offsets_request);
 *       if (!m)
 *           return;                                   // malformed or too large: the request was ended
 *       struct list_offsets_response *r = request_zalloc(req, sizeof *r);  // or on the stack, when answered now
 *       list_offsets_response_init(r);
 *       ...
 *       REQUEST_REPLY(req, list_offsets_response, r); // `req` is gone after this
 *   }
 *
 * - A handler runs on the shard of the connection ("home"): req->server, req->server->shard. It ends exactly once: with
 *   REQUEST_REPLY, request_no_reply or request_fail, in the call or later, on home. Nothing else tells it apart: a handler that
 *   waits simply returns.
 * - Memory: request_alloc / request_zalloc. NULL means over the limit: request_fail(req, "...") and return.
 * - Decoded texts point into the received frame, which stays until the request ends, unless request_release was called. A
 *   handler that waits for long (Fetch) copies what it needs and releases. So does one that waits for another shard only
 *   if it likes: the bytes are readable by every shard meanwhile.
 * - A body that takes more than DECODE_NOW_BYTES is decoded by a job: REQUEST_DECODE yields NULL, and the handler runs again when it is
 *   done. So it does nothing before.
 * - The message may be the same for all versions: look at req->version only when behaviour differs.
 * - Waiting: set req->cancel if it can take long; it is called when the connection closes or the broker stops, and the handler
 *   then ends the request soon. Without it the request is waited for.
 * - The client: request_conn(req)->names, peer, software; the address to name in replies is net/api/topology.h's.
 *   req->header.client_id is a view into the frame.
 *
 * Other shards. Catalog changes (create, delete, producer ids) are asked with catalog_change_start, whose `done` runs on home.
 * Every shard has its own view of the catalog: server_catalog(req->server). Topics live only as long as the catalog says: do not
 * keep a struct topic * across a turn, copy its id and name. What a partition knows is asked on its owner:
 *
 *   struct my_part { struct part_call call; ... };    // request_zalloc'ed, one per partition
 *   memcpy(part->call.topic_id, topic->id, 16);
 *   part->call.partition = index;
 *   part->call.ask = my_ask;                          // on the owner: may use partition_*; p == NULL: gone. Ends with
 *   part->call.answered = my_answered;                //   part_call_done(c), at once or in a storage callback
 *   part_call_start(req->server->shard, &part->call); // at home: count what is out, plus one while starting
 *
 * On the owner neither request_alloc nor the catalog of home may be touched; what it found goes into fields of my_part. */
#pragma once
#include "net/conn/conn.h"
#include "net/wire/kmsg.h"

struct server;

struct request;

/* What is done with requests (net/api/dispatch.c). */
struct dispatcher {
    bool (*overlaps)(int16_t key);                             /* as in struct conn_handler */
    void (*dispatch)(struct request *req, struct kview frame); /* opens the frame, runs the handler of its API */
    void (*decoded)(struct request *req);                      /* runs the handler again: a job has decoded the body */
};
/* The requests of a shard, and their memory. */
struct requests {
    struct server *server; /* the handlers' */
    struct shard *shard;
    const struct dispatcher *dispatcher;
    struct list free; /* at most REQUESTS_FREE_MAX */
    uint32_t free_count;
    uint32_t count;          /* out: running, waiting to be sent, or waiting for their bufs to come home */
    size_t bytes, bytes_max; /* of their arenas */
    uint64_t started;
    bool stopping;
    struct shard_defer *quiet; /* deferred while stopping, whenever one is over */
};

struct request {
    struct exchange exchange; /* with its connection; its link is requests->free's while the request is free */
    struct requests *all;
    struct server *server;
    const struct kapi *api;
    int16_t version;
    struct request_header header;
    struct kview body;   /* in `block` */
    struct block *block; /* holds the frame; NULL after request_release */
    uint64_t arrived_ns;
    struct arena arena; /* `room` first, then the heap's */
    size_t decode_from; /* what it had used before the body was decoded */
    void *decoded;      /* the message, when a job has decoded it */
    bool cancelled;     /* while the job was at it */
    /* giving large memory back: a job, then messages to oneself, one a turn */
    struct io_op empty;
    struct shard_msg emptied;
    size_t freed_bytes;
    /* Called once when nobody waits for the reply any more or the broker stops. May end the request inside. */
    void (*cancel)(struct request *req);
    /* Called once after the reply was sent or dropped, when something must be given back first (bufs of a fetch). Ends with
     * request_free, now or later. NULL: nothing to give back. */
    void (*sent)(struct request *req);
    void *context; /* the handler's */
    /* the reply: `out` is the frame without records; exchange.pieces is what is sent */
    struct kwriter out;
    struct ksplice *splices; /* set by the handler before REQUEST_REPLY when its message has records elsewhere */
    uint32_t splice_max;
    bool splices_are_slices; /* krecords.from is a struct slices */
    struct iovec piece_one;
    uint8_t out_room[REQUEST_OUT_BYTES];
    _Alignas(16) uint8_t room[REQUEST_ROOM_BYTES];
};

/* The connection that the request came from, until the reply was sent or dropped. */
static inline struct conn *request_conn(const struct request *req)
{
    return req->exchange.conn;
}
/* 16-byte aligned; valid until the request is freed. */
void *request_alloc(struct request *req, size_t bytes) must_use;
void *request_zalloc(struct request *req, size_t bytes) must_use;
/* A copy of a text that must outlive the frame. n == -1 on lack of memory or for null. */
struct kview request_copy(struct request *req, struct kview v) must_use;
/* The received frame is no longer needed. */
void request_release(struct request *req);

/* While a request is held, the next one of its connection does not start, although it may overlap: until it has asked the partitions
 * for all that it wants. It is then to be let go, before its end. */
void request_hold(struct request *req);
void request_let_go(struct request *req);

/* The peer sent nonsense: a log line, and the connection is closed. Ends the request. */
void request_fail(struct request *req, const char *why);
/* Produce with acks=0. Ends the request. */
void request_no_reply(struct request *req);
/* Gives the request back; only for those that set `sent`. */
void request_free(struct request *req);

/* The decoded body as `struct X *`, or NULL: the request was ended. Bytes behind the message are ignored, as Kafka does:
 * librdkafka 2.x leaves three of them behind a Metadata request for all topics. */
#define REQUEST_DECODE(req, X)                                                                  \
    ({                                                                                          \
        struct X *m_ = (req)->decoded;                                                          \
        if (!m_) {                                                                              \
            m_ = request_alloc((req), sizeof *m_);                                              \
            struct kreader r_ = request_decode_begin(req);                                      \
            bool good_ = m_ && X##_read(m_, &r_);                                               \
            if (!request_decode_end((req), good_, m_, X##_read_any, "it sent a malformed " #X)) \
                m_ = NULL;                                                                      \
        }                                                                                       \
        m_;                                                                                     \
    })
/* Encodes the reply and ends the request. */
#define REQUEST_REPLY(req, X, message)                            \
    do {                                                          \
        const struct X *m_ = (message);                           \
        request_reply_begin(req);                                 \
        bool fits_ = X##_encode(m_, &(req)->out, (req)->version); \
        if (!fits_ && request_reply_grow(req))                    \
            fits_ = X##_encode(m_, &(req)->out, (req)->version);  \
        request_reply_end((req), fits_);                          \
    } while (0)
/* The same for answers that may be large: beyond ENCODE_NOW_BYTES a job encodes them. Whatever the message points to (but not the
 * message itself) stays as it is until the request ends: it is the request's, of the frame, or constant. */
#define REQUEST_REPLY_LARGE(req, X, message)                            \
    do {                                                                \
        const struct X *m_ = (message);                                 \
        request_reply_begin(req);                                       \
        (req)->out.over_max = ENCODE_NOW_BYTES;                         \
        bool fits_ = X##_encode(m_, &(req)->out, (req)->version);       \
        if (kwriter_gave_up(&(req)->out)) {                             \
            request_reply_later((req), m_, sizeof *m_, X##_encode_any); \
            break;                                                      \
        }                                                               \
        if (!fits_ && request_reply_grow(req))                          \
            fits_ = X##_encode(m_, &(req)->out, (req)->version);        \
        request_reply_end((req), fits_);                                \
    } while (0)

/* --- what the macros call --- */
/* A reader of what may be decoded in this turn. */
struct kreader request_decode_begin(struct request *req);
/* False: the body was not decoded. If all it needs is more room, or more time than a turn has, a job does it and the handler runs
 * again; otherwise the request was ended. */
bool request_decode_end(struct request *req, bool good, void *message, bool (*read)(void *message, struct kreader *r),
                        const char *malformed) must_use;
void request_reply_later(struct request *req, const void *message, size_t bytes,
                         bool (*encode)(const void *message, struct kwriter *w, int16_t version));
void request_reply_begin(struct request *req);
bool request_reply_grow(struct request *req) must_use;
void request_reply_end(struct request *req, bool fits);

/* --- what the server and the dispatcher call --- */
void requests_init(struct requests *all, struct shard *s, struct server *sv, const struct dispatcher *d,
                   size_t bytes_max, struct shard_defer *quiet);
void requests_deinit(struct requests *all);
/* For the connections' handler: the request of a whole frame. Takes a reference to the block. */
void request_start(struct requests *all, struct conn *c, struct block *b, const uint8_t *frame, uint32_t bytes);
void request_cancel(struct exchange *e);
void request_over(struct exchange *e);
/* Kafka would only close: a line says why. Ends the request. */
void request_refuse(struct request *req, const char *why);
