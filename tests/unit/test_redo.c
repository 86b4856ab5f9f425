/* Shared memory: the ring by itself, and what a start makes of what a killed broker left in it: whole, torn, foreign, stale, and of
 * a segment that the log has left. */
#include "core/fs.h"
#include "storage/root_redo.h"
#include "tests/unit/partition_world.h"
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the ring --- */

enum { PLACES = 3, PIECE_BYTES = 3000 };

static struct tail tail;
static struct bufpool *pool;
static struct heap *heap;
static struct redo_ring ring;
static struct redo_place places[PLACES];
static uint64_t position[PLACES]; /* behind what was put */
static uint8_t *memory;

static int open_ring(void **state)
{
    (void)state;
    heap = heap_open();
    pool = bufpool_open(heap, NULL, 8 << 20);
    tail_init(&tail, heap);
    assert_int_equal(tail_reserve(&tail, pool, 1, 0, 1 << 20, 256 * 1024), ERR_NONE);
    for (uint32_t at = 0; at < 1 << 20; at += 4)
        tail_poke(&tail, 1, at, &at, 4);
    memory = heap_zalloc(heap, PAGE_BYTES + REDO_RING_BYTES);
    redo_ring_init(&ring, memory);
    for (int i = 0; i < PLACES; i++)
        redo_place_init(&places[i]);
    memset(position, 0, sizeof position);
    return 0;
}

static int close_ring(void **state)
{
    (void)state;
    tail_deinit(&tail);
    bufpool_close(pool);
    heap_close(heap);
    return 0;
}

static void put(int i, uint32_t bytes)
{
    struct redo_record record = {
        .bytes = bytes, .partition = i, .end_offset = 1, .position = position[i] % (512 * 1024)};
    redo_ring_put(&ring, &places[i], &record, &tail, 1);
    position[i] = record.position + bytes;
    redo_ring_check(&ring);
}

static void a_ring_holds_what_was_put_and_frees_it_in_order(void **state)
{
    (void)state;
    put(0, 100);
    uint64_t second = ring.committed;
    put(1, 200);
    put(0, 50);
    struct redo_record r;
    redo_ring_read(memory + PAGE_BYTES, second, &r, sizeof r);
    assert_int_equal(r.crc, redo_record_crc(&r));
    assert_int_equal(r.place, second);
    uint8_t bytes[200], expected[200];
    redo_ring_read(memory + PAGE_BYTES, second + sizeof r, bytes, sizeof bytes);
    assert_true(tail_peek(&tail, 1, 0, expected, sizeof expected));
    assert_memory_equal(bytes, expected, sizeof bytes);
    redo_wave_begins(&ring, &places[1]);
    redo_written(&ring, &places[1], 200);
    assert_int_equal(ring.needed, 0); /* the first one holds it */
    redo_wave_begins(&ring, &places[0]);
    uint64_t third = ring.committed;
    put(0, 10); /* while its wave is under way */
    redo_written(&ring, &places[0], 150);
    assert_int_equal(ring.needed, third);
    redo_wave_begins(&ring, &places[0]);
    redo_written(&ring, &places[0], 160);
    assert_int_equal(ring.needed, ring.committed);
    assert_int_equal(((struct redo_ends *)memory)->needed, ring.committed);
}

/* The ring was full when a wave began, so what it carries was in no memory; then there was room, and it was put before the wave was over. */
static void what_a_wave_carries_may_be_put_while_it_is_under_way(void **state)
{
    (void)state;
    redo_wave_begins(&ring, &places[0]);
    put(1, 100);
    put(0, 300);
    redo_written(&ring, &places[0], 300);
    redo_ring_check(&ring);
    assert_true(places[0].from == REDO_NOWHERE);
    assert_int_equal(ring.needed, 0); /* the other one's */
    redo_wave_begins(&ring, &places[1]);
    redo_written(&ring, &places[1], 100);
    assert_int_equal(ring.needed, ring.committed);
    put(0, 10);
    redo_ring_check(&ring);
}

