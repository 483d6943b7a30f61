/* builder.c - decodes a straight run of instructions into a block.
 *
 *   ... micro-ops ... | branch | slot, edge (taken) | slot, edge (not taken) |
 *
 * A block is only ever entered with NPC = PC + 4, never leaves its page, and holds at most one control transfer, at
 * its end and with its delay slot. What does not fit (a branch whose slot is on the next page or is itself a branch)
 * becomes a step micro-op: the stepper executes it.
 */
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/interp.h"
#include "strand/mmu.h"
#include "strand/special.h"
#include "strand/window.h"

enum { MAX_UOPS = BLOCK_INSNS + 16 };

struct builder {
  struct strand *s;
  u64 pc;
  u32 limit;        /* instructions left on the page */
  u32 mode;
  u32 n;            /* instructions taken */
  u32 uops;
  u64 target;
  u32 previous;     /* micro-op of the instruction just before, which may begin a pair; 0: none */
  u32 previous_row, previous_insn;
  u32 code[BLOCK_INSNS + 2]; /* the words as they were when the block was begun */
  u32 words[BLOCK_INSNS + 2];
  u16 rows[BLOCK_INSNS + 2];
  u8 side[MAX_UOPS];
  struct uop ops[MAX_UOPS];
};

/* The T1 leaves quad FPops as unimplemented; later chips do not know them, and say so before they look at the FPU. */
static bool quad_is_illegal(const struct strand *s) { return s->env->features >> FEATURE_POPC & 1; }

u32 builder_check(const struct strand *s, u32 row, u32 mode) {
  if (row == ISA_ILLEGAL) return TT_ILLEGAL_INSTRUCTION;
  const struct isa_row *r = &isa_rows[row];
  if (r->feature != ISA_BASE && !(s->env->features >> r->feature & 1)) return TT_ILLEGAL_INSTRUCTION;
  if ((r->flags & ISA_QUAD) && quad_is_illegal(s)) return TT_ILLEGAL_INSTRUCTION;
  if ((r->flags & ISA_PRIV) && !(mode & MODE_PRIV)) return TT_PRIVILEGED_OPCODE;
  if (r->flags & ISA_HPRIV) return TT_ILLEGAL_INSTRUCTION;
  if ((r->flags & ISA_FPU) && !(mode & MODE_FP)) return TT_FP_DISABLED;
  return 0;
}

static struct uop *emit(struct builder *b, const void *h, u32 side) {
  struct uop *u = &b->ops[b->uops];
  b->side[b->uops++] = (u8)side;
  *u = (struct uop){.h = h};
  return u;
}

static u64 masked(const struct builder *b, u64 va) { return b->mode & MODE_AM ? (u32)va : va; }

/* One instruction more: word and row kept; returns its row. */
static u32 take(struct builder *b) {
  u32 word = b->code[b->n], row = isa_decode(word);
  b->words[b->n] = word;
  b->rows[b->n] = (u16)row;
  b->n++;
  return row;
}

enum { REGISTER = 0, IMMEDIATE = 1 };

static u8 word_index(size_t offset) { return (u8)(offset / 8); }
static u8 int_source(u32 reg) { return (u8)reg_index(reg); }
static u8 int_dest(u32 reg) { return (u8)(reg ? reg_index(reg) : REG_SINK); }

static i32 immediate(u32 insn, u32 kind) {
  switch (kind) {
  case IMM_S11: return (i32)insn_simm(insn, 11);
  case IMM_S10: return (i32)insn_simm(insn, 10);
  case IMM_SH5: return (i32)(insn & 31);
  case IMM_SH6: return (i32)(insn & 63);
  case IMM_HI22: return (i32)(insn << 10);
  default: return (i32)insn_simm(insn, 13);
  }
}

static u32 second_operand(struct uop *u, u32 insn, u32 kind) {
  if (insn_i(insn)) {
    u->imm = immediate(insn, kind);
    return IMMEDIATE;
  }
  u->rs2 = int_source(insn_rs2(insn));
  return REGISTER;
}

static u8 fp_operand(u32 field, bool is_double) {
  return is_double ? (u8)(word_index(offsetof(struct strand, f)) + fp_double_index(field)) : (u8)(field ^ 1);
}

static u8 fp_half(u32 field, bool is_double) { return is_double && (field & 1) ? FPRS_DU : FPRS_DL; }

