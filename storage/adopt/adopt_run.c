/* The course of an adoption (adopt.h). */
#include "core/bytes.h"
#include "storage/adopt/adopt_state.h"
#include "storage/log/folder.h"
#include "storage/log/partition_dir.h"
#include "storage/root.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 640 };

static void say_adopted(struct adopt *a, const char *kind, const char *what, const char *fmt, va_list args)
{
    assert(a->say);
    char text[TEXT_BYTES];
    vsnprintf(text, sizeof text, fmt, args);
    a->say(a->arg, kind, what, text);
}

void adopt_note(struct adopt *a, const char *what, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_adopted(a, "note", what, fmt, args);
    va_end(args);
}

printf_like(3, 4) static void refuse_adoption(struct adopt *a, const char *what, const char *fmt, ...)
{
    assert(what[0]);
    va_list args;
    va_start(args, fmt);
    say_adopted(a, "refused", what, fmt, args);
    va_end(args);
    a->refused++;
}

/* --- may it be taken? --- */

static const char *internal_reason(const char *name)
{
    assert(name[0]);
    return strcmp(name, "__share_group_state") == 0 ? "has the state of share groups, which are not served here" : NULL;
}

/* Why a topic is left where it is; NULL: it can be taken. */
static const char *topic_obstacle(const struct adopt_source *s, const struct catalog_file *f,
                                  const struct adopt_topic *t)
{
    assert(t->has_id);
    const char *internal = internal_reason(t->name);
    const struct topic *same = catalog_by_name(&f->all, (const uint8_t *)t->name, strlen(t->name));
    if (internal)
        return internal;
    if (s->described && !t->described)
        return "was deleted in Kafka: its folders are leftovers";
    if (same || catalog_plain_taken(f, t->name))
        return "a topic of this name, or one that differs only in . and _, is in our data folder already";
    if (catalog_file_knew(f, t->id))
        return "was adopted once, and deleted here";
    return NULL;
}

/* The settings that we know, with values that we take; the others are named. */
static enum err choose_settings(struct adopt *a, struct adopt_topic *t)
{
    assert(t->settings.heap);
    char why[256];
    for (uint32_t i = t->settings.count; i-- > 0;) {
        struct topic_override *o = &t->settings.v[i];
        if (topic_override_check(o->name, o->value, why) == KERR_NONE)
            continue;
        adopt_note(a, t->name, "the setting %s=%.100s is not taken: %s", o->name, o->value, why);
        const struct config_op op = {.name = o->name, .kind = CONFIG_OP_DELETE};
        if (settings_apply(&t->settings, &op, 1, false, NULL, why) != KERR_NONE)
            return ERR_NO_MEMORY;
    }
    if (topic_overrides_check(t->settings.v, t->settings.count, why) == KERR_NONE)
        return ERR_NONE;
    adopt_note(a, t->name, "its settings are not taken, they contradict each other here: %s", why);
    settings_deinit(&t->settings);
    return ERR_NONE;
}

/* Every partition once, none missing. */
static bool has_all_partitions(struct adopt *a, const struct adopt_topic *t)
{
    assert(t->count <= t->cap);
    int32_t want = t->described ? t->partitions : (int32_t)t->count;
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->v[i].number == (int32_t)i)
            continue;
        bool twice = i > 0 && t->v[i].number == t->v[i - 1].number;
        refuse_adoption(a, t->name,
                        twice
                            ? "partition %d is in two of the folders"
                            : "partition %d is in none of the folders: name every one of Kafka's log.dirs with --from",
                        twice ? t->v[i].number : (int32_t)i);
        return false;
    }
    if ((int32_t)t->count == want && want > 0 && want <= TOPIC_PARTITIONS_MAX)
        return true;
    refuse_adoption(a, t->name,
                    "%u of its %d partitions are in the folders: name every one of Kafka's log.dirs with --from",
                    t->count, want);
    return false;
}

/* --- taking it --- */

