/* The parser works on one logical line at a time: `at` reads, `to` writes behind it. Unescaping never lengthens: the longest
 * result, three bytes of UTF-8, comes from six characters. */
#include "core/config.h"
#include <string.h>

enum { NAME_BYTES_MAX = 128 };

struct parser {
    char *at, *end;
    uint32_t line;
    bool bad;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

/* Steps over one line end: \n, \r or \r\n. */
static void skip_newline(struct parser *p)
{
    assert(p->at < p->end);
    assert(is_newline(*p->at));
    if (*p->at == '\r' && p->at + 1 < p->end && p->at[1] == '\n')
        p->at++;
    p->at++;
    p->line++;
}

static void skip_blanks(struct parser *p)
{
    assert(p->at <= p->end);
    while (p->at < p->end && is_blank(*p->at))
        p->at++;
}

static void skip_line(struct parser *p)
{
    assert(p->at <= p->end);
    while (p->at < p->end && !is_newline(*p->at))
        p->at++;
}

/* Before a pair: blank lines and comments. */
static void skip_void(struct parser *p)
{
    assert(p->at <= p->end);
    for (;;) {
        skip_blanks(p);
        if (p->at < p->end && (*p->at == '#' || *p->at == '!'))
            skip_line(p);
        if (p->at >= p->end || !is_newline(*p->at))
            return;
        skip_newline(p);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *put_utf8(char *to, uint32_t c)
{
    assert(c <= 0xffff);
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

static char *put_unicode(struct parser *p, char *to)
{
    assert(to < p->at);
    uint32_t c = 0;
    for (int i = 0; i < 4; i++) {
        int digit = p->at < p->end ? hex_digit(*p->at++) : -1;
        if (digit < 0) {
            p->bad = true;
            return to;
        }
        c = c << 4 | (uint32_t)digit;
    }
    p->bad |= c == 0;
    return put_utf8(to, c);
}

/* After a backslash. A line end continues the line and swallows the blanks that open the next one. */
static char *put_escape(struct parser *p, char *to)
{
    assert(to < p->at);
    if (p->at >= p->end)
        return to;
    if (is_newline(*p->at)) {
        skip_newline(p);
        skip_blanks(p);
        return to;
    }
    char c = *p->at++;
    switch (c) {
    case 't': *to++ = '\t'; return to;
    case 'n': *to++ = '\n'; return to;
    case 'r': *to++ = '\r'; return to;
    case 'f': *to++ = '\f'; return to;
    case 'u': return put_unicode(p, to);
    default: *to++ = c; return to;
    }
}

/* Unescapes up to the end of the line, or of the key. Returns where the result ends. */
static char *take_token(struct parser *p, char *to, bool key)
{
    assert(to <= p->at);
    while (p->at < p->end && !is_newline(*p->at)) {
        char c = *p->at;
        if (key && (is_blank(c) || c == '=' || c == ':'))
            break;
        p->at++;
        p->bad |= c == 0;
        if (c == '\\')
            to = put_escape(p, to);
        else
            *to++ = c;
    }
    return to;
}

static void skip_separator(struct parser *p)
{
    assert(p->at <= p->end);
    skip_blanks(p);
    if (p->at < p->end && (*p->at == '=' || *p->at == ':'))
        p->at++;
    skip_blanks(p);
}

static bool take_pair(struct parser *p, config_pair_fn *each, void *arg, bool *out_more)
{
    assert(p->at < p->end);
    assert(!p->bad);
    uint32_t line = p->line;
    char *key = p->at;
    char *key_end = take_token(p, key, true);
    skip_separator(p);
    /* Written where it was read. Behind a bare key there is none: it is empty, and its zero is the key's. */
    char *value = p->at;
    char *value_end = take_token(p, value, false);
    if (p->bad) {
        p->line = line;
        return false;
    }
    if (p->at < p->end)
        skip_newline(p);
    *key_end = 0;
    *value_end = 0;
    *out_more = each(arg, key, value, line);
    return true;
}

enum err config_parse(char *text, size_t bytes, config_pair_fn *each, void *arg, uint32_t *out_line)
{
    assert(out_line);
    assert(text && each);
    struct parser p = {.at = text, .end = text + bytes, .line = 1};
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark: some editors begin a text with it */
        p.at += 3;
    bool more = true;
    for (skip_void(&p); more && p.at < p.end; skip_void(&p)) {
        if (!take_pair(&p, each, arg, &more)) {
            *out_line = p.line;
            return ERR_INVALID;
        }
    }
    return ERR_NONE;
}

/* Levenshtein's distance with one row; longer names are compared by their beginnings. */
static uint32_t edit_distance(const char *a, const char *b)
{
    assert(a && b);
    uint32_t row[NAME_BYTES_MAX + 1];
    uint32_t bytes_a = (uint32_t)strnlen(a, NAME_BYTES_MAX), bytes_b = (uint32_t)strnlen(b, NAME_BYTES_MAX);
    for (uint32_t j = 0; j <= bytes_b; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= bytes_a; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= bytes_b; j++) {
            uint32_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            uint32_t dropped = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = changed < dropped ? changed : dropped;
        }
    }
    return row[bytes_b];
}

const char *config_nearest(const char *name, const char *const *names, uint32_t count)
{
    assert(name && (names || count == 0));
    const char *best = NULL;
    uint32_t limit = 1 + (uint32_t)(strnlen(name, NAME_BYTES_MAX) / 4); /* a quarter mistyped is still a typo */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t d = edit_distance(name, names[i]);
        if (d <= limit) {
            best = names[i];
            limit = d - (d > 0);
        }
        if (d == 0)
            break;
    }
    return best;
}
