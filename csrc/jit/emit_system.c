/* emit_system.c - state registers, the windows' counters, DONE and RETRY, Tcc, barriers.
 *
 * What changes the mode, or lets in an interrupt that is pending, is the body's, which then leaves the region: the stub's way
 * back is not taken.
 */
#include "jit/gen.h"
#include "strand/special.h"

static struct x86_mem level_at(u32 n) { /* RCX: TL */
  static const u16 at[] = {offsetof(struct strand, tpc), offsetof(struct strand, tnpc), offsetof(struct strand, tstate),
                           offsetof(struct strand, tt)};
  return (struct x86_mem){RBP, RCX, 3, at[n]};
}

/* Registers of a byte, and of 64 bits. */
static struct x86_mem byte_at(u32 n) {
  switch (n) {
  case PR_TL: return FIELD_AT(tl);
  case PR_PIL: return FIELD_AT(pil);
  case PR_CWP: return FIELD_AT(cwp);
  case PR_CANSAVE: return FIELD_AT(cansave);
  case PR_CANRESTORE: return FIELD_AT(canrestore);
  case PR_CLEANWIN: return FIELD_AT(cleanwin);
  case PR_OTHERWIN: return FIELD_AT(otherwin);
  case PR_WSTATE: return FIELD_AT(wstate);
  default: return FIELD_AT(gl);
  }
}

/* TL to RCX; at TL 0 there is no such register. */
static void load_level(struct gen *g, struct stub *s) {
  struct x86 *x = &g->x;
  x86_load_zx(x, 1, RCX, FIELD_AT(tl));
  x86_test(x, W32, RCX, RCX);
  x86_jcc(x, CC_E, &s->from);
}

static void emit_rdpr(struct gen *g, u32 n, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  u8 target = gen_target(g, rd, RAX);
  if (n <= PR_TT) {
    struct stub *s = gen_body_stub(g, uop, rd);
    load_level(g, s);
    x86_load(x, W64, target, level_at(n));
    gen_set(g, rd, target);
    x86_place(x, &s->back);
    return;
  }
  if (n == PR_TBA) x86_load(x, W64, target, FIELD_AT(tba));
  else if (n == PR_PSTATE) x86_load(x, W64, target, FIELD_AT(pstate));
  else x86_load_zx(x, 1, target, byte_at(n));
  gen_set(g, rd, target);
}

/* rs1 XOR operand 2 to RAX. */
static void written_value(struct gen *g, u32 insn) {
  struct x86 *x = &g->x;
  u32 rs1 = insn_rs1(insn);
  if (rs1 == 0 && insn_i(insn)) {
    x86_mov_imm(x, RAX, (u64)insn_simm(insn, 13));
    return;
  }
  gen_load(g, rs1, RAX);
  if (insn_i(insn)) {
    if (insn_simm(insn, 13)) x86_alu_imm(x, ALU_XOR, W64, RAX, (i32)insn_simm(insn, 13));
  } else if (insn_rs2(insn)) {
    u8 b = gen_source(g, insn_rs2(insn), RCX);
    x86_alu(x, ALU_XOR, W64, RAX, b);
  }
}

static void write_level(struct gen *g, u32 n, struct stub *s) {
  struct x86 *x = &g->x;
  load_level(g, s);
  if (n == PR_TSTATE) {
    x86_mov_imm(x, RDX, TSTATE_ALL);
    x86_alu(x, ALU_AND, W64, RAX, RDX);
  } else {
    x86_alu_imm(x, ALU_AND, n == PR_TT ? W32 : W64, RAX, n == PR_TT ? 0x1ff : -4);
  }
  x86_store(x, W64, level_at(n), RAX);
}

/* To the body where an interrupt may be waiting that the level in RAX would let in. RCX goes. */
static void if_nothing_waits(struct gen *g, struct stub *s) {
  struct x86 *x = &g->x;
  x86_alu_mem_imm(x, ALU_CMP, W64, FIELD_AT(softint), 0);
  x86_jcc(x, CC_NE, &s->from);
  for (i64 q = 0; q < 4; q++) {
    x86_load(x, W64, RCX, x86_at(RBP, (i64)offsetof(struct strand, queue_tail) + 8 * q));
    x86_alu_load(x, ALU_CMP, W64, RCX, x86_at(RBP, (i64)offsetof(struct strand, queue_head) + 8 * q));
    x86_jcc(x, CC_NE, &s->from);
  }
}

