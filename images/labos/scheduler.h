/* scheduler.h - threads as the scheduler and the trap code see them. */
#ifndef LABOS_SCHEDULER_H
#define LABOS_SCHEDULER_H
#include "lock.h"
#include "percpu.h"
#include "thread.h"
#include "timer.h"
#include "trap.h"

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_SLEEPING, THREAD_DONE };
#define STACK_GUARD 0x4c41424f53746b21ul

/* At the low end of the thread's stack. */
struct thread {
  u64 sp, pc;               /* while it does not run: switch.S */
  struct trap_frame *frame; /* at the high end of the stack: where a user program's traps are kept */
  const char *name;
  enum thread_state state;
  u32 id;
  struct cpu *cpu;          /* runs, or last ran, here */
  const volatile void *channel; /* sleeps on it */
  bool timed_out;
  bool tired;               /* used up its last turn, and has not slept since */
  u32 bound;                /* 1 + the id of the only cpu that may run it; 0: any may */
  struct timer timer;
  struct process *process;  /* NULL: a kernel thread */
  u64 run_ns, run_since_ns;
  u64 *fp;                  /* saved floating-point state; NULL: the thread has none */
  struct thread *next_ready, *next, *previous; /* all threads */
  u64 guard;                /* STACK_GUARD unless the stack ran into it */
};
_Static_assert(offsetof(struct thread, sp) == THREAD_SP, "layout.h");
_Static_assert(offsetof(struct thread, pc) == THREAD_PC, "layout.h");
_Static_assert(offsetof(struct thread, frame) == THREAD_FRAME, "layout.h");

/* A thread for a process or an idle cpu (`stack` given). */
struct thread *thread_make(const char *name, void (*entry)(void *), void *arg, void *stack);
void thread_ready(struct thread *thread);
/* Only this cpu may run the thread from its next turn on; NULL: any may. */
void thread_bind(struct thread *thread, const struct cpu *cpu);
u32 threads_bound(const struct cpu *cpu); /* how many threads are bound to it */
void threads_unbind(const struct cpu *cpu);
void thread_preempt(void); /* at the end of a trap: give way if somebody should run */
void thread_become_idle(struct cpu *cpu, void *stack);
void scheduler_idle(void) __attribute__((noreturn));
/* Call for every thread, under the scheduler's lock. */
void thread_for_each(void (*function)(const struct thread *, void *), void *arg);

void timer_interrupt(void);
void timer_program(void);
void timer_mask(void); /* no match, and none pending, until timer_program(): a timer would end CPU_YIELD */
void timers_move(struct cpu *from);
void clock_init(void);
u64 clock_ticks(void); /* clock_ns() in STICK's units */
void clock_suspended(void);
void clock_resumed(u64 stick_before);
static inline u64 stick_read(void) { return RDASR(asr24) << 1 >> 1; }

void fp_save(u64 *to);
void fp_load(const u64 *from);
enum { FP_STATE_BYTES = 34 * 8 };
bool fp_begin(void); /* this thread is about to use floating-point registers; false: no memory */
#endif
