/* lock.c - spin locks, and interrupts off and on. */
#include "lock.h"

#include "kernel.h"
#include "percpu.h"

/* Interrupts are those that PSTATE.IE holds back: mondos of cpus and devices, the timer, resumable errors. */
void interrupts_push(void) {
  u64 pstate = RDPR(pstate);
  WRPR(pstate, pstate & ~(u64)PSTATE_IE);
  struct cpu *cpu = cpu_this();
  if (cpu->interrupts_depth++ == 0) cpu->interrupts_were_on = (pstate & PSTATE_IE) != 0;
}

void interrupts_pop(void) {
  struct cpu *cpu = cpu_this();
  if (--cpu->interrupts_depth == 0 && cpu->interrupts_were_on) WRPR(pstate, RDPR(pstate) | PSTATE_IE);
}

static u32 lock_try(struct spinlock *lock) {
  u32 old = 1;
  __asm__ volatile("swap [%1], %0" : "+r"(old) : "r"(&lock->held) : "memory");
  __asm__ volatile("membar #LoadLoad | #LoadStore" : : : "memory");
  return old;
}

bool lock_held(const struct spinlock *lock) { return lock->held && lock->holder == cpu_this(); }

/* One who spins serves cross calls: their sender may be the one that holds the lock. */
void lock_acquire(struct spinlock *lock) {
  interrupts_push();
  if (lock_held(lock)) panic("lock %s taken twice", lock->name);
  while (lock_try(lock))
    while (lock->held) cross_poll();
  lock->holder = cpu_this();
}

void lock_release(struct spinlock *lock) {
  if (!lock_held(lock)) panic("lock %s released by another", lock->name);
  lock->holder = NULL;
  __asm__ volatile("membar #StoreStore | #LoadStore" : : : "memory");
  lock->held = 0;
  interrupts_pop();
}
