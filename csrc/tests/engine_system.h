/* engine_system.h - what kernels are made of, for dense programs: state registers, alternate spaces, atomics, barriers,
 * conditional traps, and stretches above TL 0 that RETRY ends. */
#ifndef S4V_TESTS_ENGINE_SYSTEM_H
#define S4V_TESTS_ENGINE_SYSTEM_H

static u32 system_read(u64 *rng) {
  static const u8 privileged[] = {0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 4}, ancillary[] = {3, 6, 22, 24, 4, 2, 5};
  u32 rd = dense_reg(rng) << 25;
  if (one_in(rng, 3)) return 2u << 30 | rd | (u32)RDASR << 19 | (u32)ancillary[below(rng, 7)] << 14;
  return 2u << 30 | rd | (u32)RDPR << 19 | (u32)privileged[below(rng, 16)] << 14;
}

static u32 system_write(u64 *rng) {
  static const u32 pstates[] = {0x16, 0x14, 0x16, 0x14, 0x16, 0x06, 0x216, 0x216, 0x316}, asis[] = {0x80, 0x80, 0x14, 0x04, 0x10, 0x88, 0x20};
  switch (below(rng, 15)) {
  case 0: case 1: case 2: return ri(WRPR, PIL, 0, below(rng, 16));
  case 3: case 4: case 5: return ri(WRPR, PSTATE, 0, pstates[below(rng, one_in(rng, 4) ? 9 : 5)]);
  case 6: return ri(WRPR, 10 + below(rng, 5), 0, below(rng, 64)); /* CANSAVE to WSTATE */
  case 7: return ri(WRASR, 6, 0, 4 + below(rng, 4));
  case 8: case 9: return ri(WRASR, 3, 0, asis[below(rng, 7)]);
  case 10: return ri(WRPR, below(rng, 4), dense_reg(rng), below(rng, 64)); /* TPC to TT */
  case 11: case 12: case 13: return ri(WRPR, GL, 0, below(rng, 4));
  default: return ri(WRPR, PIL, dense_reg(rng), below(rng, 16));
  }
}

/* Alternate spaces and pairs: [%g5 + something], or [%g5] for what needs more than 8 bytes. */
static u32 system_memory(u64 *rng) {
  static const u8 op3[] = {0x10, 0x11, 0x12, 0x18, 0x19, 0x1a, 0x1b, 0x1b, 0x14, 0x15, 0x16, 0x1e, 0x1e, 0x13, 0x17, 0x1d, 0x1f,
                           0x03, 0x07, 0x03, 0x07, 0x0d, 0x0f, 0x0d, 0x0f},
      asis[] = {0x80, 0x80, 0x80, 0x10, 0x11, 0x14, 0x14, 0x04, 0x81, 0x15, 0x88, 0x24, 0x26, 0x27, 0xe2, 0x82, 0xe2, 0xf2, 0x1c, 0x88};
  u32 op = op3[below(rng, sizeof op3)], rd = dense_reg(rng);
  if ((op & 0xf) == 3 || (op & 0xf) == 7) rd &= one_in(rng, 50) ? 31u : 30u;
  u32 word = 3u << 30 | rd << 25 | op << 19 | 5 << 14;
  if (op == 0x13 && one_in(rng, 2)) return word | (u32)asis[11 + below(rng, 4)] << 5; /* LDTXA */
  if (one_in(rng, 2)) return word | 0x2000 | below(rng, 64) * 8;
  return word | (op & 0x10 ? (u32)asis[below(rng, 20)] << 5 : 0) | (one_in(rng, 3) ? 6 : 0);
}

static u32 system_barrier(u64 *rng) {
  switch (below(rng, 4)) {
  case 0: return 0x8143e000 | below(rng, 128);                               /* MEMBAR */
  case 1: return one_in(rng, 2) ? 0x8143c000 : 0x81d80000 | 5 << 14 | 0x2000; /* STBAR, FLUSH */
  case 2: return 3u << 30 | below(rng, 24) << 25 | 0x2du << 19 | 5 << 14 | 0x2000 | 64; /* PREFETCH */
  default: return 2u << 30 | below(rng, 6) << 25 | (u32)SAVED << 19;
  }
}

/* Tcc, mostly one that depends on something. */
static u32 system_trap(u64 *rng) {
  static const u8 numbers[] = {1, 2, 3, 0x80};
  return 2u << 30 | below(rng, 16) << 25 | (u32)TCC << 19 | (one_in(rng, 2) ? 0x1000 : 0) | 0x2000 | numbers[below(rng, 4)];
}

static u32 system_insn(u64 *rng) {
  switch (below(rng, 12)) {
  case 0: case 1: return system_read(rng);
  case 2: case 3: case 4: return system_write(rng);
  case 5: case 6: case 7: case 8: return system_memory(rng);
  case 9: return system_barrier(rng);
  case 10: return system_trap(rng);
  default: return one_in(rng, 40) ? 0x81f00000 | below(rng, 2) << 25 : dense_keep(rng); /* DONE, RETRY */
  }
}

