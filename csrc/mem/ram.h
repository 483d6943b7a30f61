/* ram.h - the inside of a real address space, for the files of csrc/mem. Others include mem.h. */
#ifndef S4V_MEM_RAM_H
#define S4V_MEM_RAM_H
#include "mem/physmem.h"

struct segment { u64 ra, bytes, pa; };

struct span {
  u64 ra, bytes;
  u64 offset; /* of its first byte in the block */
  struct mblock *block;
  u8 *missing; /* of its first page (util/presence.h); NULL: all of them are here */
};

struct ram {
  struct physmem *pm;
  struct segment *segments; /* ascending by ra */
  size_t segment_count;
  struct span *spans; /* ascending by ra */
  size_t span_count;
  struct presence *presence;
};

int ram_room(struct ram *, size_t spans); /* for so many spans more than there are; -ENOMEM */
void ram_lay(struct ram *);               /* the spans anew, over the blocks there are now; there is room */
const struct span *ram_span(const struct ram *, u64 ra);       /* the span holding ra, or NULL */
const struct span *ram_spans_from(const struct ram *, u64 ra); /* first span that may hold bytes at or above ra */

#endif
