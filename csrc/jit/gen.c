/* gen.c - registers, slow paths and stubs. */
#include "jit/gen.h"

u8 gen_source(struct gen *g, u32 reg, u8 scratch) {
  if (g->r->host[reg] != NO_REG) return g->r->host[reg];
  gen_load(g, reg, scratch);
  return scratch;
}

void gen_load(struct gen *g, u32 reg, u8 into) {
  u8 host = g->r->host[reg];
  if (reg == 0) x86_mov_imm(&g->x, into, 0);
  else if (host == NO_REG) x86_load(&g->x, W64, into, guest_at(reg));
  else if (host != into) x86_mov(&g->x, W64, into, host);
}

u8 gen_target(struct gen *g, u32 reg, u8 scratch) {
  return g->r->host[reg] == NO_REG ? scratch : g->r->host[reg];
}

static void cc_forget_guest(struct gen *g, u32 reg) {
  u8 host = g->r->host[reg];
  if (host == NO_REG) return;
  if (g->cc.a == host) g->cc.a = OPERAND_STRAND;
  if (g->cc.b == host) g->cc.b = OPERAND_STRAND;
  g->cc.guests &= ~(1u << reg);
}

void gen_set(struct gen *g, u32 reg, u8 from) {
  u8 host = g->r->host[reg];
  if (reg == 0) return;
  if (host == NO_REG) {
    x86_store(&g->x, W64, guest_at(reg), from);
    return;
  }
  if (host != from) x86_mov(&g->x, W64, host, from);
  g->dirty |= 1u << reg;
  cc_forget_guest(g, reg);
}

void gen_write_back(struct gen *g, u32 mask) {
  for (u32 reg = 1; reg < 32; reg++)
    if (mask >> reg & 1) x86_store(&g->x, W64, guest_at(reg), g->r->host[reg]);
}

void gen_reload(struct gen *g, u32 mask) {
  for (u32 reg = 1; reg < 32; reg++)
    if (mask >> reg & 1) x86_load(&g->x, W64, g->r->host[reg], guest_at(reg));
}

/* The operands are in the strand only; the kind stays known. */
void gen_forget_cc(struct gen *g) {
  g->cc.a = OPERAND_STRAND;
  g->cc.b = OPERAND_STRAND;
  g->cc.guests = 0;
}

void gen_forget_scratch(struct gen *g) {
  if (g->cc.a == RAX) g->cc.a = OPERAND_STRAND;
  if (g->cc.b == RCX) g->cc.b = OPERAND_STRAND;
}

void gen_at_uop(struct gen *g, const struct node *n, u32 uop) {
  x86_mov_imm(&g->x, RAX, (u64)(uintptr_t)n->block);
  i64 offset = (const u8 *)&n->block->ops[uop] - (const u8 *)n->block;
  x86_lea(&g->x, W64, RSI, x86_at(RAX, offset));
}

/* A block's first micro-op may have become the way in here: its own handler is kept in the block. */
void gen_leave_at(struct gen *g, const struct node *n, u32 uop) {
  struct x86 *x = &g->x;
  gen_at_uop(g, n, uop);
  x86_store(x, W64, FIELD_AT(block), RAX);
  if (uop == 0) x86_load(x, W64, R9, x86_at(RAX, offsetof(struct block, first)));
  else x86_load(x, W64, R9, x86_at(RSI, offsetof(struct uop, h)));
  x86_jmp(x, &g->jit->thunks.leave_at);
}

struct stub *gen_stub(struct gen *g, u32 kind) {
  struct stub *s = &g->stub[g->stub_count < MAX_STUBS - 1 ? g->stub_count++ : g->stub_count];
  *s = (struct stub){.kind = (u8)kind, .dirty = g->dirty, .node = g->node};
  if (g->stub_count >= MAX_STUBS - 1) g->x.full = 1;
  return s;
}

u32 gen_caller_saved(const struct gen *g) {
  u32 mask = 0;
  for (u32 reg = 1; reg < 32; reg++)
    if ((g->r->mapped >> reg & 1) && CALLER_SAVED(g->r->host[reg])) mask |= 1u << reg;
  return mask;
}

struct stub *gen_body_stub(struct gen *g, u32 uop, u32 reg) {
  struct stub *s = gen_stub(g, STUB_BODY);
  s->uop = uop;
  if (spans_hold(&g->spans, g->index)) s->cold = &g->spans.cold[g->index + 1];
  s->reload = (g->live | g->cc.guests) & gen_caller_saved(g);
  if (reg < 32 && g->r->host[reg] != NO_REG) s->reload |= 1u << reg;
  return s;
}

static void call_body(struct gen *g, u32 uop, struct x86_label *thunk) {
  gen_write_back(g, g->dirty);
  g->dirty = 0;
  g->fprs = 0;
  gen_at_uop(g, g->node, uop);
  x86_call(&g->x, thunk);
  gen_reload(g, g->live);
  gen_forget_cc(g);
  g->cc.kind = KIND_UNKNOWN;
}

void gen_body(struct gen *g, u32 uop) { call_body(g, uop, &g->jit->thunks.body); }
void gen_hypercall(struct gen *g, u32 uop) { call_body(g, uop, &g->jit->thunks.call); }

struct stub *gen_trap_stub(struct gen *g, u32 uop, u32 tt) {
  struct stub *s = gen_stub(g, STUB_TRAP);
  s->uop = uop;
  s->tt = tt;
  return s;
}

