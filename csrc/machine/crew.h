/* crew.h - host threads for strands: one each, made when its strand first has work, kept until the machine goes.
 *
 *   s4v_run:  open ──▶ workers run their strands ──▶ something ends the run ──▶ all at rest ──▶ closed, return
 *
 * A worker whose strand waits, is stopped or has no budget left sleeps, also between runs: an idle strand costs nothing.
 * docs/internals/threads.md.
 */
#ifndef S4V_MACHINE_CREW_H
#define S4V_MACHINE_CREW_H
#include <pthread.h>

#include "util/types.h"

struct strand;
struct s4v_machine;

struct worker {
  struct s4v_machine *machine;
  struct strand *strand;
  pthread_t thread;
  pthread_cond_t wake;
  bool exists;
  bool quit;        /* its strand leaves the domain */
  bool on_cpu;      /* inside strand_run_beside() */
  bool starved;     /* sleeps for want of budget */
  u32 holds;        /* others that want the strand at rest (CPU_STOP) */
  u32 why;          /* enum strand_stop that the client may hear of, STOP_NONE: none */
  u64 deadline_ns;  /* sleeps until its strand's timer; 0: no timer */
};

/* All of it under the domain's lock but `bell`. */
struct crew {
  struct worker **workers; /* by the strand's id; NULL: strands take turns */
  pthread_cond_t parked;  /* a strand has come to rest, or is wanted there */
  bool open;              /* a run is on */
  bool quit;
  bool refused;           /* the host gives no thread: from now on strands take turns */
  u32 running, starved, timed;
  u64 pot, out;           /* budget nobody has, budget workers have taken */
  u32 bell;               /* rung for the thread inside s4v_run(); a futex */
};

bool crew_new(struct s4v_machine *);
void crew_free(struct s4v_machine *);
bool crew_add(struct s4v_machine *, struct strand *);    /* false: no host memory */
void crew_remove(struct s4v_machine *, struct strand *); /* its thread ends */
void bell_ring(u32 *bell);                         /* from any thread and from signal handlers */
void bell_wait(u32 *bell, u32 seen, u64 ns);       /* until it has been rung since `seen`, or so long; ~0: no limit */

#endif
