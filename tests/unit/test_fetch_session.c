/* Fetch sessions: what id and epoch mean, what a session remembers and answers, what makes room. */
#include "net/api/fetch_session.h"
#include "core/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { NAMES = 12, IDS = 13, SLOTS = 3 }; /* versions of Fetch: topics by name, by id */

/* The catalog: one topic, or none. */
static struct topic the_topic;
static bool there_by_id, there_by_name;
static struct catalog no_topics;

struct topic *catalog_by_id(const struct catalog *c, const uint8_t id[16])
{
    assert_ptr_equal(c, &no_topics);
    return there_by_id && memcmp(id, the_topic.id, 16) == 0 ? &the_topic : NULL;
}

struct topic *catalog_by_name(const struct catalog *c, const uint8_t *name, size_t bytes)
{
    assert_ptr_equal(c, &no_topics);
    return there_by_name && bytes == strlen(the_topic.name) && memcmp(name, the_topic.name, bytes) == 0 ? &the_topic
                                                                                                        : NULL;
}

struct fixture {
    struct heap *heap;
    struct sessions ss;
    struct fetch_partition parts[8];
    struct fetch_topic topic;
    struct fetch_forgotten_topic forgotten;
    struct fetch_request m;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    f.heap = heap_open();
    sessions_init(&f.ss, f.heap, &no_topics, SLOTS, 1);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sessions_check(&f->ss);
    sessions_deinit(&f->ss);
    assert_int_equal(f->ss.parts_total, 0);
    heap_close(f->heap);
    return 0;
}

/* A request for partitions [0, count) of topic "t". */
static struct fetch_request *request(struct fixture *f, int32_t id, int32_t epoch, int32_t count)
{
    fetch_request_init(&f->m);
    fetch_topic_init(&f->topic);
    f->topic.topic = (struct kview){(const uint8_t *)"t", 1};
    for (int32_t i = 0; i < count; i++) {
        fetch_partition_init(&f->parts[i]);
        f->parts[i].partition = i;
        f->parts[i].fetch_offset = 100 + i;
    }
    f->topic.partitions.v = f->parts;
    f->topic.partitions.n = count;
    f->m.topics.v = &f->topic;
    f->m.topics.n = count ? 1 : 0;
    f->m.session_id = id;
    f->m.session_epoch = epoch;
    return &f->m;
}

/* Takes a whole request in, as Fetch does step by step. False: there is no room for its partitions. */
static bool take_in(struct fixture *f, const struct fetch_request *m, enum session_kind *kind, struct session **s,
                    uint64_t now)
{
    if (!*s)
        return *kind != SESSION_NEW;
    for (int32_t i = 0; i < m->topics.n; i++)
        for (int32_t k = 0; k < m->topics.v[i].partitions.n; k++)
            if (!session_put(&f->ss, *s, &m->topics.v[i], &m->topics.v[i].partitions.v[k]))
                return false;
    for (int32_t i = 0; i < m->forgotten_topics_data.n; i++)
        for (int32_t k = 0; k < m->forgotten_topics_data.v[i].partitions.n; k++)
            session_forget(&f->ss, *s, &m->forgotten_topics_data.v[i], m->forgotten_topics_data.v[i].partitions.v[k]);
    *s = session_settle(&f->ss, *s, *kind == SESSION_NEXT, now);
    if (!*s)
        *kind = SESSION_NONE;
    return true;
}

static enum kerr open_whole(struct fixture *f, const struct fetch_request *m, int16_t version, uint64_t now,
                            enum session_kind *kind, struct session **s)
{
    enum kerr error = sessions_open_request(&f->ss, m, version, now, kind, s);
    if (!error)
        assert_true(take_in(f, m, kind, s, now));
    return error;
}

static struct session *create_of(struct fixture *f, const struct fetch_request *m, int16_t version, uint64_t now)
{
    enum session_kind kind;
    struct session *s;
    assert_int_equal(open_whole(f, m, version, now, &kind, &s), KERR_NONE);
    return s;
}

static enum kerr ask(struct fixture *f, int32_t id, int32_t epoch, int32_t count, int16_t version,
                     enum session_kind *kind, struct session **s)
{
    return open_whole(f, request(f, id, epoch, count), version, 0, kind, s);
}

static struct session *create(struct fixture *f, int32_t count, uint64_t now)
{
    return create_of(f, request(f, 0, 0, count), NAMES, now);
}

static struct session_part *part(struct session *s, int32_t partition)
{
    static const uint8_t no_id[16];
    return session_find(s, partition, no_id, (struct kview){(const uint8_t *)"t", 1});
}

