/* run.c - whose turn it is: strands of one domain on one host thread; with a crew (crew.c) it is everybody's.
 *
 * Nothing here depends on how a run is cut into calls: the turn and what is left of it are state.
 */
#include "machine/machine.h"
#include "strand/share.h"
#include "vio/vnet.h"

#define NS_PER_SECOND 1000000000ull
enum { LONG_STRETCH = 1 << 22, REAL_TIME_STRETCH = 1 << 17, NEWS_STRETCH = 1 << 14 };

static bool is_active(const struct strand *s) { return s->run_state == STRAND_RUNNING && !s->waiting && !s->held; }

static u32 active_count(const s4v_machine *m) {
  u32 n = 0;
  for (u32 i = 0; i < m->domain.strand_count; i++) n += is_active(m->domain.strands[i]);
  return n;
}

/* Strands in CPU_YIELD whose timer has come or whose queues are not empty go on. */
static void wake_waiting(s4v_machine *m) {
  for (u32 i = 0; i < m->domain.strand_count; i++) {
    struct strand *s = m->domain.strands[i];
    if (s->run_state != STRAND_RUNNING || !s->waiting || s->held) continue;
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
    if (s->run_state != STRAND_RUNNING || !s->waiting || s->held) continue;
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

static bool out_of_time(const s4v_machine *m, s4v_stop *stop) {
  bool up = m->deadline_ns ? machine_host_ns() >= m->deadline_ns : m->deadline_tick && m->tick_base >= m->deadline_tick;
  if (!up) return false;
  stop->reason = S4V_STOP_TIME;
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

bool machine_expects_news(const s4v_machine *m) {
  return m->domain.channels.first_wired || (m->vio && vio_nets_lent(m->vio));
}
bool machine_has_news(const s4v_machine *m) { return __atomic_load_n(&m->domain.news, __ATOMIC_SEQ_CST) != 0; }

/* Real time: so long, to the end of the run's time, or to a kick. */
static void nap(s4v_machine *m, u64 ns) {
  u32 seen = __atomic_load_n(&m->crew.bell, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&m->kicked, __ATOMIC_SEQ_CST) || __atomic_load_n(&m->disk_news, __ATOMIC_SEQ_CST)) return;
  if (machine_has_news(m)) return;
  u64 now = machine_host_ns();
  if (m->deadline_ns && now + ns > m->deadline_ns) ns = m->deadline_ns > now ? m->deadline_ns - now : 0;
  if (ns) bell_wait(&m->crew.bell, seen, ns);
}

/* TICKs until the end of the run's time; ~0: it has none. Not for a run that is over. */
static u64 ticks_left(const s4v_machine *m) { return m->deadline_tick ? m->deadline_tick - m->tick_base : ~(u64)0; }

/* Nobody can run. True: time has moved on towards the next timer. */
static bool idle(s4v_machine *m) {
  u64 ticks = next_timer(m), left = ticks_left(m);
  if (ticks > left) ticks = left;
  bool called = machine_disks_busy(m) || (machine_expects_news(m) && !m->config.deterministic);
  if (ticks == ~(u64)0 && !called) return false;
  if (m->config.deterministic) {
    m->tick_base += ticks;
    if (ticks) m->tick_fraction = 0;
    wake_waiting(m);
    return true;
  }
  nap(m, ticks == ~(u64)0 ? NS_PER_SECOND : machine_ticks_ns(m, ticks)); /* ~0: somebody will wake it */
  return true; /* the caller looks for a kick and wakes whose time has come */
}

void machine_fill_stop(s4v_machine *m, struct strand *s, u32 why, s4v_stop *stop) {
  static const i32 reason[] = {[STOP_EXIT] = S4V_STOP_EXIT, [STOP_WATCHDOG] = S4V_STOP_WATCHDOG,
                               [STOP_CONSOLE] = S4V_STOP_CONSOLE, [STOP_BREAKPOINT] = S4V_STOP_BREAKPOINT,
                               [STOP_RESET] = S4V_STOP_RESET, [STOP_SUSPEND] = S4V_STOP_SUSPEND,
                               [STOP_CHANNEL] = S4V_STOP_CHANNEL, [STOP_FIRMWARE] = S4V_STOP_FIRMWARE,
                               [STOP_WATCH] = S4V_STOP_WATCHPOINT};
  stop->reason = reason[why];
  stop->strand = s->id;
  stop->tt = s->stop_tt;
  stop->code = why == STOP_CHANNEL ? s->stop_code : m->domain.exit_code;
  stop->address = s->pc;
  if (why == STOP_WATCH) {
    stop->code = s->watch_va;
    stop->tt = s->watch_kind;
  }
  if (why == STOP_WATCHDOG) s->run_state = STRAND_ERROR;
  if (why == STOP_EXIT)
    for (u32 i = 0; i < m->domain.strand_count; i++) m->domain.strands[i]->run_state = STRAND_STOPPED;
}

/* How far the strand may go without a look at the others. */
static u64 stretch(s4v_machine *m, struct strand *s, u64 left) {
  u64 n = active_count(m) > 1 ? m->turn_left : LONG_STRETCH;
  if (!m->config.deterministic && n > REAL_TIME_STRETCH) n = REAL_TIME_STRETCH;
  if (!m->config.deterministic && n > NEWS_STRETCH && machine_expects_news(m)) n = NEWS_STRETCH;
  u64 ticks = next_timer(m), end = ticks_left(m);
  if (ticks > end) ticks = end;
  if (ticks != ~(u64)0) {
    u64 insns = machine_insns_until(s, ticks);
    if (insns < n) n = insns ? insns : 1;
  }
  return n < left ? n : left;
}

/* A limit to dirty pages: nobody runs until time has caught up. True: some has passed. */
static bool limit_waits(s4v_machine *m) {
  u64 until = m->config.deterministic ? 0 : strand_dirty_until(&m->domain.env);
  if (!until) return false;
  u64 now = machine_host_ns();
  if (until > now) nap(m, until - now);
  return true;
}

/* One strand for one stretch, or, 0, one step. True: the run ends. */
static bool run_once(s4v_machine *m, struct strand *s, u64 left, s4v_stop *stop) {
  u64 n = stretch(m, s, left), before = s->insns;
  bool alone = active_count(m) == 1;
  u64 since = m->config.deterministic ? 0 : busy_begin(s);
  u64 began = m->observation ? machine_tick(s, 0) : 0;
  u32 why = left ? strand_run(s, n) : strand_step(s);
  if (!m->config.deterministic) busy_end(s, since);
  u64 done = s->insns - before;
  machine_advance(m, done);
  if (m->observation) machine_observe_run(m, s, began, done);
  stop->insns += done;
  if (!alone) m->turn_left -= done < m->turn_left ? done : m->turn_left;
  if (why == STOP_YIELD || why == STOP_EVENT || s->run_state != STRAND_RUNNING) m->turn_left = 0;
  if (!strand_stop_is_for_client(why)) return false;
  machine_fill_stop(m, s, why, stop);
  return true;
}

static void stop_init(s4v_stop *stop) { *stop = (s4v_stop){.reason = S4V_STOP_BUDGET}; }

bool machine_run_ends(s4v_machine *m, s4v_stop *stop) {
  if (machine_has_news(m)) {
    __atomic_store_n(&m->domain.news, 0, __ATOMIC_SEQ_CST);
    wires_look(&m->domain);
    if (m->vio && vio_nets_look(m->vio)) __atomic_store_n(&m->kicked, 1, __ATOMIC_SEQ_CST);
  }
  if (machine_disks_look(m)) __atomic_store_n(&m->kicked, 1, __ATOMIC_SEQ_CST);
  if (__atomic_exchange_n(&m->kicked, 0, __ATOMIC_ACQ_REL)) {
    stop->reason = S4V_STOP_KICK;
    return true;
  }
  return suspended(m, stop) || watchdog_expired(m, stop) || out_of_time(m, stop);
}

/* What ends a run between two stretches; then whoever's time has come goes on. */
static bool run_ends(s4v_machine *m, s4v_stop *stop) {
  if (machine_run_ends(m, stop)) return true;
  wake_waiting(m);
  return false;
}

static void run_turns(s4v_machine *m, u64 budget, s4v_stop *stop) {
  while (stop->insns < budget) {
    if (run_ends(m, stop)) return;
    if (limit_waits(m)) continue;
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

/* The trace is one text, in the order of one thread. */
static bool beside(const s4v_machine *m) {
  return m->crew.workers && m->domain.strand_count > 1 && !m->crew.refused && !m->domain.env.tracing;
}

int s4v_run_for(s4v_machine *m, uint64_t budget, uint64_t ns, s4v_stop *stop) {
  stop_init(stop);
  m->deadline_ns = ns && !m->config.deterministic ? machine_host_ns() + ns : 0;
  if (beside(m) && budget) crew_run(m, budget, stop);
  if (!beside(m) && stop->reason == S4V_STOP_BUDGET) run_turns(m, budget, stop);
  m->deadline_ns = 0;
  machine_settle_time(m);
  return S4V_OK;
}

int s4v_run(s4v_machine *m, uint64_t budget, s4v_stop *stop) { return s4v_run_for(m, budget, 0, stop); }

int s4v_run_until(s4v_machine *m, uint64_t budget, uint64_t tick, s4v_stop *stop) {
  if (!m->config.deterministic) return S4V_EINVAL;
  m->deadline_tick = tick ? tick : 1;
  int status = s4v_run_for(m, budget, 0, stop);
  m->deadline_tick = 0;
  return status;
}

uint64_t s4v_tick(const s4v_machine *m) { return __atomic_load_n(&m->tick_base, __ATOMIC_RELAXED); }

int s4v_strand_run(s4v_machine *m, uint32_t strand, uint64_t budget, s4v_stop *stop) {
  stop_init(stop);
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  m->turn = machine_place(m, strand);
  machine_new_turn(m);
  run_alone(m, s, budget, stop);
  machine_new_turn(m); /* what is left of the budget is no state */
  machine_settle_time(m);
  return S4V_OK;
}

/* The strand to step, its turn begun; NULL: none can. */
static struct strand *step_turn(s4v_machine *m, uint32_t strand) {
  if (active_count(m) == 0) return NULL;
  struct strand *s = m->domain.strands[m->turn];
  if (strand == S4V_STRAND_ANY) {
    if (!is_active(s) || m->turn_left == 0) next_turn(m);
    return m->domain.strands[m->turn];
  }
  if (!is_active(hyp_strand(&m->domain, strand))) return NULL;
  if (s->id == strand && m->turn_left) return s;
  m->turn = machine_place(m, strand);
  machine_new_turn(m);
  return m->domain.strands[m->turn];
}

int s4v_step(s4v_machine *m, uint32_t strand, s4v_stop *stop) {
  stop_init(stop);
  if (strand != S4V_STRAND_ANY && !hyp_strand(&m->domain, strand)) return S4V_ENOENT;
  if (suspended(m, stop) || watchdog_expired(m, stop)) return S4V_OK;
  wake_waiting(m);
  struct strand *s = step_turn(m, strand);
  stop->reason = S4V_STOP_IDLE;
  if (!s) return S4V_OK;
  if (!run_once(m, s, 0, stop)) {
    machine_fill_stop(m, s, s->watch_kind ? STOP_WATCH : STOP_NONE, stop);
    if (!s->watch_kind) stop->reason = S4V_STOP_STEP;
  }
  machine_settle_time(m);
  return S4V_OK;
}

void s4v_kick(s4v_machine *m) {
  if (__atomic_exchange_n(&m->kicked, 1, __ATOMIC_SEQ_CST)) return; /* whoever did it first rings */
  bell_ring(&m->crew.bell);
}
