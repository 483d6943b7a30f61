/* state.h - saving, loading and comparing a strand through the field table. */
#ifndef S4V_STRAND_STATE_H
#define S4V_STRAND_STATE_H
#include "strand/strand.h"
#include "util/buffer.h"

struct strand_field {
  const char *name;
  size_t offset;
  u32 size; /* 1, 4 or 8 bytes an element */
  u32 count;
};
extern const struct strand_field strand_fields[];
extern const u32 strand_field_count;

void strand_normalise(struct strand *); /* one representation for one state */
void strand_save(struct strand *, struct writer *);
bool strand_load(struct strand *, struct reader *); /* false: malformed, the strand is reset */

#endif
