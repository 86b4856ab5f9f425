/* See regex.h.
 *
 * The program is an array of steps; where one leads to is relative to it, so that a piece of program can be moved and copied:
 *
 *   class    a character of it, then the next step        x*    split(+1, behind) x jump(back to split)
 *   jump     to one                                       x+    x split(back to x, +1)
 *   split    to both                                      x?    split(+1, behind) x
 *   assert   if it holds, the next step                   x|y   split(+1, y) x jump(behind) y
 *   match    the end
 *
 * It is written while the expression is read, group in group on a stack of their own. */
#include "net/regex.h"
#include <string.h>

enum regex_op { REGEX_CLASS, REGEX_JUMP, REGEX_SPLIT, REGEX_ASSERT, REGEX_MATCH };
enum regex_where { AT_START, AT_END, AT_WORD_EDGE, NOT_AT_WORD_EDGE };
struct regex_step {
    enum regex_op op;
    int32_t a, b; /* jump: a; split: a and b; class: ranges from a on, b of them; assert: a */
    bool negated, folded;
};
struct regex_range {
    uint32_t low, high;
};
struct regex {
    struct heap *heap;
    uint32_t count, range_count;
    struct regex_step steps[REGEX_STEPS_MAX];
    struct regex_range ranges[REGEX_RANGES_MAX];
};

/* --- characters --- */

static bool is_continuation(uint8_t b)
{
    return (b & 0xc0) == 0x80;
}

/* The character at *at, which moves behind it; a byte that begins none is one by itself. */
static uint32_t read_character(const uint8_t *text, size_t bytes, size_t *at)
{
    assert(*at < bytes);
    uint8_t first = text[(*at)++];
    size_t more = first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
    if (first < 0xc2 || first >= 0xf5 || *at + more > bytes)
        return first;
    uint32_t c = first & (0x3fu >> more);
    for (size_t i = 0; i < more; i++) {
        if (!is_continuation(text[*at + i]))
            return first;
        c = c << 6 | (text[*at + i] & 0x3f);
    }
    *at += more;
    return c;
}

