/* barrier.c - what a harvester in another process needs of a machine that runs: a barrier, and a limit to dirty pages.
 *
 *   harvester            machine
 *   marks: exchange 0
 *   s4v_barrier() ────►  pinned ranges marked again; all write permissions asked back; each running strand gives its own
 *                        back at its next look, a resting one before it runs; membarrier(2) for all other writers
 *   ◄──────────────────  now pages may be read
 *
 * docs/internals/memory.md has the proof, threads.md what strands owe.
 */
#include <time.h>

#include "machine/machine.h"
#include "strand/share.h"

enum { SPINS = 64, FIRST_NAP_NS = 20000, LONGEST_NAP_NS = 500000 };
#define NS_PER_SECOND 1000000000ull

/* The list of present strands is the client's thread's; a strand that was there once stays in `known`. */
static struct strand *known(const s4v_machine *m, u32 id) { return __atomic_load_n(&m->known[id], __ATOMIC_ACQUIRE); }

static void ask(s4v_machine *m) {
  for (u32 id = 0; id < m->domain.max_strands; id++) {
    struct strand *s = known(m, id);
    if (s && !strand_rests(s)) strand_notice(s);
  }
}

static bool given(const s4v_machine *m, u64 epoch) {
  for (u32 id = 0; id < m->domain.max_strands; id++) {
    const struct strand *s = known(m, id);
    if (s && !strand_rests(s) && __atomic_load_n(&s->writes_given, __ATOMIC_ACQUIRE) < epoch) return false;
  }
  return true;
}

static void nap(u64 turn) {
  u64 ns = (u64)FIRST_NAP_NS << (turn < 8 ? turn : 8);
  struct timespec pause = {0, (long)(ns < LONGEST_NAP_NS ? ns : LONGEST_NAP_NS)};
  nanosleep(&pause, NULL);
}

int s4v_barrier(s4v_machine *m, uint64_t timeout_ns) {
  u64 from = machine_host_ns();
  physmem_barrier(m->physmem);
  u64 epoch = __atomic_add_fetch(&m->domain.env.write_epoch, 1, __ATOMIC_SEQ_CST);
  ask(m);
  for (u64 turn = 0; !given(m, epoch); turn++) {
    if (turn < SPINS) continue;
    if (machine_host_ns() - from > timeout_ns) return S4V_EBUSY;
    nap(turn - SPINS);
  }
  return S4V_OK;
}

void s4v_dirty_limit(s4v_machine *m, uint64_t pages_per_second) {
  u64 cost = pages_per_second ? NS_PER_SECOND / pages_per_second : 0;
  if (pages_per_second && !cost) cost = 1;
  if (m->config.deterministic) return;
  __atomic_store_n(&m->domain.env.dirty_paid_ns, machine_host_ns(), __ATOMIC_RELAXED);
  __atomic_store_n(&m->domain.env.dirty_cost_ns, cost, __ATOMIC_RELAXED);
}

void s4v_memory_scrub(s4v_machine *m) {
  ra_t ra;
  pa_t pa;
  u64 bytes;
  machine_drop_code(m);
  for (size_t i = 0; ram_piece(m->domain.env.ram, i, &ra, &bytes, &pa) == 0; i++) ram_zero(m->domain.env.ram, ra, bytes);
}
