/* fpu.h - FP registers as instruction fields name them, and the record of fast FPops. */
#ifndef S4V_STRAND_FPU_H
#define S4V_STRAND_FPU_H
#include "fp/softfp.h"
#include "strand/strand.h"

/* Singles by register number 0..31: the even one is the high half. */
static inline u32 fp_single(const struct strand *s, u32 n) {
  return n & 1 ? (u32)s->f[n >> 1] : (u32)(s->f[n >> 1] >> 32);
}
static inline void fp_write_single(struct strand *s, u32 n, u32 v) {
  u64 *d = &s->f[n >> 1];
  *d = n & 1 ? (*d & 0xffffffff00000000ull) | v : (*d & 0xffffffffu) | (u64)v << 32;
  s->fprs |= FPRS_DL;
}
static inline void fp_write_double(struct strand *s, u32 field, u64 v) {
  u32 n = fp_double_index(field);
  s->f[n] = v;
  s->fprs |= n < 16 ? FPRS_DL : FPRS_DU;
}

/* fp_last_op: what FSR.cexc and ftt still owe to FPops done on the host's FPU. */
enum { FP_LAST_NONE = 0, FP_LAST_CLEAN = ~0u };
typedef void (*redo_fn)(struct fp_env *, u64 a, u64 b);
extern const redo_fn fp_redo[];

#define FSR_FCC_ALL (0x3full << 32 | 3ull << 10)
static inline void fpu_restore_fcc(struct strand *s, u64 fsr) {
  s->fsr = (s->fsr & ~FSR_FCC_ALL) | (fsr & FSR_FCC_ALL);
}

enum { ROUNDING_NOT_OURS = 4 }; /* host_rounding while the strand does not run: the host FPU is not its own */
#define FSR_TEM(fsr) ((u32)((fsr) >> 23) & 31)
#define FSR_RD(fsr) ((u32)((fsr) >> 30) & 3)

#endif