/* From before topics had ids: one that is found again when the adoption is run again. */
static void derive_topic_id(const struct adopt_source *s, struct adopt_topic *t)
{
    assert(!t->has_id);
    uint64_t seed = hash_stable(s->cluster_id, strlen(s->cluster_id), 0);
    be64_put(t->id, hash_stable(t->name, strlen(t->name), seed));
    be64_put(t->id + 8, hash_stable(t->name, strlen(t->name), seed + 1));
    t->id[0] &= 0x7f; /* its text begins with no dash */
    t->id[6] = (uint8_t)((t->id[6] & 0x0f) | 0x40);
    t->id[8] = (uint8_t)((t->id[8] & 0x3f) | 0x80);
}

static void find_topic_id(const struct adopt_source *s, const struct adopt *a, struct adopt_topic *t)
{
    assert(t->count <= t->cap);
    char dir[FS_PATH_MAX];
    for (uint32_t i = 0; !t->has_id && i < t->count; i++) {
        int n = snprintf(dir, sizeof dir, "%s/%s-%d", a->from[t->v[i].folder], t->name, t->v[i].number);
        t->has_id = n > 0 && n < FS_PATH_MAX && partition_dir_topic(dir, t->id);
    }
    if (!t->has_id)
        derive_topic_id(s, t);
    t->has_id = true;
}

/* A folder that Kafka left of an older topic of this name is none of this one's. */
static bool is_of_topic(const char *dir, const struct adopt_topic *t)
{
    assert(t->has_id);
    uint8_t id[16];
    return !partition_dir_topic(dir, id) || memcmp(id, t->id, 16) == 0;
}

static enum err take_partition(struct adopt_source *s, struct adopt *a, struct adopt_topic *t,
                               const struct adopt_partition *p, bool *out_taken)
{
    assert(p->folder < a->from_count);
    assert(p->number >= 0);
    struct adopt_log l = {.refused = ""};
    struct folder f;
    char what[TOPIC_NAME_MAX + 16];
    snprintf(what, sizeof what, "%s-%d", t->name, p->number);
    int n = snprintf(l.dir, sizeof l.dir, "%s/%s", a->from[p->folder], what);
    enum err err = n > 0 && n < FS_PATH_MAX ? folder_read(&f, a->heap, l.dir) : ERR_INVALID;
    if (err != ERR_NONE)
        return err;
    if (is_of_topic(l.dir, t))
        err = adopt_log_check(a, &f, s->clean[p->folder], &l);
    else
        snprintf(l.refused, sizeof l.refused, "has another topic's id in partition.metadata");
    if (err == ERR_NONE && l.refused[0])
        refuse_adoption(a, what, "%s", l.refused);
    if (err == ERR_NONE && l.torn_bytes > 0)
        adopt_note(a, what, "%llu torn bytes behind offset %lld are left out", (unsigned long long)l.torn_bytes,
                   (long long)l.end_offset);
    *out_taken = err == ERR_NONE && !l.refused[0];
    bool empty = f.segments.count == 0 || (f.segments.count == 1 && l.end_offset == 0);
    if (*out_taken && !empty)
        err = adopt_place(a, t, p, &f, &l);
    folder_close(&f);
    a->batches += l.batches;
    s->epoch_max = l.epoch_max > s->epoch_max ? l.epoch_max : s->epoch_max;
    s->producer_max = l.producer_max > s->producer_max ? l.producer_max : s->producer_max;
    return err;
}

