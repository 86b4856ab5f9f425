/* Mutated data folders. A broker made a folder (once cleanly stopped, once killed); the input says what happens to its files: bytes
 * changed, files cut, swapped, lost, batches lost, doubled, emptied, checksums mended or not. Then
 *
 *   - check reads it all and touches nothing; where it finds no fault, a broker starts
 *   - a broker starts, or refuses with a sentence; every batch that it gives out is whole
 *   - partitions that nothing was done to are as they were
 *   - stopped and started again, it gives out the same
 *   - repair ends, and what it leaves can be checked
 *
 * Some inputs (first byte 240 and more) are files alone, without a broker: state_files.c.
 *
 *   input:  which folder, what then u8 | operations: file u8 | kind u8 | arguments */
#include "core/bytes.h"
#include "storage/check/check.h"
#include "storage/log/batch.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/state_files.h"
#include "tests/fuzz/world.h"
#include "tests/unit/make_batch.h"

#define GONE SIZE_MAX /* bytes of a file that is not there any more */

enum { FILES_ALONE = 240, OPS_MAX = 16, FOLDERS = 2, FILE_MAX = 256 * 1024, BATCHES = 14 };

/* --- the folders --- */

static struct world_files made[FOLDERS];
static struct stored was; /* what a reader saw of them */

static struct kview text_of(const char *s)
{
    return (struct kview){(const uint8_t *)s, (int32_t)strlen(s)};
}

static void make_topic(struct talk *t, const char *name, const char *cleanup)
{
    struct creatable_topic topic;
    struct create_topics_request m;
    struct create_topics_response r;
    struct creatable_topic_config config[3];
    creatable_topic_init(&topic);
    create_topics_request_init(&m);
    static const char *const keys[] = {"internal.segment.bytes", "index.interval.bytes", "cleanup.policy"};
    const char *values[] = {"700", "100", cleanup};
    for (int i = 0; i < 3; i++) {
        creatable_topic_config_init(&config[i]);
        config[i].name = text_of(keys[i]);
        config[i].value = text_of(values[i]);
    }
    topic.name = text_of(name);
    topic.num_partitions = 2;
    topic.replication_factor = 1;
    topic.configs.v = config;
    topic.configs.n = 3;
    m.topics.v = &topic;
    m.topics.n = 1;
    FUZZ_CHECK(TALK(t, create_topics, &m, 5, &r) && r.topics.v[0].error_code == 0, "no topic %s", name);
}

static void produce(struct talk *t, const char *name, int32_t index, struct make_batch how)
{
    static uint8_t batch[MAKE_BATCH_MAX];
    struct partition_produce_data part;
    struct topic_produce_data topic;
    struct produce_request m;
    struct produce_response r;
    partition_produce_data_init(&part);
    topic_produce_data_init(&topic);
    produce_request_init(&m);
    if (how.attributes & BATCH_TRANSACTIONAL)
        m.transactional_id = text_of("t");
    part.index = index;
    part.records = (struct krecords){.at = batch, .n = (int32_t)make_batch(batch, how)};
    topic.name = text_of(name);
    topic.partition_data.v = &part;
    topic.partition_data.n = 1;
    m.acks = -1;
    m.timeout_ms = 1000;
    m.topic_data.v = &topic;
    m.topic_data.n = 1;
    FUZZ_CHECK(TALK(t, produce, &m, 9, &r), "no answer");
    FUZZ_CHECK(r.responses.v[0].partition_responses.v[0].error_code == 0, "%d",
               r.responses.v[0].partition_responses.v[0].error_code);
}

