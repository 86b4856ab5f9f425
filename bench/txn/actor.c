/* A transactional producer of the load: see actor.h. */
#include "bench/txn/actor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/batch.h"
#include "bench/load/cpu.h"
#include "bench/load/sock.h"
#include "bench/load/wire.h"

enum { RECORD_BYTES = 100, RETRY_NS = 200000 };

static bool fail_stage(struct actor *a, const char *what)
{
    if (!a->stage->wrong)
        a->stage->wrong = what;
    return false;
}

bool actor_open(struct actor *a, struct stage *stage, const char *address, uint32_t number)
{
    *a = (struct actor){.stage = stage};
    snprintf(a->id, sizeof a->id, "bench-%s-%d-%u", stage->topic, (int)getpid(), number);
    a->who.id = a->id;
    a->batch_bytes = batch_make(number, cpu_wall_ms(), BATCH_BYTES_MIN, RECORD_BYTES, a->batch).bytes;
    a->fd = sock_connect(address, false);
    return a->fd >= 0 || fail_stage(a, "a producer could not connect");
}

/* --- sending --- */

static size_t put_next(struct actor *a, uint8_t *out)
{
    const struct txn_data data = {a->stage->topic, a->stage->partitions, a->batch, a->batch_bytes};
    uint32_t every = a->stage->abort_every;

    switch (a->step) {
    case ACTOR_FINDING: return txn_put_find(out, ++a->correlation, &a->who);
    case ACTOR_OPENING: return txn_put_init(out, ++a->correlation, &a->who);
    case ACTOR_SENDING: return txn_put_produce(out, ++a->correlation, &a->who, &data);
    case ACTOR_ENDING: return txn_put_end(out, ++a->correlation, &a->who, !every || a->count % every != every - 1);
    }
    return 0;
}

bool actor_go(struct actor *a, uint64_t now_ns)
{
    uint8_t out[TXN_REQUEST_MAX];

    if (a->asked || now_ns < a->retry_ns || (a->stage->over && a->step == ACTOR_SENDING))
        return true;
    a->asked = true;
    a->sent_ns = now_ns;
    if (a->step == ACTOR_SENDING && !a->begun_ns) {
        batch_in_transaction(a->batch, a->batch_bytes, a->who.producer_id, a->who.epoch);
        a->begun_ns = now_ns;
    }
    return sock_send(a->fd, out, put_next(a, out)) || fail_stage(a, "a connection was lost while sending");
}

/* --- answers --- */

static bool is_later(int16_t error)
{
    return error == TXN_LOADING || error == TXN_NOT_AVAILABLE || error == TXN_NOT_COORDINATOR ||
           error == TXN_CONCURRENT || error == TXN_UNKNOWN_TOPIC || error == TXN_NOT_LEADER;
}

/* Goes on to `next` where there was no error, and asks the same again where there is one that passes. */
static bool go_on(struct actor *a, int16_t error, enum actor_step next, uint64_t now_ns, const char *what)
{
    if (is_later(error)) {
        a->retry_ns = now_ns + RETRY_NS;
        a->stage->again += a->stage->measuring;
        return true;
    }
    if (error != TXN_NONE) {
        fprintf(stderr, "%s: error %d\n", what, error);
        return fail_stage(a, what);
    }
    a->step = next;
    return true;
}

static bool found(struct actor *a, const uint8_t *at, size_t len, uint64_t now_ns)
{
    int16_t error;

    return txn_get_found(at, len, &error) ? go_on(a, error, ACTOR_OPENING, now_ns, "FindCoordinator was refused")
                                          : fail_stage(a, "an answer of FindCoordinator makes no sense");
}

static void become(struct actor *a, const struct txn_said *said)
{
    if (said->error == TXN_NONE) {
        a->who.producer_id = said->producer_id;
        a->who.epoch = said->epoch;
    }
}

static bool opened(struct actor *a, const uint8_t *at, size_t len, uint64_t now_ns)
{
    struct txn_said said;

    if (!txn_get_said(at, len, &said))
        return fail_stage(a, "an answer of InitProducerId makes no sense");
    become(a, &said);
    return go_on(a, said.error, ACTOR_SENDING, now_ns, "InitProducerId was refused");
}

static bool produced(struct actor *a, const uint8_t *at, size_t len, uint64_t now_ns)
{
    int16_t error;
    uint32_t count;

    if (!txn_get_produced(at, len, &error, &count) || count != a->stage->partitions)
        return fail_stage(a, "an answer of Produce makes no sense");
    if (error == TXN_NONE && a->ended_ns && a->stage->measuring)
        hist_add(&a->stage->completed, now_ns - a->ended_ns);
    return go_on(a, error, ACTOR_ENDING, now_ns, "Produce was refused");
}

static bool ended(struct actor *a, const uint8_t *at, size_t len, uint64_t now_ns)
{
    struct txn_said said;

    if (!txn_get_said(at, len, &said))
        return fail_stage(a, "an answer of EndTxn makes no sense");
    if (said.error == TXN_NONE && said.producer_id == a->who.producer_id && said.epoch != a->who.epoch + 1)
        return fail_stage(a, "EndTxn did not raise the epoch");
    become(a, &said);
    if (said.error == TXN_NONE) {
        if (a->stage->measuring) {
            hist_add(&a->stage->end, now_ns - a->sent_ns);
            hist_add(&a->stage->whole, now_ns - a->begun_ns);
            a->stage->transactions++;
        }
        a->count++;
        a->begun_ns = 0;
        a->ended_ns = a->sent_ns;
    }
    return go_on(a, said.error, ACTOR_SENDING, now_ns, "EndTxn was refused");
}

static bool take_answer(struct actor *a, const uint8_t *frame, size_t len, uint64_t now_ns)
{
    struct get g = {frame, frame + len, false};

    if (!a->asked || get_u32(&g) != a->correlation || g.bad)
        return fail_stage(a, "an answer came that was not asked for");
    a->asked = false;
    switch (a->step) {
    case ACTOR_FINDING: return found(a, frame + 4, len - 4, now_ns);
    case ACTOR_OPENING: return opened(a, frame + 4, len - 4, now_ns);
    case ACTOR_SENDING: return produced(a, frame + 4, len - 4, now_ns);
    case ACTOR_ENDING: return ended(a, frame + 4, len - 4, now_ns);
    }
    return false;
}

bool actor_read(struct actor *a, uint64_t now_ns)
{
    ssize_t got = recv(a->fd, a->in + a->in_len, sizeof a->in - a->in_len, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return fail_stage(a, "a connection was lost");
    a->in_len += (size_t)got;
    struct get g = {a->in, a->in + a->in_len, false};
    uint32_t len = get_u32(&g);
    if (g.bad || a->in_len < 4 + (size_t)len)
        return g.bad || len <= sizeof a->in - 4 || fail_stage(a, "an answer is too long");
    if (a->in_len != 4 + (size_t)len)
        return fail_stage(a, "more than one answer came");
    a->in_len = 0;
    return take_answer(a, a->in + 4, len, now_ns);
}
