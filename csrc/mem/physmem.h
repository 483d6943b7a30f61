/* physmem.h - what the files of csrc/mem share among themselves. Others include mem.h. */
#ifndef S4V_MEM_PHYSMEM_H
#define S4V_MEM_PHYSMEM_H
#include <pthread.h>

#include "mem/mem.h"

/* A range that a device holds mapped for write. */
struct pin {
  const struct ram *owner;
  u64 ra, bytes; /* as given to ram_map, to find it again */
  const struct mblock *block;
  u64 first, end; /* pages of the block */
};

struct physmem {
  struct mblock **blocks; /* ascending by base; each allocated on its own, so that pointers to it last */
  size_t count, room;
  ram_code_listener listener;
  void *listener_ctx;
  pthread_mutex_t pin_lock; /* pins are made and dropped by device threads while a harvest runs */
  struct pin *pins;
  size_t pin_count, pin_room;
};

/* Last byte of a range that is not empty; false if the range is empty or leaves the 64-bit space. */
static inline bool range_last(u64 base, u64 bytes, u64 *last) {
  *last = base + (bytes - 1);
  return bytes != 0 && *last >= base;
}

static inline u64 u64_min(u64 a, u64 b) { return a < b ? a : b; }
static inline u64 u64_max(u64 a, u64 b) { return a > b ? a : b; }

int array_reserve(void **array, size_t *room, size_t count, size_t item_bytes);

int mblock_new(struct mblock **out, pa_t base, u64 bytes, const char *label);
/* Over bytes [offset, offset + bytes) of a memfd that another process made. -EINVAL: it is none of ours, or too short. */
int mblock_borrow(struct mblock **out, const struct physmem_loan *);
int mblock_part(struct mblock *);
void mblock_free(struct mblock *);
void mblock_mark(const struct mblock *, u64 first_page, u64 end_page);
/* Marks, and tells the code listener, for bytes [offset, offset + bytes) of the block; bytes > 0. */
void mblock_written(const struct physmem *, const struct mblock *, u64 offset, u64 bytes);
/* Bytes of whole pages are gone, and their marks. */
void mblock_discard(const struct mblock *, u64 from, u64 to);
/* Data extents of [from, to) of the memfd, ascending, clipped. 0 or negative errno. */
typedef void (*mblock_extent)(void *ctx, u64 from, u64 to);
int mblock_populated(const struct mblock *, u64 from, u64 to, mblock_extent, void *ctx);

int pin_add(struct physmem *, struct pin);
bool pin_remove(struct physmem *, const struct ram *owner, u64 ra, u64 bytes);
bool pin_overlaps(struct physmem *, const struct ram *owner, u64 ra, u64 last); /* any range of owner in [ra, last] */
void pin_remove_all(struct physmem *, const struct ram *owner);
void pin_remark(struct physmem *, const struct mblock *, u64 first_page, u64 end_page);
void pin_remark_all(struct physmem *);

#endif
