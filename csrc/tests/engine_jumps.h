/* engine_jumps.h - loops that call and return, and loops through a table of targets: for engine_dense.h. */
#ifndef S4V_TESTS_ENGINE_JUMPS_H
#define S4V_TESTS_ENGINE_JUMPS_H

static u32 jump_branch(u32 cond, i32 words) { return cond << 25 | 2u << 22 | ((u32)words & 0x3fffff); }

/* A new value, and the sum of what was computed: wrong registers are seen. */
static u32 jump_work(u32 *code, u64 *rng) {
  code[0] = 3u << 30 | dense_reg(rng) << 25 | 11u << 19 | 5 << 14 | 0x2000 | (2048 + below(rng, 256) * 8);
  code[1] = one_in(rng, 2) ? dense_alu(rng) : dense_keep(rng);
  return 2;
}

/* %l3 times: a leaf, or a function with a window of its own, called from one place or two. */
static u32 jump_calls(u32 *code, u64 *rng) {
  bool leaf = one_in(rng, 2), twice = one_in(rng, 2);
  u32 n = 0, callee = twice ? 11 : 9;
  code[n++] = ri(OR, 19, 0, 1 + below(rng, 15));
  u32 head = n;
  code[n] = 1u << 30 | (callee - n), n++;
  code[n++] = dense_plain(rng);
  if (twice) code[n] = 1u << 30 | (callee - n), n++;
  if (twice) code[n++] = dense_keep(rng);
  code[n++] = dense_keep(rng);
  code[n++] = ri(AND, 19, 19, 15);
  code[n++] = ri(0x14, 19, 19, 1);
  code[n] = jump_branch(9, (i32)head - (i32)n), n++;
  code[n++] = dense_plain(rng);
  code[n] = jump_branch(8, leaf ? 6 : 7), n++; /* past the function; %l4 there is its own */
  if (!leaf) code[n++] = ri(0x3c, 14, 14, 0x1f80 & 0x1fff);
  n += jump_work(code + n, rng);
  code[n++] = leaf ? ri(JMPL, 0, 15, 8) : one_in(rng, 2) ? ri(0x39, 0, 31, 8) : ri(JMPL, 0, 31, 8);
  code[n++] = leaf ? dense_keep(rng) : rr(0x3d, 9, dense_reg(rng), 0);
  code[n++] = dense_keep(rng);
  return n;
}

/* %l3 times: to one of three places, by a value that was loaded. */
static u32 jump_table(u32 *code, u64 *rng) {
  u32 n = 0, at[3];
  code[n++] = ri(OR, 19, 0, 1 + below(rng, 60));
  u32 head = n;
  code[n++] = mem(LDX, 9, 5, 2048 + below(rng, 64) * 8);
  code[n++] = rr(ADD, 9, 9, 19);
  code[n++] = ri(AND, 21, 9, 1);
  code[n++] = 2u << 30 | 21u << 25 | 0x25u << 19 | 21 << 14 | 0x2000 | 4;
  code[n++] = 1u << 30 | 2; /* CALL to the next but one: %o7 */
  code[n++] = rr(ADD, 20, 20, 9);
  code[n++] = rr(ADD, 21, 15, 21);
  code[n++] = ri(JMPL, 0, 21, 20 + (one_in(rng, 2) ? 0 : 16));
  code[n++] = one_in(rng, 2) ? NOP : dense_keep(rng);
  for (u32 i = 0; i < 3; i++) {
    n += jump_work(code + n, rng);
    at[i] = n++;
    code[n++] = dense_keep(rng);
  }
  for (u32 i = 0; i < 3; i++) code[at[i]] = jump_branch(8, (i32)n - (i32)at[i]);
  code[n++] = ri(AND, 19, 19, 63);
  code[n++] = ri(0x14, 19, 19, 1);
  code[n] = jump_branch(9, (i32)head - (i32)n), n++;
  code[n++] = NOP;
  return n;
}

#endif
