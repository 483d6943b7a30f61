/* image.c - blocks by their descriptors: checked once, found by index and by number, read and written. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream/stream.h"
#include "util/pages.h"

enum { HOST_PAGE = 4096 };
static const u64 MOST_BYTES = (u64)1 << 56; /* of a block and of an offset: their sums do not wrap */

struct complaint { char *text; size_t bytes; };

__attribute__((format(printf, 2, 3))) static int complain(struct complaint c, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(c.text, c.bytes, format, arguments);
  va_end(arguments);
  return S4V_EINVAL;
}

/* A file of at least `bytes` bytes that a mapping or an offset may rely on. */
static int check_file(int fd, u64 bytes, struct complaint c, const char *what) {
  struct stat status;
  if (fstat(fd, &status) != 0) return complain(c, "%s: %s", what, strerror(errno));
  if (!S_ISREG(status.st_mode)) return complain(c, "%s: the descriptor is not that of memory", what);
  if ((u64)status.st_size < bytes)
    return complain(c, "%s: the file has %llu bytes, %llu are wanted", what, (unsigned long long)status.st_size,
                    (unsigned long long)bytes);
  return 0;
}

static void *map_bytes(struct piece *p, int slot, int fd, u64 offset, u64 bytes) {
  u64 skew = offset % HOST_PAGE;
  void *at = mmap(NULL, bytes + skew, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)(offset - skew));
  if (at == MAP_FAILED) return NULL;
  p->mapped[slot] = at;
  p->mapped_bytes[slot] = bytes + skew;
  return (u8 *)at + skew;
}

static int piece_map(struct piece *p, const s4v_stream_block *b, struct complaint c) {
  u64 first_region = p->memory_offset >> REGION_BITS;
  u64 last_region = (p->memory_offset + p->bytes - 1) >> REGION_BITS;
  u64 regions_at = b->region_map_offset + first_region, regions = last_region - first_region + 1;
  u64 end = b->page_map_offset + p->pages;
  if (end < regions_at + regions) end = regions_at + regions;
  if (check_file(b->map_fd, end, c, "dirty map") != 0) return S4V_EINVAL;
  int seals = fcntl(b->map_fd, F_GET_SEALS);
  if (seals < 0 || !(seals & F_SEAL_SHRINK)) return complain(c, "dirty map: its size is not sealed");
  p->region_skew = (p->memory_offset >> PAGE_BITS) % STREAM_PAGES_PER_REGION;
  p->page_map = map_bytes(p, 0, b->map_fd, b->page_map_offset, p->pages);
  p->region_map = map_bytes(p, 1, b->map_fd, regions_at, regions);
  return p->page_map && p->region_map ? 0 : complain(c, "dirty map: %s", strerror(errno));
}

/* To read back what was written without copying it. Where there is none it is read like all else. */
static void piece_view(struct piece *p) {
  int seals = fcntl(p->memory_fd, F_GET_SEALS);
  u64 skew = p->memory_offset % HOST_PAGE, bytes = p->bytes + skew;
  if (seals < 0 || !(seals & F_SEAL_SHRINK)) return;
  void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, p->memory_fd, (off_t)(p->memory_offset - skew));
  if (at == MAP_FAILED) return;
  p->mapped[0] = at;
  p->mapped_bytes[0] = bytes;
  p->memory = (const u8 *)at + skew;
}

static int piece_open(struct piece *p, const s4v_stream_block *b, bool marks, struct complaint c) {
  if ((b->ra | b->bytes | b->memory_offset) % PAGE_BYTES || b->bytes == 0 || b->bytes > MOST_BYTES ||
      b->memory_offset > MOST_BYTES || b->page_map_offset > MOST_BYTES || b->region_map_offset > MOST_BYTES ||
      b->ra > (u64)1 << 63)
    return complain(c, "a block that is not of whole pages: %#llx bytes at %#llx", (unsigned long long)b->bytes,
                    (unsigned long long)b->ra);
  p->ra = b->ra;
  p->bytes = b->bytes;
  p->pages = b->bytes >> PAGE_BITS;
  p->memory_offset = b->memory_offset;
  if (check_file(b->memory_fd, b->memory_offset + b->bytes, c, "memory") != 0) return S4V_EINVAL;
  p->memory_fd = fcntl(b->memory_fd, F_DUPFD_CLOEXEC, 0);
  if (p->memory_fd < 0) return complain(c, "memory: %s", strerror(errno));
  if (marks) return piece_map(p, b, c);
  piece_view(p);
  return 0;
}

static int image_open(s4v_stream *s, const s4v_stream_block *blocks, u32 count, bool marks, struct complaint c) {
  for (u32 i = 0; i < count; i++) {
    struct piece *p = s->pieces + i;
    p->memory_fd = -1;
    p->first = s->pages;
    s->count = i + 1;
    if (piece_open(p, blocks + i, marks, c) != 0) return S4V_EINVAL;
    if (i && p[-1].ra + p[-1].bytes > p->ra) return complain(c, "blocks are not in the order of their addresses");
    s->pages += p->pages;
  }
  if (s->pages > MOST_BYTES >> PAGE_BITS) return complain(c, "too much memory");
  s->table = pages_new(s->pages * sizeof *s->table);
  if (!s->table || pending_init(&s->pending, s->pages) != 0) return complain(c, "the host has no memory for the tables");
  return 0;
}

