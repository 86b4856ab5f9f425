/* A small language for tests of a group: each step is a line of words, what the group does is a line of words again. Clients
 * have one-letter names, remember the id and the generation that they are told, and say hello with protocol "range" and their
 * name as metadata. Ids that the group is offered are "a-1", "a-2", ...
 *
 *   join NAME [id ID] [inst X|-] [proto P:M,P:M|-] [type T] [session MS] [rebalance MS] [need] [old] [create]
 *        (need: KIP-394; old: before skip_assignment; create: the group was made for this)
 *   sync NAME [id ID] [inst X] [gen N] [to a=X,b=Y] [proto P] [type T]     beat, leave, commit NAME [id ID] [inst X] [gen N]
 *   simple (a commit without a member)   persisted [ERROR] (of the oldest record under way)   wait MS   forget NAME
 *   unload   delete   know NAME ID GENERATION   rules DELAY_MS SIZE_MAX   generation N
 *   restart (the group as it is written, read by the next broker)   tick (once, without waiting)
 *
 * Answers: "a+a-1,1,range,a-1" joined with id, generation, protocol, leader, then "*2" members when it leads, "!" skips;
 * "a-ERROR,id" not joined; "a<X" assigned; "a<-ERROR" not; "w2:A,B" a record
 * with two members and their assignments; "=ERROR" the result of a plain call. At the end the
 * state. Heap functions come from the includer, which may make them fail. */
#pragma once
#include "core/clock.h"
#include "net/group/group.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { WAITERS = 64, SERIALS = 64, IDS = 32 };
struct waiter {
    char client;
    bool live;
};
struct client {
    char id[IDS], inst[IDS], proto[64];
    int32_t generation, ids;
};
struct group_world {
    struct group *g;
    struct heap *heap;
    struct group_rules rules;
    struct client clients[26];
    struct waiter waiters[WAITERS];
    uint32_t serials[SERIALS], serial_first, serial_end;
    struct group_now now;
    char said[2048];
    const char *step;
};

static struct client *client_of(struct group_world *w, char name)
{
    assert_in_range(name, 'a', 'z');
    return &w->clients[name - 'a'];
}

static struct kview text(const char *s)
{
    return s ? (struct kview){(const uint8_t *)s, (int32_t)strlen(s)} : (struct kview){NULL, -1};
}

__attribute__((format(printf, 2, 3))) static void say(struct group_world *w, const char *format, ...)
{
    size_t n = strlen(w->said);
    va_list args;
    va_start(args, format);
    vsnprintf(w->said + n, sizeof w->said - n, format, args);
    va_end(args);
}

static void say_separator(struct group_world *w)
{
    if (w->said[0])
        say(w, " ");
}

static void remember(struct client *c, const struct group *g, const struct group_action *a)
{
    if (a->error == KERR_NONE)
        c->generation = g->generation;
    if (a->error == KERR_NONE || a->error == KERR_MEMBER_ID_REQUIRED)
        snprintf(c->id, sizeof c->id, "%.*s", (int)a->member_id.n, (const char *)a->member_id.at);
}

static void say_join(struct group_world *w, char client, const struct group *g, const struct group_action *a)
{
    if (a->error != KERR_NONE) {
        say(w, "%c-%s,%.*s", client, kerr_name(a->error), (int)a->member_id.n, (const char *)a->member_id.at);
        return;
    }
    bool leads = a->leader.n == a->member_id.n && memcmp(a->leader.at, a->member_id.at, (size_t)a->leader.n) == 0;
    assert_ptr_equal(a->member_id.at, a->member->id.at);
    say(w, "%c+%.*s,%d,%.*s,%.*s", client, (int)a->member_id.n, (const char *)a->member_id.at, g->generation,
        (int)g->protocol.n, (const char *)g->protocol.at, (int)a->leader.n, (const char *)a->leader.at);
    if (leads)
        say(w, "*%d", g->member_count);
    if (a->skip_assignment)
        say(w, "!");
}

static void say_sync(struct group_world *w, char client, const struct group_action *a)
{
    if (a->error != KERR_NONE)
        say(w, "%c<-%s", client, kerr_name(a->error));
    else
        say(w, "%c<%.*s", client, (int)a->member->assignment.n, (const char *)a->member->assignment.at);
}

