/* emit_int.c - integer instructions, conditional moves, Y, and the windows' moves. */
#include "jit/gen.h"

const u8 emit_cond[16] = {CC_NP, CC_E, CC_LE, CC_L, CC_BE, CC_B, CC_S, CC_O, CC_NP, CC_NE, CC_G, CC_GE, CC_A, CC_AE, CC_NS, CC_NO};

i32 emit_immediate(u32 insn, u32 kind) {
  switch (kind) {
  case IMM_S11: return (i32)insn_simm(insn, 11);
  case IMM_S10: return (i32)insn_simm(insn, 10);
  default: return (i32)insn_simm(insn, 13);
  }
}

/* ---- condition codes ---- */

/* The operands of a compare go to the strand; where they also are is remembered. */
static void cc_operands(struct gen *g, u32 kind, u8 a, u32 guest_a, u8 b, u32 guest_b, i32 imm) {
  struct x86 *x = &g->x;
  x86_store(x, W64, FIELD_AT(cc_a), a);
  if (b == OPERAND_IMM) x86_store_imm(x, W64, FIELD_AT(cc_b), imm);
  else x86_store(x, W64, FIELD_AT(cc_b), b);
  if (g->cc.kind != kind) x86_store_imm(x, W32, FIELD_AT(cc_kind), (i32)kind);
  g->cc = (struct cc_state){.kind = (u8)kind, .a = OPERAND_STRAND, .b = OPERAND_STRAND, .imm = imm};
  if (guest_a && g->r->host[guest_a] == a) g->cc.a = a, g->cc.guests |= 1u << guest_a;
  else if (a == RAX) g->cc.a = a;
  if (b == OPERAND_IMM) g->cc.b = b;
  else if (guest_b && g->r->host[guest_b] == b) g->cc.b = b, g->cc.guests |= 1u << guest_b;
  else if (b == RCX) g->cc.b = b;
}

static u32 guest_of(const struct gen *g, u8 host) {
  u32 guest = 31;
  while (guest && g->r->host[guest] != host) guest--;
  return guest;
}

static void cc_of_result(struct gen *g, u8 from) { cc_operands(g, CC_SUB, from, guest_of(g, from), OPERAND_IMM, 0, 0); }

u32 emit_condition(struct gen *g, u32 cond, bool xcc) {
  struct x86 *x = &g->x;
  u32 width = xcc ? W64 : W32, alu = ALU_CMP;
  u8 a = g->cc.a;
  if (g->cc.kind == CC_ADD) { /* its flags are the sum's; the operands stay */
    if (a == OPERAND_STRAND) x86_load(x, W64, RAX, FIELD_AT(cc_a));
    else x86_mov(x, W64, RAX, a);
    a = RAX, alu = ALU_ADD;
  } else if (a == OPERAND_STRAND) {
    x86_load(x, W64, RAX, FIELD_AT(cc_a));
    a = RAX;
  }
  if (g->cc.b == OPERAND_IMM && g->cc.imm == 0 && alu == ALU_CMP) x86_test(x, width, a, a);
  else if (g->cc.b == OPERAND_IMM) x86_alu_imm(x, alu, width, a, g->cc.imm);
  else if (g->cc.b == OPERAND_STRAND) x86_alu_load(x, alu, width, a, FIELD_AT(cc_b));
  else x86_alu(x, alu, width, a, g->cc.b);
  return emit_cond[cond];
}

/* ---- arithmetic ---- */

static void alu_source(struct gen *g, u32 alu, u8 target, u32 insn) {
  if (insn_i(insn)) x86_alu_imm(&g->x, alu, W64, target, (i32)insn_simm(insn, 13));
  else if (insn_rs2(insn) == 0) x86_alu_imm(&g->x, alu, W64, target, 0);
  else if (g->r->host[insn_rs2(insn)] != NO_REG) x86_alu(&g->x, alu, W64, target, g->r->host[insn_rs2(insn)]);
  else x86_alu_load(&g->x, alu, W64, target, guest_at(insn_rs2(insn)));
}

