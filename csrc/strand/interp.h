/* interp.h - the interpreter as the builder and the run loop see it. */
#ifndef S4V_STRAND_INTERP_H
#define S4V_STRAND_INTERP_H
#include "strand/codecache.h"

/* The shape of the interpreter, see interp.c. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(S4V_LOOP_DISPATCH) && \
    (defined(__x86_64__) || defined(__aarch64__))
#define TAIL_CALLS 1
#else
#define TAIL_CALLS 0
#endif

/* Host code is a handler among handlers, which only calls in tail position can reach. */
#define INTERP_CAN_ENTER_NATIVE TAIL_CALLS

/* Handlers that are not specialised from a row. */
struct interp_handlers {
  const void *cold, *trap, *step, *stale, *breakpoint, *link, *edge, *edge_far, *jump;
  const void *branch_fcc, *compare;
  const void *branch_icc[16], *branch_xcc[16]; /* by condition */
  const void *branch_reg[8];                   /* by rcond */
  const void *jmpl, *ret;                      /* immediate forms */
};
extern const struct interp_handlers interp_handlers;
const void *interp_hot(u32 n);
/* Pair handlers, or NULL. `first_reg`: operand 2 of the first part is a register; `form`: enum pair_form. */
enum pair_form { PAIR_FI, PAIR_FR, PAIR_RF, PAIR_RI, PAIR_RR, PAIR_FORMS };
const void *interp_pair(u32 first, u32 first_reg, u32 second, u32 form);
const void *interp_compare_pair(u32 compare, u32 first_reg, u32 xcc, u32 cond);
void interp_mark_stale(struct block *);
void interp_enter(struct strand *);

/* For translated code (translator.h). */
void interp_count(struct block *, const void *leave);  /* a new block: its entries are counted */
void interp_counted(struct block *);                   /* no longer */
void interp_adopt(struct block *, const void *enter);  /* entries go to its host code */
/* The micro-op's instruction by its body, with all state in the strand. 0: done, go on behind it; else the strand is where
 * it must go on, which is for the dispatch handler to find out. */
u32 interp_body(struct strand *, const struct uop *);
/* PC and NPC of a micro-op of the strand's block, to the strand. Returns the index of its instruction. */
u32 interp_locate(struct strand *, const struct uop *);
/* The same for a Tcc, where a hypercall that left nothing to find out is done like any other instruction. */
u32 interp_hypercall(struct strand *, const struct uop *);
/* trap.c: operands of a subtraction that leaves these codes, which is what code is translated for; false: none is known, zeros. */
bool trap_codes(u32 ccr, u64 operand[2]);
/* The block at the strand's pc, or NULL: the run loop must look. */
struct block *interp_next(struct strand *);

/* run.c: the block at the strand's pc, built if need be; NULL when the run loop must look. */
struct block *strand_lookup(struct strand *);
/* run.c: account for `completed` instructions of a block and for the result of the one after them. */
void strand_finish(struct strand *, u32 result, u32 completed);

/* builder.c */
struct block *builder_build(struct strand *, u64 pc, u64 ra);
bool builder_breakpoint(const struct strand *, u64 pc);
u32 builder_check(const struct strand *, u32 row, u32 mode); /* trap that comes before execution, or 0 */

#endif