/* Where the interpreter would look in the side table, interp_locate(). A Tcc that traps has been executed. */
void gen_trap(struct gen *g, const struct node *n, u32 uop, u32 tt) {
  struct x86 *x = &g->x;
  const struct block *b = n->block;
  struct thunks *t = &g->jit->thunks;
  u32 side = b->side[uop], index = side & SIDE_INDEX, insns = index + (tt >= TT_TRAP_INSTRUCTION);
  u64 mask = b->mode & MODE_AM ? 0xffffffffu : ~(u64)0, pc = (b->pc + 4u * index) & mask;
  if ((side & NPC_KIND) == NPC_DYNAMIC) x86_load(x, mask == ~(u64)0 ? W64 : W32, RDI, FIELD_AT(npc));
  else x86_mov_imm(x, RDI, ((side & NPC_KIND) == NPC_TARGET ? b->target : pc + 4) & mask);
  x86_mov_imm(x, RSI, pc);
  if (insns) x86_alu_imm(x, ALU_SUB, W64, R15, (i32)insns);
  if (tt == TT_SPILL_NORMAL || tt == TT_FILL_NORMAL) {
    x86_jmp(x, tt == TT_SPILL_NORMAL ? &t->spill : &t->fill);
    return;
  }
  x86_mov_imm(x, RAX, tt);
  x86_jmp(x, &t->trap);
}

/* ---- out of line ---- */

static void stub_body(struct gen *g, struct stub *s) {
  if (s->kind == STUB_PROBE) probe_call(g, s->site, s->store, &s->taken);
  if (s->leads) {
    x86_jmp(&g->x, s->cold);
    return;
  }
  gen_write_back(g, s->dirty);
  gen_at_uop(g, s->node, s->uop);
  x86_call(&g->x, &g->jit->thunks.body);
  gen_reload(g, s->reload);
  x86_jmp(&g->x, s->cold ? s->cold : &s->back);
}

/* A condition whose kind is not known and turned out not to be SUB. */
static void stub_condition(struct gen *g, struct stub *s) {
  struct x86 *x = &g->x;
  struct x86_label is_explicit = {0};
  u32 mask = 0;
  for (u32 nzvc = 0; nzvc < 16; nzvc++) {
    u32 n = nzvc >> 3 & 1, z = nzvc >> 2 & 1, v = nzvc >> 1 & 1, c = nzvc & 1;
    u32 test[8] = {0, z, z | (n ^ v), n ^ v, c | z, c, n, v};
    mask |= (test[s->cond & 7] ^ (s->cond >> 3)) << nzvc;
  }
  x86_alu_mem_imm(x, ALU_CMP, W32, FIELD_AT(cc_kind), CC_ADD);
  x86_jcc(x, CC_NE, &is_explicit);
  x86_load(x, W64, RAX, FIELD_AT(cc_a));
  x86_alu_load(x, ALU_ADD, s->xcc ? W64 : W32, RAX, FIELD_AT(cc_b));
  struct x86_label *away = &g->stub[s->way].from;
  x86_jcc(x, s->sense ? emit_cond[s->cond] : emit_cond[s->cond] ^ 1u, away);
  x86_jmp(x, &s->back);
  x86_place(x, &is_explicit);
  x86_load(x, W32, RAX, FIELD_AT(ccr));
  if (s->xcc) x86_shift_imm(x, SHIFT_RIGHT, W32, RAX, 4);
  x86_alu_imm(x, ALU_AND, W32, RAX, 15);
  x86_mov_imm(x, RCX, mask);
  x86_bt(x, RCX, RAX);
  x86_jcc(x, s->sense ? CC_B : CC_AE, away);
  x86_jmp(x, &s->back);
}

static void stub_emit(struct gen *g, struct stub *s) {
  struct x86 *x = &g->x;
  x86_place(x, &s->from);
  switch (s->kind) {
  case STUB_BODY: case STUB_PROBE: stub_body(g, s); break;
  case STUB_EXPIRE:
    gen_write_back(g, s->dirty);
    x86_mov_imm(x, RAX, s->target);
    x86_jmp(x, &g->jit->thunks.expire);
    break;
  case STUB_EXPIRE_JUMP: case STUB_MISS:
    gen_write_back(g, s->dirty);
    x86_jmp(x, s->kind == STUB_MISS ? &g->jit->thunks.miss : &g->jit->thunks.expire_jump);
    break;
  case STUB_OUT: /* RDX: block */
    gen_write_back(g, s->dirty);
    x86_mov(x, W64, RSI, RDX);
    x86_jmp_mem(x, x86_at(RSI, offsetof(struct block, native)));
    break;
  case STUB_LEAVE:
    gen_write_back(g, s->dirty);
    gen_leave_at(g, s->node, s->uop);
    break;
  case STUB_COLD: emit_cold(g, s); break;
  case STUB_CC: stub_condition(g, s); break;
  case STUB_TRAP:
    gen_write_back(g, s->dirty);
    gen_trap(g, s->node, s->uop, s->tt);
    break;
  case STUB_SEAM:
    gen_write_back(g, s->dirty);
    x86_call(x, s->save ? &g->jit->thunks.seam_save : &g->jit->thunks.seam_restore);
    gen_reload(g, s->reload);
    x86_jmp(x, &s->back);
    break;
  default: { /* STUB_WAY */
    struct node *none = NULL;
    g->fprs = 0;
    g->dirty = s->dirty;
    gen_forget_cc(g);
    g->cc.kind = KIND_UNKNOWN;
    emit_way(g, s->node, s->way, &none);
  }
  }
}

/* Stubs can add stubs: ways have slots and edges. */
void gen_stubs(struct gen *g) {
  g->spans.node = NULL;
  for (u32 i = 0; i < g->stub_count && !g->x.full; i++) stub_emit(g, &g->stub[i]);
}
