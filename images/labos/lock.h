/* lock.h - spin locks. While one is held, interrupts are off on this cpu, so handlers may take the same locks. */
#ifndef LABOS_LOCK_H
#define LABOS_LOCK_H
#include "types.h"

struct spinlock {
  volatile u32 held;
  const char *name;
  struct cpu *holder;
};
#define SPINLOCK(text) {0, (text), 0}

void lock_acquire(struct spinlock *lock);
void lock_release(struct spinlock *lock);
bool lock_held(const struct spinlock *lock); /* by this cpu */

/* Interrupts off and back as they were; nests, and locks do the same inside. */
void interrupts_push(void);
void interrupts_pop(void);
#endif
