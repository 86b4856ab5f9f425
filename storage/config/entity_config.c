/* See entity_config.h. */
#include "storage/config/entity_config.h"
#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 256 };

// clang-format off
static const struct topic_key group_table[] = {
    {"consumer.assignment.interval.ms", "group.consumer.assignment.interval.ms", "1000",
     "How often a consumer group may be given a new assignment; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(0), false},
    {"consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms", "5000",
     "How often members of a consumer group say that they live; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(1), false},
    {"consumer.session.timeout.ms", "group.consumer.session.timeout.ms", "45000",
     "How long a member of a consumer group may be silent; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(1), false},
    {"share.assignment.interval.ms", "group.share.assignment.interval.ms", "1000",
     "How often a share group may be given a new assignment; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(0), false},
    {"share.auto.offset.reset", NULL, "latest",
     "Where a share group begins to read a partition; kept without effect so far.",
     CONFIG_STRING, CONFIG_ANY, false},
    {"share.delivery.count.limit", "group.share.delivery.count.limit", "5",
     "How often a share group tries to deliver a record; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(2), false},
    {"share.heartbeat.interval.ms", "group.share.heartbeat.interval.ms", "5000",
     "How often members of a share group say that they live; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(1), false},
    {"share.isolation.level", NULL, "read_uncommitted",
     "Whether a share group sees records of transactions that were not committed; kept without effect so far.",
     CONFIG_STRING, CONFIG_WORDS("read_committed|read_uncommitted"), false},
    {"share.partition.max.record.locks", "group.share.partition.max.record.locks", "2000",
     "How many records of a partition a share group may hold at once; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(100), false},
    {"share.record.lock.duration.ms", "group.share.record.lock.duration.ms", "30000",
     "How long a member of a share group may hold a record; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(1000), false},
    {"share.renew.acknowledge.enable", NULL, "true",
     "Whether a member of a share group may hold a record longer; kept without effect so far.",
     CONFIG_BOOLEAN, CONFIG_ANY, false},
    {"share.session.timeout.ms", "group.share.session.timeout.ms", "45000",
     "How long a member of a share group may be silent; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(1), false},
    {"streams.assignment.interval.ms", "group.streams.assignment.interval.ms", "1000",
     "How often a streams group may be given a new assignment; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(0), false},
    {"streams.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms", "5000",
     "How often members of a streams group say that they live; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(1), false},
    {"streams.initial.rebalance.delay.ms", "group.streams.initial.rebalance.delay.ms", "3000",
     "How long a new streams group waits for more members; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(0), false},
    {"streams.num.standby.replicas", "group.streams.num.standby.replicas", "0",
     "How many copies of its state a streams group keeps; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(0), false},
    {"streams.session.timeout.ms", "group.streams.session.timeout.ms", "45000",
     "How long a member of a streams group may be silent; kept without effect so far.",
     CONFIG_INT, CONFIG_AT_LEAST(1), false},
};
static const struct topic_key metrics_table[] = {
    {"interval.ms", NULL, "300000", "How often clients of this subscription send their metrics; kept without effect so far.",
     CONFIG_INT, CONFIG_ANY, false},
    {"match", NULL, "", "Which clients this subscription is for; kept without effect so far.", CONFIG_LIST, CONFIG_ANY, false},
    {"metrics", NULL, "", "Which metrics this subscription asks for, by their beginnings; kept without effect so far.",
     CONFIG_LIST, CONFIG_ANY, false},
};
// clang-format on
const struct entity_keys group_keys = {group_table, COUNT_OF(group_table)};
const struct entity_keys metrics_keys = {metrics_table, COUNT_OF(metrics_table)};

const struct topic_key *entity_key_find(const struct entity_keys *keys, const char *name)
{
    assert(keys && name);
    for (uint32_t i = 0; i < keys->count; i++)
        if (strcmp(keys->v[i].name, name) == 0)
            return &keys->v[i];
    return NULL;
}

/* --- groups --- */

/* What the broker's keys allow a group's: keys are group.<kind>.min.<rest> and .max.<rest>. `own`: only a value of the group itself is
 * compared. */
static const struct {
    const char *name, *least, *most;
    bool own;
} group_bounds[] = {
    {"consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms",
     "group.consumer.max.heartbeat.interval.ms", false},
    {"consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms",
     false},
    {"consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms",
     "group.consumer.max.assignment.interval.ms", true},
    {"share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms",
     false},
    {"share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms", false},
    {"share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms",
     "group.share.max.record.lock.duration.ms", false},
    {"share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit",
     false},
    {"share.partition.max.record.locks", "group.share.min.partition.max.record.locks",
     "group.share.max.partition.max.record.locks", false},
    {"share.assignment.interval.ms", "group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms",
     true},
    {"streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms",
     "group.streams.max.heartbeat.interval.ms", false},
    {"streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms",
     false},
    {"streams.num.standby.replicas", NULL, "group.streams.max.standby.replicas", false},
    {"streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms",
     "group.streams.max.assignment.interval.ms", true},
};
static const struct {
    const char *session, *heartbeat;
} group_pairs[] = {
    {"consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"},
    {"share.session.timeout.ms", "share.heartbeat.interval.ms"},
    {"streams.session.timeout.ms", "streams.heartbeat.interval.ms"},
};

static int64_t read_broker_number(const struct broker_config *broker, const char *name)
{
    int64_t number = 0;
    const struct broker_key *key = broker_key_find(name);
    assert(key);
    const char *value = broker_config_get(broker, name);
    bool good = config_to_i64(value ? value : key->fallback, &number);
    assert(good);
    return number;
}

/* Values were checked one by one before. */
static int64_t read_group_number(const struct topic_override *v, uint32_t count, const struct broker_config *broker,
                                 const char *name)
{
    const struct topic_key *key = entity_key_find(&group_keys, name);
    struct topic_value value;
    int64_t number = 0;
    topic_value_get(key, v, count, broker, &value);
    bool good = config_to_i64(value.value, &number);
    assert(good);
    return number;
}

static enum kerr check_group_keys(const struct topic_override *v, uint32_t count, char *why)
{
    char fault[CONFIG_FAULT_BYTES];
    assert(v || count == 0);
    for (uint32_t i = 0; i < count; i++) {
        const struct topic_key *key = entity_key_find(&group_keys, v[i].name);
        if (!key)
            snprintf(why, WHY_BYTES, "Unknown group config name: %.120s", v[i].name);
        else if (!config_value_check(key->type, &key->rule, v[i].value, fault))
            snprintf(why, WHY_BYTES, "%s=%.60s: it %.120s", v[i].name, v[i].value, fault);
        else
            continue;
        return KERR_INVALID_CONFIG;
    }
    return KERR_NONE;
}

/* Kafka's by_duration:<ISO 8601> is looked at no closer. */
static bool is_offset_reset_possible(const char *value)
{
    static const char by_duration[] = "by_duration:P";
    assert(value);
    return strcmp(value, "latest") == 0 || strcmp(value, "earliest") == 0 ||
           strncmp(value, by_duration, sizeof by_duration - 1) == 0;
}

static enum kerr check_group_bounds(const struct topic_override *v, uint32_t count, const struct broker_config *broker,
                                    char *why)
{
    assert(why);
    for (uint32_t i = 0; i < COUNT_OF(group_bounds); i++) {
        const char *name = group_bounds[i].name, *least = group_bounds[i].least, *most = group_bounds[i].most;
        if (group_bounds[i].own && !topic_override_find(v, count, name))
            continue;
        int64_t number = read_group_number(v, count, broker, name);
        if (least && number < read_broker_number(broker, least))
            snprintf(why, WHY_BYTES, "%s must be greater than or equal to %s", name, least);
        else if (number > read_broker_number(broker, most))
            snprintf(why, WHY_BYTES, "%s must be less than or equal to %s", name, most);
        else
            continue;
        return KERR_INVALID_CONFIG;
    }
    return KERR_NONE;
}

enum kerr group_settings_check(const struct topic_override *v, uint32_t count, const struct broker_config *broker,
                               char *why)
{
    assert(broker && why);
    const char *reset = topic_override_find(v, count, "share.auto.offset.reset");
    enum kerr error = check_group_keys(v, count, why);
    if (!error && reset && !is_offset_reset_possible(reset)) {
        snprintf(why, WHY_BYTES, "share.auto.offset.reset=%.60s: it must be earliest, latest or by_duration:<duration>",
                 reset);
        error = KERR_INVALID_CONFIG;
    }
    if (!error)
        error = check_group_bounds(v, count, broker, why);
    for (uint32_t i = 0; !error && i < COUNT_OF(group_pairs); i++) {
        if (read_group_number(v, count, broker, group_pairs[i].session) >
            read_group_number(v, count, broker, group_pairs[i].heartbeat))
            continue;
        snprintf(why, WHY_BYTES, "%s must be greater than %s", group_pairs[i].session, group_pairs[i].heartbeat);
        error = KERR_INVALID_CONFIG;
    }
    return error;
}

/* --- client metrics --- */

enum { INTERVAL_MS_MIN = 100, INTERVAL_MS_MAX = 3600000 };

static const char match_names[] =
    "client_instance_id,client_id,client_software_name,client_software_version,client_source_address,"
    "client_source_port";

/* name=pattern. Equal signs at the end do not count, as in Java's split; the pattern is looked at no closer. */
static bool is_match_possible(const char *item, size_t bytes)
{
    assert(item);
    while (bytes > 0 && item[bytes - 1] == '=')
        bytes--;
    const char *sign = memchr(item, '=', bytes);
    if (!sign || memchr(sign + 1, '=', bytes - (size_t)(sign + 1 - item)))
        return false;
    size_t name_bytes = (size_t)(sign - item);
    while (name_bytes > 0 && item[name_bytes - 1] == ' ')
        name_bytes--;
    return config_list_has_item(match_names, item, name_bytes);
}

/* Each item is. */
static bool are_matches_possible(const char *list)
{
    assert(list);
    const char *at = config_list_start(list), *item;
    size_t bytes;
    while (config_list_next(&at, &item, &bytes))
        if (!is_match_possible(item, bytes))
            return false;
    return true;
}

static enum kerr check_metrics_interval(const char *value, char *why)
{
    int64_t ms;
    assert(value && why);
    if (!config_to_i64(value, &ms) || ms < INT32_MIN || ms > INT32_MAX) {
        snprintf(why, WHY_BYTES, "interval.ms=%.60s: it must be a whole number", value);
        return KERR_INVALID_CONFIG;
    }
    if (ms >= INTERVAL_MS_MIN && ms <= INTERVAL_MS_MAX)
        return KERR_NONE;
    snprintf(why, WHY_BYTES, "Invalid value %lld for interval.ms, interval must be between 100 and 3600000 (1 hour)",
             (long long)ms);
    return KERR_INVALID_REQUEST;
}

static enum kerr check_metrics_setting(const struct topic_override *o, char *why)
{
    assert(o && o->value);
    if (strcmp(o->name, "interval.ms") == 0)
        return check_metrics_interval(o->value, why);
    if (strcmp(o->name, "match") != 0 || are_matches_possible(o->value))
        return KERR_NONE;
    snprintf(why, WHY_BYTES, "Illegal client matching pattern: %.120s", o->value);
    return KERR_INVALID_CONFIG;
}

enum kerr metrics_settings_check(const struct topic_override *v, uint32_t count, char *why)
{
    enum kerr error = KERR_NONE;
    assert(v || count == 0);
    for (uint32_t i = 0; i < count && !error; i++) {
        if (entity_key_find(&metrics_keys, v[i].name))
            continue;
        snprintf(why, WHY_BYTES, "Unknown client metrics configuration: %.120s", v[i].name);
        error = KERR_INVALID_REQUEST;
    }
    for (uint32_t i = 0; i < count && !error; i++)
        error = check_metrics_setting(&v[i], why);
    return error;
}
