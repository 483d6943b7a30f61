/* softfp.h - exact IEEE 754 arithmetic with SPARC's rules, on integers only.
 *
 * The oracle and the slow path of the engine: results and flags are bit-exact on any host. SPARC's rules (SPARC V9
 * appendix B, OSA2011 8.4): default NaN is all ones in exponent and fraction with sign 0; a signalling operand
 * wins over a quiet one, rs2 over rs1; tininess is detected before rounding; with UFM set underflow is signalled for
 * every tiny result, else only if it is inexact too.
 */
#ifndef S4V_FP_SOFTFP_H
#define S4V_FP_SOFTFP_H
#include <stdint.h>

enum fp_rounding { FP_RN = 0, FP_RZ = 1, FP_RP = 2, FP_RM = 3 };            /* FSR.RD */
enum fp_flag { FP_NX = 1, FP_DZ = 2, FP_UF = 4, FP_OF = 8, FP_NV = 16 };    /* FSR.cexc */

struct fp_env {
  uint32_t rounding; /* enum fp_rounding */
  uint32_t tem;      /* FSR.TEM, same bit order as cexc */
  uint32_t flags;    /* out: exceptions of this operation, or-ed in */
};
/* Names: fp64_add(env, a, b) and so on; see the rest of this header. */
#endif
