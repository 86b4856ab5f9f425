/* State that is read from a file by its path, on the simulator's disk: up to where a log was cleaned, and what shared memory has of a killed
 * broker, replayed into a partition's folder. */
#include "core/bytes.h"
#include "core/fs.h"
#include "storage/catalog/catalog_file.h"
#include "storage/clean/clean_work.h"
#include "storage/log/folder.h"
#include "storage/log/partition_dir.h"
#include "storage/redo_replay.h"
#include "storage/root.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/state_files.h"
#include "tests/fuzz/world.h"
#include "tests/sim/shared.h"
#include "tests/unit/make_batch.h"

/* --- cleaner-offset-checkpoint --- */

void fuzz_clean_offset(const uint8_t *at, size_t n)
{
    world_fresh(0);
    struct heap *heap = heap_open();
    world_put_file("data/" FOLDER_CLEANED, at, n);
    int64_t offset = clean_offset_load(heap, "data");
    FUZZ_CHECK(offset >= -1, "%lld", (long long)offset);
    if (offset >= 0) {
        FUZZ_CHECK(clean_offset_save("data", "topic", 3, offset) == ERR_NONE, "%lld", (long long)offset);
        int64_t again = clean_offset_load(heap, "data");
        FUZZ_CHECK(again == offset, "%lld, %lld", (long long)again, (long long)offset);
    }
    heap_close(heap);
    world_over();
}

/* --- the redo ring ---
 *
 *   input:  start u8 | second segment u8 | records: how u8 | base offset u8 | position u16 | size u8 | [its bytes] [what is spoilt] */

enum { LOG_BYTES = 4096, RECORDS_MAX = 8, EPOCH = 7, NEAR_THE_END = 200 };
enum { HOW_RAW = 1, HOW_SPOILT = 2, HOW_SPOILT_BEHIND = 4, HOW_FIELDS = 8 };
#define FIRST_LOG "data/r-0/00000000000000000000.log"
#define LATER_LOG "data/r-0/00000000000000000005.log"
static const uint8_t topic_id[16] = "a topic of redo";

struct redo_world {
    struct heap *heap;
    struct catalog_file catalog;
    struct broker_config config;
    struct root root;
    struct topic topic;
    uint8_t *file; /* header, ends, ring */
    uint64_t place;
    uint8_t may_change[LOG_BYTES]; /* of the first log: a record says so */
    bool later;
};

static uint8_t *ring_of(const struct redo_world *w)
{
    return w->file + redo_ring_at(0) + PAGE_BYTES;
}

static void put_into_ring(struct redo_world *w, const void *from, size_t bytes)
{
    const uint8_t *at = from;
    for (size_t i = 0; i < bytes; i++)
        ring_of(w)[w->place++ % REDO_RING_BYTES] = at[i];
}

/* A record may change what it names, and where its header was spoilt with a good CRC anything. */
static void allow_changes(struct redo_world *w, const struct redo_record *r, bool spoilt)
{
    if (spoilt)
        memset(w->may_change, 1, sizeof w->may_change);
    for (uint64_t i = r->position; i < r->position + r->bytes && i < LOG_BYTES; i++)
        w->may_change[i] = 1;
}

static void put_redo_record(struct redo_world *w, struct feed *f)
{
    static uint8_t made[MAKE_BATCH_MAX];
    const uint8_t *body = made;
    uint8_t how = feed_byte(f), base = feed_byte(f);
    uint64_t position = feed_word(f, 2);
    uint32_t size = feed_byte(f);
    size_t bytes = how & HOW_RAW ? feed_take(f, size, &body)
                                 : make_batch(made, (struct make_batch){.base_offset = base,
                                                                        .timestamp = 1,
                                                                        .producer_id = -1,
                                                                        .producer_epoch = -1,
                                                                        .sequence = -1,
                                                                        .leader_epoch = EPOCH,
                                                                        .count = 1,
                                                                        .value_bytes = size});
    struct redo_record r = {.bytes = (uint32_t)bytes,
                            .place = w->place,
                            .leader_epoch = EPOCH,
                            .base_offset = base,
                            .end_offset = base + 1,
                            .position = position};
    memcpy(r.topic_id, topic_id, sizeof topic_id);
    if (how & HOW_FIELDS) {
        r.partition = (int32_t)feed_word(f, 4);
        r.segment = (int8_t)feed_byte(f);
        r.end_offset = (int8_t)feed_byte(f);
        r.bytes += feed_byte(f);
    }
    if (how & HOW_SPOILT)
        ((uint8_t *)&r)[4 + feed_below(f, sizeof r - 4)] ^= (uint8_t)(1 + feed_byte(f));
    allow_changes(w, &r, how & HOW_SPOILT);
    r.crc = redo_record_crc(&r);
    if (how & HOW_SPOILT_BEHIND)
        ((uint8_t *)&r)[feed_below(f, sizeof r)] ^= (uint8_t)(1 + feed_byte(f));
    put_into_ring(w, &r, sizeof r);
    put_into_ring(w, body, bytes);
}

