/* cti.c - control transfer instructions (SPARC V9 A.3-A.8, A.24, A.46, A.61; OSA2011 CBcond). */
#include "strand/internal.h"
#include "strand/mmu.h"
#include "strand/special.h"
#include "strand/window.h"

static u32 op2(u32 insn) { return insn >> 22 & 7; }
static u32 cond(u32 insn) { return insn >> 25 & 15; }
enum { OP2_BPCC = 1, OP2_BICC = 2, OP2_BPR = 3, OP2_FBPFCC = 5, OP2_FBFCC = 6 };

u64 cti_branch_target(u64 pc, u32 insn) {
  switch (op2(insn)) {
  case OP2_BPCC: case OP2_FBPFCC: return pc + ((u64)insn_simm(insn, 19) << 2);
  case OP2_BPR: return pc + ((u64)insn_simm((insn >> 20 & 3) << 14 | (insn & 0x3fff), 16) << 2);
  default: return pc + ((u64)insn_simm(insn, 22) << 2);
  }
}

u32 cti_branch_taken(struct strand *s, u32 insn) {
  switch (op2(insn)) {
  case OP2_BPCC: return cc_test(insn >> 21 & 1 ? strand_ccr(s) >> 4 : strand_ccr(s) & 15, cond(insn));
  case OP2_BICC: return cc_test(strand_ccr(s) & 15, cond(insn));
  case OP2_FBPFCC: return fcc_test(fsr_fcc(s, insn >> 20 & 3), cond(insn));
  case OP2_FBFCC: return fcc_test(fsr_fcc(s, 0), cond(insn));
  default: return reg_test(reg_get(s, insn_rs1(insn)), insn >> 25 & 7);
  }
}

bool cti_always(u32 insn) { return op2(insn) != OP2_BPR && cond(insn) == 8; }
bool cti_never(u32 insn) { return op2(insn) != OP2_BPR && cond(insn) == 0; }

u64 cti_compare_target(u64 pc, u32 insn) {
  return pc + ((u64)insn_simm((insn >> 19 & 3) << 8 | (insn >> 5 & 0xff), 10) << 2);
}

u32 cti_compare_taken(struct strand *s, u32 insn) {
  u64 a = reg_get(s, insn_rs1(insn));
  u64 b = insn_i(insn) ? (u64)insn_simm(insn, 5) : reg_get(s, insn_rs2(insn));
  u32 ccr = cc_compute(a, b, CC_SUB);
  u32 condition = (insn >> 29 & 1) << 3 | (insn >> 25 & 7);
  return cc_test(insn >> 21 & 1 ? ccr >> 4 : ccr & 15, condition);
}

static u32 step_to(struct strand *s, u64 pc, u64 npc) {
  s->pc = pc & strand_mask(s);
  s->npc = npc & strand_mask(s);
  return BODY_JUMP;
}

static u32 step_branch(struct strand *s, u32 insn) {
  bool taken = cti_branch_taken(s, insn), annul = insn >> 29 & 1;
  u64 target = cti_branch_target(s->pc, insn);
  if (taken) return annul && cti_always(insn) ? step_to(s, target, target + 4) : step_to(s, s->npc, target);
  return annul ? step_to(s, s->npc + 4, s->npc + 8) : step_to(s, s->npc, s->npc + 4);
}

u32 cti_step(struct strand *s, u32 insn, u32 row) {
  u64 npc = s->npc;
  switch (isa_rows[row].class) {
  case ISA_BRANCH: return step_branch(s, insn);
  case ISA_CALL: {
    u64 target = s->pc + ((u64)insn_simm(insn, 30) << 2);
    reg_set(s, 15, s->pc & strand_mask(s));
    return step_to(s, npc, target);
  }
  case ISA_CBCOND:
    return cti_compare_taken(s, insn) ? step_to(s, cti_compare_target(s->pc, insn), cti_compare_target(s->pc, insn) + 4)
                                      : step_to(s, npc, npc + 4);
  default: { /* JMPL, RETURN leave the target in npc */
    u32 r = isa_body[row](s, insn);
    return r ? r : step_to(s, npc, s->npc);
  }
  }
}

static u32 jump_target(struct strand *s, u32 insn, u64 *target) {
  u64 t = reg_get(s, insn_rs1(insn)) + (insn_i(insn) ? (u64)insn_simm(insn, 13) : reg_get(s, insn_rs2(insn)));
  *target = t & strand_mask(s);
  return t & 3 ? mmu_fault(s, TT_MEM_ADDRESS_NOT_ALIGNED, *target, (u32)(s->tl ? 0 : s->context[0]), FAULT_UNALIGNED)
               : 0;
}

u32 special_jmpl(struct strand *s, u32 insn) {
  u64 target;
  u32 tt = jump_target(s, insn, &target);
  if (tt) return tt;
  reg_set(s, insn_rd(insn), s->pc & strand_mask(s));
  s->npc = target;
  return BODY_OK;
}

u32 special_return(struct strand *s, u32 insn) {
  u64 target;
  if (s->canrestore == 0) return window_restore(s);
  u32 tt = jump_target(s, insn, &target);
  if (!tt) tt = window_restore(s);
  if (tt) return tt;
  s->npc = target;
  return BODY_OK;
}

u32 special_tcc(struct strand *s, u32 insn) {
  u32 ccr = strand_ccr(s);
  if (!cc_test(insn >> 12 & 1 ? ccr >> 4 : ccr & 15, cond(insn))) return BODY_OK;
  u64 n = reg_get(s, insn_rs1(insn)) + (insn_i(insn) ? insn & 0xff : reg_get(s, insn_rs2(insn)));
  if (!strand_priv(s)) return TT_TRAP_INSTRUCTION + (u32)(n & 0x7f);
  if ((n & 0xff) < 0x80) return TT_TRAP_INSTRUCTION + (u32)(n & 0xff);
  strand_sync(s);
  return s->env->hypercall(s, (u32)(n & 0xff));
}

u32 special_save(struct strand *s, u32 insn) {
  u64 sum = reg_get(s, insn_rs1(insn)) + (insn_i(insn) ? (u64)insn_simm(insn, 13) : reg_get(s, insn_rs2(insn)));
  u32 tt = window_save(s);
  if (!tt) reg_set(s, insn_rd(insn), sum);
  return tt;
}

u32 special_restore(struct strand *s, u32 insn) {
  u64 sum = reg_get(s, insn_rs1(insn)) + (insn_i(insn) ? (u64)insn_simm(insn, 13) : reg_get(s, insn_rs2(insn)));
  u32 tt = window_restore(s);
  if (!tt) reg_set(s, insn_rd(insn), sum);
  return tt;
}