static void fp_fields(struct uop *u, u32 insn, u32 fp) {
  u->rs1 = fp_operand(insn_rs1(insn), (fp & FP_RS1_D) != 0);
  u->rs2 = fp_operand(insn_rs2(insn), (fp & FP_RS2_D) != 0);
  if (fp & FP_RD_FCC) {
    u->rd = insn_rd(insn) & 3;
    return;
  }
  u->rd = fp_operand(insn_rd(insn), (fp & FP_RD_D) != 0);
  u->x = fp_half(insn_rd(insn), (fp & FP_RD_D) != 0);
}

/* Rows whose specialised handlers assume what the mode does not give. */
static bool mode_forbids(const struct isa_row *r, u32 mode) {
  bool memory = (r->flags & (ISA_LOAD | ISA_STORE)) != 0;
  return (memory && (mode & (MODE_AM | MODE_CLE))) || ((r->flags & ISA_IEEE) && (mode & MODE_STRICT));
}

/* How the instruction uses register `rd`, the result of the one before it. */
static u32 pair_form(u32 insn, u32 rd) {
  bool first = insn_rs1(insn) == rd;
  if (insn_i(insn)) return first ? PAIR_FI : PAIR_RI;
  if (first) return PAIR_FR;
  return insn_rs2(insn) == rd ? PAIR_RF : PAIR_RR;
}

/* A result for the next instruction, or a compare for the next branch. */
static bool begins_pair(u32 insn, u32 row) {
  if (isa_rows[row].pair_compare) return insn_rd(insn) == 0;
  return isa_rows[row].pair_first && insn_rd(insn) != 0;
}

static u32 takes_register(u32 insn, u32 row) { return isa_rows[row].layout != LAYOUT_R && !insn_i(insn); }

/* Gives the micro-op before the one just emitted a handler that does both. */
static bool make_pair(struct builder *b, u32 insn, u32 row) {
  u32 first = b->previous_row;
  u32 result = isa_rows[row].pair_second;
  bool wanted = (isa_rows[row].pair_compare != 0) == (insn_rd(insn) == 0); /* compares, and results that are kept */
  if (!isa_rows[first].pair_first || !result || !wanted) return false;
  u32 form = pair_form(insn, insn_rd(b->previous_insn));
  const void *h = interp_pair(isa_rows[first].pair_first, takes_register(b->previous_insn, first), result, form);
  if (h) b->ops[b->uops - 2].h = h;
  return h != NULL;
}

static void consider_pair(struct builder *b, u32 insn, u32 row) {
  bool adjacent = b->previous && b->previous == b->uops - 1; /* counted from 1 */
  if (adjacent && make_pair(b, insn, row)) {
    b->previous = 0;
    return;
  }
  b->previous = begins_pair(insn, row) ? b->uops : 0;
  b->previous_row = row;
  b->previous_insn = insn;
}

static void emit_body(struct builder *b, u32 insn, u32 row, u32 side) {
  const struct isa_row *r = &isa_rows[row];
  struct uop *u = emit(b, interp_handlers.cold, side);
  if (r->layout == LAYOUT_NONE || mode_forbids(r, b->mode)) return;
  u32 variant = 0;
  switch (r->layout) {
  case LAYOUT_RRI:
    u->rs1 = int_source(insn_rs1(insn)); /* fall through */
  case LAYOUT_RI:
    u->rd = r->flags & ISA_STORE ? int_source(insn_rd(insn)) : int_dest(insn_rd(insn));
    variant = second_operand(u, insn, r->imm);
    break;
  case LAYOUT_R:
    u->rd = int_dest(insn_rd(insn));
    u->imm = immediate(insn, r->imm);
    break;
  case LAYOUT_FMEM:
    u->rd = fp_operand(insn_rd(insn), (r->fp & FP_RD_D) != 0);
    u->x = fp_half(insn_rd(insn), (r->fp & FP_RD_D) != 0);
    u->rs1 = int_source(insn_rs1(insn));
    variant = second_operand(u, insn, r->imm);
    break;
  default: fp_fields(u, insn, r->fp); break;
  }
  u->h = interp_hot(r->hot + variant);
  consider_pair(b, insn, row);
}

/* A plain instruction, or the trap it raises. False: nothing after it is reached. */
static bool emit_instruction(struct builder *b, u32 index, u32 npc_kind) {
  u32 row = b->rows[index], side = index | npc_kind;
  u32 tt = builder_check(b->s, row, b->mode);
  if (tt) {
    emit(b, interp_handlers.trap, side)->imm = (i32)tt;
    return false;
  }
  emit_body(b, b->words[index], row, side);
  return true;
}

