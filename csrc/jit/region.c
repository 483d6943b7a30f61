/* region.c - see region.h. */
#include "jit/region.h"

#include "strand/interp.h"
#include "strand/special.h"

const u8 region_pool[MAP_REGISTERS] = {R12, R13, R14, R8, R9, R10, R11, RSI, RDI};

/* ---- how a block ends, in the builder's order of micro-ops ---- */

static bool is_transfer(u32 row) {
  return row != ISA_ILLEGAL && isa_rows[row].class >= ISA_BRANCH && isa_rows[row].class <= ISA_CBCOND;
}

static bool is_left(const struct block *b, u32 uop) {
  const void *h = uop ? b->ops[uop].h : b->first;
  return h == interp_handlers.trap || h == interp_handlers.step || h == interp_handlers.breakpoint;
}

static u64 masked(const struct block *b, u64 va) { return b->mode & MODE_AM ? (u32)va : va; }

static void set_way(struct node *n, u32 way, u64 target, u32 insns, bool slot, u32 uop) {
  n->way[way] = (struct way){.used = true, .slot = slot, .node = -1, .insns = insns, .slot_uop = uop,
                             .target = masked(n->block, target)};
}

static void end_branch(struct node *n, u32 insn) {
  const struct block *b = n->block;
  u32 at = n->plain, uop = n->end_uop;
  u64 pc = b->pc + 4u * at, target = cti_branch_target(pc, insn);
  bool annul = insn >> 29 & 1, always = cti_always(insn), never = cti_never(insn);
  n->end = END_EDGE;
  if (always || never) {
    set_way(n, 0, always ? target : pc + 8, annul ? at + 1 : at + 2, !annul, uop);
    return;
  }
  n->end = END_BRANCH;
  set_way(n, 0, target, at + 2, true, uop + 1);
  set_way(n, 1, pc + 8, annul ? at + 1 : at + 2, !annul, uop + (u32)b->ops[uop].imm);
}

static void end_transfer(struct node *n, u32 row, u32 insn) {
  const struct block *b = n->block;
  u32 at = n->plain;
  u64 pc = b->pc + 4u * at;
  switch (isa_rows[row].class) {
  case ISA_BRANCH: end_branch(n, insn); break;
  case ISA_CALL:
    n->end = END_CALL;
    set_way(n, 0, pc + ((u64)insn_simm(insn, 30) << 2), at + 2, true, n->end_uop + 1);
    break;
  case ISA_CBCOND:
    n->end = END_COMPARE;
    set_way(n, 0, cti_compare_target(pc, insn), at + 1, false, 0);
    set_way(n, 1, pc + 4, at + 1, false, 0);
    break;
  default:
    n->end = isa_rows[row].class == ISA_JMPL ? END_JMPL : END_RETURN;
    set_way(n, 0, 0, at + 2, true, n->end_uop + 1);
  }
}

/* A slot that traps, or that was not decoded because it does not fit, is the interpreter's; so are both ways then. */
static bool slots_are_plain(const struct node *n) {
  for (u32 w = 0; w < 2; w++)
    if (n->way[w].used && n->way[w].slot && (n->block->insns != n->plain + 2 || is_left(n->block, n->way[w].slot_uop)))
      return false;
  return true;
}

/* False: the interpreter would have to go on at the very first micro-op, so there is nothing to translate. */
static bool describe(struct node *n, struct block *b) {
  *n = (struct node){.block = b, .end = END_LEAVE};
  for (; n->plain < b->insns; n->plain++, n->end_uop++) {
    u32 row = b->rows[n->plain];
    if (is_left(b, n->end_uop)) break;
    if (!is_transfer(row)) continue;
    end_transfer(n, row, b->words[n->plain]);
    if (!slots_are_plain(n)) n->end = END_LEAVE;
    break;
  }
  if (n->plain == b->insns) {
    n->end = END_EDGE;
    set_way(n, 0, b->pc + 4u * n->plain, n->plain, false, 0);
  }
  if (n->end == END_LEAVE) n->way[0].used = n->way[1].used = false;
  return n->end != END_LEAVE || n->end_uop > 0;
}

