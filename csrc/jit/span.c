/* span.c - see span.h. */
#include "jit/gen.h"

/* What a register holds: a root and a constant. */
struct value {
  u32 root;
  i64 offset;
};

struct plan {
  struct spans *s;
  const struct region *r;
  const struct node *n;
  struct value reg[32];
  u32 roots, since; /* since: spans from here on may be added to */
  u8 bytes[BLOCK_INSNS + 2];
};

static struct op op_at(const struct plan *p, u32 index) {
  const struct block *b = p->n->block;
  return ops_of(p->r->ops, b->rows[index], b->words[index], b->mode);
}

/* Whatever may change the soft TLB, the bank or the window in place. */
static bool is_cut(struct op op, struct effect e) {
  if (e.kind == EFFECT_BODY || e.kind == EFFECT_WINDOW) return true;
  return op.kind > OP_RDPR && op.kind != OP_CLOCK && op.kind < OP_ALIGN;
}

static void forget(struct plan *p, u32 mask) {
  for (u32 reg = 0; reg < 32; reg++)
    if (mask >> reg & 1) p->reg[reg] = (struct value){p->roots++, 0};
}

/* What the result is, where it is a register and a constant. */
static bool is_sum(const struct plan *p, struct op op, u32 insn, struct value *v) {
  u32 rs1 = insn_rs1(insn), rs2 = insn_rs2(insn);
  if (op.kind != OP_ALU) return false;
  bool plain = op.arg == ALU_ADD || op.arg == ALU_OR, zero = insn_i(insn) ? insn_simm(insn, 13) == 0 : rs2 == 0;
  if (insn_i(insn) && (op.arg == ALU_ADD || op.arg == ALU_SUB)) {
    *v = p->reg[rs1];
    v->offset += op.arg == ALU_ADD ? insn_simm(insn, 13) : -insn_simm(insn, 13);
    return true;
  }
  if (plain && zero) *v = p->reg[rs1];
  else if (plain && rs1 == 0 && !insn_i(insn)) *v = p->reg[rs2];
  return plain && (zero || (rs1 == 0 && !insn_i(insn)));
}

static void add_access(struct plan *p, u32 index, struct op op, u32 insn) {
  struct spans *s = p->s;
  struct value v = p->reg[insn_rs1(insn)];
  u32 bytes = emit_type_bytes(op.arg);
  i64 low = v.offset + (insn_i(insn) ? insn_simm(insn, 13) : 0), high = low + bytes - 1;
  bool store = op.kind == OP_STORE || op.kind == OP_FSTORE;
  p->bytes[index] = (u8)bytes;
  s->at[index] = low;
  for (u32 i = p->since; i < s->count; i++) {
    struct span *t = &s->span[i];
    i64 from = low < t->low ? low : t->low, to = high > t->high ? high : t->high;
    if (t->root != v.root || t->store != store || to - from >= SPAN_REACH) continue;
    t->low = from, t->high = to;
    s->of[index] = (u8)i;
    return;
  }
  if (s->count == MAX_SPANS) return;
  s->of[index] = (u8)s->count;
  s->span[s->count++] = (struct span){.root = v.root, .store = store, .low = low, .high = high};
}

static void look_at(struct plan *p, u32 index) {
  u32 insn = p->n->block->words[index];
  struct op op = op_at(p, index);
  struct effect e = ops_effect(op, insn);
  struct value v;
  if (is_cut(op, e)) {
    p->since = p->s->count;
    forget(p, ~1u);
    return;
  }
  bool memory = op.kind >= OP_LOAD && op.kind <= OP_FSTORE && !(p->n->block->mode & MODE_AM); /* there addresses wrap */
  if (memory && insn_rs1(insn) && (insn_i(insn) || insn_rs2(insn) == 0)) add_access(p, index, op, insn);
  if (insn_rd(insn) && is_sum(p, op, insn, &v)) p->reg[insn_rd(insn)] = v;
  else forget(p, e.def & ~1u);
}

/* The widest decides what is compared; what is not aligned whenever that is, is not of the span. */
static void settle(struct plan *p, u32 i) {
  struct spans *s = p->s;
  struct span *t = &s->span[i];
  for (u32 k = 0; k < BLOCK_INSNS + 2; k++)
    if (s->of[k] == i && p->bytes[k] > t->bytes) t->bytes = p->bytes[k], t->check = s->at[k];
  for (u32 k = 0; k < BLOCK_INSNS + 2; k++) {
    if (s->of[k] != i) continue;
    if ((s->at[k] - t->check) & (p->bytes[k] - 1)) s->of[k] = NO_SPAN;
    else t->last = k, t->first = t->count++ ? t->first : k;
  }
  if (t->count >= SPAN_LEAST && t->first < s->begin) s->begin = t->first;
  for (u32 k = 0; k < BLOCK_INSNS + 2 && t->count < SPAN_LEAST; k++)
    if (s->of[k] == i) s->of[k] = NO_SPAN;
}

void spans_plan(struct spans *s, const struct region *r, const struct node *n) {
  struct plan p = {.s = s, .r = r, .n = n, .roots = 32};
  s->node = n;
  s->count = 0;
  s->begin = BLOCK_INSNS + 2;
  for (u32 k = 0; k < BLOCK_INSNS + 2; k++) s->of[k] = NO_SPAN;
  for (u32 reg = 0; reg < 32; reg++) p.reg[reg].root = reg;
  for (u32 i = 0; i < n->plain; i++) look_at(&p, i);
  bool slot = n->way[0].used && n->way[0].slot;
  if (slot && (n->end == END_EDGE || n->end == END_BRANCH)) look_at(&p, node_slot(n));
  for (u32 i = 0; i < s->count; i++) settle(&p, i);
}

bool span_open(struct spans *s, const struct region *r, struct span *t) {
  u32 used = 0, slots = 0, k = 0;
  for (u32 i = 0; i < s->count; i++) {
    const struct span *o = &s->span[i];
    if (!o->open || o->last < t->first) continue;
    if (o->place == NO_REG) slots |= 1u << o->slot;
    else used |= 1u << o->place;
  }
  for (u32 reg = 1; reg < 32; reg++)
    if (r->host[reg] != NO_REG) used |= 1u << r->host[reg];
  t->place = NO_REG;
  for (u32 i = 0; i < MAP_REGISTERS && t->place == NO_REG; i++)
    if (!(used >> region_pool[i] & 1)) t->place = region_pool[i];
  while (k < SPAN_SLOTS && slots >> k & 1) k++;
  t->slot = (u8)k;
  t->open = t->place != NO_REG || k < SPAN_SLOTS;
  return t->open;
}

bool spans_hold(const struct spans *s, u32 index) {
  if (!s->node) return false;
  for (u32 i = 0; i < s->count; i++)
    if (s->span[i].open && s->span[i].first <= index && s->span[i].last > index) return true;
  return false;
}
