/* fpu.c - FSR, rounding, exceptions (SPARC V9 5.1.7, B.5; OSA2011 8).
 *
 * Fast FPops run on the host's FPU. Their only possible exception is inexact: it stays sticky in the host's flags and
 * becomes FSR.aexc when somebody looks; FSR.cexc is the last FPop's, done once more from its recorded operands.
 */
#include "strand/fpu.h"

#include <fenv.h>

#include "strand/internal.h"

#define FSR_CEXC 0x1full
#define FSR_AEXC (0x1full << 5)
#define FSR_FTT (7ull << 14)
/* Writable: RD, TEM, NS, aexc, cexc, fcc0..3. VER, FTT, QNE are not (FTT only through LDXEFSR). */
#define FSR_LOW_WRITABLE ((3ull << 30) | (31ull << 23) | (1ull << 22) | (3ull << 10) | FSR_AEXC | FSR_CEXC)
#define FSR_HIGH_WRITABLE (0x3full << 32)

static u32 effective_rounding(const struct strand *s) {
  return s->gsr >> 27 & 1 ? (u32)(s->gsr >> 25) & 3 : FSR_RD(s->fsr);
}

void fpu_set_host_rounding(struct strand *s) {
  static const int modes[4] = {FE_TONEAREST, FE_TOWARDZERO, FE_UPWARD, FE_DOWNWARD};
  u32 rounding = effective_rounding(s);
  if (rounding == s->host_rounding || s->host_rounding == ROUNDING_NOT_OURS) return;
  fpu_collect(s); /* the last fast FPop was rounded the old way */
  fesetround(modes[rounding]);
  s->host_rounding = rounding;
}

void fpu_enter(struct strand *s) {
  feclearexcept(FE_ALL_EXCEPT);
  fesetround(FE_TONEAREST);
  s->host_rounding = FP_RN;
  s->fp_last_op = FP_LAST_NONE;
  fpu_set_host_rounding(s);
}

void fpu_leave(struct strand *s) {
  fpu_collect(s);
  feclearexcept(FE_ALL_EXCEPT);
  fesetround(FE_TONEAREST);
  s->host_rounding = ROUNDING_NOT_OURS;
}

void fpu_collect(struct strand *s) {
  if (s->host_rounding == ROUNDING_NOT_OURS) return;
  if (fetestexcept(FE_INEXACT)) {
    s->fsr |= (u64)FP_NX << 5;
    feclearexcept(FE_ALL_EXCEPT);
  }
  if (s->fp_last_op == FP_LAST_NONE) return;
  s->fsr &= ~(FSR_FTT | FSR_CEXC);
  if (s->fp_last_op != FP_LAST_CLEAN) {
    struct fp_env e = {.rounding = s->host_rounding, .tem = 0, .flags = 0};
    fp_redo[s->fp_last_op](&e, s->fp_last_a, s->fp_last_b);
    s->fsr |= e.flags & FSR_CEXC;
  }
  s->fp_last_op = FP_LAST_NONE;
}

void fpu_begin(struct strand *s, struct fp_env *e) {
  e->rounding = effective_rounding(s);
  e->tem = FSR_TEM(s->fsr);
  e->flags = 0;
}

u32 fpu_end(struct strand *s, const struct fp_env *e) {
  u32 flags = e->flags, tem = e->tem;
  s->fp_last_op = FP_LAST_NONE;
  s->fsr &= ~(FSR_FTT | FSR_CEXC);
  if (!(flags & tem)) {
    s->fsr |= flags | (u64)flags << 5;
    return 0;
  }
  /* a trap leaves exactly one bit in cexc, aexc as it was (V9 table 5-9) */
  u32 taken = flags & tem;
  u32 one = taken & FP_NV ? FP_NV : taken & FP_DZ ? FP_DZ : taken & FP_OF ? FP_OF : taken & FP_UF ? FP_UF : FP_NX;
  s->fsr |= one | 1ull << 14;
  return TT_FP_EXCEPTION_IEEE_754;
}

void fpu_fop(struct strand *s) {
  s->fp_last_op = FP_LAST_NONE;
  s->fsr &= ~(FSR_FTT | FSR_CEXC);
}

u32 fpu_unimplemented(struct strand *s) {
  fpu_collect(s);
  s->fsr = (s->fsr & ~FSR_FTT) | 3ull << 14;
  return TT_FP_EXCEPTION_OTHER;
}

u64 fpu_read_fsr(struct strand *s) {
  fpu_collect(s);
  return s->fsr; /* VER is 0, as on every UltraSPARC; 7 would say that there is no FPU (V9 5.1.7.4) */
}

void fpu_write_fsr(struct strand *s, u64 value, bool extended, bool with_ftt) {
  fpu_collect(s);
  u64 mask = FSR_LOW_WRITABLE | (extended ? FSR_HIGH_WRITABLE : 0) | (with_ftt ? FSR_FTT : 0);
  s->fsr = (s->fsr & ~mask) | (value & mask);
}
