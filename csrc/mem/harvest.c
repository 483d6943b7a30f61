/* harvest.c - collecting dirty marks, and the populated extents that a first round starts from.
 *
 *   1. region byte: exchange 0          (region before pages: a mark made after this raises the region again)
 *   2. its page bytes: exchange 0       (8 at a time), extents into the batch
 *   3. pinned ranges: marked again
 *   4. barrier                          (every writer's store buffer drains; soft TLBs give write permission back)
 *   5. sink: only now may pages be read
 *
 * docs/internals/memory.md has the proof.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mem/physmem.h"

typedef u64 __attribute__((may_alias)) u64_map; /* eight map bytes at once */
enum { WORD_BYTES = 8, STRIDE_BYTES = 64 };

struct extent { u64 first, pages; };

struct batch {
  struct physmem *pm;
  const struct mblock *block;
  harvest_barrier barrier;
  harvest_sink sink;
  void *ctx;
  struct extent *extents;
  size_t count;
  u64 pages, total;
};

static void batch_add(struct batch *batch, u64 page, u64 n) {
  struct extent *last = batch->count ? batch->extents + batch->count - 1 : NULL;
  if (last && last->first + last->pages == page)
    last->pages += n;
  else
    batch->extents[batch->count++] = (struct extent){.first = page, .pages = n};
  batch->pages += n;
}

static bool batch_full(const struct batch *batch) {
  return batch->pages > HARVEST_BATCH_PAGES - WORD_BYTES || batch->count > HARVEST_BATCH_EXTENTS - WORD_BYTES;
}

static void batch_flush(struct batch *batch) {
  if (batch->count == 0) return;
  const struct extent *last = batch->extents + batch->count - 1;
  pin_remark(batch->pm, batch->block, batch->extents[0].first, last->first + last->pages);
  if (batch->barrier) batch->barrier(batch->ctx);
  for (size_t i = 0; i < batch->count; i++) {
    const struct extent *e = batch->extents + i;
    batch->sink(batch->ctx, PA(batch->block->base.v + (e->first << PAGE_BITS)), e->pages);
  }
  batch->total += batch->pages;
  batch->pages = 0;
  batch->count = 0;
}

static inline u64 map_word(const u8 *map, u64 at) {
  return __atomic_load_n((const u64_map *)(map + at), __ATOMIC_RELAXED);
}

/* First of the map bytes [from, to) that may be set: a set byte, or a byte of a word that has one. */
static u64 map_skip(const u8 *map, u64 from, u64 to) {
  while (from < to && from % WORD_BYTES) {
    if (__atomic_load_n(map + from, __ATOMIC_RELAXED)) return from;
    from++;
  }
  for (; to - from >= STRIDE_BYTES; from += STRIDE_BYTES) {
    u64 any = 0;
    for (u64 i = 0; i < STRIDE_BYTES; i += WORD_BYTES) any |= map_word(map, from + i);
    if (any) break;
  }
  while (to - from >= WORD_BYTES && map_word(map, from) == 0) from += WORD_BYTES;
  return from;
}

/* Index of the next byte of map[from, to) that is not 0, or `to`. */
static u64 map_next(const u8 *map, u64 from, u64 to) {
  for (from = map_skip(map, from, to); from < to; from = map_skip(map, from + 1, to))
    if (__atomic_load_n(map + from, __ATOMIC_RELAXED)) return from;
  return to;
}

static void collect_word(struct batch *batch, u64 page) {
  if (map_word(batch->block->page_map, page) == 0) return;
  u64 marks = __atomic_exchange_n((u64_map *)(batch->block->page_map + page), 0, __ATOMIC_ACQ_REL);
  u8 bytes[WORD_BYTES];
  memcpy(bytes, &marks, sizeof bytes);
  for (u64 i = 0; i < WORD_BYTES; i++)
    if (bytes[i]) batch_add(batch, page + i, 1);
}

static void collect_byte(struct batch *batch, u64 page) {
  u8 *byte = batch->block->page_map + page;
  if (__atomic_load_n(byte, __ATOMIC_RELAXED) == 0) return;
  if (__atomic_exchange_n(byte, 0, __ATOMIC_ACQ_REL)) batch_add(batch, page, 1);
}

static void collect_pages(struct batch *batch, u64 first, u64 end) {
  const u8 *map = batch->block->page_map;
  for (u64 p = map_skip(map, first, end); p < end; p = map_skip(map, p, end)) {
    if (p % WORD_BYTES == 0 && end - p >= WORD_BYTES) {
      collect_word(batch, p);
      p += WORD_BYTES;
    } else {
      collect_byte(batch, p++);
    }
    if (batch_full(batch)) batch_flush(batch);
  }
}

/* The block that holds [base, base + bytes) and the pages of it; NULL if the range is not page-aligned or not in one
 * block. An empty range is in the block of its base. */
