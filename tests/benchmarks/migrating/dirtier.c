/* dirtier.c - `dirtier FILL REGION RATE`: fills FILL MiB with random words, then writes REGION MiB of it, RATE MiB a second.
 *
 * The load of the guests of migration.py, of ours and of QEMU's alike; it can be process 1. Pages of 8 KiB are written in
 * turn, each with the number of the pass, and the number of the pass before must be there. A line about 5 times a second. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 8192, SLICE_NS = 2000000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t *filled(size_t bytes) {
  uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), x = 88172645463325252u;
  if (memory == MAP_FAILED) return NULL;
  for (size_t i = 0; i < bytes / 8; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    memory[i] = x;
  }
  for (size_t at = 0; at < bytes / 8; at += PAGE / 8) memory[at] = 0;
  return memory;
}

/* For as long as the guest lives. Returns at the first page that is not what was written. */
static void dirty(uint64_t *memory, size_t pages, double rate) {
  double begin = now(), told = begin;
  uint64_t done = 0, pass = 0;
  size_t page = 0;
  for (uint64_t tick = 0;;) {
    struct timespec slice = {0, SLICE_NS};
    nanosleep(&slice, NULL);
    double t = now();
    for (uint64_t want = (uint64_t)((t - begin) * rate * (1048576.0 / PAGE)); done < want && now() - t < 0.02; done++) {
      if (memory[page * (PAGE / 8)] != pass) return;
      memory[page * (PAGE / 8)] = pass + 1;
      if (++page == pages) {
        page = 0;
        pass++;
      }
    }
    if (t - told > 0.2) {
      printf("dirtier: tick %llu, %.1f MiB/s\n", (unsigned long long)tick++, (double)done * PAGE / 1048576 / (t - begin));
      fflush(stdout);
      told = t;
    }
  }
}

int main(int argc, char **argv) {
  if (getpid() == 1) {
    mknod("/console", S_IFCHR | 0600, makedev(5, 1));
    int fd = open("/console", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(fd, i);
  }
  if (argc < 4) return 2;
  size_t bytes = strtoul(argv[1], NULL, 10) << 20, region = strtoul(argv[2], NULL, 10) << 20;
  uint64_t *memory = filled(bytes);
  if (memory == NULL || region > bytes || region < PAGE) return 1;
  printf("dirtier: filled %s MiB\n", argv[1]);
  fflush(stdout);
  dirty(memory, region / PAGE, strtod(argv[3], NULL));
  printf("dirtier: CORRUPT\n");
  fflush(stdout);
  return 1;
}
