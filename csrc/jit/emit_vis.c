/* emit_vis.c - VIS: what kernels copy memory with. */
#include "jit/gen.h"

/* Eight bytes out of sixteen, from byte GSR.align on. */
void emit_align(struct gen *g, u32 insn) {
  struct x86 *x = &g->x;
  i64 base = offsetof(struct strand, f);
  x86_load(x, W32, RAX, FIELD_AT(gsr));
  x86_alu_imm(x, ALU_AND, W32, RAX, 7);
  x86_shift_imm(x, SHIFT_LEFT, W32, RAX, 3);
  x86_load(x, W64, RCX, x86_at(RBP, base + 8 * (i64)fp_double_index(insn_rs1(insn))));
  x86_shift(x, SHIFT_LEFT, W64, RCX, RCX, RAX);
  x86_load(x, W64, RDX, x86_at(RBP, base + 8 * (i64)fp_double_index(insn_rs2(insn))));
  x86_shift_imm(x, SHIFT_RIGHT, W64, RDX, 1); /* by 64 less the bits, in two steps: they may be 0 */
  x86_alu_imm(x, ALU_XOR, W32, RAX, 63);
  x86_shift(x, SHIFT_RIGHT, W64, RDX, RDX, RAX);
  x86_alu(x, ALU_OR, W64, RCX, RDX);
  x86_store(x, W64, x86_at(RBP, base + 8 * (i64)fp_double_index(insn_rd(insn))), RCX);
  gen_mark_fp(g, insn_rd(insn), true);
}
