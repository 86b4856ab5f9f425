/* Properties files as Java reads them: `key=value` lines, also with `:` or a blank between; # and ! open comments; a
 * backslash at the end continues a line; a byte order mark before all is passed over; \t \n \r \f \uXXXX and \<anything> are escapes. Knows no names of its own. */
#pragma once
#include "core/err.h"

/* `line` counts from 1, and is the first of a continued one. False stops the parse. */
typedef bool config_pair_fn(void *arg, const char *key, const char *value, uint32_t line);

/* `text` is changed (unescaped in place) and must have room for a zero at text[bytes]. Keys and values point into it.
 * ERR_INVALID: a zero byte or a bad \u escape; *out_line says where. */
enum err config_parse(char *text, size_t bytes, config_pair_fn *each, void *arg, uint32_t *out_line) must_use;
/* The name that was probably meant, NULL when none is near. For "did you mean" messages. */
const char *config_nearest(const char *name, const char *const *names, uint32_t count);