static const struct mblock *harvest_range(const struct physmem *pm, u64 base, u64 bytes, u64 *first, u64 *end) {
  const struct mblock *b = physmem_find(pm, PA(base));
  if (!b || (base | bytes) & ~PAGE_MASK || bytes > b->bytes - (base - b->base.v)) return NULL;
  *first = (base - b->base.v) >> PAGE_BITS;
  *end = *first + (bytes >> PAGE_BITS);
  return b;
}

/* Pages of region r that lie in [first, end); true if that is all of the region's pages. */
static bool region_pages(const struct mblock *b, u64 r, u64 first, u64 end, u64 *lo, u64 *hi) {
  u64 from = r * PAGES_PER_REGION, to = u64_min(from + PAGES_PER_REGION, mblock_pages(b->bytes));
  *lo = u64_max(from, first);
  *hi = u64_min(to, end);
  return *lo == from && *hi == to;
}

static u64 region_end(u64 end_page) { return (end_page + PAGES_PER_REGION - 1) / PAGES_PER_REGION; }

i64 physmem_harvest(struct physmem *pm, pa_t base, u64 bytes, harvest_barrier barrier, harvest_sink sink, void *ctx) {
  u64 first, end, lo, hi;
  const struct mblock *b = harvest_range(pm, base.v, bytes, &first, &end);
  if (!b) return -EINVAL;
  struct batch batch = {.pm = pm, .block = b, .barrier = barrier, .sink = sink, .ctx = ctx};
  batch.extents = malloc(HARVEST_BATCH_EXTENTS * sizeof *batch.extents);
  if (!batch.extents) return -ENOMEM;
  u64 regions = region_end(end);
  for (u64 r = first / PAGES_PER_REGION; r < regions; r++) {
    r = map_next(b->region_map, r, regions);
    if (r == regions) break;
    /* A region that is harvested in part keeps its byte: it still speaks for the other pages. */
    if (region_pages(b, r, first, end, &lo, &hi)) __atomic_exchange_n(b->region_map + r, 0, __ATOMIC_ACQ_REL);
    collect_pages(&batch, lo, hi);
  }
  batch_flush(&batch);
  free(batch.extents);
  return (i64)batch.total;
}

u64 physmem_dirty_count(const struct physmem *pm, pa_t base, u64 bytes) {
  u64 first, end, lo, hi, count = 0;
  const struct mblock *b = harvest_range(pm, base.v, bytes, &first, &end);
  if (!b) return 0;
  u64 regions = region_end(end);
  for (u64 r = first / PAGES_PER_REGION; r < regions; r++) {
    r = map_next(b->region_map, r, regions);
    if (r == regions) break;
    region_pages(b, r, first, end, &lo, &hi);
    for (u64 p = map_next(b->page_map, lo, hi); p < hi; p = map_next(b->page_map, p + 1, hi)) count++;
  }
  return count;
}

static int membarrier(int command) { return (int)syscall(SYS_membarrier, command, 0, 0); }

int harvest_membarrier_register(void) {
  return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 ? 0 : -errno;
}

void harvest_membarrier(void *ctx) {
  (void)ctx;
  if (LIKELY(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0)) return;
  if (membarrier(MEMBARRIER_CMD_GLOBAL) == 0) return; /* not registered: slow, but the same promise */
  /* Going on would lose guest memory in silence. */
  fprintf(stderr, "sun4v: membarrier: %s; harvest with a safepoint instead\n", strerror(errno));
  abort();
}

void physmem_barrier(struct physmem *pm) {
  pin_remark_all(pm);
  harvest_membarrier(NULL);
}

struct populated {
  const struct mblock *block;
  harvest_sink sink;
  void *ctx;
  u64 first, end; /* pages gathered and not yet handed on: host pages are smaller than ours, so extents can touch */
  u64 total;
};

static void populated_flush(struct populated *p) {
  if (p->first == p->end) return;
  p->sink(p->ctx, PA(p->block->base.v + (p->first << PAGE_BITS)), p->end - p->first);
  p->total += p->end - p->first;
}

static void populated_extent(void *ctx, u64 from, u64 to) {
  struct populated *p = ctx;
  u64 first = from >> PAGE_BITS, end = (to + PAGE_BYTES - 1) >> PAGE_BITS;
  if (first > p->end || p->first == p->end) {
    populated_flush(p);
    p->first = first;
  }
  p->end = end;
}

i64 physmem_populated(const struct physmem *pm, pa_t pa, u64 bytes, harvest_sink sink, void *ctx) {
  u64 first, end;
  const struct mblock *b = harvest_range(pm, pa.v, bytes, &first, &end);
  if (!b) return -EINVAL;
  struct populated p = {.block = b, .sink = sink, .ctx = ctx};
  int rc = mblock_populated(b, first << PAGE_BITS, end << PAGE_BITS, populated_extent, &p);
  if (rc < 0) return rc;
  populated_flush(&p);
  return (i64)p.total;
}
