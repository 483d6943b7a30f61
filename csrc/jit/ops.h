/* ops.h - which instruction rows have an emitter, and what an instruction does to registers. */
#ifndef S4V_JIT_OPS_H
#define S4V_JIT_OPS_H
#include "isa/isa.h"

enum op_kind {
  OP_BODY = 0, /* no emitter: a call of the row's body */
  OP_NOP,
  OP_ALU,      /* arg: enum x86_alu; CC_FLAG: sets condition codes */
  OP_ANDN, OP_ORN, OP_XNOR,
  OP_CARRY,    /* ADDC, SUBC; arg: ALU_ADC or ALU_SBB; CC_FLAG */
  OP_SHIFT,    /* arg: enum x86_shift; wide: 64 bits */
  OP_SETHI,
  OP_MULX,
  OP_MUL32,    /* UMUL, SMUL; arg: signed */
  OP_DIVX,     /* arg: signed */
  OP_DIV32,    /* arg: signed */
  OP_COUNT,    /* arg: leading zeros, else ones */
  OP_MOVFCC,
  OP_MOVCC,    /* arg: condition; wide: xcc */
  OP_MOVR,     /* arg: rcond */
  OP_LOAD, OP_STORE,     /* arg: enum mem_type */
  OP_FLOAD, OP_FSTORE,   /* wide: double */
  OP_SAVE, OP_RESTORE,
  OP_RDY, OP_WRY,
  OP_FP,       /* two operands or SQRT; arg: enum x86_fp; wide: double */
  OP_FMOVE,    /* arg: enum fp_move */
  OP_FCOMPARE,
  OP_FROM_INT, /* arg: 64-bit integer; wide: to double */
  OP_TO_INT,   /* arg: 64-bit integer; wide: from double */
  OP_CONVERT,  /* wide: from double */
  /* ops_system.c */
  OP_RDPR, OP_WRPR,      /* arg: register */
  OP_WRGL,
  OP_RDASR, OP_WRASR,    /* arg: register */
  OP_CLOCK,    /* arg: ASR_TICK or ASR_STICK */
  OP_WINDOWS,  /* arg: enum windows_move */
  OP_FENCE, OP_FLUSH,
  OP_DONE,     /* arg: RETRY */
  OP_TCC,      /* wide: xcc */
  OP_TRAP,     /* Tcc, always */
  OP_FLUSHW,
  OP_ALIGN,    /* FALIGNDATA */
  OP_PAIR_LOAD, OP_PAIR_STORE,
  OP_TWIN,     /* LDTXA */
  OP_ALOAD, OP_ASTORE,   /* alternate space; arg: enum mem_type */
  OP_SWAP,     /* arg: MT_U32, or MT_U8 for LDSTUB */
  OP_CAS,      /* arg: enum mem_type */
};
enum windows_move { WINDOWS_SAVED, WINDOWS_RESTORED, WINDOWS_ALLCLEAN, WINDOWS_OTHERW, WINDOWS_NORMALW, WINDOWS_INVALW };
enum fp_move { FP_MOVE, FP_NEGATE, FP_ABSOLUTE, FP_ZERO, FP_ONES };

struct op {
  u8 kind, arg;
  bool wide, cc;
};

/* What an instruction does to the integer registers, as far as the register map must know. */
enum effect_kind {
  EFFECT_PLAIN,
  EFFECT_TRAP,   /* may leave for its body: then all registers must be in the strand */
  EFFECT_BODY,   /* calls its body always: all registers go to the strand and come back from there */
  EFFECT_WINDOW, /* as TRAP, and the window moves */
};
struct effect {
  u32 use, def; /* register masks */
  u8 kind;
};

/* The table by row; `ops` has isa_row_count elements. */
void ops_fill(struct op *ops);
/* The emitter to use in this mode. */
struct op ops_of(const struct op *ops, u32 row, u32 insn, u32 mode);
struct effect ops_effect(struct op, u32 insn);

/* ops_system.c: the part from OP_RDPR on. */
void ops_system(const char *name, struct op *);
bool ops_system_can(struct op, u32 insn, u32 mode); /* false: the body */
struct effect ops_system_effect(struct op, u32 insn);

#endif
