#include "tests/fuzz/world.h"
#include "core/bytes.h"
#include "core/fs.h"
#include "storage/kerr.h"
#include "storage/log/batch.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/broker.h"
#include "tests/sim/disk_names.h"
#include "tests/sim/door_io.h"
#include "tests/sim/oracle.h"

enum { EARLIEST = -2, PORT = 9092, FETCH_BYTES = 1 << 20, ARENA_BYTES = 1 << 20, ROUNDS_MAX = 200 };
#define STEPS_MAX 3000000ull /* doors passed */
#define ANSWER_NS (30 * NS_PER_S)
#define STOP_NS (200 * NS_PER_S)

uint8_t talk_out[1 << 20];

/* --- the world --- */

static void quiet(struct knobs *k)
{
    *k = (struct knobs){.shards = 1,
                        .allocates = true,
                        .direct = sim.seed & 1,
                        .files_max = 4096,
                        .disk_ns_min = 1000,
                        .disk_ns_max = 20000,
                        .net_ns_max = 1000,
                        .trouble_ns = UINT64_MAX / 4};
}

void world_fresh(uint64_t seed)
{
    world_begin(seed);
    quiet(&sim.knobs);
    disk_begin();
    door_begin();
    net_begin();
    broker_begin();
    oracle_begin();
}

void world_over(void)
{
    if (broker_state() != BROKER_DOWN)
        broker_kill(CRASH_KILL);
    world_free_all();
}

/* --- the disk --- */

static void make_folders(const char *path)
{
    char folder[FS_PATH_MAX];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(folder, path, (size_t)(slash - path));
        folder[slash - path] = 0;
        enum err err = names_folder_exists(folder) ? ERR_NONE : fs_mkdir(folder);
        FUZZ_CHECK(!err, "%s: %s", folder, err_text(err));
    }
}

void world_put_file(const char *path, const void *at, size_t bytes)
{
    int fd;
    make_folders(path);
    enum err err = fs_open(path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (!err && bytes)
        err = fs_write(fd, at, bytes, 0);
    if (!err)
        err = fs_sync(fd);
    FUZZ_CHECK(!err, "%s: %s", path, err_text(err));
    fs_close(fd);
}

static void take_folder(struct world_files *files, const char *folder)
{
    for (struct disk_name *n = names_in(folder, NULL); n; n = names_in(folder, n)) {
        if (!n->node) {
            take_folder(files, n->path);
            continue;
        }
        files->v = realloc(files->v, (files->count + 1) * sizeof *files->v);
        struct world_file *file = &files->v[files->count++];
        *file = (struct world_file){.path = strdup(n->path), .bytes = disk_size(n->node)};
        file->at = malloc(file->bytes + 1);
        (void)disk_read(n->node, file->at, file->bytes, 0);
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct world_file *)a)->path, ((const struct world_file *)b)->path);
}

struct world_files world_take_files(void)
{
    struct world_files files = {0};
    take_folder(&files, "data");
    if (files.count)
        qsort(files.v, files.count, sizeof *files.v, by_path);
    return files;
}

void world_free_files(struct world_files *files)
{
    for (uint32_t i = 0; i < files->count; i++) {
        free(files->v[i].path);
        free(files->v[i].at);
    }
    free(files->v);
    *files = (struct world_files){0};
}

bool world_same_files(const struct world_files *a, const struct world_files *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (strcmp(a->v[i].path, b->v[i].path) != 0 || a->v[i].bytes != b->v[i].bytes ||
            memcmp(a->v[i].at, b->v[i].at, a->v[i].bytes) != 0)
            return false;
    return true;
}

/* --- the broker --- */

bool world_start(void)
{
    return broker_start();
}

void world_kill(void)
{
    broker_kill(CRASH_KILL);
}

static void step(void)
{
    uint64_t broker_ns = broker_next_ns(), event_ns = events_next();
    uint64_t next = u64_min(broker_ns, event_ns);
    FUZZ_CHECK(sim.steps < STEPS_MAX, "the broker works without end");
    sim.now_ns = u64_max(sim.now_ns, next);
    if (event_ns <= broker_ns)
        events_run_one();
    else
        broker_turn();
}

bool world_run(uint64_t ns, bool (*done)(const void *arg), const void *arg)
{
    uint64_t end_ns = sim.now_ns + ns;
    while (!(done && done(arg))) {
        uint64_t next = u64_min(broker_next_ns(), events_next());
        if (next > end_ns) { /* nothing happens before */
            sim.now_ns = u64_max(sim.now_ns, end_ns);
            return false;
        }
        step();
        if (sim.now_ns > end_ns)
            return done && done(arg);
    }
    return true;
}

static bool is_down(const void *arg)
{
    (void)arg;
    return broker_state() == BROKER_DOWN;
}

void world_stop(void)
{
    broker_stop();
    FUZZ_CHECK(world_run(STOP_NS, is_down, NULL), "a clean stop does not come to an end");
}

/* --- a connection --- */

