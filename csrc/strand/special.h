/* special.h - instructions written by hand: control transfer, windows, traps, state registers. */
#ifndef S4V_STRAND_SPECIAL_H
#define S4V_STRAND_SPECIAL_H
#include "strand/strand.h"

/* Register numbers of RD and WR, of RDPR and WRPR. */
enum { ASR_Y = 0, ASR_CCR = 2, ASR_ASI, ASR_TICK, ASR_PC, ASR_FPRS, ASR_ENTROPY = 13, ASR_MCDPER, ASR_PCR = 16, ASR_PIC,
       ASR_GSR = 19, ASR_SOFTINT_SET, ASR_SOFTINT_CLR, ASR_SOFTINT, ASR_TICK_CMPR, ASR_STICK, ASR_STICK_CMPR, ASR_CFR,
       ASR_PAUSE, ASR_MWAIT };
enum { PR_TPC, PR_TNPC, PR_TSTATE, PR_TT, PR_TICK, PR_TBA, PR_PSTATE, PR_TL, PR_PIL, PR_CWP, PR_CANSAVE, PR_CANRESTORE,
       PR_CLEANWIN, PR_OTHERWIN, PR_WSTATE, PR_GL = 16, PR_PMCDPER = 23 };
#define TSTATE_ALL (7ull << 40 | 0xffull << 32 | 0xffull << 24 | (u64)PSTATE_ALL << 8 | 7)

/* cti.c. One control transfer by the stepper: pc and npc move on; 0, a trap type, or BODY_*. */
u32 cti_step(struct strand *, u32 insn, u32 row);
u32 cti_branch_taken(struct strand *, u32 insn);
u64 cti_branch_target(u64 pc, u32 insn);
bool cti_always(u32 insn);                       /* branch always, of any kind */
bool cti_never(u32 insn);
u32 cti_compare_taken(struct strand *, u32 insn); /* CBcond */
u64 cti_compare_target(u64 pc, u32 insn);

/* What RD and RDPR read, without the trap of a user who may not: bit 63 says so then. */
u64 special_tick(const struct strand *);
u64 special_stick(const struct strand *);

u32 special_jmpl(struct strand *, u32 insn);     /* sets rd, and npc to the target */
u32 special_return(struct strand *, u32 insn);
u32 special_tcc(struct strand *, u32 insn);
u32 special_save(struct strand *, u32 insn);
u32 special_restore(struct strand *, u32 insn);
u32 special_flushw(struct strand *, u32 insn);
u32 special_saved(struct strand *, u32 insn);
u32 special_restored(struct strand *, u32 insn);
u32 special_allclean(struct strand *, u32 insn);
u32 special_otherw(struct strand *, u32 insn);
u32 special_normalw(struct strand *, u32 insn);
u32 special_invalw(struct strand *, u32 insn);
u32 special_illtrap(struct strand *, u32 insn);
u32 special_membar(struct strand *, u32 insn);
u32 special_flush(struct strand *, u32 insn);
u32 special_done(struct strand *, u32 insn);
u32 special_retry(struct strand *, u32 insn);
u32 special_rd(struct strand *, u32 insn);       /* RDasr, by register number */
u32 special_wr(struct strand *, u32 insn);
u32 special_rdpr(struct strand *, u32 insn);
u32 special_wrpr(struct strand *, u32 insn);

#endif
