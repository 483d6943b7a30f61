/* ram_io.c - reading and writing a real address space for everyone who is not the engine. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <string.h>

#include "mem/presence.h"
#include "mem/ram.h"

enum { PUNCH_BYTES = 1 << REGION_BITS }; /* below this a memset is cheaper than the system call and the later faults */

bool ram_backed(const struct ram *ram, ra_t ra, u64 bytes) {
  u64 last, at = ra.v;
  if (bytes == 0) return true;
  if (!range_last(at, bytes, &last)) return false;
  for (;;) {
    const struct span *s = ram_span(ram, at);
    if (!s) return false;
    u64 end = s->ra + (s->bytes - 1);
    if (end >= last) return true;
    at = end + 1;
  }
}

/* The part of [ra, ra + left) that lies in one span, which holds ra. */
static u64 piece_bytes(const struct span *s, u64 ra, u64 left) { return u64_min(left, s->bytes - (ra - s->ra)); }

static u8 *piece_host(const struct span *s, u64 ra) { return s->block->host + s->offset + (ra - s->ra); }

/* The range is backed, and all of it is here. */
static bool ram_here(const struct ram *ram, u64 ra, u64 bytes) {
  if (!ram_backed(ram, RA(ra), bytes)) return false;
  if (LIKELY(!ram->presence)) return true;
  for (u64 at = ra, left = bytes; left;) {
    const struct span *s = ram_span(ram, at);
    u64 n = u64_min(left, s->bytes - (at - s->ra));
    if (!presence_wait(ram, s, at - s->ra, n)) return false;
    at += n, left -= n;
  }
  return true;
}

bool ram_read(const struct ram *ram, ra_t ra, void *buf, u64 bytes) {
  if (!ram_here(ram, ra.v, bytes)) return false;
  u8 *to = buf;
  for (u64 at = ra.v, left = bytes; left;) {
    const struct span *s = ram_span(ram, at);
    u64 n = piece_bytes(s, at, left);
    memcpy(to, piece_host(s, at), n);
    to += n, at += n, left -= n;
  }
  return true;
}

bool ram_write(struct ram *ram, ra_t ra, const void *buf, u64 bytes) {
  if (!ram_here(ram, ra.v, bytes)) return false;
  const u8 *from = buf;
  for (u64 at = ra.v, left = bytes; left;) {
    const struct span *s = ram_span(ram, at);
    u64 n = piece_bytes(s, at, left);
    memcpy(piece_host(s, at), from, n);
    from += n, at += n, left -= n;
  }
  ram_written(ram, ra, bytes);
  return true;
}

void ram_written(struct ram *ram, ra_t ra, u64 bytes) {
  if (bytes == 0 || ram->span_count == 0) return;
  u64 last;
  if (!range_last(ra.v, bytes, &last)) last = UINT64_MAX;
  const struct span *end = ram->spans + ram->span_count;
  for (const struct span *s = ram_spans_from(ram, ra.v); s < end && s->ra <= last; s++) {
    u64 from = u64_max(s->ra, ra.v), to = u64_min(s->ra + (s->bytes - 1), last);
    if (from <= to) mblock_written(ram->pm, s->block, s->offset + (from - s->ra), to - from + 1);
  }
}

struct punch {
  const struct physmem *pm;
  const struct mblock *block;
};

static void punch_extent(void *ctx, u64 from, u64 to) {
  const struct punch *p = ctx;
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  off_t at = (off_t)(p->block->offset + from);
  if (fallocate(p->block->fd, mode, at, (off_t)(to - from)) != 0) memset(p->block->host + from, 0, to - from);
  mblock_written(p->pm, p->block, from, to - from);
}

static void zero_bytes(const struct physmem *pm, const struct mblock *b, u64 from, u64 to) {
  if (from == to) return;
  memset(b->host + from, 0, to - from);
  mblock_written(pm, b, from, to - from);
}

static void zero_piece(const struct physmem *pm, const struct mblock *b, u64 from, u64 to) {
  u64 first = (from + PAGE_BYTES - 1) & PAGE_MASK, end = to & PAGE_MASK;
  struct punch punch = {.pm = pm, .block = b};
  if (to - from < PUNCH_BYTES || mblock_populated(b, first, end, punch_extent, &punch) < 0) {
    zero_bytes(pm, b, from, to);
    return;
  }
  zero_bytes(pm, b, from, first);
  zero_bytes(pm, b, end, to);
}

bool ram_zero(struct ram *ram, ra_t ra, u64 bytes) {
  if (!ram_here(ram, ra.v, bytes)) return false;
  for (u64 at = ra.v, left = bytes; left;) {
    const struct span *s = ram_span(ram, at);
    u64 n = piece_bytes(s, at, left), offset = s->offset + (at - s->ra);
    zero_piece(ram->pm, s->block, offset, offset + n);
    at += n, left -= n;
  }
  return true;
}

/* The span of the first byte if [ra, ra + bytes) is contiguous in one block (segments may adjoin), else NULL. */
static const struct span *ram_contiguous(const struct ram *ram, u64 ra, u64 bytes) {
  if (bytes == 0 || !ram_here(ram, ra, bytes)) return NULL;
  const struct span *first = ram_span(ram, ra);
  u64 offset = first->offset + (ra - first->ra);
  for (u64 done = 0; done < bytes;) {
    const struct span *s = ram_span(ram, ra + done);
    if (s->block != first->block || s->offset + (ra + done - s->ra) != offset + done) return NULL;
    done += piece_bytes(s, ra + done, bytes - done);
  }
  return first;
}

u8 *ram_map(struct ram *ram, ra_t ra, u64 bytes, bool write) {
  const struct span *s = ram_contiguous(ram, ra.v, bytes);
  if (!s) return NULL;
  if (write) {
    u64 offset = s->offset + (ra.v - s->ra);
    struct pin pin = {.owner = ram, .ra = ra.v, .bytes = bytes, .block = s->block};
    pin.first = offset >> PAGE_BITS;
    pin.end = ((offset + (bytes - 1)) >> PAGE_BITS) + 1;
    if (pin_add(ram->pm, pin) < 0) return NULL;
    mblock_mark(pin.block, pin.first, pin.end); /* after the pin: from now on no harvest leaves the pages unmarked */
  }
  return piece_host(s, ra.v);
}

void ram_unmap(struct ram *ram, ra_t ra, u64 bytes, bool write) {
  if (!write) return;
  ram_written(ram, ra, bytes); /* before the pin goes: at no instant neither pinned nor marked */
  pin_remove(ram->pm, ram, ra.v, bytes);
}
