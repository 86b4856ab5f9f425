/* The part of a seed's world that has transactions: topics, transactional producers of both generations, chains (consume,
 * transform, produce) with their groups, readers of both isolation levels, a writer without transactions. txn_truth.h says what must be true. */
#pragma once
#include "tests/sim/world.h"

void transactions_begin(void); /* in some worlds there are none */
void transactions_finish(void);
bool transactions_done(void);
void transactions_quit(void);
void transactions_tell(char *out, size_t bytes);

/* Reads everything once more, at both isolation levels, and asks for all offsets. */
void transactions_judge_begin(void);
bool transactions_judged(void);
void transactions_judge(void); /* and says what it makes of that */