static void id_and_epoch_say_what_a_request_means(void **state)
{
    struct fixture *f = *state;
    enum session_kind kind;
    struct session *s;
    assert_int_equal(ask(f, 0, -1, 1, NAMES, &kind, &s), KERR_NONE);
    assert_int_equal(kind, SESSION_NONE);
    assert_int_equal(ask(f, 0, 0, 1, NAMES, &kind, &s), KERR_NONE);
    assert_int_equal(kind, SESSION_NEW);
    assert_int_equal(ask(f, 77, 1, 0, NAMES, &kind, &s), KERR_FETCH_SESSION_ID_NOT_FOUND);
    assert_int_equal(ask(f, 0, 5, 0, NAMES, &kind, &s), KERR_FETCH_SESSION_ID_NOT_FOUND);
    struct session *own = create(f, 2, 0);
    int32_t id = own->id;
    assert_true(id > 0);
    assert_int_equal(ask(f, id, 2, 0, NAMES, &kind, &s), KERR_INVALID_FETCH_SESSION_EPOCH);
    assert_int_equal(ask(f, id, 1, 0, IDS, &kind, &s), KERR_FETCH_SESSION_TOPIC_ID_ERROR);
    assert_int_equal(ask(f, id, 1, 0, NAMES, &kind, &s), KERR_NONE);
    assert_int_equal(kind, SESSION_NEXT);
    assert_ptr_equal(s, own);
    assert_int_equal(ask(f, id, 1, 0, NAMES, &kind, &s), KERR_INVALID_FETCH_SESSION_EPOCH); /* sent twice */
    assert_int_equal(ask(f, id, -1, 0, NAMES, &kind, &s), KERR_NONE);
    assert_int_equal(kind, SESSION_NONE);
    assert_null(sessions_find(&f->ss, id));
    own = create(f, 1, 0);
    id = own->id;
    assert_int_equal(ask(f, id, 0, 1, NAMES, &kind, &s), KERR_NONE);
    assert_int_equal(kind, SESSION_NEW);
    assert_null(sessions_find(&f->ss, id));
}

static void the_epoch_after_the_last_is_one(void **state)
{
    struct fixture *f = *state;
    enum session_kind kind;
    struct session *s = create(f, 1, 0);
    s->epoch = INT32_MAX;
    assert_int_equal(ask(f, s->id, INT32_MAX, 0, NAMES, &kind, &s), KERR_NONE);
    assert_int_equal(s->epoch, 1);
}

static void a_request_changes_adds_and_forgets(void **state)
{
    struct fixture *f = *state;
    enum session_kind kind;
    struct session *s = create(f, 2, 0);
    struct fetch_request *m = request(f, s->id, 1, 3);
    int32_t gone[] = {0, 7};
    f->parts[1].fetch_offset = 555;
    fetch_forgotten_topic_init(&f->forgotten);
    f->forgotten.topic = f->topic.topic;
    f->forgotten.partitions.v = gone;
    f->forgotten.partitions.n = 2;
    m->forgotten_topics_data.v = &f->forgotten;
    m->forgotten_topics_data.n = 1;
    assert_int_equal(open_whole(f, m, NAMES, 0, &kind, &s), KERR_NONE);
    assert_int_equal(s->count, 2);
    assert_null(part(s, 0));
    assert_int_equal(part(s, 1)->fetch_offset, 555);
    assert_int_equal(part(s, 2)->fetch_offset, 102);
}

static void a_session_without_partitions_ends(void **state)
{
    struct fixture *f = *state;
    enum session_kind kind;
    int32_t gone[] = {0};
    struct session *s = create(f, 1, 0);
    int32_t id = s->id;
    struct fetch_request *m = request(f, id, 1, 0);
    fetch_forgotten_topic_init(&f->forgotten);
    f->forgotten.topic = (struct kview){(const uint8_t *)"t", 1};
    f->forgotten.partitions.v = gone;
    f->forgotten.partitions.n = 1;
    m->forgotten_topics_data.v = &f->forgotten;
    m->forgotten_topics_data.n = 1;
    assert_int_equal(open_whole(f, m, NAMES, 0, &kind, &s), KERR_NONE);
    assert_int_equal(kind, SESSION_NONE);
    assert_null(sessions_find(&f->ss, id));
}

static void only_news_is_answered(void **state)
{
    struct fixture *f = *state;
    struct session *s = create(f, 2, 0);
    struct session_part *p = part(s, 0);
    assert_true(session_part_answer(s, p, KERR_NONE, false, 0, 0, 0)); /* never told */
    assert_false(session_part_answer(s, p, KERR_NONE, false, 0, 0, 0));
    assert_true(session_part_answer(s, p, KERR_NONE, false, 5, 0, 0)); /* the watermark */
    assert_true(session_part_answer(s, p, KERR_NONE, false, 5, 2, 0)); /* the log start */
    assert_true(session_part_answer(s, p, KERR_NONE, true, 5, 2, 0));
    assert_true(session_part_answer(s, p, KERR_OFFSET_OUT_OF_RANGE, false, 5, 2, 0));
    assert_true(session_part_answer(s, p, KERR_NONE, false, 5, 2, 0)); /* an error that is over */
    assert_false(session_part_answer(s, p, KERR_NONE, false, 5, 2, 0));
    assert_ptr_equal(list_first(&s->order), &p->link);
    assert_true(session_part_answer(s, p, KERR_NONE, false, 5, 2, 100)); /* data, and then the others come first */
    assert_ptr_equal(s->order.prev, &p->link);
}

