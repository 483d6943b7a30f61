/* physmem.c - the server's memory: the sorted set of blocks, and the ranges that devices hold pinned. */
#include "mem/physmem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more item; doubles. */
int array_reserve(void **array, size_t *room, size_t count, size_t item_bytes) {
  if (count < *room) return 0;
  size_t want = *room ? *room * 2 : 8;
  void *grown = realloc(*array, want * item_bytes);
  if (!grown) return -ENOMEM;
  *array = grown;
  *room = want;
  return 0;
}

struct physmem *physmem_new(void) {
  struct physmem *pm = calloc(1, sizeof *pm);
  if (pm && pthread_mutex_init(&pm->pin_lock, NULL) != 0) {
    free(pm);
    return NULL;
  }
  return pm;
}

void physmem_free(struct physmem *pm) {
  if (!pm) return;
  for (size_t i = 0; i < pm->count; i++) mblock_free(pm->blocks[i]);
  pthread_mutex_destroy(&pm->pin_lock);
  free(pm->blocks);
  free(pm->pins);
  free(pm);
}

/* Number of blocks whose base is <= pa. */
static size_t block_rank(const struct physmem *pm, u64 pa) {
  size_t lo = 0, hi = pm->count;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (pm->blocks[mid]->base.v <= pa)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

int physmem_add_block(struct physmem *pm, pa_t base, u64 bytes, const char *label) {
  u64 last;
  if ((base.v | bytes) & ~PAGE_MASK || !range_last(base.v, bytes, &last)) return -EINVAL;
  size_t at = block_rank(pm, last);
  if (at > 0) {
    const struct mblock *below = pm->blocks[at - 1];
    if (below->base.v + (below->bytes - 1) >= base.v) return -EINVAL;
  }
  void *blocks = pm->blocks;
  int rc = array_reserve(&blocks, &pm->room, pm->count, sizeof *pm->blocks);
  pm->blocks = blocks;
  if (rc < 0) return rc;
  struct mblock *b;
  rc = mblock_new(&b, base, bytes, label);
  if (rc < 0) return rc;
  memmove(pm->blocks + at + 1, pm->blocks + at, (pm->count - at) * sizeof *pm->blocks);
  pm->blocks[at] = b;
  pm->count++;
  return 0;
}

int physmem_remove_block(struct physmem *pm, pa_t base) {
  size_t rank = block_rank(pm, base.v);
  if (rank == 0 || pm->blocks[rank - 1]->base.v != base.v) return -ENOENT;
  struct mblock *b = pm->blocks[rank - 1];
  if (b->users) return -EBUSY;
  mblock_free(b);
  memmove(pm->blocks + rank - 1, pm->blocks + rank, (pm->count - rank) * sizeof *pm->blocks);
  pm->count--;
  return 0;
}

void physmem_discard(struct physmem *pm, pa_t pa, u64 bytes) {
  u64 last;
  if (!range_last(pa.v, bytes, &last)) return;
  for (size_t i = block_rank(pm, pa.v) ? block_rank(pm, pa.v) - 1 : 0; i < pm->count && pm->blocks[i]->base.v <= last;) {
    const struct mblock *b = pm->blocks[i];
    u64 from = u64_max(b->base.v, pa.v), to = u64_min(b->base.v + (b->bytes - 1), last);
    if (from > to) {
      i++;
      continue;
    }
    if (physmem_remove_block(pm, b->base) == 0) continue;
    mblock_discard(b, from - b->base.v, to - b->base.v + 1);
    i++;
  }
}

const struct mblock *physmem_find(const struct physmem *pm, pa_t pa) {
  size_t rank = block_rank(pm, pa.v);
  if (rank == 0) return NULL;
  const struct mblock *b = pm->blocks[rank - 1];
  return pa.v - b->base.v < b->bytes ? b : NULL;
}

size_t physmem_block_count(const struct physmem *pm) { return pm->count; }

const struct mblock *physmem_block(const struct physmem *pm, size_t i) { return i < pm->count ? pm->blocks[i] : NULL; }

void physmem_set_code_listener(struct physmem *pm, ram_code_listener listener, void *ctx) {
  pm->listener = listener;
  pm->listener_ctx = ctx;
}

void physmem_written(struct physmem *pm, pa_t pa, u64 bytes) {
  if (bytes == 0) return;
  u64 last;
  if (!range_last(pa.v, bytes, &last)) last = UINT64_MAX;
  size_t rank = block_rank(pm, pa.v);
  for (size_t i = rank ? rank - 1 : 0; i < pm->count && pm->blocks[i]->base.v <= last; i++) {
    const struct mblock *b = pm->blocks[i];
    u64 from = u64_max(b->base.v, pa.v), to = u64_min(b->base.v + (b->bytes - 1), last);
    if (from <= to) mblock_written(pm, b, from - b->base.v, to - from + 1);
  }
}

int pin_add(struct physmem *pm, struct pin pin) {
  pthread_mutex_lock(&pm->pin_lock);
  void *pins = pm->pins;
  int rc = array_reserve(&pins, &pm->pin_room, pm->pin_count, sizeof *pm->pins);
  pm->pins = pins;
  if (rc == 0) pm->pins[pm->pin_count++] = pin;
  pthread_mutex_unlock(&pm->pin_lock);
  return rc;
}

bool pin_remove(struct physmem *pm, const struct ram *owner, u64 ra, u64 bytes) {
  bool found = false;
  pthread_mutex_lock(&pm->pin_lock);
  for (size_t i = pm->pin_count; i-- > 0 && !found;) {
    const struct pin *p = pm->pins + i;
    found = p->owner == owner && p->ra == ra && p->bytes == bytes;
    if (found) pm->pins[i] = pm->pins[--pm->pin_count];
  }
  pthread_mutex_unlock(&pm->pin_lock);
  return found;
}

bool pin_overlaps(struct physmem *pm, const struct ram *owner, u64 ra, u64 last) {
  bool found = false;
  pthread_mutex_lock(&pm->pin_lock);
  for (size_t i = 0; i < pm->pin_count && !found; i++) {
    const struct pin *p = pm->pins + i;
    found = p->owner == owner && p->ra <= last && p->ra + (p->bytes - 1) >= ra;
  }
  pthread_mutex_unlock(&pm->pin_lock);
  return found;
}

void pin_remove_all(struct physmem *pm, const struct ram *owner) {
  pthread_mutex_lock(&pm->pin_lock);
  for (size_t i = pm->pin_count; i-- > 0;)
    if (pm->pins[i].owner == owner) pm->pins[i] = pm->pins[--pm->pin_count];
  pthread_mutex_unlock(&pm->pin_lock);
}

void pin_remark(struct physmem *pm, const struct mblock *b, u64 first_page, u64 end_page) {
  pthread_mutex_lock(&pm->pin_lock);
  for (size_t i = 0; i < pm->pin_count; i++) {
    const struct pin *p = pm->pins + i;
    if (p->block == b) mblock_mark(b, u64_max(p->first, first_page), u64_min(p->end, end_page));
  }
  pthread_mutex_unlock(&pm->pin_lock);
}

void pin_remark_all(struct physmem *pm) {
  pthread_mutex_lock(&pm->pin_lock);
  for (size_t i = 0; i < pm->pin_count; i++) mblock_mark(pm->pins[i].block, pm->pins[i].first, pm->pins[i].end);
  pthread_mutex_unlock(&pm->pin_lock);
}
