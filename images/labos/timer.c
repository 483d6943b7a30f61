/* timer.c - time and timers, from STICK and STICK_CMPR.
 *
 * Each cpu has a list of timers by deadline, and sets its STICK_CMPR to the first of them, or to the end of the running
 * thread's turn if that is sooner. A cpu without either has no timer interrupt at all.
 */
#include "timer.h"

#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "scheduler.h"

#define COMPARE_OFF (1ul << 63)
#define LONGEST_NS (86400 * NS_PER_SECOND)
#define SOFTINT_STICK (1ul << 16)

static struct spinlock lock = SPINLOCK("timers");
static u64 stick_hz = 1;
static u64 stick_base, ns_base; /* clock_ns() was ns_base when STICK was stick_base */
static i64 wall_offset_ns;      /* wall clock - clock_ns() */

u64 clock_stick_hz(void) { return stick_hz; }

static u64 ticks_to_ns(u64 ticks) {
  return ticks / stick_hz * NS_PER_SECOND + ticks % stick_hz * NS_PER_SECOND / stick_hz;
}

static u64 ns_to_ticks(u64 ns) {
  return ns / NS_PER_SECOND * stick_hz + (ns % NS_PER_SECOND * stick_hz + NS_PER_SECOND - 1) / NS_PER_SECOND;
}

u64 clock_ns(void) { return ns_base + ticks_to_ns(stick_read() - stick_base); }

u64 clock_ticks(void) { return ns_to_ticks(clock_ns()); }

u64 clock_wall_ns(void) { return clock_ns() + (u64)wall_offset_ns; }

void clock_wall_adjust(i64 by_ns) {
  wall_offset_ns += by_ns;
  hyper(TOD_SET, clock_wall_ns() / NS_PER_SECOND, 0, 0, 0);
}

static void hz_read(void) {
  u64 hz = 0;
  if (!md_value(md_find("platform", MD_NONE), "stick-frequency", &hz) || !hz) panic("no stick-frequency");
  stick_hz = hz;
}

void clock_init(void) {
  u64 seconds = 0;
  hz_read();
  stick_base = stick_read();
  if (hyper_get(TOD_GET, 0, 0, &seconds)) seconds = 0;
  wall_offset_ns = (i64)(seconds * NS_PER_SECOND);
}

/* Time stands still while the domain does: what was before the suspend goes on from there, and the wall clock is late
 * by the time that was lost. The frequency may be another machine's. */
static u64 suspended_ns;
void clock_suspended(void) { suspended_ns = clock_ns(); }
void clock_resumed(u64 stick_now) {
  ns_base = suspended_ns;
  stick_base = stick_now;
  hz_read();
}

/* The earlier of the first timer and the end of the turn. Interrupts are off. */
void timer_program(void) {
  struct cpu *cpu = cpu_this();
  u64 due = cpu->timers ? cpu->timers->deadline_ns : ~0ul;
  if (cpu->slice_end_ns && cpu->slice_end_ns < due) due = cpu->slice_end_ns;
  if (due == ~0ul) {
    WRASR(asr25, COMPARE_OFF);
    return;
  }
  u64 far = clock_ns() + LONGEST_NS; /* in ticks it must fit 63 bits; the interrupt there finds nothing, and comes back */
  if (due > far) due = far;
  u64 at = due <= ns_base ? stick_base : stick_base + ns_to_ticks(due - ns_base);
  WRASR(asr25, at & ~COMPARE_OFF);
  if (stick_read() >= at) WRASR(asr20, SOFTINT_STICK); /* too late for a match */
}

void timer_mask(void) {
  WRASR(asr25, COMPARE_OFF);
  WRASR(asr21, SOFTINT_STICK);
}

/* With the lock held. */
static void list_remove(struct timer *timer) {
  struct timer **link = &timer->cpu->timers;
  while (*link != timer) link = &(*link)->next;
  *link = timer->next;
  timer->cpu = NULL;
}

static void list_put(struct cpu *cpu, struct timer *timer) {
  struct timer **link = &cpu->timers;
  while (*link && (*link)->deadline_ns <= timer->deadline_ns) link = &(*link)->next;
  timer->next = *link;
  timer->cpu = cpu;
  *link = timer;
}

void timer_start(struct timer *timer, u64 deadline_ns) {
  lock_acquire(&lock);
  if (timer->cpu) list_remove(timer);
  timer->deadline_ns = deadline_ns;
  list_put(cpu_this(), timer);
  if (cpu_this()->timers == timer) timer_program();
  lock_release(&lock);
}

void timer_stop(struct timer *timer) {
  lock_acquire(&lock);
  if (timer->cpu) list_remove(timer);
  lock_release(&lock);
  while (timer->running_on && timer->running_on != cpu_this()) {
    interrupts_push();
    cross_poll(); /* the function may be waiting for an answer of this cpu */
    interrupts_pop();
  }
}

void timer_interrupt(void) {
  struct cpu *cpu = cpu_this();
  WRASR(asr21, SOFTINT_STICK | 1);
  lock_acquire(&lock);
  u64 now = clock_ns();
  while (cpu->timers && cpu->timers->deadline_ns <= now) {
    struct timer *timer = cpu->timers;
    list_remove(timer);
    timer->running_on = cpu;
    lock_release(&lock);
    timer->function(timer->arg);
    timer->running_on = NULL;
    lock_acquire(&lock);
  }
  if (cpu->slice_end_ns && cpu->slice_end_ns <= now) {
    cpu->slice_end_ns = 0;
    cpu->thread->tired = true;
    cpu->reschedule = true;
  }
  timer_program();
  lock_release(&lock);
}

/* The timers of a cpu that leaves become this one's. */
void timers_move(struct cpu *from) {
  lock_acquire(&lock);
  while (from->timers) {
    struct timer *timer = from->timers;
    list_remove(timer);
    list_put(cpu_this(), timer);
  }
  timer_program();
  lock_release(&lock);
}
