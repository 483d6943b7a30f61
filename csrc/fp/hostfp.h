/* hostfp.h - arithmetic on the host's FPU wherever its result and flags must be SPARC's.
 *
 * Each helper computes with the host's hardware and returns true when the result may be used as it is. False means
 * that a NaN, an infinity, overflow, or a result near or below the smallest normal number is involved, where
 * SPARC's rules differ from hosts' (NaN choice, tininess before rounding): the caller repeats the operation with
 * softfp.
 *
 * Flags: after a true result the host can have raised inexact only, and rightly. After a false one the host may
 * hold other flags too, but it raised inexact only if softfp raises it for the same operands. So sticky
 * FE_INEXACT can be read at leisure, whatever mix of paths was taken; every other host flag is to be ignored.
 *
 * Wanted from the caller: FSR.TEM = 0 (with traps on, softfp alone knows the order of exceptions), the host's rounding
 * direction equal to FSR.RD, no flush-to-zero, and a compiler that neither contracts a * b + c
 * (-ffp-contract=off, implied by -std=c11 with gcc) nor assumes round-to-nearest (-frounding-math).
 */
#ifndef S4V_FP_HOSTFP_H
#define S4V_FP_HOSTFP_H
#include <float.h>
#include <math.h>
#include <string.h>

#include "util/types.h"

_Static_assert(FLT_EVAL_METHOD == 0, "hostfp.h needs float and double arithmetic in their own precision");

static inline double fp64_host(u64 a) { double d; memcpy(&d, &a, sizeof d); return d; }
static inline float fp32_host(u32 a) { float f; memcpy(&f, &a, sizeof f); return f; }
static inline u64 fp64_bits(double d) { u64 a; memcpy(&a, &d, sizeof a); return a; }
static inline u32 fp32_bits(float f) { u32 a; memcpy(&a, &f, sizeof a); return a; }

/* Biased exponent 2..max-2: not tiny before rounding whatever the rounding was, and not the largest binade, where
 * a directed rounding hides an overflow. */
static inline bool fp64_is_safe(u64 r) { return ((r >> 52 & 0x7ff) - 2) <= 0x7fd - 2; }
static inline bool fp32_is_safe(u32 r) { return ((r >> 23 & 0xff) - 2) <= 0xfd - 2; }

/* A sum below the largest binade: below the smallest normal number sums are exact, and so is every zero. */
static inline bool fp64_is_safe_sum(u64 r) { return (r >> 52 & 0x7ff) <= 0x7fd; }
static inline bool fp32_is_safe_sum(u32 r) { return (r >> 23 & 0xff) <= 0xfd; }

static inline bool fp64_is_zero(u64 a) { return a << 1 == 0; }
static inline bool fp32_is_zero(u32 a) { return (a & 0x7fffffff) == 0; }

static inline bool fp64_fast_add(u64 a, u64 b, u64 *r)
{
  *r = fp64_bits(fp64_host(a) + fp64_host(b));
  return fp64_is_safe_sum(*r);
}

static inline bool fp32_fast_add(u32 a, u32 b, u32 *r)
{
  *r = fp32_bits(fp32_host(a) + fp32_host(b));
  return fp32_is_safe_sum(*r);
}

static inline bool fp64_fast_sub(u64 a, u64 b, u64 *r)
{
  *r = fp64_bits(fp64_host(a) - fp64_host(b));
  return fp64_is_safe_sum(*r);
}

static inline bool fp32_fast_sub(u32 a, u32 b, u32 *r)
{
  *r = fp32_bits(fp32_host(a) - fp32_host(b));
  return fp32_is_safe_sum(*r);
}

/* A zero product is exact when a factor is zero (the other is finite, else the product were a NaN). */
static inline bool fp64_fast_mul(u64 a, u64 b, u64 *r)
{
  *r = fp64_bits(fp64_host(a) * fp64_host(b));
  return LIKELY(fp64_is_safe(*r)) || (fp64_is_zero(*r) && (fp64_is_zero(a) || fp64_is_zero(b)));
}

static inline bool fp32_fast_mul(u32 a, u32 b, u32 *r)
{
  *r = fp32_bits(fp32_host(a) * fp32_host(b));
  return LIKELY(fp32_is_safe(*r)) || (fp32_is_zero(*r) && (fp32_is_zero(a) || fp32_is_zero(b)));
}

/* fsmuld: exact, and normal even for two subnormals; only NaNs and infinities go the slow way. */
static inline bool fp32_fast_mul_fp64(u32 a, u32 b, u64 *r)
{
  *r = fp64_bits((double)fp32_host(a) * (double)fp32_host(b));
  return (*r >> 52 & 0x7ff) != 0x7ff;
}