static void a_full_ring_takes_nothing_and_wraps_later(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (; redo_ring_fits(&ring, PIECE_BYTES); count++)
        put((int)(count % PLACES), PIECE_BYTES);
    assert_int_equal(count, REDO_RING_BYTES / (PIECE_BYTES + sizeof(struct redo_record)));
    assert_true(redo_ring_is_half_full(&ring));
    redo_place_forget(&ring, &places[0], true);
    assert_true(redo_ring_fits(&ring, 1)); /* the second one's first record is the oldest now */
    redo_wave_begins(&ring, &places[1]);
    redo_written(&ring, &places[1], UINT64_MAX);
    redo_place_forget(&ring, &places[2], true);
    assert_int_equal(ring.needed, ring.committed);
    uint64_t place = ring.committed;
    assert_true(place % REDO_RING_BYTES + sizeof(struct redo_record) + PIECE_BYTES > REDO_RING_BYTES);
    put(0, PIECE_BYTES); /* over the end */
    struct redo_record r;
    redo_ring_read(memory + PAGE_BYTES, place, &r, sizeof r);
    assert_int_equal(r.crc, redo_record_crc(&r));
    assert_false(redo_ring_fits(&ring, REDO_BYTES_MAX + 1));
}

static void without_a_ring_nothing_fits(void **state)
{
    (void)state;
    redo_ring_init(&ring, NULL);
    assert_false(redo_ring_fits(&ring, 1));
}

/* --- replay --- */

static const struct topic_override cached[] = {
    {"write.caching", "true"}, {"flush.ms", "1000000"}, {"segment.bytes", "1048576"}};
static char redo_file[FS_PATH_MAX];

static int setup_shared(void **state)
{
    if (prepare(state))
        return -1;
    set("crash.route", "shm");
    set("crash.dir", DIR "/shm");
    if (mkdir(DIR "/shm", 0700))
        return -1;
    start();
    assert_true(w.root->redo.fd >= 0);
    snprintf(redo_file, sizeof redo_file, "%s", w.root->redo.path);
    make_topic(cached, COUNT_OF(cached));
    return 0;
}

/* Acked, and in no file yet. (A slow machine may take as long as a wave waits: then again.) */
static void append_to_memory_only(void)
{
    for (int i = 0; i < 100; i++) {
        append(3, 50);
        all_are_acked();
        if (w.p->written.offset < w.p->promised.offset && !w.p->writer.wave)
            return;
        TURN_UNTIL(turn, w.p->written.offset == w.p->end.offset);
    }
    fail_msg("each wave was there before the test looked");
}

static bool redo_file_is_there(void)
{
    return access(redo_file, F_OK) == 0;
}

static uint64_t written_offset_at_kill;
static void kill_here(void)
{
    written_offset_at_kill = (uint64_t)w.p->written.offset;
    kill_broker();
    assert_true(redo_file_is_there());
}

static void start_again(void)
{
    start();
    find_partition("t");
    if (w.config.crash == CRASH_SHM)
        assert_true(w.root->redo.fd >= 0);
}

static void what_is_acked_in_memory_alone_survives_a_kill(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        append_to_memory_only();
        kill_here();
        start_again();
        recover_all();
        log_is_as_expected(true);
    }
    append(1, REDO_BYTES_MAX + 1000); /* too large for the ring */
    append(1, 10);
    all_are_acked();
    stop();
    assert_false(redo_file_is_there());
    start();
    find_partition("t");
    recover_all();
    log_is_as_expected(true);
}

static void with_the_other_route_what_was_left_is_replayed_too(void **state)
{
    (void)state;
    append_to_memory_only();
    kill_here();
    w.config.crash = CRASH_WRITTEN;
    start_again();
    assert_false(redo_file_is_there());
    recover_all();
    log_is_as_expected(true);
    w.config.crash = CRASH_SHM;
}

