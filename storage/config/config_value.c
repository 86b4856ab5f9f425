/* Settings' values as text (config_value.h). */
#include "storage/config/config_value.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NUMBER_BYTES = 64 };

static void trim_blanks(const char **at, size_t *bytes)
{
    assert(at && *at && bytes);
    while (*bytes > 0 && isspace((unsigned char)(*at)[*bytes - 1]))
        --*bytes;
    while (*bytes > 0 && isspace((unsigned char)**at)) {
        ++*at;
        --*bytes;
    }
}

/* The trimmed value in a buffer of its own, as strtoll wants it. False: empty, or too long to be a number. */
static bool write_number_text(const char *value, const char *letters, char out[NUMBER_BYTES])
{
    assert(value && letters);
    size_t bytes = strlen(value);
    trim_blanks(&value, &bytes);
    if (bytes == 0 || bytes >= NUMBER_BYTES)
        return false;
    memcpy(out, value, bytes);
    out[bytes] = 0;
    return strspn(out, letters) == bytes;
}

bool config_to_i64(const char *value, int64_t *out)
{
    assert(value);
    char text[NUMBER_BYTES];
    char *end;
    if (!write_number_text(value, "+-0123456789", text))
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || *end != 0 || end == text)
        return false;
    *out = number;
    return true;
}

bool config_to_f64(const char *value, double *out)
{
    assert(value);
    char text[NUMBER_BYTES];
    char *end;
    if (!write_number_text(value, "+-.0123456789eE", text))
        return false;
    double number = strtod(text, &end);
    if (*end != 0 || end == text)
        return false;
    *out = number;
    return true;
}

bool config_to_bool(const char *value, bool *out)
{
    assert(value);
    size_t bytes = strlen(value);
    trim_blanks(&value, &bytes);
    bool yes = bytes == 4 && strncasecmp(value, "true", 4) == 0;
    bool no = bytes == 5 && strncasecmp(value, "false", 5) == 0;
    if (yes || no)
        *out = yes;
    return yes || no;
}

const char *config_list_start(const char *list)
{
    assert(list);
    return strspn(list, " \t\r\n") == strlen(list) ? NULL : list;
}

bool config_list_next(const char **at, const char **out_item, size_t *out_bytes)
{
    assert(at && out_item && out_bytes);
    if (!*at)
        return false;
    const char *item = *at;
    size_t bytes = strcspn(item, ",");
    *at = item[bytes] == ',' ? item + bytes + 1 : NULL;
    trim_blanks(&item, &bytes);
    *out_item = item;
    *out_bytes = bytes;
    return true;
}

bool config_list_has_item(const char *list, const char *item, size_t bytes)
{
    assert(list && item);
    const char *at = config_list_start(list), *other;
    size_t other_bytes;
    while (config_list_next(&at, &other, &other_bytes))
        if (other_bytes == bytes && memcmp(other, item, bytes) == 0)
            return true;
    return false;
}

bool config_list_has(const char *list, const char *word)
{
    assert(list && word);
    return config_list_has_item(list, word, strlen(word));
}

/* Is this text one of "a|b|c"? */
static bool is_word_allowed(const char *words, const char *text, size_t bytes)
{
    assert(text);
    for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
        if (strcspn(w, "|") == bytes && memcmp(w, text, bytes) == 0)
            return true;
    return false;
}

static bool is_value_word(const char *words, const char *value)
{
    assert(value);
    size_t bytes = strlen(value);
    trim_blanks(&value, &bytes);
    return words && is_word_allowed(words, value, bytes);
}

/* "3:101" */
static bool is_replica_pair(const char *item, size_t bytes)
{
    size_t first = strspn(item, "0123456789");
    size_t second = first < bytes && item[first] == ':' ? strspn(item + first + 1, "0123456789") : 0;
    return first > 0 && second > 0 && first + 1 + second == bytes;
}

static bool is_item_allowed(const char *words, const char *item, size_t bytes)
{
    return !words ||
           (strcmp(words, CONFIG_REPLICAS) == 0 ? is_replica_pair(item, bytes) : is_word_allowed(words, item, bytes));
}

