/* crew.c - see crew.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "machine/crew.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "machine/machine.h"
#include "strand/share.h"

enum { STACK_BYTES = 1 << 20, LEAST_SHARE = 4096, SHARES = 4, MOST_SHARE = 1 << 22 };
#define NS_PER_SECOND 1000000000ull
#define LONG_SLEEP_NS (3600 * NS_PER_SECOND)

/* ---- the bell: a word to sleep on that a signal handler may ring ---- */

void bell_ring(u32 *bell) {
  __atomic_add_fetch(bell, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, bell, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void bell_wait(u32 *bell, u32 seen, u64 ns) {
  if (ns > LONG_SLEEP_NS) ns = LONG_SLEEP_NS;
  struct timespec limit = {.tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND)};
  syscall(SYS_futex, bell, FUTEX_WAIT_PRIVATE, seen, &limit, NULL, 0);
}

/* ---- budget: workers take shares of a pot and bring back what they did not use ---- */

static u64 share_take(struct crew *c) {
  u64 share = c->pot / (SHARES * (u64)(c->running + 1));
  if (share > MOST_SHARE) share = MOST_SHARE;
  if (share < LEAST_SHARE) share = LEAST_SHARE;
  if (share > c->pot) share = c->pot;
  c->pot -= share;
  c->out += share;
  return share;
}

/* Of the strand in that place. */
static struct worker *worker_at(s4v_machine *m, u32 i) { return m->crew.workers[m->domain.strands[i]->id]; }

static void share_return(s4v_machine *m, u64 share, u64 done) {
  struct crew *c = &m->crew;
  u64 left = done < share ? share - done : 0;
  m->insns += done;
  c->out -= share;
  c->pot += left;
  for (u32 i = 0; left && c->starved && i < m->domain.strand_count; i++)
    if (worker_at(m, i)->starved) pthread_cond_signal(&worker_at(m, i)->wake);
  if (c->pot == 0 && c->out == 0) bell_ring(&c->bell);
}

/* ---- one worker ---- */

/* Has the strand work? One whose time has come, or whose queues are not empty, waits no longer. */
static bool strand_ready(struct strand *s) {
  if (s->run_state != STRAND_RUNNING || s->held) return false;
  if (!s->waiting) return true;
  strand_check_timers(s);
  if (!strand_wakeable(s)) return false;
  s->waiting = s->poked = 0;
  return true;
}

static bool may_run(const s4v_machine *m, const struct worker *w) {
  return m->crew.open && !m->domain.beside.halting && !w->holds;
}

/* Host time of the strand's next timer; 0: it has none. */
static u64 timer_ns(struct worker *w) {
  s4v_machine *m = w->machine;
  if (w->strand->run_state != STRAND_RUNNING || w->strand->held) return 0;
  u64 ticks = strand_timer_insns(w->strand, machine_tick(w->strand, 0));
  return ticks == ~(u64)0 ? 0 : machine_host_ns() + machine_ticks_ns(m, ticks);
}

static void sleep_until(struct worker *w, u64 ns) {
  struct crew *c = &w->machine->crew;
  struct timespec at = {.tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND)};
  w->deadline_ns = ns;
  c->timed++;
  pthread_cond_timedwait(&w->wake, &w->machine->domain.beside.lock, &at);
  c->timed--;
  w->deadline_ns = 0;
}

static void rest(struct worker *w) {
  struct crew *c = &w->machine->crew;
  u64 ns = may_run(w->machine, w) ? timer_ns(w) : 0;
  if (ns) {
    sleep_until(w, ns);
    return;
  }
  if (c->open && c->running == 0 && c->timed == 0) bell_ring(&c->bell); /* nobody may be left to run */
  pthread_cond_wait(&w->wake, &w->machine->domain.beside.lock);
}

static void starve(struct worker *w) {
  struct crew *c = &w->machine->crew;
  w->starved = true;
  c->starved++;
  pthread_cond_wait(&w->wake, &w->machine->domain.beside.lock);
  c->starved--;
  w->starved = false;
}

static void run_strand(struct worker *w) {
  s4v_machine *m = w->machine;
  struct crew *c = &m->crew;
  struct strand *s = w->strand;
  u64 share = share_take(c), before = s->insns;
  __atomic_store_n(&s->park, 0, __ATOMIC_RELAXED);
  w->on_cpu = true;
  c->running++;
  pthread_mutex_unlock(&m->domain.beside.lock);
  u64 since = busy_begin(s), began = m->observation ? machine_tick(s, 0) : 0;
  u32 why = strand_run_beside(s, share);
  busy_end(s, since);
  if (m->observation) machine_observe_run(m, s, began, s->insns - before);
  pthread_mutex_lock(&m->domain.beside.lock);
  w->on_cpu = false;
  c->running--;
  share_return(m, share, s->insns - before);
  if (strand_stop_is_for_client(why)) {
    w->why = why;
    m->domain.beside.halting = true;
    bell_ring(&c->bell);
  }
  pthread_cond_broadcast(&c->parked);
}

