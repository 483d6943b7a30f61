/* engine_dense.h - random programs as compilers write them: few registers, most instructions with an emitter, compares next
 * to branches, short loops, windows. In programs of all rows alike, two instructions that have to do with each other are rare. */
#ifndef S4V_TESTS_ENGINE_DENSE_H
#define S4V_TESTS_ENGINE_DENSE_H

static u32 dense_reg(u64 *rng) {
  static const u8 regs[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 16, 17, 18, 24, 25};
  return regs[below(rng, sizeof regs)];
}

static u32 dense_operand(u64 *rng) { /* operand 2 of 13 bits */
  static const i16 values[] = {0, 1, -1, 31, 32, 63, 4095, -4096, 8, 2};
  if (one_in(rng, 2)) return dense_reg(rng);
  return 0x2000 | ((one_in(rng, 2) ? (u32)values[below(rng, 10)] : (u32)next_random(rng)) & 0x1fff);
}

/* %l4 is a sum of what was computed, so that a wrong value is still seen when it has long been overwritten. */
static u32 dense_keep(u64 *rng) { return rr(ADD, 20, 20, dense_reg(rng)); }

static u32 dense_alu(u64 *rng) {
  static const u8 op3[] = {0, 1, 2, 3, 4, 5, 6, 7, 0, 4, 0x10, 0x11, 0x12, 0x13, 0x14, 0x14, 0x14, 0x15, 0x16, 0x17, 8, 0xc, 0x18, 0x1c,
                           9, 0xa, 0xb, 0xd, 0x2d, 0x18, 0x1c, 8, 0xc, 0xe, 0xf};
  if (one_in(rng, 24)) /* POPC, LZCNT */
    return one_in(rng, 2) ? 2u << 30 | dense_reg(rng) << 25 | 0x2eu << 19 | dense_operand(rng)
                          : 2u << 30 | dense_reg(rng) << 25 | 0x36u << 19 | 0x17u << 5 | dense_reg(rng);
  u32 word = 2u << 30 | dense_reg(rng) << 25 | (u32)op3[below(rng, sizeof op3)] << 19 | dense_reg(rng) << 14;
  return word | dense_operand(rng);
}

static u32 dense_shift(u64 *rng) {
  u32 word = 2u << 30 | dense_reg(rng) << 25 | (0x25 + below(rng, 3)) << 19 | dense_reg(rng) << 14;
  u32 wide = one_in(rng, 2) ? 0x1000 : 0, counts[] = {0, 1, 31, below(rng, 32), wide ? 32 + below(rng, 32) : 0};
  return word | wide | (one_in(rng, 2) ? dense_reg(rng) : 0x2000 | counts[below(rng, 5)]);
}

static u32 dense_move(u64 *rng) {
  u32 rd = dense_reg(rng), value = one_in(rng, 2) ? dense_reg(rng) : 0x2000 | below(rng, 0x200);
  static const u8 rcond[] = {1, 2, 3, 5, 6, 7};
  switch (below(rng, 5)) {
  case 4: return 2u << 30 | rd << 25 | 0x2cu << 19 | below(rng, 16) << 14 | below(rng, 4) << 11 | (value & 0x27ff); /* by fcc */
  case 0: return 2u << 30 | rd << 25 | 0x2fu << 19 | dense_reg(rng) << 14 | (u32)rcond[below(rng, 6)] << 10 | value;
  case 1: return rd << 25 | 4u << 22 | ((u32)next_random(rng) & 0x3fffff);
  case 2: return one_in(rng, 2) ? 2u << 30 | rd << 25 | 0x28u << 19 : 2u << 30 | 0x30u << 19 | dense_reg(rng) << 14 | value;
  default: return 2u << 30 | rd << 25 | 0x2cu << 19 | 1u << 18 | below(rng, 16) << 14 | (one_in(rng, 2) ? 0x1000 : 0) | value;
  }
}

