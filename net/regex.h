/* Regular expressions that come from peers: matching takes time linear in the text, however hostile the expression. The syntax is what is
 * used of RE2's: characters, . [a-z] [^a-z] \d \w \s \D \W \S \t \n \r \f \v \a \x41 \x{1f600} \Q...\E, groups ( ) (?: ) (?P<name> ) and flags
 * (?i) (?s) (?is: ), alternatives |, repetitions * + ? {2} {2,} {2,5} and their lazy forms, ^ $ \A \z \b \B. Texts are UTF-8; what is none counts
 * byte for byte. Case is ASCII's. Classes by name ([[:alpha:]], \pL) are refused.
 *
 * An expression becomes a program of at most REGEX_STEPS_MAX steps, which is run for all its ways through the text at once (Thompson's
 * construction). It is not changed by matching: several shards may use it at a time. */
#pragma once
#include "core/err.h"
#include "core/mem.h"

enum {
    REGEX_STEPS_MAX = 1000,
    REGEX_RANGES_MAX = 1000, /* of characters, in all classes */
    REGEX_DEPTH_MAX = 50,    /* of groups */
};
struct regex;
/* ERR_INVALID: it is none, or of a syntax that is not known here; *out_why is static and says why. */
enum err regex_open(struct heap *heap, const uint8_t *at, size_t bytes, struct regex **out,
                    const char **out_why) must_use;
void regex_close(struct regex *r);
/* The whole text, from its first to its last character. */
bool regex_matches(const struct regex *r, const uint8_t *at, size_t bytes);
/* What that takes at most, in units of a step (net/steps.h). */
uint32_t regex_units(const struct regex *r, size_t bytes);
