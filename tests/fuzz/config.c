/* Configuration: files, arguments, listeners, topics' settings, dynamic ones. A refusal has a sentence, what was taken can be asked for.
 *
 *   input:  what u8 | the text */
#include "core/config.h"
#include "net/options.h"
#include "storage/config/settings.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"
#include <getopt.h>

enum { WORDS_MAX = 24, OPS_MAX = 8 };

/* The machine that the arguments are for has four processors. */
uint32_t threads_cpus(int *out_cpus, uint32_t max);
uint32_t threads_cpus(int *out_cpus, uint32_t max)
{
    uint32_t n = max < 4 ? max : 4;
    for (uint32_t i = 0; i < n; i++)
        out_cpus[i] = (int)i;
    return n;
}

static void is_sentence(const char *why, size_t room)
{
    FUZZ_CHECK(why[0], "refused without a word");
    FUZZ_CHECK(strnlen(why, room) < room, "not closed");
}

static void can_be_asked(const struct broker_config *c)
{
    FUZZ_CHECK(c->listener_count >= 1 && c->listener_count <= LISTENERS_MAX, "%u listeners", c->listener_count);
    FUZZ_CHECK(c->num_partitions >= 1, "%d partitions", c->num_partitions);
    for (uint32_t i = 0; i < broker_key_count(); i++) {
        const struct broker_key *k = broker_key_at(i);
        struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
        (void)broker_config_source(c, k->name);
        (void)broker_synonyms(k->name, c, synonyms);
        const char *value = broker_config_get(c, k->name);
        char fault[CONFIG_FAULT_BYTES];
        FUZZ_CHECK(!value || !k->effective || config_value_check(k->type, &k->rule, value, fault), "%s=%s %s", k->name,
                   value, fault);
    }
    for (uint32_t i = 0; i < topic_key_count(); i++) {
        struct topic_value v;
        topic_value_get(topic_key_at(i), NULL, 0, c, &v);
        FUZZ_CHECK(v.source_name, "%s", topic_key_at(i)->name);
    }
}

/* A text, closed by a zero, in memory of its own. */
static char *take_text(struct heap *heap, struct feed *f, size_t n)
{
    const uint8_t *at;
    n = feed_take(f, n, &at);
    char *text = heap_alloc(heap, n + 1);
    memcpy(text, at, n);
    text[n] = 0;
    return text;
}

static void check_file(struct heap *heap, struct feed *f)
{
    struct broker_config c;
    char why[CONFIG_WHY_BYTES] = "";
    const uint8_t *at;
    size_t n = feed_take(f, SIZE_MAX, &at);
    world_put_file("server.properties", at, n);
    broker_config_init(&c, heap);
    enum err err = broker_config_load(&c, "server.properties", why);
    if (!err)
        err = broker_config_finish(&c, why);
    if (err)
        is_sentence(why, sizeof why);
    else
        can_be_asked(&c);
    broker_config_deinit(&c);
}

static void check_arguments(struct heap *heap, struct feed *f)
{
    char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "odradek"};
    int argc = 1;
    while (feed_left(f) && argc <= WORDS_MAX) {
        const uint8_t *zero = memchr(f->at, 0, feed_left(f));
        argv[argc++] = take_text(heap, f, zero ? (size_t)(zero - f->at) : SIZE_MAX);
        (void)feed_byte(f);
    }
    struct broker_config c;
    struct options o;
    char why[OPTIONS_WHY_BYTES] = "";
    optind = 0; /* getopt keeps a place between calls */
    broker_config_init(&c, heap);
    enum options_kind kind = options_parse(argc, argv, &c, &o, why);
    if (kind == OPTIONS_USAGE || kind == OPTIONS_FAULT) {
        is_sentence(why, sizeof why);
    } else if (kind == OPTIONS_SERVE) {
        FUZZ_CHECK(o.cores >= 1 && o.cores <= SHARDS_MAX, "%u cores", o.cores);
        FUZZ_CHECK(o.memory_bytes >= 16 << 20, "%zu bytes", o.memory_bytes);
        can_be_asked(&c);
    }
    broker_config_deinit(&c);
}

static bool know_topic_key(const char *name, enum config_type *out_type, const char **out_fallback)
{
    const struct topic_key *k = topic_key_find(name);
    if (!k)
        return false;
    *out_type = k->type;
    *out_fallback = k->fallback;
    return true;
}