static void *work(void *arg) {
  struct worker *w = arg;
  s4v_machine *m = w->machine;
  u64 until;
  pthread_mutex_lock(&m->domain.beside.lock);
  while (!m->crew.quit && !w->quit) {
    if (!may_run(m, w) || !strand_ready(w->strand))
      rest(w);
    else if (m->crew.pot == 0)
      starve(w);
    else if ((until = strand_dirty_until(&m->domain.env)))
      sleep_until(w, until);
    else
      run_strand(w);
  }
  pthread_mutex_unlock(&m->domain.beside.lock);
  return NULL;
}

/* Signals are for the client's threads. */
static bool worker_start(struct worker *w) {
  pthread_attr_t attr;
  sigset_t all, before;
  if (pthread_attr_init(&attr)) return false;
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  w->exists = pthread_create(&w->thread, &attr, work, w) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  return w->exists;
}

static void worker_wake(struct worker *w) {
  struct crew *c = &w->machine->crew;
  if (w->exists) {
    pthread_cond_signal(&w->wake);
  } else if (!c->refused && !worker_start(w)) {
    c->refused = true;
    bell_ring(&c->bell);
  }
}

/* ---- what hypercalls ask of the crew (hyp.h) ---- */

static struct worker *worker_of(struct domain *d, const struct strand *s) {
  return ((s4v_machine *)(void *)d)->crew.workers[s->id];
}

static void crew_wake(struct domain *d, struct strand *s) {
  if (!s)
    bell_ring(&((s4v_machine *)(void *)d)->crew.bell);
  else if (!worker_of(d, s)->on_cpu && s->run_state == STRAND_RUNNING)
    worker_wake(worker_of(d, s));
}

static void want_at_rest(struct strand *s) {
  __atomic_store_n(&s->park, 1, __ATOMIC_RELEASE);
  strand_notice(s);
}

static bool crew_hold(struct domain *d, struct strand *by, struct strand *s) {
  struct crew *c = &((s4v_machine *)(void *)d)->crew;
  struct worker *w = worker_of(d, s);
  w->holds++;
  if (w->on_cpu) {
    want_at_rest(s);
    pthread_cond_broadcast(&c->parked); /* it may itself wait here for a third */
  }
  while (w->on_cpu && !d->beside.halting && !by->park) pthread_cond_wait(&c->parked, &d->beside.lock);
  if (!w->on_cpu && !d->beside.halting && !by->park) return true;
  w->holds--;
  pthread_cond_signal(&w->wake);
  return false;
}

static void crew_release(struct domain *d, struct strand *s) {
  struct worker *w = worker_of(d, s);
  w->holds--;
  pthread_cond_signal(&w->wake);
}

/* ---- a run, by the thread inside s4v_run() ---- */

/* Until the strand's timer, and only if it has one. */
static bool sleeps_right(struct worker *w) {
  u64 ns = timer_ns(w), slack = NS_PER_SECOND / 1000;
  return ns ? w->deadline_ns && w->deadline_ns < ns + slack : !w->deadline_ns;
}

/* Threads whose strands have work, or a timer the thread does not sleep for, are woken; the others sleep on. */
static void open_run(s4v_machine *m, u64 budget) {
  struct crew *c = &m->crew;
  c->pot = budget;
  c->out = 0;
  c->open = true;
  m->domain.beside.on = true;
  m->domain.beside.halting = false;
  m->domain.beside.stopper = NULL;
  for (u32 i = 0; i < m->domain.strand_count; i++) {
    struct worker *w = worker_at(m, i);
    w->why = STOP_NONE;
    if (strand_ready(w->strand) || !sleeps_right(w)) worker_wake(w);
  }
}

/* Nobody runs, nobody has work, and neither a timer nor a disk will come. */
static bool all_idle(s4v_machine *m) {
  struct crew *c = &m->crew;
  if (c->running || m->domain.services.watchdog_tick || machine_disks_busy(m)) return false;
  if (machine_expects_news(m)) return false;
  for (u32 i = 0; i < m->domain.strand_count; i++)
    if (strand_ready(m->domain.strands[i]) || timer_ns(worker_at(m, i))) return false;
  return true;
}

static bool run_ends(s4v_machine *m, s4v_stop *stop) {
  struct crew *c = &m->crew;
  if (m->domain.beside.halting || c->refused) return true;
  if (machine_run_ends(m, stop)) return true;
  if (c->pot == 0 && c->out == 0) return true; /* the budget, which is what `stop` says */
  if (!all_idle(m)) return false;
  stop->reason = S4V_STOP_IDLE;
  return true;
}

