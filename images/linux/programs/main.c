/* main.c - `load PART [NUMBER ...]`: loads and checks for a Linux guest, each with results known beforehand. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct part {
  const char *name;
  part_main *run;
  const char *about;
} parts[] = {
    {"forks", forks_main, "[CHILDREN] processes that change memory shared copy-on-write, and exec"},
    {"signals", signals_main, "[SIGNALS] queued signals between processes; registers survive handlers"},
    {"faults", faults_main, "the signal and its details for every kind of fault"},
    {"fp", fp_main, "[PROCESSES [ROUNDS]] double and quad arithmetic in competing processes"},
    {"threads", threads_main, "[THREADS [ROUNDS]] mutexes, condition variables, barriers, atomics"},
    {"dirty", dirty_main, "[MEBIBYTES [ROUNDS]] writes memory in rounds and checks every word"},
    {"timers", timers_main, "[ROUNDS] sleeps and timers against the clocks and STICK"},
    {"altstack", altstack_main, "[ROUNDS] stack overflows handled on another stack"},
    {"maps", maps_main, "[ROUNDS] mmap, mprotect, mremap, sharing, written code"},
    {"contexts", contexts_main, "[SWITCHES] coroutines, longjmp through deep register windows"},
    {"pingpong", pingpong_main, "[TURNS] context switches between processes on different cpus"},
    {"sockets", sockets_main, "[KIBIBYTES] a stream over TCP on the loopback"},
    {"cpus", cpus_main, "runs on every cpu in turn; clocks agree between cpus"},
    {"hwcaps", hwcaps_main, "instructions work exactly where the kernel says so"},
    {"sums", sums_main, "[ROUNDS] integer arithmetic, for a digest while other things happen"},
    {"blockio", blockio_main, "DEVICE read|write|randread|randwrite|verify [BYTES [DEPTH [MEBIBYTES]]] direct I/O"},
    {"netload", netload_main, "serve | stream HOST | echo HOST | packets HOST: TCP and UDP between two guests"},
    {"units", units_main, "[SUFFIX [ROUNDS]] crypto drivers of that suffix (n2, sparc64) against the kernel's own code"},
};

void fail(const char *file, int line, const char *what) {
  int error = errno;
  printf("FAILED %s:%d: %s (errno %d %s)\n", file, line, what, error, strerror(error));
  fflush(stdout);
  _exit(1);
}

long argument(int argc, char **argv, int index, long otherwise) {
  return index < argc ? strtol(argv[index], NULL, 0) : otherwise;
}

u64 chance(u64 *state) {
  u64 x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * 0x2545f4914f6cdd1du;
}

u64 fold(u64 sum, u64 value) {
  for (int i = 0; i < 64; i += 8) sum = (sum ^ (value >> i & 255)) * 0x100000001b3u;
  return sum;
}

int reap(int pid) {
  int status = 0;
  int got;
  do got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  CHECK(got == pid);
  CHECK(WIFEXITED(status));
  return WEXITSTATUS(status);
}

i64 now_ns(void) {
  struct timespec t;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  return (i64)t.tv_sec * 1000000000 + t.tv_nsec;
}

int spawn(int (*work)(long), long index) {
  fflush(stdout);
  int pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    int status = work(index);
    fflush(stdout);
    _exit(status);
  }
  return pid;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (unsigned i = 0; argc > 1 && i < sizeof parts / sizeof *parts; i++)
    if (strcmp(argv[1], parts[i].name) == 0) return parts[i].run(argc - 1, argv + 1);
  for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) printf("load %s %s\n", parts[i].name, parts[i].about);
  return 2;
}
