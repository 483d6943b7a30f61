/* thread.c - threads and the scheduler.
 *
 * One lock, two queues of threads that could run: those that used up their last turn come after all others, so that
 * who computes does not keep waiting who answers. A cpu that has nothing better runs its idle thread, which is in no
 * queue. The lock is held across a switch: taken by the thread that leaves, released by the one that comes.
 */
#include "thread.h"

#include "hyper.h"
#include "kernel.h"
#include "process.h"
#include "scheduler.h"

enum { STACK_ORDER = 1, SLICE_NS = 10 * NS_PER_MS };
_Static_assert(PAGE_BYTES << STACK_ORDER == STACK_BYTES, "layout.h");

static struct spinlock lock = SPINLOCK("scheduler");
static struct queue {
  struct thread *first, *last;
} fresh, tired;
static struct thread *all;
static u32 next_id;
static u64 idle_cpus; /* how many are idle: saves a search when none is */

void thread_switch(struct thread *from, struct thread *to);
void thread_begin(void);
void thread_first(void);

static void ready_put(struct thread *t) {
  struct queue *q = t->tired ? &tired : &fresh;
  t->state = THREAD_READY;
  t->next_ready = NULL;
  if (q->last)
    q->last->next_ready = t;
  else
    q->first = t;
  q->last = t;
}

static bool may_run(const struct thread *t, const struct cpu *cpu) { return !t->bound || t->bound == cpu->id + 1; }

/* The first of a queue that the cpu may run, and (NULL: there is none) its place. */
static struct thread *queue_find(const struct queue *q, const struct cpu *cpu, struct thread **before) {
  struct thread *t = q->first;
  for (*before = NULL; t && !may_run(t, cpu); t = t->next_ready) *before = t;
  return t;
}

static bool ready_any(const struct cpu *cpu) {
  struct thread *before;
  return queue_find(&fresh, cpu, &before) || queue_find(&tired, cpu, &before);
}

static struct thread *ready_take(const struct cpu *cpu) {
  struct thread *before, *t = NULL;
  struct queue *const queues[] = {&fresh, &tired};
  for (u32 i = 0; i < 2 && !t; i++) {
    struct queue *q = queues[i];
    t = queue_find(q, cpu, &before);
    if (!t) continue;
    if (before)
      before->next_ready = t->next_ready;
    else
      q->first = t->next_ready;
    if (q->last == t) q->last = before;
  }
  return t;
}

static void idle_wake(struct cpu *cpu) {
  cpu->idle = 0;
  idle_cpus--;
  cross_wake((u32)cpu->id);
}

/* A thread waits for the one cpu that may run it. */
static void announce_bound(const struct thread *t) {
  struct cpu *cpu = cpu_block(t->bound - 1);
  if (cpu == cpu_this())
    cpu->reschedule |= cpu->idle || thread_this()->tired;
  else if (cpu->idle && cpu->state == CPU_IS_ONLINE)
    idle_wake(cpu);
}

/* A thread waits: an idle cpu shall have it, or this one when its turn is over. */
static void ready_announce(const struct thread *t) {
  struct cpu *me = cpu_this();
  if (t->bound) {
    announce_bound(t);
    return;
  }
  if (me->idle && !me->reschedule) {
    me->reschedule = true; /* it comes out of its idle loop */
    return;
  }
  if (fresh.first && thread_this()->tired) me->reschedule = true;
  if (!idle_cpus) return;
  for (u32 id = 0; id < cpu_limit(); id++) {
    struct cpu *cpu = cpu_block(id);
    if (!cpu || cpu == me || !cpu->idle || cpu->state != CPU_IS_ONLINE) continue;
    idle_wake(cpu);
    return;
  }
}

void thread_ready(struct thread *t) {
  lock_acquire(&lock);
  ready_put(t);
  ready_announce(t);
  lock_release(&lock);
}

static void departed_free(struct cpu *cpu) {
  struct thread *t = cpu->departing;
  if (!t) return;
  cpu->departing = NULL;
  kfree(t->fp, t->fp ? FP_STATE_BYTES : 0);
  pages_free(t, STACK_ORDER);
}

/* A program may have turned its floating point off; what is in the registers is still its own. */
static void fp_leave(struct thread *t) {
  if (!t->fp) return;
  WRASR(fprs, FPRS_FEF);
  fp_save(t->fp);
  WRASR(fprs, 0);
}

static void fp_enter(const struct thread *t) {
  WRASR(fprs, t->fp ? FPRS_FEF : 0);
  if (t->fp) fp_load(t->fp);
}

