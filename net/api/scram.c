/* DescribeUserScramCredentials and AlterUserScramCredentials (KIP-554). The client salts the password; what it sends is kept durably in the
 * catalog and never in a log line, and described by mechanism and iterations. Nobody can log in by it yet.
 *
 * A user is one entity, a mechanism one of its settings: "iterations=4096,salt=<hex>,salted_password=<hex>". */
#include "net/api/answering.h"
#include "net/api/kept.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include "storage/config/settings.h"
#include <stdio.h>

enum { ITERATIONS_MIN = 4096, ITERATIONS_MAX = 16384 };

static const char *const mechanisms[] = {[1] = "SCRAM-SHA-256", [2] = "SCRAM-SHA-512"};

/* NULL: there is no such one. */
static const char *scram_mechanism(int8_t number)
{
    return number > 0 && number < (int8_t)COUNT_OF(mechanisms) ? mechanisms[number] : NULL;
}

/* --- AlterUserScramCredentials --- */

struct alter_scram_run {
    struct answering walk; /* rows: deletions, then upsertions */
    const struct alter_user_scram_credentials_request *ask;
    struct alter_user_scram_credentials_response r;
    struct kview *names;
    struct duplicates duplicates;
    struct countdown changes; /* without an answer */
};
struct scram_change {
    struct catalog_change change;
    struct alter_scram_run *run;
    struct alter_user_scram_credentials_result *out;
    struct config_op op;
};

static void refuse_credential(struct alter_user_scram_credentials_result *out, enum kerr error, const char *message)
{
    out->error_code = (int16_t)error;
    out->error_message = view_of(message);
}

