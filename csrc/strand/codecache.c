/* codecache.c - see codecache.h. */
#include "strand/codecache.h"

#include <stdlib.h>

#include "strand/interp.h"

enum { HASH_PAGES = 1024 };
#define DEFAULT_LIMIT ((u64)256 << 20)

struct codecache {
  struct code_page *pages[HASH_PAGES];
  struct block *retired;
  u64 bytes, retired_bytes; /* live; stale but not yet freed */
  u64 limit;
  void (*changed)(void *);
  void *ctx;
};

static u32 page_hash(u64 pa) { return (u32)(pa >> PAGE_BITS) % HASH_PAGES; }
static u32 block_hash(u64 pc) { return (u32)(pc >> 2) % PAGE_BUCKETS; }

struct codecache *codecache_new(void (*changed)(void *), void *ctx) {
  struct codecache *cc = calloc(1, sizeof *cc);
  if (!cc) return NULL;
  cc->changed = changed;
  cc->limit = DEFAULT_LIMIT;
  cc->ctx = ctx;
  return cc;
}

static struct code_page *page_find(const struct codecache *cc, u64 pa) {
  for (struct code_page *p = cc->pages[page_hash(pa)]; p; p = p->next)
    if (p->pa == pa) return p;
  return NULL;
}

struct block *codecache_find(const struct codecache *cc, pa_t pa, u64 pc, u32 mode) {
  const struct code_page *p = page_find(cc, pa.v & PAGE_MASK);
  if (!p) return NULL;
  for (struct block *b = p->buckets[block_hash(pc)]; b; b = b->next)
    if (b->pc == pc && b->mode == mode) return b;
  return NULL;
}

static u64 block_bytes(const struct block *b) {
  return sizeof *b + b->uop_count * (sizeof(struct uop) + 1u) + b->insns * 6u + 32;
}

struct block *block_new(u32 insns, u32 uops) {
  struct block *b = calloc(1, sizeof *b + uops * (sizeof(struct uop) + 1u) + insns * 6u + 32);
  if (!b) return NULL;
  b->insns = insns;
  b->uop_count = uops;
  b->ops = (struct uop *)(void *)(b + 1);
  b->words = (u32 *)(void *)(b->ops + uops);
  b->rows = (u16 *)(void *)(b->words + insns);
  b->side = (u8 *)(b->rows + insns);
  return b;
}

static struct code_page *page_make(struct codecache *cc, u64 pa, u8 *code_byte) {
  struct code_page *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->pa = pa;
  p->code_byte = code_byte;
  p->next = cc->pages[page_hash(pa)];
  cc->pages[page_hash(pa)] = p;
  cc->bytes += sizeof *p;
  return p;
}

static u64 granule_mask(u64 first, u64 last, u32 word) {
  u64 low = first > word * 64u ? first - word * 64u : 0;
  if (last < word * 64u || first > word * 64u + 63) return 0;
  u64 high = last - word * 64u > 63 ? 63 : last - word * 64u;
  return (~(u64)0 >> (63 - high)) & (~(u64)0 << low);
}

i32 codecache_insert(struct codecache *cc, struct block *b, pa_t pa, u8 *code_byte) {
  struct code_page *p = page_find(cc, pa.v & PAGE_MASK);
  if (!p) p = page_make(cc, pa.v & PAGE_MASK, code_byte);
  if (!p) {
    free(b);
    return -1;
  }
  u64 first = (pa.v & ~PAGE_MASK) >> GRANULE_BITS;
  u64 last = ((pa.v & ~PAGE_MASK) + (b->insns ? b->insns * 4u - 1 : 0)) >> GRANULE_BITS;
  for (u32 w = 0; w < 2; w++) p->granules[w] |= granule_mask(first, last, w);
  b->page = p;
  b->next = p->buckets[block_hash(b->pc)];
  p->buckets[block_hash(b->pc)] = b;
  cc->bytes += block_bytes(b);
  bool fresh = *code_byte == 0;
  *code_byte = 1;
  return fresh;
}

static void page_retire(struct codecache *cc, struct code_page *p) {
  for (u32 i = 0; i < PAGE_BUCKETS; i++) {
    while (p->buckets[i]) {
      struct block *b = p->buckets[i];
      p->buckets[i] = b->next;
      b->stale = 1;
      b->page = NULL;
      interp_mark_stale(b);
      cc->bytes -= block_bytes(b);
      cc->retired_bytes += block_bytes(b);
      b->next = cc->retired;
      cc->retired = b;
    }
  }
  *p->code_byte = 0;
  struct code_page **at = &cc->pages[page_hash(p->pa)];
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  cc->bytes -= sizeof *p;
  free(p);
}

bool codecache_written(struct codecache *cc, pa_t pa, u64 bytes) {
  bool hit = false;
  u64 end = pa.v + bytes;
  for (u64 at = pa.v; at < end; at = (at & PAGE_MASK) + PAGE_BYTES) {
    struct code_page *p = page_find(cc, at & PAGE_MASK);
    if (!p) continue;
    u64 stop = (at & PAGE_MASK) + PAGE_BYTES < end ? (u64)PAGE_BYTES - 1 : (end - 1) & ~PAGE_MASK;
    u64 first = (at & ~PAGE_MASK) >> GRANULE_BITS, last = stop >> GRANULE_BITS;
    if (!(p->granules[0] & granule_mask(first, last, 0)) && !(p->granules[1] & granule_mask(first, last, 1))) continue;
    page_retire(cc, p);
    hit = true;
  }
  if (hit) cc->changed(cc->ctx);
  return hit;
}

void codecache_flush(struct codecache *cc) {
  for (u32 i = 0; i < HASH_PAGES; i++)
    while (cc->pages[i]) page_retire(cc, cc->pages[i]);
  cc->changed(cc->ctx);
}

void codecache_reap(struct codecache *cc) {
  while (cc->retired) {
    struct block *b = cc->retired;
    cc->retired = b->next;
    free(b);
  }
  cc->retired_bytes = 0;
}

void codecache_trim(struct codecache *cc) {
  if (cc->bytes > cc->limit) codecache_flush(cc);
  codecache_reap(cc);
}

void codecache_set_limit(struct codecache *cc, u64 bytes) { cc->limit = bytes; }
bool codecache_is_over(const struct codecache *cc) { return codecache_bytes(cc) > cc->limit; }

void codecache_free(struct codecache *cc) {
  if (!cc) return;
  for (u32 i = 0; i < HASH_PAGES; i++)
    while (cc->pages[i]) page_retire(cc, cc->pages[i]);
  codecache_reap(cc);
  free(cc);
}

u64 codecache_bytes(const struct codecache *cc) { return cc->bytes + cc->retired_bytes; }
