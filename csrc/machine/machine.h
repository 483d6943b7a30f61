/* machine.h - one domain's strands, memory and time, behind the public interface. */
#ifndef S4V_MACHINE_MACHINE_H
#define S4V_MACHINE_MACHINE_H
#include "hyp/hyp.h"
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

/* run.c */
void machine_new_turn(s4v_machine *);

#endif