static void commit(struct talk *t)
{
    struct offset_commit_request_partition part;
    struct offset_commit_request_topic topic;
    struct offset_commit_request m;
    struct offset_commit_response r;
    offset_commit_request_partition_init(&part);
    offset_commit_request_topic_init(&topic);
    offset_commit_request_init(&m);
    part.committed_offset = 3;
    part.committed_metadata = text_of("m");
    topic.name = text_of("a");
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    m.group_id = text_of("g");
    m.generation_id_or_member_epoch = -1;
    m.topics.v = &topic;
    m.topics.n = 1;
    for (int i = 0; i < 20; i++) {
        FUZZ_CHECK(TALK(t, offset_commit, &m, 7, &r), "no answer");
        if (r.topics.v[0].partitions.v[0].error_code == 0)
            return;
        (void)world_run(100 * NS_PER_MS, NULL, NULL); /* it is being loaded */
    }
    FUZZ_CHECK(false, "error %d", r.topics.v[0].partitions.v[0].error_code);
}

static void ask_coordinator(struct talk *t, const char *key, int8_t kind)
{
    struct find_coordinator_request m;
    struct find_coordinator_response r;
    find_coordinator_request_init(&m);
    m.key = text_of(key);
    m.key_type = kind;
    FUZZ_CHECK(TALK(t, find_coordinator, &m, 2, &r), "no answer");
}

/* --- a transactional producer: one transaction is aborted, one committed, one more aborted, in rolled segments, and one is open --- */

enum { TXN_BATCHES = 4, TXN_TRIES = 50 };
static struct {
    int64_t id;
    int16_t epoch;
    int32_t sequence;
} producer;

/* What it asks again while the coordinator is being loaded, or puts markers. */
static bool ask_later(int16_t error, int i)
{
    FUZZ_CHECK(error == KERR_NONE || i < TXN_TRIES, "error %d", error);
    if (error)
        (void)world_run(100 * NS_PER_MS, NULL, NULL);
    return error;
}

static void init_producer(struct talk *t)
{
    struct init_producer_id_request m;
    struct init_producer_id_response r;
    init_producer_id_request_init(&m);
    m.transactional_id = text_of("t");
    m.transaction_timeout_ms = 900000;
    int i = 0;
    do
        FUZZ_CHECK(TALK(t, init_producer_id, &m, 1, &r), "no answer");
    while (ask_later(r.error_code, i++));
    producer.id = r.producer_id;
    producer.epoch = r.producer_epoch;
    producer.sequence = 0;
}

static void add_partition(struct talk *t)
{
    struct add_partitions_to_txn_topic topic;
    struct add_partitions_to_txn_request m;
    struct add_partitions_to_txn_response r;
    int32_t index = 0;
    int i = 0;
    add_partitions_to_txn_topic_init(&topic);
    add_partitions_to_txn_request_init(&m);
    topic.name = text_of("x");
    topic.partitions.v = &index;
    topic.partitions.n = 1;
    m.v3_and_below_transactional_id = text_of("t");
    m.v3_and_below_producer_id = producer.id;
    m.v3_and_below_producer_epoch = producer.epoch;
    m.v3_and_below_topics.v = &topic;
    m.v3_and_below_topics.n = 1;
    do
        FUZZ_CHECK(TALK(t, add_partitions_to_txn, &m, 2, &r), "no answer");
    while (ask_later(r.results_by_topic_v3_and_below.v[0].results_by_partition.v[0].partition_error_code, i++));
}

static void end_transaction(struct talk *t, bool commits)
{
    struct end_txn_request m;
    struct end_txn_response r;
    end_txn_request_init(&m);
    m.transactional_id = text_of("t");
    m.producer_id = producer.id;
    m.producer_epoch = producer.epoch;
    m.committed = commits;
    int i = 0;
    do
        FUZZ_CHECK(TALK(t, end_txn, &m, 2, &r), "no answer");
    while (ask_later(r.error_code, i++));
}

static void transact(struct talk *t)
{
    static const enum { ABORTS, COMMITS, STAYS_OPEN } ends[] = {ABORTS, COMMITS, ABORTS, STAYS_OPEN};
    ask_coordinator(t, "t", 1);
    init_producer(t);
    for (size_t n = 0; n < COUNT_OF(ends); n++) {
        add_partition(t);
        for (int i = 0; i < TXN_BATCHES; i++) {
            produce(t, "x", 0,
                    (struct make_batch){.timestamp = 1790000000000 + i,
                                        .producer_id = producer.id,
                                        .producer_epoch = producer.epoch,
                                        .sequence = producer.sequence,
                                        .attributes = BATCH_TRANSACTIONAL,
                                        .count = 2,
                                        .value_bytes = 60});
            producer.sequence += 2;
        }
        if (ends[n] != STAYS_OPEN)
            end_transaction(t, ends[n] == COMMITS);
    }
}

