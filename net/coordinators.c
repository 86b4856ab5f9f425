#include "net/coordinators.h"
#include "net/group/coordinator.h"
#include "net/txn/txn_coordinator.h"

enum err coordinators_start(struct server *sv)
{
    enum err err = coordinator_start(sv);
    return err ? err : txn_shard_start(sv);
}

void coordinators_close(struct server *sv)
{
    txn_shard_close(sv);
    coordinator_close(sv);
}
