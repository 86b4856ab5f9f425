/* What counts for a topic in the end (topic_config.h): its own value, the broker's key of that meaning, of which Kafka knows
 * several for some (the first that is set counts), or the default. */
#include "storage/config/broker_config.h"
#include "storage/log/batch.h"
#include <stdio.h>
#include <string.h>

#define MS_PER_MINUTE 60000ll
#define MS_PER_HOUR 3600000ll
/* A record of a caching topic lies unflushed at most this long, unless flush.ms says something else. */
#define CACHED_FLUSH_MS "100"

/* Broker keys that stand behind the first synonym, in their order. */
static const struct {
    const char *topic_key, *broker_key;
    int64_t factor;
} more_synonyms[] = {
    {"flush.ms", "log.flush.scheduler.interval.ms", 1},   {"retention.ms", "log.retention.minutes", MS_PER_MINUTE},
    {"retention.ms", "log.retention.hours", MS_PER_HOUR}, {"segment.jitter.ms", "log.roll.jitter.hours", MS_PER_HOUR},
    {"segment.ms", "log.roll.hours", MS_PER_HOUR},
};

/* What may say something about a key, the strongest first. */
struct given {
    const struct topic_override *overrides;
    uint32_t count;
    const struct broker_config *broker;
};

static bool take_broker_value(const struct broker_config *broker, const char *broker_key, struct topic_value *out)
{
    assert(out);
    const char *value = broker ? broker_config_get(broker, broker_key) : NULL;
    if (value) {
        out->value = value;
        out->source_name = broker_key;
        out->source = broker_config_source(broker, broker_key);
    }
    return value != NULL;
}

/* Hours and minutes become milliseconds. Kafka: a retention below zero is for ever, whatever its unit. */
static void convert_topic_value(struct topic_value *v, int64_t factor)
{
    int64_t number = 0;
    bool good = config_to_i64(v->value, &number);
    assert(good);
    number = number < 0 ? -1 : number > INT64_MAX / factor ? INT64_MAX : number * factor;
    snprintf(v->text, sizeof v->text, "%lld", (long long)number);
    v->value = v->text;
}

static bool take_more_synonyms(const struct topic_key *key, const struct broker_config *broker, struct topic_value *out)
{
    for (uint32_t i = 0; i < COUNT_OF(more_synonyms); i++) {
        if (strcmp(more_synonyms[i].topic_key, key->name) != 0 ||
            !take_broker_value(broker, more_synonyms[i].broker_key, out))
            continue;
        if (more_synonyms[i].factor != 1)
            convert_topic_value(out, more_synonyms[i].factor);
        return true;
    }
    return false;
}

static void get_topic_value(const struct topic_key *key, const struct given *given, struct topic_value *out)
{
    assert(key && given && out);
    const char *own = topic_override_find(given->overrides, given->count, key->name);
    if (!own && ((key->synonym && take_broker_value(given->broker, key->synonym, out)) ||
                 take_more_synonyms(key, given->broker, out)))
        return;
    out->value = own ? own : key->fallback;
    out->source_name = own || !key->synonym ? key->name : key->synonym;
    out->source = own ? CONFIG_SOURCE_TOPIC : CONFIG_SOURCE_DEFAULT;
}

/* --- all that could count --- */

enum { NAMES_MAX = 4 };

/* Broker keys with one meaning: the first synonym of a topic key, then the others. */
static uint32_t find_broker_names(const struct topic_key *key, const char *names[NAMES_MAX])
{
    uint32_t count = 0;
    if (key->synonym)
        names[count++] = key->synonym;
    for (uint32_t i = 0; i < COUNT_OF(more_synonyms); i++)
        if (strcmp(more_synonyms[i].topic_key, key->name) == 0 && count < NAMES_MAX)
            names[count++] = more_synonyms[i].broker_key;
    return count;
}