/* The record is taken from the group as it is while it asks for it. */
static void say_record(struct group_world *w, const struct group *g)
{
    static uint64_t room[4096];
    struct arena arena = arena_of(room, sizeof room);
    struct group_metadata_value v;
    assert_true(group_to_value(g, &arena, &v));
    assert_int_equal(v.generation, g->generation);
    assert_int_equal(v.members.n, g->member_count);
    say(w, "w%d", v.members.n);
    for (int32_t i = 0; i < v.members.n; i++)
        say(w, "%s%.*s", i ? "," : ":", (int)v.members.v[i].assignment.n, (const char *)v.members.v[i].assignment.at);
}

static void world_act(void *arg, struct group *g, const struct group_action *a)
{
    struct group_world *w = arg;
    say_separator(w);
    if (a->kind == GROUP_PERSIST) {
        assert_true(w->serial_end - w->serial_first < SERIALS);
        w->serials[w->serial_end++ % SERIALS] = a->serial;
        say_record(w, g);
        return;
    }
    struct waiter *waiter = a->waiter;
    assert_true(waiter->live); /* answered once */
    waiter->live = false;
    if (a->kind == GROUP_ANSWER_JOIN) {
        remember(client_of(w, waiter->client), g, a);
        say_join(w, waiter->client, g, a);
    } else {
        say_sync(w, waiter->client, a);
    }
}

static struct group_emit world_emit(struct group_world *w)
{
    return (struct group_emit){world_act, w};
}

static struct waiter *new_waiter(struct group_world *w, char client)
{
    for (int i = 0; i < WAITERS; i++)
        if (!w->waiters[i].live) {
            w->waiters[i] = (struct waiter){client, true};
            return &w->waiters[i];
        }
    fail_msg("too many waiters");
    return NULL;
}

static void group_world_open(struct group_world *w)
{
    *w = (struct group_world){.rules = {6000, 1800000, 100, 0}, .now = {1000 * NS_PER_S, 1700000000000}};
    w->heap = heap_open();
    w->g = group_open(w->heap, &w->rules, text("group"), w->now.wall_ms);
    assert_non_null(w->g);
    for (int i = 0; i < 26; i++)
        snprintf(w->clients[i].proto, sizeof w->clients[i].proto, "range:%c", 'a' + i);
}

static uint32_t waiting(const struct group_world *w)
{
    uint32_t count = 0;
    for (int i = 0; i < WAITERS; i++)
        count += w->waiters[i].live;
    return count;
}

static void checked(const struct group_world *w)
{
    const char *wrong = group_check(w->g);
    if (wrong)
        fail_msg("after \"%s\": %s", w->step, wrong);
}

static void group_world_close(struct group_world *w)
{
    struct group_emit emit = world_emit(w);
    group_unload(w->g, KERR_NOT_COORDINATOR, &emit);
    assert_int_equal(waiting(w), 0);
    checked(w);
    group_close(w->g);
    heap_close(w->heap);
}

/* --- steps --- */

/* The word after `key` in the step, or NULL; with value == false the key itself. */
static const char *option(char **words, const char *key, bool value)
{
    for (; *words; words++)
        if (strcmp(*words, key) == 0)
            return value ? words[1] : words[0];
    return NULL;
}

static int32_t number(char **words, const char *key, int32_t otherwise)
{
    const char *s = option(words, key, true);
    return s ? atoi(s) : otherwise;
}

/* "P:M,P:M" is cut in place. */
static int32_t pairs(char *s, char between, struct kview (*out)[2], int32_t max)
{
    int32_t n = 0;
    char *save;
    for (char *p = strtok_r(s, ",", &save); p && strcmp(p, "-") != 0; p = strtok_r(NULL, ",", &save)) {
        char *second = strchr(p, between);
        assert_non_null(second);
        assert_true(n < max);
        *second = 0;
        out[n][0] = text(p);
        out[n++][1] = text(second + 1);
    }
    return n;
}

static void update_client(struct client *c, char **words)
{
    const char *inst = option(words, "inst", true), *proto = option(words, "proto", true);
    if (inst)
        snprintf(c->inst, sizeof c->inst, "%s", strcmp(inst, "-") ? inst : "");
    if (proto)
        snprintf(c->proto, sizeof c->proto, "%s", proto);
}

static struct kview id_option(struct client *c, char **words)
{
    const char *id = option(words, "id", true);
    return text(!id ? c->id : strcmp(id, "-") ? id : "");
}

