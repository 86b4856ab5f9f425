/* How late it is for what expires (expiry_clock.h). */
#include "storage/expiry_clock.h"
#include "core/clock.h"
#include "core/crc.h"
#include "core/bytes.h"
#include "core/fs.h"
#include "core/log.h"
#include <stdio.h>

#define AHEAD_MS_MAX 1800000ll /* an hour must count: a clock that was set to local time */
#define GAP_MS_MAX 3600000ll
#define HELD_NS (24 * 3600 * NS_PER_S)
enum { SEEN_BYTES = 12 }; /* i64 wall_ms | u32 crc32c: within one sector, so never torn */

void expiry_clock_init(struct expiry_clock *c, uint64_t now_ns, int64_t wall_ms, bool says)
{
    assert(c);
    *c = (struct expiry_clock){.trusted_ns = now_ns, .trusted_ms = wall_ms, .says = says};
}

static void trust_wall_clock(struct expiry_clock *c, uint64_t now_ns, int64_t wall_ms)
{
    assert(now_ns >= c->trusted_ns);
    c->trusted_ns = now_ns;
    c->trusted_ms = wall_ms;
    c->held = false;
}

static void say_clock_went_back(const struct expiry_clock *c, int64_t ahead_ms)
{
    assert(ahead_ms < -AHEAD_MS_MAX);
    if (c->says)
        log_warn("clock went back",
                 "by_s=%lld effect=\"what is kept by time stays that much longer, records that are dated later than "
                 "message.timestamp.after.max.ms allows are refused\" hint=\"a wrong clock, now or before\"",
                 (long long)(-ahead_ms / 1000));
}

static void hold_expiry(struct expiry_clock *c, uint64_t now_ns, int64_t ahead_ms)
{
    assert(ahead_ms > AHEAD_MS_MAX);
    c->held = true;
    c->held_ahead_ms = ahead_ms;
    c->held_until_ns = now_ns + HELD_NS;
    if (c->says)
        log_warn(
            "clock jumped",
            "ahead_s=%lld effect=\"nothing expires for a day: no segment, tombstone, committed offset, producer id or "
            "transactional id\" "
            "hint=\"a wrong clock, or a virtual machine that was paused; set it right within the day if it is wrong\"",
            (long long)(ahead_ms / 1000));
}

bool expiry_clock_ask(struct expiry_clock *c, uint64_t now_ns, int64_t wall_ms, int64_t *out_ms)
{
    assert(now_ns >= c->trusted_ns);
    assert(!c->held || c->held_ahead_ms > AHEAD_MS_MAX);
    int64_t ahead_ms = wall_ms - c->trusted_ms - (int64_t)((now_ns - c->trusted_ns) / NS_PER_MS);
    bool was_held = c->held;
    if (ahead_ms < -AHEAD_MS_MAX)
        say_clock_went_back(c, ahead_ms);
    if (ahead_ms < -AHEAD_MS_MAX || (c->held && now_ns >= c->held_until_ns))
        trust_wall_clock(c, now_ns, wall_ms);
    else if (ahead_ms <= AHEAD_MS_MAX)
        c->held = false;
    else if (!c->held || ahead_ms - c->held_ahead_ms > AHEAD_MS_MAX)
        hold_expiry(c, now_ns, ahead_ms);
    if (was_held && !c->held && c->says)
        log_info("clock believed", "ahead_s=%lld effect=\"what is old expires again\"", (long long)(ahead_ms / 1000));
    if (c->held)
        return false;
    *out_ms = wall_ms;
    return true;
}

/* --- over restarts --- */

static bool last_seen_path(const char *data_dir, char out[FS_PATH_MAX])
{
    assert(data_dir);
    int n = snprintf(out, FS_PATH_MAX, "%s/last-seen", data_dir);
    return n > 0 && n < FS_PATH_MAX;
}

int64_t expiry_clock_load(const char *data_dir)
{
    char path[FS_PATH_MAX];
    uint8_t seen[SEEN_BYTES];
    size_t got = 0;
    int fd;
    if (!last_seen_path(data_dir, path) || fs_open(path, FS_READ, &fd) != ERR_NONE)
        return -1;
    enum err err = fs_read(fd, seen, sizeof seen, 0, &got);
    fs_close(fd);
    if (err != ERR_NONE || got < sizeof seen || be32_get(seen + 8) != crc32c(0, seen, 8))
        return -1;
    return (int64_t)be64_get(seen);
}

enum err expiry_clock_save(const char *data_dir, int64_t wall_ms)
{
    char path[FS_PATH_MAX];
    uint8_t seen[SEEN_BYTES];
    int fd;
    if (!last_seen_path(data_dir, path))
        return ERR_INVALID;
    enum err err = fs_open(path, FS_WRITE | FS_CREATE | FS_OWN, &fd);
    if (err != ERR_NONE)
        return err;
    be64_put(seen, (uint64_t)wall_ms);
    be32_put(seen + 8, crc32c(0, seen, 8));
    err = fs_write(fd, seen, sizeof seen, 0);
    if (err == ERR_NONE)
        err = fs_sync(fd);
    fs_close(fd);
    return err;
}

void expiry_clock_say_gap(int64_t last_ms, int64_t wall_ms)
{
    int64_t gap_ms = wall_ms - last_ms;
    if (last_ms < 0 || (gap_ms <= GAP_MS_MAX && gap_ms >= -GAP_MS_MAX))
        return;
    log_warn("clock gap",
             "last_seen_ms=%lld now_ms=%lld gap_s=%lld hint=\"what grew old meanwhile goes at the next look; if the "
             "clock is "
             "wrong, stop the broker and set it\"",
             (long long)last_ms, (long long)wall_ms, (long long)(gap_ms / 1000));
}
