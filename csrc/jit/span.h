/* span.h - accesses of a block whose addresses differ by constants: their page is looked up once.
 *
 * The first of them, which leads, proves that all of them lie in one page, that the page has its tag, and that all are aligned;
 * the others take the addend it found. What could change the soft TLB between them is out of line, and does not come back into the
 * code that relies on the proof: the block is there twice, the second time ("cold", out of line) from its first span to its end with
 * a look-up for each access. It is gone into where the proof fails and behind a body that ran within a span, and never left but by
 * the block's edges.
 */
#ifndef S4V_JIT_SPAN_H
#define S4V_JIT_SPAN_H
#include "jit/region.h"

enum { MAX_SPANS = 16, SPAN_SLOTS = 4, SPAN_REACH = 512, SPAN_LEAST = 3, NO_SPAN = 0xff };

struct span {
  u32 root;         /* what their addresses are relative to */
  bool store, open; /* open: the addend is at `place` */
  u8 place;         /* host register, or NO_REG: `slot` of the frame */
  u8 slot;
  u32 bytes;        /* of the widest */
  i64 low, high;    /* first and last byte, from the root */
  i64 check;        /* the first of the widest: the address that is compared */
  u32 first, last, count; /* instructions */
};

struct spans {
  const struct node *node; /* whose they are, NULL: every access looks up its page */
  u32 count, begin;        /* begin: the first that leads */
  struct span span[MAX_SPANS];
  u8 of[BLOCK_INSNS + 2];
  i64 at[BLOCK_INSNS + 2]; /* address from the root */
  struct x86_label *cold;  /* one an instruction */
};

void spans_plan(struct spans *, const struct region *, const struct node *);
/* A place for the addend of a span that opens; false: there is none, and it is none. */
bool span_open(struct spans *, const struct region *, struct span *);
bool spans_hold(const struct spans *, u32 index); /* one is open behind the instruction */

#endif
