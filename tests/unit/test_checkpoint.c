/* Checkpoint files: entries come back, the newest of a partition counts over all files, torn ones are stepped over. */
#include "storage/recovery/checkpoint.h"
#include "core/bytes.h"
#include "tests/unit/empty_dir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char dir[] = "build/tests/unit/checkpoint";
static struct heap *heap;
static uint8_t file[1 << 20];
static size_t file_bytes;

static int setup(void **state)
{
    (void)state;
    heap = heap_open();
    empty_dir(dir);
    file_bytes = 0;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    heap_close(heap);
    return 0;
}

/* Every field differs, and depends on topic, partition and serial. */
static struct checkpoint_entry entry_of(uint8_t topic, int32_t partition, uint64_t serial)
{
    int64_t n = topic * 1000000 + partition * 1000 + (int64_t)serial;
    struct checkpoint_entry e = {.serial = serial,
                                 .partition = partition,
                                 .log_start_offset = n,
                                 .segment_base_offset = n + 1,
                                 .offset = n + 2,
                                 .position = (uint64_t)n + 3,
                                 .leader_epoch = (int32_t)n + 4,
                                 .max_timestamp = n + 5,
                                 .max_timestamp_offset = n + 6,
                                 .first_timestamp = n + 7,
                                 .index_count = (uint32_t)n + 8,
                                 .index_crc = (uint32_t)n + 9,
                                 .time_count = (uint32_t)n + 10,
                                 .time_crc = (uint32_t)n + 11,
                                 .bytes_since_entry = (uint32_t)n + 12,
                                 .clean = serial % 2,
                                 .caching = serial % 3 == 0,
                                 .producers = (const uint8_t *)"the producers",
                                 .producers_bytes = 13};
    memset(e.topic_id, topic, 16);
    return e;
}
static void same(const struct checkpoint_entry *a, const struct checkpoint_entry *b)
{
    assert_int_equal(a->serial, b->serial);
    assert_memory_equal(a->topic_id, b->topic_id, 16);
    assert_int_equal(a->partition, b->partition);
    assert_int_equal(a->log_start_offset, b->log_start_offset);
    assert_int_equal(a->segment_base_offset, b->segment_base_offset);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->position, b->position);
    assert_int_equal(a->leader_epoch, b->leader_epoch);
    assert_int_equal(a->max_timestamp, b->max_timestamp);
    assert_int_equal(a->max_timestamp_offset, b->max_timestamp_offset);
    assert_int_equal(a->first_timestamp, b->first_timestamp);
    assert_int_equal(a->index_count, b->index_count);
    assert_int_equal(a->index_crc, b->index_crc);
    assert_int_equal(a->time_count, b->time_count);
    assert_int_equal(a->time_crc, b->time_crc);
    assert_int_equal(a->bytes_since_entry, b->bytes_since_entry);
    assert_int_equal(a->clean, b->clean);
    assert_int_equal(a->caching, b->caching);
    assert_int_equal(a->producers_bytes, b->producers_bytes);
    assert_memory_equal(a->producers, b->producers, b->producers_bytes);
}
static void add(struct checkpoint_entry e)
{
    checkpoint_entry_encode(&e, file + file_bytes);
    file_bytes += checkpoint_entry_bytes(&e);
}
static void save(const char *name, size_t bytes)
{
    char path[FS_PATH_MAX];
    int fd;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(fs_open(path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd), ERR_NONE);
    assert_int_equal(bytes ? fs_write(fd, file, bytes, 0) : ERR_NONE, ERR_NONE);
    fs_close(fd);
}
static uint64_t serial_found(uint8_t topic, int32_t partition)
{
    struct checkpoint_set *set;
    uint8_t id[16];
    memset(id, topic, 16);
    assert_int_equal(checkpoint_set_load(heap, dir, &set), ERR_NONE);
    const struct checkpoint_entry *e = checkpoint_find(set, id, partition);
    uint64_t serial = e ? e->serial : 0;
    checkpoint_set_close(set);
    return serial;
}