/* To the next thread, with the lock held. `me` is in whatever state and queue it shall be. */
static void switch_away(void) {
  struct cpu *cpu = cpu_this();
  struct thread *me = thread_this(), *next = cpu->state == CPU_IS_LEAVING ? NULL : ready_take(cpu);
  if (!next) next = cpu->idle_thread;
  cpu->reschedule = false;
  u64 now = clock_ns();
  cpu->slice_end_ns = next != cpu->idle_thread ? now + SLICE_NS : 0;
  timer_program();
  if (me->guard != STACK_GUARD) panic("the stack of %s is too small", me->name);
  if (next == me) {
    me->state = THREAD_RUNNING;
    return;
  }
  me->run_ns += now - me->run_since_ns;
  next->run_since_ns = now;
  next->state = THREAD_RUNNING;
  next->cpu = cpu;
  cpu->thread = next;
  bool were_on = cpu->interrupts_were_on;
  u32 depth = cpu->interrupts_depth;
  fp_leave(me);
  process_switch(next->process);
  thread_switch(me, next);
  cpu = cpu_this(); /* maybe another, and later */
  cpu->interrupts_were_on = were_on;
  cpu->interrupts_depth = depth;
  fp_enter(me);
  departed_free(cpu);
}

/* Where a thread begins: it comes out of switch_away() of another. */
void thread_first(void) {
  struct cpu *cpu = cpu_this();
  cpu->interrupts_depth = 1;
  cpu->interrupts_were_on = true;
  fp_enter(thread_this());
  departed_free(cpu);
  lock_release(&lock);
}

struct thread *thread_make(const char *name, void (*entry)(void *), void *arg, void *stack) {
  struct thread *t = stack ? stack : pages_alloc(STACK_ORDER);
  if (!t) return NULL;
  t->name = name;
  t->guard = STACK_GUARD;
  t->frame = (struct trap_frame *)((u64)t + STACK_BYTES - UF_BYTES);
  u64 *window = (u64 *)((u64)t->frame - FRAME); /* what the first fill loads: %l0-%l7, %i0-%i7 */
  window[0] = (u64)entry;
  window[1] = (u64)arg;
  t->sp = (u64)window - STACK_BIAS;
  t->pc = (u64)thread_begin - 8;
  lock_acquire(&lock);
  t->id = next_id++;
  t->next = all;
  if (all) all->previous = t;
  all = t;
  lock_release(&lock);
  return t;
}

struct thread *thread_start(const char *name, void (*entry)(void *), void *arg) {
  struct thread *t = thread_make(name, entry, arg, NULL);
  if (t) thread_ready(t);
  return t;
}

void thread_exit(void) {
  lock_acquire(&lock);
  struct thread *me = thread_this();
  if (me->previous)
    me->previous->next = me->next;
  else
    all = me->next;
  if (me->next) me->next->previous = me->previous;
  me->state = THREAD_DONE;
  cpu_this()->departing = me;
  switch_away();
  panic("a thread that ended runs");
}

void thread_bind(struct thread *t, const struct cpu *cpu) {
  lock_acquire(&lock);
  t->bound = cpu ? (u32)cpu->id + 1 : 0;
  if (t->state == THREAD_READY) ready_announce(t);
  if (t->state == THREAD_RUNNING && t->cpu != cpu) cross_wake((u32)t->cpu->id);
  lock_release(&lock);
}

u32 threads_bound(const struct cpu *cpu) {
  u32 count = 0;
  lock_acquire(&lock);
  for (const struct thread *t = all; t; t = t->next) count += t->bound == cpu->id + 1;
  lock_release(&lock);
  return count;
}

void threads_unbind(const struct cpu *cpu) {
  lock_acquire(&lock);
  for (struct thread *t = all; t; t = t->next) {
    if (t->bound != cpu->id + 1) continue;
    t->bound = 0;
    if (t->state == THREAD_READY) ready_announce(t);
  }
  lock_release(&lock);
}

/* This cpu leaves: whatever waits is for the others, and one of them shall look. */
static void hand_over(struct cpu *me) {
  for (u32 id = 0; id < cpu_limit(); id++)
    if (id != me->id && cpu_is_online(id)) {
      cross_wake(id);
      return;
    }
}

void thread_yield(void) {
  lock_acquire(&lock);
  struct thread *me = thread_this();
  if (me != cpu_this()->idle_thread) ready_put(me);
  if (!may_run(me, cpu_this())) ready_announce(me);
  if (cpu_this()->state == CPU_IS_LEAVING) hand_over(cpu_this());
  switch_away();
  lock_release(&lock);
}

