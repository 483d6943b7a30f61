/* run.c - whose turn it is: strands of one domain on one host thread.
 *
 * Nothing here depends on how a run is cut into calls: the turn and what is left of it are state.
 */
#include <time.h>

#include "machine/machine.h"

enum { LONG_STRETCH = 1 << 22, REAL_TIME_STRETCH = 1 << 17, IDLE_NAP_NS = 1000000 };

static bool is_active(const struct strand *s) { return s->run_state == STRAND_RUNNING && !s->waiting; }

static u32 active_count(const s4v_machine *m) {
  u32 n = 0;
  for (u32 i = 0; i < m->domain.strand_count; i++) n += is_active(m->domain.strands[i]);
  return n;
}

/* Strands in CPU_YIELD whose timer has come or whose queues are not empty go on. */
static void wake_waiting(s4v_machine *m) {
  for (u32 i = 0; i < m->domain.strand_count; i++) {
    struct strand *s = m->domain.strands[i];
    if (s->run_state != STRAND_RUNNING || !s->waiting) continue;
    strand_check_timers(s);
    if (!strand_wakeable(s)) continue;
    s->waiting = 0;
    s->poked = 0;
  }
}

/* TICKs until the first timer of a waiting strand or the watchdog; ~0: none. */
static u64 next_timer(s4v_machine *m) {
  u64 best = ~(u64)0;
  for (u32 i = 0; i < m->domain.strand_count; i++) {
    struct strand *s = m->domain.strands[i];
    if (s->run_state != STRAND_RUNNING || !s->waiting) continue;
    u64 left = strand_timer_insns(s, machine_tick(s, 0));
    if (left < best) best = left;
  }
  u64 at = m->domain.services.watchdog_tick;
  if (at) {
    u64 now = machine_tick(m->domain.strands[0], 0);
    if (at <= now) return 0;
    if (at - now < best) best = at - now;
  }
  return best;
}

/* The watchdog of the domain bites once; what follows is the client's policy. */
static bool watchdog_expired(s4v_machine *m, s4v_stop *stop) {
  u64 at = m->domain.services.watchdog_tick;
  if (!at || machine_tick(m->domain.strands[0], 0) < at) return false;
  m->domain.services.watchdog_tick = 0;
  stop->reason = S4V_STOP_EXPIRED;
  return true;
}

static bool suspended(const s4v_machine *m, s4v_stop *stop) {
  if (!m->domain.services.suspended) return false;
  stop->reason = S4V_STOP_SUSPEND;
  stop->strand = (u32)m->domain.services.suspend_strand;
  return true;
}

void machine_new_turn(s4v_machine *m) {
  u32 n = active_count(m);
  m->unit = TICK_UNIT / (n ? n : 1);
  if (m->unit == 0) m->unit = 1;
  m->turn_left = m->config.quantum;
}

static void next_turn(s4v_machine *m) {
  for (u32 i = 1; i <= m->domain.strand_count; i++) {
    u32 n = (m->turn + i) % m->domain.strand_count;
    if (!is_active(m->domain.strands[n])) continue;
    m->turn = n;
    break;
  }
  machine_new_turn(m);
}

/* Nobody can run. True: time has moved on towards the next timer. */
static bool idle(s4v_machine *m) {
  u64 ticks = next_timer(m);
  if (ticks == ~(u64)0) return false;
  if (m->config.deterministic) {
    m->tick_base += ticks;
    if (ticks) m->tick_fraction = 0;
    wake_waiting(m);
    return true;
  }
  struct timespec nap = {0, IDLE_NAP_NS};
  nanosleep(&nap, NULL);
  return true; /* the caller looks for a kick and wakes whose time has come */
}

