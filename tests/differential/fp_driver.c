/* fp_driver.c - array entry points to csrc/fp for the tests: one call runs one operation over many operands. */
#include <fenv.h>

#include "fp/hostfp.h"
#include "fp/softfp.h"

/* clang-format off */
#define OPERATIONS(X) \
  X(fp32_add, fp32_add(&e, A32, B32)) X(fp64_add, fp64_add(&e, a, b)) \
  X(fp32_sub, fp32_sub(&e, A32, B32)) X(fp64_sub, fp64_sub(&e, a, b)) \
  X(fp32_mul, fp32_mul(&e, A32, B32)) X(fp64_mul, fp64_mul(&e, a, b)) \
  X(fp32_div, fp32_div(&e, A32, B32)) X(fp64_div, fp64_div(&e, a, b)) \
  X(fp32_sqrt, fp32_sqrt(&e, B32)) X(fp64_sqrt, fp64_sqrt(&e, b)) \
  X(fp32_mul_fp64, fp32_mul_fp64(&e, A32, B32)) X(fp32_neg_mul_fp64, fp32_neg_mul_fp64(&e, A32, B32)) \
  X(fp32_half_add, fp32_half_add(&e, A32, B32)) X(fp64_half_add, fp64_half_add(&e, a, b)) \
  X(fp32_half_sub, fp32_half_sub(&e, A32, B32)) X(fp64_half_sub, fp64_half_sub(&e, a, b)) \
  X(fp32_neg_add, fp32_neg_add(&e, A32, B32)) X(fp64_neg_add, fp64_neg_add(&e, a, b)) \
  X(fp32_neg_mul, fp32_neg_mul(&e, A32, B32)) X(fp64_neg_mul, fp64_neg_mul(&e, a, b)) \
  X(fp32_neg_half_add, fp32_neg_half_add(&e, A32, B32)) X(fp64_neg_half_add, fp64_neg_half_add(&e, a, b)) \
  X(fp32_madd, fp32_fused(&e, A32, B32, C32, FP_MADD)) X(fp64_madd, fp64_fused(&e, a, b, c, FP_MADD)) \
  X(fp32_msub, fp32_fused(&e, A32, B32, C32, FP_MSUB)) X(fp64_msub, fp64_fused(&e, a, b, c, FP_MSUB)) \
  X(fp32_nmadd, fp32_fused(&e, A32, B32, C32, FP_NMADD)) X(fp64_nmadd, fp64_fused(&e, a, b, c, FP_NMADD)) \
  X(fp32_nmsub, fp32_fused(&e, A32, B32, C32, FP_NMSUB)) X(fp64_nmsub, fp64_fused(&e, a, b, c, FP_NMSUB)) \
  X(fp32_umadd, fp32_unfused(&e, A32, B32, C32, FP_MADD)) X(fp64_umadd, fp64_unfused(&e, a, b, c, FP_MADD)) \
  X(fp32_umsub, fp32_unfused(&e, A32, B32, C32, FP_MSUB)) X(fp64_umsub, fp64_unfused(&e, a, b, c, FP_MSUB)) \
  X(fp32_numadd, fp32_unfused(&e, A32, B32, C32, FP_NMADD)) X(fp64_numadd, fp64_unfused(&e, a, b, c, FP_NMADD)) \
  X(fp32_numsub, fp32_unfused(&e, A32, B32, C32, FP_NMSUB)) X(fp64_numsub, fp64_unfused(&e, a, b, c, FP_NMSUB)) \
  X(fp32_to_fp64, fp32_to_fp64(&e, B32)) X(fp64_to_fp32, fp64_to_fp32(&e, b)) \
  X(fp32_to_i32, fp32_to_i32(&e, B32)) X(fp64_to_i32, fp64_to_i32(&e, b)) \
  X(fp32_to_i64, fp32_to_i64(&e, B32)) X(fp64_to_i64, fp64_to_i64(&e, b)) \
  X(fp32_from_i32, fp32_from_i32(&e, B32)) X(fp64_from_i32, fp64_from_i32(B32)) \
  X(fp32_from_i64, fp32_from_i64(&e, b)) X(fp64_from_i64, fp64_from_i64(&e, b)) \
  X(fp32_compare, fp32_compare(&e, A32, B32)) X(fp64_compare, fp64_compare(&e, a, b)) \
  X(fp32_compare_signalling, fp32_compare_signalling(&e, A32, B32)) \
  X(fp64_compare_signalling, fp64_compare_signalling(&e, a, b)) \
  X(fp32_compare_lexicographic, fp32_compare_lexicographic(A32, B32)) \
  X(fp64_compare_lexicographic, fp64_compare_lexicographic(a, b))

