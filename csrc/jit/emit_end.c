/* emit_end.c - how blocks end: conditions, delay slots, counted edges, jumps. */
#include "jit/gen.h"

/* ---- edges ---- */

static void leave_if_stale(struct gen *g, struct x86_label *away) {
  if (!g->jit->beside) return;
  x86_mov_imm(&g->x, RAX, (u64)(uintptr_t)g->node->block);
  x86_alu_mem_imm(&g->x, ALU_CMP, W32, x86_at(RAX, offsetof(struct block, stale)), 0);
  x86_jcc(&g->x, CC_NE, away);
}

/* To a block of the page that is not of this region, by its entry; or to whatever is at the target, by the jump cache. */
static void go_outside(struct gen *g, const struct way *way) {
  struct x86 *x = &g->x;
  const struct block *from = g->node->block;
  bool near = !((way->target ^ from->pc) & PAGE_MASK);
  const struct block *to = near ? codecache_block(from->page, way->target, from->mode) : NULL;
  if (to) {
    x86_mov_imm(x, RSI, (u64)(uintptr_t)to);
    x86_jmp_mem(x, x86_at(RSI, offsetof(struct block, native)));
    return;
  }
  i64 entry = (i64)offsetof(struct strand, jump) + (i64)jump_index(way->target, from->mode) * (i64)sizeof(struct jump_entry);
  x86_mov_imm(x, RAX, way->target);
  x86_alu_load(x, ALU_CMP, W64, RAX, x86_at(RBP, entry + (i64)offsetof(struct jump_entry, pc)));
  x86_jcc(x, CC_NE, &g->jit->thunks.miss);
  x86_load(x, W64, RCX, x86_at(RBP, entry + (i64)offsetof(struct jump_entry, key)));
  x86_alu_load(x, ALU_CMP, W64, RCX, FIELD_AT(jump_key));
  x86_jcc(x, CC_NE, &g->jit->thunks.miss);
  x86_load(x, W64, RSI, x86_at(RBP, entry + (i64)offsetof(struct jump_entry, block)));
  x86_jmp_mem(x, x86_at(RSI, offsetof(struct block, native)));
}

/* RAX: target. To the region's own blocks with registers where they are. */
static void go_inside(struct gen *g, const struct node *n) {
  struct x86 *x = &g->x;
  for (u32 left = node_returns(n) ? g->r->returns : 0; left; left &= left - 1) {
    struct node *to = &g->r->node[__builtin_ctz(left)];
    u64 pc = to->block->pc;
    if ((i64)pc == (i32)pc) {
      x86_alu_imm(x, ALU_CMP, W64, RAX, (i32)pc);
    } else {
      x86_mov_imm(x, RCX, pc);
      x86_alu(x, ALU_CMP, W64, RAX, RCX);
    }
    x86_jcc(x, CC_E, &to->body);
  }
}

/* RDX: the block at RAX, by the jump cache. */
static void find_target(struct gen *g, struct x86_label *miss) {
  struct x86 *x = &g->x;
  u32 mode = g->node->block->mode;
  x86_mov(x, W32, RCX, RAX);
  x86_shift_imm(x, SHIFT_RIGHT, W32, RCX, 2);
  if (mode) x86_alu_imm(x, ALU_XOR, W32, RCX, (i32)(mode << JUMP_MODE_SHIFT));
  x86_alu_imm(x, ALU_AND, W32, RCX, JUMP_CACHE - 1);
  x86_lea(x, W64, RCX, (struct x86_mem){RCX, RCX, 1, 0});
  x86_lea(x, W64, RCX, (struct x86_mem){RBP, RCX, 3, (i32)offsetof(struct strand, jump)});
  x86_alu_load(x, ALU_CMP, W64, RAX, x86_at(RCX, offsetof(struct jump_entry, pc)));
  x86_jcc(x, CC_NE, miss);
  x86_load(x, W64, RDX, x86_at(RCX, offsetof(struct jump_entry, key)));
  x86_alu_load(x, ALU_CMP, W64, RDX, FIELD_AT(jump_key));
  x86_jcc(x, CC_NE, miss);
  x86_load(x, W64, RDX, x86_at(RCX, offsetof(struct jump_entry, block)));
}