/* All partitions are in adopting/: they get their names, then the catalog names the topic. Numbers first: nothing is appended below them. */
static enum err name_topic(struct adopt_source *s, struct adopt *a, struct root *root, struct adopt_topic *t)
{
    assert(t->count > 0);
    assert(s->epoch_max >= -1);
    enum err err = catalog_file_raise_now(root->catalog, s->epoch_max < INT32_MAX ? s->epoch_max + 1 : INT32_MAX,
                                          s->producer_max < INT64_MAX ? s->producer_max + 1 : INT64_MAX);
    for (uint32_t i = 0; err == ERR_NONE && i < t->count; i++) {
        err = adopt_name(a, t, &t->v[i]);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err; /* it is empty */
    }
    if (err == ERR_NONE)
        err = fs_sync_dir(a->config->data_dir);
    if (err != ERR_NONE)
        return err;
    struct topic *topic =
        catalog_topic_new(root->catalog, t->id, t->name, (int32_t)t->count, t->settings.v, t->settings.count);
    if (!topic)
        return ERR_NO_MEMORY;
    err = catalog_file_add_now(root->catalog, topic);
    if (err != ERR_NONE)
        catalog_topic_free(root->catalog, topic);
    return err;
}

/* Folders of its name that the catalog does not know, as an interrupted run may leave them: moved to set-aside/, as CreateTopics does. */
static enum err clear_place(struct adopt *a, struct root *root, const struct adopt_topic *t)
{
    assert(root->catalog);
    struct stray *stray = strays_find(&root->catalog->strays, t->name);
    if (!stray)
        return ERR_NONE;
    adopt_note(a, t->name, "%u folders of this name, which the catalog does not know, are in " STRAYS_ASIDE "/ now",
               stray->count);
    enum err err = strays_move_aside(stray, a->config->data_dir);
    if (err == ERR_NONE)
        strays_forget(&root->catalog->strays, stray);
    return err;
}

static enum err take_topic(struct adopt_source *s, struct adopt *a, struct root *root, struct adopt_topic *t)
{
    assert(t->has_id && t->count > 0);
    bool taken = true;
    enum err err = choose_settings(a, t);
    for (uint32_t i = 0; err == ERR_NONE && i < t->count; i++) {
        bool good = false;
        err = take_partition(s, a, t, &t->v[i], &good);
        taken &= good;
    }
    if (err == ERR_NONE && taken)
        err = clear_place(a, root, t);
    if (err == ERR_NONE && taken)
        err = name_topic(s, a, root, t);
    if (err == ERR_NONE)
        err = adopt_sweep(a);
    if (err != ERR_NONE || !taken)
        return err;
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%u partitions, %u settings", t->count, t->settings.count);
    a->say(a->arg, "taken", t->name, text);
    a->topics++;
    a->partitions += t->count;
    return ERR_NONE;
}

static enum err take_topics(struct adopt_source *s, struct adopt *a, struct root *root, char *why)
{
    assert(root->catalog);
    uint32_t at = 0;
    enum err err = adopt_sweep(a);
    for (struct adopt_topic *t; err == ERR_NONE && (t = map_next(&s->topics, &at));) {
        find_topic_id(s, a, t);
        const struct topic *ours = catalog_by_id(&root->catalog->all, t->id);
        const char *obstacle = topic_obstacle(s, root->catalog, t);
        if (ours && strcmp(ours->name, t->name) == 0)
            adopt_note(a, t->name, "was adopted before");
        else if (obstacle)
            refuse_adoption(a, t->name, "%s", obstacle);
        else if (has_all_partitions(a, t))
            err = take_topic(s, a, root, t);
        if (err != ERR_NONE)
            snprintf(why, CONFIG_WHY_BYTES,
                     "Topic %s cannot be taken: %s. What was said to be taken is; run it again when that is mended.",
                     t->name, err_text(err));
    }
    return err;
}

enum err adopt_run(struct adopt *a, char *why)
{
    assert(a->from_count > 0 && a->say);
    struct adopt_source s;
    struct root *root = NULL;
    why[0] = 0;
    enum err err = adopt_source_open(&s, a, why);
    if (err == ERR_NONE)
        err = root_open(a->config, a->heap, &root, why);
    if (err == ERR_NONE)
        err = take_topics(&s, a, root, why);
    if (root)
        root_close(root);
    adopt_source_close(&s);
    if (err != ERR_NONE && !why[0])
        snprintf(why, CONFIG_WHY_BYTES, "The adoption failed: %s.", err_text(err));
    return err;
}
