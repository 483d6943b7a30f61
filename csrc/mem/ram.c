/* ram.c - a domain's real address space: segments as the caller gave them, and the spans (segment cut at block
 * borders) that lookups search.
 *
 *   RA   |---- segment 0 ----|        |-------- segment 1 --------|
 *        |------ span 0 -----|        |-- span 1 --|--- span 2 ---|
 *   PA      inside block A              end of B      start of C
 */
#include "mem/ram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem/presence.h"

struct ram *ram_new(struct physmem *pm) {
  struct ram *ram = calloc(1, sizeof *ram);
  if (ram) ram->pm = pm;
  return ram;
}

void ram_free(struct ram *ram) {
  if (!ram) return;
  presence_end(ram);
  pin_remove_all(ram->pm, ram);
  for (size_t i = 0; i < ram->span_count; i++) ram->spans[i].block->users--;
  free(ram->segments);
  free(ram->spans);
  free(ram);
}

/* Number of spans that begin at or below ra. */
static inline size_t span_rank(const struct ram *ram, u64 ra) {
  size_t rank = 0;
  for (size_t n = ram->span_count; n; n -= (n + 1) / 2) { /* steps without branches: the engine asks at random */
    size_t half = (n + 1) / 2;
    rank += ram->spans[rank + half - 1].ra <= ra ? half : 0;
  }
  return rank;
}

const struct span *ram_span(const struct ram *ram, u64 ra) {
  size_t rank = span_rank(ram, ra);
  if (rank == 0) return NULL;
  const struct span *s = ram->spans + rank - 1;
  return ra - s->ra < s->bytes ? s : NULL;
}

const struct span *ram_spans_from(const struct ram *ram, u64 ra) {
  size_t rank = span_rank(ram, ra);
  return ram->spans + (rank ? rank - 1 : 0);
}

static size_t segment_rank(const struct ram *ram, u64 ra) {
  size_t i = 0;
  while (i < ram->segment_count && ram->segments[i].ra <= ra) i++;
  return i;
}

/* Blocks that [pa, last] runs over; 0 if a byte of it lies in none. */
static size_t blocks_under(const struct physmem *pm, u64 pa, u64 last) {
  for (size_t n = 1;; n++) {
    const struct mblock *b = physmem_find(pm, PA(pa));
    if (!b) return 0;
    u64 end = b->base.v + (b->bytes - 1);
    if (end >= last) return n;
    pa = end + 1;
  }
}

static int ram_reserve(struct ram *ram, size_t more, size_t spans) {
  struct segment *segments = realloc(ram->segments, (ram->segment_count + more) * sizeof *segments);
  if (!segments) return -ENOMEM;
  ram->segments = segments;
  struct span *grown = realloc(ram->spans, (ram->span_count + spans) * sizeof *grown);
  if (!grown) return -ENOMEM;
  ram->spans = grown;
  return 0;
}

static void spans_insert(struct ram *ram, const struct segment *seg, size_t n) {
  size_t at = span_rank(ram, seg->ra);
  memmove(ram->spans + at + n, ram->spans + at, (ram->span_count - at) * sizeof *ram->spans);
  ram->span_count += n;
  u64 done = 0;
  for (size_t i = 0; i < n; i++) {
    struct mblock *b = (struct mblock *)(uintptr_t)physmem_find(ram->pm, PA(seg->pa + done));
    u64 offset = seg->pa + done - b->base.v;
    u64 bytes = u64_min(seg->bytes - done, b->bytes - offset);
    ram->spans[at + i] = (struct span){.ra = seg->ra + done, .bytes = bytes, .offset = offset, .block = b};
    b->users++;
    done += bytes;
  }
}

int ram_room(struct ram *ram, size_t spans) { return ram_reserve(ram, 1, spans); }

void ram_lay(struct ram *ram) {
  ram->span_count = 0;
  for (size_t i = 0; i < ram->segment_count; i++) {
    const struct segment *seg = ram->segments + i;
    spans_insert(ram, seg, blocks_under(ram->pm, seg->pa, seg->pa + (seg->bytes - 1)));
  }
}

int ram_add_segment(struct ram *ram, ra_t ra, u64 bytes, pa_t pa) {
  u64 ra_last, pa_last;
  if (ram->presence) return -EBUSY;
  if ((ra.v | pa.v | bytes) & ~PAGE_MASK) return -EINVAL;
  if (!range_last(ra.v, bytes, &ra_last) || !range_last(pa.v, bytes, &pa_last)) return -EINVAL;
  size_t at = segment_rank(ram, ra_last);
  if (at > 0 && ram->segments[at - 1].ra + (ram->segments[at - 1].bytes - 1) >= ra.v) return -EINVAL;
  size_t n = blocks_under(ram->pm, pa.v, pa_last);
  if (n == 0) return -EINVAL;
  if (ram_reserve(ram, 1, n) < 0) return -ENOMEM;
  struct segment seg = {.ra = ra.v, .bytes = bytes, .pa = pa.v};
  memmove(ram->segments + at + 1, ram->segments + at, (ram->segment_count - at) * sizeof seg);
  ram->segments[at] = seg;
  ram->segment_count++;
  spans_insert(ram, &seg, n);
  return 0;
}

/* Segments [from, to) and the spans under them go. */
static void segments_drop(struct ram *ram, size_t from, size_t to) {
  const struct segment *high = ram->segments + to - 1;
  size_t first = span_rank(ram, ram->segments[from].ra) - 1, end = span_rank(ram, high->ra + (high->bytes - 1));
  for (size_t i = first; i < end; i++) ram->spans[i].block->users--;
  memmove(ram->spans + first, ram->spans + end, (ram->span_count - end) * sizeof *ram->spans);
  ram->span_count -= end - first;
  memmove(ram->segments + from, ram->segments + to, (ram->segment_count - to) * sizeof *high);
  ram->segment_count -= to - from;
}

