/* Whom a quota is for, as the name of an entity (storage/catalog/entities.h): a user, a client, both, or an address, each by its name or as
 * the default of its kind.
 *
 *   user=alice,client-id       quotas of all clients of the user alice that have none of their own
 *   ip=10.0.0.1                what is none of a name's plain letters is written %xx
 *
 * Parts stand in the order of enum quota_part, so that one has one name. */
#pragma once
#include "net/api/api.h"

enum quota_part { QUOTA_USER, QUOTA_CLIENT, QUOTA_IP, QUOTA_PARTS };
extern const char *const quota_part_names[QUOTA_PARTS]; /* Kafka's: user, client-id, ip */

struct quota_name {
    bool has[QUOTA_PARTS];
    struct kview names[QUOTA_PARTS]; /* of those that it has; null: the default */
};
static const struct quota_name quota_of_nobody = {.names = {{NULL, -1}, {NULL, -1}, {NULL, -1}}};
/* -1: no part is called so. */
int quota_part_find(struct kview type);
/* In the request's memory; NULL: none left. */
char *quota_name_write(struct request *req, const struct quota_name *n) must_use;
/* Names are the request's. False: no memory, or none that was written by quota_name_write. */
bool quota_name_read(struct request *req, const char *text, struct quota_name *out) must_use;