/* Operations of hostfp.h: name, whether the fast result stands (into h32 or h64), the host's and the exact result. */
#define FAST(X) \
  X(fp32_add, fp32_fast_add(A32, B32, &h32), h32) X(fp64_add, fp64_fast_add(a, b, &h64), h64) \
  X(fp32_sub, fp32_fast_sub(A32, B32, &h32), h32) X(fp64_sub, fp64_fast_sub(a, b, &h64), h64) \
  X(fp32_mul, fp32_fast_mul(A32, B32, &h32), h32) X(fp64_mul, fp64_fast_mul(a, b, &h64), h64) \
  X(fp32_div, fp32_fast_div(A32, B32, &h32), h32) X(fp64_div, fp64_fast_div(a, b, &h64), h64) \
  X(fp32_sqrt, fp32_fast_sqrt(B32, &h32), h32) X(fp64_sqrt, fp64_fast_sqrt(b, &h64), h64) \
  X(fp32_mul_fp64, fp32_fast_mul_fp64(A32, B32, &h64), h64) \
  X(fp32_madd, fp32_fast_fma(A32, B32, C32, &h32), h32) X(fp64_madd, fp64_fast_fma(a, b, c, &h64), h64) \
  X(fp32_to_fp64, fp32_fast_to_fp64(B32, &h64), h64) X(fp64_to_fp32, fp64_fast_to_fp32(b, &h32), h32) \
  X(fp32_to_i32, fp32_fast_to_i32(B32, &h32), h32) X(fp64_to_i32, fp64_fast_to_i32(b, &h32), h32) \
  X(fp32_to_i64, fp32_fast_to_i64(B32, &h64), h64) X(fp64_to_i64, fp64_fast_to_i64(b, &h64), h64) \
  X(fp32_from_i32, (h32 = fp32_fast_from_i32(B32), true), h32) \
  X(fp64_from_i32, (h64 = fp64_fast_from_i32(B32), true), h64) \
  X(fp32_from_i64, (h32 = fp32_fast_from_i64(b), true), h32) \
  X(fp64_from_i64, (h64 = fp64_fast_from_i64(b), true), h64) \
  X(fp32_compare, fp32_fast_compare(A32, B32, &h32), h32) X(fp64_compare, fp64_fast_compare(a, b, &h32), h32)
/* clang-format on */

#define A32 ((u32)a)
#define B32 ((u32)b)
#define C32 ((u32)c)

#define ENUM(name, expression) OP_##name,
enum { OPERATIONS(ENUM) OP_COUNT };
#define NAME(name, expression) #name,
static const char *const names[] = {OPERATIONS(NAME)};

const char *fp_operation_name(u32 op);
void fp_run(u32 op, size_t n, const u64 *as, const u64 *bs, const u64 *cs, const u32 *rounding, const u32 *tem,
            u64 *results, u32 *flags);
size_t fp_check_host(u32 op, size_t n, u64 seed, u32 rounding, u64 *first, size_t *fast);

const char *fp_operation_name(u32 op) { return op < OP_COUNT ? names[op] : NULL; }

static inline u64 run_one(struct fp_env *env, u32 op, u64 a, u64 b, u64 c)
{
  struct fp_env e = *env;
  u64 r = 0;
#define RUN(name, expression) case OP_##name: r = expression; break;
  switch (op) {
    OPERATIONS(RUN)
  default: break;
  }
  *env = e;
  return r;
}