/* ---- which blocks ---- */

static i8 region_find(const struct region *r, const struct block *b) {
  for (u32 i = 0; i < r->count; i++)
    if (r->node[i].block == b) return (i8)i;
  return -1;
}

static struct block *way_block(const struct node *n, const struct way *w) {
  if (!w->used || n->end == END_JMPL || n->end == END_RETURN || (w->target ^ n->block->pc) & PAGE_MASK) return NULL;
  return codecache_block(n->block->page, w->target, n->block->mode);
}

/* Whether to take a block along: decoded, run more than once or twice, not translated yet. */
static bool is_wanted(const struct block *b, const struct block *hot) {
  return b->native == hot->native && (b->heat >= 4 || b->first == b->ops[0].h) && b->insns;
}

bool node_returns(const struct node *n) {
  u32 insn = n->block->words[n->plain], rs1 = insn_rs1(insn);
  return n->end == END_RETURN || (n->end == END_JMPL && insn_i(insn) && insn_simm(insn, 13) == 8 && (rs1 == 15 || rs1 == 31));
}

u32 region_targets(const struct region *r, const struct node *n, u32 way) {
  if (n->end == END_JMPL || n->end == END_RETURN) return node_returns(n) ? r->returns : r->jumps;
  return n->way[way].node >= 0 ? 1u << n->way[way].node : 0;
}

/* The node of a block, taken along if it is wanted; or -1. */
static i8 take(struct region *r, struct block *b, const struct block *hot) {
  i8 known = region_find(r, b);
  if (known < 0 && r->count < REGION_BLOCKS && is_wanted(b, hot) && describe(&r->node[r->count], b)) known = (i8)r->count++;
  return known;
}

static void take_return(struct region *r, const struct node *n, const struct block *hot) {
  u64 pc = n->block->pc + 4u * n->plain + 8;
  struct block *b = (pc ^ hot->pc) & PAGE_MASK ? NULL : codecache_block(n->block->page, pc, hot->mode);
  i8 known = b ? take(r, b, hot) : -1;
  if (known >= 0 && __builtin_popcount(r->returns) < MAX_RETURNS) r->returns |= 1u << known;
}

/* A jump through a table leads to blocks of its page that are about as hot, and to which nothing else may lead. */
static void take_page(struct region *r, const struct block *hot) {
  for (u32 i = 0; i < PAGE_BUCKETS; i++)
    for (struct block *b = hot->page->buckets[i]; b; b = b->next)
      if (b->heat >= 4 && b->mode == hot->mode && !((b->pc ^ hot->pc) & PAGE_MASK) && !block_is_stale(b)) take(r, b, hot);
}

static void find_jumps(struct region *r) {
  u32 led = r->returns;
  for (u32 i = 0; i < r->count; i++)
    for (u32 w = 0; w < 2; w++)
      if (r->node[i].way[w].used && r->node[i].way[w].node >= 0) led |= 1u << r->node[i].way[w].node;
  r->jumps = ~led & (u32)((1ull << r->count) - 1);
}

static void grow(struct region *r, struct block *hot) {
  bool jumps = false;
  for (u32 i = 0; i < r->count; i++) {
    struct node *n = &r->node[i];
    for (u32 w = 0; w < 2; w++) {
      struct block *b = way_block(n, &n->way[w]);
      if (!b) continue;
      n->way[w].node = take(r, b, hot);
    }
    if (n->end == END_CALL || (n->end == END_JMPL && insn_rd(n->block->words[n->plain]) == 15)) take_return(r, n, hot);
    if (n->end != END_JMPL || node_returns(n) || jumps) continue;
    jumps = true;
    take_page(r, hot);
  }
  if (jumps) find_jumps(r);
}

/* ---- which registers ---- */