static void a_full_house_makes_room_only_for_good_reasons(void **state)
{
    struct fixture *f = *state;
    const uint64_t late = (SESSION_EVICT_S + 1) * NS_PER_S;
    struct session *s[SLOTS];
    for (int i = 0; i < SLOTS; i++)
        s[i] = create(f, 2, 0);
    assert_null(create(f, 2, NS_PER_S)); /* nobody is idle, nobody is old */
    for (int i = 0; i < SLOTS; i++)
        s[i]->used_ns = late; /* all old, all busy */
    assert_null(create(f, 2, late));
    assert_int_equal(f->ss.count, SLOTS);
    assert_non_null(create(f, 3, late)); /* larger than one that is old */
    for (uint32_t i = 0; i < f->ss.count; i++)
        f->ss.v[i]->used_ns = f->ss.v[i]->created_ns = late;
    struct session *idle = f->ss.v[1];
    idle->used_ns = 0;
    int32_t id = idle->id;
    assert_non_null(create(f, 1, late)); /* one that is idle */
    assert_null(sessions_find(&f->ss, id));
}

static void without_slots_there_are_no_sessions(void **state)
{
    struct fixture *f = *state;
    f->ss.slots = 0;
    assert_null(create(f, 1, 0));
}

static void a_topic_by_id_is_missed_by_its_name(void **state)
{
    struct fixture *f = *state;
    struct kview none = {.n = 0};
    strcpy(the_topic.name, "t");
    there_by_id = there_by_name = true;
    struct fetch_request *m = request(f, 0, 0, 1);
    f->topic.topic = none;
    struct session *s = create_of(f, m, IDS, 0);
    assert_non_null(s);
    struct session_part *p = session_find(s, 0, the_topic.id, none);
    assert_non_null(p);
    there_by_id = there_by_name = false;
    assert_int_equal(session_part_missing(&f->ss, p), KERR_UNKNOWN_TOPIC_OR_PARTITION);
    there_by_name = true; /* made anew, with another id */
    assert_int_equal(session_part_missing(&f->ss, p), KERR_INCONSISTENT_TOPIC_ID);
    there_by_name = false;
    m = request(f, 0, 0, 2);
    f->topic.topic = none;
    s = create_of(f, m, IDS, 0);
    assert_int_equal(session_part_missing(&f->ss, session_find(s, 1, the_topic.id, none)), KERR_UNKNOWN_TOPIC_ID);
}

static void a_busy_session_is_nobody_elses(void **state)
{
    struct fixture *f = *state;
    enum session_kind kind;
    struct session *s, *other;
    struct session *own = create(f, 2, 0);
    int32_t id = own->id;
    assert_int_equal(sessions_open_request(&f->ss, request(f, id, 1, 0), NAMES, 0, &kind, &s), KERR_NONE);
    assert_ptr_equal(s, own);
    assert_int_equal(sessions_open_request(&f->ss, request(f, id, 1, 0), NAMES, 0, &kind, &other),
                     KERR_INVALID_FETCH_SESSION_EPOCH);
    assert_int_equal(sessions_open_request(&f->ss, request(f, id, -1, 0), NAMES, 0, &kind, &other), KERR_NONE);
    assert_ptr_equal(sessions_find(&f->ss, id), own); /* not closed */
    for (int i = 0; i < 2 * SLOTS; i++)
        (void)create(f, 2, (uint64_t)(i + 1) * 1000 * NS_PER_S); /* the others make room, again and again */
    assert_ptr_equal(sessions_find(&f->ss, id), own);
    assert_ptr_equal(session_settle(&f->ss, own, true, 0), own);
    assert_int_equal(own->epoch, 2);
}

static void a_closed_session_is_gone_at_once_and_freed_in_steps(void **state)
{
    struct fixture *f = *state;
    struct session *first = create(f, 8, 0), *second = create(f, 2, 0);
    int32_t id = first->id;
    assert_false(sessions_have_closed(&f->ss));
    sessions_close(&f->ss, first);
    sessions_close(&f->ss, second);
    assert_null(sessions_find(&f->ss, id));
    assert_int_equal(f->ss.parts_total, 0);
    sessions_check(&f->ss);
    assert_true(sessions_free_some(&f->ss, 5)); /* three of the first are left */
    assert_true(sessions_free_some(&f->ss, 4)); /* and one of the second */
    assert_false(sessions_free_some(&f->ss, 1));
    assert_false(sessions_free_some(&f->ss, 1));
    (void)create(f, 8, 0);
    assert_int_equal(f->ss.parts_total, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(id_and_epoch_say_what_a_request_means, setup, teardown),
        cmocka_unit_test_setup_teardown(the_epoch_after_the_last_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_changes_adds_and_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_without_partitions_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(only_news_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_house_makes_room_only_for_good_reasons, setup, teardown),
        cmocka_unit_test_setup_teardown(without_slots_there_are_no_sessions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_topic_by_id_is_missed_by_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_busy_session_is_nobody_elses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_session_is_gone_at_once_and_freed_in_steps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