static bool is_word_character(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static uint32_t other_case(uint32_t c)
{
    bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    return letter ? c ^ 0x20 : c;
}

/* --- reading an expression --- */

struct regex_group {
    int32_t start, branch; /* where it begins, and its present alternative */
    int32_t atom;          /* the last thing that can be repeated; -1: none */
    int32_t jumps;         /* the last of those that lead behind it, each with the one before in `a`; -1: none */
    bool folded, dot_all;  /* as it was outside */
};
struct regex_reader {
    struct regex *r;
    const uint8_t *at, *end;
    const char *why;
    struct regex_group groups[REGEX_DEPTH_MAX];
    int32_t depth;
    bool folded, dot_all, quoted;
};

static struct regex_group *open_group(struct regex_reader *p)
{
    assert(p->depth > 0);
    return &p->groups[p->depth - 1];
}

static void refuse_regex(struct regex_reader *p, const char *why)
{
    if (!p->why)
        p->why = why;
    p->at = p->end;
}

static struct regex_step *add_regex_step(struct regex_reader *p, enum regex_op op, int32_t a, int32_t b)
{
    static struct regex_step nowhere;
    if (p->r->count == REGEX_STEPS_MAX) {
        refuse_regex(p, "it is too large");
        return &nowhere;
    }
    struct regex_step *s = &p->r->steps[p->r->count++];
    *s = (struct regex_step){.op = op, .a = a, .b = b};
    return s;
}

/* A step that leads over itself, before what begins at `at`; what leads from before it to behind it is a jump that is not closed yet. */
static void insert_regex_split(struct regex_reader *p, int32_t at, int32_t a, int32_t b)
{
    struct regex *r = p->r;
    (void)add_regex_step(p, REGEX_SPLIT, 0, 0); /* room */
    if (p->why)
        return;
    memmove(&r->steps[at + 1], &r->steps[at], (size_t)((int32_t)r->count - 1 - at) * sizeof *r->steps);
    r->steps[at] = (struct regex_step){.op = REGEX_SPLIT, .a = a, .b = b};
}

static void add_regex_range(struct regex_reader *p, uint32_t low, uint32_t high)
{
    if (low > high)
        refuse_regex(p, "a range ends before it begins");
    else if (p->r->range_count == REGEX_RANGES_MAX)
        refuse_regex(p, "it is too large");
    else
        p->r->ranges[p->r->range_count++] = (struct regex_range){low, high};
}

/* --- atoms --- */

/* The class that has been added since `from`. */
static void add_class_step(struct regex_reader *p, uint32_t from, bool negated)
{
    open_group(p)->atom = (int32_t)p->r->count;
    struct regex_step *s = add_regex_step(p, REGEX_CLASS, (int32_t)from, (int32_t)(p->r->range_count - from));
    s->negated = negated;
    s->folded = p->folded;
}

static void add_one_character(struct regex_reader *p, uint32_t c)
{
    uint32_t from = p->r->range_count;
    add_regex_range(p, c, c);
    add_class_step(p, from, false);
}

static void add_any_character(struct regex_reader *p)
{
    uint32_t from = p->r->range_count;
    if (!p->dot_all)
        add_regex_range(p, '\n', '\n');
    add_class_step(p, from, true);
}

static void add_assertion(struct regex_reader *p, enum regex_where where)
{
    open_group(p)->atom = (int32_t)p->r->count;
    (void)add_regex_step(p, REGEX_ASSERT, (int32_t)where, 0);
}

/* What \d, \w or \s has; the negated ones as the ranges between. */
static bool add_named_class(struct regex_reader *p, uint8_t name)
{
    static const struct regex_range digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                                    spaces[] = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};
    uint8_t lower = name | 0x20;
    const struct regex_range *v = lower == 'd' ? digits : lower == 'w' ? words : spaces;
    uint32_t n = lower == 'd' ? COUNT_OF(digits) : lower == 'w' ? COUNT_OF(words) : COUNT_OF(spaces), next = 0;
    if (lower != 'd' && lower != 'w' && lower != 's')
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (name == lower)
            add_regex_range(p, v[i].low, v[i].high);
        else if (v[i].low > next)
            add_regex_range(p, next, v[i].low - 1);
        next = v[i].high + 1;
    }
    if (name != lower)
        add_regex_range(p, next, UINT32_MAX);
    return true;
}

static int32_t hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Behind \x: two digits, or some in braces. */
static uint32_t read_hex_character(struct regex_reader *p)
{
    bool braces = p->at < p->end && *p->at == '{';
    uint32_t value = 0, digits = 0;
    p->at += braces;
    while (p->at < p->end && hex_digit(*p->at) >= 0 && digits < (braces ? 6 : 2)) {
        value = value * 16 + (uint32_t)hex_digit(*p->at++);
        digits++;
    }
    bool closed = !braces || (p->at < p->end && *p->at == '}');
    p->at += braces && closed;
    if (!closed || digits == 0 || (!braces && digits != 2) || value > 0x10ffff)
        refuse_regex(p, "an escape is none");
    return value;
}

/* Behind the backslash: a character that stands for itself, or by its letter. */
static uint32_t read_escaped_character(struct regex_reader *p)
{
    static const char letters[] = "tnrfva", meant[] = "\t\n\r\f\v\a";
    uint8_t c = *p->at++;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter)
        return (uint8_t)meant[letter - letters];
    if (c == 'x')
        return read_hex_character(p);
    if (c >= 0x80 || is_word_character(c))
        refuse_regex(p, "an escape is none");
    return c;
}

