/* See answering.h. */
#include "net/api/answering.h"
#include "net/api/reply.h"

/* False: there are no more rows, or no memory. */
static bool begin_answering_row(struct answering *run)
{
    run->row++;
    run->item = 0;
    run->items = run->row < run->rows ? run->kind->begin(run) : 0;
    return run->row < run->rows && run->items >= 0;
}

static bool answering_step(struct steps *s)
{
    struct answering *run = container_of(s, struct answering, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        if (run->item < run->items) {
            run->kind->answer(run);
            run->item++;
            continue;
        }
        if (begin_answering_row(run))
            continue;
        if (run->items < 0)
            request_fail(run->req, no_memory);
        else
            run->kind->reply(run);
        return false;
    }
    return true;
}

void answering_begin(struct answering *run, struct request *req, const struct answering_kind *kind, int32_t rows)
{
    assert(rows >= 0);
    run->req = req;
    run->kind = kind;
    run->rows = rows;
    run->row = -1;
    run->items = run->item = 0;
    steps_start(&req->server->steps, &run->steps, answering_step);
}