/* Lines of key=value, as operations on a topic. */
static void check_topic(struct heap *heap, struct feed *f)
{
    struct config_op ops[OPS_MAX];
    uint32_t count = 0;
    char why[CONFIG_WHY_BYTES] = "";
    while (feed_left(f) && count < OPS_MAX) {
        struct config_op *op = &ops[count++];
        op->kind = (enum config_op_kind)feed_below(f, 4);
        uint32_t key = feed_byte(f);
        size_t n = feed_byte(f);
        op->name = key < topic_key_count() ? topic_key_at(key)->name : take_text(heap, f, key);
        op->value = take_text(heap, f, n);
    }
    struct settings s;
    settings_init(&s, heap);
    if (settings_apply(&s, ops, count, feed_chance(f, 2), know_topic_key, why) != KERR_NONE) {
        is_sentence(why, sizeof why);
    } else {
        struct broker_config c;
        struct topic_config out;
        bool good = true;
        for (uint32_t i = 0; i < s.count; i++)
            good = topic_override_check(s.v[i].name, s.v[i].value, why) == KERR_NONE && good;
        if (!good || topic_overrides_check(s.v, s.count, why) != KERR_NONE) {
            is_sentence(why, sizeof why);
        } else {
            broker_config_init(&c, heap);
            topic_config_resolve(&out, s.v, s.count, &c);
            FUZZ_CHECK(out.segment_bytes > 0 && out.max_message_bytes <= INT32_MAX, "%u", out.segment_bytes);
            for (uint32_t i = 0; i < topic_key_count(); i++) {
                struct topic_value v;
                struct config_synonym synonyms[CONFIG_SYNONYMS_MAX];
                topic_value_get(topic_key_at(i), s.v, s.count, &c, &v);
                (void)topic_synonyms(topic_key_at(i), s.v, s.count, &c, synonyms);
            }
            broker_config_deinit(&c);
        }
    }
    settings_deinit(&s);
}

static void check_listeners(struct heap *heap, struct feed *f)
{
    struct listeners l;
    char fault[LISTENER_FAULT_BYTES] = "", protocol[32];
    char *text = take_text(heap, f, SIZE_MAX);
    if (!listeners_parse(text, &l, fault)) {
        is_sentence(fault, sizeof fault);
        return;
    }
    FUZZ_CHECK(l.count >= 1 && l.count <= LISTENERS_MAX, "%u", l.count);
    for (uint32_t i = 0; i < l.count; i++) {
        FUZZ_CHECK(strnlen(l.v[i].host, HOST_MAX) < HOST_MAX && l.v[i].name[0], "listener %u", i);
        listener_protocol(text, l.v[i].name, protocol);
        FUZZ_CHECK(strnlen(protocol, sizeof protocol) < sizeof protocol, "listener %u", i);
    }
}

static void check_dynamic(struct heap *heap, struct feed *f)
{
    char why[CONFIG_WHY_BYTES] = "";
    enum config_source layer = feed_byte(f) & 1 ? CONFIG_SOURCE_DYNAMIC_BROKER : CONFIG_SOURCE_DYNAMIC_DEFAULT;
    uint32_t key = (uint32_t)feed_word(f, 2);
    const char *name = key < broker_key_count() ? broker_key_at(key)->name : take_text(heap, f, feed_byte(f));
    char *value = take_text(heap, f, SIZE_MAX);
    if (broker_dynamic_check(name, value, layer, why) != KERR_NONE) {
        is_sentence(why, sizeof why);
        return;
    }
    struct broker_config c;
    broker_config_init(&c, heap);
    FUZZ_CHECK(!broker_config_finish(&c, why), "%s", why);
    const struct topic_override set = {name, value};
    struct broker_config *next = broker_config_version(&c, heap, layer, &set, 1);
    FUZZ_CHECK(next, "no memory");
    can_be_asked(next);
    broker_config_version_free(next);
    broker_config_deinit(&c);
}

void fuzz_config(const uint8_t *at, size_t bytes)
{
    static void (*const checks[])(struct heap *, struct feed *) = {check_file, check_arguments, check_topic,
                                                                   check_listeners, check_dynamic};
    struct feed f = {at, at + bytes};
    world_fresh(0);
    struct heap *heap = heap_open();
    checks[feed_byte(&f) % COUNT_OF(checks)](heap, &f);
    heap_close(heap);
    world_over();
}
