/* interp.c - the interpreter: one handler a micro-op.
 *
 * Two shapes from the same text. With optimisation on, handlers call each other in tail position and the hot state
 * (window pointer, budget, condition-code operands) stays in registers; no handler may contain an ordinary call, so
 * every slow path is a tail call too. Otherwise (sanitizers, coverage) a loop calls them and the state lives in
 * the strand.
 */
#include "strand/interp.h"

#include "fp/hostfp.h"
#include "mem/tso.h"
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/memory.h"
#include "strand/share.h"
#include "strand/special.h"
#include "strand/window.h"
#include "vis/vis.h"

#if TAIL_CALLS
#define PARAMS struct strand *c, const struct uop *u, u64 *w, u64 cca, u64 ccb
typedef void (*handler_fn)(PARAMS);
#define RET void
#define W w
#define BUD (c->budget)
#define CCA cca
#define CCB ccb
#define TAIL(fn) return fn(c, u, w, cca, ccb)
#define DISPATCH return ((handler_fn)u->h)(c, u, w, cca, ccb)
#define SYNC_OUT (c->cc_a = cca, c->cc_b = ccb)
#define SYNC_IN (w = c->w, cca = c->cc_a, ccb = c->cc_b)
#define LEAVE do { SYNC_OUT; (void)w; return; } while (0)
#define WINDOW_MOVED (c->w = w)
#else
#define PARAMS struct strand *c, const struct uop *u
typedef const struct uop *(*handler_fn)(PARAMS);
#define RET const struct uop *
#define W (c->w)
#define BUD (c->budget)
#define CCA (c->cc_a)
#define CCB (c->cc_b)
#define TAIL(fn) return fn(c, u)
#define DISPATCH return u
#define SYNC_OUT ((void)0)
#define SYNC_IN ((void)0)
#define LEAVE return NULL
#define WINDOW_MOVED ((void)0)
#endif

#define HANDLER(name) static RET name(PARAMS)
#define U u
#define NEXT do { u++; DISPATCH; } while (0)
#define REG(field) (W[u->field])
#define FREG_D(field) (((u64 *)(void *)c)[u->field])
#define FREG_S(field) (((u32 *)(void *)c->f)[u->field])
#define GSR (c->gsr)
#define ENTER_BLOCK(b) do { c->block = (b); u = (b)->ops; DISPATCH; } while (0)

/* Charging a block's edge for its instructions; a build without it measures what it costs (tests/benchmarks/cost.py). */
#ifdef S4V_COST_NO_COUNT
#define CHARGE(insns_) ((void)(insns_))
#else
#define CHARGE(insns_) (BUD -= (insns_))
#endif

HANDLER(h_cold);
HANDLER(h_dispatch);

/* ---- condition codes ---- */
#define HOT_CC(a_, b_, kind_) (CCA = (a_), CCB = (b_), c->cc_kind = (kind_))
#define ICC_C (c->cc_kind == CC_SUB ? (u64)((u32)CCA < (u32)CCB) : (u64)((u32)(CCA + CCB) < (u32)CCA))
#define COND_ICC(n) sub_condition((u64)(i64)(i32)CCA, (u64)(i64)(i32)CCB, (u32)CCA, (u32)CCB, \
                                  (i32)((u32)CCA - (u32)CCB) < 0, n)
#define COND_XCC(n) sub_condition(CCA, CCB, CCA, CCB, (i64)(CCA - CCB) < 0, n)

/* Condition n after a subtraction: signed operands, unsigned operands, sign of the difference. */
static inline bool sub_condition(u64 sa, u64 sb, u64 ua, u64 ub, bool negative, u32 n) {
  i64 a = (i64)sa, b = (i64)sb;
  switch (n) {
  case 0: return false;
  case 1: return ua == ub;
  case 2: return a <= b;
  case 3: return a < b;
  case 4: return ua <= ub;
  case 5: return ua < ub;
  case 6: return negative;
  case 7: return negative != (a < b);
  case 8: return true;
  case 9: return ua != ub;
  case 10: return a > b;
  case 11: return a >= b;
  case 12: return ua > ub;
  case 13: return ua >= ub;
  case 14: return !negative;
  default: return negative == (a < b);
  }
}

