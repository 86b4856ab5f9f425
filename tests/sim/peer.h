/* A client that has met the broker: ApiVersions, then Metadata of all topics of this world, again after each reconnection.
 * Also the list of those topics, which one peer (the admin) creates. */
#pragma once
#include "tests/sim/client.h"
#include "tests/sim/oracle.h"

enum { TOPICS_MAX = 4, PARTITIONS_MAX = 4 };

struct peer {
    struct client client;
    void (*ready)(struct peer *p);
    void (*lost)(struct peer *p);
    bool is_ready, quits;
    int32_t epoch_at_least;
    bool topic_known[TOPICS_MAX];               /* when the metadata request was sent */
    uint32_t round;                             /* counts connections */
    uint16_t ports[TOPICS_MAX][PARTITIONS_MAX]; /* of the leaders, as it was told last */
};

/* A topic that one shard shows and another does not know yet: it waits for the memory. Only in poor worlds does that take long. */
bool topics_may_lag(int16_t error);
/* Was this partition recovered when a request about it was sent, by a broker that lacks nothing? Then nobody is told to wait for that,
 * unless the broker is being ended. */
bool topics_recovered(const struct client *c, const struct oracle_part *part);
bool topics_may_wait(const struct client *c, bool recovered, int16_t error);
void topics_begin(void); /* draws them */
uint32_t topics_count(void);
struct oracle_topic *topics_at(uint32_t i);
struct oracle_topic *topics_find(struct kview name, const uint8_t id[16], bool by_id);

void peer_init(struct peer *p, const char *name, void (*ready)(struct peer *), void (*lost)(struct peer *));
void peer_start(struct peer *p);
void peer_quit(struct peer *p);

/* Creates the topics, again and again until each was acknowledged or existed. */
void admin_begin(void);
bool admin_done(void);