/* A jump to one of the region's blocks need not write registers back and load them again. */
static void go_dynamic(struct gen *g, const struct node *n, const struct way *way) {
  struct x86 *x = &g->x;
  u32 inside = region_targets(g->r, n, 0);
  struct stub *expire = gen_stub(g, STUB_EXPIRE_JUMP);
  x86_alu_imm(x, ALU_SUB, W64, R15, (i32)way->insns);
  x86_jcc(x, CC_S, &expire->from);
  if (inside) leave_if_stale(g, &expire->from);
  x86_load(x, W64, RAX, FIELD_AT(npc));
  if (node_returns(n) || !inside) {
    go_inside(g, n);
    gen_write_back(g, g->dirty);
    find_target(g, &g->jit->thunks.miss);
    x86_mov(x, W64, RSI, RDX);
    x86_jmp_mem(x, x86_at(RSI, offsetof(struct block, native)));
    return;
  }
  struct stub *miss = gen_stub(g, STUB_MISS), *out = gen_stub(g, STUB_OUT);
  find_target(g, &miss->from);
  x86_alu_mem_imm(x, ALU_CMP, W32, x86_at(RDX, offsetof(struct block, inner)), (i32)codecache_next_region(g->jit->cache));
  x86_jcc(x, CC_NE, &out->from);
  x86_jmp_mem(x, x86_at(RDX, offsetof(struct block, inside)));
}
_Static_assert(sizeof(struct jump_entry) == 24, "scaled by 3 and 8");

/* Slot and edge of one way. `next`: the block that may follow in place, taken up where the way leads there. */
void emit_way(struct gen *g, const struct node *n, u32 w, struct node **next) {
  const struct way *way = &n->way[w];
  struct node *current = g->node;
  u32 slot = node_slot(n);
  g->node = (struct node *)(uintptr_t)n;
  region_flow(g->r, n, &g->flow);
  if (way->slot) {
    g->live = g->flow.live[slot + w];
    emit_instruction(g, slot, way->slot_uop);
  }
  if (n->end == END_JMPL || n->end == END_RETURN) {
    go_dynamic(g, n, way);
  } else {
    struct stub *s = gen_stub(g, STUB_EXPIRE);
    s->target = way->target;
    x86_alu_imm(&g->x, ALU_SUB, W64, R15, (i32)way->insns);
    x86_jcc(&g->x, CC_S, &s->from);
    leave_if_stale(g, &s->from);
    if (way->node >= 0) {
      struct node *to = &g->r->node[way->node];
      if (next && !to->emitted) *next = to;
      else x86_jmp(&g->x, &to->body);
    } else {
      gen_write_back(g, g->dirty);
      go_outside(g, way);
    }
  }
  g->node = current;
}

/* ---- conditions ---- */

static u32 condition_of_register(struct gen *g, u32 insn) {
  static const u8 conds[8] = {0, CC_E, CC_LE, CC_S, 0, CC_NE, CC_G, CC_NS};
  u8 a = gen_source(g, insn_rs1(insn), RAX);
  x86_test(&g->x, W64, a, a);
  return conds[insn >> 25 & 7];
}

u32 emit_fcc(struct gen *g, u32 fcc, u32 cond) {
  static const u8 masks[8] = {0x0, 0xe, 0x6, 0xa, 0x2, 0xc, 0x4, 0x8}; /* a bit for each value with which it holds */
  struct x86 *x = &g->x;
  x86_load(x, W64, RAX, FIELD_AT(fsr));
  x86_shift_imm(x, SHIFT_RIGHT, W64, RAX, (u8)(fcc ? 30 + 2 * fcc : 10));
  x86_alu_imm(x, ALU_AND, W32, RAX, 3);
  x86_mov_imm(x, RDX, cond & 8 ? ~(u32)masks[cond & 7] & 15 : masks[cond & 7]);
  x86_bt(x, RDX, RAX);
  return CC_B;
}

static u32 condition_of_fcc(struct gen *g, u32 insn) {
  return emit_fcc(g, (insn >> 22 & 7) == 5 ? insn >> 20 & 3 : 0, insn >> 25 & 15);
}

static u32 condition_of_compare(struct gen *g, u32 insn) {
  struct x86 *x = &g->x;
  u32 cond = (insn >> 29 & 1) << 3 | (insn >> 25 & 7), width = insn >> 21 & 1;
  u8 b = insn_i(insn) ? RCX : gen_source(g, insn_rs2(insn), RCX);
  if (insn_i(insn)) x86_mov_imm(x, RCX, (u64)insn_simm(insn, 5));
  u8 a = gen_source(g, insn_rs1(insn), RAX);
  x86_alu(x, ALU_CMP, width, a, b);
  return emit_cond[cond];
}

/* Which way is laid out in place: the one that goes back, or on to a block that is not out yet. */
static u32 way_in_place(const struct gen *g, const struct node *n) {
  bool known[2], back[2];
  for (u32 w = 0; w < 2; w++) {
    known[w] = n->way[w].node >= 0;
    back[w] = known[w] && g->r->node[n->way[w].node].emitted;
  }
  if (back[0] != back[1]) return back[1];
  if (known[0] != known[1]) return known[1];
  return 1;
}