/* Layer by layer. Kafka leaves out what stands before the first one of the name that was asked for. */
static uint32_t list_value_layers(const char *const *names, uint32_t name_count, const char *asked,
                                  const struct broker_config *broker, struct config_synonym *out)
{
    assert(name_count <= NAMES_MAX);
    uint32_t count = 0;
    for (enum config_source layer = CONFIG_SOURCE_DYNAMIC_BROKER; layer <= CONFIG_SOURCE_DEFAULT; layer++) {
        for (uint32_t i = 0; i < name_count; i++) {
            const char *value = broker_config_in(broker, names[i], layer);
            if (value && (count > 0 || strcmp(names[i], asked) == 0))
                out[count++] = (struct config_synonym){names[i], value, layer};
        }
    }
    return count;
}

uint32_t topic_synonyms(const struct topic_key *key, const struct topic_override *overrides, uint32_t count,
                        const struct broker_config *broker, struct config_synonym out[CONFIG_SYNONYMS_MAX])
{
    assert(overrides || count == 0);
    const char *names[NAMES_MAX], *own = topic_override_find(overrides, count, key->name);
    uint32_t listed = 0;
    if (own)
        out[listed++] = (struct config_synonym){key->name, own, CONFIG_SOURCE_TOPIC};
    uint32_t name_count = find_broker_names(key, names);
    return listed + (name_count ? list_value_layers(names, name_count, key->synonym, broker, out + listed) : 0);
}

uint32_t broker_synonyms(const char *name, const struct broker_config *broker,
                         struct config_synonym out[CONFIG_SYNONYMS_MAX])
{
    assert(name);
    const char *names[NAMES_MAX] = {name};
    uint32_t name_count = 1;
    for (uint32_t i = 0; i < COUNT_OF(more_synonyms); i++) {
        const struct topic_key *key = topic_key_find(more_synonyms[i].topic_key);
        if (strcmp(more_synonyms[i].broker_key, name) == 0 || strcmp(key->synonym, name) == 0)
            name_count = find_broker_names(key, names);
    }
    return list_value_layers(names, name_count, name, broker, out);
}

/* --- what counts --- */

static bool read_boolean_value(const char *name, const struct given *given)
{
    struct topic_value v;
    bool on = false;
    get_topic_value(topic_key_find(name), given, &v);
    bool good = config_to_bool(v.value, &on);
    assert(good);
    return on;
}

void topic_value_get(const struct topic_key *key, const struct topic_override *overrides, uint32_t count,
                     const struct broker_config *broker, struct topic_value *out)
{
    assert(key && out);
    assert(overrides || count == 0);
    const struct given given = {overrides, count, broker};
    get_topic_value(key, &given, out);
    bool flush = strcmp(key->name, "flush.ms") == 0 && out->source == CONFIG_SOURCE_DEFAULT;
    if (flush && read_boolean_value("write.caching", &given))
        out->value = CACHED_FLUSH_MS;
}

static int64_t read_number_value(const char *name, const struct given *given)
{
    struct topic_value v;
    int64_t value = 0;
    topic_value_get(topic_key_find(name), given->overrides, given->count, given->broker, &v);
    bool good = config_to_i64(v.value, &value);
    assert(good);
    return value;
}

static double read_ratio_value(const char *name, const struct given *given)
{
    struct topic_value v;
    double value = 0;
    topic_value_get(topic_key_find(name), given->overrides, given->count, given->broker, &v);
    bool good = config_to_f64(v.value, &value);
    assert(good);
    return value;
}

static uint32_t clamp_segment_bytes(const struct given *given)
{
    bool internal = topic_override_find(given->overrides, given->count, "internal.segment.bytes");
    return (uint32_t)read_number_value(internal ? "internal.segment.bytes" : "segment.bytes", given);
}

static bool list_has_word(const char *name, const char *word, const struct given *given)
{
    struct topic_value v;
    get_topic_value(topic_key_find(name), given, &v);
    return config_list_has(v.value, word);
}

