/* emit_mem.c - loads and stores through the soft TLB.
 *
 * The tag that is compared has the low bits of the address in it, so what is misaligned misses. What misses in the page's
 * first place looks in its second out of line, and then has the body do the access. A store needs the write tag, which is
 * there only while the page is marked dirty and holds no code.
 */
#include "jit/gen.h"

_Static_assert(sizeof(struct tlb_entry) == 32 && offsetof(struct tlb_entry, rtag) == 0, "scaled by 32");

static u32 type_bytes(u32 type) {
  static const u8 bytes[] = {1, 2, 4, 8, 1, 2, 4};
  return bytes[type];
}

void emit_address(struct gen *g, u32 insn) {
  struct x86 *x = &g->x;
  u32 rs1 = insn_rs1(insn), rs2 = insn_rs2(insn);
  u8 a = g->r->host[rs1], b = g->r->host[rs2];
  if (insn_i(insn) && a != NO_REG) {
    x86_lea(x, W64, RAX, x86_at(a, insn_simm(insn, 13)));
  } else if (!insn_i(insn) && a != NO_REG && b != NO_REG) {
    x86_lea(x, W64, RAX, (struct x86_mem){a, b, 0, 0});
  } else {
    gen_load(g, rs1, RAX);
    if (insn_i(insn)) {
      if (insn_simm(insn, 13)) x86_alu_imm(x, ALU_ADD, W64, RAX, (i32)insn_simm(insn, 13));
    } else if (rs2) {
      if (b != NO_REG) x86_alu(x, ALU_ADD, W64, RAX, b);
      else x86_alu_load(x, ALU_ADD, W64, RAX, guest_at(rs2));
    }
  }
}

/* RAX: the host's address. `reg`: where the body leaves its result, if it is an integer register. */
static struct stub *translate(struct gen *g, u32 insn, u32 uop, u32 bytes, bool store, u32 reg) {
  struct x86 *x = &g->x;
  struct stub *s = gen_body_stub(g, uop, reg);
  s->kind = STUB_PROBE;
  s->probe = store ? offsetof(struct tlb_entry, wtag) : offsetof(struct tlb_entry, rtag);
  emit_address(g, insn);
  x86_rorx(x, W64, RCX, RAX, PAGE_BITS - 5);
  x86_alu_imm(x, ALU_AND, W32, RCX, (TLB_ENTRIES - 1) << 5);
  x86_mov(x, W64, RDX, RAX);
  x86_alu_imm(x, ALU_AND, W64, RDX, (i32)(PAGE_MASK | (bytes - 1)));
  x86_alu_load(x, ALU_ADD, W64, RCX, FIELD_AT(dtlb));
  x86_alu_load(x, ALU_CMP, W64, RDX, x86_at(RCX, s->probe));
  x86_jcc(x, CC_NE, &s->from);
  x86_place(x, &s->taken);
  x86_alu_load(x, ALU_ADD, W64, RAX, x86_at(RCX, offsetof(struct tlb_entry, addend)));
  return s;
}

static void emit_load(struct gen *g, u32 type, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), bytes = type_bytes(type);
  struct stub *s = translate(g, insn, uop, bytes, false, rd);
  u8 target = gen_target(g, rd, RAX);
  struct x86_mem m = x86_at(RAX, 0);
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
  x86_place(x, &s->back);
}

static void emit_store(struct gen *g, u32 type, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 bytes = type_bytes(type);
  struct stub *s = translate(g, insn, uop, bytes, true, 32);
  u8 from = gen_source(g, insn_rd(insn), RCX);
  if (bytes == 1) x86_store_byte(x, x86_at(RAX, 0), from);
  else x86_movbe_store(x, bytes, x86_at(RAX, 0), from);
  x86_place(x, &s->back);
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
  struct stub *s = translate(g, insn, uop, bytes, store, 32);
  if (store) {
    x86_load(x, width, RCX, reg);
    x86_movbe_store(x, bytes, x86_at(RAX, 0), RCX);
  } else {
    x86_movbe_load(x, bytes, RCX, x86_at(RAX, 0));
    x86_store(x, width, reg, RCX);
    gen_mark_fp(g, rd, op.wide);
  }
  x86_place(x, &s->back);
}

void emit_memory(struct gen *g, struct op op, u32 insn, u32 uop) {
  switch (op.kind) {
  case OP_LOAD: emit_load(g, op.arg, insn, uop); break;
  case OP_STORE: emit_store(g, op.arg, insn, uop); break;
  default: emit_float(g, op, insn, uop);
  }
}
