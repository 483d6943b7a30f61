/* softfp_convert.c - conversions between the formats and to and from integers. */
#include "fp/softfp_core.h"

/* A NaN keeps its sign and the leading bits of its payload; a signalling one becomes quiet. */
u64 fp32_to_fp64(struct fp_env *e, u32 b)
{
  struct fp_parts p = fp_unpack(FP32, b);
  if (LIKELY(p.kind == FP_FINITE)) /* exact: even the smallest subnormal is a normal double */
    return fp_signed(FP64, p.sign, ((u64)(p.exp + 1023) << 52) + (p.sig << 1 >> 12));
  if (p.kind == FP_NAN)
    return fp_signed(FP64, p.sign, fp_infinity(FP64) | (fp_nan1(e, FP32, b) & 0x7fffff) << 29);
  return fp_signed(FP64, p.sign, p.kind == FP_INFINITE ? fp_infinity(FP64) : 0);
}

u32 fp64_to_fp32(struct fp_env *e, u64 b)
{
  struct fp_parts p = fp_unpack(FP64, b);
  if (LIKELY(p.kind == FP_FINITE)) /* 53 bits: no bit of the double falls on the sticky place */
    return (u32)fp_round(e, FP32, p.sign, p.exp, p.sig);
  if (p.kind == FP_NAN)
    return (u32)fp_signed(FP32, p.sign, fp_infinity(FP32) | (fp_nan1(e, FP64, b) >> 29 & 0x7fffff));
  return (u32)fp_signed(FP32, p.sign, p.kind == FP_INFINITE ? fp_infinity(FP32) : 0);
}

/* Truncation to a signed integer of `bits` bits. NaNs, infinities and numbers out of range are invalid and give the
 * most positive or, with the sign set, the most negative integer (SPARC V9 appendix B.5). */
FP_INLINE u64 to_integer(struct fp_env *e, struct fp_format f, u64 b, int bits)
{
  struct fp_parts p = fp_unpack(f, b);
  if (p.kind == FP_ZERO)
    return 0;
  const u64 limit = (u64)1 << (bits - 1);
  if (p.kind == FP_FINITE && p.exp < 0) {
    e->flags |= FP_NX;
    return 0;
  }
  if (p.kind == FP_FINITE && p.exp < bits) {
    u64 magnitude = p.sig >> (63 - p.exp);
    if (magnitude < limit + p.sign) {
      if (p.exp < 63 && p.sig << (p.exp + 1))
        e->flags |= FP_NX;
      return p.sign ? (u64)0 - magnitude : magnitude;
    }
  }
  e->flags |= FP_NV;
  return p.sign ? (u64)0 - limit : limit - 1;
}

FP_INLINE u64 from_integer(struct fp_env *e, struct fp_format f, u64 b)
{
  if (b == 0)
    return 0;
  bool sign = b >> 63;
  u64 magnitude = sign ? (u64)0 - b : b;
  int zeros = __builtin_clzll(magnitude);
  return fp_round(e, f, sign, 63 - zeros, magnitude << zeros);
}

u32 fp32_to_i32(struct fp_env *e, u32 b) { return (u32)to_integer(e, FP32, b, 32); }
u64 fp32_to_i64(struct fp_env *e, u32 b) { return to_integer(e, FP32, b, 64); }
u32 fp64_to_i32(struct fp_env *e, u64 b) { return (u32)to_integer(e, FP64, b, 32); }
u64 fp64_to_i64(struct fp_env *e, u64 b) { return to_integer(e, FP64, b, 64); }
u32 fp32_from_i32(struct fp_env *e, u32 b) { return (u32)from_integer(e, FP32, (u64)(i64)(i32)b); }
u32 fp32_from_i64(struct fp_env *e, u64 b) { return (u32)from_integer(e, FP32, b); }
u64 fp64_from_i64(struct fp_env *e, u64 b) { return from_integer(e, FP64, b); }

u64 fp64_from_i32(u32 b)
{
  struct fp_env exact = {0};
  return from_integer(&exact, FP64, (u64)(i64)(i32)b);
}
