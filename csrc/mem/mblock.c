/* mblock.c - one memory block: its memfds, its mappings, its marks.
 *
 *   reserved   |<-- up to 2 MiB -->|<------------- bytes ------------->|<-- rest -->|
 *              munmap              host: memfd, MAP_FIXED over it       munmap
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/physmem.h"

enum { ALIGN_BYTES = 1 << REGION_BITS }; /* host huge page; userfaultfd units and the guest's 64K..2M pages fit in it */

/* An fd of `bytes` bytes whose size is sealed: a process that was handed it cannot shrink it under our mapping. */
static int memfd_sized(const char *label, const char *suffix, u64 bytes) {
  char name[200]; /* the kernel's limit is 249 */
  snprintf(name, sizeof name, "%.180s%s", label ? label : "mblock", suffix);
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  if (ftruncate(fd, (off_t)bytes) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    close(fd);
    return -ENOMEM; /* EFBIG, EINVAL: the host has no file of that size */
  }
  return fd;
}

static u8 *map_aligned(int fd, u64 bytes) {
  u64 space = bytes + ALIGN_BYTES;
  u8 *raw = mmap(NULL, space, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return NULL;
  u64 head = (u64)(-(uintptr_t)raw & (ALIGN_BYTES - 1));
  u8 *host = raw + head;
  if (mmap(host, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED) {
    munmap(raw, space);
    return NULL;
  }
  if (head) munmap(raw, head);
  munmap(host + bytes, space - head - bytes);
  madvise(host, bytes, MADV_DONTDUMP); /* a core of terabytes helps nobody; the memfd outlives the process if held */
  return host;
}

static u8 *map_plain(int fd, u64 bytes) {
  int flags = MAP_NORESERVE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
  u8 *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (p == MAP_FAILED) return NULL;
  madvise(p, bytes, MADV_NOHUGEPAGE); /* one byte of map must not cost 2 MiB */
  return p;
}

static u64 map_bytes(u64 bytes) {
  return mblock_region_offset(bytes) + ((mblock_regions(bytes) + PAGE_BYTES - 1) & PAGE_MASK);
}

static int mblock_open(struct mblock *b, const char *label) {
  b->fd = memfd_sized(label, "", b->bytes);
  if (b->fd < 0) return b->fd;
  b->map_fd = memfd_sized(label, ".dirty", map_bytes(b->bytes));
  if (b->map_fd < 0) return b->map_fd;
  b->host = map_aligned(b->fd, b->bytes);
  b->page_map = map_plain(b->map_fd, map_bytes(b->bytes));
  b->code_map = map_plain(-1, mblock_pages(b->bytes));
  if (!b->host || !b->page_map || !b->code_map) return -ENOMEM;
  b->region_map = b->page_map + mblock_region_offset(b->bytes);
  return 0;
}

int mblock_new(struct mblock **out, pa_t base, u64 bytes, const char *label) {
  if (bytes > INT64_MAX / 2) return -ENOMEM; /* off_t, and the sums below */
  struct mblock *b = calloc(1, sizeof *b);
  if (!b) return -ENOMEM;
  b->base = base;
  b->bytes = bytes;
  b->fd = b->map_fd = -1;
  int rc = mblock_open(b, label);
  if (rc < 0) {
    mblock_free(b);
    return rc;
  }
  *out = b;
  return 0;
}

void mblock_free(struct mblock *b) {
  if (b->host) munmap(b->host, b->bytes);
  if (b->page_map) munmap(b->page_map, map_bytes(b->bytes));
  if (b->code_map) munmap(b->code_map, mblock_pages(b->bytes));
  if (b->fd >= 0) close(b->fd);
  if (b->map_fd >= 0) close(b->map_fd);
  free(b);
}

void mblock_mark(const struct mblock *b, u64 first_page, u64 end_page) {
  for (u64 p = first_page; p < end_page; p++) ram_mark(b->page_map + p, b->region_map + p / PAGES_PER_REGION);
}

void mblock_written(const struct physmem *pm, const struct mblock *b, u64 offset, u64 bytes) {
  u64 first = offset >> PAGE_BITS, end = ((offset + (bytes - 1)) >> PAGE_BITS) + 1;
  mblock_mark(b, first, end);
  if (!pm->listener) return;
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the decoder's: see ram_written in mem.h */
  for (u64 p = first; p < end;) {
    u64 run = p;
    while (run < end && __atomic_load_n(b->code_map + run, __ATOMIC_RELAXED)) run++;
    if (run > p) {
      u64 from = u64_max(p << PAGE_BITS, offset), to = u64_min(run << PAGE_BITS, offset + bytes);
      pm->listener(pm->listener_ctx, PA(b->base.v + from), to - from);
    }
    p = run + 1;
  }
}

int mblock_populated(const struct mblock *b, u64 from, u64 to, mblock_extent extent, void *ctx) {
  while (from < to) {
    off_t data = lseek(b->fd, (off_t)from, SEEK_DATA);
    if (data < 0) return errno == ENXIO ? 0 : -errno; /* ENXIO: nothing but hole to the end */
    if ((u64)data >= to) return 0;
    off_t hole = lseek(b->fd, data, SEEK_HOLE);
    if (hole < 0) {
      if (errno == ENXIO) return 0;
      return -errno;
    }
    if (hole <= data) continue; /* punched between the two calls */
    u64 end = u64_min((u64)hole, to);
    extent(ctx, (u64)data, end);
    from = end;
  }
  return 0;
}

static void clear_extent(void *ctx, u64 from, u64 to) {
  const struct mblock *b = ctx;
  memset(b->host + from, 0, to - from);
}

/* A region's byte stays: it speaks for pages beside the range as well, and costs a look. */
void mblock_discard(const struct mblock *b, u64 from, u64 to) {
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(b->fd, mode, (off_t)from, (off_t)(to - from)) != 0 &&
      mblock_populated(b, from, to, clear_extent, (void *)(uintptr_t)b) < 0)
    memset(b->host + from, 0, to - from);
  u64 first = from >> PAGE_BITS, end = to >> PAGE_BITS;
  for (u64 page = first; page < end;) {
    u64 stop = u64_min((page / PAGES_PER_REGION + 1) * PAGES_PER_REGION, end);
    if (b->region_map[page / PAGES_PER_REGION]) memset(b->page_map + page, 0, stop - page);
    page = stop;
  }
}
