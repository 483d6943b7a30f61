/* pingpong.c - a token between two processes: by pipes, then by futex, on one cpu and on two. */
#include "load.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int there[2], back[2];
static u32 *word;
static long turns;

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

static int pipe_partner(long cpu) {
  pin((int)cpu);
  u64 token;
  for (long i = 0; i < turns; i++) {
    if (read(there[0], &token, sizeof token) != sizeof token) return 1;
    token = token * 5 + 1;
    if (write(back[1], &token, sizeof token) != sizeof token) return 2;
  }
  return 0;
}

static void wait_for(u32 value) {
  for (;;) {
    u32 now = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    if (now == value) return;
    syscall(SYS_futex, word, FUTEX_WAIT, now, NULL, NULL, 0);
  }
}

static void set_to(u32 value) {
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int futex_partner(long cpu) {
  pin((int)cpu);
  for (long i = 0; i < turns; i++) {
    wait_for((u32)(2 * i + 1));
    set_to((u32)(2 * i + 2));
  }
  return 0;
}

static u64 play(int cpu) {
  int pid = spawn(pipe_partner, cpu);
  u64 token = 1;
  for (long i = 0; i < turns; i++) {
    CHECK(write(there[1], &token, sizeof token) == sizeof token);
    CHECK(read(back[0], &token, sizeof token) == sizeof token);
  }
  CHECK(reap(pid) == 0);
  *word = 0;
  pid = spawn(futex_partner, cpu);
  for (long i = 0; i < turns; i++) {
    set_to((u32)(2 * i + 1));
    wait_for((u32)(2 * i + 2));
  }
  CHECK(reap(pid) == 0);
  return token;
}

int pingpong_main(int argc, char **argv) {
  turns = argument(argc, argv, 1, 500);
  int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  CHECK(pipe(there) == 0 && pipe(back) == 0);
  word = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(word != MAP_FAILED);
  pin(0);
  u64 token = play(0);
  for (int cpu = 1; cpu < cpus; cpu++) CHECK(play(cpu) == token);
  printf("pingpong: ok %ld turns, %016llx\n", turns, (unsigned long long)token);
  return 0;
}
