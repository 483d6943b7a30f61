/* special.h - instructions written by hand: control transfer, windows, traps, state registers. */
#ifndef S4V_STRAND_SPECIAL_H
#define S4V_STRAND_SPECIAL_H
#include "strand/strand.h"

/* cti.c. One control transfer by the stepper: pc and npc move on; 0, a trap type, or BODY_*. */
u32 cti_step(struct strand *, u32 insn, u32 row);
u32 cti_branch_taken(struct strand *, u32 insn);
u64 cti_branch_target(u64 pc, u32 insn);
bool cti_always(u32 insn);                       /* branch always, of any kind */
bool cti_never(u32 insn);
u32 cti_compare_taken(struct strand *, u32 insn); /* CBcond */
u64 cti_compare_target(u64 pc, u32 insn);

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