struct effect node_end_effect(const struct node *n) {
  u32 insn = n->plain < n->block->insns ? n->block->words[n->plain] : 0;
  u32 rs1 = 1u << insn_rs1(insn), rs2 = insn_i(insn) ? 0 : 1u << insn_rs2(insn);
  struct effect e = {0, 0, EFFECT_PLAIN};
  switch (n->end) {
  case END_BRANCH:
    if ((insn >> 22 & 7) == 3) e.use = rs1;
    break;
  case END_COMPARE: e.use = rs1 | rs2; break;
  case END_CALL: e.def = 1u << 15; break;
  case END_JMPL: e = (struct effect){rs1 | rs2, 1u << insn_rd(insn), EFFECT_TRAP}; break;
  case END_RETURN: e = (struct effect){rs1 | rs2, 0, EFFECT_WINDOW}; break;
  case END_LEAVE: e.kind = EFFECT_BODY; break;
  default: break;
  }
  e.use &= ~1u, e.def &= ~1u;
  return e;
}

static struct effect insn_effect(const struct region *r, const struct node *n, u32 index) {
  const struct block *b = n->block;
  return ops_effect(ops_of(r->ops, b->rows[index], b->words[index], b->mode), b->words[index]);
}

static void weigh(const struct effect e, u32 weight, u32 *score) {
  for (u32 g = 1; g < 32; g++) score[g] += ((e.use >> g & 1) + (e.def >> g & 1)) * weight;
}

/* The registers used most, each use counted as often as its block was entered. */
static void choose(struct region *r) {
  u32 score[32] = {0};
  for (u32 i = 0; i < r->count; i++) {
    const struct node *n = &r->node[i];
    u32 weight = n->block->heat ? n->block->heat : 1;
    for (u32 k = 0; k < n->plain; k++) weigh(insn_effect(r, n, k), weight, score);
    weigh(node_end_effect(n), weight, score);
    if (n->way[0].used && n->way[0].slot) weigh(insn_effect(r, n, node_slot(n)), weight, score);
  }
  r->mapped = 0;
  for (u32 g = 0; g < 32; g++) r->host[g] = NO_REG;
  for (u32 i = 0; i < MAP_REGISTERS; i++) {
    u32 best = 0;
    for (u32 g = 1; g < 32; g++)
      if (!(r->mapped >> g & 1) && score[g] > score[best]) best = g;
    if (!best) return;
    r->host[best] = region_pool[i];
    r->mapped |= 1u << best;
  }
}

/* ---- dirty and live ---- */

static u32 dirty_after(struct effect e, u32 dirty, u32 mapped) {
  switch (e.kind) {
  case EFFECT_BODY: return 0;
  case EFFECT_WINDOW: return (dirty & ~(u32)WINDOWED) | (e.def & mapped);
  default: return dirty | (e.def & mapped);
  }
}

static u32 live_before(struct effect e, u32 live, u32 dirty, u32 mapped) {
  switch (e.kind) {
  case EFFECT_BODY: return dirty;
  case EFFECT_WINDOW: return (live & ~(u32)WINDOWED & ~e.def) | (e.use & mapped) | dirty;
  case EFFECT_TRAP: return (live & ~e.def) | (e.use & mapped) | dirty;
  default: return (live & ~e.def) | (e.use & mapped);
  }
}

void region_flow(const struct region *r, const struct node *n, struct flow *f) {
  u32 end = n->plain, dirty = n->dirty_in, live = 0;
  for (u32 i = 0; i < end; i++) {
    f->dirty[i] = dirty;
    dirty = dirty_after(insn_effect(r, n, i), dirty, r->mapped);
  }
  f->dirty[end] = dirty;
  struct effect e = node_end_effect(n);
  u32 behind = dirty_after(e, dirty, r->mapped);
  for (u32 w = 0; w < 2; w++) {
    const struct way *way = &n->way[w];
    f->dirty_out[w] = f->dirty[end + 1 + w] = behind;
    f->live[end + 1 + w] = 0;
    if (!way->used) continue;
    struct effect slot = {0, 0, EFFECT_PLAIN};
    if (way->slot) slot = insn_effect(r, n, node_slot(n));
    f->dirty_out[w] = dirty_after(slot, behind, r->mapped);
    u32 after = f->dirty_out[w]; /* the edge itself can end the stretch */
    for (u32 to = region_targets(r, n, w); to; to &= to - 1) after |= r->node[__builtin_ctz(to)].live_in;
    f->live[end + 1 + w] = after;
    live |= live_before(slot, after, behind, r->mapped);
  }
  f->live[end] = live;
  live = live_before(e, live, dirty, r->mapped);
  for (u32 i = end; i-- > 0;) {
    f->live[i] = live;
    live = live_before(insn_effect(r, n, i), live, f->dirty[i], r->mapped);
  }
  f->live_before = live;
}