/* Sums into another register in one instruction. */
static bool sum_is_lea(struct gen *g, u32 alu, u32 insn, u8 target) {
  u8 a = g->r->host[insn_rs1(insn)], b = g->r->host[insn_rs2(insn)];
  if (a == NO_REG || a == target) return false;
  if (insn_i(insn) && (alu == ALU_ADD || alu == ALU_SUB)) {
    i64 imm = insn_simm(insn, 13);
    x86_lea(&g->x, W64, target, x86_at(a, alu == ALU_ADD ? imm : -imm));
    return true;
  }
  if (insn_i(insn) || alu != ALU_ADD || b == NO_REG) return false;
  x86_lea(&g->x, W64, target, (struct x86_mem){a, b, 0, 0});
  return true;
}

static bool is_move(u32 alu, u32 insn) {
  bool zero = insn_i(insn) ? insn_simm(insn, 13) == 0 : insn_rs2(insn) == 0;
  return zero && (alu == ALU_ADD || alu == ALU_OR || alu == ALU_XOR || alu == ALU_SUB);
}

/* The register a move is from, or 32. */
static u32 moved_from(u32 alu, u32 insn) {
  if (is_move(alu, insn)) return insn_rs1(insn);
  bool sum = alu == ALU_OR || alu == ALU_ADD || alu == ALU_XOR;
  return sum && insn_rs1(insn) == 0 && !insn_i(insn) ? insn_rs2(insn) : 32;
}

/* A register in memory changes there. */
static bool in_memory(struct gen *g, u32 alu, u32 insn) {
  u32 rs1 = insn_rs1(insn), rs2 = insn_rs2(insn), rd = insn_rd(insn);
  if (rd == 0 || rd != rs1 || g->r->host[rd] != NO_REG || moved_from(alu, insn) < 32) return false;
  if (insn_i(insn)) x86_alu_mem_imm(&g->x, alu, W64, guest_at(rd), (i32)insn_simm(insn, 13));
  else if (g->r->host[rs2] != NO_REG) x86_alu_store(&g->x, alu, W64, guest_at(rd), g->r->host[rs2]);
  else return false;
  return true;
}

/* target = rs1 OP operand 2; returns where it is. */
static u8 alu_compute(struct gen *g, u32 alu, u32 insn) {
  struct x86 *x = &g->x;
  u32 rs1 = insn_rs1(insn), rs2 = insn_rs2(insn), rd = insn_rd(insn);
  u8 target = gen_target(g, rd, RAX);
  bool commutes = alu != ALU_SUB;
  u32 from = moved_from(alu, insn);
  if (from < 32 && g->r->host[rd] == NO_REG && g->r->host[from] != NO_REG) return g->r->host[from];
  if (rs1 == 0 && (alu == ALU_OR || alu == ALU_ADD || alu == ALU_XOR)) {
    if (insn_i(insn)) x86_mov_imm(x, target, (u64)insn_simm(insn, 13));
    else gen_load(g, rs2, target);
  } else if (is_move(alu, insn)) {
    gen_load(g, rs1, target);
  } else if (sum_is_lea(g, alu, insn, target)) {
    return target;
  } else if (!insn_i(insn) && rs2 && g->r->host[rs2] == target && rs1 != rs2) {
    if (commutes) { /* target holds operand 2 */
      if (g->r->host[rs1] != NO_REG) x86_alu(x, alu, W64, target, g->r->host[rs1]);
      else if (rs1 == 0) x86_alu_imm(x, alu, W64, target, 0);
      else x86_alu_load(x, alu, W64, target, guest_at(rs1));
    } else {
      gen_load(g, rs1, RAX);
      x86_alu(x, alu, W64, RAX, target);
      return RAX;
    }
  } else {
    gen_load(g, rs1, target);
    alu_source(g, alu, target, insn);
  }
  return target;
}

static void compare_operands(struct gen *g, u32 kind, u32 insn) {
  u8 a = gen_source(g, insn_rs1(insn), RAX), b = OPERAND_IMM;
  if (!insn_i(insn)) b = gen_source(g, insn_rs2(insn), RCX);
  cc_operands(g, kind, a, insn_rs1(insn), b, insn_i(insn) ? 0 : insn_rs2(insn), insn_i(insn) ? (i32)insn_simm(insn, 13) : 0);
}

