/* special.c - windows, barriers, and the state registers of RDasr/WRasr and RDPR/WRPR (UA2005, chapter 5). */
#include "strand/special.h"

#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/mmu.h"
#include "strand/share.h"
#include "strand/window.h"

u32 special_flushw(struct strand *s, u32 insn) { (void)insn; return window_flush(s); }
u32 special_illtrap(struct strand *s, u32 insn) { (void)s; (void)insn; return TT_ILLEGAL_INSTRUCTION; }
u32 special_done(struct strand *s, u32 insn) { (void)insn; return strand_done(s, false); }
u32 special_retry(struct strand *s, u32 insn) { (void)insn; return strand_done(s, true); }

u32 special_saved(struct strand *s, u32 insn) {
  (void)insn;
  s->cansave = (u8)((s->cansave + 1u) & 7u);
  if (s->otherwin == 0)
    s->canrestore = (u8)((s->canrestore - 1u) & 7u);
  else
    s->otherwin--;
  return BODY_OK;
}

u32 special_restored(struct strand *s, u32 insn) {
  (void)insn;
  s->canrestore = (u8)((s->canrestore + 1u) & 7u);
  if (s->otherwin == 0)
    s->cansave = (u8)((s->cansave - 1u) & 7u);
  else
    s->otherwin--;
  if (s->cleanwin < NWINDOWS - 1) s->cleanwin++;
  return BODY_OK;
}

u32 special_allclean(struct strand *s, u32 insn) { (void)insn; s->cleanwin = NWINDOWS - 1; return BODY_OK; }

u32 special_otherw(struct strand *s, u32 insn) {
  (void)insn;
  s->otherwin = s->canrestore;
  s->canrestore = 0;
  return BODY_OK;
}

u32 special_normalw(struct strand *s, u32 insn) {
  (void)insn;
  s->canrestore = s->otherwin;
  s->otherwin = 0;
  return BODY_OK;
}

u32 special_invalw(struct strand *s, u32 insn) {
  (void)insn;
  s->cansave = NWINDOWS - 2;
  s->canrestore = s->otherwin = 0;
  return BODY_OK;
}

u32 special_membar(struct strand *s, u32 insn) {
  (void)s;
  (void)insn;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return BODY_OK;
}

/* Stores to decoded code are seen at the store, whichever strand decoded it, so FLUSH only ends the block it stands in. */
u32 special_flush(struct strand *s, u32 insn) { (void)s; (void)insn; return BODY_NEXT; }

static u64 tick_now(const struct strand *s) {
  return s->env->tick_now((struct strand *)(uintptr_t)s, strand_slice_done(s)) & ~CMPR_DISABLED;
}

u64 special_tick(const struct strand *s) { return tick_now(s) | s->tick_npt << 63; }
u64 special_stick(const struct strand *s) {
  return (strand_stick_of_tick(s, tick_now(s)) & ~CMPR_DISABLED) | s->stick_npt << 63;
}

/* TICK and STICK under NPT, PIC under PCR.PRIV. */
static u32 privileged_action(struct strand *s) {
  return mmu_fault(s, TT_PRIVILEGED_ACTION, 0, 0, FAULT_PRIVILEGED_ACTION);
}

static u32 read_asr(struct strand *s, u32 n, u64 *v) {
  switch (n) {
  case ASR_Y: *v = s->y; return 0;
  case ASR_CCR: *v = strand_ccr(s); return 0;
  case ASR_ASI: *v = s->asi; return 0;
  case ASR_TICK:
    if (s->tick_npt && !strand_priv(s)) return privileged_action(s);
    *v = special_tick(s);
    return 0;
  case ASR_PC: *v = s->pc & strand_mask(s); return 0;
  case ASR_FPRS: *v = s->fprs; return 0;
  case ASR_MCDPER: *v = s->mcdper; return 0;
  case ASR_PCR: *v = s->pcr; return 0;
  case ASR_PIC:
    if (!strand_priv(s) && (s->pcr & 1)) return privileged_action(s); /* PCR.PRIV */
    *v = s->pic[0];
    return 0;
  case ASR_GSR: *v = s->gsr; return 0;
  case ASR_SOFTINT: *v = s->softint; return 0;
  case ASR_TICK_CMPR: *v = s->tick_cmpr; return 0;
  case ASR_STICK:
    if (s->stick_npt && !strand_priv(s)) return privileged_action(s);
    *v = special_stick(s);
    return 0;
  case ASR_STICK_CMPR: *v = s->stick_cmpr; return 0;
  case ASR_CFR: *v = s->env->cfr; return s->env->cfr_present ? 0 : TT_ILLEGAL_INSTRUCTION;
  default: return TT_ILLEGAL_INSTRUCTION;
  }
}

u32 special_rd(struct strand *s, u32 insn) {
  u64 v = 0;
  u32 tt = read_asr(s, insn_rs1(insn), &v);
  if (!tt) reg_set(s, insn_rd(insn), v);
  return tt;
}

static u64 wr_value(const struct strand *s, u32 insn) {
  return reg_get(s, insn_rs1(insn)) ^ (insn_i(insn) ? (u64)insn_simm(insn, 13) : reg_get(s, insn_rs2(insn)));
}

static u32 softint_changed(struct strand *s) {
  strand_notice(s);
  return BODY_NEXT;
}

