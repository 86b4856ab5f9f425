/* DescribeAcls, CreateAcls, DeleteAcls. There is no authorizer, so nobody may do less than everything: each is answered SECURITY_DISABLED,
 * with Kafka's sentences. What Kafka cannot read (a kind with the number 0) closes the connection there and here. */
#include "net/api/answering.h"
#include "net/api/reply.h"

static const char unknown_kinds[] = "it names kinds of resources, patterns, operations or permissions that are none";
static const char no_authorizer[] = "No Authorizer is configured.";

/* Version 0 knows literal names alone, and its field is then as its default. */
static bool is_acl_possible(int8_t resource, int8_t pattern, int8_t operation, int8_t permission)
{
    return resource != 0 && pattern != 0 && operation != 0 && permission != 0;
}

void describe_acls_run(struct request *req)
{
    struct describe_acls_request *m = REQUEST_DECODE(req, describe_acls_request);
    if (!m)
        return;
    if (!is_acl_possible(m->resource_type_filter, m->pattern_type_filter, m->operation, m->permission_type)) {
        request_fail(req, unknown_kinds);
        return;
    }
    struct describe_acls_response r;
    describe_acls_response_init(&r);
    r.error_code = KERR_SECURITY_DISABLED;
    r.error_message = view_of("No Authorizer is configured on the broker");
    REQUEST_REPLY(req, describe_acls_response, &r);
}

/* --- CreateAcls --- */

struct create_acls_run {
    struct answering walk;
    const struct create_acls_request *ask;
    struct create_acls_response r;
    bool impossible;
};

static int32_t refuse_acl_creation(struct answering *walk)
{
    struct create_acls_run *run = container_of(walk, struct create_acls_run, walk);
    const struct acl_creation *ask = &run->ask->creations.v[walk->row];
    struct acl_creation_result *out = &run->r.results.v[walk->row];
    run->impossible |=
        !is_acl_possible(ask->resource_type, ask->resource_pattern_type, ask->operation, ask->permission_type);
    acl_creation_result_init(out);
    out->error_code = KERR_SECURITY_DISABLED;
    out->error_message = view_of(no_authorizer);
    return 0;
}

static void reply_create_acls(struct answering *walk)
{
    struct create_acls_run *run = container_of(walk, struct create_acls_run, walk);
    if (run->impossible)
        request_fail(walk->req, unknown_kinds);
    else
        REQUEST_REPLY_LARGE(walk->req, create_acls_response, &run->r);
}

static const struct answering_kind create_acls_kind = {.begin = refuse_acl_creation, .reply = reply_create_acls};

void create_acls_run(struct request *req)
{
    struct create_acls_request *m = REQUEST_DECODE(req, create_acls_request);
    if (!m)
        return;
    struct create_acls_run *run = request_zalloc(req, sizeof *run);
    struct acl_creation_result *results = request_alloc(req, (size_t)m->creations.n * sizeof *results + 1);
    if (!run || !results) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    create_acls_response_init(&run->r);
    run->r.results.v = results;
    run->r.results.n = m->creations.n;
    answering_begin(&run->walk, req, &create_acls_kind, m->creations.n);
}

/* --- DeleteAcls --- */

struct delete_acls_run {
    struct answering walk;
    const struct delete_acls_request *ask;
    struct delete_acls_response r;
    bool impossible;
};

static int32_t refuse_acl_filter(struct answering *walk)
{
    struct delete_acls_run *run = container_of(walk, struct delete_acls_run, walk);
    const struct delete_acls_filter *ask = &run->ask->filters.v[walk->row];
    struct delete_acls_filter_result *out = &run->r.filter_results.v[walk->row];
    run->impossible |=
        !is_acl_possible(ask->resource_type_filter, ask->pattern_type_filter, ask->operation, ask->permission_type);
    delete_acls_filter_result_init(out);
    out->error_code = KERR_SECURITY_DISABLED;
    out->error_message = view_of(no_authorizer);
    return 0;
}

static void reply_delete_acls(struct answering *walk)
{
    struct delete_acls_run *run = container_of(walk, struct delete_acls_run, walk);
    if (run->impossible)
        request_fail(walk->req, unknown_kinds);
    else
        REQUEST_REPLY_LARGE(walk->req, delete_acls_response, &run->r);
}

static const struct answering_kind delete_acls_kind = {.begin = refuse_acl_filter, .reply = reply_delete_acls};

void delete_acls_run(struct request *req)
{
    struct delete_acls_request *m = REQUEST_DECODE(req, delete_acls_request);
    if (!m)
        return;
    struct delete_acls_run *run = request_zalloc(req, sizeof *run);
    struct delete_acls_filter_result *results = request_alloc(req, (size_t)m->filters.n * sizeof *results + 1);
    if (!run || !results) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    delete_acls_response_init(&run->r);
    run->r.filter_results.v = results;
    run->r.filter_results.n = m->filters.n;
    answering_begin(&run->walk, req, &delete_acls_kind, m->filters.n);
}
