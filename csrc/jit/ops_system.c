/* ops_system.c - rows of privileged code and of alternate spaces that have an emitter; see ops.h. */
#include <string.h>

#include "jit/ops.h"
#include "strand/asi.h"
#include "strand/special.h"

struct named {
  const char *name;
  u8 kind, arg;
};

static const struct named rows[] = {
    {"rdpr_tpc", OP_RDPR, PR_TPC}, {"rdpr_tnpc", OP_RDPR, PR_TNPC}, {"rdpr_tstate", OP_RDPR, PR_TSTATE},
    {"rdpr_tt", OP_RDPR, PR_TT}, {"rdpr_tba", OP_RDPR, PR_TBA}, {"rdpr_pstate", OP_RDPR, PR_PSTATE},
    {"rdpr_tl", OP_RDPR, PR_TL}, {"rdpr_pil", OP_RDPR, PR_PIL}, {"rdpr_cwp", OP_RDPR, PR_CWP},
    {"rdpr_cansave", OP_RDPR, PR_CANSAVE}, {"rdpr_canrestore", OP_RDPR, PR_CANRESTORE},
    {"rdpr_cleanwin", OP_RDPR, PR_CLEANWIN}, {"rdpr_otherwin", OP_RDPR, PR_OTHERWIN},
    {"rdpr_wstate", OP_RDPR, PR_WSTATE}, {"rdpr_gl", OP_RDPR, PR_GL},
    {"wrpr_tpc", OP_WRPR, PR_TPC}, {"wrpr_tnpc", OP_WRPR, PR_TNPC}, {"wrpr_tstate", OP_WRPR, PR_TSTATE},
    {"wrpr_tt", OP_WRPR, PR_TT}, {"wrpr_tba", OP_WRPR, PR_TBA}, {"wrpr_pstate", OP_WRPR, PR_PSTATE},
    {"wrpr_pil", OP_WRPR, PR_PIL}, {"wrpr_cansave", OP_WRPR, PR_CANSAVE}, {"wrpr_canrestore", OP_WRPR, PR_CANRESTORE},
    {"wrpr_cleanwin", OP_WRPR, PR_CLEANWIN}, {"wrpr_otherwin", OP_WRPR, PR_OTHERWIN},
    {"wrpr_wstate", OP_WRPR, PR_WSTATE}, {"wrpr_gl", OP_WRGL, 0},
    {"rdasi", OP_RDASR, ASR_ASI}, {"rdfprs", OP_RDASR, ASR_FPRS}, {"rdsoftint", OP_RDASR, ASR_SOFTINT},
    {"wrasi", OP_WRASR, ASR_ASI}, {"wrfprs", OP_WRASR, ASR_FPRS},
    {"rdtick", OP_CLOCK, ASR_TICK}, {"rdpr_tick", OP_CLOCK, ASR_TICK}, {"rdstick", OP_CLOCK, ASR_STICK},
    {"saved", OP_WINDOWS, WINDOWS_SAVED}, {"restored", OP_WINDOWS, WINDOWS_RESTORED},
    {"flushw", OP_FLUSHW, 0}, {"allclean", OP_WINDOWS, WINDOWS_ALLCLEAN}, {"otherw", OP_WINDOWS, WINDOWS_OTHERW},
    {"normalw", OP_WINDOWS, WINDOWS_NORMALW}, {"invalw", OP_WINDOWS, WINDOWS_INVALW},
    {"membar", OP_FENCE, 0}, {"stbar", OP_NOP, 0}, {"flush", OP_FLUSH, 0}, {"prefetch", OP_NOP, 1},
    {"done", OP_DONE, 0}, {"retry", OP_DONE, 1},
    {"faligndata", OP_ALIGN, 0},
    {"ldd", OP_PAIR_LOAD, 0}, {"std", OP_PAIR_STORE, 0}, {"ldda", OP_TWIN, 0},
    {"lduba", OP_ALOAD, MT_U8}, {"lduha", OP_ALOAD, MT_U16}, {"lduwa", OP_ALOAD, MT_U32}, {"ldxa", OP_ALOAD, MT_U64},
    {"ldsba", OP_ALOAD, MT_I8}, {"ldsha", OP_ALOAD, MT_I16}, {"ldswa", OP_ALOAD, MT_I32},
    {"stba", OP_ASTORE, MT_U8}, {"stha", OP_ASTORE, MT_U16}, {"stwa", OP_ASTORE, MT_U32}, {"stxa", OP_ASTORE, MT_U64},
    {"swap", OP_SWAP, MT_U32}, {"ldstub", OP_SWAP, MT_U8}, {"casa", OP_CAS, MT_U32}, {"casxa", OP_CAS, MT_U64},
};