static void read_escape(struct regex_reader *p)
{
    if (p->at == p->end) {
        refuse_regex(p, "it ends with a backslash");
        return;
    }
    uint32_t from = p->r->range_count;
    switch (*p->at) {
    case 'A':
        p->at++;
        add_assertion(p, AT_START);
        return;
    case 'z':
        p->at++;
        add_assertion(p, AT_END);
        return;
    case 'b':
        p->at++;
        add_assertion(p, AT_WORD_EDGE);
        return;
    case 'B':
        p->at++;
        add_assertion(p, NOT_AT_WORD_EDGE);
        return;
    case 'Q':
        p->at++;
        p->quoted = true;
        return;
    default: break;
    }
    if (add_named_class(p, *p->at)) {
        p->at++;
        add_class_step(p, from, false);
    } else {
        add_one_character(p, read_escaped_character(p));
    }
}

/* One member of a class, which may be the end of a range. False: it was a class by name, and no range begins with it. */
static bool read_class_member(struct regex_reader *p, uint32_t *out)
{
    size_t at = 0;
    if (*p->at == '[' && p->at + 1 < p->end && p->at[1] == ':') {
        refuse_regex(p, "classes by name are not known");
        return false;
    }
    if (*p->at != '\\') {
        *out = read_character(p->at, (size_t)(p->end - p->at), &at);
        p->at += at;
        return true;
    }
    if (++p->at == p->end || add_named_class(p, *p->at)) {
        p->at += p->at < p->end;
        return false;
    }
    *out = read_escaped_character(p);
    return true;
}

static void read_class(struct regex_reader *p)
{
    uint32_t from = p->r->range_count, low = 0, high = 0;
    bool negated = p->at < p->end && *p->at == '^', first = true;
    p->at += negated;
    while (p->at < p->end && (*p->at != ']' || first)) {
        first = false;
        if (!read_class_member(p, &low))
            continue;
        high = low;
        if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            if (!read_class_member(p, &high))
                refuse_regex(p, "a range has no end");
        }
        add_regex_range(p, low, high);
    }
    if (p->at == p->end) {
        refuse_regex(p, "a class is not closed");
        return;
    }
    p->at++;
    add_class_step(p, from, negated);
}

/* --- groups --- */

static void begin_regex_group(struct regex_reader *p)
{
    if (p->depth == REGEX_DEPTH_MAX) {
        refuse_regex(p, "it has too many groups in each other");
        return;
    }
    int32_t here = (int32_t)p->r->count;
    p->groups[p->depth++] = (struct regex_group){
        .start = here, .branch = here, .atom = -1, .jumps = -1, .folded = p->folded, .dot_all = p->dot_all};
}

static void end_regex_branch(struct regex_reader *p)
{
    struct regex_group *g = open_group(p);
    int32_t here = (int32_t)p->r->count;
    insert_regex_split(p, g->branch, 1, here - g->branch + 2);
    struct regex_step *jump = add_regex_step(p, REGEX_JUMP, g->jumps, 0);
    if (p->why)
        return;
    g->jumps = (int32_t)(jump - p->r->steps);
    g->branch = (int32_t)p->r->count;
    g->atom = -1;
}

static void close_regex_jumps(struct regex_reader *p, const struct regex_group *g)
{
    for (int32_t at = g->jumps; at >= 0;) {
        struct regex_step *jump = &p->r->steps[at];
        int32_t before = jump->a;
        jump->a = (int32_t)p->r->count - at;
        at = before;
    }
}

static void end_regex_group(struct regex_reader *p)
{
    struct regex_group g = *open_group(p);
    close_regex_jumps(p, &g);
    p->folded = g.folded;
    p->dot_all = g.dot_all;
    p->depth--;
    open_group(p)->atom = g.start;
}

/* Behind "(?": up to ':' they are for the group, up to ')' for the rest of the one around. */
static void read_regex_flags(struct regex_reader *p)
{
    bool off = false, folded = p->folded, dot_all = p->dot_all;
    for (; p->at < p->end && *p->at != ':' && *p->at != ')'; p->at++) {
        switch (*p->at) {
        case '-': off = true; break;
        case 'i': folded = !off; break;
        case 's': dot_all = !off; break;
        default: refuse_regex(p, "a flag is not known"); return;
        }
    }
    if (p->at == p->end) {
        refuse_regex(p, "a group is not closed");
        return;
    }
    if (*p->at++ == ':')
        begin_regex_group(p);
    p->folded = folded;
    p->dot_all = dot_all;
}