static bool fill_stop(s4v_machine *m, struct strand *s, u32 why, s4v_stop *stop) {
  static const i32 reason[] = {[STOP_EXIT] = S4V_STOP_EXIT, [STOP_WATCHDOG] = S4V_STOP_WATCHDOG,
                               [STOP_CONSOLE] = S4V_STOP_CONSOLE, [STOP_BREAKPOINT] = S4V_STOP_BREAKPOINT,
                               [STOP_RESET] = S4V_STOP_RESET, [STOP_SUSPEND] = S4V_STOP_SUSPEND,
                               [STOP_CHANNEL] = S4V_STOP_CHANNEL, [STOP_FIRMWARE] = S4V_STOP_FIRMWARE};
  if (why == STOP_NONE || why == STOP_YIELD || why == STOP_EVENT) return false;
  stop->reason = reason[why];
  stop->strand = s->id;
  stop->tt = s->stop_tt;
  stop->code = why == STOP_CHANNEL ? s->stop_code : m->domain.exit_code;
  stop->address = s->pc;
  if (why == STOP_WATCHDOG) s->run_state = STRAND_ERROR;
  if (why == STOP_EXIT)
    for (u32 i = 0; i < m->domain.strand_count; i++) m->domain.strands[i]->run_state = STRAND_STOPPED;
  return true;
}

/* How far the strand may go without a look at the others. */
static u64 stretch(s4v_machine *m, struct strand *s, u64 left) {
  u64 n = active_count(m) > 1 ? m->turn_left : LONG_STRETCH;
  if (!m->config.deterministic && n > REAL_TIME_STRETCH) n = REAL_TIME_STRETCH;
  u64 ticks = next_timer(m);
  if (ticks != ~(u64)0) {
    u64 insns = machine_insns_until(s, ticks);
    if (insns < n) n = insns ? insns : 1;
  }
  return n < left ? n : left;
}

/* One strand for one stretch. True: the run ends. */
static bool run_once(s4v_machine *m, struct strand *s, u64 left, s4v_stop *stop) {
  u64 n = stretch(m, s, left), before = s->insns;
  bool alone = active_count(m) == 1;
  u32 why = strand_run(s, n);
  u64 done = s->insns - before;
  machine_advance(m, done);
  stop->insns += done;
  if (!alone) m->turn_left -= done < m->turn_left ? done : m->turn_left;
  if (why == STOP_YIELD || why == STOP_EVENT || s->run_state != STRAND_RUNNING) m->turn_left = 0;
  return fill_stop(m, s, why, stop);
}

static void stop_init(s4v_stop *stop) { *stop = (s4v_stop){.reason = S4V_STOP_BUDGET}; }

/* What ends a run between two stretches; then whoever's time has come goes on. */
static bool run_ends(s4v_machine *m, s4v_stop *stop) {
  if (__atomic_exchange_n(&m->kicked, 0, __ATOMIC_ACQ_REL)) {
    stop->reason = S4V_STOP_KICK;
    return true;
  }
  if (suspended(m, stop) || watchdog_expired(m, stop)) return true;
  wake_waiting(m);
  return false;
}

static void run_turns(s4v_machine *m, u64 budget, s4v_stop *stop) {
  while (stop->insns < budget) {
    if (run_ends(m, stop)) return;
    struct strand *s = m->domain.strands[m->turn];
    if (active_count(m) == 0) {
      if (idle(m)) continue;
      stop->reason = S4V_STOP_IDLE;
      return;
    }
    if (!is_active(s) || m->turn_left == 0) {
      next_turn(m);
      s = m->domain.strands[m->turn];
    }
    if (run_once(m, s, budget - stop->insns, stop)) return;
  }
}

static void run_alone(s4v_machine *m, struct strand *s, u64 budget, s4v_stop *stop) {
  while (stop->insns < budget) {
    if (run_ends(m, stop)) return;
    if (!is_active(s)) {
      stop->reason = S4V_STOP_IDLE;
      return;
    }
    m->turn_left = budget - stop->insns;
    if (run_once(m, s, m->turn_left, stop)) return;
  }
}

int s4v_run(s4v_machine *m, uint64_t budget, s4v_stop *stop) {
  stop_init(stop);
  run_turns(m, budget, stop);
  machine_settle_time(m);
  return S4V_OK;
}

int s4v_strand_run(s4v_machine *m, uint32_t strand, uint64_t budget, s4v_stop *stop) {
  stop_init(stop);
  if (strand >= m->domain.strand_count) return S4V_ENOENT;
  m->turn = strand;
  machine_new_turn(m);
  run_alone(m, m->domain.strands[strand], budget, stop);
  machine_new_turn(m); /* what is left of the budget is no state */
  machine_settle_time(m);
  return S4V_OK;
}

void s4v_kick(s4v_machine *m) { __atomic_store_n(&m->kicked, 1, __ATOMIC_RELEASE); }