/* tCOND_icc, tCOND_xcc */
static bool is_tcc(const char *name) {
  size_t n = strlen(name);
  return n > 5 && name[0] == 't' && (strcmp(name + n - 4, "_icc") == 0 || strcmp(name + n - 4, "_xcc") == 0);
}

void ops_system(const char *name, struct op *op) {
  if (is_tcc(name)) {
    *op = (struct op){.kind = OP_TCC, .wide = name[strlen(name) - 3] == 'x'};
    if (name[1] == 'a' && name[2] == '_') op->kind = OP_TRAP;
    if (name[1] == 'n' && name[2] == '_') op->kind = OP_NOP;
  }
  for (u32 i = 0; i < ARRAY_LEN(rows); i++)
    if (strcmp(rows[i].name, name) == 0) *op = (struct op){.kind = rows[i].kind, .arg = rows[i].arg};
}

/* What the ASI of the word, if it has one, leaves to its emitter. */
static bool asi_is_good(struct op op, u32 insn, u32 mode) {
  if (insn_i(insn)) return op.kind != OP_TWIN; /* %asi: looked at when it runs */
  u32 asi = insn >> 5 & 0xff;
  const struct asi_info *a = &asi_table[asi];
  if (asi < 0x80 && (!(mode & MODE_PRIV) || asi >= 0x30)) return false;
  if (op.kind == OP_TWIN) return (a->kind == ASI_QUAD || (a->kind == ASI_TWIN && !a->size)) && !a->little && !a->from_t4;
  if (op.kind != OP_CAS && op.arg == MT_U64 && a->kind == ASI_SCRATCHPAD) return true;
  if (op.kind == OP_ALOAD && op.arg == MT_U64 && a->kind == ASI_CONTEXT) return true;
  if (op.kind == OP_ASTORE && op.arg == MT_U64 && a->kind == ASI_TWIN) return !a->little; /* block-init */
  if (a->little && (op.kind == OP_CAS || (op.kind == OP_ASTORE && op.arg == MT_U16))) return false;
  return a->kind == ASI_MEMORY && !(op.kind == OP_CAS && a->io);
}

bool ops_system_can(struct op op, u32 insn, u32 mode) {
  u32 rd = insn_rd(insn);
  bool memory = op.kind >= OP_PAIR_LOAD && op.kind <= OP_CAS;
  if (memory && (mode & MODE_CLE)) return false;
  switch (op.kind) {
  case OP_PAIR_LOAD: case OP_PAIR_STORE: return !(rd & 1);
  case OP_TWIN: return !(rd & 1) && asi_is_good(op, insn, mode);
  case OP_ALOAD: case OP_ASTORE: case OP_CAS: return asi_is_good(op, insn, mode);
  case OP_NOP: return !(op.arg && rd >= 5 && rd <= 15); /* reserved prefetches */
  default: return true;
  }
}

static u32 bit(u32 reg) { return reg ? 1u << reg : 0; }

struct effect ops_system_effect(struct op op, u32 insn) {
  u32 rs1 = bit(insn_rs1(insn)), rs2 = insn_i(insn) ? 0 : bit(insn_rs2(insn)), rd = bit(insn_rd(insn));
  u32 two = rd | 1u << (insn_rd(insn) + 1);
  switch (op.kind) {
  case OP_WRGL: case OP_DONE: case OP_TRAP: return (struct effect){0, 0, EFFECT_BODY};
  case OP_RDPR: case OP_CLOCK: return (struct effect){0, rd, EFFECT_TRAP};
  case OP_RDASR: return (struct effect){0, rd, EFFECT_PLAIN};
  case OP_WRPR: case OP_WRASR: return (struct effect){rs1 | rs2, 0, EFFECT_TRAP};
  case OP_TCC: case OP_FLUSH: case OP_FLUSHW: return (struct effect){0, 0, EFFECT_TRAP};
  case OP_PAIR_LOAD: case OP_TWIN: return (struct effect){rs1 | rs2, two, EFFECT_TRAP};
  case OP_PAIR_STORE: return (struct effect){rs1 | rs2 | two, 0, EFFECT_TRAP};
  case OP_ALOAD: return (struct effect){rs1 | rs2, rd, EFFECT_TRAP};
  case OP_ASTORE: return (struct effect){rs1 | rs2 | rd, 0, EFFECT_TRAP};
  case OP_SWAP: return (struct effect){rs1 | rs2 | (op.arg == MT_U8 ? 0 : rd), rd, EFFECT_TRAP};
  case OP_CAS: return (struct effect){rs1 | bit(insn_rs2(insn)) | rd, rd, EFFECT_TRAP};
  default: return (struct effect){0, 0, EFFECT_PLAIN}; /* OP_WINDOWS, OP_FENCE, OP_ALIGN */
  }
}
