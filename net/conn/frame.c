/* Frames, and what strangers send instead of them. */
#include "net/conn/frame.h"
#include "core/bytes.h"

static bool starts_with_word(const uint8_t *at, const char *word)
{
    return memcmp(at, word, 4) == 0;
}

/* A size field that is really the beginning of another protocol. As sizes these would be 369 MB and more than 1 GB. */
static enum frame_kind sniff_protocol(const uint8_t *at)
{
    static const char *const http[] = {"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PATC", "CONN", "PRI "};
    if (at[0] == 0x16 && at[1] == 0x03)
        return FRAME_TLS;
    for (uint32_t i = 0; i < COUNT_OF(http); i++)
        if (starts_with_word(at, http[i]))
            return FRAME_HTTP;
    return FRAME_HUGE;
}

struct frame frame_look(const uint8_t *at, size_t bytes, uint32_t max_bytes)
{
    if (bytes < 4)
        return (struct frame){.kind = FRAME_PART};
    int32_t size = (int32_t)be32_get(at);
    if (size < 0)
        return (struct frame){.kind = FRAME_NEGATIVE};
    if ((uint32_t)size > max_bytes)
        return (struct frame){.kind = sniff_protocol(at)};
    if (size < FRAME_HEADER_MIN)
        return (struct frame){.kind = FRAME_TINY};
    uint32_t total = (uint32_t)size + 4;
    return (struct frame){.kind = bytes >= total ? FRAME_WHOLE : FRAME_PART, .total = total};
}

const char *frame_complaint(enum frame_kind kind)
{
    switch (kind) {
    case FRAME_WHOLE:
    case FRAME_PART: return NULL;
    case FRAME_NEGATIVE: return "it sent a frame of negative size";
    case FRAME_TINY: return "it sent a frame too small for a request";
    case FRAME_HUGE: return "it sent a frame larger than socket.request.max.bytes";
    case FRAME_TLS: return "it began TLS, but this listener is PLAINTEXT: set security.protocol=PLAINTEXT";
    case FRAME_HTTP: return "it sent an HTTP request, but this port speaks Kafka's protocol";
    }
    assert(!"a frame kind");
    return NULL;
}

uint32_t frame_room(uint32_t total, uint32_t have, uint32_t ahead)
{
    assert(total == 0 || have < total);
    assert(ahead > 1);
    uint64_t room = u64_max((uint64_t)have * ahead, FRAME_FIRST_BYTES);
    if (room > FRAME_MIDDLE_BYTES && have < FRAME_MIDDLE_BYTES / 4 * 3)
        room = FRAME_MIDDLE_BYTES; /* the next size of a buf would be four times this */
    return (uint32_t)(total ? u64_min(room, total) : room);
}
