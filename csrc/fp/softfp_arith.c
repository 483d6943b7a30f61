/* softfp_arith.c - add, subtract, multiply, divide, square root, and the halved and negated forms of HPC. */
#include "fp/softfp_core.h"

/* a + b of two finite non-zero numbers, times 2^scale. */
FP_INLINE u64 add_finite(struct fp_env *e, struct fp_format f, struct fp_parts a, struct fp_parts b, i32 scale)
{
  if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
    struct fp_parts t = a;
    a = b;
    b = t;
  }
  u64 big = a.sig >> 1; /* room for the carry; at least nine zero bits remain below */
  u64 small = fp_jam64(b.sig >> 1, (u32)(a.exp - b.exp));
  u64 sum = a.sign == b.sign ? big + small : big - small;
  if (sum == 0)
    return fp_signed(f, fp_zero_sum_sign(e), 0);
  int zeros = __builtin_clzll(sum);
  return fp_round(e, f, a.sign, a.exp + 1 - zeros + scale, sum << zeros);
}

/* (a + b) * 2^scale with one rounding; negate_b makes it a subtraction without touching the sign of a NaN. */
FP_INLINE u64 add_scaled(struct fp_env *e, struct fp_format f, u64 a, u64 b, bool negate_b, i32 scale)
{
  struct fp_parts pa = fp_unpack(f, a);
  struct fp_parts pb = fp_unpack(f, b);
  pb.sign ^= negate_b;
  if (LIKELY(pa.kind == FP_FINITE && pb.kind == FP_FINITE))
    return add_finite(e, f, pa, pb, scale);
  if (pa.kind == FP_NAN || pb.kind == FP_NAN)
    return fp_nan2(e, f, a, b);
  if (pa.kind == FP_INFINITE) {
    if (pb.kind == FP_INFINITE && pa.sign != pb.sign)
      return fp_invalid(e, f);
    return a;
  }
  if (pb.kind == FP_INFINITE)
    return fp_signed(f, pb.sign, fp_infinity(f));
  if (pa.kind == FP_ZERO && pb.kind == FP_ZERO)
    return fp_signed(f, pa.sign == pb.sign ? pa.sign : fp_zero_sum_sign(e), 0);
  struct fp_parts p = pa.kind == FP_ZERO ? pb : pa; /* rounded too: halving or UFM may matter */
  return fp_round(e, f, p.sign, p.exp + scale, p.sig);
}

/* fnadd. Observed on chips: an exact cancellation gives +0 (as (-a) + (-b) does), not the negated zero. */
FP_INLINE u64 neg_add(struct fp_env *e, struct fp_format f, u64 a, u64 b)
{
  u64 r = add_scaled(e, f, a, b, false, 0);
  bool cancelled = !(r & ~fp_sign_bit(f)) && ((a ^ b) & fp_sign_bit(f));
  return cancelled ? r : fp_negate(f, r);
}

FP_INLINE u64 multiply(struct fp_env *e, struct fp_format f, u64 a, u64 b)
{
  struct fp_parts pa = fp_unpack(f, a);
  struct fp_parts pb = fp_unpack(f, b);
  bool sign = pa.sign != pb.sign;
  if (LIKELY(pa.kind == FP_FINITE && pb.kind == FP_FINITE)) {
    u128 product = (u128)pa.sig * pb.sig;
    u64 sig = (u64)(product >> 64) | ((u64)product != 0);
    bool carry = sig >> 63;
    return fp_round(e, f, sign, pa.exp + pb.exp + carry, carry ? sig : sig << 1);
  }
  if (pa.kind == FP_NAN || pb.kind == FP_NAN)
    return fp_nan2(e, f, a, b);
  if (pa.kind == FP_INFINITE || pb.kind == FP_INFINITE) {
    if (pa.kind == FP_ZERO || pb.kind == FP_ZERO)
      return fp_invalid(e, f);
    return fp_signed(f, sign, fp_infinity(f));
  }
  return fp_signed(f, sign, 0);
}

FP_INLINE u64 divide_finite(struct fp_env *e, struct fp_format f, bool sign, struct fp_parts a, struct fp_parts b)
{
  bool below_one = a.sig < b.sig;
  u128 n = (u128)a.sig << (63 + below_one);
  u64 q = (u64)(n / b.sig);
  bool remainder = (u64)n != q * b.sig; /* compared modulo 2^64: the remainder is below b.sig */
  return fp_round(e, f, sign, a.exp - b.exp - below_one, q | remainder);
}

FP_INLINE u64 divide(struct fp_env *e, struct fp_format f, u64 a, u64 b)
{
  struct fp_parts pa = fp_unpack(f, a);
  struct fp_parts pb = fp_unpack(f, b);
  bool sign = pa.sign != pb.sign;
  if (LIKELY(pa.kind == FP_FINITE && pb.kind == FP_FINITE))
    return divide_finite(e, f, sign, pa, pb);
  if (pa.kind == FP_NAN || pb.kind == FP_NAN)
    return fp_nan2(e, f, a, b);
  if (pa.kind == pb.kind) /* 0 / 0 or infinity / infinity */
    return fp_invalid(e, f);
  if (pa.kind == FP_INFINITE)
    return fp_signed(f, sign, fp_infinity(f));
  if (pb.kind == FP_ZERO) {
    e->flags |= FP_DZ;
    return fp_signed(f, sign, fp_infinity(f));
  }
  return fp_signed(f, sign, 0);
}