static void link_closed(struct net_link *l)
{
    container_of(l, struct talk, link)->open = false;
}

static void link_arrived(struct net_link *l, const uint8_t *at, size_t bytes)
{
    struct talk *t = container_of(l, struct talk, link);
    if (t->in_bytes + bytes > t->in_cap) {
        t->in_cap = (t->in_bytes + bytes) * 2;
        t->in = world_grow(t->in, t->in_cap);
    }
    memcpy(t->in + t->in_bytes, at, bytes);
    t->in_bytes += bytes;
    size_t from = 0;
    while (t->in_bytes - from >= 4) {
        uint32_t n = be32_get(t->in + from);
        FUZZ_CHECK(n >= 4 && n < 64u << 20, "a reply of %u bytes", n);
        if (t->in_bytes - from - 4 < n)
            break;
        t->reply(t, (struct kview){t->in + from + 4, (int32_t)n});
        from += 4 + n;
    }
    memmove(t->in, t->in + from, t->in_bytes - from);
    t->in_bytes -= from;
}

bool talk_open(struct talk *t)
{
    t->link = (struct net_link){.arrived = link_arrived, .closed = link_closed};
    t->in_bytes = 0;
    t->open = net_connect(&t->link, PORT);
    return t->open;
}

void talk_close(struct talk *t)
{
    if (t->link.conn)
        net_close(&t->link);
    world_free(t->in);
    *t = (struct talk){.reply = t->reply};
}

struct arena *talk_arena(void)
{
    static uint8_t memory[ARENA_BYTES] __attribute__((aligned(16)));
    static struct arena arena;
    arena = arena_of(memory, sizeof memory);
    return &arena;
}

struct kwriter talk_begin(uint8_t *at, size_t room, int16_t key, int16_t version, int32_t correlation)
{
    struct kwriter w = kwriter_of(at, room);
    const struct request_header h = {.request_api_key = key,
                                     .request_api_version = version,
                                     .correlation_id = correlation,
                                     .client_id = {(const uint8_t *)"fuzz", 4}};
    kwrite_int32(&w, 0);
    FUZZ_CHECK(request_header_encode(&h, &w, kapi_request_header(kapi_find(key), version)), "key %d", key);
    return w;
}

size_t talk_end(struct kwriter *w)
{
    size_t bytes = kwriter_bytes(w);
    kwrite_int32_at(w, 0, (int32_t)bytes - 4);
    return bytes;
}

/* The one reply that is waited for. */
static uint8_t *answer;
static size_t answer_bytes;

static void take_answer(struct talk *t, struct kview frame)
{
    (void)t;
    FUZZ_CHECK(!answer, "two answers to one request");
    answer = memcpy(world_alloc((size_t)frame.n), frame.at, (size_t)frame.n);
    answer_bytes = (size_t)frame.n;
}

static bool has_answer(const void *arg)
{
    const struct talk *t = arg;
    return answer || !t->open;
}

bool talk_ask(struct talk *t, const uint8_t *frame, size_t bytes, int16_t key, int16_t version, struct kview *out_body)
{
    if (!t->open)
        return false;
    answer = NULL; /* the world's memory; the last one was lent to the caller until now */
    t->reply = take_answer;
    net_send(&t->link, frame, bytes);
    if (!world_run(ANSWER_NS, has_answer, t) || !answer)
        return false;
    struct response_header h;
    struct kreader r = kreader_of((struct kview){answer, (int32_t)answer_bytes},
                                  kapi_response_header(kapi_find(key), version), talk_arena());
    if (!response_header_read(&h, &r))
        return false;
    *out_body = (struct kview){r.at, (int32_t)kread_left(&r)};
    return true;
}

/* --- what is stored --- */

void stored_free(struct stored *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        free(s->v[i].v);
    free(s->v);
    *s = (struct stored){0};
}

struct stored_part *stored_find(const struct stored *s, const char *topic, int32_t index)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->v[i].index == index && strcmp(s->v[i].topic, topic) == 0)
            return &s->v[i];
    return NULL;
}

static void add_part(struct stored *s, struct kview topic, int32_t index)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->v = realloc(s->v, s->cap * sizeof *s->v);
    }
    struct stored_part *p = &s->v[s->count++];
    *p = (struct stored_part){.index = index};
    snprintf(p->topic, sizeof p->topic, "%.*s", topic.n, (const char *)topic.at);
}

static void add_batch(struct stored_part *p, const struct batch *b)
{
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->v = realloc(p->v, p->cap * sizeof *p->v);
    }
    p->v[p->count++] =
        (struct stored_batch){.base_offset = b->base_offset, .last_offset = batch_last_offset(b), .crc = b->crc};
}

static bool list_partitions(struct talk *t, struct stored *s)
{
    struct metadata_request m;
    struct metadata_response r;
    metadata_request_init(&m);
    m.topics.n = -1;
    m.allow_auto_topic_creation = false;
    if (!TALK(t, metadata, &m, 9, &r))
        return false;
    for (int32_t i = 0; i < r.topics.n; i++)
        for (int32_t k = 0; k < r.topics.v[i].partitions.n; k++)
            add_part(s, r.topics.v[i].name, r.topics.v[i].partitions.v[k].partition_index);
    return true;
}

