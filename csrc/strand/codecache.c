/* codecache.c - see codecache.h. */
#include "strand/codecache.h"

#include <pthread.h>
#include <stdlib.h>

#include "strand/interp.h"
#include "strand/share.h"
#include "strand/translator.h"

/* Blocks of changed code that a page may keep, and rounds of heat that it costs a block to be in a page that changes. */
enum { HASH_PAGES = 1024, MOST_DEAD = 512, MOST_WAITS = 64 };
#define DEFAULT_LIMIT ((u64)256 << 20)

/* A page that holds decoded code of `users` caches. */
struct code_entry {
  u64 pa;
  u8 *code_byte;
  u64 granules[2];
  u64 asked; /* epoch of the request for write permissions made when the page was opened */
  u32 users, settled;
  struct code_entry *next;
};

/* The lock guards all of it, every change of a cache's pages and blocks, and every walk through them by another thread
 * than the owner; the owner looks things up without it. */
struct codestore {
  pthread_mutex_t lock;
  struct strand_env *env;
  struct codecache *caches;
  struct code_entry *entries[HASH_PAGES];
};

struct codecache {
  struct codestore *store;
  struct strand *owner;
  struct codecache *next;
  struct code_page *pages[HASH_PAGES];
  struct code_page *stale, *cut;
  u32 regions; /* translated so far */
  u64 bytes;
  u64 limit;
  u32 dirty;
  const struct translator *translator; /* and its instance, or NULL */
  void *native;
};

static u32 page_hash(u64 pa) { return (u32)(pa >> PAGE_BITS) % HASH_PAGES; }
static u32 block_hash(u64 pc) { return (u32)(pc >> 2) % PAGE_BUCKETS; }
static bool page_is_stale(const struct code_page *p) { return __atomic_load_n(&p->stale, __ATOMIC_RELAXED) != 0; }

struct codestore *codestore_new(struct strand_env *env) {
  struct codestore *store = calloc(1, sizeof *store);
  if (!store) return NULL;
  store->env = env;
  if (pthread_mutex_init(&store->lock, NULL)) {
    free(store);
    return NULL;
  }
  return store;
}

void codestore_free(struct codestore *store) {
  if (!store) return;
  pthread_mutex_destroy(&store->lock);
  free(store);
}

struct codecache *codecache_new(struct codestore *store, struct strand *owner) {
  struct codecache *cc = calloc(1, sizeof *cc);
  if (!cc) return NULL;
  cc->store = store;
  cc->owner = owner;
  cc->limit = DEFAULT_LIMIT;
  pthread_mutex_lock(&store->lock);
  cc->next = store->caches;
  store->caches = cc;
  pthread_mutex_unlock(&store->lock);
  return cc;
}

static struct code_page *page_find(const struct codecache *cc, u64 pa) {
  for (struct code_page *p = cc->pages[page_hash(pa)]; p; p = p->next)
    if (p->pa == pa && !page_is_stale(p)) return p;
  return NULL;
}

struct block *codecache_block(const struct code_page *p, u64 pc, u32 mode) {
  for (struct block *b = p->buckets[block_hash(pc)]; b; b = b->next)
    if (b->pc == pc && b->mode == mode && !block_is_stale(b)) return b;
  return NULL;
}

