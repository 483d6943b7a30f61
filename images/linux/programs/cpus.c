/* cpus.c - this process on every cpu in turn; a clock reading handed from cpu to cpu never goes back. */
#include "load.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

enum { HANDOVERS = 300, MAX_CPUS = 256 };
static long count;
static _Atomic long turn;
static _Atomic i64 latest;
static _Atomic long backwards;

static void *clock_worker(void *arg) {
  long index = (long)arg;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((int)index, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return (void *)1;
  for (long i = 0; i < HANDOVERS; i++) {
    while (turn != i * count + index) sched_yield();
    i64 now = now_ns();
    if (now < latest) backwards++;
    latest = now;
    turn++;
  }
  return NULL;
}

int cpus_main(int argc, char **argv) {
  (void)argc, (void)argv;
  count = sysconf(_SC_NPROCESSORS_ONLN);
  CHECK(count >= 1 && count <= MAX_CPUS);
  for (long i = 0; i < count; i++) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((int)i, &set);
    CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
    CHECK(sched_getcpu() == (int)i);
  }
  pthread_t ids[MAX_CPUS];
  for (long i = 0; i < count; i++) CHECK(pthread_create(&ids[i], NULL, clock_worker, (void *)i) == 0);
  for (long i = 0; i < count; i++) {
    void *result;
    CHECK(pthread_join(ids[i], &result) == 0 && result == NULL);
  }
  CHECK(backwards == 0);
  printf("cpus: ok %ld\n", count);
  return 0;
}