/* Digit by digit: precision + 2 root bits, then whether anything remains. */
FP_INLINE u64 square_root(struct fp_env *e, struct fp_format f, u64 b)
{
  struct fp_parts p = fp_unpack(f, b);
  if (p.kind == FP_NAN)
    return fp_nan1(e, f, b);
  if (p.kind == FP_ZERO || (p.kind == FP_INFINITE && !p.sign))
    return b;
  if (p.sign)
    return fp_invalid(e, f);
  const int digits = f.precision + 2;
  bool odd = p.exp & 1;
  u64 radicand = odd ? p.sig : p.sig >> 1; /* two integer bits, 62 fraction bits; the bit shifted out is zero */
  u64 rest = 0;
  u64 root = 0;
  for (int i = 0; i < digits; i++) {
    rest = rest << 2 | radicand >> 62;
    radicand <<= 2;
    u64 trial = root << 2 | 1;
    bool one = rest >= trial;
    rest -= one ? trial : 0;
    root = root << 1 | one;
  }
  return fp_round(e, f, false, (p.exp - odd) / 2, root << (64 - digits) | (rest != 0 || radicand != 0));
}

u32 fp32_add(struct fp_env *e, u32 a, u32 b) { return (u32)add_scaled(e, FP32, a, b, false, 0); }
u64 fp64_add(struct fp_env *e, u64 a, u64 b) { return add_scaled(e, FP64, a, b, false, 0); }
u32 fp32_sub(struct fp_env *e, u32 a, u32 b) { return (u32)add_scaled(e, FP32, a, b, true, 0); }
u64 fp64_sub(struct fp_env *e, u64 a, u64 b) { return add_scaled(e, FP64, a, b, true, 0); }
u32 fp32_mul(struct fp_env *e, u32 a, u32 b) { return (u32)multiply(e, FP32, a, b); }
u64 fp64_mul(struct fp_env *e, u64 a, u64 b) { return multiply(e, FP64, a, b); }
u32 fp32_div(struct fp_env *e, u32 a, u32 b) { return (u32)divide(e, FP32, a, b); }
u64 fp64_div(struct fp_env *e, u64 a, u64 b) { return divide(e, FP64, a, b); }
u32 fp32_sqrt(struct fp_env *e, u32 b) { return (u32)square_root(e, FP32, b); }
u64 fp64_sqrt(struct fp_env *e, u64 b) { return square_root(e, FP64, b); }

/* Widening first changes neither the product nor which NaN is chosen; 24 + 24 bits fit into 53. */
u64 fp32_mul_fp64(struct fp_env *e, u32 a, u32 b)
{
  u64 signalling = fp_is_signalling(FP32, a) && !fp_is_signalling(FP32, b);
  u64 wide_a = fp32_to_fp64(e, a); /* raises NV for a signalling NaN and quiets it */
  u64 wide_b = fp32_to_fp64(e, b);
  return signalling ? wide_a : fp64_mul(e, wide_a, wide_b);
}

u32 fp32_half_add(struct fp_env *e, u32 a, u32 b) { return (u32)add_scaled(e, FP32, a, b, false, -1); }
u64 fp64_half_add(struct fp_env *e, u64 a, u64 b) { return add_scaled(e, FP64, a, b, false, -1); }
u32 fp32_half_sub(struct fp_env *e, u32 a, u32 b) { return (u32)add_scaled(e, FP32, a, b, true, -1); }
u64 fp64_half_sub(struct fp_env *e, u64 a, u64 b) { return add_scaled(e, FP64, a, b, true, -1); }

u32 fp32_neg_add(struct fp_env *e, u32 a, u32 b) { return (u32)neg_add(e, FP32, a, b); }
u64 fp64_neg_add(struct fp_env *e, u64 a, u64 b) { return neg_add(e, FP64, a, b); }
u32 fp32_neg_mul(struct fp_env *e, u32 a, u32 b) { return (u32)fp_negate(FP32, fp32_mul(e, a, b)); }
u64 fp64_neg_mul(struct fp_env *e, u64 a, u64 b) { return fp_negate(FP64, fp64_mul(e, a, b)); }
u64 fp32_neg_mul_fp64(struct fp_env *e, u32 a, u32 b) { return fp_negate(FP64, fp32_mul_fp64(e, a, b)); }
u32 fp32_neg_half_add(struct fp_env *e, u32 a, u32 b) { return (u32)fp_negate(FP32, fp32_half_add(e, a, b)); }
u64 fp64_neg_half_add(struct fp_env *e, u64 a, u64 b) { return fp_negate(FP64, fp64_half_add(e, a, b)); }
