/* poison.h - memory that cannot be read: an uncorrectable error stands behind it (FWARC 2009/655).
 *
 * A strand that loads from such a line, or fetches an instruction from it, takes a precise non-resumable error: a report
 * in its queue and trap 0x7f at the instruction. Stores go through and leave the error where it is; MEM_SCRUB clears it.
 * What the hypervisor itself reads for a call is not looked at. Unused it costs nothing: pages with an error are kept out
 * of the soft TLB and of decoded code.
 */
#ifndef S4V_HYP_POISON_H
#define S4V_HYP_POISON_H
#include "util/buffer.h"

enum { POISON_RANGES = 256, POISON_LINE = 64 };

/* Ascending, apart from each other; whole lines. */
struct poison {
  u32 count;
  struct poison_range {
    u64 first, last;
  } range[POISON_RANGES];
};

struct domain;
struct strand;
bool poison_add(struct domain *, u64 ra, u64 bytes);    /* bytes > 0, backed; false: too many ranges */
bool poison_remove(struct domain *, u64 ra, u64 bytes); /* lines that are wholly inside; false: too many ranges */
void poison_clear(struct domain *);
void poison_save(const struct poison *, struct writer *);
bool poison_load(struct domain *, struct reader *);

/* strand_env.poisoned: enum poison_look. */
u32 poison_look(void *machine, u64 ra);
/* strand_env.memory_error: queues the report. */
void poison_report(struct strand *, u64 ra);

#endif