/* results[i] and flags[i] of operation `op` on as[i], bs[i], cs[i] under rounding[i] and tem[i]. */
void fp_run(u32 op, size_t n, const u64 *as, const u64 *bs, const u64 *cs, const u32 *rounding, const u32 *tem,
            u64 *results, u32 *flags)
{
  for (size_t i = 0; i < n; i++) {
    struct fp_env e = {.rounding = rounding[i], .tem = tem[i]};
    results[i] = run_one(&e, op, as[i], bs[i], cs[i]);
    flags[i] = e.flags;
  }
}

static bool host_one(u32 op, u64 a, u64 b, u64 c, u64 *r)
{
  u32 h32 = 0;
  u64 h64 = 0;
  bool valid = false;
#define HOST(name, expression, value) case OP_##name: valid = expression; *r = value; break;
  switch (op) {
    FAST(HOST)
  default: break;
  }
  return valid;
}

static u64 next_random(u64 *state) /* splitmix64 */
{
  u64 z = *state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

/* Random bits in which, more often than by chance, exponents meet, lie at the ends, or fractions have few bits. */
static u64 next_operand(u64 *state, int fraction_bits, u64 exponents, u64 near)
{
  u64 bits = next_random(state);
  u64 how = next_random(state);
  u64 fraction = bits & (((u64)1 << fraction_bits) - 1);
  u64 exponent = bits >> 12 & exponents;
  switch (how & 7) {
  case 0: fraction = (u64)1 << (how >> 8) % (u64)fraction_bits; break;
  case 1: fraction = ((u64)1 << fraction_bits) - 1 - (how >> 8 & 3); break;
  case 2: fraction &= ~(u64)0 << (how >> 8) % (u64)fraction_bits; break;
  default: break;
  }
  if ((how >> 3 & 3) == 0)
    exponent = (near + (how >> 16 & 7) - 4) & exponents;
  if ((how >> 5 & 15) == 0)
    exponent = how >> 20 & 1 ? exponents - (how >> 21 & 3) : how >> 21 & 3;
  return ((how >> 40 & 1) << 63 >> (52 - fraction_bits == 0 ? 0 : 32)) | exponent << fraction_bits | fraction;
}

/* The host's result where hostfp.h lets it stand must be softfp's, with inexact exactly when softfp says so; where
 * it does not stand, the host must not have raised an inexact that softfp does not. `first` gets the operands,
 * both results and both flags of the first difference; `fast` the number of cases the fast path took. */
size_t fp_check_host(u32 op, size_t n, u64 seed, u32 rounding, u64 *first, size_t *fast)
{
  static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_UPWARD, FE_DOWNWARD};
  bool single = names[op][2] == '3';
  size_t bad = 0;
  int saved = fegetround();
  *fast = 0;
  fesetround(modes[rounding]);
  for (size_t i = 0; i < n; i++) {
    u64 v[3];
    u64 near = next_random(&seed);
    for (int k = 0; k < 3; k++)
      v[k] = single ? next_operand(&seed, 23, 0xff, near) : next_operand(&seed, 52, 0x7ff, near);
    if (op == OP_fp32_from_i32 || op == OP_fp32_from_i64 || op == OP_fp64_from_i64 || op == OP_fp64_from_i32)
      v[1] = (u64)((i64)next_random(&seed) >> (near >> 8 & 63)) ^ (near & 3);
    u64 host = 0;
    feclearexcept(FE_ALL_EXCEPT);
    bool valid = host_one(op, v[0], v[1], v[2], &host);
    bool host_inexact = fetestexcept(FE_INEXACT);
    struct fp_env e = {.rounding = rounding};
    u64 exact = run_one(&e, op, v[0], v[1], v[2]);
    *fast += valid;
    bool good = valid ? host == exact && host_inexact == (e.flags == FP_NX) && !(e.flags & ~(u32)FP_NX)
                      : !host_inexact || (e.flags & FP_NX);
    if (!good && bad++ == 0) {
      u64 report[] = {v[0], v[1], v[2], host, exact, host_inexact, e.flags, valid};
      memcpy(first, report, sizeof report);
    }
  }
  fesetround(saved);
  return bad;
}