/* ---- memory ---- */
#define LOAD_u8(p) (u64)TSO_LOAD(u8, p)
#define LOAD_u16(p) (u64)__builtin_bswap16(TSO_LOAD(u16, p))
#define LOAD_u32(p) (u64)__builtin_bswap32(TSO_LOAD(u32, p))
#define LOAD_u64(p) __builtin_bswap64(TSO_LOAD(u64, p))
#define LOAD_i8(p) (u64)(i64)(i8)TSO_LOAD(u8, p)
#define LOAD_i16(p) (u64)(i64)(i16)__builtin_bswap16(TSO_LOAD(u16, p))
#define LOAD_i32(p) (u64)(i64)(i32)__builtin_bswap32(TSO_LOAD(u32, p))
#define LOAD_f32(p) __builtin_bswap32(TSO_LOAD(u32, p))
#define LOAD_f64(p) __builtin_bswap64(TSO_LOAD(u64, p))
#define STORE_u8(p, v) TSO_STORE(u8, p, v)
#define STORE_u16(p, v) TSO_STORE(u16, p, __builtin_bswap16((u16)(v)))
#define STORE_u32(p, v) TSO_STORE(u32, p, __builtin_bswap32((u32)(v)))
#define STORE_u64(p, v) TSO_STORE(u64, p, __builtin_bswap64(v))
#define STORE_f32(p, v) TSO_STORE(u32, p, __builtin_bswap32(v))
#define STORE_f64(p, v) TSO_STORE(u64, p, __builtin_bswap64(v))
enum { BYTES_u8 = 1, BYTES_u16 = 2, BYTES_u32 = 4, BYTES_u64 = 8, BYTES_i8 = 1, BYTES_i16 = 2, BYTES_i32 = 4,
       BYTES_f32 = 4, BYTES_f64 = 8 };

/* The tag compare includes the low bits, so a misaligned address misses. A page lives in the slot of its number or in
 * the one half a table away (memory.c), so that two arrays at the same distance do not push each other out. */
#define TLB_OFFSET(va) (((va) >> (PAGE_BITS - 5)) & ((TLB_ENTRIES - 1u) << 5))
#define TLB_AT(offset) ((const struct tlb_entry *)(const void *)((const u8 *)c->dtlb + (offset)))
#define TLB_TAG(kind) (va & (PAGE_MASK | (u64)(BYTES_##kind - 1)))
#define TLB_FIND(tag, kind)                                          \
  const struct tlb_entry *e = TLB_AT(TLB_OFFSET(va));                \
  if (UNLIKELY(e->tag != TLB_TAG(kind))) {                           \
    e = TLB_AT(TLB_OFFSET(va) ^ (TLB_ENTRIES / 2u << 5));            \
    if (UNLIKELY(e->tag != TLB_TAG(kind))) TAIL(h_cold);             \
  }
#define HOT_LOAD(kind, cell)                                         \
  TLB_FIND(rtag, kind)                                               \
  cell = LOAD_##kind((const u8 *)(uintptr_t)(e->addend + va))
#define HOT_STORE(kind, cell)                                        \
  TLB_FIND(wtag, kind)                                               \
  STORE_##kind((u8 *)(uintptr_t)(e->addend + va), cell)
_Static_assert(sizeof(struct tlb_entry) == 32, "TLB_SLOT scales by 32");

/* ---- windows: the moves that need no copy at the seam of the ring (window.h) ---- */
#define SAVE_WINDOW                                                                                              \
  if (UNLIKELY(c->cansave == 0 || c->cleanwin <= c->canrestore || c->cwp - 1u >= NWINDOWS - 2u)) TAIL(h_cold);   \
  c->cwp++;                                                                                                      \
  c->cansave--;                                                                                                  \
  c->canrestore++;                                                                                               \
  __builtin_memcpy(W - 16, W, 64);                                                                               \
  W -= 16;                                                                                                       \
  WINDOW_MOVED
#define RESTORE_WINDOW                                                                                           \
  if (UNLIKELY(c->canrestore == 0 || c->cansave >= 7 || c->cwp < 2)) TAIL(h_cold);                                                  \
  c->cwp--;                                                                                                      \
  c->cansave++;                                                                                                  \
  c->canrestore--;                                                                                               \
  __builtin_memcpy(W + 16, W, 64);                                                                               \
  W += 16;                                                                                                       \
  WINDOW_MOVED