static void write_pil(struct gen *g, struct stub *s) {
  struct x86 *x = &g->x;
  struct x86_label higher = {0};
  x86_alu_imm(x, ALU_AND, W32, RAX, 15);
  x86_load_zx(x, 1, RCX, FIELD_AT(pil));
  x86_alu(x, ALU_CMP, W32, RAX, RCX);
  x86_jcc(x, CC_AE, &higher);
  if_nothing_waits(g, s);
  x86_place(x, &higher);
  x86_store_byte(x, FIELD_AT(pil), RAX);
}

/* Only IE may be another. */
static void write_pstate(struct gen *g, struct stub *s) {
  struct x86 *x = &g->x;
  struct x86_label closed = {0};
  x86_alu_imm(x, ALU_AND, W32, RAX, PSTATE_ALL);
  x86_load(x, W64, RDX, FIELD_AT(pstate));
  x86_alu(x, ALU_XOR, W64, RDX, RAX);
  x86_alu_imm(x, ALU_AND, W64, RDX, ~(i32)PSTATE_IE);
  x86_jcc(x, CC_NE, &s->from);
  x86_mov(x, W32, RCX, RAX);
  x86_alu_imm(x, ALU_AND, W32, RCX, PSTATE_IE);
  x86_jcc(x, CC_E, &closed);
  if_nothing_waits(g, s);
  x86_place(x, &closed);
  x86_store(x, W64, FIELD_AT(pstate), RAX);
}

static void emit_wrpr(struct gen *g, u32 n, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  struct stub *s = gen_body_stub(g, uop, 32);
  written_value(g, insn);
  switch (n) {
  case PR_TPC: case PR_TNPC: case PR_TSTATE: case PR_TT: write_level(g, n, s); break;
  case PR_PIL: write_pil(g, s); break;
  case PR_PSTATE: write_pstate(g, s); break;
  case PR_TBA:
    x86_alu_imm(x, ALU_AND, W64, RAX, ~0x7fff);
    x86_store(x, W64, FIELD_AT(tba), RAX);
    break;
  default:
    x86_alu_imm(x, ALU_AND, W32, RAX, n == PR_WSTATE ? 63 : 7);
    x86_store_byte(x, byte_at(n), RAX);
  }
  x86_place(x, &s->back);
}

/* %g1 to %g7, and the cell beside them, change places; a GL above the highest is the highest. */
static void emit_wrgl(struct gen *g, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  struct x86_label same = {0};
  if (insn_rs1(insn) || !insn_i(insn) || (u64)insn_simm(insn, 13) > MAX_GL) {
    gen_body(g, uop);
    return;
  }
  u32 to = (u32)insn_simm(insn, 13);
  i64 globals = offsetof(struct strand, glob);
  gen_write_back(g, g->dirty);
  g->dirty = 0;
  x86_load_zx(x, 1, RAX, FIELD_AT(gl));
  x86_alu_imm(x, ALU_CMP, W32, RAX, (i32)to);
  x86_jcc(x, CC_E, &same);
  x86_shift_imm(x, SHIFT_LEFT, W32, RAX, 6);
  for (u8 i = 0; i < 4; i++) x86_movups_load(x, i, x86_at(RBX, 16 * i));
  for (u8 i = 0; i < 4; i++) x86_movups_store(x, (struct x86_mem){RBP, RAX, 0, (i32)globals + 16 * i}, i);
  for (u8 i = 0; i < 4; i++) x86_movups_load(x, i, x86_at(RBP, globals + 64 * (i64)to + 16 * i));
  for (u8 i = 0; i < 4; i++) x86_movups_store(x, x86_at(RBX, 16 * i), i);
  x86_mov_imm(x, RAX, to);
  x86_store_byte(x, FIELD_AT(gl), RAX);
  x86_place(x, &same);
  gen_reload(g, g->live);
  gen_forget_cc(g);
}

static void emit_rdasr(struct gen *g, u32 n, u32 insn) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  u8 target = gen_target(g, rd, RAX);
  if (n == ASR_SOFTINT) x86_load(x, W64, target, FIELD_AT(softint));
  else x86_load_zx(x, 1, target, n == ASR_ASI ? FIELD_AT(asi) : FIELD_AT(fprs));
  gen_set(g, rd, target);
}

