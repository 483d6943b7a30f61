/* internal.h - what the files of csrc/strand share with each other and with nobody else. */
#ifndef S4V_STRAND_INTERNAL_H
#define S4V_STRAND_INTERNAL_H
#include "strand/strand.h"

u64 strand_stick_of_tick(const struct strand *, u64 tick);

/* cc.c: condition codes. NZVC of xcc in 7:4, of icc in 3:0. */
u32 cc_compute(u64 a, u64 b, u32 kind);
u32 ccr_addc(u64 a, u64 b, u64 carry);  /* CCR of a + b + carry */
u32 ccr_subc(u64 a, u64 b, u64 borrow); /* CCR of a - b - borrow */
static inline u32 strand_ccr(const struct strand *s) {
  return s->cc_kind == CC_EXPLICIT ? (u32)s->ccr : cc_compute(s->cc_a, s->cc_b, s->cc_kind);
}
static inline void strand_set_ccr(struct strand *s, u32 ccr) {
  s->ccr = ccr;
  s->cc_kind = CC_EXPLICIT;
}
u32 cc_test(u32 nzvc, u32 cond);              /* integer condition on one NZVC nibble */
u32 fcc_test(u32 fcc, u32 cond);              /* FP condition on fcc 0 E, 1 L, 2 G, 3 U */
u32 reg_test(u64 value, u32 rcond);           /* BPr, MOVr, FMOVr; rcond 0 and 4 are reserved */
u32 fsr_fcc(const struct strand *, u32 n);
void fsr_set_fcc(struct strand *, u32 n, u32 v);

/* fpu.c: FSR, rounding, the lazy record of fast FPops. */
struct fp_env;
void fpu_begin(struct strand *, struct fp_env *);
u32 fpu_end(struct strand *, const struct fp_env *);
void fpu_fop(struct strand *);                /* FMOV, FABS, FNEG: cexc and ftt cleared */
u32 fpu_unimplemented(struct strand *);       /* quad on a T1: ftt 3, trap 0x22 */
void fpu_collect(struct strand *);            /* host inexact flag and last fast FPop -> FSR */
void fpu_enter(struct strand *);              /* before running guest code on this host thread */
void fpu_leave(struct strand *);
void fpu_set_host_rounding(struct strand *);
u64 fpu_read_fsr(struct strand *);
void fpu_write_fsr(struct strand *, u64 value, bool extended, bool with_ftt);

/* isa bodies (generated, and special.c, privreg.c, cti.c) */
typedef u32 (*body_fn)(struct strand *, u32 insn);
extern const body_fn isa_body[];

#endif