/* What cannot be read now may be what is needed: the start fails, and the next one has it all. */
static void a_start_that_cannot_read_what_it_needs_throws_nothing_away(void **state)
{
    (void)state;
    const char *const paths[] = {DIR "/data/t-0/partition.metadata", DIR "/data/t-0"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct root *root;
        char why[CONFIG_WHY_BYTES], kept[FS_PATH_MAX];
        append_to_memory_only();
        kill_here();
        snprintf(kept, sizeof kept, "%s.kept", paths[i]);
        assert_int_equal(rename(paths[i], kept), 0);
        assert_int_equal(i == 0 ? mkdir(paths[i], 0700) : symlink("t-0", paths[i]) /* to itself */, 0);
        assert_true(root_open(&w.config, w.heap, &root, why) != ERR_NONE);
        assert_true(redo_file_is_there());
        assert_int_equal(i == 0 ? rmdir(paths[i]) : unlink(paths[i]), 0);
        assert_int_equal(rename(kept, paths[i]), 0);
        start_again();
        recover_all();
        log_is_as_expected(true);
    }
}

/* What follows on this offset is not expected any more. */
static void cut_expected(uint64_t offset)
{
    size_t at = 0;
    while (at < w.expected_bytes && be64_get(w.expected + at) < offset)
        at += 12 + be32_get(w.expected + at + 8);
    w.expected_bytes = at;
}

/* Killed as one user, started by another (root): its file counts where the folder is its own, and a stranger's never does. */
static void it_may_be_the_file_of_the_folders_owner(void **state)
{
    (void)state;
    enum { OWNER = 4711 };
    if (geteuid() != 0)
        skip();
    append_to_memory_only();
    kill_here();
    assert_int_equal(chown(redo_file, OWNER, (gid_t)-1), 0);
    assert_int_equal(chown(DIR "/data", OWNER, (gid_t)-1), 0);
    start_again();
    recover_all();
    log_is_as_expected(true);
    append_to_memory_only();
    kill_here();
    assert_int_equal(chown(redo_file, OWNER + 1, (gid_t)-1), 0);
    start_again();
    recover_all();
    assert_int_equal(partition_facts(w.p).end_offset, (int64_t)written_offset_at_kill);
    cut_expected(written_offset_at_kill);
    log_is_as_expected(true);
}

/* --- what must not be taken --- */

static void change_file(uint64_t at, const void *bytes, size_t count)
{
    int fd;
    assert_int_equal(fs_open(redo_file, FS_READ | FS_WRITE | FS_OWN, &fd), ERR_NONE);
    assert_int_equal(fs_write(fd, bytes, count, at), ERR_NONE);
    fs_close(fd);
}

static struct redo_header header_of_file(void)
{
    struct redo_header h;
    int fd;
    assert_int_equal(fs_open(redo_file, FS_READ, &fd), ERR_NONE);
    assert_int_equal(redo_header_read(fd, -1, &h), ERR_NONE);
    fs_close(fd);
    return h;
}

static struct redo_record first_record(uint64_t *out_at)
{
    struct redo_ends ends;
    struct redo_record r;
    size_t got;
    int fd;
    assert_int_equal(fs_open(redo_file, FS_READ, &fd), ERR_NONE);
    assert_int_equal(fs_read(fd, &ends, sizeof ends, redo_ring_at(0), &got), ERR_NONE);
    assert_true(ends.committed > ends.needed);
    *out_at = redo_ring_at(0) + PAGE_BYTES + ends.needed;
    assert_int_equal(fs_read(fd, &r, sizeof r, *out_at, &got), ERR_NONE);
    fs_close(fd);
    return r;
}

static void change_header(struct redo_header h)
{
    h.crc = redo_header_crc(&h);
    change_file(0, &h, sizeof h);
}

static void change_record(struct redo_record r, uint64_t at)
{
    r.crc = redo_record_crc(&r);
    change_file(at, &r, sizeof r);
}

enum spoil {
    SPOIL_MAGIC,
    SPOIL_HEADER_CRC,
    SPOIL_BOOT,
    SPOIL_FOLDER,
    SPOIL_LIFE,
    SPOIL_RECORD_CRC,
    SPOIL_RECORD_PLACE,
    SPOIL_RECORD_BYTES,
    SPOIL_RECORD_TOPIC,
    SPOIL_RECORD_PARTITION,
    SPOIL_RECORD_EPOCH,
    SPOIL_RECORD_OFFSET,
    SPOIL_RECORD_END,
    SPOIL_RECORD_SEGMENT,
    SPOIL_RECORD_POSITION,
    SPOIL_BATCH,
    SPOIL_ENDS,
    SPOILS
};

