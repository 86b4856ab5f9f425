/* The smallest valid request of each API, made from the schema: each array has one element, each text names what is there. */
#pragma once
#include "core/base.h"
#include "net/wire/kmsg.h"
#include <string.h>

/* What the texts name: "topic" exists, and "new" is made and deleted. Set before use. */
static struct krecords smallest_batch;
static struct kuuid smallest_topic_id;

struct smallest_text {
    const char *within, *field, *text; /* within: a struct's name, NULL: any */
};
static const struct smallest_text smallest_texts[] = {
    {NULL, "group_id", "group"},
    {NULL, "groups_names", "group"},
    {NULL, "groups", "group"},
    {NULL, "coordinator_keys", "group"},
    {"find_coordinator_request", "key", "group"},
    {"delete_topic_state", "name", "new"},
    {NULL, "topic_names", "new"},
    {"creatable_topic", "name", "new"},
    {"create_partitions_topic", "name", "new"},
    {"creatable_topic_config", "name", "retention.ms"},
    {"alter_configs_config", "name", "retention.ms"},
    {"incremental_alter_configs_config", "name", "retention.ms"},
    {NULL, "configuration_keys", "retention.ms"},
    {NULL, "value", "86400000"},
    {NULL, "protocol_type", "consumer"},
    {"join_group_request_protocol", "name", "range"},
    {NULL, "member_id", ""},
    {NULL, "transactional_id", "txn"},
    {"produce_request", "transactional_id", NULL},
    {"init_producer_id_request", "transactional_id", NULL},
    {NULL, "state_filters", "Ongoing"},
    {NULL, "client_software_name", "test"},
    {NULL, "client_software_version", "1"},
    {NULL, "states_filter", "Stable"},
    {NULL, "types_filter", "classic"},
    {"metadata_request_topic", "name", "topic"},
    {NULL, "rack_id", ""},
    {NULL, "entity_type", "user"},
    {"quota_op", "key", "producer_byte_rate"},
    {"feature_update_key", "feature", "metadata.version"},
    {"describe_quorum_topic", "topic_name", "__cluster_metadata"},
};
struct smallest_number {
    const char *field;
    int64_t value;
};
static const struct smallest_number smallest_numbers[] = {
    {"acks", -1},
    {"timeout_ms", 1000},
    {"num_partitions", 1},
    {"replication_factor", 1},
    {"session_timeout_ms", 10000},
    {"rebalance_timeout_ms", 1000},
    {"count", 2},
    {"resource_type", 2},
    {"partition_max_bytes", 1 << 20},
    {"timestamp", -1},
    {"response_partition_limit", 10},
    {"resource_type_filter", 2},
    {"operation", 3},
    {"permission_type", 3},
    {"mechanism", 1},
    {"iterations", 4096},
    {"max_version_level", 30},
    {"resource_types", 2},
};

static inline void smallest_view(struct kview *v, const char *within, const char *field)
{
    const char *text = "topic";
    bool named = false;
    for (size_t i = 0; i < COUNT_OF(smallest_texts); i++) {
        const struct smallest_text *t = &smallest_texts[i];
        if ((t->within && strcmp(t->within, within) != 0) || strcmp(t->field, field) != 0)
            continue;
        text = t->text;
        named = true;
    }
    if (v->n >= 0 || named)
        *v = (struct kview){(const uint8_t *)text, text ? (int32_t)strlen(text) : -1};
}
static inline void smallest_records(struct krecords *r, const char *within, const char *field)
{
    (void)within, (void)field;
    *r = smallest_batch;
}
static inline void smallest_uuid(struct kuuid *id, const char *within, const char *field)
{
    bool by_name = strcmp(within, "metadata_request_topic") == 0 || strcmp(within, "delete_topic_state") == 0;
    if (!by_name && strcmp(field, "topic_id") == 0)
        *id = smallest_topic_id;
}
static inline void smallest_int(void *at, size_t bytes, const char *field)
{
    for (size_t i = 0; i < COUNT_OF(smallest_numbers); i++)
        if (strcmp(smallest_numbers[i].field, field) == 0)
            memcpy(at, &smallest_numbers[i].value, bytes); /* little-endian, like every machine that we run on */
}
static inline bool smallest_is_left_out(const char *array)
{
    return strcmp(array, "forgotten_topics_data") == 0 || strcmp(array, "assignments") == 0;
}
static inline void smallest_bool(bool *at, const char *within, const char *field)
{
    (void)at, (void)within, (void)field;
}
static inline void smallest_float(double *at, const char *within, const char *field)
{
    (void)within, (void)field;
    *at = 1;
}
#define SMALLEST_SET(at, within, field) \
    _Generic((at),                                   \
        struct kview *: smallest_view,               \
        struct krecords *: smallest_records,         \
        struct kuuid *: smallest_uuid,               \
        bool *: smallest_bool,                       \
        int8_t *: smallest_set_int8,                 \
        int16_t *: smallest_set_int16,               \
        int32_t *: smallest_set_int32,               \
        int64_t *: smallest_set_int64,               \
        uint16_t *: smallest_set_uint16,             \
        double *: smallest_float)(at, within, field)
#define SMALLEST_INT(t)                                                                       \
    static inline void smallest_set_##t(KTYPE_##t *at, const char *within, const char *field) \
    {                                                                                         \
        (void)within;                                                                         \
        smallest_int(at, sizeof *at, field);                                                  \
    }
SMALLEST_INT(int8)
SMALLEST_INT(int16)
SMALLEST_INT(int32)
SMALLEST_INT(int64)
SMALLEST_INT(uint16)

#define STRUCT(s)                                                \
    static inline void smallest_##s(struct s *m)                 \
    {                                                            \
        static const char within[] __attribute__((unused)) = #s; \
        s##_init(m);
#define FIELD(t, name, since, until, fit, dflt) SMALLEST_SET(&m->name, within, #name);
#define TEXT(t, name, since, until, null_since, fit, dflt) SMALLEST_SET(&m->name, within, #name);
#define LIST(t, name, since, until, null_since, fit, dflt) \
    static KTYPE_##t one_##name;                           \
    SMALLEST_SET(&one_##name, within, #name);              \
    m->name.v = &one_##name;                               \
    m->name.n = 1;
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    static struct e one_##name;                             \
    if (!smallest_is_left_out(#name)) {                     \
        smallest_##e(&one_##name);                          \
        m->name.v = &one_##name;                            \
        m->name.n = 1;                                      \
    }
#define END(s) }
#include "net/wire/schema/all.def"
