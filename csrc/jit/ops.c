/* ops.c - see ops.h. */
#include "jit/ops.h"

#include <string.h>

#include "jit/x86.h"
#include "strand/strand.h"

struct named {
  const char *name;
  struct op op;
};

#define ALU_ROWS(name_, alu_) {name_, {OP_ALU, alu_, true, false}}, {name_ "cc", {OP_ALU, alu_, true, true}}
#define SHIFT_ROWS(name_, shift_) {name_, {OP_SHIFT, shift_, false, false}}, {name_ "x", {OP_SHIFT, shift_, true, false}}
#define FP_ROWS(name_, fp_) {name_ "s", {OP_FP, fp_, false, false}}, {name_ "d", {OP_FP, fp_, true, false}}
#define MOVE_ROWS(name_, move_) {name_ "s", {OP_FMOVE, move_, false, false}}, {name_ "d", {OP_FMOVE, move_, true, false}}

static const struct named table[] = {
    ALU_ROWS("add", ALU_ADD), ALU_ROWS("sub", ALU_SUB), ALU_ROWS("and", ALU_AND), ALU_ROWS("or", ALU_OR),
    ALU_ROWS("xor", ALU_XOR),
    {"andn", {OP_ANDN, 0, true, false}}, {"andncc", {OP_ANDN, 0, true, true}},
    {"orn", {OP_ORN, 0, true, false}}, {"orncc", {OP_ORN, 0, true, true}},
    {"xnor", {OP_XNOR, 0, true, false}}, {"xnorcc", {OP_XNOR, 0, true, true}},
    {"addc", {OP_CARRY, ALU_ADC, true, false}}, {"subc", {OP_CARRY, ALU_SBB, true, false}},
    {"addccc", {OP_CARRY, ALU_ADC, true, true}}, {"subccc", {OP_CARRY, ALU_SBB, true, true}},
    {"udiv", {OP_DIV32, 0, false, false}}, {"sdiv", {OP_DIV32, 1, false, false}},
    {"popc", {OP_COUNT, 0, true, false}}, {"lzcnt", {OP_COUNT, 1, true, false}},
    SHIFT_ROWS("sll", SHIFT_LEFT), SHIFT_ROWS("srl", SHIFT_RIGHT), SHIFT_ROWS("sra", SHIFT_ARITHMETIC),
    {"sethi", {OP_SETHI, 0, true, false}}, {"mulx", {OP_MULX, 0, true, false}},
    {"umul", {OP_MUL32, 0, false, false}}, {"smul", {OP_MUL32, 1, false, false}},
    {"udivx", {OP_DIVX, 0, true, false}}, {"sdivx", {OP_DIVX, 1, true, false}},
    {"movre", {OP_MOVR, 1, true, false}}, {"movrlez", {OP_MOVR, 2, true, false}}, {"movrlz", {OP_MOVR, 3, true, false}},
    {"movrne", {OP_MOVR, 5, true, false}}, {"movrgz", {OP_MOVR, 6, true, false}}, {"movrgez", {OP_MOVR, 7, true, false}},
    {"ldub", {OP_LOAD, MT_U8, false, false}}, {"lduh", {OP_LOAD, MT_U16, false, false}},
    {"lduw", {OP_LOAD, MT_U32, false, false}}, {"ldx", {OP_LOAD, MT_U64, false, false}},
    {"ldsb", {OP_LOAD, MT_I8, false, false}}, {"ldsh", {OP_LOAD, MT_I16, false, false}},
    {"ldsw", {OP_LOAD, MT_I32, false, false}},
    {"stb", {OP_STORE, MT_U8, false, false}}, {"sth", {OP_STORE, MT_U16, false, false}},
    {"stw", {OP_STORE, MT_U32, false, false}}, {"stx", {OP_STORE, MT_U64, false, false}},
    {"ldf", {OP_FLOAD, MT_U32, false, false}}, {"lddf", {OP_FLOAD, MT_U64, true, false}},
    {"stf", {OP_FSTORE, MT_U32, false, false}}, {"stdf", {OP_FSTORE, MT_U64, true, false}},
    {"save", {OP_SAVE, 0, false, false}}, {"restore", {OP_RESTORE, 0, false, false}},
    {"rdy", {OP_RDY, 0, false, false}}, {"wry", {OP_WRY, 0, false, false}},
    FP_ROWS("fadd", FP_ADD), FP_ROWS("fsub", FP_SUB), FP_ROWS("fmul", FP_MUL), FP_ROWS("fdiv", FP_DIV),
    FP_ROWS("fsqrt", FP_SQRT),
    MOVE_ROWS("fmov", FP_MOVE), MOVE_ROWS("fneg", FP_NEGATE), MOVE_ROWS("fabs", FP_ABSOLUTE),
    {"fcmps", {OP_FCOMPARE, 0, false, false}}, {"fcmpd", {OP_FCOMPARE, 0, true, false}},
    {"fcmpes", {OP_FCOMPARE, 0, false, false}}, {"fcmped", {OP_FCOMPARE, 0, true, false}},
    {"fitos", {OP_FROM_INT, 0, false, false}}, {"fitod", {OP_FROM_INT, 0, true, false}},
    {"fxtos", {OP_FROM_INT, 1, false, false}}, {"fxtod", {OP_FROM_INT, 1, true, false}},
    {"fstoi", {OP_TO_INT, 0, false, false}}, {"fdtoi", {OP_TO_INT, 0, true, false}},
    {"fstox", {OP_TO_INT, 1, false, false}}, {"fdtox", {OP_TO_INT, 1, true, false}},
    {"fstod", {OP_CONVERT, 0, false, false}}, {"fdtos", {OP_CONVERT, 0, true, false}},
};