static void emit_wrasr(struct gen *g, u32 n, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  if (n == ASR_ASI) {
    written_value(g, insn);
    x86_store_byte(x, FIELD_AT(asi), RAX);
    if (insn_rs1(insn) == 0 && insn_i(insn)) g->asi = (u8)insn_simm(insn, 13);
    return;
  }
  struct stub *s = gen_body_stub(g, uop, 32); /* another FPRS: perhaps another mode */
  written_value(g, insn);
  x86_alu_imm(x, ALU_AND, W32, RAX, 7);
  x86_load_zx(x, 1, RCX, FIELD_AT(fprs));
  x86_alu(x, ALU_CMP, W32, RAX, RCX);
  x86_jcc(x, CC_NE, &s->from);
  x86_place(x, &s->back);
}

static void emit_clock(struct gen *g, u32 n, u32 insn, u32 index, u32 uop) {
  struct x86 *x = &g->x;
  bool stick = n == ASR_STICK, priv = g->node->block->mode & MODE_PRIV;
  struct stub *s = priv ? NULL : gen_body_stub(g, uop, insn_rd(insn));
  if (s) {
    x86_alu_mem_imm(x, ALU_CMP, W64, stick ? FIELD_AT(stick_npt) : FIELD_AT(tick_npt), 0);
    x86_jcc(x, CC_NE, &s->from);
  }
  x86_mov_imm(x, RAX, index);
  x86_call(x, stick ? &g->jit->thunks.stick : &g->jit->thunks.tick);
  gen_set(g, insn_rd(insn), RAX);
  if (s) x86_place(x, &s->back);
}

/* A counter of windows, modulo 8. RAX goes. */
static void count_window(struct gen *g, struct x86_mem counter, i32 step) {
  struct x86 *x = &g->x;
  x86_load_zx(x, 1, RAX, counter);
  x86_alu_imm(x, ALU_ADD, W32, RAX, step);
  x86_alu_imm(x, ALU_AND, W32, RAX, 7);
  x86_store_byte(x, counter, RAX);
}

/* SAVED and RESTORED: one more of the one, one less of the other or of OTHERWIN. */
static void shift_window(struct gen *g, struct x86_mem more, struct x86_mem less) {
  struct x86 *x = &g->x;
  struct x86_label other = {0}, behind = {0};
  count_window(g, more, 1);
  x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(otherwin), 0);
  x86_jcc(x, CC_NE, &other);
  count_window(g, less, -1);
  x86_jmp(x, &behind);
  x86_place(x, &other);
  x86_alu_byte_imm(x, ALU_SUB, FIELD_AT(otherwin), 1);
  x86_place(x, &behind);
}

static void move_window_count(struct gen *g, struct x86_mem from, struct x86_mem to) {
  x86_load_zx(&g->x, 1, RAX, from);
  x86_store_byte(&g->x, to, RAX);
  x86_alu_byte_imm(&g->x, ALU_AND, from, 0);
}

static void emit_windows(struct gen *g, u32 move) {
  struct x86 *x = &g->x;
  struct x86_label clean = {0};
  switch (move) {
  case WINDOWS_SAVED: shift_window(g, FIELD_AT(cansave), FIELD_AT(canrestore)); break;
  case WINDOWS_RESTORED:
    shift_window(g, FIELD_AT(canrestore), FIELD_AT(cansave));
    x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(cleanwin), NWINDOWS - 1);
    x86_jcc(x, CC_AE, &clean);
    x86_alu_byte_imm(x, ALU_ADD, FIELD_AT(cleanwin), 1);
    x86_place(x, &clean);
    break;
  case WINDOWS_ALLCLEAN:
    x86_mov_imm(x, RAX, NWINDOWS - 1);
    x86_store_byte(x, FIELD_AT(cleanwin), RAX);
    break;
  case WINDOWS_OTHERW: move_window_count(g, FIELD_AT(canrestore), FIELD_AT(otherwin)); break;
  case WINDOWS_NORMALW: move_window_count(g, FIELD_AT(otherwin), FIELD_AT(canrestore)); break;
  default: /* WINDOWS_INVALW */
    x86_mov_imm(x, RAX, NWINDOWS - 2);
    x86_store_byte(x, FIELD_AT(cansave), RAX);
    x86_alu_byte_imm(x, ALU_AND, FIELD_AT(canrestore), 0);
    x86_alu_byte_imm(x, ALU_AND, FIELD_AT(otherwin), 0);
  }
}

