/* memory_ranges.h - how boot and dynamic reconfiguration tell the allocator what there is. */
#ifndef LABOS_MEMORY_RANGES_H
#define LABOS_MEMORY_RANGES_H
#include "types.h"

struct firmware_range;

/* At boot: the blocks of the machine description, one by one; then what of them may be used (count 0: all). The kernel
 * image is left out. */
void memory_add(u64 base, u64 bytes);
void memory_init(const struct firmware_range *available, u32 count);
bool memory_contains(u64 ra); /* for the debugger: may it be read? */

/* -- chunks, one by one, for dr_memory.c. `ra`: a multiple of CHUNK_BYTES. */

enum { CHUNK_BYTES = 1 << 22, CHUNK_PAGES = CHUNK_BYTES / 8192 };
enum chunk_state {
  CHUNK_ABSENT,    /* not there: a hole, or taken away */
  CHUNK_UNUSED,    /* the allocator has not needed it yet, or all of it has been given back */
  CHUNK_KERNEL,    /* split, for the kernel: what is allocated stays where it is */
  CHUNK_MOVABLE,   /* split, for pages of user programs */
  CHUNK_PERMANENT, /* the kernel image, the allocator's own tables, firmware */
};
enum chunk_state chunk_state(u64 ra);
u32 chunk_pages_used(u64 ra); /* pages that somebody has */
/* Nothing is allocated from a chunk that leaves; what is freed in it stays with it. false: it is permanent or absent. */
bool chunk_leave(u64 ra);
void chunk_stay(u64 ra);      /* it does not leave after all */
void chunk_remove(u64 ra);    /* it left, and nobody has a page of it */
/* Chunks of [base, end) that are absent come in. false: no memory for the tables; nothing has changed. */
bool chunks_add(u64 base, u64 end);

/* One range of addresses as the allocator knows it; false: past the last. */
struct memory_range {
  u64 base, end, present, free, permanent; /* bytes */
};
bool memory_range(u32 index, struct memory_range *info);
#endif
