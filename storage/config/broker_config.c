/* The broker's configuration: setting one key, what follows from all, reading a file (broker_config.h; the table of keys is
 * broker_keys.c). Each key that has a field is copied there as soon as it is set; the ones that depend on others are worked
 * out again in broker_config_finish, when all are known. */
#include "storage/config/broker_config_state.h"
#include "core/config.h"
#include "core/fs.h"
#include "core/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FILE_BYTES_MAX = 1024 * 1024, LISTED_BYTES = 1900, BROKER_KEYS_MAX = 1024, MS_PER_MINUTE = 60000 };

/* Keys whose value goes into a field as it is. */
enum field_kind { FIELD_BOOL, FIELD_I32, FIELD_U32, FIELD_I64, FIELD_F64 };
static const struct field {
    const char *name;
    enum field_kind kind;
    size_t at;
} fields[] = {
    {"add.partitions.to.txn.retry.backoff.max.ms", FIELD_I32, offsetof(struct broker_config, txn_add_wait_ms)},
    {"auto.create.topics.enable", FIELD_BOOL, offsetof(struct broker_config, auto_create_topics)},
    {"connections.max.idle.ms", FIELD_I64, offsetof(struct broker_config, connections_max_idle_ms)},
    {"delete.topic.enable", FIELD_BOOL, offsetof(struct broker_config, delete_topic_enable)},
    {"fetch.max.bytes", FIELD_U32, offsetof(struct broker_config, fetch_max_bytes)},
    {"group.initial.rebalance.delay.ms", FIELD_I64, offsetof(struct broker_config, group_initial_rebalance_delay_ms)},
    {"group.max.session.timeout.ms", FIELD_I32, offsetof(struct broker_config, group_max_session_timeout_ms)},
    {"group.max.size", FIELD_I32, offsetof(struct broker_config, group_max_size)},
    {"group.min.session.timeout.ms", FIELD_I32, offsetof(struct broker_config, group_min_session_timeout_ms)},
    {"listeners.per.core", FIELD_BOOL, offsetof(struct broker_config, listeners_per_core)},
    {"log.cleaner.backoff.ms", FIELD_I64, offsetof(struct broker_config, cleaner_backoff_ms)},
    {"log.cleaner.dedupe.buffer.size", FIELD_I64, offsetof(struct broker_config, cleaner_dedupe_bytes)},
    {"log.cleaner.enable", FIELD_BOOL, offsetof(struct broker_config, cleaner_enable)},
    {"log.cleaner.io.buffer.load.factor", FIELD_F64, offsetof(struct broker_config, cleaner_dedupe_load)},
    {"log.cleaner.io.max.bytes.per.second", FIELD_F64, offsetof(struct broker_config, cleaner_bytes_per_second)},
    {"log.cleaner.threads", FIELD_I32, offsetof(struct broker_config, cleaner_threads)},
    {"max.connections", FIELD_U32, offsetof(struct broker_config, max_connections)},
    {"max.connections.per.ip", FIELD_U32, offsetof(struct broker_config, max_connections_per_ip)},
    {"max.incremental.fetch.session.cache.slots", FIELD_U32, offsetof(struct broker_config, fetch_session_slots)},
    {"disk.reserve.bytes", FIELD_I64, offsetof(struct broker_config, disk_reserve_bytes)},
    {"log.initial.task.delay.ms", FIELD_I64, offsetof(struct broker_config, log_initial_task_delay_ms)},
    {"log.retention.check.interval.ms", FIELD_I64, offsetof(struct broker_config, log_retention_check_ms)},
    {"node.id", FIELD_I32, offsetof(struct broker_config, node_id)},
    {"num.partitions", FIELD_I32, offsetof(struct broker_config, num_partitions)},
    {"offset.metadata.max.bytes", FIELD_I32, offsetof(struct broker_config, offset_metadata_max_bytes)},
    {"offsets.retention.check.interval.ms", FIELD_I64, offsetof(struct broker_config, offsets_retention_check_ms)},
    {"offsets.retention.minutes", FIELD_I64, offsetof(struct broker_config, offsets_retention_ms)},
    {"offsets.topic.num.partitions", FIELD_I32, offsetof(struct broker_config, offsets_topic_partitions)},
    {"offsets.topic.segment.bytes", FIELD_I32, offsetof(struct broker_config, offsets_topic_segment_bytes)},
    {"producer.id.expiration.ms", FIELD_I64, offsetof(struct broker_config, producer_id_expiration_ms)},
    {"socket.request.max.bytes", FIELD_U32, offsetof(struct broker_config, socket_request_max_bytes)},
    {"transaction.abort.timed.out.transaction.cleanup.interval.ms", FIELD_I64,
     offsetof(struct broker_config, txn_timeout_check_ms)},
    {"transaction.max.timeout.ms", FIELD_I32, offsetof(struct broker_config, txn_timeout_ms_max)},
    {"transaction.remove.expired.transaction.cleanup.interval.ms", FIELD_I64,
     offsetof(struct broker_config, txn_expiry_check_ms)},
    {"transaction.state.log.num.partitions", FIELD_I32, offsetof(struct broker_config, txn_topic_partitions)},
    {"transaction.state.log.segment.bytes", FIELD_I32, offsetof(struct broker_config, txn_topic_segment_bytes)},
    {"transactional.id.expiration.ms", FIELD_I64, offsetof(struct broker_config, txn_id_expiration_ms)},
    {"transaction.partition.verification.enable", FIELD_BOOL, offsetof(struct broker_config, txn_verification)},
};

