/* softfp.h - exact IEEE 754 arithmetic with SPARC's rules, on integers only.
 *
 * The oracle and the slow path of the engine: results and flags are bit-exact on any host. SPARC's rules (SPARC V9
 * appendix B, OSA2011 8.4): default NaN is all ones in exponent and fraction with sign 0; a signalling operand
 * wins over a quiet one, rs2 over rs1; tininess is detected before rounding; with UFM set underflow is signalled for
 * every tiny result, else only if it is inexact too.
 *
 * Values are register contents: u32 for single, u64 for double. The result is always the untrapped one; whether a
 * trap is taken (flags & tem) is the caller's business, as is clearing `flags` before the operation.
 */
#ifndef S4V_FP_SOFTFP_H
#define S4V_FP_SOFTFP_H
#include "util/types.h"

enum fp_rounding { FP_RN = 0, FP_RZ = 1, FP_RP = 2, FP_RM = 3 };            /* FSR.RD */
enum fp_flag { FP_NX = 1, FP_DZ = 2, FP_UF = 4, FP_OF = 8, FP_NV = 16 };    /* FSR.cexc */
enum fp_relation { FP_EQUAL = 0, FP_LESS = 1, FP_GREATER = 2, FP_UNORDERED = 3 }; /* FSR.fcc */
enum fp_fused { FP_MADD = 0, FP_MSUB = 1, FP_NMADD = 2, FP_NMSUB = 3 };     /* bit 0 negates c, bit 1 the result */

struct fp_env {
  uint32_t rounding; /* enum fp_rounding */
  uint32_t tem;      /* FSR.TEM, same bit order as cexc */
  uint32_t flags;    /* out: exceptions of this operation, or-ed in */
};

u32 fp32_add(struct fp_env *e, u32 a, u32 b);
u32 fp32_sub(struct fp_env *e, u32 a, u32 b);
u32 fp32_mul(struct fp_env *e, u32 a, u32 b);
u32 fp32_div(struct fp_env *e, u32 a, u32 b);
u32 fp32_sqrt(struct fp_env *e, u32 b);
u64 fp64_add(struct fp_env *e, u64 a, u64 b);
u64 fp64_sub(struct fp_env *e, u64 a, u64 b);
u64 fp64_mul(struct fp_env *e, u64 a, u64 b);
u64 fp64_div(struct fp_env *e, u64 a, u64 b);
u64 fp64_sqrt(struct fp_env *e, u64 b);
u64 fp32_mul_fp64(struct fp_env *e, u32 a, u32 b); /* fsmuld: the product is exact */

/* a * b + c with one rounding (fused) or with the product rounded first (unfused: SPARC64 X), in the four signs. */
u32 fp32_fused(struct fp_env *e, u32 a, u32 b, u32 c, enum fp_fused form);
u64 fp64_fused(struct fp_env *e, u64 a, u64 b, u64 c, enum fp_fused form);
u32 fp32_unfused(struct fp_env *e, u32 a, u32 b, u32 c, enum fp_fused form);
u64 fp64_unfused(struct fp_env *e, u64 a, u64 b, u64 c, enum fp_fused form);

/* HPC: (a + b) / 2 and (a - b) / 2 rounded once, with no intermediate overflow; and the negated forms. */
u32 fp32_half_add(struct fp_env *e, u32 a, u32 b);
u32 fp32_half_sub(struct fp_env *e, u32 a, u32 b);
u64 fp64_half_add(struct fp_env *e, u64 a, u64 b);
u64 fp64_half_sub(struct fp_env *e, u64 a, u64 b);
u32 fp32_neg_add(struct fp_env *e, u32 a, u32 b);
u64 fp64_neg_add(struct fp_env *e, u64 a, u64 b);
u32 fp32_neg_mul(struct fp_env *e, u32 a, u32 b);
u64 fp64_neg_mul(struct fp_env *e, u64 a, u64 b);
u64 fp32_neg_mul_fp64(struct fp_env *e, u32 a, u32 b); /* fnsmuld */
u32 fp32_neg_half_add(struct fp_env *e, u32 a, u32 b);
u64 fp64_neg_half_add(struct fp_env *e, u64 a, u64 b);

/* Conversions. To integers: truncation; NaN and out of range are invalid and give the limits of the type. */
u64 fp32_to_fp64(struct fp_env *e, u32 b);
u32 fp64_to_fp32(struct fp_env *e, u64 b);
u32 fp32_to_i32(struct fp_env *e, u32 b);
u64 fp32_to_i64(struct fp_env *e, u32 b);
u32 fp64_to_i32(struct fp_env *e, u64 b);
u64 fp64_to_i64(struct fp_env *e, u64 b);
u32 fp32_from_i32(struct fp_env *e, u32 b);
u32 fp32_from_i64(struct fp_env *e, u64 b);
u64 fp64_from_i32(u32 b); /* always exact */
u64 fp64_from_i64(struct fp_env *e, u64 b);

/* Compares give enum fp_relation of a to b. fcmp: invalid for a signalling NaN; fcmpe: invalid for every NaN. */
u32 fp32_compare(struct fp_env *e, u32 a, u32 b);
u32 fp64_compare(struct fp_env *e, u64 a, u64 b);
u32 fp32_compare_signalling(struct fp_env *e, u32 a, u32 b);
u32 fp64_compare_signalling(struct fp_env *e, u64 a, u64 b);

/* flcmp: 1 where a < b or (a, b) = (-0, +0); 0 otherwise; 3 where b is a NaN; 2 where only a is. No exceptions. */
u32 fp32_compare_lexicographic(u32 a, u32 b);
u32 fp64_compare_lexicographic(u64 a, u64 b);
#endif
