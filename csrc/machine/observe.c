/* observe.c - what strands do, as events for who looks from outside: traps, hypercalls, stretches of instructions.
 *
 * Strands of a crew enter beside each other: a place is taken by adding to `used`, and is nobody else's then. The client
 * reads between runs.
 */
#include <stdlib.h>

#include "machine/machine.h"

enum { MOST_EVENTS = 1 << 22 };

struct observation {
  u64 used, size;
  s4v_event events[];
};

static s4v_event *place(struct observation *o) {
  u64 at = __atomic_fetch_add(&o->used, 1, __ATOMIC_RELAXED);
  return at < o->size ? &o->events[at] : NULL;
}

static void observe(struct strand *s, u32 kind, u32 number, u64 value) {
  s4v_machine *m = s->env->machine;
  s4v_event *e = place(m->observation);
  if (!e) return;
  *e = (s4v_event){.tick = machine_tick(s, strand_slice_done(s)), .value = value, .strand = s->id, .kind = (u16)kind,
                   .number = (u16)number};
}

void machine_observe_run(s4v_machine *m, struct strand *s, u64 since, u64 insns) {
  s4v_event *e = place(m->observation);
  if (!e) return;
  *e = (s4v_event){.tick = machine_tick(s, 0), .value = insns, .since = since, .strand = s->id, .kind = S4V_EVENT_RUN};
}

void machine_observe_end(s4v_machine *m) {
  m->domain.env.observe = NULL;
  free(m->observation);
  m->observation = NULL;
}

int s4v_observe(s4v_machine *m, uint32_t entries) {
  if (entries > MOST_EVENTS) return S4V_EINVAL;
  machine_observe_end(m);
  if (!entries) return S4V_OK;
  m->observation = calloc(1, sizeof *m->observation + entries * sizeof(s4v_event));
  if (!m->observation) return S4V_ENOMEM;
  m->observation->size = entries;
  m->domain.env.observe = observe;
  return S4V_OK;
}

uint32_t s4v_observe_read(s4v_machine *m, s4v_event *out, uint32_t max, uint64_t *lost) {
  struct observation *o = m->observation;
  *lost = 0;
  if (!o) return 0;
  u64 there = o->used < o->size ? o->used : o->size;
  u32 n = there < max ? (u32)there : max;
  __builtin_memcpy(out, o->events, n * sizeof *out);
  *lost = o->used - n;
  o->used = 0;
  return n;
}

const char *s4v_hcall_name(uint32_t trap, uint64_t function) { return hyp_call_name(trap, function); }

int s4v_strand_count(const s4v_machine *m, uint32_t strand, s4v_strand_counts *out) {
  const struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  *out = (s4v_strand_counts){.insns = __atomic_load_n(&s->insns, __ATOMIC_RELAXED),
                             .traps = __atomic_load_n(&s->traps, __ATOMIC_RELAXED),
                             .misses = __atomic_load_n(&s->misses, __ATOMIC_RELAXED),
                             .calls = __atomic_load_n(&s->calls, __ATOMIC_RELAXED)};
  return S4V_OK;
}