static void fill(void)
{
    struct talk t = {0};
    FUZZ_CHECK(talk_open(&t), "nobody listens");
    make_topic(&t, "a", "delete");
    make_topic(&t, "c", "compact");
    make_topic(&t, "x", "delete");
    ask_coordinator(&t, "g", 0);
    for (int32_t i = 0; i < BATCHES; i++) {
        struct make_batch b = {.timestamp = 1790000000000 + i,
                               .producer_id = i % 2 ? 1 : -1,
                               .producer_epoch = i % 2 ? 0 : -1,
                               .sequence = i % 2 ? i / 2 * 3 : -1,
                               .count = 3,
                               .value_bytes = i == 5 ? 100 : 20};
        produce(&t, "a", 0, b);
        if (i < 3)
            produce(&t, "a", 1, b);
        if (i < 5)
            produce(&t, "c", 1, b);
    }
    for (int32_t i = 0; i < 6; i++)
        produce(&t, "c", 0,
                (struct make_batch){.timestamp = 1790000000000 - i,
                                    .producer_id = -1,
                                    .producer_epoch = -1,
                                    .sequence = -1,
                                    .count = 1,
                                    .value_bytes = 300});
    commit(&t);
    transact(&t);
    talk_close(&t);
}

static void make_folders(void)
{
    for (int i = 0; i < FOLDERS; i++) {
        world_fresh(0);
        FUZZ_CHECK(world_start(), "no start");
        fill();
        (void)world_run(3 * NS_PER_S, NULL, NULL); /* a checkpoint */
        if (i == 0)
            FUZZ_CHECK(stored_read(&was), "no answer");
        if (i == 0)
            world_stop();
        else
            world_kill();
        made[i] = world_take_files();
        world_over();
    }
}

/* --- what happens to them --- */

struct harm {
    struct world_files files;
    bool global;         /* something that no partition owns */
    char folders[8][64]; /* those of partitions that were touched */
    uint32_t count;
};

static struct world_files copy_files(const struct world_files *from)
{
    struct world_files to = {.v = calloc(from->count * 2 + OPS_MAX, sizeof *to.v), .count = from->count};
    for (uint32_t i = 0; i < from->count; i++) {
        to.v[i] = (struct world_file){.path = strdup(from->v[i].path), .bytes = from->v[i].bytes};
        to.v[i].at = malloc(from->v[i].bytes + 1);
        memcpy(to.v[i].at, from->v[i].at, from->v[i].bytes);
    }
    return to;
}

static void touch(struct harm *h, const char *path)
{
    char folder[64];
    const char *inner = strchr(path, '/') + 1, *slash = strchr(inner, '/');
    if (!slash || slash - inner >= (int)sizeof folder || h->count == COUNT_OF(h->folders)) {
        h->global = true;
        return;
    }
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - inner), inner);
    for (uint32_t i = 0; i < h->count; i++)
        if (strcmp(h->folders[i], folder) == 0)
            return;
    strcpy(h->folders[h->count++], folder);
}

static bool is_untouched(const struct harm *h, const char *topic, int32_t index)
{
    char folder[300];
    snprintf(folder, sizeof folder, "%s-%d", topic, index);
    for (uint32_t i = 0; i < h->count; i++)
        if (strcmp(h->folders[i], folder) == 0)
            return false;
    return !h->global;
}

static void resize(struct world_file *f, size_t bytes)
{
    uint8_t *at = calloc(1, bytes + 1);
    memcpy(at, f->at, bytes < f->bytes ? bytes : f->bytes);
    free(f->at);
    f->at = at;
    f->bytes = bytes;
}