static void spoil_header(enum spoil how)
{
    struct redo_header h = header_of_file();
    if (how == SPOIL_MAGIC)
        h.magic[13]++;
    else if (how == SPOIL_BOOT)
        h.of.boot_id[3]++;
    else if (how == SPOIL_FOLDER)
        h.of.inode++;
    else if (how == SPOIL_LIFE)
        h.of.leader_epoch--;
    change_header(h);
    if (how == SPOIL_HEADER_CRC)
        change_file(offsetof(struct redo_header, crc), "spoilt", 4);
}

static void spoil_record(enum spoil how)
{
    uint64_t at;
    struct redo_record r = first_record(&at);
    switch (how) {
    case SPOIL_RECORD_PLACE: r.place += REDO_RING_BYTES; break;
    case SPOIL_RECORD_BYTES: r.bytes += 1 << 16; break;
    case SPOIL_RECORD_TOPIC: r.topic_id[5]++; break;
    case SPOIL_RECORD_PARTITION: r.partition = 1; break;
    case SPOIL_RECORD_EPOCH: r.leader_epoch--; break;
    case SPOIL_RECORD_OFFSET: r.base_offset--; break;
    case SPOIL_RECORD_END: r.end_offset++; break;
    case SPOIL_RECORD_SEGMENT: r.segment++; break;
    case SPOIL_RECORD_POSITION: r.position = 1 << 28; break;
    default: break;
    }
    change_record(r, at);
    if (how == SPOIL_RECORD_CRC)
        change_file(at, "torn", 4);
    if (how == SPOIL_BATCH)
        change_file(at + sizeof r + 70, "torn", 4);
    if (how == SPOIL_ENDS)
        change_file(redo_ring_at(0), &(uint64_t){REDO_RING_BYTES * 3}, 8);
}

/* None of it reaches the log, which ends where its file does; the broker serves it, and the file is gone. */
static void what_is_spoilt_is_not_taken(void **state)
{
    (void)state;
    append(2, 20);
    all_are_acked();
    for (int how = 0; how < SPOILS; how++) {
        append_to_memory_only();
        kill_here();
        if (how < SPOIL_RECORD_CRC)
            spoil_header((enum spoil)how);
        else
            spoil_record((enum spoil)how);
        start_again();
        recover_all();
        if (partition_facts(w.p).end_offset != (int64_t)written_offset_at_kill)
            fail_msg("case %d: %lld taken, the file ended at %llu", how, (long long)partition_facts(w.p).end_offset,
                     (unsigned long long)written_offset_at_kill);
        cut_expected(written_offset_at_kill);
        append(1, 30);
        all_are_acked();
        writer_want_durable(w.p, w.p->end.offset);
        fall_idle();
        log_is_as_expected(true);
    }
}

/* The log has left the record's segment (its file was written and flushed before): what stands there now may be another file. */
static void a_record_of_a_segment_that_the_log_left_is_passed(void **state)
{
    (void)state;
    append_to_memory_only();
    kill_here();
    struct redo_header h = header_of_file();
    uint64_t at;
    struct redo_record r = first_record(&at);
    char path[FS_PATH_MAX];
    int fd;
    assert_true(segment_path(path, DIR "/data/t-0", r.end_offset, ".log"));
    assert_int_equal(fs_open(path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd), ERR_NONE);
    fs_close(fd);
    (void)h;
    start_again();
    uint8_t bytes[8];
    size_t got = 0;
    assert_true(segment_path(path, DIR "/data/t-0", r.segment, ".log"));
    assert_int_equal(fs_open(path, FS_READ, &fd), ERR_NONE);
    assert_int_equal(fs_read(fd, bytes, sizeof bytes, r.position, &got), ERR_NONE);
    fs_close(fd);
    assert_true(got == 0 || be64_get(bytes) == 0);
}

