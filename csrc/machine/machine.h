/* machine.h - one domain's strands, memory and time, behind the public interface. */
#ifndef S4V_MACHINE_MACHINE_H
#define S4V_MACHINE_MACHINE_H
#include "hyp/hyp.h"
#include "machine/crew.h"
#include "sun4v.h"

enum { TRACE_BYTES = 1 << 16, MAX_BREAKPOINTS = 256, TICK_UNIT = 1 << 16, TRACE_LINE = 160 };

struct s4v_machine {
  struct domain domain; /* first: strand_env.machine points here */
  s4v_config config;
  struct physmem *physmem;
  /* Time. Deterministic: an instruction of the strand whose turn it is advances TICK by `unit` / TICK_UNIT, where
   * unit = TICK_UNIT / strands at work, so that strands taking turns share one clock. Else the host's clock. */
  u64 tick_base, tick_fraction, unit;
  u64 host_start_ns;
  u32 turn;      /* strand whose turn it is */
  u64 turn_left; /* instructions left of it */
  u64 insns;     /* completed by all strands */
  u32 kicked;
  u64 deadline_ns;           /* of the run: host time, 0: none */
  u64 deadline_tick;         /* of the run, deterministic: 0: none */
  struct crew crew;          /* real time with several strands */
  struct codecache **caches; /* one a strand with a crew, else one for all */
  u32 cache_count;
  u64 breakpoints[MAX_BREAKPOINTS];
  u32 trace_start, trace_count;
  u8 trace[TRACE_BYTES];
};

/* time.c */
u64 machine_tick(struct strand *, u64 insns_in_slice);
u64 machine_insns_until(struct strand *, u64 ticks);
void machine_advance(s4v_machine *, u64 insns);
void machine_settle_time(s4v_machine *); /* at the end of a run: what the clock says becomes state */
u64 machine_elapsed_seconds(struct domain *);
u64 machine_host_ns(void);
u64 machine_ticks_ns(const s4v_machine *, u64 ticks); /* host time until TICK has advanced so far, rounded up */

/* run.c */
void machine_new_turn(s4v_machine *);
bool machine_run_ends(s4v_machine *, s4v_stop *); /* kick, suspend, watchdog, time */
void machine_fill_stop(s4v_machine *, struct strand *, u32 why, s4v_stop *);

/* crew.c: a run with every strand on a thread of its own. Comes back early, with S4V_STOP_BUDGET, where the host gives
 * no thread (crew.refused). */
void crew_run(s4v_machine *, u64 budget, s4v_stop *);

#endif