static const struct {
    const char *name, *level;
} codecs[] = {
    [CODEC_NONE] = {"uncompressed", NULL},
    [CODEC_GZIP] = {"gzip", "compression.gzip.level"},
    [CODEC_SNAPPY] = {"snappy", NULL},
    [CODEC_LZ4] = {"lz4", "compression.lz4.level"},
    [CODEC_ZSTD] = {"zstd", "compression.zstd.level"},
};

static void resolve_codec(const struct given *given, struct topic_config *out)
{
    out->codec = -1;
    for (uint32_t i = 0; i < COUNT_OF(codecs); i++) {
        if (!list_has_word("compression.type", codecs[i].name, given))
            continue;
        out->codec = (int8_t)i;
        out->codec_level = codecs[i].level ? (int32_t)read_number_value(codecs[i].level, given) : 0;
    }
}

/* Compressed ones where something must be known of each record, and all that are to be packed anew. */
static uint8_t find_unpack_codecs(const struct given *given, const struct topic_config *c)
{
    enum { ALL = (1 << COUNT_OF(codecs)) - 1, COMPRESSED = ALL & ~(1 << CODEC_NONE) };
    assert(c->codec < (int8_t)COUNT_OF(codecs));
    bool deep = c->compacted || c->append_time_outside || list_has_word("batch.validation", "deep", given);
    unsigned anew = c->codec >= 0 ? ALL & ~(1u << c->codec) : 0;
    return (uint8_t)(anew | (deep ? COMPRESSED : 0));
}

void topic_config_resolve(struct topic_config *out, const struct topic_override *overrides, uint32_t count,
                          const struct broker_config *broker)
{
    assert(out && (overrides || count == 0));
    const struct given given = {overrides, count, broker};
    *out = (struct topic_config){
        .segment_bytes = clamp_segment_bytes(&given),
        .segment_index_bytes = (uint32_t)read_number_value("segment.index.bytes", &given),
        .index_interval_bytes = (uint32_t)read_number_value("index.interval.bytes", &given),
        .max_message_bytes = (uint32_t)read_number_value("max.message.bytes", &given),
        .segment_ms = read_number_value("segment.ms", &given),
        .segment_jitter_ms = read_number_value("segment.jitter.ms", &given),
        .retention_ms = read_number_value("retention.ms", &given),
        .retention_bytes = read_number_value("retention.bytes", &given),
        .file_delete_delay_ms = read_number_value("file.delete.delay.ms", &given),
        .flush_messages = read_number_value("flush.messages", &given),
        .flush_ms = read_number_value("flush.ms", &given),
        .timestamp_before_max_ms = read_number_value("message.timestamp.before.max.ms", &given),
        .timestamp_after_max_ms = read_number_value("message.timestamp.after.max.ms", &given),
        .min_compaction_lag_ms = read_number_value("min.compaction.lag.ms", &given),
        .max_compaction_lag_ms = read_number_value("max.compaction.lag.ms", &given),
        .delete_retention_ms = read_number_value("delete.retention.ms", &given),
        .min_cleanable_ratio = read_ratio_value("min.cleanable.dirty.ratio", &given),
        .log_append_time = list_has_word("message.timestamp.type", "LogAppendTime", &given),
        .write_caching = read_boolean_value("write.caching", &given),
        .compacted = list_has_word("cleanup.policy", "compact", &given),
        .deletes = list_has_word("cleanup.policy", "delete", &given),
        .ring = list_has_word("disk.full.policy", "delete-oldest", &given) &&
                list_has_word("cleanup.policy", "delete", &given) &&
                !list_has_word("cleanup.policy", "compact", &given),
        .append_time_outside = list_has_word("message.timestamp.out.of.range", "append-time", &given),
        .unpacked_bytes_max = (uint32_t)read_number_value("max.decompressed.message.bytes", &given),
    };
    out->ring_in_vain = !out->ring && list_has_word("disk.full.policy", "delete-oldest", &given);
    resolve_codec(&given, out);
    out->unpack_codecs = find_unpack_codecs(&given, out);
    if (out->compacted && out->max_compaction_lag_ms < out->segment_ms) /* an active segment is never cleaned */
        out->segment_ms = out->max_compaction_lag_ms;
}
