/* A member of the group load: see member.h. */
#include "bench/group/member.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/load/sock.h"
#include "bench/load/wire.h"

enum { NOTHING = UINT16_MAX, RETRY_MS = 20, EAGER_HEARTBEAT_MS = 50 };
#define NS_PER_MS 1000000ull
#define NO_OFFSET UINT64_MAX /* -1 */

static bool wrong(struct member *m, const char *what)
{
    if (!m->crowd->wrong)
        m->crowd->wrong = what;
    return false;
}

bool member_open(struct member *m, struct crowd *crowd, const char *address, uint32_t group)
{
    *m = (struct member){.crowd = crowd, .asked = NOTHING, .next_offset = 1};
    snprintf(m->group, sizeof m->group, "bench-%05u", group);
    m->fd = sock_connect(address, false);
    return m->fd >= 0;
}

void member_begin(struct member *m, uint64_t now_ns, double share)
{
    m->commit_due_ns = now_ns + (uint64_t)(share * (double)m->crowd->commit_ms * NS_PER_MS);
    m->heartbeat_due_ns = now_ns + (uint64_t)(share * (double)m->crowd->heartbeat_ms * NS_PER_MS);
}

/* --- sending --- */

static bool send_one(struct member *m, uint16_t key, const uint8_t *request, size_t len, uint64_t now_ns)
{
    m->asked = key;
    m->sent_ns = now_ns;
    return sock_send(m->fd, request, len) || wrong(m, "a connection was lost while sending");
}

static struct talk_who who(const struct member *m)
{
    return (struct talk_who){.group = m->group, .member = m->id, .generation = m->generation};
}

static bool send_in(struct member *m, uint64_t now_ns)
{
    const struct talk_who me = who(m);
    uint8_t out[TALK_REQUEST_MAX];

    if (m->crowd->measuring && now_ns >= m->commit_due_ns) {
        while (m->commit_due_ns <= now_ns) /* what fell due in a pause is not made up for */
            m->commit_due_ns += m->crowd->commit_ms * NS_PER_MS;
        return send_one(m, TALK_OFFSET_COMMIT, out,
                        talk_commit(out, ++m->correlation, &me, m->crowd->topic, m->partition, m->next_offset), now_ns);
    }
    if (now_ns >= m->heartbeat_due_ns) {
        m->heartbeat_due_ns = now_ns + (m->crowd->measuring ? m->crowd->heartbeat_ms : EAGER_HEARTBEAT_MS) * NS_PER_MS;
        return send_one(m, TALK_HEARTBEAT, out, talk_heartbeat(out, ++m->correlation, &me), now_ns);
    }
    return true;
}

bool member_go(struct member *m, uint64_t now_ns)
{
    const struct talk_who me = who(m);
    uint8_t out[TALK_REQUEST_MAX];

    if (m->asked != NOTHING || now_ns < m->retry_ns)
        return true;
    switch (m->step) {
    case MEMBER_FINDING:
        return send_one(m, TALK_FIND_COORDINATOR, out, talk_find(out, ++m->correlation, m->group), now_ns);
    case MEMBER_JOINING:
        return send_one(m, TALK_JOIN_GROUP, out,
                        talk_join(out, ++m->correlation, &me, m->crowd->session_ms, m->crowd->topic), now_ns);
    case MEMBER_IN: return send_in(m, now_ns);
    case MEMBER_READING:
        return send_one(m, TALK_OFFSET_FETCH, out,
                        talk_fetch(out, ++m->correlation, &me, m->crowd->topic, m->partition), now_ns);
    case MEMBER_LEAVING: return send_one(m, TALK_LEAVE_GROUP, out, talk_leave(out, ++m->correlation, &me), now_ns);
    case MEMBER_SYNCING: /* sent with the answer of JoinGroup */
    case MEMBER_OVER: return true;
    }
    return true;
}

/* --- answers --- */

static bool is_passing(int16_t error)
{
    return error == TALK_LOADING || error == TALK_NOT_AVAILABLE || error == TALK_NOT_COORDINATOR;
}

static void rejoin(struct member *m)
{
    m->crowd->rebalances++;
    m->step = MEMBER_JOINING;
}

static bool joined(struct member *m, const uint8_t *at, size_t len, uint64_t now_ns)
{
    uint8_t out[TALK_REQUEST_MAX];
    struct talk_joined j;

    if (!talk_joined(at, len, &j))
        return wrong(m, "an answer of JoinGroup makes no sense");
    if (is_passing(j.error)) {
        m->retry_ns = now_ns + RETRY_MS * NS_PER_MS;
        return true;
    }
    if (j.error != TALK_NONE && j.error != TALK_ID_REQUIRED && j.error != TALK_REBALANCE)
        return wrong(m, "JoinGroup was refused");
    if (j.error != TALK_REBALANCE)
        memcpy(m->id, j.member, sizeof m->id);
    if (j.error != TALK_NONE)
        return true; /* again, with the id */
    m->generation = j.generation;
    m->group_size = j.count;
    m->step = MEMBER_SYNCING;
    const struct talk_who me = who(m);
    return send_one(m, TALK_SYNC_GROUP, out,
                    talk_sync(out, ++m->correlation, &me, j.count ? &j : NULL, m->crowd->topic), now_ns);
}

