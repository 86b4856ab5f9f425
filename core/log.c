/* Makes a line out of an event: formats it, cleans it of control characters (a peer's bytes must not forge lines), and for
 * JSON splits the facts into pairs again. A line that is too long is cut. */
#include "core/log.h"
#include "core/clock.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 4096, FACTS_MAX_BYTES = 2048, WORDS_MAX = 128 };

/* The line under construction; `used` never passes the capacity less the final newline. */
struct line {
    char at[LINE_MAX_BYTES];
    size_t used;
};
struct span {
    const char *at;
    size_t bytes;
};

static struct log_options options = {.level = LOG_INFO};

void log_init(struct log_options chosen)
{
    options = chosen;
}

static const char *log_level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG: return "DEBUG";
    case LOG_INFO: return "INFO";
    case LOG_WARN: return "WARN";
    case LOG_ERROR: return "ERROR";
    }
    return "?";
}

static void put_bytes(struct line *l, const char *at, size_t bytes)
{
    assert(l->used < sizeof l->at);
    size_t room = sizeof l->at - 1 - l->used;
    size_t n = bytes < room ? bytes : room;
    memcpy(l->at + l->used, at, n);
    l->used += n;
}

static void put_line_text(struct line *l, const char *text)
{
    put_bytes(l, text, strlen(text));
}

/* The civil date of a day counted from 1970-01-01 (Howard Hinnant's algorithm): years start in March, so that the leap
 * day is the last one. */
static void civil_date_of(int64_t day, int64_t *out_year, unsigned *out_month, unsigned *out_day)
{
    assert(out_year && out_month && out_day);
    day += 719468;
    int64_t era = (day >= 0 ? day : day - 146096) / 146097;
    unsigned in_era = (unsigned)(day - era * 146097);
    unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned shifted = (5 * in_year + 2) / 153;
    *out_day = in_year - (153 * shifted + 2) / 5 + 1;
    *out_month = shifted < 10 ? shifted + 3 : shifted - 9;
    *out_year = (int64_t)year + era * 400 + (*out_month <= 2);
}

static void put_line_time(struct line *l, int64_t wall_ms)
{
    int64_t day_ms = 86400000, day = wall_ms / day_ms, year;
    unsigned ms = (unsigned)(wall_ms % day_ms), month, of_month;
    civil_date_of(day, &year, &month, &of_month);
    char text[64];
    int n = snprintf(text, sizeof text, "%04" PRId64 "-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, of_month,
                     ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
    assert(n > 0 && (size_t)n < sizeof text);
    put_bytes(l, text, (size_t)n);
}

static void clean_controls(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

static void put_json_string(struct line *l, struct span s)
{
    assert(s.at || s.bytes == 0);
    put_line_text(l, "\"");
    for (size_t i = 0; i < s.bytes; i++) {
        if (s.at[i] == '"' || s.at[i] == '\\')
            put_line_text(l, "\\");
        put_bytes(l, s.at + i, 1);
    }
    put_line_text(l, "\"");
}

static void put_json_pair(struct line *l, struct span key, struct span value)
{
    assert(key.bytes > 0);
    put_line_text(l, ",");
    put_json_string(l, key);
    put_line_text(l, ":");
    put_json_string(l, value);
}

/* The next word: ends at a blank outside quotes. */
static bool next_log_word(const char **rest, struct span *out_word)
{
    assert(*rest && out_word);
    const char *at = *rest + strspn(*rest, " ");
    const char *end = at;
    for (bool quoted = false; *end && (quoted || *end != ' '); end++)
        quoted ^= *end == '"';
    *rest = end;
    *out_word = (struct span){at, (size_t)(end - at)};
    return end > at;
}

static bool split_log_pair(struct span word, struct span *out_key, struct span *out_value)
{
    assert(word.bytes > 0);
    const char *eq = memchr(word.at, '=', word.bytes);
    if (!eq || eq == word.at || memchr(word.at, '"', (size_t)(eq - word.at)))
        return false;
    *out_key = (struct span){word.at, (size_t)(eq - word.at)};
    *out_value = (struct span){eq + 1, word.bytes - out_key->bytes - 1};
    if (out_value->bytes >= 2 && eq[1] == '"' && word.at[word.bytes - 1] == '"')
        *out_value = (struct span){eq + 2, out_value->bytes - 2};
    return true;
}

/* Words that are no pair, joined by blanks. */
static void put_json_rest(struct line *l, const struct span *words, uint32_t count)
{
    assert(count > 0 && count <= WORDS_MAX);
    char text[FACTS_MAX_BYTES];
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            text[used++] = ' ';
        memcpy(text + used, words[i].at, words[i].bytes);
        used += words[i].bytes;
    }
    put_json_pair(l, (struct span){"text", 4}, (struct span){text, used});
}

static void put_json_facts(struct line *l, const char *facts)
{
    assert(facts);
    struct span words[WORDS_MAX], word, key, value;
    uint32_t count = 0;
    while (next_log_word(&facts, &word)) {
        if (split_log_pair(word, &key, &value))
            put_json_pair(l, key, value);
        else if (count < WORDS_MAX)
            words[count++] = word;
    }
    if (count)
        put_json_rest(l, words, count);
}

static void format_json_line(struct line *l, enum log_level level, const char *event, const char *facts)
{
    assert(l->used == 0);
    put_line_text(l, "{\"time\":\"");
    put_line_time(l, clock_wall_ms());
    put_line_text(l, "\",\"level\":\"");
    put_line_text(l, log_level_name(level));
    put_line_text(l, "\",\"event\":");
    put_json_string(l, (struct span){event, strlen(event)});
    put_json_facts(l, facts);
    put_line_text(l, "}");
}

static void format_text_line(struct line *l, enum log_level level, const char *event, const char *facts)
{
    assert(l->used == 0);
    put_line_time(l, clock_wall_ms());
    put_line_text(l, " ");
    put_line_text(l, log_level_name(level));
    put_line_text(l, strlen(log_level_name(level)) == 4 ? "  " : " ");
    put_line_text(l, event);
    if (*facts)
        put_line_text(l, ": ");
    put_line_text(l, facts);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    assert(event && fmt);
    if (level < options.level)
        return;
    char facts[FACTS_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(facts, sizeof facts, fmt, args);
    va_end(args);
    assert(n >= 0);
    clean_controls(facts);
    struct line l;
    l.used = 0;
    if (options.json)
        format_json_line(&l, level, event, facts);
    else
        format_text_line(&l, level, event, facts);
    l.at[l.used++] = '\n';
    log_write_line(l.at, l.used);
}