u32 special_wr(struct strand *s, u32 insn) {
  u64 v = wr_value(s, insn);
  switch (insn_rd(insn)) {
  case ASR_Y: s->y = (u32)v; return BODY_OK;
  case ASR_CCR: strand_set_ccr(s, (u32)v & 0xff); return BODY_OK;
  case ASR_ASI: s->asi = (u8)v; return BODY_OK;
  case ASR_FPRS:
    s->fprs = v & 7;
    strand_mode_changed(s);
    return BODY_NEXT;
  case ASR_MCDPER: s->mcdper = v; return BODY_OK;
  case ASR_PCR: s->pcr = v; return BODY_OK;
  case ASR_PIC:
    if (!strand_priv(s) && (s->pcr & 1)) return privileged_action(s);
    s->pic[0] = v;
    return BODY_OK;
  case ASR_GSR:
    s->gsr = v & GSR_MASK;
    strand_mode_changed(s);
    return BODY_NEXT;
  case ASR_SOFTINT_SET: s->softint |= v & SOFTINT_MASK; return softint_changed(s);
  case ASR_SOFTINT_CLR: s->softint &= ~v; return softint_changed(s);
  case ASR_SOFTINT: s->softint = v & SOFTINT_MASK; return softint_changed(s);
  case ASR_TICK_CMPR:
    s->tick_cmpr = v;
    s->tick_fired = (u8)(v >> 63);
    return softint_changed(s);
  case ASR_STICK_CMPR:
    s->stick_cmpr = v;
    s->stick_fired = (u8)(v >> 63);
    return softint_changed(s);
  case ASR_PAUSE: case ASR_MWAIT: return BODY_OK;
  default: return TT_ILLEGAL_INSTRUCTION;
  }
}

u32 special_rdpr(struct strand *s, u32 insn) {
  u32 n = insn_rs1(insn);
  u64 v;
  if (n <= PR_TT && s->tl == 0) return TT_ILLEGAL_INSTRUCTION;
  switch (n) {
  case PR_TPC: v = s->tpc[s->tl]; break;
  case PR_TNPC: v = s->tnpc[s->tl]; break;
  case PR_TSTATE: v = s->tstate[s->tl]; break;
  case PR_TT: v = s->tt[s->tl]; break;
  case PR_TICK: v = special_tick(s); break;
  case PR_TBA: v = s->tba; break;
  case PR_PSTATE: v = s->pstate; break;
  case PR_TL: v = s->tl; break;
  case PR_PIL: v = s->pil; break;
  case PR_CWP: v = s->cwp; break;
  case PR_CANSAVE: v = s->cansave; break;
  case PR_CANRESTORE: v = s->canrestore; break;
  case PR_CLEANWIN: v = s->cleanwin; break;
  case PR_OTHERWIN: v = s->otherwin; break;
  case PR_WSTATE: v = s->wstate; break;
  case PR_GL: v = s->gl; break;
  case PR_PMCDPER: v = s->mcdper; break;
  default: return TT_ILLEGAL_INSTRUCTION;
  }
  reg_set(s, insn_rd(insn), v);
  return BODY_OK;
}

static u32 write_level(struct strand *s, u32 n, u64 v) {
  switch (n) {
  case PR_TPC: s->tpc[s->tl] = v & ~3ull; break;
  case PR_TNPC: s->tnpc[s->tl] = v & ~3ull; break;
  case PR_TSTATE: s->tstate[s->tl] = v & TSTATE_ALL; break;
  default: s->tt[s->tl] = v & 0x1ff; break;
  }
  return BODY_OK;
}

static u32 write_mode(struct strand *s, u32 n, u64 v) {
  switch (n) {
  case PR_PSTATE: s->pstate = v & PSTATE_ALL; break;
  case PR_TL: s->tl = (u8)(v > MAX_TL ? MAX_TL : v); break;
  case PR_PIL: s->pil = v & 15; break;
  case PR_CWP: window_set_cwp(s, v % NWINDOWS); break;
  default: strand_set_gl(s, v > MAX_GL ? MAX_GL : (u32)v); break;
  }
  strand_notice(s);
  strand_mode_changed(s);
  return BODY_NEXT;
}

u32 special_wrpr(struct strand *s, u32 insn) {
  u32 n = insn_rd(insn);
  u64 v = wr_value(s, insn);
  switch (n) {
  case PR_TPC: case PR_TNPC: case PR_TSTATE: case PR_TT:
    return s->tl == 0 ? (u32)TT_ILLEGAL_INSTRUCTION : write_level(s, n, v);
  case PR_TBA: s->tba = v & ~0x7fffull; return BODY_OK;
  case PR_PSTATE: case PR_TL: case PR_PIL: case PR_CWP: case PR_GL: return write_mode(s, n, v);
  case PR_CANSAVE: s->cansave = v & 7; return BODY_OK;
  case PR_CANRESTORE: s->canrestore = v & 7; return BODY_OK;
  case PR_CLEANWIN: s->cleanwin = v & 7; return BODY_OK;
  case PR_OTHERWIN: s->otherwin = v & 7; return BODY_OK;
  case PR_WSTATE: s->wstate = v & 63; return BODY_OK;
  case PR_PMCDPER: s->mcdper = v; return BODY_OK;
  default: return TT_ILLEGAL_INSTRUCTION;
  }
}