/* ---- the kind of the condition codes ---- */

/* Whether it is SUB behind an instruction; what is not known for certain to leave it alone may have changed it. */
static bool sub_after(struct op op, bool before) {
  switch (op.kind) {
  case OP_ALU: return op.cc ? op.arg != ALU_ADD : before;
  case OP_ANDN: case OP_ORN: case OP_XNOR: return op.cc || before;
  case OP_BODY: return false;
  default: return !op.cc && op.kind < OP_RDPR && before;
  }
}

static struct op insn_op(const struct region *r, const struct node *n, u32 index) {
  return ops_of(r->ops, n->block->rows[index], n->block->words[index], n->block->mode);
}

/* Takes SUB away from the nodes that this one reaches with another kind. */
static bool spread_kind(struct region *r, const struct node *n) {
  bool sub = n->sub_in, more = false;
  for (u32 i = 0; i < n->plain; i++) sub = sub_after(insn_op(r, n, i), sub);
  for (u32 w = 0; w < 2; w++) {
    const struct way *way = &n->way[w];
    bool out = way->used && way->slot ? sub_after(insn_op(r, n, node_slot(n)), sub) : sub;
    for (u32 left = way->used && !out ? region_targets(r, n, w) : 0; left; left &= left - 1) {
      struct node *to = &r->node[__builtin_ctz(left)];
      more |= to->sub_in;
      to->sub_in = false;
    }
  }
  return more;
}

/* A node that nothing inside leads to is entered with any kind. */
static void settle_kind(struct region *r) {
  u32 led = 0;
  for (u32 i = 0; i < r->count; i++)
    for (u32 w = 0; w < 2; w++)
      if (r->node[i].way[w].used) led |= region_targets(r, &r->node[i], w);
  for (u32 i = 0; i < r->count; i++) r->node[i].sub_in = led >> i & 1;
  for (bool more = true; more;) {
    more = false;
    for (u32 i = 0; i < r->count; i++) more |= spread_kind(r, &r->node[i]);
  }
}

static bool spread_dirty(struct region *r, const struct node *n) {
  struct flow f;
  bool more = false;
  region_flow(r, n, &f);
  for (u32 w = 0; w < 2; w++) {
    for (u32 left = n->way[w].used ? region_targets(r, n, w) : 0; left; left &= left - 1) {
      struct node *to = &r->node[__builtin_ctz(left)];
      more |= (f.dirty_out[w] & ~to->dirty_in) != 0;
      to->dirty_in |= f.dirty_out[w];
    }
  }
  return more;
}

static bool spread_live(struct region *r, struct node *n) {
  struct flow f;
  region_flow(r, n, &f);
  bool more = n->live_in != f.live_before;
  n->live_in = f.live_before;
  return more;
}

static void settle(struct region *r) {
  bool more = true;
  while (more) {
    more = false;
    for (u32 i = 0; i < r->count; i++) more |= spread_dirty(r, &r->node[i]);
  }
  for (more = true; more;) {
    more = false;
    for (u32 i = r->count; i-- > 0;) more |= spread_live(r, &r->node[i]);
  }
}

bool region_select(struct region *r, const struct op *ops, struct block *hot) {
  r->count = r->returns = r->jumps = 0;
  r->ops = ops;
  if (!describe(&r->node[0], hot)) return false;
  r->count = 1;
  grow(r, hot);
  choose(r);
  settle(r);
  settle_kind(r);
  return true;
}