static u32 dense_memory(u64 *rng) {
  if (one_in(rng, 3)) /* something new: what is computed from itself again and again ends as 0 or -1 */
    return 3u << 30 | dense_reg(rng) << 25 | 11u << 19 | 5 << 14 | 0x2000 | (2048 + below(rng, 256) * 8);
  static const u8 op3[] = {0, 1, 2, 8, 9, 10, 11, 4, 5, 6, 14, 0x20, 0x23, 0x24, 0x27, 0x0f, 0x0d};
  u32 op = op3[below(rng, sizeof op3)], rd = op >= 0x20 ? below(rng, 32) : dense_reg(rng);
  u32 offset = one_in(rng, 3) ? 6 : 0x2000 | (one_in(rng, 20) ? below(rng, 4096) : below(rng, 64) * 8);
  return 3u << 30 | rd << 25 | op << 19 | 5 << 14 | offset;
}

static u32 dense_fp(u64 *rng) {
  static const u16 opf[] = {0x01, 0x02, 0x05, 0x06, 0x09, 0x0a, 0x29, 0x2a, 0x41, 0x42, 0x45, 0x46, 0x49, 0x4a, 0x4d, 0x4e, 0x69,
                            0x81, 0x82, 0x84, 0x88, 0xc4, 0xc6, 0xc8, 0xc9, 0xd1, 0xd2};
  static const u16 compares[] = {0x51, 0x52, 0x55, 0x56};
  u32 a = below(rng, 12), b = below(rng, 12), d = below(rng, 12);
  if (one_in(rng, 12)) return 2u << 30 | d << 25 | 0x36u << 19 | a << 14 | 0x48u << 5 | b; /* FALIGNDATA */
  if (one_in(rng, 5)) return 2u << 30 | below(rng, 4) << 25 | 0x35u << 19 | a << 14 | (u32)compares[below(rng, 4)] << 5 | b;
  u32 op = opf[below(rng, sizeof opf / sizeof opf[0])];
  bool unary = op < 0x40 || op >= 0x80;
  return 2u << 30 | d << 25 | 0x34u << 19 | (unary ? 0 : a << 14) | op << 5 | b;
}

static u32 dense_branch(u64 *rng) {
  static const u8 rcond[] = {1, 2, 3, 5, 6, 7};
  u32 annul = one_in(rng, 2) ? 1u << 29 : 0, disp = one_in(rng, 400) ? 0u - below(rng, 16) : 2 + below(rng, 10);
  switch (below(rng, 8)) {
  case 0: return annul | (u32)rcond[below(rng, 6)] << 25 | 3u << 22 | dense_reg(rng) << 14 | (disp & 0x3fff) | (disp >> 14 & 3) << 20;
  case 1: return annul | below(rng, 16) << 25 | 5u << 22 | below(rng, 4) << 20 | (disp & 0x7ffff);
  case 2: return 1u << 30 | ((below(rng, 20) + 1) & 0x3fffffff);
  case 3: { /* CBcond */
    static const u8 conds[] = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15};
    u32 c = conds[below(rng, 14)], b = one_in(rng, 2) ? dense_reg(rng) : 0x2000 | below(rng, 32);
    return (c >> 3) << 29 | 1u << 28 | (c & 7) << 25 | 3u << 22 | (one_in(rng, 2) ? 1u << 21 : 0) | (disp & 0xff) << 5 |
           (disp >> 8 & 3) << 19 | dense_reg(rng) << 14 | b;
  }
  default:
    return annul | below(rng, 16) << 25 | (one_in(rng, 2) ? 2u << 22 | (disp & 0x3fffff)
                                                          : 1u << 22 | (one_in(rng, 2) ? 2u << 20 : 0) | (disp & 0x7ffff));
  }
}

/* JMPL through the link register, which it sets, so that the next one leads on; RETURN to the program's first words; windows. */
static u32 dense_jump(u64 *rng) {
  if (one_in(rng, 64)) return 2u << 30 | 0x39u << 19 | 7u << 14 | 0x2000 | below(rng, 60) * 4;
  if (one_in(rng, 12)) return 2u << 30 | 15u << 25 | 0x38u << 19 | 15u << 14 | 0x2000 | 8;
  return 2u << 30 | (0x3cu + below(rng, 2)) << 19 | dense_reg(rng) << 25 | dense_reg(rng) << 14 | dense_operand(rng);
}

static u32 dense_insn(u64 *rng);

/* No transfer, no move of the window: then a loop ends. */
static u32 dense_plain(u64 *rng) {
  u32 word;
  do word = dense_insn(rng);
  while (word >> 30 == 2 ? (word >> 19 & 63) >= 0x38 : word >> 30 < 2 && (word >> 22 & 0x107) != 4); /* but SETHI */
  return word;
}

