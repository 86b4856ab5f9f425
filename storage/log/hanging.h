/* Transactions that hang: nobody has written in them for longer than any producer may ask for (transaction.max.timeout.ms), and Kafka's
 * five minutes more; their coordinator would have aborted them long ago, so it does not know of them. Readers of committed records stop
 * where they begin, for ever. `kafka-transactions.sh find-hanging` and `abort` find and end them; here they get a line in the log.
 *
 * The sweep of retention looks at each partition (only the oldest transaction of it counts: nothing is read behind that one). */
#pragma once
#include "storage/catalog/catalog.h"
#include "storage/log/partition.h"

struct hanging {
    uint32_t partitions;         /* with one, in this sweep */
    struct producer_facts facts; /* of the one that was left alone for longest, and where that is: */
    char topic[TOPIC_NAME_MAX + 1];
    int32_t index;
    uint64_t told_ns; /* 0: never */
    int64_t limit_ms; /* of the last look; 0: none yet */
    uint64_t away_ns; /* 0: not known yet */
    uint64_t quiet_until_ns;
};
void hanging_look(struct hanging *h, const struct partition *p, int64_t now_ms);
/* The sweep is over: a line, once a minute at most. Forgets what it saw. `away_ns`: for so long the machine slept or the shard stood still, ever;
 * who was away for minutes has not aborted what is overdue by the wall clock, so each transaction first gets its longest time again. */
void hanging_tell(struct hanging *h, uint64_t now_ns, int64_t now_ms, uint64_t away_ns);