/* What is masked comes when the mask goes: PIL, or PSTATE.IE. */
static u32 system_mask(u32 *code, u64 *rng) {
  bool level = one_in(rng, 2);
  u32 n = 0;
  code[n++] = level ? ri(WRPR, PIL, 0, 15) : ri(WRPR, PSTATE, 0, 0x14);
  code[n++] = ri(WRASR, 20, 0, 2u << below(rng, 10)); /* SOFTINT_SET */
  code[n++] = dense_keep(rng);
  code[n++] = level ? ri(WRPR, PIL, 0, below(rng, 16)) : ri(WRPR, PSTATE, 0, 0x16);
  code[n++] = dense_keep(rng);
  return n;
}

/* Globals of two levels, and back. */
static u32 system_globals(u32 *code, u64 *rng) {
  u32 n = 0, rd = 1 + below(rng, 4);
  for (u32 i = 0; i < 2; i++) {
    code[n++] = 3u << 30 | rd << 25 | 11u << 19 | 5 << 14 | 0x2000 | (2048 + below(rng, 256) * 8);
    code[n++] = rr(ADD, 20, 20, rd);
    code[n++] = ri(WRPR, GL, 0, i ? 0 : below(rng, 4));
    code[n++] = rr(ADD, 20, 20, rd);
  }
  return n;
}

/* Another secondary context, and accesses to its space. */
static u32 system_context(u32 *code, u64 *rng) {
  u32 n = 0;
  code[n++] = ri(OR, 9, 0, 16);
  code[n++] = ri(OR, 10, 0, below(rng, 2));
  code[n++] = mem_asi(STXA, 10, 9, 0x21);
  code[n++] = mem_asi(one_in(rng, 2) ? LDXA : STXA, 11, 5, 0x81);
  code[n++] = rr(ADD, 20, 20, 11);
  return n;
}

/* A line that a block-init store clears, and what is left of it. */
static u32 system_clear(u32 *code, u64 *rng) {
  u32 n = 0;
  code[n++] = mem_asi(STXA, dense_reg(rng), 5, one_in(rng, 2) ? 0xe2 : 0xf2);
  code[n++] = mem(LDX, 9, 5, 8 + 8 * below(rng, 7));
  code[n++] = rr(ADD, 20, 20, 9);
  return n;
}

/* CASX that finds what it expects, or not; registers of the strand by ASI. */
static u32 system_sequence(u32 *code, u64 *rng) {
  u32 n = 0, rd = dense_reg(rng);
  switch (below(rng, 8)) {
  case 0: return system_mask(code, rng);
  case 1: return system_globals(code, rng);
  case 2: return system_context(code, rng);
  case 3: return system_clear(code, rng);
  default: break;
  }
  if (one_in(rng, 4)) { /* an atomic to a page that can be stored to, but perhaps has none */
    code[n++] = sethi(6, (one_in(rng, 2) ? 3 : below(rng, 8)) << 13);
    code[n++] = 3u << 30 | dense_reg(rng) << 25 | 4u << 19 | 5 << 14 | 6;
    code[n++] = 3u << 30 | rd << 25 | (one_in(rng, 2) ? 0x0du : 0x0fu) << 19 | 5 << 14 | 6;
  } else if (one_in(rng, 2)) {
    bool wide = one_in(rng, 2);
    code[n++] = mem(wide ? LDX : 0, 9, 5, 0);
    if (one_in(rng, 3)) code[n++] = dense_memory(rng);
    u32 asi = one_in(rng, 4) ? 0x2000 : (one_in(rng, 2) ? 0x80u : 0x14u) << 5;
    code[n++] = 3u << 30 | rd << 25 | (wide ? 0x3eu : 0x3cu) << 19 | 5 << 14 | asi | 9;
  } else {
    bool context = one_in(rng, 3);
    code[n++] = ri(OR, 9, 0, context ? 8 * below(rng, 4) : 8 * below(rng, 9));
    code[n++] = one_in(rng, 2) && !context ? mem_asi(STXA, dense_reg(rng), 9, 0x20) : mem_asi(LDXA, rd, 9, context ? 0x21 : 0x20);
  }
  code[n++] = rr(ADD, 20, 20, rd);
  return n;
}

/* Some instructions at TL 1, and back by RETRY to what follows. */
static u32 system_level(u32 *code, u64 *rng) {
  u32 n = 0, inside = below(rng, 4);
  code[n++] = ri(WRPR, TL, 0, 1);
  for (u32 i = 0; i < inside; i++) code[n++] = one_in(rng, 2) ? system_memory(rng) : system_read(rng);
  if (one_in(rng, 2)) { /* registers of the level keep what they have room for */
    u32 which = below(rng, 4), rd = dense_reg(rng);
    code[n++] = ri(WRPR, which, dense_reg(rng), below(rng, 4096));
    code[n++] = rr(RDPR, rd, which, 0);
    code[n++] = rr(ADD, 20, 20, rd);
  }
  code[n++] = rr(RDPR, 9, CWP, 0);
  code[n++] = rr(RDPR, 10, PSTATE, 0);
  code[n++] = ri(SLLX, 10, 10, 8) | 0x1000;
  code[n++] = rr(OR, 9, 9, 10);
  code[n++] = ri(WRPR, TSTATE, 9, 0);
  code[n++] = rr(RDASR, 9, 5, 0); /* PC */
  code[n++] = ri(ADD, 9, 9, 20);
  code[n++] = ri(WRPR, TPC, 9, 0);
  code[n++] = ri(ADD, 9, 9, 4);
  code[n++] = ri(WRPR, TNPC, 9, 0);
  code[n++] = RETRY;
  return n;
}

#endif
