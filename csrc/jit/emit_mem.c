/* emit_mem.c - loads and stores through the soft TLB.
 *
 * The tag that is compared has the low bits of the address in it, so what is misaligned misses. What is not in
 * the entry looked at is searched for out of line, and then the body does the access. A store needs the write tag, which is
 * there only while the page is marked dirty and holds no code. Which entry is looked at: probe.c.
 */
#include "jit/gen.h"

u32 emit_type_bytes(u32 type) {
  static const u8 bytes[] = {1, 2, 4, 8, 1, 2, 4};
  return bytes[type];
}

/* The address: registers and displacement, RAX where they do not fit. */
static struct x86_mem address64(struct gen *g, u32 insn) {
  struct x86 *x = &g->x;
  u32 rs1 = insn_rs1(insn), rs2 = insn_rs2(insn);
  u8 a = gen_source(g, rs1, RAX), b = g->r->host[rs2];
  if (insn_i(insn)) return x86_at(a, insn_simm(insn, 13));
  if (rs2 == 0) return x86_at(a, 0);
  if (a != RAX && b != NO_REG) {
    x86_lea(x, W64, RAX, (struct x86_mem){a, b, 0, 0});
  } else {
    if (a != RAX) x86_mov(x, W64, RAX, a);
    if (b != NO_REG) x86_alu(x, ALU_ADD, W64, RAX, b);
    else x86_alu_load(x, ALU_ADD, W64, RAX, guest_at(rs2));
  }
  return x86_at(RAX, 0);
}

/* Under PSTATE.AM its lower half, in RAX. */
static struct x86_mem address(struct gen *g, u32 insn) {
  struct x86_mem at = address64(g, insn);
  if (!(g->node->block->mode & MODE_AM)) return at;
  x86_lea(&g->x, W32, RAX, at);
  return x86_at(RAX, 0);
}

void emit_address(struct gen *g, u32 insn) {
  struct x86_mem at = address(g, insn);
  if (at.disp) x86_lea(&g->x, W64, RAX, at);
  else if (at.base != RAX) x86_mov(&g->x, W64, RAX, at.base);
}

static struct x86_mem slot_at(const struct span *t) { return x86_at(RSP, 8 * (i64)t->slot); }

/* The first access of a span: what holds for all of it, else the cold code. */
static struct stub *lead(struct gen *g, const struct span *t, u32 insn, struct x86_mem *host) {
  struct x86 *x = &g->x;
  struct x86_label *cold = &g->spans.cold[g->index];
  struct stub *s = gen_stub(g, STUB_PROBE);
  s->leads = true;
  s->cold = cold;
  struct x86_mem at = address(g, insn);
  i64 root = at.disp - g->spans.at[g->index]; /* from the register's value */
  x86_lea(x, W64, RDX, x86_at(at.base, root + t->low));
  x86_lea(x, W32, RCX, x86_at(at.base, root + t->high));
  x86_alu(x, ALU_XOR, W32, RCX, RDX);
  x86_alu_imm(x, ALU_AND, W32, RCX, 1 << PAGE_BITS);
  x86_jcc(x, CC_NE, cold);
  if (t->check != t->low) x86_alu_imm(x, ALU_ADD, W64, RDX, (i32)(t->check - t->low));
  probe_emit(g, s, t->bytes, t->store);
  if (t->place != NO_REG) x86_mov(x, W64, t->place, RCX);
  else x86_store(x, W64, slot_at(t), RCX);
  *host = (struct x86_mem){RCX, at.base, 0, at.disp};
  return s;
}

/* One of the others. */
static void follow(struct gen *g, const struct span *t, u32 insn, struct x86_mem *host) {
  u8 addend = t->place == NO_REG ? RCX : t->place;
  struct x86_mem at = address(g, insn);
  if (t->place == NO_REG) x86_load(&g->x, W64, RCX, slot_at(t));
  *host = (struct x86_mem){addend, at.base, 0, at.disp};
}

