/* cc.c - integer, floating-point and register conditions (SPARC V9 A.3, A.5, A.7). */
#include "strand/internal.h"

static u32 nzvc(u64 r, u64 v, u64 c, u32 top) {
  return (u32)(r >> top & 1) << 3 | (u32)(v >> top & 1) << 1 | (u32)(c >> top & 1);
}

/* CCR of a + b + carry and of a - b - borrow. */
static u32 ccr_of(u64 r, u64 v, u64 c) {
  u32 x = nzvc(r, v, c, 63) | (u32)(r == 0) << 2;
  u32 i = nzvc(r, v, c, 31) | (u32)((u32)r == 0) << 2;
  return x << 4 | i;
}

u32 ccr_addc(u64 a, u64 b, u64 carry) {
  u64 r = a + b + carry;
  return ccr_of(r, ~(a ^ b) & (a ^ r), (a & b) | ((a | b) & ~r));
}

u32 ccr_subc(u64 a, u64 b, u64 borrow) {
  u64 r = a - b - borrow;
  return ccr_of(r, (a ^ b) & (a ^ r), (~a & b) | (~(a ^ b) & r));
}

u32 cc_compute(u64 a, u64 b, u32 kind) { return kind == CC_SUB ? ccr_subc(a, b, 0) : ccr_addc(a, b, 0); }

u32 cc_test(u32 f, u32 cond) {
  u32 n = f >> 3 & 1, z = f >> 2 & 1, v = f >> 1 & 1, c = f & 1, t = 0;
  switch (cond & 7) {
  case 0: t = 0; break;
  case 1: t = z; break;
  case 2: t = z | (n ^ v); break;
  case 3: t = n ^ v; break;
  case 4: t = c | z; break;
  case 5: t = c; break;
  case 6: t = n; break;
  default: t = v; break;
  }
  return cond & 8 ? !t : t;
}

u32 fcc_test(u32 fcc, u32 cond) {
  /* bit n of the mask: true when fcc is n (E L G U) */
  static const u8 mask[8] = {0x0, 0xe, 0x6, 0xa, 0x2, 0xc, 0x4, 0x8};
  u32 t = (u32)mask[cond & 7] >> (fcc & 3) & 1;
  return cond & 8 ? !t : t;
}

u32 reg_test(u64 value, u32 rcond) {
  i64 v = (i64)value;
  u32 t = 0;
  switch (rcond & 3) {
  case 1: t = v == 0; break;
  case 2: t = v <= 0; break;
  case 3: t = v < 0; break;
  default: return 0;
  }
  return rcond & 4 ? !t : t;
}

u32 fsr_fcc(const struct strand *s, u32 n) { return (u32)(s->fsr >> (n ? 30 + 2 * n : 10)) & 3; }

void fsr_set_fcc(struct strand *s, u32 n, u32 v) {
  u32 at = n ? 30 + 2 * n : 10;
  s->fsr = (s->fsr & ~(3ull << at)) | (u64)(v & 3) << at;
}