/* A copy of an old life's file that comes back is of no use to anybody. */
static void an_older_life_never_comes_back(void **state)
{
    (void)state;
    append_to_memory_only();
    kill_here();
    char command[FS_PATH_MAX + 128];
    snprintf(command, sizeof command, "cp %s " DIR "/old", redo_file);
    assert_int_equal(system(command), 0);
    start_again();
    recover_all();
    append(3, 77);
    all_are_acked();
    stop();
    snprintf(command, sizeof command, "rm -f " DIR "/data/.clean && cp " DIR "/old %s", redo_file);
    assert_int_equal(system(command), 0);
    start();
    find_partition("t");
    recover_all();
    log_is_as_expected(true);
}

static void what_a_broker_left_whose_folder_is_gone_is_removed(void **state)
{
    (void)state;
    append_to_memory_only();
    kill_here();
    char other[FS_PATH_MAX];
    struct redo_header h = header_of_file();
    const char *const paths[] = {DIR "/no-such-folder", "/proc/no-such-folder", DIR "/data"};
    for (int i = 0; i < 3; i++) { /* gone; on a disk that is not there; not gone */
        snprintf(other, sizeof other, DIR "/shm/" REDO_FILE_PREFIX "%d", i);
        assert_int_equal(fs_absolute(paths[i], h.path, sizeof h.path), ERR_NONE);
        h.crc = redo_header_crc(&h);
        int fd;
        assert_int_equal(fs_open(other, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd), ERR_NONE);
        assert_int_equal(fs_write(fd, &h, sizeof h, 0), ERR_NONE);
        fs_close(fd);
    }
    start_again();
    assert_int_equal(access(DIR "/shm/" REDO_FILE_PREFIX "0", F_OK), -1);
    assert_int_equal(access(DIR "/shm/" REDO_FILE_PREFIX "1", F_OK), 0);
    assert_int_equal(access(DIR "/shm/" REDO_FILE_PREFIX "2", F_OK), 0);
}