static void read_group_begin(struct regex_reader *p)
{
    if (p->at == p->end || *p->at != '?') {
        begin_regex_group(p);
        return;
    }
    p->at++;
    if (p->at < p->end && (*p->at == 'P' || *p->at == '<')) {
        const uint8_t *name_end = memchr(p->at, '>', (size_t)(p->end - p->at));
        if (!name_end)
            refuse_regex(p, "a group's name is not closed");
        else
            p->at = name_end + 1;
        begin_regex_group(p);
        return;
    }
    read_regex_flags(p);
}

/* --- repetitions --- */

static void repeat_regex_piece(struct regex_reader *p, int32_t at, int32_t length)
{
    for (int32_t i = 0; i < length && !p->why; i++)
        *add_regex_step(p, REGEX_JUMP, 0, 0) = p->r->steps[at + i];
}

/* The piece from `at` to the end, at will or once and more. */
static void loop_regex_piece(struct regex_reader *p, int32_t at, bool once)
{
    int32_t length = (int32_t)p->r->count - at;
    if (once) {
        (void)add_regex_step(p, REGEX_SPLIT, -length, 1);
        return;
    }
    insert_regex_split(p, at, 1, length + 2);
    (void)add_regex_step(p, REGEX_JUMP, -(length + 1), 0);
}

/* `most` < 0: without end. */
static void repeat_regex_atom(struct regex_reader *p, int32_t least, int32_t most)
{
    int32_t at = open_group(p)->atom, length = (int32_t)p->r->count - at;
    if (most == 0) {
        p->r->count = (uint32_t)at;
        return;
    }
    for (int32_t i = 1; i < least; i++)
        repeat_regex_piece(p, at, length);
    if (least == 0 && most < 0)
        loop_regex_piece(p, at, false);
    else if (most < 0)
        loop_regex_piece(p, (int32_t)p->r->count - length, true);
    if (least == 0 && most > 0)
        insert_regex_split(p, at, 1, length + 1);
    for (int32_t i = least > 0 ? least : 1; i < most && !p->why; i++) {
        (void)add_regex_step(p, REGEX_SPLIT, 1, length + 1);
        repeat_regex_piece(p, at + (least == 0), length);
    }
}

static bool read_repeat_number(struct regex_reader *p, int32_t *out)
{
    const uint8_t *from = p->at;
    *out = 0;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9' && *out <= REGEX_STEPS_MAX)
        *out = *out * 10 + (*p->at++ - '0');
    return p->at > from;
}

/* {2} {2,} {2,5}; false: none of these, and the brace stands for itself. */
static bool read_repeat_counts(struct regex_reader *p, int32_t *least, int32_t *most)
{
    const uint8_t *from = p->at;
    bool good = read_repeat_number(p, least);
    *most = *least;
    if (good && p->at < p->end && *p->at == ',') {
        p->at++;
        *most = -1;
        if (p->at < p->end && *p->at != '}')
            good = read_repeat_number(p, most);
    }
    if (good && p->at < p->end && *p->at == '}') {
        p->at++;
        return true;
    }
    p->at = from;
    return false;
}

/* False: that was no repetition. */
static bool read_repetition(struct regex_reader *p, uint8_t c)
{
    int32_t least = c == '+', most = c == '?' ? 1 : -1;
    if (c != '*' && c != '+' && c != '?' && (c != '{' || !read_repeat_counts(p, &least, &most)))
        return false;
    if (open_group(p)->atom < 0)
        refuse_regex(p, "there is nothing to repeat");
    else if (least > REGEX_STEPS_MAX || most > REGEX_STEPS_MAX || (most >= 0 && least > most))
        refuse_regex(p, "it repeats too often");
    else
        repeat_regex_atom(p, least, most);
    if (p->at < p->end && *p->at == '?') /* a lazy one: the same texts */
        p->at++;
    if (!p->why)
        open_group(p)->atom = -1; /* RE2 has no ** */
    return true;
}

