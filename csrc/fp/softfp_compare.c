/* softfp_compare.c - the three compares. */
#include "fp/softfp_core.h"

/* Sign and magnitude as a two's complement integer: ordered like the numbers, both zeros equal. */
FP_INLINE i64 as_ordered(struct fp_format f, u64 a)
{
  i64 magnitude = (i64)(a & (fp_sign_bit(f) - 1));
  return a & fp_sign_bit(f) ? -magnitude : magnitude;
}

FP_INLINE u32 compare(struct fp_env *e, struct fp_format f, u64 a, u64 b, bool signal_quiet)
{
  if (UNLIKELY(fp_is_nan(f, a) || fp_is_nan(f, b))) {
    if (signal_quiet || fp_is_signalling(f, a) || fp_is_signalling(f, b))
      e->flags |= FP_NV;
    return FP_UNORDERED;
  }
  i64 x = as_ordered(f, a);
  i64 y = as_ordered(f, b);
  return x == y ? FP_EQUAL : x < y ? FP_LESS : FP_GREATER;
}

FP_INLINE u32 compare_lexicographic(struct fp_format f, u64 a, u64 b)
{
  if (fp_is_nan(f, b))
    return 3;
  if (fp_is_nan(f, a))
    return 2;
  i64 x = as_ordered(f, a);
  i64 y = as_ordered(f, b);
  if (x == 0 && y == 0)
    return (a & fp_sign_bit(f)) && !(b & fp_sign_bit(f));
  return x < y;
}

u32 fp32_compare(struct fp_env *e, u32 a, u32 b) { return compare(e, FP32, a, b, false); }
u32 fp64_compare(struct fp_env *e, u64 a, u64 b) { return compare(e, FP64, a, b, false); }
u32 fp32_compare_signalling(struct fp_env *e, u32 a, u32 b) { return compare(e, FP32, a, b, true); }
u32 fp64_compare_signalling(struct fp_env *e, u64 a, u64 b) { return compare(e, FP64, a, b, true); }
u32 fp32_compare_lexicographic(u32 a, u32 b) { return compare_lexicographic(FP32, a, b); }
u32 fp64_compare_lexicographic(u64 a, u64 b) { return compare_lexicographic(FP64, a, b); }