/* No file becomes longer than this: what a disk without room answers (EFBIG is taken like ENOSPC). */
static void files_grow_to(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
static void turn_for_ms(int64_t ms)
{
    uint64_t end = clock_now_ns() + (uint64_t)ms * NS_PER_MS;
    while (clock_now_ns() < end)
        turn();
}
static void wait_for_a_failed_wave(void)
{
    files_grow_to(0);
    TURN_UNTIL(turn, w.p->writer.no_room);
    turn_for_ms(3 * RETRY_MS);
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    assert_true(w.p->written.offset < w.p->promised.offset);
}

/* What shared memory alone holds is promised: it is nothing to roll back, and no reason to go offline. Nobody asks for it but the broker
 * itself: its flush is far away. */
static void what_memory_alone_holds_waits_for_room(void **state)
{
    (void)state;
    append_to_memory_only();
    wait_for_a_failed_wave();
    files_grow_to(RLIM_INFINITY);
    TURN_UNTIL(turn, w.p->written.offset == w.p->end.offset);
    assert_false(w.p->writer.no_room);
    append_to_memory_only(); /* it is crash-safe there again */
    log_is_as_expected(false);
}

/* The kernel has no memory for a write: likewise. */
static void fail_next_wave(int32_t failure)
{
    TURN_UNTIL(turn, w.p->writer.wave);
    w.p->writer.wave->failure = failure;
}
static void without_memory_for_a_write_nothing_goes_offline(void **state)
{
    (void)state;
    append_to_memory_only();
    fail_next_wave(-ENOMEM);
    TURN_UNTIL(turn, w.p->writer.no_room);
    TURN_UNTIL(turn, w.p->written.offset == w.p->end.offset);
    struct sent *a = append(1, REDO_BYTES_MAX + 1000); /* not promised before it is written */
    fail_next_wave(-ENOMEM);
    until(&a->over);
    assert_int_equal(a->append.error, KERR_KAFKA_STORAGE_ERROR);
    forget_sent();
    TURN_UNTIL(turn, w.p->condition == PARTITION_OPEN);
    append(1, REDO_BYTES_MAX + 1000);
    all_are_acked();
    append_to_memory_only();
    kill_here();
    start_again();
    recover_all();
    log_is_as_expected(true);
}

static void what_comes_behind_it_waits_too(void **state)
{
    (void)state;
    append_to_memory_only();
    files_grow_to(0);
    TURN_UNTIL(turn, w.p->writer.no_room);
    struct sent *small = append(3, 50), *large = append(1, REDO_BYTES_MAX + 1000);
    turn_for_ms(3 * RETRY_MS);
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    assert_true(!small->over || small->append.error == KERR_KAFKA_STORAGE_ERROR);
    assert_true(!large->over || large->append.error == KERR_KAFKA_STORAGE_ERROR);
    files_grow_to(RLIM_INFINITY);
    until(&small->over);
    until(&large->over);
    if (!small->append.error)
        expect(small);
    if (!large->append.error)
        expect(large);
    forget_sent();
    append(3, 50);
    all_are_acked();
    kill_here();
    start_again();
    recover_all();
    log_is_as_expected(true);
}

/* Nobody would find there what was acknowledged: from the moment that this is seen, acks wait for the file. (Its flush is far away: nothing
 * else asks for a job.) */
static void see_that_it_is_gone(void)
{
    const struct redo_ring *r = &store_of(w.shard)->log.redo;
    assert_false(r->left);
    append_to_memory_only();
    TURN_UNTIL(turn, r->left);
    TURN_UNTIL(turn, w.p->written.offset == w.p->end.offset);
    for (int i = 0; i < 20; i++) {
        append(3, 50);
        all_are_acked();
        assert_int_equal(w.p->written.offset, w.p->promised.offset);
    }
}
static void a_file_that_is_taken_away_is_noticed(void **state)
{
    (void)state;
    assert_int_equal(unlink(redo_file), 0);
    see_that_it_is_gone();
    kill_broker();
    start_again();
    recover_all();
    log_is_as_expected(true);
    assert_true(redo_file_is_there());
}
static void a_file_in_its_place_is_not_ours(void **state)
{
    (void)state;
    char command[5 * FS_PATH_MAX];
    snprintf(command, sizeof command, "cp %s %s.new && mv %s.new %s", redo_file, redo_file, redo_file, redo_file);
    assert_int_equal(system(command), 0);
    see_that_it_is_gone();
    stop();
    assert_true(redo_file_is_there());
    start();
    find_partition("t");
    recover_all();
    log_is_as_expected(true);
}

#define SHARED(test) cmocka_unit_test_setup_teardown(test, setup_shared, teardown)
#define RING(test) cmocka_unit_test_setup_teardown(test, open_ring, close_ring)

int main(void)
{
    const struct CMUnitTest rings[] = {
        RING(a_ring_holds_what_was_put_and_frees_it_in_order),
        RING(what_a_wave_carries_may_be_put_while_it_is_under_way),
        RING(a_full_ring_takes_nothing_and_wraps_later),
        RING(without_a_ring_nothing_fits),
    };
    struct CMUnitTest tests[] = {
        SHARED(what_is_acked_in_memory_alone_survives_a_kill),
        SHARED(with_the_other_route_what_was_left_is_replayed_too),
        SHARED(a_start_that_cannot_read_what_it_needs_throws_nothing_away),
        SHARED(it_may_be_the_file_of_the_folders_owner),
        SHARED(what_is_spoilt_is_not_taken),
        SHARED(a_record_of_a_segment_that_the_log_left_is_passed),
        SHARED(an_older_life_never_comes_back),
        SHARED(what_a_broker_left_whose_folder_is_gone_is_removed),
        SHARED(what_memory_alone_holds_waits_for_room),
        SHARED(without_memory_for_a_write_nothing_goes_offline),
        SHARED(what_comes_behind_it_waits_too),
        SHARED(a_file_that_is_taken_away_is_noticed),
        SHARED(a_file_in_its_place_is_not_ours),
    };
    return cmocka_run_group_tests(rings, NULL, NULL) + run_in_modes(tests, COUNT_OF(tests), 2);
}
