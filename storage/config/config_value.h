/* Values of settings as text: what a type accepts, within which bounds. Kafka's rules (ConfigDef): blanks around a value
 * do not count, booleans know no case, lists are separated by commas. */
#pragma once
#include "core/base.h"

enum config_type {
    CONFIG_BOOLEAN = 1,
    CONFIG_STRING,
    CONFIG_INT,
    CONFIG_SHORT,
    CONFIG_LONG,
    CONFIG_DOUBLE,
    CONFIG_LIST,
    CONFIG_CLASS,
    CONFIG_PASSWORD
}; /* DescribeConfigs' numbers */

/* Bounds besides those of the type. `words`: what a STRING must be, or each item of a LIST; a number may be one of the words
 * although it is out of bounds; CONFIG_REPLICAS: a LIST of partition:broker, or "*". No item of a list is empty. */
struct config_rule {
    int64_t min, max;
    const char *words; /* "one|two"; NULL: any */
};
#define CONFIG_REPLICAS "[partition]:[broker]"
#define CONFIG_ANY                 \
    {                              \
        INT64_MIN, INT64_MAX, NULL \
    }
#define CONFIG_AT_LEAST(n) \
    {                      \
        n, INT64_MAX, NULL \
    }
#define CONFIG_BETWEEN(from, to) \
    {                            \
        from, to, NULL           \
    }
#define CONFIG_WORDS(list)         \
    {                              \
        INT64_MIN, INT64_MAX, list \
    }

enum { CONFIG_FAULT_BYTES = 320 };
/* False: fault[CONFIG_FAULT_BYTES] is the end of a sentence that began with the name: "must be a whole number from 1 to 7". */
bool config_value_check(enum config_type type, const struct config_rule *rule, const char *value, char *fault) must_use;

/* False: not such a value. */
bool config_to_bool(const char *value, bool *out) must_use;
bool config_to_i64(const char *value, int64_t *out) must_use;
bool config_to_f64(const char *value, double *out) must_use;
/* Is `word` an item of this comma-separated list? */
bool config_list_has(const char *list, const char *word);
bool config_list_has_item(const char *list, const char *item, size_t bytes);
/* Goes through a list's items, without the blanks around them: for (at = config_list_start(list); config_list_next(&at, ...);).
 * An empty list has no item. */
const char *config_list_start(const char *list);
bool config_list_next(const char **at, const char **out_item, size_t *out_bytes) must_use;
