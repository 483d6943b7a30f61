/* emit_fp.c - floating point on the host's FPU, under the conditions of fp/hostfp.h; what they do not cover is the body's.
 *
 * The rounding direction is in MXCSR while the strand runs (fpu.c), inexact stays sticky there, and the last operation is
 * recorded for FSR.cexc, exactly as the interpreter's handlers do it.
 */
#include "jit/gen.h"

#include "strand/fpu.h"

static struct x86_mem fp_at(u32 field, bool dbl) {
  if (dbl) return x86_at(RBP, (i64)offsetof(struct strand, f) + 8 * (i64)fp_double_index(field));
  return x86_at(RBP, (i64)offsetof(struct strand, f) + 4 * (i64)(field ^ 1));
}

void gen_mark_fp(struct gen *g, u32 field, bool dbl) {
  u8 bit = dbl && (field & 1) ? FPRS_DU : FPRS_DL;
  if (!(g->fprs & bit)) x86_alu_byte_imm(&g->x, ALU_OR, FIELD_AT(fprs), bit);
  g->fprs |= bit;
}

static void source(struct gen *g, u8 reg, u32 field, bool dbl) { x86_load(&g->x, dbl, reg, fp_at(field, dbl)); }

/* RCX: first operand, or 0; RDX: second, as they were. */
static void record(struct gen *g, u32 row, bool first) {
  struct x86 *x = &g->x;
  x86_store_imm(x, W64, FIELD_AT(fp_last_op), isa_rows[row].redo);
  if (first) x86_store(x, W64, FIELD_AT(fp_last_a), RCX);
  else x86_store_imm(x, W64, FIELD_AT(fp_last_a), 0);
  x86_store(x, W64, FIELD_AT(fp_last_b), RDX);
}

static void record_clean(struct gen *g) {
  x86_mov_imm(&g->x, RCX, FP_LAST_CLEAN);
  x86_store(&g->x, W64, FIELD_AT(fp_last_op), RCX);
}

/* To the stub unless the exponent of `bits`, less `low`, is at most `most` (hostfp.h: is_safe, is_safe_sum). */
static void exponent_guard(struct gen *g, struct stub *s, u8 bits, u8 scratch, bool dbl, u32 low, u32 most) {
  struct x86 *x = &g->x;
  x86_rorx(x, dbl, scratch, bits, dbl ? 52 : 23);
  x86_alu_imm(x, ALU_AND, W32, scratch, dbl ? 0x7ff : 0xff);
  if (low) x86_alu_imm(x, ALU_SUB, W32, scratch, (i32)low);
  x86_alu_imm(x, ALU_CMP, W32, scratch, (i32)most);
  x86_jcc(x, CC_A, &s->from);
}

/* Zero products, quotients and roots of zero are left to the body: they are rare, and it knows which are exact. */
static void emit_arithmetic(struct gen *g, struct op op, u32 insn, u32 row, u32 uop) {
  struct x86 *x = &g->x;
  bool dbl = op.wide, root = op.arg == FP_SQRT;
  u32 rd = insn_rd(insn), top = dbl ? 0x7fd : 0xfd;
  struct stub *s = gen_body_stub(g, uop, 32);
  if (!root) {
    source(g, RCX, insn_rs1(insn), dbl);
    x86_from_gpr(x, dbl, 0, RCX);
  }
  source(g, RDX, insn_rs2(insn), dbl);
  x86_from_gpr(x, dbl, 1, RDX);
  if (root) {
    x86_test(x, dbl, RDX, RDX);
    x86_jcc(x, CC_S, &s->from);
    x86_fp(x, FP_SQRT, dbl, 0, 1);
  } else {
    x86_fp(x, op.arg, dbl, 0, 1);
  }
  x86_to_gpr(x, dbl, RAX, 0);
  bool sum = op.arg == FP_ADD || op.arg == FP_SUB;
  if (sum || root) exponent_guard(g, s, RAX, RDX, dbl, 0, root ? top + 1 : top);
  else exponent_guard(g, s, RAX, RDX, dbl, 2, top - 2);
  x86_to_gpr(x, dbl, RDX, 1);
  x86_store(x, dbl, fp_at(rd, dbl), RAX);
  gen_mark_fp(g, rd, dbl);
  record(g, row, !root);
  x86_place(x, &s->back);
}

