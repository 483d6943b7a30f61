/* time.c - TICK and STICK. See machine.h. */
#include <time.h>

#include "machine/machine.h"

u64 machine_host_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static s4v_machine *machine_of(const struct domain *d) { return (s4v_machine *)(uintptr_t)d; }

u64 machine_tick(struct strand *s, u64 insns) {
  s4v_machine *m = machine_of(s->env->machine);
  if (m->config.deterministic) return m->tick_base + ((m->tick_fraction + insns * m->unit) / TICK_UNIT);
  return m->tick_base + (u64)((u128)(machine_host_ns() - m->host_start_ns) * m->config.tick_hz / 1000000000u);
}

u64 machine_insns_until(struct strand *s, u64 ticks) {
  s4v_machine *m = machine_of(s->env->machine);
  enum { REAL_TIME_LOOK = 20000 };
  if (!m->config.deterministic) return REAL_TIME_LOOK;
  u64 now = (m->tick_fraction + strand_slice_done(s) * m->unit) % TICK_UNIT;
  if (ticks > (u64)1 << 40) ticks = (u64)1 << 40;
  return (ticks * TICK_UNIT - (ticks ? now : 0) + m->unit - 1) / m->unit;
}

void machine_advance(s4v_machine *m, u64 insns) {
  m->insns += insns;
  if (!m->config.deterministic) return;
  m->tick_fraction += insns * m->unit;
  __atomic_store_n(&m->tick_base, m->tick_base + m->tick_fraction / TICK_UNIT, __ATOMIC_RELAXED); /* s4v_tick() */
  m->tick_fraction %= TICK_UNIT;
}

void machine_settle_time(s4v_machine *m) {
  if (m->config.deterministic) return;
  u64 now = machine_host_ns();
  m->tick_base += (u64)((u128)(now - m->host_start_ns) * m->config.tick_hz / 1000000000u);
  m->host_start_ns = now;
}

u64 machine_elapsed_seconds(struct domain *d) {
  s4v_machine *m = machine_of(d);
  struct strand *s = d->strands[m->turn];
  return machine_tick(s, m->config.deterministic ? strand_slice_done(s) : 0) / m->config.tick_hz;
}

u64 machine_ticks_ns(const s4v_machine *m, u64 ticks) {
  u128 ns = ((u128)ticks * 1000000000u + m->config.tick_hz - 1) / m->config.tick_hz;
  return ns > (u64)1 << 62 ? (u64)1 << 62 : (u64)ns;
}