static bool synced(struct member *m, const uint8_t *at, size_t len)
{
    struct talk_assigned a;

    if (!talk_synced(at, len, &a))
        return wrong(m, "an answer of SyncGroup makes no sense");
    if (a.error == TALK_REBALANCE) {
        rejoin(m);
        return true;
    }
    if (a.error != TALK_NONE || !a.has_partition)
        return wrong(m, "SyncGroup was refused");
    m->partition = a.partition;
    m->heartbeat_due_ns = 0;
    m->step = MEMBER_IN;
    return true;
}

static bool beaten(struct member *m, const uint8_t *at, size_t len)
{
    int16_t error;

    if (!talk_beaten(at, len, &error))
        return wrong(m, "an answer of Heartbeat makes no sense");
    m->crowd->heartbeats += m->crowd->measuring;
    if (error == TALK_NONE)
        return true;
    if (m->crowd->measuring || error != TALK_REBALANCE)
        return wrong(m, "Heartbeat was refused");
    rejoin(m);
    return true;
}

static bool committed(struct member *m, const uint8_t *at, size_t len, uint64_t now_ns)
{
    int16_t error;

    if (!talk_committed(at, len, &error) || error != TALK_NONE)
        return wrong(m, "OffsetCommit was refused");
    m->acked_offset = m->next_offset++;
    m->crowd->commits++;
    hist_add(&m->crowd->commit_latency, now_ns - m->sent_ns);
    return true;
}

static bool fetched(struct member *m, const uint8_t *at, size_t len)
{
    int16_t error;
    uint64_t offset;

    if (!talk_fetched(at, len, &error, &offset) || error != TALK_NONE)
        return wrong(m, "OffsetFetch was refused");
    if (m->acked_offset == 0 && offset != NO_OFFSET) /* none was due, or in time: it could not send for a while */
        return wrong(m, "OffsetFetch gives an offset where none was committed");
    if (m->acked_offset > 0 && offset != m->acked_offset)
        return wrong(m, "OffsetFetch does not give what was committed last");
    m->crowd->read_back++;
    m->step = MEMBER_LEAVING;
    return true;
}

static bool left(struct member *m, const uint8_t *at, size_t len)
{
    int16_t error;

    if (!talk_beaten(at, len, &error) || error != TALK_NONE)
        return wrong(m, "LeaveGroup was refused");
    m->step = MEMBER_OVER;
    return true;
}

static bool found(struct member *m, const uint8_t *at, size_t len, uint64_t now_ns)
{
    int16_t error;

    if (!talk_found(at, len, &error))
        return wrong(m, "an answer of FindCoordinator makes no sense");
    if (error == TALK_NONE)
        m->step = MEMBER_JOINING;
    else
        m->retry_ns = now_ns + RETRY_MS * NS_PER_MS;
    return true;
}

static bool answered(struct member *m, const uint8_t *frame, size_t len, uint64_t now_ns)
{
    struct get g = {frame, frame + len, false};
    uint16_t key = m->asked;

    if (get_u32(&g) != m->correlation || g.bad)
        return wrong(m, "an answer has another correlation id");
    m->asked = NOTHING;
    switch (key) {
    case TALK_FIND_COORDINATOR: return found(m, frame + 4, len - 4, now_ns);
    case TALK_JOIN_GROUP: return joined(m, frame + 4, len - 4, now_ns);
    case TALK_SYNC_GROUP: return synced(m, frame + 4, len - 4);
    case TALK_HEARTBEAT: return beaten(m, frame + 4, len - 4);
    case TALK_OFFSET_COMMIT: return committed(m, frame + 4, len - 4, now_ns);
    case TALK_OFFSET_FETCH: return fetched(m, frame + 4, len - 4);
    case TALK_LEAVE_GROUP: return left(m, frame + 4, len - 4);
    default: return wrong(m, "an answer came that was not asked for");
    }
}

bool member_read(struct member *m, uint64_t now_ns)
{
    ssize_t got = recv(m->fd, m->in + m->in_len, sizeof m->in - m->in_len, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return wrong(m, "a connection was lost");
    m->in_len += (size_t)got;
    struct get g = {m->in, m->in + m->in_len, false};
    uint32_t len = get_u32(&g);
    if (g.bad || m->in_len < 4 + (size_t)len)
        return len <= sizeof m->in - 4 || wrong(m, "an answer is too long");
    if (m->in_len != 4 + (size_t)len)
        return wrong(m, "more than one answer came");
    m->in_len = 0;
    return answered(m, m->in + 4, len, now_ns);
}