/* --- all of it --- */

static void read_quoted(struct regex_reader *p)
{
    size_t at = 0;
    if (p->end - p->at >= 2 && p->at[0] == '\\' && p->at[1] == 'E') {
        p->at += 2;
        p->quoted = false;
        return;
    }
    uint32_t c = read_character(p->at, (size_t)(p->end - p->at), &at);
    p->at += at;
    add_one_character(p, c);
}

static void read_regex_item(struct regex_reader *p)
{
    size_t at = 0;
    uint32_t c = read_character(p->at, (size_t)(p->end - p->at), &at);
    p->at += at;
    if (c < 0x80 && read_repetition(p, (uint8_t)c))
        return;
    switch (c) {
    case '.': add_any_character(p); return;
    case '^': add_assertion(p, AT_START); return;
    case '$': add_assertion(p, AT_END); return;
    case '|': end_regex_branch(p); return;
    case '[': read_class(p); return;
    case '\\': read_escape(p); return;
    case '(': read_group_begin(p); return;
    case ')':
        if (p->depth == 1)
            refuse_regex(p, "a group is closed that was not opened");
        else
            end_regex_group(p);
        return;
    default: add_one_character(p, c); return;
    }
}

static const char *read_regex(struct regex *r, const uint8_t *at, size_t bytes)
{
    struct regex_reader p = {.r = r, .at = at, .end = at + bytes};
    begin_regex_group(&p);
    while (p.at < p.end && !p.why) {
        if (p.quoted)
            read_quoted(&p);
        else
            read_regex_item(&p);
    }
    if (p.depth > 1)
        refuse_regex(&p, "a group is not closed");
    close_regex_jumps(&p, &p.groups[0]);
    (void)add_regex_step(&p, REGEX_MATCH, 0, 0);
    return p.why;
}

enum err regex_open(struct heap *heap, const uint8_t *at, size_t bytes, struct regex **out, const char **out_why)
{
    assert(out && out_why);
    struct regex *r = heap_alloc(heap, sizeof *r);
    *out_why = "no memory";
    if (!r)
        return ERR_NO_MEMORY;
    r->heap = heap;
    r->count = r->range_count = 0;
    *out_why = read_regex(r, at, bytes);
    if (*out_why) {
        regex_close(r);
        return ERR_INVALID;
    }
    *out = r;
    return ERR_NONE;
}

void regex_close(struct regex *r)
{
    assert(r->heap);
    heap_free(r->heap, r);
}

/* --- matching --- */

/* All places of the program at one place of the text. */
struct regex_ways {
    uint32_t count;
    uint16_t at[REGEX_STEPS_MAX];
    bool seen[REGEX_STEPS_MAX];
};
struct regex_place {
    bool start, end;
    bool word_before, word_behind;
};

static bool regex_holds(enum regex_where where, const struct regex_place *place)
{
    bool edge = place->word_before != place->word_behind;
    switch (where) {
    case AT_START: return place->start;
    case AT_END: return place->end;
    case AT_WORD_EDGE: return edge;
    case NOT_AT_WORD_EDGE: return !edge;
    }
    assert(!"an assertion of a regular expression");
    return false;
}

static void note_regex_way(struct regex_ways *w, uint16_t *stack, uint32_t *depth, int32_t at)
{
    assert(at >= 0 && at < REGEX_STEPS_MAX);
    if (w->seen[at])
        return;
    w->seen[at] = true;
    assert(*depth < REGEX_STEPS_MAX);
    stack[(*depth)++] = (uint16_t)at;
}

