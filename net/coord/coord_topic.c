#include "net/coord/coord_topic.h"
#include "storage/limits.h"
#include <stdio.h>

/* One code point of UTF-8; what is none counts as U+FFFD, byte for byte. */
static uint32_t next_code_point(struct kview v, int32_t *at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = v.at[(*at)++];
    int32_t more = first < 0x80                    ? 0
                   : first >= 0xc2 && first < 0xe0 ? 1
                   : (first & 0xf0) == 0xe0        ? 2
                   : first >= 0xf0 && first < 0xf5 ? 3
                                                   : -1;
    if (more <= 0 || *at + more > v.n)
        return more == 0 ? first : 0xfffd;
    uint32_t code = first & (0x3fu >> more);
    for (int32_t i = 0; i < more; i++) {
        if ((v.at[*at + i] & 0xc0) != 0x80)
            return 0xfffd;
        code = code << 6 | (v.at[*at + i] & 0x3f);
    }
    if (code < least[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0xfffd;
    *at += more;
    return code;
}

static uint32_t java_hash(struct kview v)
{
    uint32_t hash = 0;
    for (int32_t at = 0; at < v.n;) {
        uint32_t code = next_code_point(v, &at);
        if (code >= 0x10000) { /* two units of UTF-16 */
            hash = hash * 31 + (0xd800 + ((code - 0x10000) >> 10));
            code = 0xdc00 + ((code - 0x10000) & 0x3ff);
        }
        hash = hash * 31 + code;
    }
    return hash;
}

int32_t coord_partition(struct kview key, int32_t partitions)
{
    assert(partitions > 0);
    uint32_t hash = java_hash(key);
    if (hash >> 31) /* Java's absolute value, and 0 for the one number that has none */
        hash = -hash;
    return hash >> 31 ? 0 : (int32_t)(hash % (uint32_t)partitions);
}

const struct topic *coord_topic_find(const struct coord_topic *t, const struct store *st)
{
    return catalog_by_name(&st->catalog, (const uint8_t *)t->name, strlen(t->name));
}

void coord_topic_change(const struct coord_topic *t, int32_t partitions, int32_t segment_bytes,
                        char number[COORD_TOPIC_NUMBER_BYTES], struct topic_override overrides[COORD_TOPIC_OVERRIDES],
                        struct catalog_change *c)
{
    snprintf(number, COORD_TOPIC_NUMBER_BYTES, "%d", segment_bytes);
    overrides[0] = (struct topic_override){"cleanup.policy", "compact"};
    overrides[1] = (struct topic_override){"compression.type", "producer"};
    /* segment.bytes takes no less, but the broker's key does. */
    bool small = segment_bytes < SEGMENT_BYTES_MIN;
    overrides[2] = (struct topic_override){small ? "internal.segment.bytes" : "segment.bytes", number};
    *c = (struct catalog_change){.kind = CATALOG_CREATE,
                                 .name = t->name,
                                 .partitions = partitions,
                                 .overrides = overrides,
                                 .override_count = COORD_TOPIC_OVERRIDES,
                                 .automatic = true};
}
