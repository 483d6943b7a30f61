/* region.h - what is translated together: blocks of one page that lead to each other, and a host register for each of
 * the guest's registers they use most.
 *
 * Every block of a region can be entered from outside, through a stub that loads the registers it needs. Registers are
 * written back where a region is left, where a body is called and where a slow path leaves: "dirty" is what may differ
 * from the strand, by a forward pass; "live" is what must hold its value, by a backward pass in which what may be dirty
 * counts as used at every such point.
 */
#ifndef S4V_JIT_REGION_H
#define S4V_JIT_REGION_H
#include "jit/ops.h"
#include "jit/x86.h"
#include "strand/codecache.h"

enum { REGION_BLOCKS = 32, MAX_RETURNS = 3, MAP_REGISTERS = 9, WINDOWED = (int)0xffffff00u };

enum node_end {
  END_EDGE,     /* way 0: falls through, or an unconditional branch with or without its slot */
  END_BRANCH,   /* Bicc, BPcc, FBfcc, BPr: way 0 taken, way 1 not */
  END_COMPARE,  /* CBcond */
  END_CALL,     /* way 0 */
  END_JMPL, END_RETURN, /* way 0, dynamic */
  END_LEAVE,    /* the interpreter goes on at `end_uop` */
};

/* One way out of a block. */
struct way {
  bool used, slot;
  i8 node;     /* of the region, or -1 */
  u32 insns;   /* executed on it */
  u32 slot_uop;
  u64 target;
};

struct node {
  struct block *block;
  u32 plain;   /* instructions before the transfer */
  u32 end;     /* enum node_end */
  u32 end_uop;
  struct way way[2];
  u32 dirty_in, live_in; /* guest register masks */
  bool sub_in;  /* the condition codes' kind is SUB: on every way from inside, and an entry from outside looks */
  struct x86_label body;
  u32 entry;   /* offset of the stub, for entries from outside */
  bool emitted;
};

struct region {
  struct node node[REGION_BLOCKS];
  u32 count;
  u32 returns;     /* nodes behind calls, to which returns lead: the first few */
  u32 jumps;       /* nodes to which no other leads, so that it must be jumps */
  u32 mapped;      /* guest register mask */
  u8 host[32];     /* NO_REG: in memory */
  const struct op *ops;
};

/* dirty before each instruction, live after it; [plain] is the transfer, [plain + 1 + way] the slot. */
struct flow {
  u32 dirty[BLOCK_INSNS + 3], live[BLOCK_INSNS + 3];
  u32 dirty_out[2];
  u32 live_before; /* the first instruction */
};

/* False: not even the first block can be translated. */
bool region_select(struct region *, const struct op *ops, struct block *hot);
void region_flow(const struct region *, const struct node *, struct flow *);
bool node_returns(const struct node *);
u32 region_targets(const struct region *, const struct node *, u32 way); /* nodes that the way may lead to inside */
struct effect node_end_effect(const struct node *);
static inline u32 node_slot(const struct node *n) { return n->plain + 1; } /* index of the slot's instruction */

extern const u8 region_pool[MAP_REGISTERS];
#define CALLER_SAVED(host_) ((host_) == RSI || (host_) == RDI || ((host_) >= R8 && (host_) <= R11))

#endif
