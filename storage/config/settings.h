/* A set of settings while a change of it is worked out: copies of names and values, in the order of their first setting. What
 * CONFIG and BROKER_CONFIG of catalog.h do to the overrides of a topic and to a dynamic layer of the broker. */
#pragma once
#include "core/err.h"
#include "storage/config/topic_config.h"

enum {
    SETTINGS_MAX = 256,
    SETTING_VALUE_MAX = INT16_MAX
}; /* of one topic or layer, as the catalog's reader takes them */

struct settings {
    struct heap *heap;
    struct topic_override *v; /* texts are its own */
    uint32_t count, cap;
};
void settings_init(struct settings *s, struct heap *heap);
void settings_deinit(struct settings *s);
enum err settings_put(struct settings *s, const char *name, const char *value) must_use;

/* What is known of a key; false, or no function: nothing. */
typedef bool settings_key_fn(const char *name, enum config_type *out_type, const char **out_fallback);
/* KERR_INVALID_CONFIG, KERR_INVALID_REQUEST with a sentence in why[256]; KERR_KAFKA_STORAGE_ERROR: no memory. Values are not
 * checked. `replace_all`: what no op names goes. */
enum kerr settings_apply(struct settings *s, const struct config_op *ops, uint32_t count, bool replace_all,
                         settings_key_fn *key, char *why) must_use;