/* movNAME_icc, movNAME_xcc, movNAME_fcc: the condition is in the word. The letter, or 0. */
static char is_movcc(const char *name) {
  size_t n = strlen(name);
  return n > 7 && strncmp(name, "mov", 3) == 0 && strchr("ixf", name[n - 3]) && name[n - 4] == '_' ? name[n - 3] : 0;
}

void ops_fill(struct op *ops) {
  for (u32 row = 0; row < isa_row_count; row++) {
    const char *name = isa_rows[row].name;
    ops[row] = (struct op){OP_BODY, 0, false, false};
    ops_system(name, &ops[row]);
    char codes = is_movcc(name);
    if (codes) ops[row] = (struct op){codes == 'f' ? OP_MOVFCC : OP_MOVCC, 0, codes == 'x', false};
    for (u32 i = 0; i < ARRAY_LEN(table); i++)
      if (strcmp(table[i].name, name) == 0) ops[row] = table[i].op;
  }
}

struct op ops_of(const struct op *ops, u32 row, u32 insn, u32 mode) {
  const struct isa_row *r = &isa_rows[row];
  struct op op = ops[row];
  bool memory = op.kind >= OP_LOAD && op.kind <= OP_FSTORE;
  if ((memory && (mode & MODE_CLE)) || ((r->flags & ISA_IEEE) && (mode & MODE_STRICT))) op.kind = OP_BODY;
  if (!ops_system_can(op, insn, mode)) op.kind = OP_BODY;
  return op;
}

static u32 bit(u32 reg) { return reg ? 1u << reg : 0; }

struct effect ops_effect(struct op op, u32 insn) {
  if (op.kind >= OP_RDPR) return ops_system_effect(op, insn);
  u32 rs1 = bit(insn_rs1(insn)), rs2 = insn_i(insn) ? 0 : bit(insn_rs2(insn)), rd = bit(insn_rd(insn));
  switch (op.kind) {
  case OP_BODY: return (struct effect){0, 0, EFFECT_BODY};
  case OP_NOP: return (struct effect){0, 0, EFFECT_PLAIN};
  case OP_SETHI: case OP_RDY: return (struct effect){0, rd, EFFECT_PLAIN};
  case OP_WRY: return (struct effect){rs1 | rs2, 0, EFFECT_PLAIN};
  case OP_MOVCC: return (struct effect){rs2 | rd, rd, EFFECT_TRAP};
  case OP_MOVR: return (struct effect){rs1 | rs2 | rd, rd, EFFECT_PLAIN};
  case OP_MOVFCC: return (struct effect){rs2 | rd, rd, EFFECT_PLAIN};
  case OP_COUNT: return (struct effect){rs2, rd, EFFECT_PLAIN};
  case OP_DIVX: case OP_DIV32: case OP_LOAD: return (struct effect){rs1 | rs2, rd, EFFECT_TRAP};
  case OP_STORE: return (struct effect){rs1 | rs2 | rd, 0, EFFECT_TRAP};
  case OP_FLOAD: case OP_FSTORE: return (struct effect){rs1 | rs2, 0, EFFECT_TRAP};
  case OP_SAVE: case OP_RESTORE: return (struct effect){rs1 | rs2, rd, EFFECT_WINDOW};
  case OP_FMOVE: case OP_FROM_INT: return (struct effect){0, 0, EFFECT_PLAIN};
  case OP_FP: case OP_FCOMPARE: case OP_TO_INT: case OP_CONVERT: return (struct effect){0, 0, EFFECT_TRAP};
  default: return (struct effect){rs1 | rs2, rd, EFFECT_PLAIN};
  }
}
