/* softfp_fused.c - multiply-add: fused with one rounding (FMAF), unfused with two (SPARC64 X).
 *
 * FMAF's NaN rule, where the manuals leave order open: a signalling operand first, among equals rs3 before rs2
 * before rs1. Infinity times zero is invalid even when rs3 is a quiet NaN, and delivers that NaN. The negated forms
 * change the sign after rounding, so a directed rounding works on the value before the sign change; NaNs keep
 * their sign.
 */
#include "fp/softfp_core.h"

FP_INLINE u64 nan3(struct fp_env *e, struct fp_format f, u64 a, u64 b, u64 c)
{
  if (fp_is_signalling(f, c))
    return fp_nan1(e, f, c);
  if (fp_is_signalling(f, a) || fp_is_signalling(f, b) || !fp_is_nan(f, c))
    return fp_nan2(e, f, a, b);
  return c;
}

/* The product of two finite numbers, exact in 128 bits, plus c, finite or zero. */
FP_INLINE u64 fuse_finite(struct fp_env *e, struct fp_format f, struct fp_parts a, struct fp_parts b, struct fp_parts c)
{
  bool sign = a.sign != b.sign;
  u128 product = (u128)a.sig * b.sig; /* top bit 127 or 126 */
  i32 exp = a.exp + b.exp + 1;        /* weight of bit 127 */
  if (c.kind == FP_FINITE) {
    /* Work with the top bit at 126 or below; at least twenty zero bits stand under either term, so a bit is
     * lost only by a shift after which at most one place can cancel. */
    product >>= 1;
    u128 addend = (u128)c.sig << 63;
    exp++;
    i32 c_exp = c.exp + 1;
    if (c_exp > exp) {
      product = fp_jam128(product, (u32)(c_exp - exp));
      exp = c_exp;
    } else {
      addend = fp_jam128(addend, (u32)(exp - c_exp));
    }
    if (sign == c.sign) {
      product += addend;
    } else if (product >= addend) {
      product -= addend;
    } else {
      product = addend - product;
      sign = c.sign;
    }
    if (product == 0)
      return fp_signed(f, fp_zero_sum_sign(e), 0);
  }
  u64 high = (u64)(product >> 64);
  int zeros = high ? __builtin_clzll(high) : 64 + __builtin_clzll((u64)product);
  product <<= zeros;
  return fp_round(e, f, sign, exp - zeros, (u64)(product >> 64) | ((u64)product != 0));
}

FP_INLINE u64 fuse(struct fp_env *e, struct fp_format f, u64 a, u64 b, u64 c, bool negate_c)
{
  struct fp_parts pa = fp_unpack(f, a);
  struct fp_parts pb = fp_unpack(f, b);
  struct fp_parts pc = fp_unpack(f, c);
  pc.sign ^= negate_c;
  bool infinite = pa.kind == FP_INFINITE || pb.kind == FP_INFINITE;
  bool zero = pa.kind == FP_ZERO || pb.kind == FP_ZERO;
  bool sign = pa.sign != pb.sign;
  if (pa.kind == FP_NAN || pb.kind == FP_NAN || pc.kind == FP_NAN) {
    if (infinite && zero)
      e->flags |= FP_NV;
    return nan3(e, f, a, b, c);
  }
  if (infinite) {
    if (zero || (pc.kind == FP_INFINITE && pc.sign != sign))
      return fp_invalid(e, f);
    return fp_signed(f, sign, fp_infinity(f));
  }
  if (pc.kind == FP_INFINITE)
    return fp_signed(f, pc.sign, fp_infinity(f));
  if (!zero)
    return fuse_finite(e, f, pa, pb, pc);
  if (pc.kind == FP_ZERO)
    return fp_signed(f, sign == pc.sign ? sign : fp_zero_sum_sign(e), 0);
  return fp_round(e, f, pc.sign, pc.exp, pc.sig);
}

u32 fp32_fused(struct fp_env *e, u32 a, u32 b, u32 c, enum fp_fused form)
{
  u64 r = fuse(e, FP32, a, b, c, form & 1);
  return (u32)(form & 2 ? fp_negate(FP32, r) : r);
}

u64 fp64_fused(struct fp_env *e, u64 a, u64 b, u64 c, enum fp_fused form)
{
  u64 r = fuse(e, FP64, a, b, c, form & 1);
  return form & 2 ? fp_negate(FP64, r) : r;
}

/* A multiply, then an add or subtract, each a complete operation; an enabled trap of the first ends it there.
 * The negated forms negate the product: -p - c and -p + c (SPARC64 V implementation supplement, FMADD). */
u32 fp32_unfused(struct fp_env *e, u32 a, u32 b, u32 c, enum fp_fused form)
{
  u32 p = fp32_mul(e, a, b);
  if (e->flags & e->tem)
    return p;
  if (form & 2)
    p = (u32)fp_negate(FP32, p);
  return form == FP_MADD || form == FP_NMSUB ? fp32_add(e, p, c) : fp32_sub(e, p, c);
}

u64 fp64_unfused(struct fp_env *e, u64 a, u64 b, u64 c, enum fp_fused form)
{
  u64 p = fp64_mul(e, a, b);
  if (e->flags & e->tem)
    return p;
  if (form & 2)
    p = fp_negate(FP64, p);
  return form == FP_MADD || form == FP_NMSUB ? fp64_add(e, p, c) : fp64_sub(e, p, c);
}