static void emit_edge(struct builder *b, u64 target, u32 insns) {
  target = masked(b, target);
  bool near = ((target ^ b->pc) & PAGE_MASK) == 0;
  struct uop *u = emit(b, near ? interp_handlers.edge : interp_handlers.edge_far, (b->n - 1) & SIDE_INDEX);
  emit(b, NULL, 0);
  struct edge *e = (struct edge *)(void *)u;
  *e = (struct edge){.h = u->h, .insns = insns, .target = target};
}

static bool is_transfer(u32 row) {
  return row != ISA_ILLEGAL && isa_rows[row].class >= ISA_BRANCH && isa_rows[row].class <= ISA_CBCOND;
}

bool builder_breakpoint(const struct strand *s, u64 pc) {
  for (u32 i = 0; i < s->env->breakpoint_count; i++)
    if (s->env->breakpoints[i] == pc) return true;
  return false;
}

/* The delay slot of the instruction just taken can be decoded with it. */
static bool slot_fits(struct builder *b) {
  if (b->n >= b->limit || builder_breakpoint(b->s, b->pc + 4u * b->n)) return false;
  return !is_transfer(isa_decode(b->code[b->n]));
}

static void emit_step(struct builder *b) { emit(b, interp_handlers.step, b->n - 1); }

/* Slot (unless annulled) and edge of one way. */
static void emit_way(struct builder *b, bool slot, u32 npc_kind, u64 target, u32 insns) {
  if (!slot || emit_instruction(b, b->n - 1, npc_kind)) emit_edge(b, target, insns);
}

static const void *branch_handler(struct uop *u, u32 insn) {
  u32 cond = insn >> 25 & 15;
  switch (insn >> 22 & 7) {
  case 1: return insn >> 21 & 1 ? interp_handlers.branch_xcc[cond] : interp_handlers.branch_icc[cond];
  case 2: return interp_handlers.branch_icc[cond];
  case 3: u->rs1 = int_source(insn_rs1(insn)); return interp_handlers.branch_reg[cond & 7];
  default: {
    u32 fcc = (insn >> 22 & 7) == 5 ? insn >> 20 & 3 : 0;
    u->rs1 = (u8)(fcc ? 30 + 2 * fcc : 10);
    u->x = (u8)cond;
    return interp_handlers.branch_fcc;
  }
  }
}

static void build_branch(struct builder *b, u32 insn) {
  u32 at = b->n - 1; /* index of the branch = instructions before it */
  u64 pc = b->pc + 4u * at, target = masked(b, cti_branch_target(pc, insn));
  bool annul = insn >> 29 & 1;
  b->target = target;
  if (annul && (cti_always(insn) || cti_never(insn))) {
    emit_edge(b, cti_always(insn) ? target : pc + 8, at + 1);
    return;
  }
  if (!slot_fits(b)) {
    emit_step(b);
    return;
  }
  take(b);
  if (cti_always(insn)) {
    emit_way(b, true, NPC_TARGET, target, at + 2);
  } else if (cti_never(insn)) {
    emit_way(b, true, NPC_NEXT, pc + 8, at + 2);
  } else {
    u32 branch = b->uops;
    bool compared = b->previous == branch && branch && isa_rows[b->previous_row].pair_compare;
    emit(b, NULL, at);
    b->ops[branch].h = branch_handler(&b->ops[branch], insn);
    if (compared && (insn >> 22 & 7) <= 2) {
      u32 xcc = (insn >> 22 & 7) == 1 && (insn >> 21 & 1);
      const void *h = interp_compare_pair(isa_rows[b->previous_row].pair_compare,
                                          takes_register(b->previous_insn, b->previous_row), xcc, insn >> 25 & 15);
      if (h) b->ops[branch - 1].h = h;
    }
    emit_way(b, true, NPC_TARGET, target, at + 2);
    b->ops[branch].imm = (i32)(b->uops - branch);
    emit_way(b, !annul, NPC_NEXT, pc + 8, annul ? at + 1 : at + 2);
  }
}

static void build_call(struct builder *b, u32 insn) {
  u32 at = b->n - 1;
  u64 pc = b->pc + 4u * at;
  b->target = masked(b, pc + ((u64)insn_simm(insn, 30) << 2));
  if (!slot_fits(b)) {
    emit_step(b);
    return;
  }
  emit(b, interp_handlers.link, at)->imm = (i32)(4 * at);
  take(b);
  emit_way(b, true, NPC_TARGET, b->target, at + 2);
}

