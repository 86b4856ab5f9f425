/* Settings and what changes them (settings.h). */
#include "storage/config/settings.h"
#include "core/array.h"
#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 256, OPS_MAX = 2 * SETTINGS_MAX }; /* each is compared with all others */

void settings_init(struct settings *s, struct heap *heap)
{
    assert(s && heap);
    *s = (struct settings){.heap = heap};
}

static void free_setting(struct heap *heap, struct topic_override *o)
{
    heap_free(heap, (char *)(uintptr_t)o->name);
    heap_free(heap, (char *)(uintptr_t)o->value);
}

void settings_deinit(struct settings *s)
{
    assert(s->count <= s->cap);
    for (uint32_t i = 0; i < s->count; i++)
        free_setting(s->heap, &s->v[i]);
    heap_free(s->heap, s->v);
    settings_init(s, s->heap);
}

static struct topic_override *find_setting(struct settings *s, const char *name)
{
    assert(s->count <= s->cap);
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->v[i].name, name) == 0)
            return &s->v[i];
    return NULL;
}

static enum err grow_settings(struct settings *s)
{
    assert(s->count <= s->cap);
    struct topic_override *v = array_grow(s->heap, s->v, &s->cap, s->count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    s->v = v;
    return ERR_NONE;
}

enum err settings_put(struct settings *s, const char *name, const char *value)
{
    assert(s && name && value);
    struct topic_override fresh = {heap_strdup(s->heap, name), heap_strdup(s->heap, value)},
                          *old = find_setting(s, name);
    enum err err = fresh.name && fresh.value ? old ? ERR_NONE : grow_settings(s) : ERR_NO_MEMORY;
    if (err) {
        free_setting(s->heap, &fresh);
        return err;
    }
    if (old)
        free_setting(s->heap, old);
    else
        old = &s->v[s->count++];
    *old = fresh;
    return ERR_NONE;
}

static void remove_setting(struct settings *s, const char *name)
{
    assert(s->count <= s->cap);
    struct topic_override *o = find_setting(s, name);
    if (!o)
        return;
    free_setting(s->heap, o);
    uint32_t at = (uint32_t)(o - s->v);
    memmove(o, o + 1, (s->count - at - 1) * sizeof *o);
    s->count--;
}

/* --- lists --- */

/* A list being built, comma-separated. */
struct text {
    char *at;
    size_t bytes, cap;
};

static bool add_list_item(struct text *t, const char *item, size_t bytes)
{
    if (t->bytes + bytes + 2 > t->cap)
        return false;
    if (t->bytes)
        t->at[t->bytes++] = ',';
    memcpy(t->at + t->bytes, item, bytes);
    t->bytes += bytes;
    t->at[t->bytes] = 0;
    return true;
}

/* Items of `list` that `other` has not. */
static bool add_list_without_item(struct text *t, const char *list, const char *other)
{
    const char *at = config_list_start(list), *item;
    size_t bytes;
    bool fits = true;
    while (fits && config_list_next(&at, &item, &bytes))
        if (bytes > 0 && !config_list_has_item(other, item, bytes) && !config_list_has_item(t->at, item, bytes))
            fits = add_list_item(t, item, bytes);
    return fits;
}

static enum err combine_list(struct settings *s, const struct config_op *op, const char *now)
{
    struct text t = {.cap = strlen(now) + strlen(op->value) + 2};
    t.at = heap_zalloc(s->heap, t.cap);
    if (!t.at)
        return ERR_NO_MEMORY;
    bool fits = add_list_without_item(&t, now, op->kind == CONFIG_OP_SUBTRACT ? op->value : "");
    if (fits && op->kind == CONFIG_OP_APPEND)
        fits = add_list_without_item(&t, op->value, "");
    assert(fits); /* no more than both together */
    enum err err = settings_put(s, op->name, t.at);
    heap_free(s->heap, t.at);
    return err;
}

/* --- ops --- */

static enum kerr change_list_setting(struct settings *s, const struct config_op *op, settings_key_fn *key, char *why)
{
    assert(s && op && why);
    enum config_type type;
    const char *fallback, *now;
    const struct topic_override *own = find_setting(s, op->name);
    if (!key || !key(op->name, &type, &fallback) || type != CONFIG_LIST) {
        snprintf(why, WHY_BYTES, "%.120s is no list: it can be set or deleted, not added to or taken from", op->name);
        return KERR_INVALID_CONFIG;
    }
    now = own ? own->value : fallback ? fallback : "";
    return combine_list(s, op, now) ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE;
}

static enum kerr change_setting(struct settings *s, const struct config_op *op, settings_key_fn *key, char *why)
{
    assert(s && op && why);
    if (op->kind != CONFIG_OP_DELETE && !op->value) {
        snprintf(why, WHY_BYTES, "%.120s has no value", op->name);
        return KERR_INVALID_REQUEST;
    }
    if (op->kind != CONFIG_OP_DELETE && strlen(op->value) > SETTING_VALUE_MAX) {
        snprintf(why, WHY_BYTES, "the value of %.120s is longer than %d bytes", op->name, SETTING_VALUE_MAX);
        return KERR_INVALID_CONFIG;
    }
    switch (op->kind) {
    case CONFIG_OP_SET: return settings_put(s, op->name, op->value) ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE;
    case CONFIG_OP_DELETE: remove_setting(s, op->name); return KERR_NONE;
    case CONFIG_OP_APPEND:
    case CONFIG_OP_SUBTRACT: return change_list_setting(s, op, key, why);
    }
    snprintf(why, WHY_BYTES, "there is no operation %d on %.120s", (int)op->kind, op->name);
    return KERR_INVALID_REQUEST;
}

static bool is_given_twice(const struct config_op *ops, uint32_t i)
{
    for (uint32_t other = 0; other < i; other++)
        if (strcmp(ops[other].name, ops[i].name) == 0)
            return true;
    return false;
}

enum kerr settings_apply(struct settings *s, const struct config_op *ops, uint32_t count, bool replace_all,
                         settings_key_fn *key, char *why)
{
    assert(ops || count == 0);
    enum kerr error = KERR_NONE;
    if (count > OPS_MAX) {
        snprintf(why, WHY_BYTES, "%u changes of one resource are more than the %d that are taken at a time", count,
                 OPS_MAX);
        return KERR_INVALID_REQUEST;
    }
    if (replace_all)
        settings_deinit(s);
    for (uint32_t i = 0; i < count && !error; i++) {
        if (is_given_twice(ops, i)) {
            snprintf(why, WHY_BYTES, "%.120s is given twice", ops[i].name);
            error = KERR_INVALID_REQUEST;
        } else {
            error = change_setting(s, &ops[i], key, why);
        }
    }
    if (!error && s->count > SETTINGS_MAX) {
        snprintf(why, WHY_BYTES, "that would be more than %d settings", SETTINGS_MAX);
        error = KERR_INVALID_CONFIG;
    }
    return error;
}