/* Until the time the client gave is up or the watchdog bites; ~0: neither will be. */
static u64 patience_ns(s4v_machine *m) {
  u64 now = machine_host_ns(), ns = ~(u64)0, at = m->domain.services.watchdog_tick;
  if (m->deadline_ns) ns = m->deadline_ns > now ? m->deadline_ns - now : 0;
  if (!at) return ns;
  u64 tick = machine_tick(m->domain.strands[0], 0), left = machine_ticks_ns(m, at > tick ? at - tick : 0);
  return left < ns ? left : ns;
}

static void halt(s4v_machine *m) {
  struct crew *c = &m->crew;
  m->domain.beside.halting = true;
  for (u32 i = 0; i < m->domain.strand_count; i++)
    if (worker_at(m, i)->on_cpu) want_at_rest(m->domain.strands[i]);
  pthread_cond_broadcast(&c->parked);
  while (c->running) pthread_cond_wait(&c->parked, &m->domain.beside.lock);
  c->open = false;
}

/* The one stop the client hears of. A call that ends the run is done and must be told; it is the only one. What else
 * ended a strand's run, trap at MAXTL or breakpoint, has changed nothing and comes again when the strand runs on. */
static void choose_stop(s4v_machine *m, s4v_stop *stop) {
  struct strand *told = m->domain.beside.stopper;
  for (u32 i = 0; !told && i < m->domain.strand_count; i++)
    if (worker_at(m, i)->why) told = m->domain.strands[i];
  for (u32 i = 0; i < m->domain.strand_count; i++)
    if (m->domain.strands[i] != told && worker_at(m, i)->why) strand_forget_stop(m->domain.strands[i]);
  if (told) machine_fill_stop(m, told, m->crew.workers[told->id]->why, stop);
}

void crew_run(s4v_machine *m, u64 budget, s4v_stop *stop) {
  struct crew *c = &m->crew;
  u64 before = m->insns;
  pthread_mutex_lock(&m->domain.beside.lock);
  open_run(m, budget);
  for (;;) {
    u32 seen = __atomic_load_n(&c->bell, __ATOMIC_SEQ_CST);
    if (run_ends(m, stop)) break;
    u64 ns = patience_ns(m);
    pthread_mutex_unlock(&m->domain.beside.lock);
    bell_wait(&c->bell, seen, ns);
    pthread_mutex_lock(&m->domain.beside.lock);
  }
  halt(m);
  m->domain.beside.on = false;
  choose_stop(m, stop);
  pthread_mutex_unlock(&m->domain.beside.lock);
  stop->insns += m->insns - before;
}

/* ---- life ---- */

static bool cond_new(pthread_cond_t *cond) {
  pthread_condattr_t clock;
  if (pthread_condattr_init(&clock)) return false;
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  bool good = pthread_cond_init(cond, &clock) == 0;
  pthread_condattr_destroy(&clock);
  return good;
}

bool crew_new(s4v_machine *m) {
  struct crew *c = &m->crew;
  m->domain.beside.wake = crew_wake;
  m->domain.beside.hold = crew_hold;
  m->domain.beside.release = crew_release;
  if (!cond_new(&c->parked)) return false;
  c->workers = calloc(m->domain.max_strands, sizeof *c->workers);
  if (!c->workers) pthread_cond_destroy(&c->parked);
  return c->workers != NULL;
}

bool crew_add(s4v_machine *m, struct strand *s) {
  struct worker **at = &m->crew.workers[s->id];
  if (*at) return true;
  struct worker *w = calloc(1, sizeof *w);
  if (!w || !cond_new(&w->wake)) {
    free(w);
    return false;
  }
  w->machine = m;
  w->strand = s;
  *at = w;
  return true;
}

/* Between runs: the thread sleeps, or is about to. */
void crew_remove(s4v_machine *m, struct strand *s) {
  struct worker *w = m->crew.workers[s->id];
  if (!w) return;
  pthread_mutex_lock(&m->domain.beside.lock);
  w->quit = true;
  pthread_cond_signal(&w->wake);
  pthread_mutex_unlock(&m->domain.beside.lock);
  if (w->exists) pthread_join(w->thread, NULL);
  pthread_cond_destroy(&w->wake);
  m->crew.workers[s->id] = NULL;
  free(w);
}

void crew_free(s4v_machine *m) {
  struct crew *c = &m->crew;
  if (!c->workers) return;
  pthread_mutex_lock(&m->domain.beside.lock);
  c->quit = true;
  for (u32 id = 0; id < m->domain.max_strands; id++)
    if (c->workers[id]) pthread_cond_signal(&c->workers[id]->wake);
  pthread_mutex_unlock(&m->domain.beside.lock);
  for (u32 id = 0; id < m->domain.max_strands; id++)
    if (m->known[id]) crew_remove(m, m->known[id]);
  pthread_cond_destroy(&c->parked);
  free(c->workers);
  c->workers = NULL;
}