/* The batches of one answer; the offset behind the last, or the one asked for when nothing came. */
static int64_t take_batches(struct stored_part *p, struct krecords records, int64_t from)
{
    const uint8_t *at = records.at, *end = records.n > 0 ? records.at + records.n : records.at;
    while (end - at >= BATCH_HEADER_BYTES) {
        struct batch b;
        FUZZ_CHECK(batch_parse(at, (size_t)(end - at), &b), "%s-%d: no batch", p->topic, p->index);
        if (b.bytes > end - at)
            break;
        FUZZ_CHECK(b.crc == batch_crc(at, b.bytes), "%s-%d: a batch with a bad CRC was given out", p->topic, p->index);
        FUZZ_CHECK(batch_last_offset(&b) >= from, "%s-%d: [%lld, %lld] where %lld was next", p->topic, p->index,
                   (long long)b.base_offset, (long long)batch_last_offset(&b), (long long)from);
        FUZZ_CHECK(b.base_offset >= from || p->count == 0, "%s-%d: %lld comes twice", p->topic, p->index,
                   (long long)b.base_offset);
        add_batch(p, &b);
        from = batch_last_offset(&b) + 1;
        at += b.bytes;
    }
    return from;
}

/* Where the log starts; p->error. False: no answer. */
static bool ask_start(struct talk *t, struct stored_part *p)
{
    struct list_offsets_partition part;
    struct list_offsets_topic topic;
    struct list_offsets_request m;
    struct list_offsets_response r;
    list_offsets_partition_init(&part);
    list_offsets_topic_init(&topic);
    list_offsets_request_init(&m);
    m.replica_id = -1;
    m.topics.v = &topic;
    m.topics.n = 1;
    topic.name = (struct kview){(const uint8_t *)p->topic, (int32_t)strlen(p->topic)};
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    part.partition_index = p->index;
    part.timestamp = EARLIEST;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (!TALK(t, list_offsets, &m, 7, &r))
            return false;
        FUZZ_CHECK(r.topics.n == 1 && r.topics.v[0].partitions.n == 1, "%s-%d", p->topic, p->index);
        p->error = r.topics.v[0].partitions.v[0].error_code;
        p->start = r.topics.v[0].partitions.v[0].offset;
        if (p->error != KERR_OFFSET_NOT_AVAILABLE && p->error != KERR_NOT_LEADER_OR_FOLLOWER)
            break;
        (void)world_run(100 * NS_PER_MS, NULL, NULL); /* it is being recovered */
    }
    return true;
}

/* False: no answer. Until an error, or the end. */
static bool read_part(struct talk *t, struct stored_part *p)
{
    struct fetch_partition part;
    struct fetch_topic topic;
    struct fetch_request m;
    if (!ask_start(t, p))
        return false;
    fetch_partition_init(&part);
    fetch_topic_init(&topic);
    fetch_request_init(&m);
    m.max_bytes = FETCH_BYTES;
    m.topics.v = &topic;
    m.topics.n = 1;
    topic.topic = (struct kview){(const uint8_t *)p->topic, (int32_t)strlen(p->topic)};
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    part.partition = p->index;
    part.partition_max_bytes = FETCH_BYTES;
    part.fetch_offset = p->start;
    for (int round = 0; round < ROUNDS_MAX && !p->error; round++) {
        struct fetch_response r;
        if (!TALK(t, fetch, &m, 11, &r))
            return false;
        FUZZ_CHECK(r.responses.n == 1 && r.responses.v[0].partitions.n == 1, "%s-%d", p->topic, p->index);
        const struct fetch_partition_data *d = &r.responses.v[0].partitions.v[0];
        p->error = d->error_code;
        p->end = d->high_watermark;
        int64_t next = p->error ? -1 : take_batches(p, d->records, part.fetch_offset);
        if (next == part.fetch_offset || next >= p->end)
            break;
        part.fetch_offset = next;
    }
    return true;
}

bool stored_read(struct stored *s)
{
    struct talk t = {.reply = take_answer};
    bool good = talk_open(&t) && list_partitions(&t, s);
    for (uint32_t i = 0; good && i < s->count; i++)
        good = read_part(&t, &s->v[i]);
    talk_close(&t);
    return good;
}

bool stored_keeps(const struct stored_part *before, const struct stored_part *after)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < before->count; i++) {
        const struct stored_batch *b = &before->v[i];
        if (b->last_offset < after->start)
            continue;
        while (k < after->count && after->v[k].base_offset < b->base_offset)
            k++;
        if (k == after->count)
            return false;
        const struct stored_batch *now = &after->v[k];
        if (now->base_offset != b->base_offset || now->last_offset != b->last_offset || now->crc != b->crc)
            return false;
    }
    return true;
}
