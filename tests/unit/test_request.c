/* Requests and replies that are large: jobs decode and encode them, and all memory comes back. */
#include "tests/unit/conn_world.h"

enum { MANY_TOPICS = 8000 };

static uint32_t run_jobs(void)
{
    uint32_t count = 0;
    for (; w.job; count++) {
        struct io_op *op = w.job;
        int32_t res = w.job_run(w.job_arg);
        w.job = NULL;
        op->done(op, res);
    }
    return count;
}

static struct request *receive_large_request(void)
{
    for (int i = 0; i < 10000 && w.running_count == 0; i++)
        turn(0);
    assert_int_equal(w.running_count, 1);
    w.running_count = 0;
    return w.running[0];
}

/* A Metadata request of many topics has come. */
static struct request *receive_many_topics(void)
{
    static struct metadata_request_topic topics[MANY_TOPICS];
    struct metadata_request m;
    metadata_request_init(&m);
    for (int i = 0; i < MANY_TOPICS; i++) {
        metadata_request_topic_init(&topics[i]);
        topics[i].name = (struct kview){(const uint8_t *)"topic", 1 + i % 5};
    }
    m.topics.v = topics;
    m.topics.n = MANY_TOPICS;
    uint32_t bytes = (uint32_t)metadata_request_size(&m, 3).bytes;
    w.any_body = true;
    put_request(KAPI_metadata, 0, bytes);
    struct kwriter out = kwriter_of(w.in + w.in_bytes - bytes, bytes);
    assert_true(metadata_request_encode(&m, &out, 3));
    return receive_large_request();
}

static struct metadata_request *decode_topics(struct request *req)
{
    return REQUEST_DECODE(req, metadata_request);
}

static void reply_topics(struct request *req, const struct metadata_request *m)
{
    struct metadata_response r;
    metadata_response_init(&r);
    r.topics.v = request_alloc(req, MANY_TOPICS * sizeof *r.topics.v);
    assert_non_null(r.topics.v);
    r.topics.n = m->topics.n;
    for (int32_t i = 0; i < r.topics.n; i++) {
        metadata_response_topic_init(&r.topics.v[i]);
        r.topics.v[i].name = m->topics.v[i].name;
        r.topics.v[i].error_code = (int16_t)i;
    }
    REQUEST_REPLY_LARGE(req, metadata_response, &r);
    memset(&r, 0xdd, sizeof r); /* it is the handler's again */
}

static void check_many_topics(void)
{
    struct metadata_response r;
    static uint8_t memory[1 << 20];
    struct arena arena = arena_of(memory, sizeof memory);
    assert_true(metadata_response_decode(&r, (struct kview){w.out + 8, (int32_t)w.out_bytes - 8}, 3, &arena));
    assert_int_equal(r.topics.n, MANY_TOPICS);
    for (int32_t i = 0; i < MANY_TOPICS; i++)
        assert_true(r.topics.v[i].error_code == i && r.topics.v[i].name.n == 1 + i % 5);
}

static void a_job_decodes_large_bodies_and_encodes_large_replies(void **state)
{
    (void)state;
    struct request *req = receive_many_topics();
    assert_null(decode_topics(req));
    assert_non_null(w.job); /* nothing of it in this turn */
    assert_true(run_jobs() > 0);
    assert_ptr_equal(w.decoded, req);
    reply_topics(req, decode_topics(req));
    assert_int_equal(req->exchange.state, EXCHANGE_RUNNING);
    assert_int_equal(run_jobs(), 2); /* one measures, one encodes */
    assert_int_equal(req->exchange.state, EXCHANGE_READY);
    for (int i = 0; i < 10000 && server_of(&w.shard)->requests.count > 0; i++)
        turn(0);
    assert_int_equal(check_replies(), 1);
    check_many_topics();
    w.gone = true;
    everything_is_back();
}

/* A Produce has come whose partitions do not all fit into the memory that their decoding is given first. */
static struct request *receive_many_partitions(void)
{
    static struct partition_produce_data partitions[2000];
    static struct topic_produce_data topics[20];
    struct produce_request m;
    produce_request_init(&m);
    for (size_t i = 0; i < COUNT_OF(partitions); i++) {
        partition_produce_data_init(&partitions[i]);
        partitions[i].records.n = -1;
    }
    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        topic_produce_data_init(&topics[i]);
        topics[i].partition_data.v = partitions;
        topics[i].partition_data.n = COUNT_OF(partitions);
    }
    m.topic_data.v = topics;
    m.topic_data.n = COUNT_OF(topics);
    uint32_t bytes = (uint32_t)produce_request_size(&m, 3).bytes;
    w.any_body = true;
    put_request(KAPI_produce, 0, bytes);
    struct kwriter out = kwriter_of(w.in + w.in_bytes - bytes, bytes);
    assert_true(produce_request_encode(&m, &out, 3));
    return receive_large_request();
}

static struct produce_request *decode_partitions(struct request *req)
{
    return REQUEST_DECODE(req, produce_request);
}

static void what_a_decoding_had_at_first_counts_no_more(void **state)
{
    (void)state;
    struct request *req = receive_many_partitions();
    size_t before = bufpool_kept_bytes(w.shard.bufs);
    assert_null(decode_partitions(req));
    assert_true(run_jobs() > 1); /* it began anew with more */
    assert_ptr_equal(w.decoded, req);
    assert_int_equal(decode_partitions(req)->topic_data.n, 20);
    assert_int_equal(bufpool_kept_bytes(w.shard.bufs) - before, req->arena.used_bytes);
    request_no_reply(req);
    for (int i = 0; i < 10 && server_of(&w.shard)->requests.count > 0; i++) {
        turn(0);
        run_jobs(); /* one empties it */
    }
    w.gone = true;
    everything_is_back();
}

static void a_connection_may_end_while_a_job_decodes(void **state)
{
    (void)state;
    struct request *req = receive_many_topics();
    assert_null(decode_topics(req));
    conn_close(request_conn(req));
    turn(0);
    assert_true(run_jobs() > 0);
    assert_null(w.decoded); /* nobody is there to be answered */
    everything_is_back();
}

/* Neither what is received nor what is sent in one go grows with the frame: io_recv and io_send look. */
static void a_large_reply_leaves_in_several_sends(void **state)
{
    (void)state;
    enum { PARTITIONS = 200 * 1000 };
    static struct partition_produce_response parts[PARTITIONS];
    struct topic_produce_response topic;
    struct produce_response r;
    put_request(KAPI_produce, 0, 10);
    for (int i = 0; i < 1000 && w.running_count == 0; i++)
        turn(0);
    struct request *req = w.running[--w.running_count];
    produce_response_init(&r);
    topic_produce_response_init(&topic);
    for (int32_t i = 0; i < PARTITIONS; i++) {
        partition_produce_response_init(&parts[i]);
        parts[i].index = i;
    }
    topic.name = (struct kview){(const uint8_t *)"t", 1};
    topic.partition_responses.v = parts;
    topic.partition_responses.n = PARTITIONS;
    r.responses.v = &topic;
    r.responses.n = 1;
    REQUEST_REPLY(req, produce_response, &r);
    turn_end();
    assert_non_null(w.send);
    while (w.send) {
        send_some();
        turn_end();
    }
    assert_true(w.out_bytes > 3 * SEND_BYTES_MAX);
    assert_int_equal(check_replies(), 1);
    assert_int_equal(run_jobs(), 1); /* its memory is emptied */
    w.gone = true;
    everything_is_back();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_decodes_large_bodies_and_encodes_large_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_decoding_had_at_first_counts_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection_may_end_while_a_job_decodes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_reply_leaves_in_several_sends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
