/* emit_arith.c - arithmetic that compilers use less: division of 32 bits, sums with a carry, MOVcc on fcc, counts of bits. */
#include "jit/gen.h"

/* UDIV, SDIV: of Y and rs1 by the lower half of operand 2. A divisor of 0 or -1 and a quotient of more than 32 bits are the
 * body's. */
void emit_divide32(struct gen *g, struct op op, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  struct stub *s = gen_body_stub(g, uop, insn_rd(insn));
  second_into(g, insn, RCX, 13);
  gen_load(g, insn_rs1(insn), RAX);
  x86_mov(x, W32, RAX, RAX);
  x86_load(x, W64, RDX, FIELD_AT(y));
  x86_shift_imm(x, SHIFT_LEFT, W64, RDX, 32);
  x86_alu(x, ALU_OR, W64, RAX, RDX);
  if (op.arg) x86_movsx(x, 4, RCX, RCX);
  else x86_mov(x, W32, RCX, RCX);
  x86_test(x, W64, RCX, RCX);
  x86_jcc(x, CC_E, &s->from);
  if (op.arg) {
    x86_alu_imm(x, ALU_CMP, W64, RCX, -1);
    x86_jcc(x, CC_E, &s->from);
    x86_cqo(x);
  } else {
    x86_mov_imm(x, RDX, 0);
  }
  x86_div(x, op.arg, W64, RCX);
  if (op.arg) x86_movsx(x, 4, RCX, RAX);
  else x86_mov(x, W32, RCX, RAX);
  x86_alu(x, ALU_CMP, W64, RCX, RAX);
  x86_jcc(x, CC_NE, &s->from);
  gen_set(g, insn_rd(insn), RAX);
  x86_place(x, &s->back);
}

/* The host's carry: icc.C, whatever the kind is. RAX goes. */
static void carry_in(struct gen *g) {
  struct x86 *x = &g->x;
  struct x86_label sum = {0}, sum_or_codes = {0}, end = {0};
  u32 known = g->cc.kind;
  if (known == KIND_UNKNOWN) {
    x86_load(x, W32, RAX, FIELD_AT(cc_kind));
    x86_alu_imm(x, ALU_CMP, W32, RAX, CC_ADD);
    x86_jcc(x, CC_AE, &sum_or_codes);
  }
  if (known != CC_ADD) {
    x86_load(x, W32, RAX, FIELD_AT(cc_a));
    x86_alu_load(x, ALU_CMP, W32, RAX, FIELD_AT(cc_b));
  }
  if (known == CC_SUB) return;
  if (known == KIND_UNKNOWN) {
    x86_jmp(x, &end);
    x86_place(x, &sum_or_codes);
    x86_jcc(x, CC_E, &sum);
    x86_load(x, W32, RAX, FIELD_AT(ccr));
    x86_shift_imm(x, SHIFT_RIGHT, W32, RAX, 1);
    x86_jmp(x, &end);
    x86_place(x, &sum);
  }
  x86_load(x, W32, RAX, FIELD_AT(cc_a));
  x86_alu_load(x, ALU_ADD, W32, RAX, FIELD_AT(cc_b));
  x86_place(x, &end);
}

void emit_nzvc(struct x86 *x, u8 codes, u8 flag) {
  static const u8 flags[] = {CC_S, CC_E, CC_O, CC_B};
  for (u32 i = 0; i < ARRAY_LEN(flags); i++) {
    x86_setcc(x, flags[i], flag);
    x86_lea(x, W32, codes, (struct x86_mem){flag, codes, 1, 0});
  }
}

/* ADDC, SUBC, and with codes, which are explicit then: with a carry no compare and no sum has the like. */
void emit_carry(struct gen *g, struct op op, u32 insn) {
  static const u8 lent[] = {R8, R9, R10};
  struct x86 *x = &g->x;
  gen_load(g, insn_rs1(insn), RDX);
  second_into(g, insn, RCX, 13);
  if (!op.cc) {
    carry_in(g);
    x86_alu(x, op.arg, W64, RDX, RCX);
    gen_set(g, insn_rd(insn), RDX);
    return;
  }
  for (u32 i = 0; i < ARRAY_LEN(lent); i++) x86_push(x, lent[i]);
  x86_mov_imm(x, R8, 0);
  x86_mov_imm(x, R9, 0);
  x86_mov_imm(x, R10, 0);
  carry_in(g);
  x86_setcc(x, CC_B, R9);
  x86_mov(x, W64, RAX, RDX);
  x86_neg(x, W32, R9); /* the carry again, and once more below */
  x86_alu(x, op.arg, W64, RAX, RCX);
  emit_nzvc(x, R8, R10);
  x86_neg(x, W32, R9);
  x86_alu(x, op.arg, W32, RDX, RCX);
  emit_nzvc(x, R8, R10);
  x86_store(x, W64, FIELD_AT(ccr), R8);
  x86_store_imm(x, W32, FIELD_AT(cc_kind), CC_EXPLICIT);
  for (u32 i = ARRAY_LEN(lent); i-- > 0;) x86_pop(x, lent[i]);
  gen_set(g, insn_rd(insn), RAX);
  gen_forget_cc(g);
  g->cc.kind = KIND_UNKNOWN;
}

void emit_movfcc(struct gen *g, u32 insn) {
  second_into(g, insn, RCX, 11);
  emit_moved(g, insn, emit_fcc(g, insn >> 11 & 3, insn >> 14 & 15), RCX);
}

/* POPC; LZCNT by BSR, for which 0 is a case of its own. */
void emit_count(struct gen *g, struct op op, u32 insn) {
  struct x86 *x = &g->x;
  if (op.arg) {
    gen_load(g, insn_rs2(insn), RCX);
    x86_mov_imm(x, RDX, 127);
    x86_bsr(x, W64, RAX, RCX);
    x86_cmov(x, CC_E, RAX, RDX);
    x86_alu_imm(x, ALU_XOR, W32, RAX, 63);
  } else {
    second_into(g, insn, RCX, 13);
    x86_popcnt(x, W64, RAX, RCX);
  }
  gen_set(g, insn_rd(insn), RAX);
}