int ram_remove_segment(struct ram *ram, ra_t ra) {
  size_t at = segment_rank(ram, ra.v);
  if (ram->presence) return -EBUSY;
  if (at == 0 || ram->segments[at - 1].ra != ra.v) return -ENOENT;
  const struct segment *seg = ram->segments + at - 1;
  if (pin_overlaps(ram->pm, ram, seg->ra, seg->ra + (seg->bytes - 1))) return -EBUSY;
  segments_drop(ram, at - 1, at);
  return 0;
}

/* Makes `at` the beginning of a segment and of a span, where it is inside one. Room for one more of each is there. */
static void ram_cut(struct ram *ram, u64 at) {
  size_t n = segment_rank(ram, at), i = span_rank(ram, at);
  if (n == 0 || i == 0) return;
  struct segment *seg = ram->segments + n - 1;
  struct span *span = ram->spans + i - 1;
  u64 into = at - seg->ra, deep = at - span->ra;
  if (into && into < seg->bytes) {
    memmove(seg + 1, seg, (ram->segment_count++ - (n - 1)) * sizeof *seg);
    seg[1] = (struct segment){.ra = at, .bytes = seg->bytes - into, .pa = seg->pa + into};
    seg->bytes = into;
  }
  if (deep && deep < span->bytes) {
    memmove(span + 1, span, (ram->span_count++ - (i - 1)) * sizeof *span);
    span[1] = (struct span){.ra = at, .bytes = span->bytes - deep, .offset = span->offset + deep, .block = span->block};
    span->bytes = deep;
    span->block->users++;
  }
}

int ram_remove(struct ram *ram, ra_t ra, u64 bytes) {
  u64 last;
  if (ram->presence) return -EBUSY;
  if ((ra.v | bytes) & ~PAGE_MASK || !range_last(ra.v, bytes, &last)) return -EINVAL;
  if (!ram_backed(ram, ra, bytes)) return -EFAULT;
  if (pin_overlaps(ram->pm, ram, ra.v, last)) return -EBUSY;
  if (ram_reserve(ram, 2, 2) < 0) return -ENOMEM;
  ram_cut(ram, ra.v);
  if (last != UINT64_MAX) ram_cut(ram, last + 1);
  segments_drop(ram, segment_rank(ram, ra.v) - 1, segment_rank(ram, last));
  return 0;
}

void ram_join(struct ram *ram) {
  if (ram->presence) return;
  size_t n = 0;
  for (size_t i = 1; i < ram->segment_count; i++) {
    struct segment *low = ram->segments + n;
    const struct segment *high = ram->segments + i;
    if (low->ra + low->bytes == high->ra && low->pa + low->bytes == high->pa)
      low->bytes += high->bytes;
    else
      ram->segments[++n] = *high;
  }
  if (ram->segment_count) ram->segment_count = n + 1;
  n = 0;
  for (size_t i = 1; i < ram->span_count; i++) {
    struct span *low = ram->spans + n;
    const struct span *high = ram->spans + i;
    if (low->block == high->block && low->ra + low->bytes == high->ra && low->offset + low->bytes == high->offset) {
      low->bytes += high->bytes;
      low->block->users--;
    } else {
      ram->spans[++n] = *high;
    }
  }
  if (ram->span_count) ram->span_count = n + 1;
}

size_t ram_segment_count(const struct ram *ram) { return ram->segment_count; }

int ram_segment(const struct ram *ram, size_t i, ra_t *ra, u64 *bytes, pa_t *pa) {
  if (i >= ram->segment_count) return -ENOENT;
  *ra = RA(ram->segments[i].ra);
  *bytes = ram->segments[i].bytes;
  *pa = PA(ram->segments[i].pa);
  return 0;
}

int ram_piece(const struct ram *ram, size_t i, ra_t *ra, u64 *bytes, pa_t *pa) {
  if (i >= ram->span_count) return -ENOENT;
  const struct span *s = ram->spans + i;
  *ra = RA(s->ra);
  *bytes = s->bytes;
  *pa = PA(s->block->base.v + s->offset);
  return 0;
}

static inline void place(const struct span *s, ra_t ra, struct ram_ref *out) {
  const struct mblock *b = s->block;
  u64 into = ra.v - s->ra, offset = s->offset + into;
  out->host = b->host + offset;
  out->bytes = s->bytes - into;
  out->page = b->page_map + (offset >> PAGE_BITS);
  out->region = b->region_map + (offset >> REGION_BITS);
  out->code = b->code_map + (offset >> PAGE_BITS);
  out->pa = PA(b->base.v + offset);
}

bool ram_place(const struct ram *ram, ra_t ra, struct ram_ref *out) {
  const struct span *s = ram_span(ram, ra.v);
  if (s) place(s, ra, out);
  return s != NULL;
}

bool ram_lookup(const struct ram *ram, ra_t ra, struct ram_ref *out) {
  const struct span *s = ram_span(ram, ra.v);
  if (UNLIKELY(!s)) return false;
  place(s, ra, out);
  if (UNLIKELY(s->missing != NULL)) {
    out->bytes = u64_min(out->bytes, PAGE_BYTES - (ra.v & ~PAGE_MASK));
    return presence_wait(ram, s, ra.v - s->ra, 1);
  }
  return true;
}