/* Takes out [from, from + gone) and puts `more` bytes in. */
static void splice(struct world_file *f, size_t from, size_t gone, const uint8_t *in, size_t more)
{
    uint8_t *at = calloc(1, f->bytes - gone + more + 1);
    memcpy(at, f->at, from);
    if (more)
        memcpy(at + from, in, more);
    memcpy(at + from + more, f->at + from + gone, f->bytes - from - gone);
    free(f->at);
    f->at = at;
    f->bytes += more - gone;
}

/* The batch of that number, or the last before. */
static bool find_batch(const struct world_file *f, uint32_t number, size_t *out_at, struct batch *out)
{
    bool found = false;
    struct batch b;
    for (size_t at = 0; at < f->bytes && batch_parse(f->at + at, f->bytes - at, &b); at += b.bytes) {
        if (b.bytes > f->bytes - at)
            break;
        *out_at = at;
        *out = b;
        found = true;
        if (number-- == 0)
            break;
    }
    return found;
}

enum { BATCH_LOST, BATCH_TWICE, BATCH_EMPTY, BATCH_FIELD, BATCH_FIELD_BAD, BATCH_REST, BATCH_RECORD, BATCH_KINDS };

static void harm_batch(struct world_file *f, struct feed *in)
{
    static const struct {
        uint8_t at, bytes;
    } fields[] = {{0, 8},  {8, 4},  {12, 4}, {16, 1}, {21, 2}, {23, 4},
                  {27, 8}, {35, 8}, {43, 8}, {51, 2}, {53, 4}, {57, 4}};
    size_t at = 0;
    struct batch b;
    uint32_t how = feed_below(in, BATCH_KINDS);
    if (!find_batch(f, feed_byte(in), &at, &b))
        return;
    uint8_t *copy = malloc(b.bytes);
    memcpy(copy, f->at + at, b.bytes);
    uint32_t field = feed_below(in, COUNT_OF(fields)), bytes = b.bytes;
    if (how == BATCH_LOST) {
        splice(f, at, b.bytes, NULL, 0);
    } else if (how == BATCH_TWICE) {
        splice(f, at, 0, copy, b.bytes);
    } else if (how == BATCH_EMPTY) { /* as compaction leaves it */
        be32_put(copy + 8, BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES);
        be32_put(copy + 57, 0);
        make_seal(copy, BATCH_HEADER_BYTES);
        splice(f, at, b.bytes, copy, BATCH_HEADER_BYTES);
    } else if (how == BATCH_REST) {
        resize(f, at + feed_word(in, 2) % (b.bytes + 1));
    } else {
        uint32_t from =
            how == BATCH_RECORD ? BATCH_HEADER_BYTES + (uint32_t)feed_word(in, 2) % bytes : fields[field].at;
        uint32_t n = how == BATCH_RECORD ? 1 : fields[field].bytes;
        for (uint32_t i = from; i < from + n && i < bytes; i++)
            copy[i] = n > 2 && i + 2 < from + n ? (uint8_t) - (feed_byte(in) & 1) : feed_byte(in);
        if (how != BATCH_FIELD_BAD && batch_parse(copy, bytes, &b) && b.bytes == bytes)
            make_seal(copy, bytes);
        memcpy(f->at + at, copy, bytes);
    }
    free(copy);
}

static void rename_file(struct harm *h, uint32_t which, struct feed *in)
{
    static const char *const suffixes[] = {".swap", ".cleaned", ".deleted", ".tmp", "", "~"};
    struct world_file *f = &h->files.v[which];
    char path[512];
    uint32_t suffix = feed_below(in, COUNT_OF(suffixes));
    snprintf(path, sizeof path, "%s%s", f->path, suffixes[suffix]);
    if (suffix == 4) { /* another offset */
        char *dot = strrchr(path, '.');
        if (dot && dot - path > 2 && dot[-1] != '/')
            dot[-1] = (char)('0' + feed_below(in, 10));
    }
    free(f->path);
    f->path = strdup(path);
}

