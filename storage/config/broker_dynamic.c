/* Settings of the broker that AlterConfigs changes while it runs (broker_config.h): which ones, their layers, and versions of a
 * configuration. */
#include "storage/config/broker_config_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_BYTES = 256 };

/* What Kafka lets one alter besides the defaults of topic keys; sorted. `per_broker`: not for all brokers at once. */
static const struct dynamic_key {
    const char *name;
    bool per_broker;
} dynamic_keys[] = {
    {"background.threads", false},
    {"config.providers", false},
    {"follower.fetch.last.tiered.offset.enable", false},
    {"follower.replication.throttled.rate", false},
    {"group.coordinator.cached.buffer.max.bytes", false},
    {"leader.replication.throttled.rate", false},
    {"log.cleaner.backoff.ms", false},
    {"log.cleaner.dedupe.buffer.size", false},
    {"log.cleaner.io.buffer.load.factor", false},
    {"log.cleaner.io.buffer.size", false},
    {"log.cleaner.io.max.bytes.per.second", false},
    {"log.cleaner.threads", false},
    {"max.connection.creation.rate", false},
    {"max.connections", false},
    {"max.connections.per.ip", false},
    {"max.connections.per.ip.overrides", false},
    {"metric.reporters", false},
    {"num.io.threads", false},
    {"num.network.threads", false},
    {"num.recovery.threads.per.data.dir", false},
    {"num.replica.fetchers", false},
    {"principal.builder.class", true},
    {"producer.id.expiration.ms", false},
    {"remote.fetch.max.wait.ms", false},
    {"remote.list.offsets.request.timeout.ms", false},
    {"remote.log.index.file.cache.total.size.bytes", false},
    {"remote.log.manager.copier.thread.pool.size", false},
    {"remote.log.manager.copy.max.bytes.per.second", false},
    {"remote.log.manager.expiration.thread.pool.size", false},
    {"remote.log.manager.fetch.max.bytes.per.second", false},
    {"remote.log.reader.threads", false},
    {"replica.alter.log.dirs.io.max.bytes.per.second", false},
    {"sasl.enabled.mechanisms", true},
    {"sasl.jaas.config", true},
    {"sasl.kerberos.kinit.cmd", true},
    {"sasl.kerberos.min.time.before.relogin", true},
    {"sasl.kerberos.principal.to.local.rules", true},
    {"sasl.kerberos.service.name", true},
    {"sasl.kerberos.ticket.renew.jitter", true},
    {"sasl.kerberos.ticket.renew.window.factor", true},
    {"sasl.login.refresh.buffer.seconds", true},
    {"sasl.login.refresh.min.period.seconds", true},
    {"sasl.login.refresh.window.factor", true},
    {"sasl.login.refresh.window.jitter", true},
    {"sasl.mechanism.inter.broker.protocol", true},
    {"share.coordinator.cached.buffer.max.bytes", false},
    {"ssl.cipher.suites", true},
    {"ssl.client.auth", true},
    {"ssl.enabled.protocols", true},
    {"ssl.endpoint.identification.algorithm", true},
    {"ssl.engine.factory.class", true},
    {"ssl.keymanager.algorithm", true},
    {"ssl.protocol", true},
    {"ssl.provider", true},
    {"ssl.secure.random.implementation", true},
    {"ssl.trustmanager.algorithm", true},
    {"transaction.partition.verification.enable", false},
};

static int compare_dynamic_name(const void *name, const void *key)
{
    return strcmp(name, ((const struct dynamic_key *)key)->name);
}

static const struct dynamic_key *find_dynamic_key(const char *name)
{
    assert(name);
    return bsearch(name, dynamic_keys, COUNT_OF(dynamic_keys), sizeof dynamic_keys[0], compare_dynamic_name);
}

/* Hours and minutes are for the start alone: the key that Kafka names first can be altered. */
static bool find_topic_default(const char *name)
{
    assert(name);
    for (uint32_t i = 0; i < topic_key_count(); i++)
        if (topic_key_at(i)->synonym && strcmp(topic_key_at(i)->synonym, name) == 0)
            return true;
    return false;
}

bool broker_key_dynamic(const char *name)
{
    assert(name);
    return find_dynamic_key(name) || find_topic_default(name) || broker_key_composed(name);
}

enum kerr broker_dynamic_check(const char *name, const char *value, enum config_source layer, char *why)
{
    assert(layer == CONFIG_SOURCE_DYNAMIC_BROKER || layer == CONFIG_SOURCE_DYNAMIC_DEFAULT);
    char fault[CONFIG_WHY_BYTES];
    const struct dynamic_key *key = find_dynamic_key(name);
    bool composed = broker_key_composed(name), all = layer == CONFIG_SOURCE_DYNAMIC_DEFAULT;
    if (!broker_key_find(name) && !composed) {
        broker_key_say_unknown(name, "AlterConfigs", fault);
        snprintf(why, WHY_BYTES, "%.255s", fault);
    } else if (!broker_key_dynamic(name)) {
        snprintf(why, WHY_BYTES, "%.120s cannot be changed while the broker runs; set it at the start.", name);
    } else if (all && (composed || (key && key->per_broker))) {
        snprintf(why, WHY_BYTES, "%.120s is a matter of each broker: name one, not all of them.", name);
    } else if (!broker_value_good(broker_key_find(name), name, value, "AlterConfigs", fault)) {
        snprintf(why, WHY_BYTES, "%.255s", fault);
    } else {
        return KERR_NONE;
    }
    return KERR_INVALID_REQUEST;
}

