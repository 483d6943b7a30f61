/* engine_traps.h - what traps and returns again and again: deep windows, Tcc, privilege and back, returns to a state made up,
 * hypercalls in loops; for engine_dense.h. */
#ifndef S4V_TESTS_ENGINE_TRAPS_H
#define S4V_TESTS_ENGINE_TRAPS_H

/* %g4 counts down `times`; the body is what has been written from `head` on. */
static u32 traps_again(u32 *code, u32 n, u32 head, u64 *rng) {
  code[n++] = ri(AND, 4, 4, 15); /* whoever jumps into the loop */
  code[n++] = ri(0x14, 4, 4, 1);
  code[n] = jump_branch(9, (i32)head - (i32)n), n++;
  code[n++] = one_in(rng, 2) ? dense_keep(rng) : NOP;
  return n;
}

/* So many SAVEs that they spill, and the RESTOREs that fill, each with a value of its own window. */
static u32 traps_windows(u32 *code, u64 *rng) {
  u32 n = 0, deep = 3 + below(rng, 10), head;
  if (one_in(rng, 2)) code[n++] = ri(WRPR, 14, 0, below(rng, 64)); /* WSTATE */
  if (one_in(rng, 4)) code[n++] = one_in(rng, 2) ? rr(SAVED, 3, 0, 0) : rr(SAVED, 4, 0, 0); /* OTHERW, NORMALW */
  code[n++] = ri(OR, 4, 0, deep);
  head = n;
  code[n++] = mem(LDX, 16, 5, 2048 + below(rng, 256) * 8);
  code[n++] = one_in(rng, 2) ? rr(0x3c, 9, 16, 4) : ri(0x3c, 14, 14, 0x1f80);
  code[n++] = rr(ADD, 21, 9, 25);
  n = traps_again(code, n, head, rng);
  if (one_in(rng, 4)) code[n++] = 2u << 30 | 0x2bu << 19; /* FLUSHW */
  code[n++] = ri(OR, 4, 0, deep);
  head = n;
  code[n++] = rr(ADD, 9, 9, 16);
  code[n++] = rr(0x3d, 8 + below(rng, 8), 16, 9);
  code[n++] = rr(ADD, 20, 20, 8 + below(rng, 8));
  return traps_again(code, n, head, rng);
}

/* Tcc on codes of all kinds, in a slot too; its handler is DONE, or one that writes to TSTATE. */
static u32 traps_tcc(u32 *code, u64 *rng) {
  static const u8 sets[] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x17, 0x18, 0x1c};
  u32 n = 0, head;
  code[n++] = ri(OR, 4, 0, 1 + below(rng, 15));
  head = n;
  code[n++] = mem(LDX, 9, 5, 2048 + below(rng, 256) * 8);
  code[n++] = one_in(rng, 4) ? ri(WRASR, 2, 0, below(rng, 256)) : rr(sets[below(rng, sizeof sets)], one_in(rng, 2) ? 0 : 10, 9, dense_reg(rng));
  u32 cond = one_in(rng, 2) ? 8 : below(rng, 16), number = 1 + below(rng, 3);
  u32 trap = 2u << 30 | cond << 25 | (u32)TCC << 19 | (one_in(rng, 2) ? 0x1000 : 0) | 0x2000 | number;
  if (one_in(rng, 3)) code[n++] = (one_in(rng, 2) ? 1u << 29 : 0) | below(rng, 16) << 25 | 2u << 22 | 2;
  code[n++] = trap;
  code[n++] = 2u << 30 | 10u << 25 | 0x2cu << 19 | 1u << 18 | below(rng, 16) << 14 | 0x2000 | below(rng, 64); /* MOVcc */
  code[n++] = rr(ADD, 20, 20, 10);
  return traps_again(code, n, head, rng);
}

/* Without privilege for a while: windows and Tcc from there, and 0x101 gives it back. */
static u32 traps_user(u32 *code, u64 *rng) {
  static const u32 users[] = {0x12, 0x10, 0x02, 0x1a, 0x212};
  u32 n = 0, inside = 1 + below(rng, 6);
  code[n++] = ri(WRPR, PSTATE, 0, users[below(rng, one_in(rng, 2) ? 2 : 5)]);
  for (u32 i = 0; i < inside; i++) {
    switch (below(rng, 4)) {
    case 0: code[n++] = TA | 2; break;
    case 1: code[n++] = rr(0x3cu + below(rng, 2), 9, dense_reg(rng), 20); break;
    case 2: code[n++] = mem(LDX, 9, 5, below(rng, 256) * 8); break;
    default: code[n++] = dense_keep(rng);
    }
  }
  code[n++] = TA | 1;
  return n;
}