/* The host's place, by RCX and the address; RDX is free. `reg`: where the body leaves its result, if it is an integer
 * register. */
static struct stub *translate(struct gen *g, u32 insn, u32 uop, u32 bytes, bool store, u32 reg, struct x86_mem *host) {
  struct x86 *x = &g->x;
  struct spans *spans = &g->spans;
  struct span *t = spans->node && spans->of[g->index] != NO_SPAN ? &spans->span[spans->of[g->index]] : NULL;
  if (t && t->first == g->index && span_open(spans, g->r, t)) return lead(g, t, insn, host);
  if (t && t->open) {
    follow(g, t, insn, host);
    return NULL;
  }
  struct stub *s = gen_body_stub(g, uop, reg);
  struct x86_mem at = address(g, insn);
  if (at.disp) x86_lea(x, W64, RDX, at);
  else x86_mov(x, W64, RDX, at.base);
  probe_emit(g, s, bytes, store);
  *host = (struct x86_mem){RCX, at.base, 0, at.disp};
  return s;
}

void emit_loaded(struct gen *g, u32 type, u32 rd, struct x86_mem m) {
  struct x86 *x = &g->x;
  u32 bytes = emit_type_bytes(type);
  u8 target = gen_target(g, rd, RAX);
  switch (type) {
  case MT_U8: x86_load_zx(x, 1, target, m); break;
  case MT_I8: x86_load_sx8(x, target, m); break;
  case MT_U16: case MT_I16:
    x86_movbe_load(x, 2, RCX, m);
    if (type == MT_U16) x86_movzx(x, 2, target, RCX);
    else x86_movsx(x, 2, target, RCX);
    break;
  default:
    x86_movbe_load(x, bytes, target, m);
    if (type == MT_I32) x86_movsx(x, 4, target, target);
  }
  gen_set(g, rd, target);
}

static void emit_load(struct gen *g, u32 type, u32 insn, u32 uop) {
  u32 rd = insn_rd(insn);
  struct x86_mem m;
  struct stub *s = translate(g, insn, uop, emit_type_bytes(type), false, rd, &m);
  emit_loaded(g, type, rd, m);
  if (s) x86_place(&g->x, &s->back);
}

static void emit_store(struct gen *g, u32 type, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 bytes = emit_type_bytes(type);
  struct x86_mem m;
  struct stub *s = translate(g, insn, uop, bytes, true, 32, &m);
  u8 from = gen_source(g, insn_rd(insn), RDX);
  if (bytes == 1) x86_store_byte(x, m, from);
  else x86_movbe_store(x, bytes, m, from);
  if (s) x86_place(x, &s->back);
}

static struct x86_mem single_at(u32 reg) { /* the even one of a pair is the high half */
  return x86_at(RBP, (i64)offsetof(struct strand, f) + 4 * (i64)(reg ^ 1));
}
static struct x86_mem double_at(u32 field) {
  return x86_at(RBP, (i64)offsetof(struct strand, f) + 8 * (i64)fp_double_index(field));
}

static void emit_float(struct gen *g, struct op op, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), bytes = op.wide ? 8 : 4, width = op.wide ? W64 : W32;
  struct x86_mem reg = op.wide ? double_at(rd) : single_at(rd);
  bool store = op.kind == OP_FSTORE;
  struct x86_mem m;
  struct stub *s = translate(g, insn, uop, bytes, store, 32, &m);
  if (store) {
    x86_load(x, width, RDX, reg);
    x86_movbe_store(x, bytes, m, RDX);
  } else {
    x86_movbe_load(x, bytes, RDX, m);
    x86_store(x, width, reg, RDX);
    gen_mark_fp(g, rd, op.wide);
  }
  if (s) x86_place(x, &s->back);
}

void emit_memory(struct gen *g, struct op op, u32 insn, u32 uop) {
  switch (op.kind) {
  case OP_LOAD: emit_load(g, op.arg, insn, uop); break;
  case OP_STORE: emit_store(g, op.arg, insn, uop); break;
  default: emit_float(g, op, insn, uop);
  }
}
