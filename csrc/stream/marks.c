/* marks.c - dirty maps of another process (the rule: csrc/mem/mem.h; the proof: docs/internals/memory.md).
 *
 * Cleared by exchange, region before pages. A region of which a piece has only a part keeps its byte, which speaks for pages
 * of others too. The barrier is the caller's, before a page is read.
 */
#include "stream/stream.h"

typedef u64 __attribute__((may_alias)) u64_map;
enum { WORD = 8 };

struct region { u64 first, end; bool whole; }; /* pages of the piece, relative to it */

static struct region region_pages(const struct piece *p, u64 r) {
  u64 from = r * STREAM_PAGES_PER_REGION, to = from + STREAM_PAGES_PER_REGION; /* counted from the region's start */
  u64 low = p->region_skew, high = p->region_skew + p->pages;
  u64 first = from > low ? from : low, end = to < high ? to : high;
  return (struct region){.first = first - low, .end = end - low, .whole = first == from && end == to};
}

static u64 region_count(const struct piece *p) {
  return (p->region_skew + p->pages + STREAM_PAGES_PER_REGION - 1) / STREAM_PAGES_PER_REGION;
}

/* First region from r on whose byte is set, or the count. */
static u64 region_next(const struct piece *p, u64 r) {
  u64 count = region_count(p);
  const u8 *map = p->region_map;
  while (r < count && (uintptr_t)(map + r) % WORD) {
    if (__atomic_load_n(map + r, __ATOMIC_RELAXED)) return r;
    r++;
  }
  while (count - r >= WORD && r < count && __atomic_load_n((const u64_map *)(map + r), __ATOMIC_RELAXED) == 0) r += WORD;
  for (; r < count; r++)
    if (__atomic_load_n(map + r, __ATOMIC_RELAXED)) return r;
  return count;
}

static u64 collect(s4v_stream *s, const struct piece *p, struct region region) {
  u64 found = 0;
  for (u64 page = region.first; page < region.end;) {
    u8 *at = p->page_map + page;
    if ((uintptr_t)at % WORD == 0 && region.end - page >= WORD &&
        __atomic_load_n((const u64_map *)at, __ATOMIC_RELAXED) == 0) {
      page += WORD;
      continue;
    }
    if (__atomic_load_n(at, __ATOMIC_RELAXED) && __atomic_exchange_n(at, 0, __ATOMIC_ACQ_REL)) {
      pending_add(&s->pending, p->first + page, p->first + page + 1);
      found++;
    }
    page++;
  }
  return found;
}

int64_t s4v_stream_harvest(s4v_stream *s) {
  u64 found = 0;
  for (u32 i = 0; i < s->count; i++) {
    const struct piece *p = s->pieces + i;
    if (!p->page_map) return S4V_EINVAL;
    u64 count = region_count(p);
    for (u64 r = region_next(p, 0); r < count; r = region_next(p, r + 1)) {
      struct region region = region_pages(p, r);
      if (region.whole) __atomic_exchange_n(p->region_map + r, 0, __ATOMIC_ACQ_REL);
      pthread_mutex_lock(&s->lock); /* for one region: takers go on in between */
      found += collect(s, p, region);
      pthread_mutex_unlock(&s->lock);
    }
  }
  return (i64)found;
}

static u64 count_marks(const struct piece *p, struct region region) {
  u64 found = 0;
  for (u64 page = region.first; page < region.end;) {
    const u8 *at = p->page_map + page;
    if ((uintptr_t)at % WORD == 0 && region.end - page >= WORD) {
      u64 word = __atomic_load_n((const u64_map *)at, __ATOMIC_RELAXED);
      word |= word >> 4;
      word |= word >> 2;
      word |= word >> 1;
      found += (u64)__builtin_popcountll(word & 0x0101010101010101u);
      page += WORD;
    } else {
      found += __atomic_load_n(at, __ATOMIC_RELAXED) != 0;
      page++;
    }
  }
  return found;
}

uint64_t s4v_stream_marked(const s4v_stream *s) {
  u64 found = 0;
  for (u32 i = 0; i < s->count; i++) {
    const struct piece *p = s->pieces + i;
    if (!p->page_map) continue;
    u64 count = region_count(p);
    for (u64 r = region_next(p, 0); r < count; r = region_next(p, r + 1)) found += count_marks(p, region_pages(p, r));
  }
  return found;
}
