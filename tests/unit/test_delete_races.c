/* Two clients that delete the same topic: both find it, and one is told that it is gone, in the words of what it said: a name or an id. */
#define DIR "build/tests/unit/delete_races"
#include "tests/unit/request_world.h"

static bool encode_delete_by_name(struct kwriter *out, int16_t version)
{
    struct delete_topics_request m;
    struct kview name = text_of("topic");
    delete_topics_request_init(&m);
    m.timeout_ms = 1000;
    m.topic_names.v = &name;
    m.topic_names.n = 1;
    return delete_topics_request_encode(&m, out, version);
}

static bool encode_delete_by_id(struct kwriter *out, int16_t version)
{
    struct delete_topics_request m;
    struct delete_topic_state topic;
    delete_topics_request_init(&m);
    delete_topic_state_init(&topic);
    m.timeout_ms = 1000;
    topic.topic_id = smallest_topic_id;
    topic.name.n = -1;
    m.topics.v = &topic;
    m.topics.n = 1;
    return delete_topics_request_encode(&m, out, version);
}

static enum kerr answer_to_delete(int16_t version, bool flexible)
{
    struct delete_topics_response r;
    struct arena arena = {0};
    size_t header = flexible ? 9 : 8;
    arena_init(&arena, w.heap, 1 << 16);
    assert_true(wait_for_end(WAIT_S * 1000));
    assert_false(w.closed);
    struct kview body = {w.reply + header, (int32_t)(w.reply_bytes - header)};
    assert_true(delete_topics_response_decode(&r, body, version, &arena));
    assert_int_equal(r.responses.n, 1);
    enum kerr error = (enum kerr)r.responses.v[0].error_code;
    arena_reset(&arena);
    return error;
}

/* Both requests are there before the first of them is answered, which takes a write. */
static enum kerr answer_to_the_loser(const struct api_case *c)
{
    connect_client();
    int first = w.fd;
    connect_client();
    int second = w.fd;
    w.fd = first;
    send_frame(c, c->last);
    w.fd = second;
    send_frame(c, c->last);
    enum kerr told = answer_to_delete(c->last, c->last >= c->flexible);
    w.fd = first;
    w.reply_bytes = 0;
    enum kerr other = answer_to_delete(c->last, c->last >= c->flexible);
    assert_true(told == KERR_NONE || other == KERR_NONE);
    close(second);
    disconnect_client();
    return told == KERR_NONE ? other : told;
}

static void who_deletes_by_name_and_is_late_hears_of_a_name(void **state)
{
    (void)state;
    const struct api_case c = {KAPI_delete_topics, 5, 5, 4, encode_delete_by_name};
    assert_int_equal(answer_to_the_loser(&c), KERR_UNKNOWN_TOPIC_OR_PARTITION);
}

static void who_deletes_by_id_and_is_late_hears_of_an_id(void **state)
{
    (void)state;
    const struct api_case c = {KAPI_delete_topics, 6, 6, 4, encode_delete_by_id};
    assert_int_equal(answer_to_the_loser(&c), KERR_UNKNOWN_TOPIC_ID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_deletes_by_name_and_is_late_hears_of_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(who_deletes_by_id_and_is_late_hears_of_an_id, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