static inline bool fp64_fast_div(u64 a, u64 b, u64 *r)
{
  *r = fp64_bits(fp64_host(a) / fp64_host(b));
  return LIKELY(fp64_is_safe(*r)) || (fp64_is_zero(*r) && fp64_is_zero(a));
}

static inline bool fp32_fast_div(u32 a, u32 b, u32 *r)
{
  *r = fp32_bits(fp32_host(a) / fp32_host(b));
  return LIKELY(fp32_is_safe(*r)) || (fp32_is_zero(*r) && fp32_is_zero(a));
}

/* A root is never tiny; a zero root has a zero operand. */
static inline bool fp64_fast_sqrt(u64 b, u64 *r)
{
  if (UNLIKELY((i64)b < 0)) /* negative, -0 and NaN: keep libm's error handling out of the way */
    return false;
  *r = fp64_bits(__builtin_sqrt(fp64_host(b)));
  return (*r >> 52 & 0x7ff) != 0x7ff;
}

static inline bool fp32_fast_sqrt(u32 b, u32 *r)
{
  if (UNLIKELY((i32)b < 0))
    return false;
  *r = fp32_bits(__builtin_sqrtf(fp32_host(b)));
  return (*r >> 23 & 0xff) != 0xff;
}

/* a * b + c with one rounding; pass c or the result with the sign changed for the other three forms. */
static inline bool fp64_fast_fma(u64 a, u64 b, u64 c, u64 *r)
{
  *r = fp64_bits(__builtin_fma(fp64_host(a), fp64_host(b), fp64_host(c)));
  return fp64_is_safe(*r);
}

static inline bool fp32_fast_fma(u32 a, u32 b, u32 c, u32 *r)
{
  *r = fp32_bits(__builtin_fmaf(fp32_host(a), fp32_host(b), fp32_host(c)));
  return fp32_is_safe(*r);
}

static inline bool fp32_fast_to_fp64(u32 b, u64 *r)
{
  *r = fp64_bits((double)fp32_host(b));
  return (b >> 23 & 0xff) != 0xff;
}

static inline bool fp64_fast_to_fp32(u64 b, u32 *r)
{
  *r = fp32_bits((float)fp64_host(b));
  return LIKELY(fp32_is_safe(*r)) || fp64_is_zero(b);
}

/* Integers to floating point: always right, at most inexact. */
static inline u64 fp64_fast_from_i32(u32 b) { return fp64_bits((double)(i32)b); }
static inline u64 fp64_fast_from_i64(u64 b) { return fp64_bits((double)(i64)b); }
static inline u32 fp32_fast_from_i32(u32 b) { return fp32_bits((float)(i32)b); }
static inline u32 fp32_fast_from_i64(u64 b) { return fp32_bits((float)(i64)b); }

/* Truncations, where the magnitude is below the type's limit for certain. */
static inline bool fp64_fast_to_i64(u64 b, u64 *r)
{
  if (UNLIKELY((b >> 52 & 0x7ff) >= 1023 + 63))
    return false;
  *r = (u64)(i64)fp64_host(b);
  return true;
}

static inline bool fp64_fast_to_i32(u64 b, u32 *r)
{
  if (UNLIKELY((b >> 52 & 0x7ff) >= 1023 + 31))
    return false;
  *r = (u32)(i32)fp64_host(b);
  return true;
}

static inline bool fp32_fast_to_i64(u32 b, u64 *r)
{
  if (UNLIKELY((b >> 23 & 0xff) >= 127 + 63))
    return false;
  *r = (u64)(i64)fp32_host(b);
  return true;
}

static inline bool fp32_fast_to_i32(u32 b, u32 *r)
{
  if (UNLIKELY((b >> 23 & 0xff) >= 127 + 31))
    return false;
  *r = (u32)(i32)fp32_host(b);
  return true;
}

/* Compares without a NaN: enum fp_relation; neither kind of compare raises anything then. */
static inline bool fp64_fast_compare(u64 a, u64 b, u32 *r)
{
  double x = fp64_host(a);
  double y = fp64_host(b);
  if (UNLIKELY(__builtin_isunordered(x, y)))
    return false;
  *r = __builtin_isless(x, y) ? 1 : __builtin_isgreater(x, y) ? 2 : 0;
  return true;
}

static inline bool fp32_fast_compare(u32 a, u32 b, u32 *r)
{
  float x = fp32_host(a);
  float y = fp32_host(b);
  if (UNLIKELY(__builtin_isunordered(x, y)))
    return false;
  *r = __builtin_isless(x, y) ? 1 : __builtin_isgreater(x, y) ? 2 : 0;
  return true;
}
#endif