/* Names that Kafka composes: of one listener, and of plugins. */
static const char *const prefixes[] = {"listener.name.", "config.providers.", "rlmm.config.", "rsm.config."};

bool broker_key_composed(const char *name)
{
    assert(name);
    for (uint32_t i = 0; i < COUNT_OF(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

void broker_key_say_unknown(const char *name, const char *where, char *why)
{
    assert(broker_key_count() <= BROKER_KEYS_MAX);
    const char *names[BROKER_KEYS_MAX];
    for (uint32_t i = 0; i < broker_key_count(); i++)
        names[i] = broker_key_at(i)->name;
    const char *near = config_nearest(name, names, broker_key_count());
    snprintf(why, CONFIG_WHY_BYTES, "%s: %.100s is no setting that this broker or Kafka knows; %s%s.", where, name,
             near ? "did you mean " : "remove it", near ? near : "");
}

/* --- what was set --- */

struct config_entry *config_entry_find(struct config_entry *list, const char *name)
{
    assert(name);
    while (list && strcmp(list->name, name) != 0)
        list = list->next;
    return list;
}

const char *broker_config_get(const struct broker_config *c, const char *name)
{
    assert(c && name);
    const char *value = NULL;
    for (enum config_source layer = CONFIG_SOURCE_DYNAMIC_BROKER; layer < CONFIG_SOURCE_DEFAULT && !value; layer++)
        value = broker_config_in(c, name, layer);
    return value;
}

/* What counts for a key of the table: set or default; NULL: neither. */
static const char *find_config_value(const struct broker_config *c, const char *name)
{
    const char *set = broker_config_get(c, name);
    assert(broker_key_find(name));
    return set ? set : broker_key_find(name)->fallback;
}

static const char *say_where_set(const struct broker_config *c, const char *name)
{
    assert(name);
    const struct config_entry *e = config_entry_find(c->set, name);
    return e ? e->where : "default";
}

static void free_entry(struct heap *heap, struct config_entry *e)
{
    assert(heap);
    heap_free(heap, e->name);
    heap_free(heap, e->value);
    heap_free(heap, e->where);
    heap_free(heap, e);
}

static struct config_entry *make_entry(struct heap *heap, const char *name, const char *value, const char *where)
{
    assert(heap && name && value);
    struct config_entry *e = heap_zalloc(heap, sizeof *e);
    if (!e)
        return NULL;
    e->name = heap_strdup(heap, name);
    e->value = heap_strdup(heap, value);
    e->where = heap_strdup(heap, where);
    if (e->name && e->value && e->where)
        return e;
    free_entry(heap, e);
    return NULL;
}

enum err config_entry_put(struct config_entry **list, struct heap *heap, const char *name, const char *value,
                          const char *where)
{
    assert(list && name && value);
    struct config_entry *e = make_entry(heap, name, value, where), **at = list;
    if (!e)
        return ERR_NO_MEMORY;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    struct config_entry *old = *at;
    e->next = old ? old->next : NULL;
    *at = e;
    if (old)
        free_entry(heap, old);
    return ERR_NONE;
}

void config_entries_free(struct config_entry **list, struct heap *heap)
{
    assert(list);
    while (*list) {
        struct config_entry *e = *list;
        *list = e->next;
        free_entry(heap, e);
    }
}

/* --- fields --- */

static void write_field(struct broker_config *c, const struct field *f, const char *value)
{
    assert(value);
    char *at = (char *)c + f->at;
    int64_t number = 0;
    double real = 0;
    bool good = f->kind == FIELD_BOOL  ? config_to_bool(value, (bool *)(void *)at)
                : f->kind == FIELD_F64 ? config_to_f64(value, &real)
                                       : config_to_i64(value, &number);
    assert(good);
    switch (f->kind) {
    case FIELD_BOOL: break;
    case FIELD_I32: memcpy(at, &(int32_t){(int32_t)number}, sizeof(int32_t)); break;
    case FIELD_U32: memcpy(at, &(uint32_t){(uint32_t)number}, sizeof(uint32_t)); break;
    case FIELD_I64: memcpy(at, &number, sizeof number); break;
    case FIELD_F64: memcpy(at, &real, sizeof real); break;
    }
}

static void fill_fields(struct broker_config *c)
{
    for (uint32_t i = 0; i < COUNT_OF(fields); i++)
        write_field(c, &fields[i], find_config_value(c, fields[i].name));
    const char *disk = find_config_value(c, "disk.io");
    c->disk = strcmp(disk, "direct") == 0 ? DISK_DIRECT : strcmp(disk, "buffered") == 0 ? DISK_BUFFERED : DISK_AUTO;
    const char *route = find_config_value(c, "crash.route");
    c->crash = strcmp(route, "shm") == 0 ? CRASH_SHM : strcmp(route, "written") == 0 ? CRASH_WRITTEN : CRASH_AUTO;
    c->crash_dir = find_config_value(c, "crash.dir");
    c->offsets_retention_ms *= MS_PER_MINUTE;
    topic_config_resolve(&c->topic_defaults, NULL, 0, c);
}

void broker_config_resolve(struct broker_config *c)
{
    int32_t node_id = c->node_id; /* broker.id may have said it */
    fill_fields(c);
    c->node_id = node_id;
}

/* log.dirs, or else log.dir: one folder. */
static bool fill_data_dir(struct broker_config *c, char *why)
{
    assert(c && why);
    const char *key = broker_config_get(c, "log.dirs") ? "log.dirs" : "log.dir", *list = find_config_value(c, key);
    const char *at = config_list_start(list), *item = "";
    size_t bytes = 0;
    bool one = config_list_next(&at, &item, &bytes) && !at && bytes > 0;
    if (one && bytes < sizeof c->data_dir) {
        memcpy(c->data_dir, item, bytes);
        c->data_dir[bytes] = 0;
        return true;
    }
    snprintf(why, CONFIG_WHY_BYTES, "%s: %s=%.200s: %s.", say_where_set(c, key), key, list,
             one ? "the path is too long; give one of at most 1023 bytes"
                 : "this broker keeps its data in exactly one folder; give one path");
    return false;
}

static bool fill_node_id(struct broker_config *c, char *why)
{
    assert(why);
    const char *broker = find_config_value(c, "broker.id"), *node = broker_config_get(c, "node.id");
    int64_t number = 0;
    bool good = config_to_i64(broker, &number);
    assert(good);
    if (number < 0)
        return true;
    if (!node)
        c->node_id = (int32_t)number;
    if (c->node_id == number)
        return true;
    snprintf(why, CONFIG_WHY_BYTES, "%s: broker.id=%s: node.id=%s at %s says something else; set only one of them.",
             say_where_set(c, "broker.id"), broker, node, say_where_set(c, "node.id"));
    return false;
}

/* --- listeners --- */

static bool find_listeners_fault(const struct broker_config *c, const char *key, const char *fault, char *why)
{
    assert(fault);
    snprintf(why, CONFIG_WHY_BYTES, "%s: %s=%.120s: %s.", say_where_set(c, key), key, find_config_value(c, key), fault);
    return false;
}

/* Kafka's controllers have listeners of their own; none is opened here. */
static void drop_controller_listeners(const struct broker_config *c, struct listeners *ls)
{
    assert(ls->count <= LISTENERS_MAX);
    uint32_t kept = 0;
    const char *controllers = find_config_value(c, "controller.listener.names");
    for (uint32_t i = 0; i < ls->count; i++)
        if (!config_list_has(controllers, ls->v[i].name))
            ls->v[kept++] = ls->v[i];
    ls->count = kept;
}

static bool are_protocols_known(const struct broker_config *c, const struct listeners *ls, char *fault)
{
    assert(ls->count <= LISTENERS_MAX);
    const char *map = find_config_value(c, "listener.security.protocol.map");
    for (uint32_t i = 0; i < ls->count; i++) {
        char protocol[32];
        listener_protocol(map, ls->v[i].name, protocol);
        bool known = strcasecmp(protocol, "PLAINTEXT") == 0;
        bool secure = strcasecmp(protocol, "SSL") == 0 || strncasecmp(protocol, "SASL_", 5) == 0;
        if (secure)
            snprintf(fault, LISTENER_FAULT_BYTES,
                     "%s asks for %s, which this broker does not speak yet; use PLAINTEXT://", ls->v[i].name, protocol);
        else if (!known)
            snprintf(fault, LISTENER_FAULT_BYTES,
                     "nothing says what %s speaks; use PLAINTEXT:// or set listener.security.protocol.map=%s:PLAINTEXT",
                     ls->v[i].name, ls->v[i].name);
        if (!known)
            return false;
    }
    return true;
}

/* Two listeners with one port would steal each other's connections, unless they are on different addresses. */
static bool do_ports_differ(const struct listeners *ls, char *fault)
{
    assert(ls->count <= LISTENERS_MAX);
    for (uint32_t i = 1; i < ls->count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (ls->v[i].port == 0 || ls->v[i].port != ls->v[j].port || strcasecmp(ls->v[i].host, ls->v[j].host) != 0)
                continue;
            snprintf(fault, LISTENER_FAULT_BYTES, "%s and %s have the same address; give each its own port",
                     ls->v[j].name, ls->v[i].name);
            return false;
        }
    }
    return true;
}

static bool fill_listeners(struct broker_config *c, char *why)
{
    assert(c && why);
    struct listeners ls;
    char fault[LISTENER_FAULT_BYTES];
    if (!listeners_parse(find_config_value(c, "listeners"), &ls, fault))
        return find_listeners_fault(c, "listeners", fault, why);
    drop_controller_listeners(c, &ls);
    if (ls.count == 0)
        return find_listeners_fault(c, "listeners", "all of them are controllers'; add one for clients", why);
    if (!are_protocols_known(c, &ls, fault) || !do_ports_differ(&ls, fault))
        return find_listeners_fault(c, "listeners", fault, why);
    memcpy(c->listeners, ls.v, sizeof ls.v);
    c->listener_count = ls.count;
    return true;
}

static bool find_listener_named(const struct broker_config *c, const char *name)
{
    assert(c->listener_count <= LISTENERS_MAX);
    for (uint32_t i = 0; i < c->listener_count; i++)
        if (strcmp(c->listeners[i].name, name) == 0)
            return true;
    return false;
}

static bool is_host_reachable(const struct broker_config *c, const struct listener *l, char *fault)
{
    bool somewhere = l->host[0] && strcmp(l->host, "0.0.0.0") != 0 && strcmp(l->host, "::") != 0;
    bool named = find_listener_named(c, l->name);
    if (!named)
        snprintf(fault, LISTENER_FAULT_BYTES, "there is no listener %s; name it as listeners does", l->name);
    else if (!somewhere || l->port == 0)
        snprintf(fault, LISTENER_FAULT_BYTES, "nobody can connect to %s://%.160s:%u; give a host and a port", l->name,
                 l->host, l->port);
    return named && somewhere && l->port != 0;
}

static bool fill_advertised(struct broker_config *c, char *why)
{
    assert(c->listener_count <= LISTENERS_MAX);
    struct listeners ls = {0};
    char fault[LISTENER_FAULT_BYTES];
    const char *list = broker_config_get(c, "advertised.listeners");
    if (list && !listeners_parse(list, &ls, fault))
        return find_listeners_fault(c, "advertised.listeners", fault, why);
    drop_controller_listeners(c, &ls);
    for (uint32_t i = 0; i < ls.count; i++)
        if (!is_host_reachable(c, &ls.v[i], fault))
            return find_listeners_fault(c, "advertised.listeners", fault, why);
    memcpy(c->advertised, ls.v, sizeof ls.v);
    c->advertised_count = ls.count;
    return true;
}

/* As Kafka: of all that say something about it, what counts is -1 or at least 1. */
static bool is_retention_possible(const struct broker_config *c, char *why)
{
    assert(why);
    static const char *const keys[] = {"log.retention.ms", "log.retention.minutes", "log.retention.hours"};
    uint32_t i = 0;
    while (i + 1 < COUNT_OF(keys) && !broker_config_get(c, keys[i]))
        i++;
    if (c->topic_defaults.retention_ms != 0)
        return true;
    snprintf(why, CONFIG_WHY_BYTES, "%s: %s=%s: nothing would be kept; give -1, which keeps all, or at least 1.",
             say_where_set(c, keys[i]), keys[i], find_config_value(c, keys[i]));
    return false;
}

static bool fill_broker_config(struct broker_config *c, char *why)
{
    assert(c->heap);
    fill_fields(c);
    return is_retention_possible(c, why) && fill_node_id(c, why) && fill_data_dir(c, why) && fill_listeners(c, why) &&
           fill_advertised(c, why);
}

/* --- outside --- */

void broker_config_init(struct broker_config *c, struct heap *heap)
{
    assert(c && heap);
    char why[CONFIG_WHY_BYTES];
    *c = (struct broker_config){.heap = heap};
    bool good = fill_broker_config(c, why);
    assert(good);
}

void broker_config_deinit(struct broker_config *c)
{
    assert(c && c->heap && !c->version);
    config_entries_free(&c->set, c->heap);
}

/* The value without blanks around it, in the heap. */
static char *trim_config_text(struct heap *heap, const char *value)
{
    assert(heap && value);
    value += strspn(value, " \t\r\n\f");
    char *copy = heap_strdup(heap, value);
    size_t bytes = copy ? strlen(copy) : 0;
    while (bytes > 0 && strchr(" \t\r\n\f", copy[bytes - 1]))
        copy[--bytes] = 0;
    return copy;
}

/* Is this value possible for this key, whatever the others are? */
bool broker_value_good(const struct broker_key *key, const char *name, const char *value, const char *where, char *why)
{
    assert(value);
    char fault[CONFIG_FAULT_BYTES];
    struct listeners ls;
    bool address = strcmp(name, "listeners") == 0 || strcmp(name, "advertised.listeners") == 0;
    if (!key || config_value_check(key->type, &key->rule, value, fault)) {
        if (!address || listeners_parse(value, &ls, fault))
            return true;
        snprintf(why, CONFIG_WHY_BYTES, "%s: %s=%.100s: %s.", where, name, value, fault);
        return false;
    }
    snprintf(why, CONFIG_WHY_BYTES, "%s: %s=%.100s: it %s.", where, name, key->type == CONFIG_PASSWORD ? "..." : value,
             fault);
    return false;
}

/* Only a new folder can be wrong by itself; the rest waits for broker_config_finish. */
static bool follow_listeners(struct broker_config *c, const char *name, char *why)
{
    assert(name);
    fill_fields(c);
    bool dir = strcmp(name, "log.dirs") == 0 || strcmp(name, "log.dir") == 0;
    return !dir || fill_data_dir(c, why);
}

static enum err set_trimmed_pair(struct broker_config *c, const char *name, const char *value, const char *where,
                                 char *why)
{
    assert(c && name && value);
    const struct broker_key *key = broker_key_find(name);
    if (!key && !broker_key_composed(name)) {
        broker_key_say_unknown(name, where, why);
        return ERR_INVALID;
    }
    if (!broker_value_good(key, name, value, where, why))
        return ERR_INVALID;
    if (config_entry_put(&c->set, c->heap, name, value, where)) {
        snprintf(why, CONFIG_WHY_BYTES, "%s: there is no memory left for the configuration.", where);
        return ERR_NO_MEMORY;
    }
    return follow_listeners(c, name, why) ? ERR_NONE : ERR_INVALID;
}

enum err broker_config_set(struct broker_config *c, const char *name, const char *value, const char *where, char *why)
{
    assert(c && name && value && where && why);
    char *copy = trim_config_text(c->heap, value);
    if (!copy) {
        snprintf(why, CONFIG_WHY_BYTES, "%s: there is no memory left for the configuration.", where);
        return ERR_NO_MEMORY;
    }
    enum err err = set_trimmed_pair(c, name, copy, where, why);
    heap_free(c->heap, copy);
    return err;
}

/* --- a file --- */

struct loading {
    struct broker_config *config;
    const char *file; /* its name without folders */
    char *why;
    enum err err;
};

static bool set_config_pair(void *arg, const char *key, const char *value, uint32_t line)
{
    assert(arg && key && value);
    struct loading *l = arg;
    char where[160];
    snprintf(where, sizeof where, "%.120s:%u", l->file, line);
    l->err = broker_config_set(l->config, key, value, where, l->why);
    return l->err == ERR_NONE;
}

/* The whole file; the caller has room for FILE_BYTES_MAX and a zero. */
static enum err read_config_file(const char *path, char *text, size_t *out_bytes)
{
    assert(path && text);
    int fd;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_read(fd, text, FILE_BYTES_MAX, 0, out_bytes);
    fs_close(fd);
    return err == ERR_NONE && *out_bytes == FILE_BYTES_MAX ? ERR_INVALID : err;
}

static enum err load_config_text(struct broker_config *c, const char *path, char *text, char *why)
{
    assert(c && path && text);
    size_t bytes = 0;
    uint32_t line = 0;
    const char *slash = strrchr(path, '/');
    struct loading l = {c, slash ? slash + 1 : path, why, ERR_NONE};
    enum err err = read_config_file(path, text, &bytes);
    if (err != ERR_NONE) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "%.300s: the configuration cannot be read: %s; give --config the path of a text file.", path,
                 err == ERR_INVALID ? "it is larger than 1 MiB" : err_text(err));
        return err;
    }
    err = config_parse(text, bytes, set_config_pair, &l, &line);
    if (err != ERR_NONE)
        snprintf(why, CONFIG_WHY_BYTES,
                 "%.120s:%u: this is no text, or a \\u without four digits behind it; mend the line.", l.file, line);
    return err != ERR_NONE ? err : l.err;
}