static void emit_branch(struct gen *g, struct node *n, struct node **next) {
  struct x86 *x = &g->x;
  u32 insn = n->block->words[n->plain], in_place = way_in_place(g, n), cond;
  u32 index = g->stub_count;
  struct stub *away = gen_stub(g, STUB_WAY), *unknown = NULL;
  away->way = !in_place;
  bool by_cc = n->end == END_BRANCH && (insn >> 22 & 7) <= 2, xcc = (insn >> 22 & 7) == 1 && (insn >> 21 & 1);
  if (n->end == END_COMPARE) {
    cond = condition_of_compare(g, insn);
  } else if (by_cc) {
    if (g->cc.kind == KIND_UNKNOWN) {
      unknown = gen_stub(g, STUB_CC);
      unknown->cond = insn >> 25 & 15;
      unknown->xcc = xcc;
      unknown->sense = in_place == 1;
      unknown->way = index;
      x86_alu_mem_imm(x, ALU_CMP, W32, FIELD_AT(cc_kind), CC_SUB);
      x86_jcc(x, CC_NE, &unknown->from);
    }
    cond = emit_condition(g, insn >> 25 & 15, xcc);
  } else {
    cond = (insn >> 22 & 7) == 3 ? condition_of_register(g, insn) : condition_of_fcc(g, insn);
  }
  x86_jcc(x, in_place == 1 ? cond : cond ^ 1u, &away->from);
  if (unknown) x86_place(x, &unknown->back);
  emit_way(g, n, in_place, next);
}

/* ---- jumps ---- */

static void set_link(struct gen *g, u32 reg) {
  const struct node *n = g->node;
  u8 target = gen_target(g, reg, RCX);
  if (reg == 0) return;
  u64 pc = n->block->pc + 4u * n->plain;
  x86_mov_imm(&g->x, target, n->block->mode & MODE_AM ? (u32)pc : pc);
  gen_set(g, reg, target);
}

/* Target of JMPL and RETURN to RAX; misaligned ones are the interpreter's, or the body's. */
static struct stub *jump_target(struct gen *g, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  bool back = g->node->end == END_RETURN; /* the fill comes first, which its body knows */
  struct stub *s = back ? gen_body_stub(g, uop, 32) : gen_stub(g, STUB_LEAVE);
  s->uop = uop;
  gen_load(g, insn_rs1(insn), RAX);
  if (insn_i(insn)) {
    x86_alu_imm(x, ALU_ADD, W64, RAX, (i32)insn_simm(insn, 13));
  } else {
    u8 b = gen_source(g, insn_rs2(insn), RCX);
    x86_alu(x, ALU_ADD, W64, RAX, b);
  }
  if (g->node->block->mode & MODE_AM) x86_mov(x, W32, RAX, RAX);
  x86_mov(x, W32, RCX, RAX);
  x86_alu_imm(x, ALU_AND, W32, RCX, 3);
  x86_jcc(x, CC_NE, &s->from);
  return s;
}

static void emit_jump(struct gen *g, struct node *n) {
  u32 insn = n->block->words[n->plain];
  struct stub *s = jump_target(g, insn, n->end_uop);
  if (n->end == END_RETURN) {
    u32 windowed = g->r->mapped & (u32)WINDOWED;
    gen_write_back(g, g->dirty & windowed);
    emit_window(g, false, n->end_uop, s);
    g->dirty &= ~windowed;
    gen_forget_cc(g);
  } else {
    set_link(g, insn_rd(insn));
  }
  x86_store(&g->x, W64, FIELD_AT(npc), RAX);
  if (n->end == END_RETURN) x86_place(&g->x, &s->back);
  gen_reload(g, n->end == END_RETURN ? g->flow.live[n->plain] & g->r->mapped & (u32)WINDOWED : 0);
  emit_way(g, n, 0, NULL);
}

void emit_end(struct gen *g, struct node **next) {
  struct node *n = g->node;
  g->live = g->flow.live[n->plain];
  switch (n->end) {
  case END_EDGE: emit_way(g, n, 0, next); break;
  case END_BRANCH: case END_COMPARE: emit_branch(g, n, next); break;
  case END_CALL:
    set_link(g, 15);
    emit_way(g, n, 0, next);
    break;
  case END_JMPL: case END_RETURN: emit_jump(g, n); break;
  default: /* END_LEAVE */
    gen_write_back(g, g->dirty);
    gen_leave_at(g, n, n->end_uop);
  }
}
