/* threads.h - two test threads on two processors, in step. Define _GNU_SOURCE before the first include. */
#ifndef S4V_TESTS_THREADS_H
#define S4V_TESTS_THREADS_H
#include <pthread.h>
#include <sched.h>

#include "util/types.h"

enum { LINE = 64, SPINS = 2000 };

/* A round that one thread has reached and the other waits for; alone in its cache line. */
struct turn {
  _Alignas(LINE) u64 round;
};

static inline void turn_set(struct turn *turn, u64 round) { __atomic_store_n(&turn->round, round, __ATOMIC_RELEASE); }
static inline u64 turn_get(const struct turn *turn) { return __atomic_load_n(&turn->round, __ATOMIC_ACQUIRE); }

/* Spins, to meet within nanoseconds; yields after a while, so that a busy host only makes it slower. */
static inline void turn_wait(const struct turn *turn, u64 round) {
  for (u64 spins = 1; turn_get(turn) < round; spins++)
    if (spins % SPINS == 0) sched_yield();
}

static inline void cpu_pin(size_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/* The first two processors this process may use; false if there is only one. */
static inline bool cpu_pair(size_t cpus[2]) {
  cpu_set_t set;
  int found = 0;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return false;
  for (size_t cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
    if (CPU_ISSET(cpu, &set)) cpus[found++] = cpu;
  return found == 2;
}

#endif
