/* blockio.c - a block device or file by direct, asynchronous I/O at a queue depth: how fast, and is it what was written? */
#include "load.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SECTOR = 512, MOST_DEPTH = 256 };

struct job {
  int fd;
  int write, random, verify;
  long bytes, depth; /* of one request; requests under way */
  u64 blocks;        /* of `bytes` each, that are used */
  u64 seed;
};

/* Every sector says where it belongs and in which round it was written. */
static void fill(char *buffer, long bytes, u64 offset, u64 round) {
  u64 *words = (u64 *)(void *)buffer;
  for (long i = 0; i < bytes / 8; i++) words[i] = fold(offset / SECTOR + (u64)i / 64, round);
}

static int holds(const char *buffer, long bytes, u64 offset, u64 round) {
  const u64 *words = (const u64 *)(const void *)buffer;
  for (long i = 0; i < bytes / 8; i += 8)
    if (words[i] != fold(offset / SECTOR + (u64)i / 64, round)) return 0;
  return 1;
}

static void submit(aio_context_t context, const struct job *job, struct iocb *request, char *buffer, u64 block, long slot) {
  u64 offset = block * (u64)job->bytes;
  if (job->write && job->verify) fill(buffer, job->bytes, offset, job->seed);
  *request = (struct iocb){.aio_data = (u64)slot, .aio_lio_opcode = job->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                           .aio_fildes = (u32)job->fd, .aio_buf = (u64)(uintptr_t)buffer,
                           .aio_nbytes = (u64)job->bytes, .aio_offset = (i64)offset};
  CHECK(syscall(SYS_io_submit, context, 1l, (struct iocb *[]){request}) == 1);
}

/* Sequential: all blocks once. Random: as many requests, each block equally likely. Returns nanoseconds. */
static i64 pass(const struct job *job, u64 requests) {
  aio_context_t context = 0;
  static struct iocb slots[MOST_DEPTH];
  static struct io_event events[MOST_DEPTH];
  static u64 blocks[MOST_DEPTH];
  char *buffers = aligned_alloc(8192, (size_t)(job->bytes * job->depth));
  u64 state = job->seed | 1, sent = 0, done = 0;
  CHECK(buffers != NULL);
  memset(buffers, 0x5a, (size_t)(job->bytes * job->depth));
  CHECK(syscall(SYS_io_setup, job->depth, &context) == 0);
  i64 begin = now_ns();
  for (long slot = 0; slot < job->depth && sent < requests; slot++, sent++) {
    blocks[slot] = job->random ? chance(&state) % job->blocks : sent % job->blocks;
    submit(context, job, &slots[slot], buffers + slot * job->bytes, blocks[slot], slot);
  }
  while (done < requests) {
    long got = syscall(SYS_io_getevents, context, 1l, (long)job->depth, events, NULL);
    CHECK(got > 0);
    for (long i = 0; i < got; i++, done++) {
      long slot = (long)events[i].data;
      char *buffer = buffers + slot * job->bytes;
      CHECK(events[i].res == job->bytes);
      if (!job->write && job->verify) CHECK(holds(buffer, job->bytes, blocks[slot] * (u64)job->bytes, job->seed));
      if (sent == requests) continue;
      blocks[slot] = job->random ? chance(&state) % job->blocks : sent % job->blocks;
      sent++;
      submit(context, job, &slots[slot], buffer, blocks[slot], slot);
    }
  }
  i64 time = now_ns() - begin;
  CHECK(syscall(SYS_io_destroy, context) == 0);
  free(buffers);
  return time;
}

static u64 size_of(int fd) {
  struct stat about;
  u64 bytes = 0;
  CHECK(fstat(fd, &about) == 0);
  if (!S_ISBLK(about.st_mode)) return (u64)about.st_size;
  CHECK(ioctl(fd, BLKGETSIZE64, &bytes) == 0);
  return bytes;
}

static void say(const char *what, const struct job *job, u64 requests, i64 time) {
  double seconds = (double)time / 1e9;
  printf("blockio %s %ld depth %ld: %.1f MB/s %.0f IOPS %llu requests %.3f s ok\n", what, job->bytes, job->depth,
         (double)requests * (double)job->bytes / 1e6 / seconds, (double)requests / seconds,
         (unsigned long long)requests, seconds);
}

/* Writes all in random order, twice with other contents, syncs, reads all back and compares. */
static void verify(struct job *job) {
  job->verify = 1;
  for (u64 round = 1; round <= 2; round++) {
    job->seed = round;
    job->write = 1;
    job->random = 0;
    i64 time = pass(job, job->blocks);
    if (round == 2) job->random = 1, time += pass(job, job->blocks / 2), job->random = 0;
    CHECK(fsync(job->fd) == 0);
    job->write = 0;
    time += pass(job, job->blocks);
    say("verify", job, job->blocks, time);
  }
}

int blockio_main(int argc, char **argv) {
  if (argc < 3) return printf("load blockio DEVICE read|write|randread|randwrite|verify [BYTES [DEPTH [MEBIBYTES]]]\n"), 2;
  struct job job = {.bytes = argument(argc, argv, 3, 65536), .depth = argument(argc, argv, 4, 1), .seed = 1};
  const char *what = argv[2];
  int verifies = strcmp(what, "verify") == 0;
  job.write = strstr(what, "write") != NULL;
  job.random = strncmp(what, "rand", 4) == 0;
  CHECK(job.depth >= 1 && job.depth <= MOST_DEPTH && job.bytes >= SECTOR && job.bytes % SECTOR == 0);
  job.fd = open(argv[1], (job.write || verifies ? O_RDWR : O_RDONLY) | O_DIRECT);
  CHECK(job.fd >= 0);
  u64 limit = (u64)argument(argc, argv, 5, 64) << 20, size = size_of(job.fd);
  job.blocks = (size < limit ? size : limit) / (u64)job.bytes;
  CHECK(job.blocks > 0);
  if (verifies) return verify(&job), 0;
  i64 time = pass(&job, job.blocks);
  if (job.write) {
    i64 begin = now_ns();
    CHECK(fsync(job.fd) == 0);
    time += now_ns() - begin;
  }
  say(what, &job, job.blocks, time);
  return 0;
}
