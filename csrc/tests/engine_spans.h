/* engine_spans.h - loops whose accesses share bases and cross the ends of pages: for engine_dense.h. */
#ifndef S4V_TESTS_ENGINE_SPANS_H
#define S4V_TESTS_ENGINE_SPANS_H

/* Off %l5 or %l6, most of the time aligned; integer and floating point. Loads go where others compute, and are kept. Lean: with
 * so few registers that the host has some left. */
static u32 span_access(u64 *rng, bool lean) {
  static const u8 op3[] = {11, 11, 11, 14, 14, 14, 0, 8, 4, 1, 2, 5, 6, 9, 10, 0x20, 0x23, 0x24, 0x27, 3, 7, 13, 15};
  u32 op = op3[below(rng, sizeof op3)], rd = op >= 0x20 ? below(rng, 16) * 2 : op == 3 || op == 7 ? 10 : dense_reg(rng);
  if (lean) op = one_in(rng, 2) ? 11 : 14, rd = 9;
  i32 grain = one_in(rng, 60) ? 1 : one_in(rng, 6) ? 4 : 8, offset = grain * ((i32)below(rng, 32) - 16);
  u32 base = one_in(rng, lean ? 2 : 3) ? 22 : 21;
  return 3u << 30 | rd << 25 | op << 19 | base << 14 | 0x2000 | ((u32)offset & 0x1fff);
}

/* %l5: near the end of a page, of data or of what is beside the program, or of memory, before or behind which there is nothing
 * (pages side by side have one addend: what is thought to be in the wrong one of them is seen by its rights alone). %l6: the
 * same place, near it, or the same in another page, which may have the same place in the soft TLB. %l7: from an address to the
 * same memory elsewhere. */
static u32 span_bases(u32 *code, u64 *rng) {
  static const u32 others[] = {0, 0, 0x2000, 0x4000, AGAIN, AGAIN | 0x2000};
  u32 n = 0;
  code[n++] = sethi(21, below(rng, 8) << 13);
  code[n++] = rr(ADD, 21, 21, one_in(rng, 4) ? 7 : 5);
  if (one_in(rng, 3)) code[n - 1] = sethi(21, one_in(rng, 2) ? MEMORY : AGAIN);
  code[n++] = sethi(23, AGAIN);
  code[n++] = ri(ADD, 21, 21, (8 * ((i32)below(rng, 64) - 32) + (one_in(rng, 16) ? 4 : 0)) & 0x1fff);
  code[n++] = sethi(22, others[below(rng, 6)]);
  code[n++] = rr(3, 22, 22, 21); /* XOR */
  return n;
}

static u32 span_step(u64 *rng) {
  u32 reg = one_in(rng, 2) ? 21 : 22, step = 8 * (1 + below(rng, 5));
  switch (below(rng, 6)) {
  case 0: return rr(one_in(rng, 2) ? ADD : OR, 43 - reg, 0, reg);
  case 1: case 2: return ri(SUB, reg, reg, step);
  case 3: return ri(ADD, 43 - reg, reg, step);
  case 4: return rr(one_in(rng, 3) ? ADD : 3, reg, reg, 23); /* no constant */
  default: return ri(ADD, reg, reg, step);
  }
}

static u32 dense_spans(u32 *code, u64 *rng) {
  bool lean = one_in(rng, 2);
  u32 n = span_bases(code, rng), plain = lean ? 18 + below(rng, 8) : 6 + below(rng, 16);
  code[n++] = ri(OR, 19, 0, 1 + below(rng, 15));
  u32 head = n;
  for (u32 i = 0; i < plain; i++) {
    u32 what = below(rng, 16);
    if (what < 10) code[n++] = span_access(rng, lean);
    else if (what < 12) code[n++] = span_step(rng);
    else if (lean) code[n++] = rr(ADD, 20, 20, 9);
    else code[n++] = what < 14 ? dense_keep(rng) : dense_plain(rng);
  }
  code[n++] = dense_keep(rng);
  code[n++] = ri(AND, 19, 19, 15);
  code[n++] = ri(0x14, 19, 19, 1);
  code[n] = (one_in(rng, 3) ? 1u << 29 : 0) | 9u << 25 | 2u << 22 | ((head - n) & 0x3fffff), n++;
  code[n++] = one_in(rng, 4) ? dense_plain(rng) : span_access(rng, lean);
  return n;
}

#endif