static struct kview inst_option(struct client *c, char **words)
{
    const char *inst = option(words, "inst", true);
    return text(inst && strcmp(inst, "-") ? inst : !inst && c->inst[0] ? c->inst : NULL);
}

static void step_join(struct group_world *w, struct client *c, char name, char **words)
{
    char proto[64], fresh[IDS];
    struct kview pair[8][2];
    struct join_group_request_protocol protocols[8];
    update_client(c, words);
    snprintf(proto, sizeof proto, "%s", c->proto);
    snprintf(fresh, sizeof fresh, "%c-%d", name, ++c->ids);
    int32_t n = pairs(proto, ':', pair, 8);
    for (int32_t i = 0; i < n; i++)
        protocols[i] = (struct join_group_request_protocol){.name = pair[i][0], .metadata = pair[i][1]};
    const char *type = option(words, "type", true);
    struct group_join e = {.member_id = id_option(c, words),
                           .instance_id = inst_option(c, words),
                           .client_id = text("client"),
                           .client_host = text("/host"),
                           .protocol_type = text(!type               ? "consumer"
                                                 : strcmp(type, "-") ? type
                                                                     : ""),
                           .fresh_id = text(fresh),
                           .protocols = protocols,
                           .protocol_count = n,
                           .session_timeout_ms = number(words, "session", 10000),
                           .rebalance_timeout_ms = number(words, "rebalance", 60000),
                           .id_required = option(words, "need", false),
                           .can_skip = !option(words, "old", false),
                           .may_create = option(words, "create", false),
                           .waiter = new_waiter(w, name)};
    struct group_emit emit = world_emit(w);
    group_join(w->g, &e, w->now, &emit);
}

static void step_sync(struct group_world *w, struct client *c, char name, char **words)
{
    char to[128] = "-";
    struct kview pair[8][2];
    struct sync_group_request_assignment assignments[8];
    if (option(words, "to", true))
        snprintf(to, sizeof to, "%s", option(words, "to", true));
    int32_t n = pairs(to, '=', pair, 8);
    for (int32_t i = 0; i < n; i++) {
        const char *id = (const char *)pair[i][0].at;
        assignments[i] = (struct sync_group_request_assignment){
            .member_id = id[1] ? pair[i][0] : text(client_of(w, id[0])->id), .assignment = pair[i][1]};
    }
    struct group_sync e = {.member_id = id_option(c, words),
                           .instance_id = inst_option(c, words),
                           .protocol_type = text(option(words, "type", true)),
                           .protocol = text(option(words, "proto", true)),
                           .generation = number(words, "gen", c->generation),
                           .assignments = assignments,
                           .assignment_count = n,
                           .waiter = new_waiter(w, name)};
    struct group_emit emit = world_emit(w);
    group_sync(w->g, &e, w->now, &emit);
}

static void say_result(struct group_world *w, enum kerr error)
{
    say_separator(w);
    say(w, "=%s", kerr_name(error));
}

static void step_persisted(struct group_world *w, char **words)
{
    struct group_emit emit = world_emit(w);
    static const enum kerr errors[] = {KERR_NOT_COORDINATOR, KERR_COORDINATOR_NOT_AVAILABLE, KERR_UNKNOWN_SERVER_ERROR};
    enum kerr error = KERR_NONE;
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        if (words[1] && strcmp(words[1], kerr_name(errors[i])) == 0)
            error = errors[i];
    assert_true(!words[1] || error != KERR_NONE);
    if (w->serial_first != w->serial_end)
        group_persisted(w->g, w->serials[w->serial_first++ % SERIALS], error, w->now, &emit);
    else
        say(w, "nothing");
}

/* As the coordinator does: time stops at each deadline on the way. */
static void step_wait(struct group_world *w, int64_t ms)
{
    struct group_emit emit = world_emit(w);
    uint64_t until = w->now.ns + (uint64_t)ms * NS_PER_MS;
    for (int turns = 0; group_deadline(w->g) <= until; turns++) {
        assert_true(turns < 10000);
        uint64_t at = u64_max(w->now.ns, group_deadline(w->g));
        w->now.wall_ms += (int64_t)((at - w->now.ns) / NS_PER_MS);
        w->now.ns = at;
        group_tick(w->g, w->now, &emit);
        checked(w);
    }
    w->now.wall_ms += (int64_t)((until - w->now.ns) / NS_PER_MS);
    w->now.ns = until;
}

