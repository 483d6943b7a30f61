/* disk_load.c - a guest program (Linux): direct I/O on a disk at a queue depth, by the kernel's asynchronous interface.
 *
 *   disk_load DEVICE read|write seq|rand BYTES DEPTH COUNT SEED
 *
 * Every block has its own contents, made from its number and the seed: what is read is compared with it (after `write` with
 * the same seed), or with zeros. One line: requests, microseconds, blocks that were wrong. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 512, MOST_DEPTH = 64 };
#define GET_BYTES _IOR(0x12, 114, size_t)

static uint64_t next(uint64_t *s) {
  *s ^= *s << 13, *s ^= *s >> 7, *s ^= *s << 17;
  return *s;
}

static void make(char *at, uint64_t block, uint64_t seed) {
  uint64_t word[2] = {block, block * 0x9e3779b97f4a7c15u ^ seed};
  for (int i = 0; i < BLOCK; i += 16) memcpy(at + i, word, 16);
}

static int wrong(const char *at, uint64_t block, uint64_t seed) {
  char want[BLOCK];
  static const char zeros[BLOCK];
  make(want, block, seed);
  return memcmp(at, want, BLOCK) != 0 && memcmp(at, zeros, BLOCK) != 0;
}

int main(int argc, char **argv) {
  if (argc != 8) return 2;
  int writes = argv[2][0] == 'w', random = argv[3][0] == 'r', fd = open(argv[1], O_RDWR | O_DIRECT);
  uint64_t bytes = strtoull(argv[4], 0, 0), depth = strtoull(argv[5], 0, 0), count = strtoull(argv[6], 0, 0);
  uint64_t seed = strtoull(argv[7], 0, 0), chance = seed + 1, size = 0, sent = 0, done = 0, bad = 0;
  aio_context_t ring = 0;
  if (fd < 0 || ioctl(fd, GET_BYTES, &size) || depth > MOST_DEPTH || syscall(SYS_io_setup, MOST_DEPTH, &ring)) return 3;
  struct iocb control[MOST_DEPTH];
  char *buffer = aligned_alloc(65536, bytes * depth);
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  uint64_t slots[MOST_DEPTH], free_slots = depth;
  for (uint64_t i = 0; i < depth; i++) slots[i] = i;
  while (done < count) {
    while (free_slots && sent < count) {
      uint64_t i = slots[--free_slots], at = (random ? next(&chance) : sent) % (size / bytes) * bytes;
      struct iocb *c = &control[i], *list[1] = {c};
      char *data = buffer + i * bytes;
      for (uint64_t b = 0; writes && b < bytes; b += BLOCK) make(data + b, (at + b) / BLOCK, seed);
      memset(c, 0, sizeof *c);
      c->aio_data = i;
      c->aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      c->aio_fildes = (uint32_t)fd;
      c->aio_buf = (uintptr_t)data;
      c->aio_nbytes = bytes;
      c->aio_offset = (int64_t)at;
      if (syscall(SYS_io_submit, ring, 1, list) != 1) return 4;
      sent++;
    }
    struct io_event event[MOST_DEPTH];
    long n = syscall(SYS_io_getevents, ring, 1, MOST_DEPTH, event, 0);
    if (n < 1) return 5;
    for (long e = 0; e < n; e++) {
      uint64_t i = event[e].data;
      if (event[e].res != (int64_t)bytes) bad++;
      if (!writes && wrong(buffer + i * bytes, (uint64_t)control[i].aio_offset / BLOCK, seed)) bad++;
      slots[free_slots++] = i;
    }
    done += (uint64_t)n;
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  long us = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
  printf("load %s %s %llu depth %llu: %llu requests %ld us %llu wrong\n", argv[2], argv[3], (unsigned long long)bytes,
         (unsigned long long)depth, (unsigned long long)count, us, (unsigned long long)bad);
  return bad != 0;
}