void thread_preempt(void) {
  struct cpu *cpu = cpu_this();
  if (!cpu->reschedule || cpu->interrupts_depth || thread_this() == cpu->idle_thread) return;
  thread_yield();
}

/* With the lock held. */
static void wake(struct thread *t, bool timed_out) {
  t->channel = NULL;
  t->timed_out = timed_out;
  ready_put(t);
  ready_announce(t);
}

static void sleep_expired(void *arg) {
  struct thread *t = arg;
  lock_acquire(&lock);
  if (t->state == THREAD_SLEEPING && t->channel) wake(t, true);
  lock_release(&lock);
}

/* The caller's lock is let go only when the scheduler's is held: no wake-up can fall in between. */
static bool sleep(const volatile void *channel, struct spinlock *other, u64 deadline_ns) {
  struct thread *me = thread_this();
  bool timed = deadline_ns != ~0ul;
  if (timed) {
    me->timer.function = sleep_expired;
    me->timer.arg = me;
  }
  lock_acquire(&lock);
  me->timed_out = me->tired = false;
  me->channel = channel;
  me->state = THREAD_SLEEPING;
  if (timed) timer_start(&me->timer, deadline_ns);
  if (other) lock_release(other);
  switch_away();
  lock_release(&lock);
  if (timed) timer_stop(&me->timer);
  if (other) lock_acquire(other);
  return !me->timed_out;
}

void thread_sleep(const volatile void *channel, struct spinlock *other) { sleep(channel, other, ~0ul); }

bool thread_sleep_until(const volatile void *channel, struct spinlock *other, u64 deadline_ns) {
  return sleep(channel, other, deadline_ns);
}

void thread_sleep_ns(u64 ns) {
  struct thread *me = thread_this();
  u64 deadline = clock_ns() + ns;
  while (sleep(&me->timer, NULL, deadline)) continue;
}

void thread_wakeup(const volatile void *channel) {
  lock_acquire(&lock);
  for (struct thread *t = all; t; t = t->next)
    if (t->state == THREAD_SLEEPING && t->channel == channel) wake(t, false);
  lock_release(&lock);
}

const char *thread_name(void) { return thread_this()->name; }

void thread_for_each(void (*function)(const struct thread *, void *), void *arg) {
  lock_acquire(&lock);
  for (struct thread *t = all; t; t = t->next) function(t, arg);
  lock_release(&lock);
}

bool fp_begin(void) {
  struct thread *me = thread_this();
  u64 *state = me->fp ? NULL : kmalloc(FP_STATE_BYTES);
  if (!me->fp && !state) return false;
  interrupts_push();
  WRASR(fprs, FPRS_FEF);
  if (state) {
    me->fp = state;
    fp_load(state);
  }
  interrupts_pop();
  return true;
}

/* The stack a cpu came up on becomes its idle thread's. Interrupts are off. */
void thread_become_idle(struct cpu *cpu, void *stack) {
  struct thread *t = stack;
  t->guard = STACK_GUARD;
  t->frame = (struct trap_frame *)((u64)t + STACK_BYTES - UF_BYTES);
  t->name = "idle";
  t->cpu = cpu;
  t->state = THREAD_RUNNING;
  cpu->thread = cpu->idle_thread = t;
  thread_register = t;
}

/* Wait without work. CPU_YIELD is called with interrupts off, and returns when one is there; then they are let in. */
void scheduler_idle(void) {
  struct cpu *cpu = cpu_this();
  for (;;) {
    lock_acquire(&lock);
    if (cpu->state == CPU_IS_LEAVING) break;
    if (ready_any(cpu)) {
      switch_away();
      lock_release(&lock);
      continue; /* maybe to leave */
    }
    cpu->idle = 1;
    idle_cpus++;
    cpu->reschedule = false;
    lock_release(&lock);
    WRPR(pstate, PSTATE_PRIV | PSTATE_PEF);
    if (cpu->idle && !cpu->reschedule) hyper(CPU_YIELD, 0, 0, 0, 0);
    WRPR(pstate, PSTATE_PRIV | PSTATE_PEF | PSTATE_IE);
    lock_acquire(&lock);
    if (cpu->idle) idle_cpus--;
    cpu->idle = 0;
    lock_release(&lock);
  }
  lock_release(&lock);
  cpu_depart(cpu);
}
