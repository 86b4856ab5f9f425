/* See reply.h. */
#include "net/api/reply.h"

struct kview view_of(const char *text)
{
    return text ? (struct kview){(const uint8_t *)text, (int32_t)strlen(text)} : (struct kview){NULL, -1};
}

char *request_text(struct request *req, struct kview v)
{
    if (v.n < 0)
        return NULL;
    char *text = request_alloc(req, (size_t)v.n + 1);
    if (!text)
        return NULL;
    memcpy(text, v.at, (size_t)v.n);
    text[v.n] = 0;
    return text;
}

bool view_is(struct kview v, const char *text)
{
    return v.n >= 0 && (size_t)v.n == strlen(text) && memcmp(v.at, text, (size_t)v.n) == 0;
}

enum kerr leader_epoch_check(int32_t asked, int32_t current)
{
    if (asked < 0 || asked == current)
        return KERR_NONE;
    return asked < current ? KERR_FENCED_LEADER_EPOCH : KERR_UNKNOWN_LEADER_EPOCH;
}