s4v_stream *s4v_stream_new(const s4v_stream_block *blocks, uint32_t count, const uint8_t *key, int marks, char *err,
                           size_t err_bytes) {
  struct complaint c = {.text = err, .bytes = err_bytes};
  if (count == 0 || count > STREAM_MAX_BLOCKS) {
    complain(c, "1 to %d blocks are wanted", STREAM_MAX_BLOCKS);
    return NULL;
  }
  s4v_stream *s = calloc(1, sizeof *s + count * sizeof *s->pieces);
  if (!s) {
    complain(c, "the host has no memory");
    return NULL;
  }
  pthread_mutex_init(&s->lock, NULL);
  memcpy(s->key, key, sizeof s->key);
  if (image_open(s, blocks, count, marks != 0, c) == 0) return s;
  s4v_stream_free(s);
  return NULL;
}

void s4v_stream_free(s4v_stream *s) {
  if (!s) return;
  for (u32 i = 0; i < s->count; i++) {
    struct piece *p = s->pieces + i;
    for (int slot = 0; slot < 2; slot++)
      if (p->mapped[slot]) munmap(p->mapped[slot], p->mapped_bytes[slot]);
    if (p->memory_fd >= 0) close(p->memory_fd);
  }
  pages_free(s->table, s->pages * sizeof *s->table);
  pending_release(&s->pending);
  presence_release(s);
  pthread_mutex_destroy(&s->lock);
  explicit_bzero(s->key, sizeof s->key);
  free(s);
}

uint64_t s4v_stream_pages(const s4v_stream *s) { return s->pages; }

const struct piece *image_piece(const s4v_stream *s, u64 index) {
  u32 low = 0, high = s->count;
  while (high - low > 1) {
    u32 middle = low + (high - low) / 2;
    if (s->pieces[middle].first <= index) low = middle;
    else high = middle;
  }
  return s->pieces + low;
}

const struct piece *image_find(const s4v_stream *s, u64 number) {
  if (number > UINT64_MAX >> PAGE_BITS) return NULL;
  u64 ra = number << PAGE_BITS;
  u32 low = 0, high = s->count;
  while (high - low > 1) {
    u32 middle = low + (high - low) / 2;
    if (s->pieces[middle].ra <= ra) low = middle;
    else high = middle;
  }
  const struct piece *p = s->pieces + low;
  return ra >= p->ra && ra - p->ra < p->bytes ? p : NULL;
}

bool image_read(const struct piece *p, u64 index, u64 pages, u8 *out) {
  u64 at = piece_offset(p, index), left = pages << PAGE_BITS;
  while (left) {
    ssize_t got = pread(p->memory_fd, out, left, (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out += got;
    at += (u64)got;
    left -= (u64)got;
  }
  return true;
}

bool image_write(const struct piece *p, u64 index, u64 pages, const u8 *bytes) {
  u64 at = piece_offset(p, index), left = pages << PAGE_BITS;
  while (left) {
    ssize_t put = pwrite(p->memory_fd, bytes, left, (off_t)at);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes += put;
    at += (u64)put;
    left -= (u64)put;
  }
  return true;
}

bool image_clear(const struct piece *p, u64 index) {
  static const u8 ZEROS[PAGE_BYTES];
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return fallocate(p->memory_fd, mode, (off_t)piece_offset(p, index), PAGE_BYTES) == 0 || image_write(p, index, 1, ZEROS);
}

/* SEEK_DATA moves the file's position, which processes share and nobody uses: all else is pread and pwrite. */
int image_populated(const struct piece *p, u64 from, u64 to, image_extent extent, void *ctx) {
  while (from < to) {
    off_t data = lseek(p->memory_fd, (off_t)piece_offset(p, from), SEEK_DATA);
    if (data < 0) return errno == ENXIO ? 0 : S4V_EFAULT; /* ENXIO: a hole to the end */
    off_t hole = lseek(p->memory_fd, data, SEEK_HOLE);
    if (hole < 0 && errno != ENXIO) return S4V_EFAULT;
    if (hole <= data) hole = data + 1; /* punched between the two: look at that page */
    u64 first = p->first + (((u64)data - p->memory_offset) >> PAGE_BITS);
    u64 end = p->first + (((u64)hole - p->memory_offset + PAGE_BYTES - 1) >> PAGE_BITS);
    if (first >= to) return 0;
    if (end > to) end = to;
    int rc = extent(ctx, p, first, end);
    if (rc != 0) return rc;
    from = end;
  }
  return 0;
}

struct populated { s4v_stream *stream; u64 count; };

static int populated_extent(void *ctx, const struct piece *p, u64 from, u64 to) {
  (void)p;
  struct populated *found = ctx;
  pthread_mutex_lock(&found->stream->lock);
  pending_add(&found->stream->pending, from, to);
  pthread_mutex_unlock(&found->stream->lock);
  found->count += to - from;
  return 0;
}

int64_t s4v_stream_populated(s4v_stream *s, uint64_t *at, uint64_t most) {
  struct populated found = {.stream = s};
  u64 end = most < s->pages - *at ? *at + most : s->pages;
  while (*at < end) {
    const struct piece *p = image_piece(s, *at);
    u64 to = p->first + p->pages < end ? p->first + p->pages : end;
    int rc = image_populated(p, *at, to, populated_extent, &found);
    if (rc != 0) return rc;
    *at = to;
  }
  return (i64)found.count;
}