static void make_redo_world(struct redo_world *w, struct feed *f)
{
    static uint8_t log[LOG_BYTES];
    memset(log, 0xee, sizeof log);
    world_put_file(FIRST_LOG, log, sizeof log);
    w->later = feed_byte(f) & 1;
    if (w->later)
        world_put_file(LATER_LOG, log, sizeof log);
    FUZZ_CHECK(partition_dir_name("data/r-0", topic_id) == ERR_NONE, "no name");
    broker_config_init(&w->config, w->heap);
    strcpy(w->config.data_dir, "data");
    FUZZ_CHECK(catalog_init(&w->catalog.all, w->heap) == ERR_NONE, "no catalog");
    w->topic = (struct topic){.name = "r", .partitions = 1};
    memcpy(w->topic.id, topic_id, sizeof topic_id);
    FUZZ_CHECK(catalog_add(&w->catalog.all, &w->topic) == ERR_NONE, "no topic");
    w->root = (struct root){.config = &w->config, .heap = w->heap, .catalog = &w->catalog};
}

/* Header, ends and ring, as a broker of the same folder and epoch left them. */
static struct redo_header make_redo_file(struct redo_world *w, struct feed *f)
{
    struct redo_header h = {.magic = REDO_MAGIC, .of.leader_epoch = EPOCH, .rings = 1};
    w->file = heap_zalloc(w->heap, redo_ring_at(1));
    FUZZ_CHECK(w->file, "no memory");
    uint64_t needed = feed_byte(f) & 1 ? REDO_RING_BYTES - NEAR_THE_END : 0; /* records that wrap */
    w->place = needed;
    for (int i = 0; i < RECORDS_MAX && feed_left(f); i++)
        put_redo_record(w, f);
    struct redo_ends *ends = (void *)(w->file + redo_ring_at(0));
    atomic_store(&ends->needed, needed);
    atomic_store(&ends->committed, w->place);
    h.crc = redo_header_crc(&h);
    memcpy(w->file, &h, sizeof h);
    world_put_file("shm/redo", w->file, redo_ring_at(1));
    return h;
}

static void check_log_of(const struct redo_world *w, const char *path, bool may_change)
{
    static uint8_t log[LOG_BYTES + 1];
    size_t got = 0;
    int fd;
    FUZZ_CHECK(fs_open(path, FS_READ, &fd) == ERR_NONE, "%s is gone", path);
    FUZZ_CHECK(fs_read(fd, log, sizeof log, 0, &got) == ERR_NONE, "%s", path);
    fs_close(fd);
    FUZZ_CHECK(got == LOG_BYTES, "%s has %zu bytes", path, got);
    for (uint32_t i = 0; i < LOG_BYTES; i++)
        FUZZ_CHECK(log[i] == 0xee || (may_change && w->may_change[i]), "%s changed at %u, where no record says so",
                   path, i);
}

void fuzz_redo(const uint8_t *at, size_t n)
{
    world_fresh(0);
    shared_spoil();
    struct heap *heap = heap_open();
    struct redo_world *w = heap_zalloc(heap, sizeof *w);
    struct feed f = {at, at + n};
    int fd;
    w->heap = heap;
    make_redo_world(w, &f);
    struct redo_header h = make_redo_file(w, &f);
    for (int twice = 0; twice < 2; twice++) { /* it may be begun again */
        FUZZ_CHECK(fs_open("shm/redo", FS_READ, &fd) == ERR_NONE, "no file");
        FUZZ_CHECK(redo_replay(&w->root, fd, &h) == ERR_NONE, "the disk works");
        fs_close(fd);
        check_log_of(w, FIRST_LOG, true);
        if (w->later)
            check_log_of(w, LATER_LOG, true);
    }
    catalog_remove(&w->catalog.all, &w->topic);
    catalog_deinit(&w->catalog.all);
    broker_config_deinit(&w->config);
    heap_close(heap);
    world_over();
}
