/* Ids as bytes and as text (uuid.h). 22 characters are 132 bits: the last four are zero. */
#include "storage/uuid.h"
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void uuid_random(struct rng *rng, uint8_t out_id[UUID_BYTES])
{
    assert(rng);
    do {
        uint64_t high = rng_next(rng), low = rng_next(rng);
        memcpy(out_id, &high, 8);
        memcpy(out_id + 8, &low, 8);
        out_id[6] = (uint8_t)(0x40 | (out_id[6] & 0x0f));
        out_id[8] = (uint8_t)(0x80 | (out_id[8] & 0x3f));
    } while (digits[out_id[0] >> 2] == '-');
    assert((out_id[6] & 0xf0) == 0x40);
}

void uuid_text(const uint8_t id[UUID_BYTES], char out_text[UUID_TEXT_BYTES])
{
    for (uint32_t i = 0; i < UUID_TEXT_BYTES - 1; i++) {
        uint32_t bit = i * 6, byte = bit / 8;
        assert(byte < UUID_BYTES);
        uint32_t pair = (uint32_t)id[byte] << 8 | (byte + 1 < UUID_BYTES ? id[byte + 1] : 0u);
        out_text[i] = digits[(pair >> (10 - bit % 8)) & 63];
    }
    out_text[UUID_TEXT_BYTES - 1] = 0;
}

bool uuid_parse(const char *text, size_t bytes, uint8_t out_id[UUID_BYTES])
{
    uint32_t bits = 0, count = 0, at = 0;
    uint8_t id[UUID_BYTES];
    if (bytes != UUID_TEXT_BYTES - 1)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        count += 6;
        if (count >= 8 && at < UUID_BYTES) {
            count -= 8;
            id[at++] = (uint8_t)(bits >> count);
        }
    }
    if (bits & 15)
        return false;
    assert(at == UUID_BYTES);
    memcpy(out_id, id, UUID_BYTES);
    return true;
}