/* False: refused. */
static bool check_scram_user(struct kview user, int8_t mechanism, struct alter_user_scram_credentials_result *out)
{
    if (user.n == 0)
        refuse_credential(out, KERR_UNACCEPTABLE_CREDENTIAL, "Username must not be empty");
    else if (!scram_mechanism(mechanism))
        refuse_credential(out, KERR_UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism");
    return !out->error_code;
}

static bool check_deletion(struct alter_scram_run *run, const struct scram_credential_deletion *ask, const char *user,
                           struct alter_user_scram_credentials_result *out)
{
    if (!check_scram_user(ask->name, ask->mechanism, out))
        return false;
    const struct catalog *c = server_catalog(run->walk.req->server);
    const struct entity *e = user ? entities_find(&c->entities, ENTITY_SCRAM, user) : NULL;
    if (!entity_setting(e, scram_mechanism(ask->mechanism)))
        refuse_credential(out, KERR_RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist");
    return !out->error_code;
}

static bool check_upsertion(const struct scram_credential_upsertion *ask,
                            struct alter_user_scram_credentials_result *out)
{
    if (!check_scram_user(ask->name, ask->mechanism, out))
        return false;
    if (ask->iterations < ITERATIONS_MIN)
        refuse_credential(out, KERR_UNACCEPTABLE_CREDENTIAL, "Too few iterations");
    else if (ask->iterations > ITERATIONS_MAX)
        refuse_credential(out, KERR_UNACCEPTABLE_CREDENTIAL, "Too many iterations");
    else if (ask->salted_password.n == 0)
        refuse_credential(out, KERR_UNACCEPTABLE_CREDENTIAL, "The salted password must not be empty");
    return !out->error_code;
}

static char *put_hex(char *at, struct kview bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (int32_t i = 0; i < bytes.n; i++) {
        *at++ = digits[bytes.at[i] >> 4];
        *at++ = digits[bytes.at[i] & 15];
    }
    return at;
}

/* NULL: no memory, or more than a setting may hold. */
static char *write_credential(struct request *req, const struct scram_credential_upsertion *ask)
{
    enum { WORDS = 64 };
    size_t room = WORDS + 2 * ((size_t)ask->salt.n + (size_t)ask->salted_password.n);
    char *text = room <= SETTING_VALUE_MAX ? request_alloc(req, room) : NULL;
    if (!text)
        return NULL;
    char *at = text + snprintf(text, WORDS, "iterations=%d,salt=", ask->iterations);
    at = put_hex(at, ask->salt);
    at += snprintf(at, WORDS / 2, ",salted_password=");
    at = put_hex(at, ask->salted_password);
    *at = 0;
    return text;
}

static void credential_altered(struct catalog_change *c)
{
    struct scram_change *p = container_of(c, struct scram_change, change);
    refuse_credential(p->out, c->error, c->error ? c->message : NULL);
    if (!c->error && p->op.kind == CONFIG_OP_SET)
        kept_tell(p->run->walk.req->server, ENTITY_SCRAM);
    countdown_done(&p->run->changes);
}

/* `value` NULL: deleted. */
static void start_scram_change(struct alter_scram_run *run, const char *user, int8_t mechanism, const char *value,
                               struct alter_user_scram_credentials_result *out)
{
    struct scram_change *p = request_zalloc(run->walk.req, sizeof *p);
    if (!p) {
        refuse_credential(out, KERR_UNKNOWN_SERVER_ERROR, no_memory);
        return;
    }
    p->run = run;
    p->out = out;
    p->op = (struct config_op){scram_mechanism(mechanism), value ? CONFIG_OP_SET : CONFIG_OP_DELETE, value};
    p->change = (struct catalog_change){.kind = CATALOG_ENTITY,
                                        .entity_kind = ENTITY_SCRAM,
                                        .name = user,
                                        .ops = &p->op,
                                        .op_count = 1,
                                        .done = credential_altered};
    countdown_add(&run->changes);
    catalog_change_start(run->walk.req->server->shard, &p->change);
}

/* Of a user who is named twice nothing is altered. */
static void judge_credential(struct alter_scram_run *run, int32_t row, struct alter_user_scram_credentials_result *out)
{
    const struct alter_user_scram_credentials_request *m = run->ask;
    bool deletes = row < m->deletions.n, twice = run->duplicates.of[row], full;
    const struct scram_credential_upsertion *upsertion = deletes ? NULL : &m->upsertions.v[row - m->deletions.n];
    const struct scram_credential_deletion *deletion = deletes ? &m->deletions.v[row] : NULL;
    const char *user = kept_text(run->walk.req, run->names[row], &full), *value = NULL;
    if (!(deletes ? check_deletion(run, deletion, user, out) : check_upsertion(upsertion, out)))
        return;
    if (!deletes && !twice)
        value = write_credential(run->walk.req, upsertion);
    if (twice)
        refuse_credential(out, KERR_DUPLICATE_RESOURCE,
                          "A user credential cannot be altered twice in the same request");
    else if (!user || (!deletes && !value))
        refuse_credential(out, KERR_UNACCEPTABLE_CREDENTIAL,
                          "The name, the salt or the salted password cannot be kept");
    else
        start_scram_change(run, user, deletes ? deletion->mechanism : upsertion->mechanism, value, out);
}

static int32_t alter_credential(struct answering *walk)
{
    struct alter_scram_run *run = container_of(walk, struct alter_scram_run, walk);
    if (run->duplicates.of[walk->row] == DUPLICATE_LATER)
        return 0;
    struct alter_user_scram_credentials_result *out = &run->r.results.v[run->r.results.n++];
    alter_user_scram_credentials_result_init(out);
    out->user = run->names[walk->row];
    out->error_message = view_of(NULL);
    judge_credential(run, walk->row, out);
    return 0;
}

static void all_credentials_altered(struct countdown *c)
{
    struct alter_scram_run *run = container_of(c, struct alter_scram_run, changes);
    REQUEST_REPLY_LARGE(run->walk.req, alter_user_scram_credentials_response, &run->r);
}

static void all_credentials_started(struct answering *walk)
{
    countdown_done(&container_of(walk, struct alter_scram_run, walk)->changes);
}

static const struct answering_kind alter_scram_kind = {.begin = alter_credential, .reply = all_credentials_started};

/* All names, then which of them come twice. */
static int32_t name_altered_user(struct answering *walk)
{
    struct alter_scram_run *run = container_of(walk, struct alter_scram_run, walk);
    const struct alter_user_scram_credentials_request *m = run->ask;
    int32_t upsertion = walk->row - m->deletions.n;
    run->names[walk->row] = upsertion < 0 ? m->deletions.v[walk->row].name : m->upsertions.v[upsertion].name;
    return 0;
}

static void scram_users_compared(struct duplicates *d)
{
    struct alter_scram_run *run = container_of(d, struct alter_scram_run, duplicates);
    if (!d->of) {
        request_fail(d->req, no_memory);
        return;
    }
    countdown_begin(&run->changes, all_credentials_altered);
    answering_begin(&run->walk, d->req, &alter_scram_kind, d->count);
}

static void all_altered_users_named(struct answering *walk)
{
    struct alter_scram_run *run = container_of(walk, struct alter_scram_run, walk);
    duplicates_find(&run->duplicates, walk->req, run->names, walk->rows, scram_users_compared);
}

static const struct answering_kind name_altered_kind = {.begin = name_altered_user, .reply = all_altered_users_named};

void alter_user_scram_credentials_run(struct request *req)
{
    struct alter_user_scram_credentials_request *m = REQUEST_DECODE(req, alter_user_scram_credentials_request);
    if (!m)
        return;
    int32_t rows = m->deletions.n + m->upsertions.n;
    struct alter_scram_run *run = request_zalloc(req, sizeof *run);
    struct alter_user_scram_credentials_result *results = request_alloc(req, (size_t)rows * sizeof *results + 1);
    struct kview *names = request_alloc(req, (size_t)rows * sizeof *names + 1);
    if (!run || !results || !names) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    run->names = names;
    alter_user_scram_credentials_response_init(&run->r);
    run->r.results.v = results;
    answering_begin(&run->walk, req, &name_altered_kind, rows);
}

/* --- DescribeUserScramCredentials --- */

struct describe_scram_run {
    struct answering walk; /* rows: the users that the request names, or as many as there were when it began */
    const struct describe_user_scram_credentials_request *ask;
    struct describe_user_scram_credentials_response r;
    struct kview *names;
    struct duplicates duplicates;
    const char *last; /* of all users the one before; NULL: none */
};

/* Mechanism by mechanism: the beginning of the text is the number. False: no memory. */
static bool show_credentials(struct request *req, const struct entity *e,
                             struct describe_user_scram_credentials_result *out)
{
    out->credential_infos.v = request_alloc(req, COUNT_OF(mechanisms) * sizeof *out->credential_infos.v);
    for (int8_t i = 1; out->credential_infos.v && i < (int8_t)COUNT_OF(mechanisms); i++) {
        const char *set = entity_setting(e, mechanisms[i]);
        int iterations = 0;
        if (!set || sscanf(set, "iterations=%d,", &iterations) != 1)
            continue;
        struct scram_credential_info *info = &out->credential_infos.v[out->credential_infos.n++];
        scram_credential_info_init(info);
        info->mechanism = i;
        info->iterations = iterations;
    }
    return out->credential_infos.v;
}

static struct describe_user_scram_credentials_result *add_described_user(struct describe_scram_run *run,
                                                                         struct kview user)
{
    struct describe_user_scram_credentials_result *out = &run->r.results.v[run->r.results.n++];
    describe_user_scram_credentials_result_init(out);
    out->user = user;
    return out;
}

static void refuse_described_user(struct request *req, struct describe_user_scram_credentials_result *out,
                                  enum kerr error, const char *begin)
{
    enum { TEXT_BYTES = 400 };
    out->error_code = (int16_t)error;
    out->error_message =
        view_of(request_say(req, TEXT_BYTES, "%s%.*s", begin, out->user.n, (const char *)out->user.at));
}

static int32_t describe_named_user(struct answering *walk)
{
    struct describe_scram_run *run = container_of(walk, struct describe_scram_run, walk);
    bool full;
    if (run->duplicates.of[walk->row] == DUPLICATE_LATER)
        return 0;
    struct describe_user_scram_credentials_result *out = add_described_user(run, run->names[walk->row]);
    if (run->duplicates.of[walk->row]) {
        refuse_described_user(walk->req, out, KERR_DUPLICATE_RESOURCE,
                              "Cannot describe SCRAM credentials for the same user twice in a single request: ");
        return 0;
    }
    const char *user = kept_text(walk->req, out->user, &full);
    const struct catalog *c = server_catalog(walk->req->server);
    const struct entity *e = user ? entities_find(&c->entities, ENTITY_SCRAM, user) : NULL;
    if (e)
        return show_credentials(walk->req, e, out) ? 0 : -1;
    refuse_described_user(walk->req, out, KERR_RESOURCE_NOT_FOUND,
                          "Attempt to describe a user credential that does not exist: ");
    return full ? -1 : 0;
}

static void reply_described_users(struct answering *walk)
{
    struct describe_scram_run *run = container_of(walk, struct describe_scram_run, walk);
    REQUEST_REPLY_LARGE(walk->req, describe_user_scram_credentials_response, &run->r);
}

static const struct answering_kind describe_scram_kind = {.begin = describe_named_user, .reply = reply_described_users};

static void described_users_compared(struct duplicates *d)
{
    struct describe_scram_run *run = container_of(d, struct describe_scram_run, duplicates);
    if (d->of)
        answering_begin(&run->walk, d->req, &describe_scram_kind, d->count);
    else
        request_fail(d->req, no_memory);
}

static int32_t name_described_user(struct answering *walk)
{
    struct describe_scram_run *run = container_of(walk, struct describe_scram_run, walk);
    run->names[walk->row] = run->ask->users.v[walk->row].name;
    return 0;
}

static void all_described_users_named(struct answering *walk)
{
    struct describe_scram_run *run = container_of(walk, struct describe_scram_run, walk);
    duplicates_find(&run->duplicates, walk->req, run->names, walk->rows, described_users_compared);
}

static const struct answering_kind name_described_kind = {.begin = name_described_user,
                                                          .reply = all_described_users_named};

static int32_t describe_next_user(struct answering *walk)
{
    struct describe_scram_run *run = container_of(walk, struct describe_scram_run, walk);
    const struct entity *e = kept_next(walk->req->server, ENTITY_SCRAM, run->last);
    if (!e) /* some were removed meanwhile */
        return 0;
    run->last = request_text(walk->req, view_of(e->name));
    return run->last && show_credentials(walk->req, e, add_described_user(run, view_of(run->last))) ? 0 : -1;
}

static const struct answering_kind describe_all_kind = {.begin = describe_next_user, .reply = reply_described_users};

void describe_user_scram_credentials_run(struct request *req)
{
    struct describe_user_scram_credentials_request *m = REQUEST_DECODE(req, describe_user_scram_credentials_request);
    if (!m)
        return;
    bool all = m->users.n <= 0;
    int32_t room = all ? (int32_t)kept_count(req->server, ENTITY_SCRAM) : m->users.n;
    struct describe_scram_run *run = request_zalloc(req, sizeof *run);
    struct describe_user_scram_credentials_result *results = request_alloc(req, (size_t)room * sizeof *results + 1);
    struct kview *names = request_alloc(req, (size_t)room * sizeof *names + 1);
    if (!run || !results || !names) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    run->names = names;
    describe_user_scram_credentials_response_init(&run->r);
    run->r.results.v = results;
    answering_begin(&run->walk, req, all ? &describe_all_kind : &name_described_kind, room);
}