static void emit_move(struct gen *g, struct op op, u32 insn) {
  struct x86 *x = &g->x;
  u32 width = op.wide, rd = insn_rd(insn);
  u8 top = op.wide ? 63 : 31;
  source(g, RAX, insn_rs2(insn), op.wide);
  if (op.arg != FP_MOVE) { /* the sign to bit 0, and back */
    x86_rorx(x, width, RAX, RAX, top);
    x86_alu_imm(x, op.arg == FP_NEGATE ? ALU_XOR : ALU_AND, width, RAX, op.arg == FP_NEGATE ? 1 : -2);
    x86_rorx(x, width, RAX, RAX, 1);
  }
  record_clean(g);
  x86_store(x, width, fp_at(rd, op.wide), RAX);
  gen_mark_fp(g, rd, op.wide);
}

/* fcc: 0 equal, 1 less, 2 greater; unordered is the body's. */
static void emit_compare(struct gen *g, struct op op, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 n = insn_rd(insn) & 3;
  u8 at = (u8)(n ? 30 + 2 * n : 10);
  struct stub *s = gen_body_stub(g, uop, 32);
  source(g, RAX, insn_rs1(insn), op.wide);
  source(g, RCX, insn_rs2(insn), op.wide);
  x86_from_gpr(x, op.wide, 0, RAX);
  x86_from_gpr(x, op.wide, 1, RCX);
  x86_ucomis(x, op.wide, 0, 1);
  x86_jcc(x, CC_P, &s->from);
  x86_setcc(x, CC_A, RAX);
  x86_setcc(x, CC_B, RCX);
  x86_movzx(x, 1, RAX, RAX);
  x86_movzx(x, 1, RCX, RCX);
  x86_lea(x, W32, RAX, (struct x86_mem){RCX, RAX, 1, 0});
  x86_load(x, W64, RCX, FIELD_AT(fsr));
  x86_rorx(x, W64, RCX, RCX, at);
  x86_alu_imm(x, ALU_AND, W64, RCX, -4);
  x86_alu(x, ALU_OR, W64, RCX, RAX);
  x86_rorx(x, W64, RCX, RCX, (u8)(64 - at));
  x86_store(x, W64, FIELD_AT(fsr), RCX);
  record_clean(g);
  x86_place(x, &s->back);
}

static void emit_from_int(struct gen *g, struct op op, u32 insn, u32 row) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  source(g, RDX, insn_rs2(insn), op.arg);
  x86_from_int(x, op.wide, op.arg, 0, RDX);
  x86_to_gpr(x, op.wide, RAX, 0);
  x86_store(x, op.wide, fp_at(rd, op.wide), RAX);
  gen_mark_fp(g, rd, op.wide);
  record(g, row, false);
}

/* Truncation where the magnitude is below the type's limit for certain. */
static void emit_to_int(struct gen *g, struct op op, u32 insn, u32 row, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), bias = op.wide ? 1023 : 127, limit = op.arg ? 63 : 31;
  struct stub *s = gen_body_stub(g, uop, 32);
  source(g, RDX, insn_rs2(insn), op.wide);
  exponent_guard(g, s, RDX, RAX, op.wide, 0, bias + limit - 1);
  x86_from_gpr(x, op.wide, 0, RDX);
  x86_to_int(x, op.wide, op.arg, RAX, 0);
  x86_store(x, op.arg, fp_at(rd, op.arg), RAX);
  gen_mark_fp(g, rd, op.arg);
  record(g, row, false);
  x86_place(x, &s->back);
}

static void emit_convert(struct gen *g, struct op op, u32 insn, u32 row, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  struct stub *s = gen_body_stub(g, uop, 32);
  source(g, RDX, insn_rs2(insn), op.wide);
  if (!op.wide) exponent_guard(g, s, RDX, RAX, false, 0, 0xfe);
  x86_from_gpr(x, op.wide, 1, RDX);
  x86_fp(x, FP_CONVERT, op.wide, 0, 1);
  x86_to_gpr(x, !op.wide, RAX, 0);
  if (op.wide) exponent_guard(g, s, RAX, RCX, false, 2, 0xfd - 2);
  x86_store(x, !op.wide, fp_at(rd, !op.wide), RAX);
  gen_mark_fp(g, rd, !op.wide);
  record(g, row, false);
  x86_place(x, &s->back);
}

void emit_fp(struct gen *g, struct op op, u32 insn, u32 row, u32 uop) {
  switch (op.kind) {
  case OP_FP: emit_arithmetic(g, op, insn, row, uop); break;
  case OP_FMOVE: emit_move(g, op, insn); break;
  case OP_FCOMPARE: emit_compare(g, op, insn, uop); break;
  case OP_FROM_INT: emit_from_int(g, op, insn, row); break;
  case OP_TO_INT: emit_to_int(g, op, insn, row, uop); break;
  default: emit_convert(g, op, insn, row, uop);
  }
}