static void an_entry_comes_back_and_every_flaw_is_seen(void **state)
{
    (void)state;
    struct checkpoint_entry e = entry_of(3, 4, 5), out;
    add(e);
    assert_int_equal(checkpoint_entry_decode(file, file_bytes, &out), file_bytes);
    same(&out, &e);
    for (size_t n = 0; n < file_bytes; n++)
        assert_int_equal(checkpoint_entry_decode(file, n, &out), 0);
    for (size_t bit = 0; bit < file_bytes * 8; bit++) {
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(checkpoint_entry_decode(file, file_bytes, &out), 0);
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void the_newest_counts_over_all_files(void **state)
{
    (void)state;
    for (uint64_t serial = 1; serial <= 300; serial++)
        add(entry_of((uint8_t)(serial % 3), (int32_t)(serial % 10), serial));
    save("recovery-point-0.checkpoint", file_bytes);
    file_bytes = 0;
    add(entry_of(1, 1, 1000));
    add(entry_of(1, 2, 2)); /* older than the other file's */
    save("recovery-point-11.checkpoint", file_bytes);
    file_bytes = 0;
    add(entry_of(1, 1, 5000));
    save("recovery-point-2.checkpoint.tmp", file_bytes); /* never finished */
    save("recovery-point-x.checkpoint", file_bytes);
    struct checkpoint_set *set;
    assert_int_equal(checkpoint_set_load(heap, dir, &set), ERR_NONE);
    assert_int_equal(checkpoint_serial_max(set), 1000);
    for (uint8_t topic = 0; topic < 3; topic++) {
        for (int32_t partition = 0; partition < 10; partition++) {
            uint64_t want = topic == 1 && partition == 1 ? 1000 : 300;
            while (want <= 300 && (want % 3 != topic || want % 10 != (uint64_t)partition))
                want--;
            struct checkpoint_entry e = entry_of(topic, partition, want);
            const struct checkpoint_entry *found = checkpoint_find(set, e.topic_id, partition);
            assert_non_null(found);
            same(found, &e);
        }
    }
    assert_null(checkpoint_find(set, (const uint8_t[16]){9}, 0));
    checkpoint_set_close(set);
}

static void a_half_written_file_gives_what_is_whole(void **state)
{
    (void)state;
    size_t ends[5];
    for (uint64_t i = 0; i < 5; i++) {
        add(entry_of(1, 1, i + 1));
        ends[i] = file_bytes;
    }
    for (size_t n = 0; n <= file_bytes; n++) {
        uint64_t want = 0;
        while (want < 5 && ends[want] <= n)
            want++;
        save("recovery-point-0.checkpoint", n);
        assert_int_equal(serial_found(1, 1), want);
    }
}

static void entries_behind_a_torn_one_are_found(void **state)
{
    (void)state;
    add(entry_of(1, 1, 1));
    size_t torn = file_bytes;
    add(entry_of(1, 1, 2));
    memset(file + torn + 50, 0, file_bytes - torn - 50);
    size_t resumed = torn + 64; /* the next run began at a size that it found */
    struct checkpoint_entry e = entry_of(1, 1, 3);
    checkpoint_entry_encode(&e, file + resumed);
    save("recovery-point-0.checkpoint", resumed + checkpoint_entry_bytes(&e));
    assert_int_equal(serial_found(1, 1), 3);
}

static void no_file_is_an_empty_set_and_no_folder_an_error(void **state)
{
    (void)state;
    struct checkpoint_set *set;
    assert_int_equal(serial_found(1, 1), 0);
    assert_int_equal(checkpoint_set_load(heap, "build/tests/unit/no-such-folder", &set), ERR_NOT_FOUND);
}

static struct checkpoint_segment segment_of(uint8_t topic, int32_t partition, int64_t base, uint64_t serial)
{
    struct checkpoint_segment s = {.serial = serial,
                                   .partition = partition,
                                   .base_offset = base,
                                   .bytes = serial + 1,
                                   .first_timestamp = base + 2,
                                   .max_timestamp = base + 3,
                                   .max_timestamp_offset = base + 4};
    memset(s.topic_id, topic, 16);
    return s;
}
static void add_segment(struct checkpoint_segment s)
{
    checkpoint_segment_encode(&s, file + file_bytes);
    file_bytes += CHECKPOINT_SEGMENT_BYTES;
}

static void closed_segments_come_back_the_newest_of_each(void **state)
{
    (void)state;
    struct checkpoint_segment s = segment_of(1, 2, 3, 4), out;
    add_segment(s);
    assert_true(checkpoint_segment_decode(file, file_bytes, &out));
    assert_memory_equal(&out, &s, sizeof s);
    struct checkpoint_entry none;
    assert_int_equal(checkpoint_entry_decode(file, file_bytes, &none), 0); /* an older release steps over it */
    for (size_t bit = 0; bit < file_bytes * 8; bit++) {
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(checkpoint_segment_decode(file, file_bytes, &out));
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    file_bytes = 0;
    add_segment(segment_of(1, 0, 100, 5));
    add(entry_of(1, 0, 6));
    add_segment(segment_of(1, 0, 0, 7));
    file_bytes -= 10; /* torn: what a later run wrote stands behind it */
    add_segment(segment_of(1, 0, 0, 8));
    add_segment(segment_of(1, 0, 100, 4));
    add_segment(segment_of(1, 1, 50, 9));
    save("recovery-point-0.checkpoint", file_bytes);
    struct checkpoint_set *set;
    uint8_t id[16];
    uint32_t count;
    memset(id, 1, 16);
    assert_int_equal(checkpoint_set_load(heap, dir, &set), ERR_NONE);
    const struct checkpoint_segment *v = checkpoint_segments(set, id, 0, &count);
    assert_int_equal(count, 2);
    assert_int_equal(v[0].base_offset, 0);
    assert_int_equal(v[0].serial, 8);
    assert_int_equal(v[1].base_offset, 100);
    assert_int_equal(v[1].serial, 5);
    assert_int_equal(checkpoint_find(set, id, 0)->serial, 6);
    assert_null(checkpoint_segments(set, id, 2, &count));
    assert_int_equal(checkpoint_serial_max(set), 9);
    checkpoint_set_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(closed_segments_come_back_the_newest_of_each, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_comes_back_and_every_flaw_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_counts_over_all_files, setup, teardown),
        cmocka_unit_test_setup_teardown(a_half_written_file_gives_what_is_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_behind_a_torn_one_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(no_file_is_an_empty_set_and_no_folder_an_error, setup, teardown),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