/* ---- floating point ---- */
#define FP_LAST(number, a_, b_) (c->fp_last_op = (number), c->fp_last_a = (a_), c->fp_last_b = (b_))
#define FCC_SET(n, v)                                                     \
  do {                                                                    \
    u32 at_ = (n) ? 30u + 2u * (n) : 10u;                                 \
    c->fsr = (c->fsr & ~(3ull << at_)) | (u64)((v) & 3u) << at_;          \
  } while (0)

/* ---- branches: taken goes on at the next micro-op, not taken skips `imm` ---- */
#define BRANCH_ON(test)      \
  do {                       \
    u += (test) ? 1 : u->imm; \
    DISPATCH;                \
  } while (0)

#include "handlers.inc"
#if TAIL_CALLS /* in the loop a pair saves nothing */
#include "pairs.inc"
#endif

/* ---- out of line ---- */

struct block *interp_next(struct strand *c) {
  if (UNLIKELY(strand_noticed(c) || c->stop || c->single || BUD < 0 || c->npc != c->pc + 4 || c->mode & MODE_STEP))
    return NULL;
  return strand_lookup(c);
}

/* PC and NPC of a micro-op, from the block's side table. Returns the index of its instruction. */
u32 interp_locate(struct strand *c, const struct uop *u) {
  const struct block *b = c->block;
  u32 side = b->side[u - b->ops], index = side & SIDE_INDEX;
  u64 mask = b->mode & MODE_AM ? 0xffffffffu : ~(u64)0;
  c->pc = (b->pc + 4u * index) & mask;
  if ((side & NPC_KIND) == NPC_NEXT)
    c->npc = (c->pc + 4) & mask;
  else if ((side & NPC_KIND) == NPC_TARGET)
    c->npc = b->target;
  return index;
}

/* What the body of a micro-op says; `index`: of its instruction. */
static inline u32 call_body(struct strand *c, const struct uop *u, u32 *index) {
  const struct block *b = c->block;
  *index = interp_locate(c, u);
  c->cold_index = *index;
  u32 result = isa_body[b->rows[*index]](c, b->words[*index]);
  c->cold_index = 0;
  return result;
}

u32 interp_body(struct strand *c, const struct uop *u) {
  struct block *b = c->block;
  u32 index, result = call_body(c, u, &index);
  if (LIKELY(result == BODY_OK)) {
    if (LIKELY(!block_is_stale(b))) return 0;
    result = BODY_NEXT;
  }
  strand_finish(c, result, index);
  return 1;
}

/* Nothing that code rests on has changed, and nobody waits. */
static bool may_stay(const struct strand *c, const struct block *b, u64 key) {
  return c->jump_key == key && !strand_noticed(c) && !c->stop && !c->single && !block_is_stale(b);
}

u32 interp_hypercall(struct strand *c, const struct uop *u) {
  struct block *b = c->block;
  u64 key = c->jump_key;
  u32 index, result = call_body(c, u, &index);
  if (LIKELY(result == BODY_NEXT && may_stay(c, b, key))) return 0;
  strand_finish(c, result, index);
  return 1;
}

HANDLER(h_cold) {
  SYNC_OUT;
  u32 elsewhere = interp_body(c, u);
  SYNC_IN;
  if (UNLIKELY(elsewhere)) TAIL(h_dispatch);
  NEXT;
}

HANDLER(h_trap) {
  SYNC_OUT;
  u32 index = interp_locate(c, u);
  strand_finish(c, (u32)u->imm, index);
  SYNC_IN;
  TAIL(h_dispatch);
}

/* What a block cannot express: one instruction by the stepper. */
HANDLER(h_step) {
  BUD -= interp_locate(c, u);
  c->single = 1;
  LEAVE;
}

HANDLER(h_breakpoint) {
  BUD -= interp_locate(c, u);
  c->stop = STOP_BREAKPOINT;
  LEAVE;
}

HANDLER(h_stale) {
  (void)u;
  c->pc = c->block->pc;
  c->npc = c->pc + 4;
  TAIL(h_dispatch);
}

HANDLER(h_dispatch) {
  (void)u;
  SYNC_OUT;
  struct block *b = interp_next(c);
  if (UNLIKELY(!b)) LEAVE;
  ENTER_BLOCK(b);
}

/* With a translator a block's first micro-op is one of these two until the block is hot. */
HANDLER(h_hot) {
  SYNC_OUT;
  codecache_heat(c->code, c, c->block);
  SYNC_IN;
#if TAIL_CALLS
  return ((handler_fn)c->block->first)(c, u, w, cca, ccb);
#else
  DISPATCH;
#endif
}

