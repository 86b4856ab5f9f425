/* The checks of a topic's configuration: one key, and all together; copies of its overrides (topic_config.h; the table is topic_keys.c, what counts in
 * the end topic_value.c). */
#include "storage/config/topic_config.h"
#include "core/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_BYTES = 256, TOPIC_KEYS_MAX = 64 };

static void say_unknown(const char *name, char *why)
{
    const char *names[TOPIC_KEYS_MAX];
    for (uint32_t i = 0; i < topic_key_count(); i++)
        names[i] = topic_key_at(i)->name;
    const char *near = config_nearest(name, names, topic_key_count());
    snprintf(why, WHY_BYTES, "%.80s is not a known topic setting%s%s", name, near ? "; did you mean " : "",
             near ? near : "");
}

enum kerr topic_override_check(const char *name, const char *value, char *why)
{
    assert(name && why);
    const struct topic_key *key = topic_key_find(name);
    char fault[CONFIG_FAULT_BYTES];
    bool on = false;
    if (!key)
        say_unknown(name, why);
    else if (!value)
        snprintf(why, WHY_BYTES, "%s has no value", name);
    else if (strlen(value) > INT16_MAX)
        snprintf(why, WHY_BYTES, "the value of %s is longer than %d bytes", name, INT16_MAX);
    else if (!config_value_check(key->type, &key->rule, value, fault))
        snprintf(why, WHY_BYTES, "%s=%.60s: it %.120s", name, value, fault);
    else if (strcmp(name, "remote.storage.enable") == 0 && config_to_bool(value, &on) && on)
        snprintf(why, WHY_BYTES, "%s=true: this broker has no tiered storage", name);
    else
        return KERR_NONE;
    return KERR_INVALID_CONFIG;
}

const char *topic_override_find(const struct topic_override *overrides, uint32_t count, const char *name)
{
    assert(overrides || count == 0);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(overrides[i].name, name) == 0)
            return overrides[i].value;
    return NULL;
}

static int compare_override(const void *a, const void *b)
{
    const struct topic_override *x = a, *y = b;
    return strcmp(x->name, y->name);
}

size_t topic_overrides_bytes(const struct topic_override *overrides, uint32_t count)
{
    assert(overrides || count == 0);
    size_t bytes = count * sizeof *overrides;
    for (uint32_t i = 0; i < count; i++)
        bytes += strlen(overrides[i].name) + strlen(overrides[i].value) + 2;
    return bytes;
}

struct topic_override *topic_overrides_copy(void *to, const struct topic_override *overrides, uint32_t count)
{
    assert(((uintptr_t)to & 7) == 0);
    struct topic_override *v = to;
    char *text = (char *)(v + count);
    for (uint32_t i = 0; i < count; i++) {
        size_t name_bytes = strlen(overrides[i].name) + 1, value_bytes = strlen(overrides[i].value) + 1;
        memcpy(text, overrides[i].name, name_bytes);
        memcpy(text + name_bytes, overrides[i].value, value_bytes);
        v[i] = (struct topic_override){text, text + name_bytes};
        text += name_bytes + value_bytes;
    }
    if (count > 1)
        qsort(v, count, sizeof *v, compare_override);
    return v;
}

/* The number that the overrides give this key, or else its default. */
static int64_t override_number(const struct topic_override *overrides, uint32_t count, const char *name)
{
    int64_t number = 0;
    const char *value = topic_override_find(overrides, count, name);
    bool good = config_to_i64(value ? value : topic_key_find(name)->fallback, &number);
    assert(good);
    return number;
}

bool topic_config_doubt(const struct topic_config *c, const struct topic_override *overrides, uint32_t count,
                        uint32_t i, char *why)
{
    assert(c && why);
    bool retention = topic_override_find(overrides, count, "retention.ms") ||
                     topic_override_find(overrides, count, "retention.bytes");
    const struct {
        bool holds;
        const char *sentence;
    } doubts[] = {
        {c->ring_in_vain, "disk.full.policy=delete-oldest has no effect: cleanup.policy is not exactly delete"},
        {retention && !c->deletes, "retention.ms and retention.bytes have no effect: cleanup.policy has no delete"},
        {c->deletes && c->retention_bytes >= 0 && (uint64_t)c->retention_bytes < c->segment_bytes,
         "retention.bytes is less than segment.bytes: whole segments go, so up to a segment more is kept"},
        {c->max_message_bytes > c->segment_bytes && topic_override_find(overrides, count, "max.message.bytes"),
         "max.message.bytes is more than segment.bytes: a batch that fits no segment is refused"},
    };
    for (uint32_t k = 0; k < COUNT_OF(doubts); k++) {
        if (!doubts[k].holds || i-- > 0)
            continue;
        snprintf(why, WHY_BYTES, "%s", doubts[k].sentence);
        return true;
    }
    return false;
}

bool topic_config_acks_durable(const struct topic_config *c)
{
    assert(c);
    return !c->write_caching || (c->flush_messages <= 1 && !PLANTED(every_message_unflushed));
}

bool topic_config_tightens(const struct topic_config *from, const struct topic_config *to)
{
    assert(from && to);
    return (topic_config_acks_durable(to) && !topic_config_acks_durable(from)) ||
           to->max_message_bytes < from->max_message_bytes;
}

/* A ring drops what is old: nothing that is to stay may be in it. */
static bool is_ring_possible(const struct topic_override *overrides, uint32_t count, char *why)
{
    const char *full = topic_override_find(overrides, count, "disk.full.policy");
    const char *policy = topic_override_find(overrides, count, "cleanup.policy");
    policy = policy ? policy : topic_key_find("cleanup.policy")->fallback;
    bool only_deletes = config_list_has(policy, "delete") && !config_list_has(policy, "compact");
    if (!full || !strstr(full, "delete-oldest") || only_deletes)
        return true;
    snprintf(why, WHY_BYTES,
             "disk.full.policy=delete-oldest drops the oldest records when the disk is full: cleanup.policy must be "
             "exactly delete, "
             "and is \"%.60s\"",
             policy);
    return false;
}

enum kerr topic_overrides_check(const struct topic_override *overrides, uint32_t count, char *why)
{
    assert(why);
    for (uint32_t i = 1; i < count; i++) {
        if (topic_override_find(overrides, i, overrides[i].name)) {
            snprintf(why, WHY_BYTES, "%s is given twice", overrides[i].name);
            return KERR_INVALID_CONFIG;
        }
    }
    if (!is_ring_possible(overrides, count, why))
        return KERR_INVALID_CONFIG;
    int64_t least = override_number(overrides, count, "min.compaction.lag.ms");
    int64_t most = override_number(overrides, count, "max.compaction.lag.ms");
    if (least <= most)
        return KERR_NONE;
    snprintf(why, WHY_BYTES, "min.compaction.lag.ms=%lld is more than max.compaction.lag.ms=%lld", (long long)least,
             (long long)most);
    return KERR_INVALID_CONFIG;
}