enum {
    HARM_BYTE,
    HARM_WORD,
    HARM_CUT,
    HARM_GROW,
    HARM_LOSE,
    HARM_ZERO,
    HARM_COPY,
    HARM_NAME,
    HARM_TWIN,
    HARM_BATCH,
    HARM_BATCH_TOO,
    HARM_KINDS
};

static void harm(struct harm *h, struct feed *in)
{
    uint32_t which = feed_below(in, h->files.count), kind = feed_below(in, HARM_KINDS);
    struct world_file *f = &h->files.v[which], *other;
    size_t at = f->bytes ? feed_word(in, 2) % f->bytes : 0, n = feed_byte(in);
    touch(h, f->path);
    if (f->bytes == GONE)
        return;
    switch (kind) {
    case HARM_BYTE:
        if (f->bytes)
            f->at[at] = (uint8_t)n;
        break;
    case HARM_WORD:
        for (size_t i = at; i < at + 4 && i < f->bytes; i++)
            f->at[i] = feed_byte(in);
        break;
    case HARM_CUT: resize(f, at); break;
    case HARM_GROW:
        n = f->bytes + n * 7 < FILE_MAX * 8 ? n * 7 : 0;
        resize(f, f->bytes + n);
        for (size_t i = f->bytes - n; i < f->bytes && feed_left(in); i++)
            f->at[i] = feed_byte(in);
        break;
    case HARM_LOSE: f->bytes = GONE; break;
    case HARM_ZERO: memset(f->at + at, 0, n * 16 < f->bytes - at ? n * 16 : f->bytes - at); break;
    case HARM_COPY: /* another file's bytes under this name */
        other = &h->files.v[n % h->files.count];
        if (other != f && other->bytes != GONE) {
            resize(f, other->bytes);
            memcpy(f->at, other->at, f->bytes);
        }
        break;
    case HARM_NAME: rename_file(h, which, in); break;
    case HARM_TWIN: /* the same under another name, too */
        h->files.v[h->files.count] = (struct world_file){.path = strdup(f->path), .bytes = f->bytes};
        h->files.v[h->files.count].at = malloc(f->bytes + 1);
        memcpy(h->files.v[h->files.count].at, f->at, f->bytes);
        rename_file(h, h->files.count++, in);
        break;
    default: harm_batch(f, in); break;
    }
}

static void put_files(const struct harm *h)
{
    for (uint32_t i = 0; i < h->files.count; i++)
        if (h->files.v[i].bytes != GONE)
            world_put_file(h->files.v[i].path, h->files.v[i].at, h->files.v[i].bytes);
}

/* --- what must hold --- */

struct verdict {
    enum err err;
    uint64_t faults;
};

static void hear(void *arg, const char *kind, const char *file, const char *text)
{
    (void)arg;
    FUZZ_CHECK(kind[0] && file[0] && text[0], "a finding without words");
}

static struct verdict inspect(bool repair)
{
    char why[CONFIG_WHY_BYTES] = "";
    struct heap *heap = heap_open();
    struct broker_config config;
    broker_config_init(&config, heap);
    struct check c = {.heap = heap, .data_dir = "data", .config = &config, .say = hear};
    struct verdict v = {.err = repair ? repair_run(&c, why) : check_run(&c, why)};
    FUZZ_CHECK(!v.err || why[0], "refused without a word");
    v.faults = c.faults;
    broker_config_deinit(&config);
    heap_close(heap);
    return v;
}

static struct verdict check_only(void)
{
    struct world_files before = world_take_files();
    struct verdict v = inspect(false);
    struct world_files after = world_take_files();
    FUZZ_CHECK(world_same_files(&before, &after), "check changed the folder");
    world_free_files(&before);
    world_free_files(&after);
    return v;
}