static void step_forget(struct group_world *w, char name)
{
    struct group_emit emit = world_emit(w);
    for (int i = 0; i < WAITERS; i++)
        if (w->waiters[i].live && w->waiters[i].client == name)
            group_forget(w->g, &w->waiters[i], w->now, &emit);
}

static void step_know(struct client *c, char **words)
{
    snprintf(c->id, sizeof c->id, "%s", words[2]);
    c->generation = atoi(words[3]);
}

/* A waiter is gone with the broker. */
static void step_restart(struct group_world *w)
{
    static uint64_t room[2][2048];
    static uint8_t record[8192];
    struct arena out = arena_of(room[0], sizeof room[0]);
    struct arena in = arena_of(room[1], sizeof room[1]);
    struct kwriter writer = kwriter_of(record, sizeof record);
    struct group_metadata_value v;
    struct group_emit emit = world_emit(w);
    assert_true(group_to_value(w->g, &out, &v));
    assert_true(group_metadata_value_encode(&v, &writer, 3));
    group_unload(w->g, KERR_NOT_COORDINATOR, &emit);
    group_close(w->g);
    w->serial_first = w->serial_end = 0;
    struct kview bytes = {record, (int32_t)kwriter_bytes(&writer)};
    assert_true(group_metadata_value_decode(&v, bytes, 3, &in));
    w->g = group_open(w->heap, &w->rules, text("group"), w->now.wall_ms);
    assert_int_equal(group_from_value(w->g, &v, w->now), ERR_NONE);
}

static bool step_of_group(struct group_world *w, char **words)
{
    struct group_emit emit = world_emit(w);
    if (strcmp(words[0], "persisted") == 0)
        step_persisted(w, words);
    else if (strcmp(words[0], "wait") == 0)
        step_wait(w, atoi(words[1]));
    else if (strcmp(words[0], "delete") == 0)
        say_result(w, group_delete(w->g, w->now.wall_ms));
    else if (strcmp(words[0], "simple") == 0)
        say_result(w, group_commit_check(w->g, text(""), text(NULL), -1, w->now));
    else if (strcmp(words[0], "unload") == 0)
        group_unload(w->g, KERR_NOT_COORDINATOR, &emit);
    else if (strcmp(words[0], "tick") == 0)
        group_tick(w->g, w->now, &emit);
    else if (strcmp(words[0], "restart") == 0)
        step_restart(w);
    else if (strcmp(words[0], "generation") == 0)
        w->g->generation = atoi(words[1]);
    else if (strcmp(words[0], "rules") == 0)
        w->rules = (struct group_rules){6000, 1800000, atoi(words[2]), atoi(words[1]), NULL};
    else
        return false;
    return true;
}

static void step_of_client(struct group_world *w, char **words)
{
    assert_non_null(words[1]);
    char name = words[1][0];
    struct client *c = client_of(w, name);
    struct group_emit emit = world_emit(w);
    struct kview id = id_option(c, words), inst = inst_option(c, words);
    int32_t generation = number(words, "gen", c->generation);
    if (strcmp(words[0], "join") == 0)
        step_join(w, c, name, words);
    else if (strcmp(words[0], "sync") == 0)
        step_sync(w, c, name, words);
    else if (strcmp(words[0], "beat") == 0)
        say_result(w, group_heartbeat(w->g, id, inst, generation, w->now));
    else if (strcmp(words[0], "leave") == 0)
        say_result(w, group_leave(w->g, id, inst, w->now, &emit));
    else if (strcmp(words[0], "commit") == 0)
        say_result(w, group_commit_check(w->g, id, inst, generation, w->now));
    else if (strcmp(words[0], "forget") == 0)
        step_forget(w, name);
    else if (strcmp(words[0], "know") == 0)
        step_know(c, words);
    else
        fail_msg("no such step: %s", words[0]);
}

/* Answers what the group did. */
static const char *group_step(struct group_world *w, const char *line)
{
    char copy[256], *words[32] = {NULL}, *save;
    int n = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word && n < 31; word = strtok_r(NULL, " ", &save))
        words[n++] = word;
    assert_true(n > 0);
    w->step = line;
    w->said[0] = 0;
    if (!step_of_group(w, words))
        step_of_client(w, words);
    checked(w);
    return w->said;
}

static inline const char *group_step_state(struct group_world *w, const char *line)
{
    group_step(w, line);
    say_separator(w);
    say(w, "%s", group_state_name(w->g->state));
    return w->said;
}
