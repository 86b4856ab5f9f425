/* The thread of prefault.h. It writes instead of asking for the pages by madvise(2), because a page fault of a kernel from 6.4 on does not take the lock of the
 * whole address space, for which a shard's mmap would wait; and pieces that it has are nobody else's, so that it may write. */
#include "core/limits.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/prefault.h"
#include "core/threads.h"
#include <stdatomic.h>

enum { STEP_BYTES = 64 * 1024 }; /* so long a close waits; 2 MiB where the kernel gives huge pages */
enum piece_state { PIECE_OWNERS, PIECE_ASKED, PIECE_UNDER_WAY, PIECE_READY };

struct prefault {
    struct thread *thread;
    struct thread_gate *gate; /* of the thread and its start */
    _Atomic bool stop;
    bool started;
    uint32_t count;
    size_t bytes;
    void *at[PREFAULT_PIECES_MAX];
    _Atomic uint8_t states[PREFAULT_PIECES_MAX];
};

static bool change_piece(struct prefault *p, uint32_t piece, uint8_t from, uint8_t to)
{
    assert(piece < p->count);
    return atomic_compare_exchange_strong_explicit(&p->states[piece], &from, to, memory_order_acq_rel,
                                                   memory_order_acquire);
}

static void touch_piece(struct prefault *p, uint32_t piece)
{
    assert(p->bytes % PAGE_BYTES == 0);
    if (!change_piece(p, piece, PIECE_ASKED, PIECE_UNDER_WAY))
        return;
    for (size_t done = 0; done < p->bytes && !atomic_load(&p->stop); done += STEP_BYTES)
        prefault_pages((uint8_t *)p->at[piece] + done, u64_min(STEP_BYTES, p->bytes - done));
    bool changed = change_piece(p, piece, PIECE_UNDER_WAY, PIECE_READY);
    assert(changed);
}

static void run_prefault(void *arg)
{
    struct prefault *p = arg;
    thread_yields();
    thread_gate_wait(p->gate);
    for (uint32_t i = 0; i < p->count && !atomic_load(&p->stop); i++)
        touch_piece(p, i);
}

struct prefault *prefault_open(void)
{
    struct prefault *p = region_open(sizeof *p);
    enum err err = p ? thread_gate_open(2, &p->gate) : ERR_NO_MEMORY;
    if (!err)
        err = thread_start("prefault", -1, run_prefault, p, &p->thread);
    if (!err)
        return p;
    log_warn("memory is not made ready", "because %s effect=\"the first requests take longer\"", err_text(err));
    if (p && p->gate)
        thread_gate_close(p->gate);
    if (p)
        region_close(p, sizeof *p);
    return NULL;
}

void prefault_start(struct prefault *p, void *const *pieces, uint32_t count, size_t bytes)
{
    assert(!p->started);
    assert(count <= PREFAULT_PIECES_MAX);
    p->count = count;
    p->bytes = bytes;
    for (uint32_t i = 0; i < count; i++) {
        p->at[i] = pieces[i];
        atomic_store(&p->states[i], PIECE_ASKED);
    }
    p->started = true;
    thread_gate_leave(p->gate); /* opens it for the thread, and waits for nobody */
}

bool prefault_ready(const struct prefault *p, uint32_t piece)
{
    assert(piece < p->count);
    return atomic_load_explicit(&p->states[piece], memory_order_acquire) == PIECE_READY;
}

bool prefault_revoke(struct prefault *p, uint32_t piece)
{
    assert(p->started);
    return change_piece(p, piece, PIECE_ASKED, PIECE_OWNERS);
}

void prefault_close(struct prefault *p)
{
    assert(p);
    atomic_store(&p->stop, true);
    if (!p->started)
        thread_gate_leave(p->gate);
    thread_join(p->thread);
    thread_gate_close(p->gate);
    region_close(p, sizeof *p);
}