static void others_are_there(const struct harm *h, const struct stored *now)
{
    for (uint32_t i = 0; i < was.count; i++) {
        const struct stored_part *before = &was.v[i], *after = stored_find(now, before->topic, before->index);
        if (!is_untouched(h, before->topic, before->index))
            continue;
        FUZZ_CHECK(after, "%s-%d is gone, and nothing was done to it", before->topic, before->index);
        FUZZ_CHECK(after->error == 0, "%s-%d: error %d, and nothing was done to it", before->topic, before->index,
                   after->error);
        FUZZ_CHECK(after->start == before->start && stored_keeps(before, after),
                   "%s-%d lost something, and nothing was done to it", before->topic, before->index);
    }
}

static void same_again(const struct stored *first, const struct stored *second)
{
    for (uint32_t i = 0; i < first->count; i++) {
        const struct stored_part *a = &first->v[i], *b = stored_find(second, a->topic, a->index);
        FUZZ_CHECK(b, "%s-%d is gone after a restart", a->topic, a->index);
        if (a->error)
            continue;
        FUZZ_CHECK(b->error == 0, "%s-%d: error %d after a restart", a->topic, a->index, b->error);
        FUZZ_CHECK(b->start == a->start && b->end >= a->end, "%s-%d was [%lld, %lld), is [%lld, %lld) after a restart",
                   a->topic, a->index, (long long)a->start, (long long)a->end, (long long)b->start, (long long)b->end);
        FUZZ_CHECK(stored_keeps(a, b), "%s-%d lost something in a restart", a->topic, a->index);
    }
}

static void list_all(const char *when)
{
    if (!getenv("FUZZ_LIST"))
        return;
    struct world_files files = world_take_files();
    for (uint32_t i = 0; i < files.count; i++) {
        printf("%s: %s %zu", when, files.v[i].path, files.v[i].bytes);
        if (strstr(files.v[i].path, ".log")) {
            struct batch b;
            for (size_t at = 0; at < files.v[i].bytes && batch_parse(files.v[i].at + at, files.v[i].bytes - at, &b);
                 at += b.bytes)
                printf(" @%zu[%lld,%lld]e%d n%d%s", at, (long long)b.base_offset, (long long)batch_last_offset(&b),
                       b.leader_epoch, b.count,
                       b.bytes <= files.v[i].bytes - at && b.crc == batch_crc(files.v[i].at + at, b.bytes) ? ""
                                                                                                           : "BAD");
        }
        printf("\n");
    }
    world_free_files(&files);
}

static void live_twice(const struct harm *h, bool must_start, bool clean)
{
    struct stored first = {0}, second = {0};
    list_all("first");
    if (!world_start()) {
        FUZZ_CHECK(!must_start, "check found no fault, but the broker does not start");
        return;
    }
    FUZZ_CHECK(stored_read(&first), "it does not answer");
    others_are_there(h, &first);
    if (clean)
        world_stop();
    else
        world_kill();
    list_all("second");
    FUZZ_CHECK(world_start(), "it does not start again");
    FUZZ_CHECK(stored_read(&second), "it does not answer after a restart");
    same_again(&first, &second);
    stored_free(&first);
    stored_free(&second);
}

static void mend(void)
{
    struct verdict v = inspect(true);
    if (v.err)
        return;
    v = inspect(false);
    FUZZ_CHECK(!v.err, "what repair left cannot be checked");
}

void fuzz_folder(const uint8_t *at, size_t bytes)
{
    struct feed f = {at, at + bytes};
    uint32_t what = feed_byte(&f);
    if (what >= FILES_ALONE) {
        (what % 2 ? fuzz_redo : fuzz_clean_offset)(f.at, feed_left(&f));
        return;
    }
    if (!made[0].count)
        make_folders();
    world_fresh(what >> 4);
    struct harm h = {.files = copy_files(&made[what & 1])};
    for (int i = 0; i < OPS_MAX && feed_left(&f); i++)
        harm(&h, &f);
    put_files(&h);
    struct verdict v = check_only();
    if (what & 2)
        mend();
    if (what & 2)
        h.global = true;
    live_twice(&h, !v.err && v.faults == 0, what & 4);
    world_free_files(&h.files);
    world_over();
}
