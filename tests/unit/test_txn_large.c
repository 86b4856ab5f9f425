/* A transaction of very many partitions: what is asked of it is worked in steps, at home and where it is coordinated. */
#define DIR "build/tests/unit/txn_large"
#include "tests/unit/request_world.h"
#include "net/txn/txn_ask.h"

enum {
    VERY_MANY = 20000,
    ITEMS_PER_STEP = STEP_UNITS * TXN_ITEMS_PER_UNIT,
    SORT_PASSES = 14 /* of what is in no order */
};
static int32_t very_many_numbers[VERY_MANY];
static struct txn_partition very_many[VERY_MANY];
static uint8_t large_frame[VERY_MANY * 4 + 1024];

static void name_very_many(void)
{
    for (int32_t i = 0; i < VERY_MANY; i++) {
        very_many_numbers[i] = VERY_MANY - i;
        very_many[i] = (struct txn_partition){text_of("topic"), VERY_MANY - i};
    }
}

static uint64_t steps_until_now(void)
{
    return server_of(w.shard)->steps.steps_run;
}

static bool encode_very_many(struct kwriter *out, int16_t version)
{
    return encode_added(out, version, very_many_numbers, VERY_MANY);
}

static void send_very_many(void)
{
    const struct api_case c = {KAPI_add_partitions_to_txn, 2, 2, 99, encode_very_many};
    size_t sent = 0, bytes = make_frame_in(large_frame, sizeof large_frame, &c, c.last);
    w.reply_bytes = 0;
    w.closed = false;
    while (sent < bytes) {
        ssize_t n = send(w.fd, large_frame + sent, bytes - sent, 0);
        assert_true(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
        turn();
    }
}

/* Each is gathered, sorted, and laid out; none of them is there. */
static void a_request_that_names_very_many_partitions_is_worked_in_steps(void **state)
{
    (void)state;
    name_very_many();
    connect_client();
    begin_transaction();
    uint64_t before = steps_until_now();
    send_very_many();
    assert_true(wait_for_end(WAIT_S * 1000));
    assert_false(w.closed);
    assert_true(steps_until_now() - before >= VERY_MANY * (2 + SORT_PASSES) / ITEMS_PER_STEP);
    struct kreader reader = answer_body(2);
    struct add_partitions_to_txn_response r;
    struct arena arena = {0};
    arena_init(&arena, w.heap, 8 << 20);
    assert_true(add_partitions_to_txn_response_decode(&r, (struct kview){reader.at, (int32_t)(reader.end - reader.at)},
                                                      2, &arena));
    assert_int_equal(r.results_by_topic_v3_and_below.n, 1);
    assert_int_equal(r.results_by_topic_v3_and_below.v[0].results_by_partition.n, VERY_MANY);
    for (int32_t i = 0; i < VERY_MANY; i++) {
        const struct add_partitions_to_txn_partition_result *p =
            &r.results_by_topic_v3_and_below.v[0].results_by_partition.v[i];
        assert_int_equal(p->partition_index, i + 1);
        assert_int_equal(p->partition_error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    }
    arena_reset(&arena);
    disconnect_client();
}

static bool question_answered;
static void hear_answer(struct txn_question *q)
{
    (void)q;
    question_answered = true;
}

/* In how many steps. */
static uint64_t ask_question(struct txn_question *q)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S, before = steps_until_now();
    question_answered = false;
    q->call.key = producer_name;
    q->producer_id = producer.id;
    q->producer_epoch = producer.epoch;
    q->parts = very_many;
    q->part_count = VERY_MANY;
    q->answered = hear_answer;
    txn_ask(w.shard, q);
    while (!question_answered) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    return steps_until_now() - before;
}

static void a_transaction_of_very_many_partitions_is_worked_in_steps(void **state)
{
    (void)state;
    static enum kerr errors[VERY_MANY];
    struct describe_transactions_transaction_state described;
    struct txn_question add = {.kind = TXN_ASK_ADD}, verify = {.kind = TXN_ASK_VERIFY, .errors = errors},
                        describe = {.kind = TXN_ASK_DESCRIBE, .described = &described};
    name_very_many();
    connect_client();
    begin_transaction();
    assert_true(ask_question(&add) >= VERY_MANY * (1 + SORT_PASSES) / ITEMS_PER_STEP);
    assert_int_equal(add.error, KERR_NONE);
    check_log(txn_topic.on(w.shard));
    errors[0] = errors[VERY_MANY - 1] = KERR_UNKNOWN_SERVER_ERROR;
    assert_true(ask_question(&verify) >= VERY_MANY / ITEMS_PER_STEP);
    assert_int_equal(verify.error, KERR_NONE);
    assert_int_equal(errors[0], KERR_NONE);
    assert_int_equal(errors[VERY_MANY - 1], KERR_NONE);
    assert_true(ask_question(&describe) >= 1);
    assert_int_equal(described.topics.n, 1);
    assert_int_equal(described.topics.v[0].partitions.n, VERY_MANY + 1);
    arena_reset(&describe.call.memory);
    disconnect_client();
}

/* It is refused, and the transaction goes on with what it had. */
static void partitions_that_no_record_has_room_for_are_refused(void **state)
{
    (void)state;
    static char names[VERY_MANY][80];
    struct txn_question add = {.kind = TXN_ASK_ADD}, describe = {.kind = TXN_ASK_DESCRIBE};
    struct describe_transactions_transaction_state described;
    for (int32_t i = 0; i < VERY_MANY; i++) {
        snprintf(names[i], sizeof names[i], "%060d", i);
        very_many[i] = (struct txn_partition){text_of(names[i]), 0};
    }
    connect_client();
    begin_transaction();
    (void)ask_question(&add);
    assert_int_equal(add.error, KERR_UNKNOWN_SERVER_ERROR);
    check_log(txn_topic.on(w.shard));
    describe.described = &described;
    (void)ask_question(&describe);
    assert_int_equal(described.topics.n, 1);
    arena_reset(&describe.call.memory);
    disconnect_client();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_that_names_very_many_partitions_is_worked_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transaction_of_very_many_partitions_is_worked_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(partitions_that_no_record_has_room_for_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
