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
#include <sys/stat.h>
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

static u8 *map_aligned(int fd, u64 offset, u64 bytes) {
  u64 space = bytes + ALIGN_BYTES;
  u8 *raw = mmap(NULL, space, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return NULL;
  u64 head = (u64)(-(uintptr_t)raw & (ALIGN_BYTES - 1));
  u8 *host = raw + head;
  if (mmap(host, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, (off_t)offset) ==
      MAP_FAILED) {
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

/* The marks are where they would be if the block were the whole memfd: who reads them counts from the memfd's beginning. */
static int mblock_map(struct mblock *b, const char *label) {
  u64 all = b->offset + b->bytes;
  b->map_fd = memfd_sized(label, ".dirty", map_bytes(all));
  if (b->map_fd < 0) return b->map_fd;
  b->host = map_aligned(b->fd, b->offset, b->bytes);
  b->marks = map_plain(b->map_fd, map_bytes(all));
  b->code_map = map_plain(-1, mblock_pages(b->bytes));
  if (!b->host || !b->marks || !b->code_map) return -ENOMEM;
  b->page_map = b->marks + mblock_pages(b->offset);
  b->region_map = b->marks + mblock_region_offset(all) + (b->offset >> REGION_BITS);
  return 0;
}

static int mblock_open(struct mblock *b, const char *label) {
  b->fd = memfd_sized(label, "", b->bytes);
  return b->fd < 0 ? b->fd : mblock_map(b, label);
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

/* A memfd of a size that nobody can take back, with so many bytes. */
static bool sealed(int fd, u64 bytes) {
  struct stat status;
  int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && seals & F_SEAL_SHRINK && !(seals & F_SEAL_WRITE) && fstat(fd, &status) == 0 &&
         (u64)status.st_size >= bytes;
}

int mblock_borrow(struct mblock **out, const struct physmem_loan *loan) {
  u64 last;
  if (!range_last(loan->offset, loan->bytes, &last) || last > INT64_MAX / 2) return -EINVAL;
  if ((loan->base.v | loan->bytes) & ~PAGE_MASK || loan->offset % ALIGN_BYTES || !sealed(loan->fd, last + 1)) return -EINVAL;
  struct mblock *b = calloc(1, sizeof *b);
  if (!b) return -ENOMEM;
  *b = (struct mblock){.base = loan->base, .bytes = loan->bytes, .offset = loan->offset, .map_fd = -1};
  b->fd = fcntl(loan->fd, F_DUPFD_CLOEXEC, 0);
  int rc = b->fd < 0 ? -errno : mblock_map(b, "borrowed");
  if (rc < 0) {
    mblock_free(b);
    return rc;
  }
  *out = b;
  return 0;
}

int mblock_part(struct mblock *b) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  if (mmap(b->host, b->bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return -ENOMEM;
  int own = memfd_sized("parted", "", b->offset + b->bytes); /* holes: what walks or empties the block finds nothing */
  if (own < 0) return own;
  close(b->fd);
  b->fd = own;
  return 0;
}

void mblock_free(struct mblock *b) {
  if (b->host) munmap(b->host, b->bytes);
  if (b->marks) munmap(b->marks, map_bytes(b->offset + b->bytes));
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
    off_t data = lseek(b->fd, (off_t)(b->offset + from), SEEK_DATA);
    if (data < 0) return errno == ENXIO ? 0 : -errno; /* ENXIO: nothing but hole to the end */
    if ((u64)data - b->offset >= to) return 0;
    off_t hole = lseek(b->fd, data, SEEK_HOLE);
    if (hole < 0) {
      if (errno == ENXIO) return 0;
      return -errno;
    }
    if (hole <= data) continue; /* punched between the two calls */
    u64 end = u64_min((u64)hole - b->offset, to);
    extent(ctx, (u64)data - b->offset, end);
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
  if (fallocate(b->fd, mode, (off_t)(b->offset + from), (off_t)(to - from)) != 0 &&
      mblock_populated(b, from, to, clear_extent, (void *)(uintptr_t)b) < 0)
    memset(b->host + from, 0, to - from);
  u64 first = from >> PAGE_BITS, end = to >> PAGE_BITS;
  for (u64 page = first; page < end;) {
    u64 stop = u64_min((page / PAGES_PER_REGION + 1) * PAGES_PER_REGION, end);
    if (b->region_map[page / PAGES_PER_REGION]) memset(b->page_map + page, 0, stop - page);
    page = stop;
  }
}