static void emit_alu(struct gen *g, struct op op, u32 insn) {
  bool sum = op.arg == ALU_ADD || op.arg == ALU_SUB;
  if (op.cc && sum) compare_operands(g, op.arg == ALU_ADD ? CC_ADD : CC_SUB, insn);
  if (insn_rd(insn) == 0 && (!op.cc || sum)) return;
  if ((!op.cc || sum) && in_memory(g, op.arg, insn)) return;
  u8 from = alu_compute(g, op.arg, insn);
  if (sum) gen_forget_scratch(g);
  gen_set(g, insn_rd(insn), from);
  if (op.cc && !sum) cc_of_result(g, gen_target(g, insn_rd(insn), from));
}

/* ANDN, ORN, XNOR: operand 2 inverted. */
static void emit_inverted(struct gen *g, struct op op, u32 insn) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), alu = op.kind == OP_ANDN ? ALU_AND : op.kind == OP_ORN ? ALU_OR : ALU_XOR;
  u8 target = RAX;
  if (insn_i(insn)) {
    gen_load(g, insn_rs1(insn), RAX);
    x86_alu_imm(x, alu, W64, RAX, ~(i32)insn_simm(insn, 13));
  } else if (op.kind == OP_ANDN) {
    u8 a = gen_source(g, insn_rs1(insn), RAX), b = gen_source(g, insn_rs2(insn), RCX);
    target = gen_target(g, rd, RAX);
    x86_andn(x, W64, target, b, a);
  } else {
    gen_load(g, insn_rs1(insn), RAX);
    gen_load(g, insn_rs2(insn), RCX);
    x86_not(x, W64, RCX);
    x86_alu(x, alu, W64, RAX, RCX);
  }
  gen_set(g, rd, target);
  if (op.cc) cc_of_result(g, gen_target(g, rd, target));
}

static void emit_shift(struct gen *g, struct op op, u32 insn) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  u32 width = op.wide || op.arg == SHIFT_LEFT ? W64 : W32;
  u8 target = gen_target(g, rd, RAX);
  if (insn_i(insn)) {
    u8 count = (u8)(insn & (op.wide ? 63 : 31));
    gen_load(g, insn_rs1(insn), target);
    if (count) x86_shift_imm(x, op.arg, width, target, count);
    else if (width == W32) x86_mov(x, W32, target, target); /* SRL by 0 clears the upper half */
  } else {
    u8 a = gen_source(g, insn_rs1(insn), RAX), count = gen_source(g, insn_rs2(insn), RCX);
    if (!op.wide && width == W64) { /* SLL: five bits of the count, on 64 bits */
      x86_mov(x, W32, RCX, count);
      x86_alu_imm(x, ALU_AND, W32, RCX, 31);
      count = RCX;
    }
    x86_shift(x, op.arg, width, target, a, count);
  }
  if (width == W32 && op.arg == SHIFT_ARITHMETIC) x86_movsx(x, 4, target, target);
  gen_set(g, rd, target);
}

void second_into(struct gen *g, u32 insn, u8 into, u32 bits) {
  if (insn_i(insn)) x86_mov_imm(&g->x, into, (u64)insn_simm(insn, bits));
  else gen_load(g, insn_rs2(insn), into);
}

/* UMUL, SMUL: 64-bit product of the low halves, its high half in Y too. */
static void emit_multiply(struct gen *g, struct op op, u32 insn) {
  struct x86 *x = &g->x;
  if (op.kind == OP_MULX && !insn_i(insn) && g->r->host[insn_rs2(insn)] != NO_REG) {
    u8 a = gen_source(g, insn_rs1(insn), RAX), b = g->r->host[insn_rs2(insn)], target = gen_target(g, insn_rd(insn), RAX);
    if (target != b && target != a) x86_mov(x, W64, target, a);
    x86_imul(x, W64, target, target == b ? a : b);
    gen_set(g, insn_rd(insn), target);
    return;
  }
  gen_load(g, insn_rs1(insn), RAX);
  second_into(g, insn, RCX, 13);
  if (op.kind == OP_MUL32) {
    if (op.arg) x86_movsx(x, 4, RAX, RAX), x86_movsx(x, 4, RCX, RCX);
    else x86_mov(x, W32, RAX, RAX), x86_mov(x, W32, RCX, RCX);
  }
  x86_imul(x, W64, RAX, RCX);
  if (op.kind == OP_MUL32) {
    x86_mov(x, W64, RDX, RAX);
    x86_shift_imm(x, SHIFT_RIGHT, W64, RDX, 32);
    x86_store(x, W64, FIELD_AT(y), RDX);
  }
  gen_set(g, insn_rd(insn), RAX);
}