struct block *codecache_find(const struct codecache *cc, pa_t pa, u64 pc, u32 mode) {
  const struct code_page *p = page_find(cc, pa.v & PAGE_MASK);
  return p ? codecache_block(p, pc, mode) : NULL;
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

/* ---- entries of the store, under its lock ---- */

static struct code_entry **entry_at(struct codestore *store, u64 pa) {
  struct code_entry **at = &store->entries[page_hash(pa)];
  while (*at && (*at)->pa != pa) at = &(*at)->next;
  return at;
}

/* From now on every store to the page is seen; those that have permission from before are asked to give it back. */
static struct code_entry *entry_make(struct codestore *store, struct strand *s, u64 pa, u8 *code_byte) {
  struct code_entry **at = entry_at(store, pa), *e = *at;
  if (e) return e;
  e = calloc(1, sizeof *e);
  if (!e) return NULL;
  e->pa = pa;
  e->code_byte = code_byte;
  *at = e;
  __atomic_store_n(code_byte, 1, __ATOMIC_SEQ_CST);
  e->asked = strand_ask_writes(store->env, s);
  return e;
}

static void entry_drop(struct codestore *store, struct code_entry *e) {
  __atomic_store_n(e->code_byte, 0, __ATOMIC_SEQ_CST);
  *entry_at(store, e->pa) = e->next;
  free(e);
}

static void block_leave(struct codecache *cc, struct code_page *p, struct block *b) {
  if (block_is_stale(b)) return;
  __atomic_store_n(&b->stale, 1, __ATOMIC_RELAXED);
  interp_mark_stale(b);
  if (cc->native) __atomic_store_n(&b->native, cc->translator->leave(cc->native), __ATOMIC_RELEASE);
  p->live--;
}

static void page_leave(struct codecache *cc, struct code_page *p) {
  struct code_entry *e = p->entry;
  p->entry = NULL;
  p->next_stale = cc->stale;
  cc->stale = p;
  __atomic_store_n(&p->stale, 1, __ATOMIC_RELAXED);
  for (u32 i = 0; i < PAGE_BUCKETS; i++)
    for (struct block *b = p->buckets[i]; b; b = b->next) block_leave(cc, p, b);
  if (--e->users == 0) entry_drop(cc->store, e);
}

static u64 granule_mask(u64 first, u64 last, u32 word) {
  u64 low = first > word * 64u ? first - word * 64u : 0;
  if (last < word * 64u || first > word * 64u + 63) return 0;
  u64 high = last - word * 64u > 63 ? 63 : last - word * 64u;
  return (~(u64)0 >> (63 - high)) & (~(u64)0 << low);
}

/* ---- opening pages and taking blocks ---- */

static struct code_page *page_make(struct codecache *cc, struct strand *s, u64 pa, u8 *code_byte) {
  struct code_page *p = calloc(1, sizeof *p);
  struct code_entry *e = p ? entry_make(cc->store, s, pa, code_byte) : NULL;
  if (!e) {
    free(p);
    return NULL;
  }
  e->users++;
  p->pa = pa;
  p->entry = e;
  p->next = cc->pages[page_hash(pa)];
  cc->pages[page_hash(pa)] = p;
  cc->bytes += sizeof *p;
  return p;
}

struct code_page *codecache_open(struct codecache *cc, struct strand *s, pa_t pa, u8 *code_byte) {
  struct code_page *p = page_find(cc, pa.v & PAGE_MASK);
  if (p && p->ready) return p;
  pthread_mutex_lock(&cc->store->lock);
  p = page_find(cc, pa.v & PAGE_MASK);
  if (!p) p = page_make(cc, s, pa.v & PAGE_MASK, code_byte);
  if (p) {
    strand_give_writes(s);
    if (!p->entry->settled) p->entry->settled = strand_writes_given(cc->store->env, s, p->entry->asked);
    p->ready = p->entry->settled;
  }
  pthread_mutex_unlock(&cc->store->lock);
  return p && p->ready ? p : NULL;
}

static bool words_are_there(const struct block *b, const u8 *host) {
  for (u32 i = 0; i < b->insns; i++)
    if (code_fetch(host + 4u * i) != b->words[i]) return false;
  return true;
}

bool codecache_insert(struct codecache *cc, struct code_page *p, struct block *b, pa_t pa, const u8 *host) {
  u64 first = (pa.v & ~PAGE_MASK) >> GRANULE_BITS;
  u64 last = ((pa.v & ~PAGE_MASK) + (b->insns ? b->insns * 4u - 1 : 0)) >> GRANULE_BITS;
  pthread_mutex_lock(&cc->store->lock);
  bool good = !page_is_stale(p);
  if (good) {
    for (u32 w = 0; w < 2; w++) p->entry->granules[w] |= granule_mask(first, last, w);
    good = words_are_there(b, host); /* who stores from now on sees the granules; who stored before is seen here */
  }
  if (good) {
    b->page = p;
    if (cc->native) interp_count(b, cc->translator->leave(cc->native));
    b->next = p->buckets[block_hash(b->pc)];
    p->buckets[block_hash(b->pc)] = b;
    cc->bytes += block_bytes(b);
    p->live++;
  }
  pthread_mutex_unlock(&cc->store->lock);
  if (!good) free(b);
  return good;
}

/* ---- translation ---- */

bool codecache_use(struct codecache *cc, const struct translator *t) {
  codecache_flush(cc);
  if (cc->native) cc->translator->close(cc->native);
  cc->translator = t;
  cc->native = t && INTERP_CAN_ENTER_NATIVE ? t->open(cc, cc->owner != NULL) : NULL;
  return !t || cc->native;
}

void codecache_heat(struct codecache *cc, struct strand *s, struct block *b) {
  u32 waits = b->page->cuts < MOST_WAITS ? b->page->cuts : MOST_WAITS;
  if (b->waits < waits) { /* its page changes again and again, and what is translated goes with it */
    b->waits++;
    b->heat = 0;
    return;
  }
  if (!block_is_stale(b)) cc->translator->translate(cc->native, s, b);
  interp_counted(b);
  if (cc->translator->is_full(cc->native)) strand_notice(s); /* leave the blocks, so that they can go */
}

u32 codecache_next_region(const struct codecache *cc) { return cc->regions + 1 ? cc->regions + 1 : 1; }

void codecache_adopt(struct codecache *cc, struct block *const *blocks, const void *const *native, const void *const *inside,
                     u32 count) {
  pthread_mutex_lock(&cc->store->lock);
  bool good = true;
  for (u32 i = 0; i < count; i++) good &= !block_is_stale(blocks[i]);
  cc->regions = codecache_next_region(cc);
  for (u32 i = 0; good && i < count; i++) {
    blocks[i]->region = cc->regions;
    blocks[i]->inner = inside[i] ? cc->regions : 0;
    blocks[i]->inside = inside[i];
    blocks[i]->native = native[i];
    interp_adopt(blocks[i], cc->translator->enter(cc->native));
  }
  pthread_mutex_unlock(&cc->store->lock);
}

void codecache_count(const struct codecache *cc, struct translator_counts *counts, u64 *rows) {
  if (cc->native) cc->translator->count(cc->native, counts, rows);
}

/* ---- what goes ---- */

static void cache_notice(struct codecache *cc) {
  __atomic_store_n(&cc->dirty, 1, __ATOMIC_RELEASE);
  if (cc->owner)
    strand_notice(cc->owner);
  else
    strand_notice_running(cc->store->env);
}

/* Offsets in a page. */
struct cut {
  u32 first, last;
  u64 va; /* only blocks of this page in virtual addresses; TAG_NONE: all */
};

static bool cut_meets(const struct cut *cut, const struct block *b) {
  u32 at = (u32)(b->pc & ~PAGE_MASK);
  if (cut->va != TAG_NONE && (b->pc ^ cut->va) & PAGE_MASK) return false;
  return at <= cut->last && at + 4 * b->insns > cut->first && !block_is_stale(b);
}

static void region_leave(struct codecache *cc, struct code_page *p, u32 region) {
  for (u32 i = 0; i < PAGE_BUCKETS; i++)
    for (struct block *b = p->buckets[i]; b; b = b->next)
      if (b->region == region) block_leave(cc, p, b);
}

/* The page's blocks with bytes of the cut go, and those translated together with them. */
static bool page_cut(struct codecache *cc, struct code_page *p, const struct cut *cut) {
  u32 before = p->live, from = cut->first > 4 * BLOCK_INSNS ? cut->first - 4 * BLOCK_INSNS : 0;
  bool all = cut->last - from >= 4 * PAGE_BUCKETS; /* all buckets, once */
  for (u32 at = from & ~3u, n = 0; all ? n < PAGE_BUCKETS : at <= cut->last; at += 4, n++)
    for (struct block *b = p->buckets[block_hash(at)]; b; b = b->next) {
      if (!cut_meets(cut, b)) continue;
      if (b->region) region_leave(cc, p, b->region);
      block_leave(cc, p, b);
    }
  if (p->live == before) return false;
  p->cuts++;
  if (p->live == 0) {
    page_leave(cc, p);
  } else if (!p->is_cut) {
    p->is_cut = 1;
    p->next_cut = cc->cut;
    cc->cut = p;
  }
  cache_notice(cc);
  return true;
}

static bool entry_cut(struct codestore *store, u64 pa, const struct cut *cut) {
  bool hit = false;
  for (struct codecache *cc = store->caches; cc; cc = cc->next) {
    struct code_page *p = page_find(cc, pa);
    if (p) hit |= page_cut(cc, p, cut);
  }
  return hit;
}

bool codestore_written(struct codestore *store, pa_t pa, u64 bytes) {
  bool hit = false;
  u64 end = pa.v + bytes;
  pthread_mutex_lock(&store->lock);
  for (u64 at = pa.v; at < end; at = (at & PAGE_MASK) + PAGE_BYTES) {
    const struct code_entry *e = *entry_at(store, at & PAGE_MASK);
    if (!e) continue;
    u64 stop = (at & PAGE_MASK) + PAGE_BYTES < end ? (u64)PAGE_BYTES - 1 : (end - 1) & ~PAGE_MASK;
    u64 first = (at & ~PAGE_MASK) >> GRANULE_BITS, last = stop >> GRANULE_BITS;
    if (!(e->granules[0] & granule_mask(first, last, 0)) && !(e->granules[1] & granule_mask(first, last, 1))) continue;
    struct cut cut = {.first = (u32)(at & ~PAGE_MASK), .last = (u32)stop, .va = TAG_NONE};
    hit |= entry_cut(store, at & PAGE_MASK, &cut);
  }
  pthread_mutex_unlock(&store->lock);
  return hit;
}

/* With the instruction before it, whose delay slot it may be. */
void codestore_forget_va(struct codestore *store, u64 va) {
  u32 at = (u32)(va & ~PAGE_MASK);
  struct cut cut = {.first = at ? at - 4 : 0, .last = at, .va = va};
  pthread_mutex_lock(&store->lock);
  for (struct codecache *cc = store->caches; cc; cc = cc->next)
    for (u32 i = 0; i < HASH_PAGES; i++)
      for (struct code_page *p = cc->pages[i]; p; p = p->next)
        if (!page_is_stale(p)) page_cut(cc, p, &cut);
  pthread_mutex_unlock(&store->lock);
}

static void blocks_free(struct codecache *cc, struct block *b) {
  while (b) {
    struct block *next = b->next;
    cc->bytes -= block_bytes(b);
    free(b);
    b = next;
  }
}

static void page_free(struct codecache *cc, struct code_page *p) {
  struct code_page **at = &cc->pages[page_hash(p->pa)];
  while (*at != p) at = &(*at)->next;
  *at = p->next;
  for (u32 i = 0; i < PAGE_BUCKETS; i++) blocks_free(cc, p->buckets[i]);
  blocks_free(cc, p->retired);
  cc->bytes -= sizeof *p;
  free(p);
}

/* Stale blocks are looked up no more. */
static void page_tidy(struct codecache *cc, struct code_page *p) {
  p->is_cut = 0;
  if (page_is_stale(p)) return;
  for (u32 i = 0; i < PAGE_BUCKETS; i++)
    for (struct block **at = &p->buckets[i], *b; (b = *at);) {
      if (!block_is_stale(b)) {
        at = &b->next;
        continue;
      }
      *at = b->next;
      b->next = p->retired;
      p->retired = b;
      p->dead++;
    }
  if (p->dead > MOST_DEAD) page_leave(cc, p);
}

static void forget_jumps(struct codecache *cc) {
  const struct strand_env *env = cc->store->env;
  if (cc->owner) strand_code_changed(cc->owner);
  for (u32 i = 0; !cc->owner && i < env->strand_count; i++) strand_code_changed(env->strands[i]);
}

/* Stale pages, or all, leave the cache. */
static void cache_sweep(struct codecache *cc, bool all) {
  pthread_mutex_lock(&cc->store->lock);
  __atomic_store_n(&cc->dirty, 0, __ATOMIC_RELAXED);
  for (u32 i = 0; all && i < HASH_PAGES; i++)
    for (struct code_page *p = cc->pages[i]; p; p = p->next)
      if (!page_is_stale(p)) page_leave(cc, p);
  for (; cc->cut; cc->cut = cc->cut->next_cut) page_tidy(cc, cc->cut);
  while (cc->stale) {
    struct code_page *p = cc->stale;
    cc->stale = p->next_stale;
    page_free(cc, p);
  }
  pthread_mutex_unlock(&cc->store->lock);
  forget_jumps(cc);
  if (all && cc->native) cc->translator->reset(cc->native);
}

void codecache_flush(struct codecache *cc) { cache_sweep(cc, true); }

bool codecache_is_dirty(const struct codecache *cc) { return __atomic_load_n(&cc->dirty, __ATOMIC_RELAXED) != 0; }

void codecache_tidy(struct codecache *cc) {
  if (codecache_is_dirty(cc)) cache_sweep(cc, false);
}

void codecache_trim(struct codecache *cc) {
  codecache_tidy(cc);
  if (codecache_is_over(cc)) codecache_flush(cc);
}

void codecache_set_limit(struct codecache *cc, u64 bytes) { cc->limit = bytes; }
bool codecache_is_over(const struct codecache *cc) {
  return cc->bytes > cc->limit || (cc->native && cc->translator->is_full(cc->native));
}

void codecache_free(struct codecache *cc) {
  if (!cc) return;
  cache_sweep(cc, true);
  if (cc->native) cc->translator->close(cc->native);
  struct codecache **at = &cc->store->caches;
  while (*at != cc) at = &(*at)->next;
  *at = cc->next;
  free(cc);
}

u64 codecache_bytes(const struct codecache *cc) { return cc->bytes; }
