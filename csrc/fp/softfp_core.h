/* softfp_core.h - what every operation shares: unpack, NaN rules, one rounding step. Private to csrc/fp.
 *
 * A finite non-zero value is (-1)^sign * sig * 2^(exp - 63) with bit 63 of sig set. An operation delivers a
 * significand of 64 bits whose lowest bit is sticky ("jammed"): at least ten bits stand below the 53 or 24 that are
 * kept, so the one rounding in fp_round() sees the exact result. Both widths share the code: every function takes
 * the format as a constant and is inlined into its two callers.
 */
#ifndef S4V_FP_SOFTFP_CORE_H
#define S4V_FP_SOFTFP_CORE_H
#include "fp/softfp.h"

#define FP_INLINE static inline __attribute__((always_inline))

struct fp_format {
  int precision; /* significand bits with the hidden one */
  int bias;
  u64 exp_ones; /* biased exponent of infinities and NaNs */
};

#define FP32 ((struct fp_format){.precision = 24, .bias = 127, .exp_ones = 0xff})
#define FP64 ((struct fp_format){.precision = 53, .bias = 1023, .exp_ones = 0x7ff})

enum fp_kind { FP_ZERO, FP_FINITE, FP_INFINITE, FP_NAN };

struct fp_parts {
  enum fp_kind kind;
  bool sign;
  i32 exp;
  u64 sig;
};

FP_INLINE int fp_fraction_bits(struct fp_format f) { return f.precision - 1; }
FP_INLINE u64 fp_sign_bit(struct fp_format f) { return (f.exp_ones + 1) << fp_fraction_bits(f); }
FP_INLINE u64 fp_infinity(struct fp_format f) { return f.exp_ones << fp_fraction_bits(f); }
FP_INLINE u64 fp_quiet_bit(struct fp_format f) { return (u64)1 << (fp_fraction_bits(f) - 1); }
FP_INLINE u64 fp_default_nan(struct fp_format f) { return fp_sign_bit(f) - 1; }
FP_INLINE bool fp_is_nan(struct fp_format f, u64 a) { return (a & (fp_sign_bit(f) - 1)) > fp_infinity(f); }

FP_INLINE bool fp_is_signalling(struct fp_format f, u64 a)
{
  return fp_is_nan(f, a) && !(a & fp_quiet_bit(f));
}

FP_INLINE u64 fp_signed(struct fp_format f, bool sign, u64 magnitude)
{
  return sign ? magnitude | fp_sign_bit(f) : magnitude;
}

/* Shift right; every bit lost is or-ed into the lowest one. */
FP_INLINE u64 fp_jam64(u64 v, u32 count)
{
  if (count == 0)
    return v;
  if (count > 63)
    return v != 0;
  return (v >> count) | ((v << (64 - count)) != 0);
}

FP_INLINE u128 fp_jam128(u128 v, u32 count)
{
  if (count == 0)
    return v;
  if (count > 127)
    return v != 0;
  return (v >> count) | ((v << (128 - count)) != 0);
}

FP_INLINE struct fp_parts fp_unpack(struct fp_format f, u64 a)
{
  u64 fraction = a & (((u64)1 << fp_fraction_bits(f)) - 1);
  u64 biased = (a >> fp_fraction_bits(f)) & f.exp_ones;
  struct fp_parts p = {.kind = FP_FINITE, .sign = (a & fp_sign_bit(f)) != 0, .exp = (i32)biased - f.bias};
  p.sig = (fraction << (64 - f.precision)) | (u64)1 << 63;
  if (UNLIKELY(biased == f.exp_ones)) {
    p.kind = fraction ? FP_NAN : FP_INFINITE;
  } else if (UNLIKELY(biased == 0)) {
    if (fraction == 0) {
      p.kind = FP_ZERO;
    } else {
      int zeros = __builtin_clzll(fraction);
      p.sig = fraction << zeros;
      p.exp = 64 - f.precision + 1 - f.bias - zeros;
    }
  }
  return p;
}

/* What overflow delivers: infinity, or the largest finite number where rounding points the other way. */
FP_INLINE u64 fp_overflow(struct fp_env *e, struct fp_format f, bool sign)
{
  e->flags |= FP_OF | FP_NX;
  bool to_infinity = e->rounding == FP_RN || (e->rounding == FP_RP && !sign) || (e->rounding == FP_RM && sign);
  return fp_signed(f, sign, fp_infinity(f) - !to_infinity);
}

/* The one rounding step: sig has bit 63 set, its lowest bit is sticky. */
FP_INLINE u64 fp_round(struct fp_env *e, struct fp_format f, bool sign, i32 exp, u64 sig)
{
  const int drop = 64 - f.precision;
  const u64 half = (u64)1 << (drop - 1);
  i32 biased = exp + f.bias;
  bool tiny = biased < 1; /* decided before rounding: the exact value is below the smallest normal number */
  if (UNLIKELY(tiny)) {
    sig = fp_jam64(sig, (u32)(1 - biased));
    biased = 1;
  }
  u64 rest = sig & (half * 2 - 1);
  u64 kept = sig >> drop;
  bool up = false;
  if (e->rounding == FP_RN)
    up = rest > half || (rest == half && (kept & 1));
  else if (rest)
    up = e->rounding == (sign ? FP_RM : FP_RP);
  kept += up;
  /* The hidden bit, and a carry out of the fraction, count into the exponent field by plain addition; the exponent
   * of the largest product stays below 2^12, so nothing leaves 64 bits. */
  u64 magnitude = ((u64)(biased - 1) << fp_fraction_bits(f)) + kept;
  if (UNLIKELY(magnitude >= fp_infinity(f)))
    return fp_overflow(e, f, sign);
  if (rest)
    e->flags |= FP_NX;
  if (UNLIKELY(tiny) && (rest || (e->tem & FP_UF)))
    e->flags |= FP_UF;
  return fp_signed(f, sign, magnitude);
}

FP_INLINE u64 fp_invalid(struct fp_env *e, struct fp_format f)
{
  e->flags |= FP_NV;
  return fp_default_nan(f);
}

/* NaN result of one operand; NV if it signals. */
FP_INLINE u64 fp_nan1(struct fp_env *e, struct fp_format f, u64 b)
{
  if (fp_is_signalling(f, b))
    e->flags |= FP_NV;
  return b | fp_quiet_bit(f);
}

/* NaN result of two operands, one of them at least a NaN: a signalling one first, rs2 (b) before rs1 (a). */
FP_INLINE u64 fp_nan2(struct fp_env *e, struct fp_format f, u64 a, u64 b)
{
  if (fp_is_signalling(f, b))
    return fp_nan1(e, f, b);
  if (fp_is_signalling(f, a))
    return fp_nan1(e, f, a);
  return fp_is_nan(f, b) ? b : a;
}

/* Sign change of a finished result. A NaN keeps its sign: it tells where it came from. */
FP_INLINE u64 fp_negate(struct fp_format f, u64 r) { return fp_is_nan(f, r) ? r : r ^ fp_sign_bit(f); }

/* Sign of an exact zero that two non-zero terms of opposite sign add up to. */
FP_INLINE bool fp_zero_sum_sign(struct fp_env *e) { return e->rounding == FP_RM; }
#endif