/* What earlier releases took stays readable. */
enum kerr broker_alteration_check(const char *name, const char *value, enum config_source layer, char *why)
{
    enum kerr error = broker_dynamic_check(name, value, layer, why);
    int64_t number = -1;
    if (error || strcmp(name, "log.retention.ms") != 0 || !config_to_i64(value, &number) || number != 0)
        return error;
    snprintf(why, WHY_BYTES, "%s=0: nothing would be kept; give -1, which keeps all, or at least 1.", name);
    return KERR_INVALID_REQUEST;
}

/* --- layers --- */

static const char *find_layer_value(struct config_entry *list, const char *name)
{
    const struct config_entry *e = config_entry_find(list, name);
    return e ? e->value : NULL;
}

/* Nobody checked what a newer release left there of keys that this one does not let one change: see layer_possible in
 * catalog_read.c. */
static const char *is_dynamic_in(struct config_entry *list, const char *name)
{
    const char *value = find_layer_value(list, name);
    return value && broker_key_dynamic(name) ? value : NULL;
}

const char *broker_config_in(const struct broker_config *c, const char *name, enum config_source layer)
{
    assert(c && name);
    switch (layer) {
    case CONFIG_SOURCE_DYNAMIC_BROKER: return is_dynamic_in(c->dynamic, name);
    case CONFIG_SOURCE_DYNAMIC_DEFAULT: return is_dynamic_in(c->dynamic_default, name);
    case CONFIG_SOURCE_BROKER: return find_layer_value(c->set, name);
    case CONFIG_SOURCE_DEFAULT: {
        const struct broker_key *key = broker_key_find(name);
        return key ? key->fallback : NULL;
    }
    case CONFIG_SOURCE_CLIENT_METRICS:
    case CONFIG_SOURCE_GROUP:
    case CONFIG_SOURCE_TOPIC: break;
    }
    return NULL;
}

enum config_source broker_config_source(const struct broker_config *c, const char *name)
{
    assert(c && name);
    for (enum config_source layer = CONFIG_SOURCE_DYNAMIC_BROKER; layer < CONFIG_SOURCE_DEFAULT; layer++)
        if (broker_config_in(c, name, layer))
            return layer;
    return CONFIG_SOURCE_DEFAULT;
}

/* --- versions --- */

static enum err copy_entry_list(struct config_entry **to, struct heap *heap, const struct config_entry *from)
{
    assert(to && !*to);
    enum err err = ERR_NONE;
    for (; from && !err; from = from->next)
        err = config_entry_put(to, heap, from->name, from->value, from->where);
    return err;
}

static enum err copy_layer_settings(struct config_entry **to, struct heap *heap, const struct topic_override *settings,
                                    uint32_t count)
{
    assert(settings || count == 0);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < count && !err; i++)
        err = config_entry_put(to, heap, settings[i].name, settings[i].value, "AlterConfigs");
    return err;
}

struct broker_config *broker_config_version(const struct broker_config *old, struct heap *heap,
                                            enum config_source layer, const struct topic_override *settings,
                                            uint32_t count)
{
    assert(layer == CONFIG_SOURCE_DYNAMIC_BROKER || layer == CONFIG_SOURCE_DYNAMIC_DEFAULT);
    struct broker_config *c = heap_alloc(heap, sizeof *c);
    if (!c)
        return NULL;
    *c = *old;
    c->heap = heap;
    c->version = true;
    c->dynamic = c->dynamic_default = NULL;
    bool own = layer == CONFIG_SOURCE_DYNAMIC_BROKER;
    enum err err = copy_layer_settings(own ? &c->dynamic : &c->dynamic_default, heap, settings, count);
    if (!err && own)
        err = copy_entry_list(&c->dynamic_default, heap, old->dynamic_default);
    else if (!err)
        err = copy_entry_list(&c->dynamic, heap, old->dynamic);
    if (err) {
        broker_config_version_free(c);
        return NULL;
    }
    broker_config_resolve(c);
    return c;
}

void broker_config_version_free(struct broker_config *c)
{
    assert(c->version);
    config_entries_free(&c->dynamic, c->heap);
    config_entries_free(&c->dynamic_default, c->heap);
    heap_free(c->heap, c);
}

void broker_config_version_drop(const struct broker_config *c)
{
    if (c && c->version)
        broker_config_version_free((struct broker_config *)(uintptr_t)c);
}