static bool is_list_allowed(const char *words, const char *value)
{
    assert(value);
    const char *at = config_list_start(value), *item;
    size_t bytes;
    if (words && strcmp(words, CONFIG_REPLICAS) == 0 && is_value_word("*", value))
        return true;
    while (config_list_next(&at, &item, &bytes))
        if (bytes == 0 || !is_item_allowed(words, item, bytes))
            return false;
    return true;
}

/* --- numbers --- */

static struct config_rule find_number_bounds(enum config_type type, const struct config_rule *rule)
{
    int64_t least = type == CONFIG_INT ? INT32_MIN : type == CONFIG_SHORT ? INT16_MIN : INT64_MIN;
    int64_t most = type == CONFIG_INT ? INT32_MAX : type == CONFIG_SHORT ? INT16_MAX : INT64_MAX;
    struct config_rule bounds = *rule;
    bounds.min = bounds.min < least ? least : bounds.min;
    bounds.max = bounds.max > most ? most : bounds.max;
    return bounds;
}

static bool is_whole_allowed(const struct config_rule *bounds, const char *value)
{
    int64_t number;
    return config_to_i64(value, &number) &&
           ((number >= bounds->min && number <= bounds->max) || is_value_word(bounds->words, value));
}

/* The bounds of a 64-bit number are none for a floating one. */
static bool is_double_allowed(const struct config_rule *rule, const char *value)
{
    double number;
    return config_to_f64(value, &number) && (rule->min == INT64_MIN || number >= (double)rule->min) &&
           (rule->max == INT64_MAX || number <= (double)rule->max);
}

static bool check_whole(enum config_type type, const struct config_rule *rule, const char *value, char *fault)
{
    assert(rule && value && fault);
    struct config_rule bounds = find_number_bounds(type, rule);
    if (is_whole_allowed(&bounds, value))
        return true;
    int n = snprintf(fault, CONFIG_FAULT_BYTES, "must be a whole number from %lld to %lld", (long long)bounds.min,
                     (long long)bounds.max);
    if (bounds.words && n > 0 && n < CONFIG_FAULT_BYTES)
        snprintf(fault + n, CONFIG_FAULT_BYTES - (size_t)n, " or %s", bounds.words);
    return false;
}

static bool check_double(const struct config_rule *rule, const char *value, char *fault)
{
    assert(rule && value && fault);
    if (is_double_allowed(rule, value))
        return true;
    if (rule->max == INT64_MAX || rule->min == INT64_MIN)
        snprintf(fault, CONFIG_FAULT_BYTES, "must be a number such as 0.5");
    else
        snprintf(fault, CONFIG_FAULT_BYTES, "must be a number from %lld to %lld", (long long)rule->min,
                 (long long)rule->max);
    return false;
}

static bool check_bool(const char *value, char *fault)
{
    assert(value && fault);
    bool on;
    if (config_to_bool(value, &on))
        return true;
    snprintf(fault, CONFIG_FAULT_BYTES, "must be true or false");
    return false;
}

static bool check_text(const struct config_rule *rule, const char *value, char *fault)
{
    assert(rule && value && fault);
    if (!rule->words || is_value_word(rule->words, value))
        return true;
    snprintf(fault, CONFIG_FAULT_BYTES, "must be one of %s", rule->words);
    return false;
}

static bool check_list(const struct config_rule *rule, const char *value, char *fault)
{
    assert(rule && value && fault);
    if (is_list_allowed(rule->words, value))
        return true;
    snprintf(fault, CONFIG_FAULT_BYTES, "must be a list, separated by commas, of %s",
             rule->words ? rule->words : "names");
    return false;
}

bool config_value_check(enum config_type type, const struct config_rule *rule, const char *value, char *fault)
{
    assert(rule && value && fault);
    switch (type) {
    case CONFIG_BOOLEAN: return check_bool(value, fault);
    case CONFIG_INT:
    case CONFIG_SHORT:
    case CONFIG_LONG: return check_whole(type, rule, value, fault);
    case CONFIG_DOUBLE: return check_double(rule, value, fault);
    case CONFIG_LIST: return check_list(rule, value, fault);
    case CONFIG_STRING:
    case CONFIG_CLASS:
    case CONFIG_PASSWORD: return check_text(rule, value, fault);
    }
    assert(!"a type of setting that does not exist");
    return false;
}