/* JMPL and RETURN: the target waits in npc while the slot runs. */
static void build_jump(struct builder *b, u32 insn, u32 row) {
  u32 at = b->n - 1;
  if (!slot_fits(b)) {
    emit_step(b);
    return;
  }
  struct uop *u = emit(b, interp_handlers.cold, at);
  if (insn_i(insn) && !(b->mode & MODE_AM)) {
    u->imm = immediate(insn, IMM_S13);
    u->x = (u8)at;
    u->rs1 = int_source(insn_rs1(insn));
    u->rd = int_dest(insn_rd(insn));
    u->h = isa_rows[row].class == ISA_JMPL ? interp_handlers.jmpl : interp_handlers.ret;
  }
  take(b);
  if (!emit_instruction(b, b->n - 1, NPC_DYNAMIC)) return;
  emit(b, interp_handlers.jump, (b->n - 1) | NPC_DYNAMIC)->imm = (i32)(at + 2);
}

static void build_compare(struct builder *b, u32 insn) {
  u32 at = b->n - 1;
  u64 pc = b->pc + 4u * at;
  emit(b, interp_handlers.compare, at)->imm = 3;
  emit_edge(b, cti_compare_target(pc, insn), at + 1);
  emit_edge(b, pc + 4, at + 1);
}

/* The transfer just taken ends the block. */
static void build_transfer(struct builder *b, u32 row) {
  u32 insn = b->words[b->n - 1];
  u32 tt = builder_check(b->s, row, b->mode);
  if (tt) {
    emit(b, interp_handlers.trap, b->n - 1)->imm = (i32)tt;
    return;
  }
  switch (isa_rows[row].class) {
  case ISA_BRANCH: build_branch(b, insn); break;
  case ISA_CALL: build_call(b, insn); break;
  case ISA_CBCOND: build_compare(b, insn); break;
  default: build_jump(b, insn, row); break;
  }
}

static void build(struct builder *b) {
  for (;;) {
    if (builder_breakpoint(b->s, b->pc + 4u * b->n)) {
      if (b->n == 0) {
        take(b);
        emit(b, interp_handlers.breakpoint, 0);
      } else {
        emit_edge(b, b->pc + 4u * b->n, b->n);
      }
      return;
    }
    u32 row = take(b);
    if (is_transfer(row)) {
      build_transfer(b, row);
      return;
    }
    if (!emit_instruction(b, b->n - 1, NPC_NEXT)) return;
    if (isa_rows[row].class == ISA_END || b->n >= BLOCK_INSNS || b->n >= b->limit) {
      emit_edge(b, b->pc + 4u * b->n, b->n);
      return;
    }
  }
}

/* Each word once: another strand may write to them, and all of a block is to come from the same ones. */
static void read_code(struct builder *b, const u8 *host) {
  u32 n = b->limit < ARRAY_LEN(b->code) ? b->limit : (u32)ARRAY_LEN(b->code);
  for (u32 i = 0; i < n; i++) b->code[i] = code_fetch(host + 4u * i);
}

struct block *builder_build(struct strand *s, u64 pc, u64 ra) {
  struct ram_ref ref;
  u32 rights;
  if (!mmu_place(s->env, ra, &ref, &rights)) return NULL;
  u64 left = PAGE_BYTES - (pc & ~PAGE_MASK);
  if (left > ref.bytes) left = ref.bytes;
  struct builder b;
  b.s = s;
  b.pc = pc;
  b.limit = (u32)(left / 4);
  b.mode = s->mode;
  b.n = b.uops = b.previous = 0;
  b.target = 0;
  struct code_page *page = b.limit ? codecache_open(s->code, s, ref.pa, ref.code) : NULL;
  if (!page) return NULL;
  read_code(&b, ref.host);
  build(&b);
  struct block *block = block_new(b.n, b.uops);
  if (!block) return NULL;
  block->pc = pc;
  block->target = b.target;
  block->mode = b.mode;
  __builtin_memcpy(block->words, b.words, b.n * sizeof b.words[0]);
  __builtin_memcpy(block->rows, b.rows, b.n * sizeof b.rows[0]);
  __builtin_memcpy(block->side, b.side, b.uops);
  __builtin_memcpy(block->ops, b.ops, b.uops * sizeof b.ops[0]);
  return codecache_insert(s->code, page, block, ref.pa, ref.host) ? block : NULL;
}
