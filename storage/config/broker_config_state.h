/* What broker_config.c (the start) and broker_dynamic.c (changes while the broker runs) share; nobody else includes this. */
#pragma once
#include "storage/config/broker_config.h"

struct config_entry *config_entry_find(struct config_entry *list, const char *name);
/* Takes the place of an earlier one with that name, else goes to the end. Texts are copied. */
enum err config_entry_put(struct config_entry **list, struct heap *heap, const char *name, const char *value,
                          const char *where) must_use;
void config_entries_free(struct config_entry **list, struct heap *heap);
/* Names that Kafka composes: of one listener, and of plugins. */
bool broker_key_composed(const char *name);
/* "did you mean": why[512] is the sentence. */
void broker_key_say_unknown(const char *name, const char *where, char *why);
/* Is this value possible for this key (NULL: a composed name), whatever the others are? */
bool broker_value_good(const struct broker_key *key, const char *name, const char *value, const char *where, char *why);
/* Works the fields out again, but for those that are fixed at the start. */
void broker_config_resolve(struct broker_config *c);