enum err broker_config_load(struct broker_config *c, const char *path, char *why)
{
    assert(c && path && why);
    char *text = heap_alloc(c->heap, FILE_BYTES_MAX + 1);
    if (!text) {
        snprintf(why, CONFIG_WHY_BYTES, "%.300s: there is no memory left for the configuration.", path);
        return ERR_NO_MEMORY;
    }
    enum err err = load_config_text(c, path, text, why);
    heap_free(c->heap, text);
    return err;
}

/* --- the end --- */

/* One line, however many they are. */
static void log_without_effect(const struct broker_config *c)
{
    char keys[LISTED_BYTES];
    size_t bytes = 0;
    for (const struct config_entry *e = c->set; e; e = e->next) {
        const struct broker_key *key = broker_key_find(e->name);
        size_t name_bytes = strlen(e->name);
        if ((key && key->effective) || bytes + name_bytes + 2 > sizeof keys)
            continue;
        assert(bytes < sizeof keys);
        if (bytes > 0)
            keys[bytes++] = ',';
        memcpy(keys + bytes, e->name, name_bytes + 1);
        bytes += name_bytes;
    }
    if (bytes > 0)
        log_warn("settings without effect", "keys=%s", keys);
}

/* Both names of the broker's number say it when they are asked for, as in Kafka. */
static enum err put_node_ids(struct broker_config *c)
{
    assert(c->heap);
    char number[16];
    snprintf(number, sizeof number, "%d", c->node_id);
    const char *set = broker_config_get(c, "broker.id");
    bool negative = set && set[0] == '-';
    enum err err = ERR_NONE;
    if (set && !negative && !broker_config_get(c, "node.id"))
        err = config_entry_put(&c->set, c->heap, "node.id", number, say_where_set(c, "broker.id"));
    if (!set || negative)
        err = config_entry_put(&c->set, c->heap, "broker.id", number, say_where_set(c, "node.id"));
    return err;
}

enum err broker_config_finish(struct broker_config *c, char *why)
{
    assert(c && why);
    if (!fill_broker_config(c, why))
        return ERR_INVALID;
    if (put_node_ids(c)) {
        snprintf(why, CONFIG_WHY_BYTES, "There is no memory left for the configuration.");
        return ERR_NO_MEMORY;
    }
    log_without_effect(c);
    return ERR_NONE;
}
