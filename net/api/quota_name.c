/* See quota_name.h. */
#include "net/api/quota_name.h"
#include "net/api/reply.h"

const char *const quota_part_names[QUOTA_PARTS] = {
    [QUOTA_USER] = "user", [QUOTA_CLIENT] = "client-id", [QUOTA_IP] = "ip"};
static const char hex_digits[] = "0123456789abcdef";

int quota_part_find(struct kview type)
{
    for (int i = 0; i < QUOTA_PARTS; i++)
        if (view_is(type, quota_part_names[i]))
            return i;
    return -1;
}

/* Letters that stand for themselves. */
static bool is_plain_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
}

static char *write_quota_letters(char *at, struct kview name)
{
    for (int32_t i = 0; i < name.n; i++) {
        uint8_t c = name.at[i];
        if (is_plain_letter(c)) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = hex_digits[c >> 4];
        *at++ = hex_digits[c & 15];
    }
    return at;
}

char *quota_name_write(struct request *req, const struct quota_name *n)
{
    size_t room = 1;
    for (int i = 0; i < QUOTA_PARTS; i++)
        room += n->has[i] ? strlen(quota_part_names[i]) + 2 + 3 * (size_t)(n->names[i].n > 0 ? n->names[i].n : 0) : 0;
    char *text = request_alloc(req, room), *at = text;
    for (int i = 0; text && i < QUOTA_PARTS; i++) {
        if (!n->has[i])
            continue;
        size_t bytes = strlen(quota_part_names[i]);
        if (at > text)
            *at++ = ',';
        memcpy(at, quota_part_names[i], bytes);
        at += bytes;
        if (n->names[i].n >= 0) {
            *at++ = '=';
            at = write_quota_letters(at, n->names[i]);
        }
    }
    if (text)
        *at = 0;
    return text;
}

static int read_hex_digit(char c)
{
    const char *at = c ? strchr(hex_digits, c) : NULL;
    return at ? (int)(at - hex_digits) : -1;
}

/* Null: no memory, or not such letters. */
static struct kview read_quota_letters(struct request *req, const char *text, size_t bytes)
{
    uint8_t *name = request_alloc(req, bytes + 1);
    int32_t n = 0;
    for (size_t i = 0; name && i < bytes; i++) {
        int high = 0, low = (uint8_t)text[i];
        if (text[i] == '%') {
            high = bytes - i > 2 ? read_hex_digit(text[i + 1]) : -1;
            low = high >= 0 ? read_hex_digit(text[i + 2]) : -1;
            i += 2;
        }
        if (high < 0 || low < 0)
            return (struct kview){NULL, -1};
        name[n++] = (uint8_t)(high << 4 | low);
    }
    return name ? (struct kview){name, n} : (struct kview){NULL, -1};
}

static bool read_quota_part(struct request *req, const char *text, size_t bytes, struct quota_name *out)
{
    const char *sign = memchr(text, '=', bytes);
    size_t type_bytes = sign ? (size_t)(sign - text) : bytes;
    int part = quota_part_find((struct kview){(const uint8_t *)text, (int32_t)type_bytes});
    if (part < 0)
        return false;
    out->has[part] = true;
    if (!sign)
        return true;
    out->names[part] = read_quota_letters(req, sign + 1, bytes - type_bytes - 1);
    return out->names[part].n >= 0;
}

bool quota_name_read(struct request *req, const char *text, struct quota_name *out)
{
    *out = quota_of_nobody;
    for (size_t bytes = strcspn(text, ",");; bytes = strcspn(text, ",")) {
        if (!read_quota_part(req, text, bytes, out))
            return false;
        if (!text[bytes])
            return true;
        text += bytes + 1;
    }
}