/* Nothing is fetched behind the store's back, but another strand may have made this very block stale. */
static void emit_flush(struct gen *g, u32 uop) {
  if (!g->jit->beside) return;
  struct stub *s = gen_body_stub(g, uop, 32);
  x86_mov_imm(&g->x, RAX, (u64)(uintptr_t)g->node->block);
  x86_alu_mem_imm(&g->x, ALU_CMP, W32, x86_at(RAX, offsetof(struct block, stale)), 0);
  x86_jcc(&g->x, CC_NE, &s->from);
  x86_place(&g->x, &s->back);
}

/* At TL 0 they are illegal. */
static void emit_done(struct gen *g, bool retry, u32 index, u32 uop) {
  struct x86 *x = &g->x;
  gen_write_back(g, g->dirty);
  g->dirty = 0;
  struct stub *s = gen_body_stub(g, uop, 32);
  x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(tl), 0);
  x86_jcc(x, CC_E, &s->from);
  x86_alu_imm(x, ALU_SUB, W64, R15, (i32)index + 1);
  x86_jmp(x, retry ? &g->jit->thunks.retry : &g->jit->thunks.done);
  x86_place(x, &s->back);
  gen_forget_cc(g);
  g->cc.kind = KIND_UNKNOWN;
}

static void emit_windows_flush(struct gen *g, u32 uop) {
  struct stub *trap = gen_trap_stub(g, uop, TT_SPILL_NORMAL);
  x86_alu_byte_imm(&g->x, ALU_CMP, FIELD_AT(cansave), NWINDOWS - 2);
  x86_jcc(&g->x, CC_NE, &trap->from);
}

/* The trap of an immediate number; 0: a hypercall, or a number that is not known here. */
static u32 trap_type(const struct gen *g, u32 insn) {
  bool hypercall = insn & 0x80 && g->node->block->mode & MODE_PRIV;
  return hypercall || !insn_i(insn) || insn_rs1(insn) ? 0 : TT_TRAP_INSTRUCTION + (insn & 0x7f);
}

static void emit_trap_always(struct gen *g, u32 insn, u32 uop) {
  u32 tt = trap_type(g, insn);
  if (!tt) {
    gen_hypercall(g, uop);
    return;
  }
  gen_write_back(g, g->dirty);
  g->dirty = 0;
  gen_trap(g, g->node, uop, tt);
  gen_forget_cc(g);
  g->cc.kind = KIND_UNKNOWN;
}

static void emit_tcc(struct gen *g, bool xcc, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 tt = trap_type(g, insn);
  struct stub *s = gen_body_stub(g, uop, 32), *taken = tt ? gen_trap_stub(g, uop, tt) : s;
  u8 known = g->cc.kind;
  if (known == KIND_UNKNOWN) {
    x86_alu_mem_imm(x, ALU_CMP, W32, FIELD_AT(cc_kind), CC_SUB);
    x86_jcc(x, CC_NE, &s->from);
    g->cc.kind = CC_SUB;
  }
  x86_jcc(x, emit_condition(g, insn >> 25 & 15, xcc), &taken->from);
  g->cc.kind = known;
  x86_place(x, &s->back);
}

void emit_system(struct gen *g, struct op op, u32 insn, u32 index, u32 uop) {
  switch (op.kind) {
  case OP_RDPR: emit_rdpr(g, op.arg, insn, uop); break;
  case OP_WRPR: emit_wrpr(g, op.arg, insn, uop); break;
  case OP_WRGL: emit_wrgl(g, insn, uop); break;
  case OP_RDASR: emit_rdasr(g, op.arg, insn); break;
  case OP_WRASR: emit_wrasr(g, op.arg, insn, uop); break;
  case OP_CLOCK: emit_clock(g, op.arg, insn, index, uop); break;
  case OP_WINDOWS: emit_windows(g, op.arg); break;
  case OP_FENCE:
    if (insn & 0x72) x86_fence(&g->x); /* #StoreLoad, and what completes accesses; the rest is TSO anyway */
    break;
  case OP_ALIGN: emit_align(g, insn); break;
  case OP_FLUSH: emit_flush(g, uop); break;
  case OP_DONE: emit_done(g, op.arg, index, uop); break;
  case OP_FLUSHW: emit_windows_flush(g, uop); break;
  case OP_TRAP: emit_trap_always(g, insn, uop); break;
  default: emit_tcc(g, op.wide, insn, uop);
  }
}
