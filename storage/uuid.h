/* Topic and cluster ids: 16 random bytes, written by Kafka as 22 characters of URL-safe base64. */
#pragma once
#include "core/base.h"
#include "core/rng.h"

enum { UUID_BYTES = 16, UUID_TEXT_BYTES = 23 };

/* A version 4 UUID. Like Kafka's it is none of the reserved ones, and its text begins with no dash, so that command lines do
 * not take it for an option. */
void uuid_random(struct rng *rng, uint8_t out_id[UUID_BYTES]);
/* With a zero behind it. */
void uuid_text(const uint8_t id[UUID_BYTES], char out_text[UUID_TEXT_BYTES]);
/* False: not 22 such characters. */
bool uuid_parse(const char *text, size_t bytes, uint8_t out_id[UUID_BYTES]) must_use;