/* DONE or RETRY with a TSTATE that nobody has saved, above TL 1 at times. */
static u32 traps_return(u32 *code, u64 *rng) {
  static const u32 pstates[] = {0x16, 0x16, 0x14, 0x16, 0x14, 0x06, 0x216, 0x1e, 0x12, 0x116, 0xd6};
  u32 n = 0, r = 9;
  bool retries = one_in(rng, 2);
  code[n++] = ri(WRPR, TL, 0, 1 + (one_in(rng, 8) ? 1 : 0));
  code[n++] = ri(OR, r, 0, below(rng, 8) << 8 | below(rng, 256));
  code[n++] = ri(SLLX, r, r, 8) | 0x1000;
  code[n++] = ri(OR, r, r, one_in(rng, 2) ? 0x80 : below(rng, 256));
  code[n++] = ri(SLLX, r, r, 16) | 0x1000;
  code[n++] = ri(OR, r, r, pstates[below(rng, one_in(rng, 3) ? 11 : 5)]);
  code[n++] = ri(SLLX, r, r, 8) | 0x1000;
  code[n++] = ri(OR, r, r, below(rng, 8));
  code[n++] = ri(WRPR, TSTATE, r, 0);
  if (one_in(rng, 4)) code[n++] = TA | 2;                                     /* to TL 2, and back; DONE there is one to TL 1 */
  if (one_in(rng, 4)) code[n++] = rr(0x3cu + below(rng, 2), 11, 20, 0);       /* so may a window be */
  code[n++] = rr(RDASR, r, 5, 0);                                             /* PC; %o1 is of this window and GL */
  code[n++] = ri(ADD, r, r, 24 + (one_in(rng, 16) ? 4 : 0));
  code[n++] = ri(WRPR, retries ? TPC : TNPC, r, 0);
  code[n++] = ri(ADD, r, r, one_in(rng, 16) ? 8 : 4);
  code[n++] = retries ? ri(WRPR, TNPC, r, 0) : NOP;
  code[n++] = rr(DONE, retries, 0, 0);
  code[n++] = dense_keep(rng);
  code[n++] = ri(WRPR, PSTATE, 0, 0x16);
  code[n++] = ri(WRPR, PIL, 0, 0);
  return n;
}

/* The same call again and again, and what it leaves in %o0 and %o1. */
static u32 traps_calls(u32 *code, u64 *rng) {
  static const u32 functions[] = {0x16, 0x19, 0x15, 0x29, 0x2b, 0x50, 0x24, 0x22, 0x12, 0x20, 0x43};
  u32 n = 0, head;
  code[n++] = ri(OR, 4, 0, 1 + below(rng, 15));
  head = n;
  code[n++] = ri(OR, 13, 0, functions[below(rng, 11)]);
  code[n++] = ri(OR, 8, 0, below(rng, 2) * 0x3c);
  code[n++] = one_in(rng, 2) ? sethi(9, MONDO_LIST) : ri(OR, 9, 0, 0);
  code[n++] = ri(OR, 10, 0, below(rng, 3));
  if (one_in(rng, 3)) code[n++] = (one_in(rng, 2) ? 1u << 29 : 0) | below(rng, 16) << 25 | 2u << 22 | 2;
  code[n++] = TA | 0x80;
  code[n++] = rr(ADD, 20, 20, 8);
  code[n++] = rr(ADD, 20, 20, 9);
  return traps_again(code, n, head, rng);
}

/* Addresses of 32 bits, as old programs have them: memory, loops and calls, and addresses that are longer. */
static u32 traps_narrow(u32 *code, u64 *rng) {
  u32 n = 0;
  code[n++] = ri(WRPR, PSTATE, 0, one_in(rng, 4) ? 0x21e : 0x1e);
  if (one_in(rng, 3)) code[n++] = ri(SLLX, 10, 5, 32) | 0x1000, code[n++] = rr(ADD, 10, 10, 5), code[n++] = mem(LDX, 9, 10, 2048 + below(rng, 256) * 8);
  switch (below(rng, 4)) {
  case 0: n += jump_calls(code + n, rng); break;
  case 1: n += dense_loop(code + n, rng); break;
  case 2: n += system_sequence(code + n, rng); break;
  default:
    for (u32 i = 0; i < 10; i++) code[n++] = one_in(rng, 2) ? dense_memory(rng) : system_memory(rng);
  }
  code[n++] = rr(ADD, 20, 20, 9);
  code[n++] = ri(WRPR, PSTATE, 0, 0x16);
  return n;
}

static u32 traps_sequence(u32 *code, u64 *rng) {
  switch (below(rng, 10)) {
  case 8: case 9: return traps_narrow(code, rng);
  case 0: case 1: return traps_windows(code, rng);
  case 2: case 3: return traps_tcc(code, rng);
  case 4: return traps_user(code, rng);
  case 5: case 6: return traps_return(code, rng);
  default: return traps_calls(code, rng);
  }
}

#endif
