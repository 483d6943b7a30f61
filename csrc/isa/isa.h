/* isa.h - the instruction table as C sees it. The rows come from csrc/isa/groups through generate.py. */
#ifndef S4V_ISA_ISA_H
#define S4V_ISA_ISA_H
#include "util/types.h"

/* How the engine treats a row. */
enum isa_class {
  ISA_PLAIN = 0, /* a body: runs in place */
  ISA_BRANCH,    /* conditional or not, with delay slot and annul: Bicc BPcc FBfcc FBPfcc BPr */
  ISA_CALL,
  ISA_JMPL,
  ISA_RETURN,
  ISA_CBCOND,    /* compare and branch, no delay slot */
  ISA_TCC,
  ISA_END,       /* a body after which the block ends: modes or the address space may have changed */
};

enum isa_flag {
  ISA_FPU = 1,        /* fp_disabled when the FPU is off */
  ISA_PRIV = 2,       /* privileged_opcode in user mode */
  ISA_HPRIV = 4,      /* never executed by a guest */
  ISA_HOT = 8,        /* has specialised handlers */
  ISA_FP_SINGLE = 16, /* writes a single register rd */
  ISA_FP_DOUBLE = 32, /* writes a double register rd */
  ISA_IEEE = 64,
  ISA_LOAD = 128,
  ISA_STORE = 256,
  ISA_QUAD = 512,     /* quad precision, in no chip's hardware */
};

/* Bits of feature.def that the engine asks for by itself. The UltraSPARC T1 is the one chip that lacks POPC; the monitor
 * ASIs come with MWAIT. */
enum { FEATURE_POPC = 4, FEATURE_MWAIT = 36 };

/* Which specialised handlers a hot row has: one for each class of operand 2, register or immediate. */
enum isa_layout {
  LAYOUT_NONE = 0,
  LAYOUT_RRI,   /* rd, rs1, operand 2 */
  LAYOUT_RI,    /* rd, operand 2 */
  LAYOUT_R,     /* rd and an immediate */
  LAYOUT_FMEM,  /* FP register, rs1, operand 2 */
  LAYOUT_FP,    /* FP registers */
};
enum isa_imm { IMM_NONE = 0, IMM_S13, IMM_S11, IMM_S10, IMM_SH5, IMM_SH6, IMM_HI22 };
enum isa_fp_operand { FP_RS1_D = 1, FP_RS2_D = 2, FP_RD_D = 4, FP_RD_FCC = 8 };

/* Operand type of a load or store. */
enum mem_type { MT_U8, MT_U16, MT_U32, MT_U64, MT_I8, MT_I16, MT_I32, MT_F32, MT_F64, MT_PAIR, MT_FSR32, MT_FSR64,
                MT_EFSR64 };

struct isa_row {
  const char *name;     /* unique */
  const char *mnemonic; /* as the assembler spells it */
  u8 feature;           /* bit number, ISA_BASE: in every chip */
  u8 class;
  u16 flags;
  u16 hot;              /* first specialised handler in hot_handlers[] */
  u8 layout;            /* enum isa_layout of those handlers */
  u8 imm;               /* enum isa_imm: what the i=1 form holds */
  u8 fp;                /* enum isa_fp_operand bits, for LAYOUT_FP */
  u8 redo;              /* its number in fp_redo[], 0: no fast path on the host's FPU */
  u8 pair_first, pair_second, pair_compare; /* its number in the pair tables (pairs.py), 0: none */
};
struct isa_form {
  u32 match, mask;
  u16 row;
};
enum { ISA_BASE = 255, ISA_ILLEGAL = 0xffff };

extern const struct isa_row isa_rows[];
extern const u32 isa_row_count;
extern const struct isa_form isa_forms[];
extern const u32 isa_form_count;

u32 isa_decode(u32 insn); /* row number or ISA_ILLEGAL, whatever the features */

/* Feature bits (feature.def). */
u32 isa_feature_count(void);
const char *isa_feature_name(u32 bit);   /* "" where the bit is not used */
const char *isa_feature_hwcap(u32 bit);

/* Field access. */
static inline u32 insn_rd(u32 i) { return i >> 25 & 31; }
static inline u32 insn_rs1(u32 i) { return i >> 14 & 31; }
static inline u32 insn_rs2(u32 i) { return i & 31; }
static inline u32 insn_rs3(u32 i) { return i >> 9 & 31; }
static inline u32 insn_i(u32 i) { return i >> 13 & 1; }
static inline i64 insn_simm(u32 i, u32 bits) { return (i64)((u64)i << (64 - bits)) >> (64 - bits); }
static inline u32 fp_double_index(u32 field) { return (field & 1) << 4 | field >> 1; } /* index into f[] */

#endif
