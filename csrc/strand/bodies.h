/* bodies.h - the words the instruction rows' bodies are written in (csrc/isa/table.py names them all). */
#ifndef S4V_STRAND_BODIES_H
#define S4V_STRAND_BODIES_H
/* Operands in windows that have been spilled are fetched back first, as a RESTORE would. */
#define NEED_WINDOWS(n) \
  do { if (c->canrestore < (n)) return window_trap_type(c, TT_FILL_NORMAL, TT_FILL_OTHER); } while (0)
#include "crypto/crypto.h"
#include "fp/softfp.h"
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/memory.h"
#include "strand/special.h"
#include "strand/window.h"
#include "vis/vis.h"

#define OPERAND2(bits) (insn_i(insn) ? (u64)insn_simm(insn, bits) : reg_get(c, insn_rs2(insn)))
#define FS(field) fp_single(c, field)
#define FD(field) (c->f[fp_double_index(field)])
#define GSR (c->gsr)
#define TRAP(tt) return (tt)
#define SET_CC(a_, b_, kind_) (c->cc_a = (a_), c->cc_b = (b_), c->cc_kind = (kind_))
#define SET_CCR(v) strand_set_ccr(c, (v))
#define ICC_C (strand_ccr(c) & 1)
#define XCC_C (strand_ccr(c) >> 4 & 1)
#define COND_ICC(n) cc_test(strand_ccr(c) & 15, (n))
#define COND_XCC(n) cc_test(strand_ccr(c) >> 4, (n))
#define COND_FCC(fcc, n) fcc_test(fsr_fcc(c, (fcc)), (n))
#define SET_FCC(n, v) fsr_set_fcc(c, (n), (v))
#define ADDR_MASK strand_mask(c)
#define MONT_ACCESS (&(const struct window_access){bodies_window_reg, c, c->canrestore})

static inline u64 *bodies_window_reg(void *ctx, unsigned back, unsigned reg) { return window_reg(ctx, back, reg); }

#endif
