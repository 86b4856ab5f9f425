/* The inside of a coordinator's log, for the files that make it up; nobody else includes this.
 *
 *   coord_log.c        life, entries                coord_write.c   writes: turns, batches, what became of them
 *   coord_load.c       reading the log              coord_sweep.c   sweeps
 *   coord_marker.c     the ends of transactions
 *
 * Of everything that is asked for later there is one list, and close() waits until all are empty:
 *
 *   held      (an entry's)   waits for its turn                 steps    a write that is alone and goes on at the pace
 *   over      its `done` runs at the end of the turn        markers_...  markers */
#pragma once
#include "net/coord/coord_log.h"
#include "net/limits.h"

/* coord_log.c */
void coord_log_later(struct coord_log *l); /* the end of this turn has work */
void coord_log_fail(struct coord_log *l, const char *why);
void coord_entry_free(struct coord_entry *e);
/* coord_load.c */
enum err coord_load_begin(struct coord_log *l) must_use;
void coord_load_step(struct coord_log *l);  /* at the pace */
bool coord_load_close(struct coord_log *l); /* false: a read is under way, which calls coord_log_later */
/* coord_write.c */
uint32_t coord_write_step(struct coord_log *l,
                          struct coord_write *w); /* the next batch, or the end; the units it took */
void coord_write_run_over(struct coord_log *l);
void coord_write_refuse_held(struct coord_entry *e, enum kerr error);
/* coord_marker.c */
uint32_t coord_marker_step(struct coord_log *l, uint32_t units); /* at the pace; what is left of them */
void coord_marker_run_over(struct coord_log *l);
void coord_marker_close(struct coord_log *l); /* what is being applied is not gone on with */
bool coord_marker_writing(const struct coord_log *l, int64_t producer_id);
/* coord_sweep.c */
void coord_sweep_want(struct coord_log *l);                 /* begins what is due, and stands in line for the pace */
void coord_sweep_step(struct coord_log *l, uint32_t units); /* at the pace */
void coord_sweep_wrote(struct coord_log *l, bool gone, enum kerr error);
void coord_sweep_close(struct coord_log *l);