/* `from`, and wherever one gets from there without a character. */
static void add_regex_ways(const struct regex *r, struct regex_ways *w, int32_t from, const struct regex_place *place)
{
    uint16_t stack[REGEX_STEPS_MAX];
    uint32_t depth = 0;
    note_regex_way(w, stack, &depth, from);
    while (depth > 0) {
        int32_t at = stack[--depth];
        const struct regex_step *s = &r->steps[at];
        switch (s->op) {
        case REGEX_CLASS:
        case REGEX_MATCH: w->at[w->count++] = (uint16_t)at; break;
        case REGEX_JUMP: note_regex_way(w, stack, &depth, at + s->a); break;
        case REGEX_SPLIT:
            note_regex_way(w, stack, &depth, at + s->a);
            note_regex_way(w, stack, &depth, at + s->b);
            break;
        case REGEX_ASSERT:
            if (regex_holds((enum regex_where)s->a, place))
                note_regex_way(w, stack, &depth, at + 1);
            break;
        }
    }
}

static bool is_in_ranges(const struct regex *r, const struct regex_step *s, uint32_t c)
{
    for (int32_t i = s->a; i < s->a + s->b; i++)
        if (c >= r->ranges[i].low && c <= r->ranges[i].high)
            return true;
    return false;
}

/* A character of the text. Repetitions copy a class hundreds of times: it is compared with its ranges once. */
enum { NOT_COMPARED, NOT_IN_RANGES, IN_RANGES };
struct regex_character {
    uint32_t c;
    uint8_t known[REGEX_RANGES_MAX]; /* by the first of them */
};

static bool is_in_class(const struct regex *r, const struct regex_step *s, struct regex_character *of)
{
    assert(s->op == REGEX_CLASS);
    if (s->b == 0)
        return s->negated;
    if (of->known[s->a] == NOT_COMPARED) {
        bool in = is_in_ranges(r, s, of->c) || (s->folded && is_in_ranges(r, s, other_case(of->c)));
        of->known[s->a] = in ? IN_RANGES : NOT_IN_RANGES;
    }
    return (of->known[s->a] == IN_RANGES) != s->negated;
}

static void empty_regex_ways(struct regex_ways *w)
{
    w->count = 0;
    memset(w->seen, 0, sizeof w->seen);
}

static struct regex_place place_in_text(const uint8_t *text, size_t bytes, size_t at, bool word_before)
{
    size_t behind = at;
    assert(at <= bytes);
    bool word_behind = at < bytes && is_word_character(read_character(text, bytes, &behind));
    return (struct regex_place){
        .start = at == 0, .end = at == bytes, .word_before = word_before, .word_behind = word_behind};
}

uint32_t regex_units(const struct regex *r, size_t bytes)
{
    enum { WAYS_PER_UNIT = 64 };
    return (uint32_t)u64_min((uint64_t)bytes * r->count / WAYS_PER_UNIT, UINT32_MAX);
}

bool regex_matches(const struct regex *r, const uint8_t *text, size_t bytes)
{
    struct regex_ways ways[2];
    struct regex_ways *now = &ways[0], *next = &ways[1];
    struct regex_character of;
    size_t at = 0;
    struct regex_place place = place_in_text(text, bytes, 0, false);
    assert(r->count > 0);
    empty_regex_ways(now);
    add_regex_ways(r, now, 0, &place);
    while (at < bytes && now->count > 0) {
        of.c = read_character(text, bytes, &at);
        memset(of.known, 0, r->range_count * sizeof *of.known);
        place = place_in_text(text, bytes, at, is_word_character(of.c));
        empty_regex_ways(next);
        for (uint32_t i = 0; i < now->count; i++)
            if (r->steps[now->at[i]].op == REGEX_CLASS && is_in_class(r, &r->steps[now->at[i]], &of))
                add_regex_ways(r, next, now->at[i] + 1, &place);
        struct regex_ways *done = now;
        now = next;
        next = done;
    }
    for (uint32_t i = 0; i < now->count; i++)
        if (r->steps[now->at[i]].op == REGEX_MATCH && at == bytes)
            return true;
    return false;
}