/* A divisor of 0 traps, and one of -1 is a negation: both by the body. */
static void emit_divide(struct gen *g, struct op op, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  struct stub *s = gen_body_stub(g, uop, insn_rd(insn));
  second_into(g, insn, RCX, 13);
  x86_test(x, W64, RCX, RCX);
  x86_jcc(x, CC_E, &s->from);
  if (op.arg) {
    x86_alu_imm(x, ALU_CMP, W64, RCX, -1);
    x86_jcc(x, CC_E, &s->from);
  }
  gen_load(g, insn_rs1(insn), RAX);
  if (op.arg) x86_cqo(x);
  else x86_mov_imm(x, RDX, 0);
  x86_div(x, op.arg, W64, RCX);
  gen_set(g, insn_rd(insn), RAX);
  x86_place(x, &s->back);
}

/* ---- with conditions ---- */

/* A kind other than SUB is the body's. */
static struct stub *want_sub(struct gen *g, u32 uop, u32 insn) {
  if (g->cc.kind == CC_SUB) return NULL;
  struct stub *s = gen_body_stub(g, uop, insn_rd(insn));
  x86_alu_mem_imm(&g->x, ALU_CMP, W32, FIELD_AT(cc_kind), CC_SUB);
  x86_jcc(&g->x, CC_NE, &s->from);
  return s;
}

void emit_moved(struct gen *g, u32 insn, u32 cond, u8 value) {
  u32 rd = insn_rd(insn);
  u8 target = g->r->host[rd];
  if (rd == 0) return;
  if (target == NO_REG) {
    x86_load(&g->x, W64, RDX, guest_at(rd));
    x86_cmov(&g->x, cond, RDX, value);
    gen_set(g, rd, RDX);
  } else {
    x86_cmov(&g->x, cond, target, value);
    gen_set(g, rd, target);
  }
}

static void emit_movcc(struct gen *g, struct op op, u32 insn, u32 uop) {
  u32 cond = insn >> 14 & 15;
  if ((cond & 7) == 0) { /* always, never */
    if (cond == 0) return;
    second_into(g, insn, RCX, 11);
    gen_set(g, insn_rd(insn), RCX);
    return;
  }
  struct stub *s = want_sub(g, uop, insn);
  struct cc_state known = g->cc;
  g->cc.kind = CC_SUB;
  second_into(g, insn, RCX, 11);
  emit_moved(g, insn, emit_condition(g, cond, op.wide), RCX);
  if (!s) return;
  g->cc.kind = known.kind;
  x86_place(&g->x, &s->back);
}

static void emit_movr(struct gen *g, struct op op, u32 insn) {
  static const u8 conds[8] = {0, CC_E, CC_LE, CC_S, 0, CC_NE, CC_G, CC_NS};
  second_into(g, insn, RCX, 10);
  u8 a = gen_source(g, insn_rs1(insn), RAX);
  x86_test(&g->x, W64, a, a);
  emit_moved(g, insn, conds[op.arg], RCX);
}

/* ---- windows ---- */

/* The move itself, or its trap, or `slow`; the window's registers are in the strand. At the seam of the ring it needs a copy,
 * and C does it. RAX stays. */