HANDLER(h_count) {
#if TAIL_CALLS
  struct block *b = c->block;
  if (UNLIKELY(++b->heat >= c->env->hot_entries)) TAIL(h_hot);
  return ((handler_fn)b->first)(c, u, w, cca, ccb);
#else
  TAIL(h_hot);
#endif
}

HANDLER(h_link) {
  W[WINDOW_AT + 7] = c->block->pc + (u64)u->imm;
  NEXT;
}

HANDLER(h_edge_expired) {
  const struct edge *e = (const struct edge *)(const void *)u;
  c->pc = e->target;
  c->npc = e->target + 4;
  LEAVE;
}

HANDLER(h_edge_linked) {
  const struct edge *e = (const struct edge *)(const void *)u;
  CHARGE(e->insns);
  if (UNLIKELY(BUD < 0)) TAIL(h_edge_expired);
  ENTER_BLOCK(e->block);
}

HANDLER(h_edge) {
  struct edge *e = (struct edge *)(uintptr_t)u;
  struct block *from = c->block;
  CHARGE(e->insns);
  if (UNLIKELY(BUD < 0)) TAIL(h_edge_expired);
  c->pc = e->target;
  c->npc = e->target + 4;
  SYNC_OUT;
  struct block *to = strand_lookup(c);
  if (!to) LEAVE;
  if (!block_is_stale(from) && to->page == from->page && to->mode == from->mode) {
    const void *unlinked = (const void *)h_edge;
    e->block = to;
    /* not where the edge begins a block that has become stale meanwhile: then it says so, and must go on saying it */
    __atomic_compare_exchange_n(&e->h, &unlinked, (const void *)h_edge_linked, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
  }
  ENTER_BLOCK(to);
}

#define JUMP_TO(target_)                                                         \
  do {                                                                           \
    u64 t_ = (target_);                                                          \
    const struct jump_entry *j_ = &c->jump[jump_index(t_, c->mode)];        \
    if (LIKELY(j_->pc == t_ && j_->key == c->jump_key)) ENTER_BLOCK(j_->block);  \
    c->pc = t_;                                                                  \
    c->npc = t_ + 4;                                                             \
    TAIL(h_dispatch);                                                            \
  } while (0)

HANDLER(h_edge_far) {
  const struct edge *e = (const struct edge *)(const void *)u;
  CHARGE(e->insns);
  if (UNLIKELY(BUD < 0)) TAIL(h_edge_expired);
  JUMP_TO(e->target);
}

HANDLER(h_jump_expired) {
  (void)u;
  c->pc = c->npc;
  c->npc = c->pc + 4;
  LEAVE;
}

HANDLER(h_jump) {
  CHARGE(u->imm);
  if (UNLIKELY(BUD < 0)) TAIL(h_jump_expired);
  JUMP_TO(c->npc);
}

HANDLER(h_branch_any) {
  SYNC_OUT;
  struct block *b = c->block;
  BRANCH_ON(cti_branch_taken(c, b->words[b->side[u - b->ops] & SIDE_INDEX]));
}

HANDLER(h_compare) {
  SYNC_OUT;
  struct block *b = c->block;
  BRANCH_ON(cti_compare_taken(c, b->words[b->side[u - b->ops] & SIDE_INDEX]));
}

HANDLER(h_branch_fcc) {
  static const u8 mask[8] = {0x0, 0xe, 0x6, 0xa, 0x2, 0xc, 0x4, 0x8};
  u32 at = u->rs1, t = (u32)mask[u->x & 7] >> (c->fsr >> at & 3) & 1;
  BRANCH_ON(t != (u32)(u->x >> 3));
}

#define BRANCH_CC(n)                                           \
  HANDLER(h_bicc_##n) {                                        \
    if (UNLIKELY(c->cc_kind != CC_SUB)) TAIL(h_branch_any);    \
    BRANCH_ON(COND_ICC(n));                                    \
  }                                                            \
  HANDLER(h_bxcc_##n) {                                        \
    if (UNLIKELY(c->cc_kind != CC_SUB)) TAIL(h_branch_any);    \
    BRANCH_ON(COND_XCC(n));                                    \
  }
BRANCH_CC(1) BRANCH_CC(2) BRANCH_CC(3) BRANCH_CC(4) BRANCH_CC(5) BRANCH_CC(6) BRANCH_CC(7)
BRANCH_CC(9) BRANCH_CC(10) BRANCH_CC(11) BRANCH_CC(12) BRANCH_CC(13) BRANCH_CC(14) BRANCH_CC(15)

#define BRANCH_REG(n, test) \
  HANDLER(h_br_##n) { i64 a = (i64)REG(rs1); BRANCH_ON(test); }
BRANCH_REG(1, a == 0) BRANCH_REG(2, a <= 0) BRANCH_REG(3, a < 0)
BRANCH_REG(5, a != 0) BRANCH_REG(6, a > 0) BRANCH_REG(7, a >= 0)

HANDLER(h_jmpl) {
  u64 t = REG(rs1) + (u64)(i64)u->imm;
  if (UNLIKELY(t & 3)) TAIL(h_cold);
  REG(rd) = c->block->pc + 4u * (u64)u->x;
  c->npc = t;
  NEXT;
}

/* RETURN %iN + imm, the usual one. */
HANDLER(h_return) {
  u64 t = REG(rs1) + (u64)(i64)u->imm;
  if (UNLIKELY(t & 3)) TAIL(h_cold);
  RESTORE_WINDOW;
  c->npc = t;
  NEXT;
}

#define CC_ROW(p) {h_branch_any, p##1, p##2, p##3, p##4, p##5, p##6, p##7, \
                   h_branch_any, p##9, p##10, p##11, p##12, p##13, p##14, p##15}
const struct interp_handlers interp_handlers = {
    .cold = h_cold, .trap = h_trap, .step = h_step, .stale = h_stale, .breakpoint = h_breakpoint, .link = h_link,
    .edge = h_edge, .edge_far = h_edge_far, .jump = h_jump, .branch_fcc = h_branch_fcc, .compare = h_compare,
    .branch_icc = CC_ROW(h_bicc_), .branch_xcc = CC_ROW(h_bxcc_),
    .branch_reg = {0, h_br_1, h_br_2, h_br_3, 0, h_br_5, h_br_6, h_br_7}, .jmpl = h_jmpl, .ret = h_return,
};

const void *interp_hot(u32 n) { return (const void *)hot_handlers[n]; }

#if TAIL_CALLS
const void *interp_pair(u32 first, u32 first_reg, u32 second, u32 form) {
  u32 n = (((first - 1) * 2 + first_reg) * PAIR_SECONDS + second - 1) * PAIR_FORMS + form;
  return n < ARRAY_LEN(pair_handlers) ? (const void *)pair_handlers[n] : NULL;
}

const void *interp_compare_pair(u32 compare, u32 first_reg, u32 xcc, u32 cond) {
  return (const void *)compare_handlers[(((compare - 1) * 2 + first_reg) * 2 + xcc) * COMPARE_ROW + cond];
}
#else
const void *interp_pair(u32 first, u32 first_reg, u32 second, u32 form) {
  (void)first, (void)first_reg, (void)second, (void)form;
  return NULL;
}

const void *interp_compare_pair(u32 compare, u32 first_reg, u32 xcc, u32 cond) {
  (void)compare, (void)first_reg, (void)xcc, (void)cond;
  return NULL;
}
#endif

void interp_mark_stale(struct block *b) { __atomic_store_n(&b->ops[0].h, (const void *)h_stale, __ATOMIC_RELEASE); }

/* Blocks that begin with an edge are left alone: the edge's handler changes when it is linked. */
void interp_count(struct block *b, const void *leave) {
  const void *h = b->ops[0].h;
  b->native = leave;
  b->first = h;
  b->heat = 0;
  if (h != (const void *)h_edge && h != (const void *)h_edge_far && h != (const void *)h_step && h != (const void *)h_breakpoint)
    b->ops[0].h = (const void *)h_count;
}

static void replace_first(struct block *b, const void *expected, const void *h) {
  __atomic_compare_exchange_n(&b->ops[0].h, &expected, h, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

void interp_counted(struct block *b) { replace_first(b, (const void *)h_count, b->first); }
void interp_adopt(struct block *b, const void *enter) { replace_first(b, (const void *)h_count, enter); }

void interp_enter(struct strand *c) {
#if TAIL_CALLS
  h_dispatch(c, NULL, c->w, c->cc_a, c->cc_b);
#else
  const struct uop *u = h_dispatch(c, NULL);
  while (u) u = ((handler_fn)__atomic_load_n(&u->h, __ATOMIC_RELAXED))(c, u); /* others may make the block stale */
#endif
}
