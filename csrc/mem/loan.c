/* loan.c - memory that changes its machine by its memfds: taken over from another one, or given away to it. */
#include <errno.h>
#include <stdlib.h>

#include "mem/ram.h"

/* One walk over both: what the old blocks cover, the loans cover, in order and without a byte twice. */
static bool same_cover(const struct physmem *pm, const struct physmem_loan *loans, size_t count) {
  size_t n = 0;
  u64 last;
  for (size_t i = 0; i < pm->count; i++) {
    u64 at = pm->blocks[i]->base.v, left = pm->blocks[i]->bytes;
    while (left) {
      if (n == count || loans[n].base.v != at || loans[n].bytes > left || !range_last(at, loans[n].bytes, &last)) return false;
      at += loans[n].bytes;
      left -= loans[n++].bytes;
    }
  }
  return n == count;
}

static void free_blocks(struct mblock **blocks, size_t count) {
  for (size_t i = 0; i < count; i++) mblock_free(blocks[i]);
  free(blocks);
}

static int borrow_all(struct mblock **blocks, const struct physmem_loan *loans, size_t count, size_t *done) {
  for (*done = 0; *done < count; (*done)++) {
    int rc = mblock_borrow(blocks + *done, loans + *done);
    if (rc < 0) return rc;
  }
  return 0;
}

int physmem_exchange(struct physmem *pm, struct ram *ram, const struct physmem_loan *loans, size_t count) {
  size_t done = 0;
  if (pm->pin_count) return -EBUSY;
  if (!same_cover(pm, loans, count)) return -EINVAL;
  struct mblock **blocks = calloc(count ? count : 1, sizeof(struct mblock *));
  if (!blocks) return -ENOMEM;
  int rc = ram_room(ram, count + ram->segment_count);
  if (rc == 0) rc = borrow_all(blocks, loans, count, &done);
  if (rc < 0) {
    free_blocks(blocks, done);
    return rc;
  }
  struct mblock **old = pm->blocks;
  size_t old_count = pm->count;
  pm->blocks = blocks;
  pm->count = pm->room = count;
  ram_lay(ram);
  free_blocks(old, old_count);
  return 0;
}

int physmem_part(struct physmem *pm) {
  for (size_t i = 0; i < pm->count; i++) {
    int rc = mblock_part(pm->blocks[i]);
    if (rc < 0) return rc;
  }
  return 0;
}