void emit_window(struct gen *g, bool save, u32 uop, struct stub *slow) {
  struct x86 *x = &g->x;
  struct stub *trap = gen_trap_stub(g, uop, save ? TT_SPILL_NORMAL : TT_FILL_NORMAL), *seam = gen_stub(g, STUB_SEAM);
  trap->dirty &= ~(u32)WINDOWED;
  seam->save = save;
  seam->reload = g->live & gen_caller_saved(g) & ~(u32)WINDOWED;
  x86_alu_byte_imm(x, ALU_CMP, save ? FIELD_AT(cansave) : FIELD_AT(canrestore), 0);
  x86_jcc(x, CC_E, &trap->from);
  if (save) {
    x86_load_zx(x, 1, RCX, FIELD_AT(cleanwin));
    x86_load_zx(x, 1, RDX, FIELD_AT(canrestore));
    x86_alu(x, ALU_CMP, W32, RCX, RDX);
    x86_jcc(x, CC_BE, &slow->from);
    x86_load_zx(x, 1, RCX, FIELD_AT(cwp));
    x86_alu_imm(x, ALU_SUB, W32, RCX, 1);
    x86_alu_imm(x, ALU_CMP, W32, RCX, NWINDOWS - 2);
    x86_jcc(x, CC_AE, &seam->from);
  } else {
    x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(cansave), NWINDOWS - 1);
    x86_jcc(x, CC_AE, &slow->from);
    x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(cwp), 2);
    x86_jcc(x, CC_B, &seam->from);
  }
  x86_alu_byte_imm(x, save ? ALU_ADD : ALU_SUB, FIELD_AT(cwp), 1);
  x86_alu_byte_imm(x, save ? ALU_SUB : ALU_ADD, FIELD_AT(cansave), 1);
  x86_alu_byte_imm(x, save ? ALU_ADD : ALU_SUB, FIELD_AT(canrestore), 1);
  i32 step = save ? -128 : 128;
  for (u8 i = 0; i < 4; i++) x86_movups_load(x, i, x86_at(RBX, 16 * i));
  for (u8 i = 0; i < 4; i++) x86_movups_store(x, x86_at(RBX, step + 16 * i), i);
  x86_lea(x, W64, RBX, x86_at(RBX, step));
  x86_store(x, W64, FIELD_AT(w), RBX);
  x86_place(x, &seam->back);
}

/* SAVE and RESTORE: the sum is of the old window, its place in the new one. */
static void emit_save(struct gen *g, bool save, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), windowed = g->r->mapped & (u32)WINDOWED;
  gen_write_back(g, g->dirty & windowed);
  struct stub *s = gen_body_stub(g, uop, rd);
  s->reload |= g->live & windowed;
  gen_load(g, insn_rs1(insn), RAX);
  alu_source(g, ALU_ADD, RAX, insn);
  emit_window(g, save, uop, s);
  g->dirty &= ~windowed;
  gen_forget_cc(g);
  gen_reload(g, g->live & windowed & ~(1u << rd));
  gen_set(g, rd, RAX);
  x86_place(x, &s->back);
}

void emit_integer(struct gen *g, struct op op, u32 insn, u32 uop) {
  switch (op.kind) {
  case OP_NOP: break;
  case OP_ALU: emit_alu(g, op, insn); break;
  case OP_ANDN: case OP_ORN: case OP_XNOR: emit_inverted(g, op, insn); break;
  case OP_CARRY: emit_carry(g, op, insn); break;
  case OP_SHIFT: emit_shift(g, op, insn); break;
  case OP_SETHI:
    if (insn_rd(insn)) {
      u8 target = gen_target(g, insn_rd(insn), RAX);
      x86_mov_imm(&g->x, target, (u64)(u32)(insn << 10));
      gen_set(g, insn_rd(insn), target);
    }
    break;
  case OP_MULX: case OP_MUL32: emit_multiply(g, op, insn); break;
  case OP_DIVX: emit_divide(g, op, insn, uop); break;
  case OP_DIV32: emit_divide32(g, op, insn, uop); break;
  case OP_MOVFCC: emit_movfcc(g, insn); break;
  case OP_COUNT: emit_count(g, op, insn); break;
  case OP_MOVCC: emit_movcc(g, op, insn, uop); break;
  case OP_MOVR: emit_movr(g, op, insn); break;
  case OP_SAVE: emit_save(g, true, insn, uop); break;
  case OP_RESTORE: emit_save(g, false, insn, uop); break;
  case OP_RDY:
    x86_load(&g->x, W64, RAX, FIELD_AT(y));
    gen_set(g, insn_rd(insn), RAX);
    break;
  default: /* OP_WRY */
    gen_load(g, insn_rs1(insn), RAX);
    alu_source(g, ALU_XOR, RAX, insn);
    x86_mov(&g->x, W32, RAX, RAX);
    x86_store(&g->x, W64, FIELD_AT(y), RAX);
  }
}