/* Two new values, a compare of them, something that depends on it, and its result kept. */
static u32 dense_compare(u32 *code, u64 *rng) {
  u32 n = 0, rd = dense_reg(rng), op3 = one_in(rng, 2) ? 8 : 0xc, a = one_in(rng, 2) ? 9 : 26; /* %i2: rare, so in memory */
  for (u32 r = a; r < a + 2; r++) code[n++] = 3u << 30 | r << 25 | 11u << 19 | 5 << 14 | 0x2000 | (2048 + below(rng, 256) * 8);
  code[n++] = rr(one_in(rng, 4) ? 0x10 + below(rng, 8) : 0x14, one_in(rng, 2) ? 0 : dense_reg(rng), a, a + 1);
  if (one_in(rng, 2)) code[n++] = one_in(rng, 2) ? dense_memory(rng) : dense_alu(rng);
  u32 moves = 2u << 30 | rd << 25 | 0x2cu << 19 | 1u << 18 | below(rng, 16) << 14 | (one_in(rng, 2) ? 0x1000 : 0) | dense_reg(rng);
  code[n++] = one_in(rng, 2) ? moves : rr(op3, rd, dense_reg(rng), dense_reg(rng));
  code[n++] = rr(ADD, 20, 20, rd);
  return n;
}

/* A loop that ends: %l3 counts down, and nothing else writes to it. */
static u32 dense_loop(u32 *code, u64 *rng) {
  u32 n = 0, body = 1 + below(rng, 5);
  code[n++] = ri(OR, 19, 0, 1 + below(rng, 12));
  for (u32 i = 0; i < body; i++) code[n++] = dense_plain(rng);
  code[n++] = ri(AND, 19, 19, 15); /* whoever jumps into the loop */
  code[n++] = ri(0x14, 19, 19, 1);
  code[n++] = (one_in(rng, 2) ? 1u << 29 : 0) | 9u << 25 | 2u << 22 | ((0u - (body + 2)) & 0x3fffff);
  code[n++] = dense_plain(rng);
  return n;
}

/* One access that meets other pages all the time, near and far, with the same place in the soft TLB and another. */
static u32 dense_scatter(u32 *code, u64 *rng) {
  static const u8 op3[] = {0, 1, 2, 11, 11, 14, 4, 5};
  static const u32 distance[] = {0x2000, 0x2000, 0x6000, 1 << 21, AGAIN, AGAIN | 0x2000};
  u32 n = 0;
  code[n++] = ri(OR, 19, 0, 1 + below(rng, 63));
  code[n++] = sethi(22, distance[below(rng, 6)]);
  code[n++] = ri(AND, 21, 21, 0x38);
  code[n++] = one_in(rng, 4) ? dense_memory(rng) : rr(3, 21, 21, 22); /* XOR */
  code[n++] = 3u << 30 | 9u << 25 | (u32)op3[below(rng, 8)] << 19 | 5 << 14 | 21;
  code[n++] = rr(ADD, 20, 20, 9);
  code[n++] = ri(AND, 19, 19, 63);
  code[n++] = ri(0x14, 19, 19, 1);
  code[n++] = 9u << 25 | 2u << 22 | ((0u - 5) & 0x3fffff);
  code[n++] = one_in(rng, 2) ? rr(3, 21, 21, 22) : NOP;
  return n;
}

#include "engine_system.h"
#include "engine_jumps.h"
#include "engine_traps.h"
#include "engine_spans.h"

static u32 dense_insn(u64 *rng) {
  switch (below(rng, 34)) {
  case 0: case 1: case 2: case 3: case 4: case 5: case 6: case 7: return dense_alu(rng);
  case 8: case 9: return dense_shift(rng);
  case 10: case 11: case 12: return dense_move(rng);
  case 13: case 14: case 15: case 16: return dense_memory(rng);
  case 17: case 18: return dense_fp(rng);
  case 19: return dense_jump(rng);
  case 24: case 25: case 26: case 27: case 28: return dense_keep(rng);
  case 29: case 30: case 31: case 32: case 33: return system_insn(rng);
  default: return dense_branch(rng);
  }
}

#endif
