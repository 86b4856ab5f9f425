/* A partition's folder as such: whose it is, and its end. Kafka's partition.metadata names the topic id; it is written before
 * the first segment and removed last, so that leftovers of a deletion are known by it. */
#pragma once
#include "core/fs.h"

/* What a folder's name gets that stood in the way: <topic>-<n>.<number>-stray. Nothing is deleted here: the next start removes it if
 * the catalog names its topic as deleted. */
#define PARTITION_DIR_STRAY "-stray"
/* Makes the folder (its parent is not synced) with partition.metadata in it. One of another topic, or with segments of nobody, is
 * moved out of the way first. */
enum err partition_dir_make(const char *dir, const uint8_t topic_id[16]) must_use;
/* False: no partition.metadata, no id in it, or it cannot be read. */
bool partition_dir_topic(const char *dir, uint8_t out_topic_id[16]) must_use;
/* ERR_NOT_FOUND: no partition.metadata, or no id in it. */
enum err partition_dir_owner(const char *dir, uint8_t out_topic_id[16]) must_use;
/* Removes all files, then the folder. Not being there is fine. One of another topic, or with segments of nobody, is left alone (ERR_NONE,
 * and the log says so). NULL: whosoever it is. */
enum err partition_dir_delete(const char *dir, const uint8_t *topic_id) must_use;
/* Writes partition.metadata. */
enum err partition_dir_name(const char *dir, const uint8_t topic_id[16]) must_use;
