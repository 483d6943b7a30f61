/* traps.c - trap entry, DONE and RETRY in host code: the usual ones. What is not (a level too many, another address space than
 * the last two, an interrupt that may be waiting, a target that is no block's) goes to C before anything has changed.
 *
 * All registers are in the strand. The effects are those of strand_trap() and strand_done(), and only the codes stay lazy: a
 * handler's blocks may take for granted what a compare before the trap has left.
 *
 *   RAX  trap type, then the target     RSI RDI  TPC, TNPC     R8  new CWP      R9   new mode     R10  new bank
 *   R11  TL before, or after            R12  old PSTATE, or TSTATE              R13  trap type, or new PSTATE    R14  GL
 */
#include "jit/gen.h"
#include "strand/interp.h"

_Static_assert(MAX_TL == 2, "TL before a trap is 0 or 1, a bit of the handler's address");
_Static_assert(MODE_FP == (int)FPRS_FEF && MODE_PRIV == PSTATE_PRIV << 2 && MODE_CLE == PSTATE_CLE >> 8 &&
                   MODE_AM == PSTATE_AM >> 3 && MODE_FP == PSTATE_PEF >> 2, "the mode is made of bits of PSTATE and FPRS");
_Static_assert(offsetof(struct strand, cc_b) == offsetof(struct strand, cc_a) + 8, "stored together");
_Static_assert(sizeof(struct jump_entry) == 24, "scaled by 3 and 8");

static const struct x86_mem seam_low = {.base = RBP, .index = NO_REG, .disp = offsetof(struct strand, win)};
static const struct x86_mem seam_high = {.base = RBP, .index = NO_REG, .disp = offsetof(struct strand, win) + 8 * NWINDOWS * 16};

static struct x86_mem level_at(size_t array, i64 above) { /* of the level in R11 */
  return (struct x86_mem){RBP, R11, 3, (i32)((i64)array + 8 * above)};
}

static void copy_eight(struct x86 *x, struct x86_mem to, struct x86_mem from) {
  for (u8 i = 0; i < 4; i++, from.disp += 16) x86_movups_load(x, i, from);
  for (u8 i = 0; i < 4; i++, to.disp += 16) x86_movups_store(x, to, i);
}

/* RCX: the key of the implicit accesses from now on. R10: its bank, taken into use; RDX goes. */
static void select_bank(struct x86 *x, struct x86_label *slow) {
  struct x86_label same = {0};
  x86_load(x, W64, R10, FIELD_AT(bank));
  x86_alu_load(x, ALU_CMP, W64, RCX, x86_at(R10, offsetof(struct tlb_bank, key)));
  x86_jcc(x, CC_E, &same);
  x86_mov(x, W64, RDX, R10);
  x86_load(x, W64, R10, FIELD_AT(other));
  x86_alu_load(x, ALU_CMP, W64, RCX, x86_at(R10, offsetof(struct tlb_bank, key)));
  x86_jcc(x, CC_NE, slow);
  x86_load(x, W64, RCX, FIELD_AT(use_stamp));
  x86_alu_imm(x, ALU_ADD, W64, RCX, 1);
  x86_store(x, W64, FIELD_AT(use_stamp), RCX);
  x86_store(x, W64, x86_at(R10, offsetof(struct tlb_bank, used)), RCX);
  x86_store(x, W64, FIELD_AT(other), RDX);
  x86_store(x, W64, FIELD_AT(bank), R10);
  x86_lea(x, W64, RCX, x86_at(R10, offsetof(struct tlb_bank, d)));
  x86_store(x, W64, FIELD_AT(dtlb), RCX);
  x86_place(x, &same);
}

/* RCX: new GL. Globals change places with those of the old one, and go along to the window in R8. RDX, RSI go. */
static void move_registers(struct x86 *x) {
  struct x86_label here = {0}, low = {0}, high = {0};
  i32 globals = offsetof(struct strand, glob);
  x86_load_zx(x, 1, RDX, FIELD_AT(gl));
  x86_store_byte(x, FIELD_AT(gl), RCX);
  x86_shift_imm(x, SHIFT_LEFT, W32, RDX, 6);
  x86_shift_imm(x, SHIFT_LEFT, W32, RCX, 6);
  copy_eight(x, (struct x86_mem){RBP, RDX, 0, globals}, x86_at(RBX, 0));
  x86_load_zx(x, 1, RDX, FIELD_AT(cwp));
  x86_alu(x, ALU_CMP, W32, RDX, R8);
  x86_jcc(x, CC_E, &here);
  x86_test(x, W32, RDX, RDX);
  x86_jcc(x, CC_NE, &low);
  copy_eight(x, seam_low, seam_high);
  x86_place(x, &low);
  x86_store_byte(x, FIELD_AT(cwp), R8);
  x86_mov_imm(x, RDX, NWINDOWS - 1);
  x86_alu(x, ALU_SUB, W32, RDX, R8);
  x86_shift_imm(x, SHIFT_LEFT, W32, RDX, 7);
  x86_lea(x, W64, RBX, (struct x86_mem){RBP, RDX, 0, offsetof(struct strand, wglob)});
  x86_store(x, W64, FIELD_AT(w), RBX);
  x86_test(x, W32, R8, R8);
  x86_jcc(x, CC_NE, &high);
  copy_eight(x, seam_high, seam_low);
  x86_place(x, &high);
  x86_place(x, &here);
  copy_eight(x, x86_at(RBX, 0), (struct x86_mem){RBP, RCX, 0, globals});
}

/* RAX: target. R9: mode, R10: bank. To the block there, by the jump cache. */
static void go_on(struct x86 *x, struct thunks *t) {
  x86_store(x, W32, FIELD_AT(mode), R9);
  x86_load(x, W64, R11, x86_at(R10, offsetof(struct tlb_bank, epoch)));
  x86_shift_imm(x, SHIFT_LEFT, W64, R11, 16);
  x86_alu(x, ALU_OR, W64, R11, R9);
  x86_store(x, W64, FIELD_AT(jump_key), R11);
  x86_test(x, W64, R15, R15);
  x86_jcc(x, CC_S, &t->expire);
  x86_mov(x, W32, RCX, RAX);
  x86_shift_imm(x, SHIFT_RIGHT, W32, RCX, 2);
  x86_shift_imm(x, SHIFT_LEFT, W32, R9, JUMP_MODE_SHIFT);
  x86_alu(x, ALU_XOR, W32, RCX, R9);
  x86_alu_imm(x, ALU_AND, W32, RCX, JUMP_CACHE - 1);
  x86_lea(x, W64, RCX, (struct x86_mem){RCX, RCX, 1, 0});
  x86_lea(x, W64, RCX, (struct x86_mem){RBP, RCX, 3, (i32)offsetof(struct strand, jump)});
  x86_alu_load(x, ALU_CMP, W64, RAX, x86_at(RCX, offsetof(struct jump_entry, pc)));
  x86_jcc(x, CC_NE, &t->miss);
  x86_alu_load(x, ALU_CMP, W64, R11, x86_at(RCX, offsetof(struct jump_entry, key)));
  x86_jcc(x, CC_NE, &t->miss);
  x86_load(x, W64, RSI, x86_at(RCX, offsetof(struct jump_entry, block)));
  x86_jmp_mem(x, x86_at(RSI, offsetof(struct block, native)));
}

/* ---- entry ---- */

/* RCX: what is there, and behind it NZVC of the operands in one width. RAX, RDX go. */
static void add_codes(struct x86 *x, u32 alu, u32 width) {
  x86_load(x, W64, RAX, FIELD_AT(cc_a));
  x86_mov_imm(x, RDX, 0);
  x86_alu_load(x, alu, width, RAX, FIELD_AT(cc_b));
  emit_nzvc(x, RCX, RDX);
}

/* RCX: CCR, which stays what it is. RAX, RDX go. */
static void find_codes(struct x86 *x) {
  struct x86_label sum = {0}, is_explicit = {0}, end = {0};
  x86_load(x, W32, RDX, FIELD_AT(cc_kind));
  x86_mov_imm(x, RCX, 0);
  x86_alu_imm(x, ALU_CMP, W32, RDX, CC_ADD);
  x86_jcc(x, CC_A, &is_explicit);
  x86_jcc(x, CC_E, &sum);
  add_codes(x, ALU_CMP, W64);
  add_codes(x, ALU_CMP, W32);
  x86_jmp(x, &end);
  x86_place(x, &sum);
  add_codes(x, ALU_ADD, W64);
  add_codes(x, ALU_ADD, W32);
  x86_jmp(x, &end);
  x86_place(x, &is_explicit);
  x86_load_zx(x, 1, RCX, FIELD_AT(ccr));
  x86_place(x, &end);
}
_Static_assert(CC_SUB == 0 && CC_ADD == 1 && CC_EXPLICIT == 2, "find_codes()");

/* TSTATE and the like, of the level above R11. */
static void save_state(struct x86 *x) {
  find_codes(x);
  x86_load_zx(x, 1, R14, FIELD_AT(gl));
  x86_mov(x, W32, RAX, R14);
  x86_shift_imm(x, SHIFT_LEFT, W64, RAX, 8);
  x86_alu(x, ALU_OR, W64, RAX, RCX);
  x86_shift_imm(x, SHIFT_LEFT, W64, RAX, 8);
  x86_load_zx(x, 1, RDX, FIELD_AT(asi));
  x86_alu(x, ALU_OR, W64, RAX, RDX);
  x86_shift_imm(x, SHIFT_LEFT, W64, RAX, 16);
  x86_mov(x, W32, RDX, R12);
  x86_alu_imm(x, ALU_AND, W32, RDX, 0x1fff);
  x86_alu(x, ALU_OR, W64, RAX, RDX);
  x86_shift_imm(x, SHIFT_LEFT, W64, RAX, 8);
  x86_load_zx(x, 1, RDX, FIELD_AT(cwp));
  x86_alu(x, ALU_OR, W64, RAX, RDX);
  x86_store(x, W64, level_at(offsetof(struct strand, tstate), 1), RAX);
  x86_store(x, W64, level_at(offsetof(struct strand, tpc), 1), RSI);
  x86_store(x, W64, level_at(offsetof(struct strand, tnpc), 1), RDI);
  x86_store(x, W64, level_at(offsetof(struct strand, tt), 1), R13);
}

/* RAX: type of the spill or fill. */
static void window_type(struct x86 *x, u32 normal, u32 other) {
  struct x86_label ours = {0};
  x86_load_zx(x, 1, RAX, FIELD_AT(wstate));
  x86_mov_imm(x, RCX, normal);
  x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(otherwin), 0);
  x86_jcc(x, CC_E, &ours);
  x86_mov_imm(x, RCX, other);
  x86_shift_imm(x, SHIFT_RIGHT, W32, RAX, 3);
  x86_place(x, &ours);
  x86_alu_imm(x, ALU_AND, W32, RAX, 7);
  x86_lea(x, W32, RAX, (struct x86_mem){RCX, RAX, 2, 0});
}

/* Spills leave CWP at the window to spill, fills, which come where CANRESTORE is 0, at the one below. */
static void make_windows(struct x86 *x, struct thunks *t, struct x86_label *enter) {
  x86_place(x, &t->spill);
  window_type(x, TT_SPILL_NORMAL, TT_SPILL_OTHER);
  x86_load_zx(x, 1, R8, FIELD_AT(cwp));
  x86_load_zx(x, 1, RCX, FIELD_AT(cansave));
  x86_lea(x, W32, R8, (struct x86_mem){R8, RCX, 0, 2});
  x86_alu_imm(x, ALU_AND, W32, R8, NWINDOWS - 1);
  x86_jmp(x, enter);
  x86_place(x, &t->fill);
  window_type(x, TT_FILL_NORMAL, TT_FILL_OTHER);
  x86_load_zx(x, 1, R8, FIELD_AT(cwp));
  x86_alu_imm(x, ALU_ADD, W32, R8, NWINDOWS - 1);
  x86_alu_imm(x, ALU_AND, W32, R8, NWINDOWS - 1);
  x86_jmp(x, enter);
}

static struct block *deliver(struct strand *s, u32 tt) {
  strand_deliver(s, tt);
  return interp_next(s);
}

static void call_next(struct x86 *x, struct thunks *t, uintptr_t next) {
  x86_store(x, W64, FIELD_AT(budget), R15);
  x86_mov(x, W64, RDI, RBP);
  x86_mov_imm(x, RAX, next);
  x86_call_reg(x, RAX);
  x86_jmp(x, &t->go);
}

/* What C is to do; else R10 to R12 are as above. */
static void check_entry(struct x86 *x, struct x86_label *slow) {
  x86_load_zx(x, 1, R11, FIELD_AT(tl));
  x86_alu_imm(x, ALU_CMP, W32, R11, MAX_TL);
  x86_jcc(x, CC_AE, slow);
  x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(firmware), 0);
  x86_jcc(x, CC_NE, slow);
  x86_load(x, W64, RCX, FIELD_AT(env));
  x86_alu_mem_imm(x, ALU_CMP, W64, x86_at(RCX, offsetof(struct strand_env, observe)), 0);
  x86_jcc(x, CC_NE, slow);
  x86_load(x, W64, R12, FIELD_AT(pstate));
  x86_mov(x, W32, RCX, R12);
  x86_alu_imm(x, ALU_AND, W32, RCX, PSTATE_TLE);
  x86_jcc(x, CC_NE, slow);
  x86_alu_mem_imm(x, ALU_CMP, W64, FIELD_AT(mmu_enabled), 0); /* real addresses, or context 0 */
  x86_setcc(x, CC_E, RCX);
  x86_movzx(x, 1, RCX, RCX);
  x86_alu_imm(x, ALU_ADD, W32, RCX, BANK_PRIV);
  select_bank(x, slow);
}
_Static_assert(BANK_REAL == BANK_PRIV + 1, "check_entry()");

static void make_trap(struct x86 *x, struct thunks *t) {
  struct x86_label enter = {0}, slow = {0};
  make_windows(x, t, &enter);
  x86_place(x, &t->trap);
  x86_load_zx(x, 1, R8, FIELD_AT(cwp));
  x86_place(x, &enter);
  check_entry(x, &slow);
  x86_mov(x, W32, R13, RAX);
  save_state(x);
  x86_lea(x, W32, RCX, x86_at(R11, 1));
  x86_store_byte(x, FIELD_AT(tl), RCX);
  x86_alu_imm(x, ALU_AND, W32, R12, PSTATE_MM);
  x86_alu_imm(x, ALU_OR, W32, R12, PSTATE_PRIV | PSTATE_PEF);
  x86_store(x, W64, FIELD_AT(pstate), R12);
  x86_load(x, W32, R9, FIELD_AT(mode));
  x86_load_zx(x, 1, RCX, FIELD_AT(fprs));
  x86_alu_imm(x, ALU_AND, W32, R9, MODE_STRICT);
  x86_alu_imm(x, ALU_AND, W32, RCX, FPRS_FEF);
  x86_lea(x, W32, R9, (struct x86_mem){R9, RCX, 0, MODE_PRIV});
  x86_mov(x, W32, RCX, R14);
  x86_alu_imm(x, ALU_CMP, W32, RCX, MAX_GL);
  x86_alu_imm(x, ALU_ADC, W32, RCX, 0);
  move_registers(x);
  x86_alu_mem_imm(x, ALU_ADD, W64, FIELD_AT(traps), 1);
  x86_load(x, W64, RAX, FIELD_AT(tba));
  x86_alu_imm(x, ALU_AND, W64, RAX, ~0x7fff);
  x86_shift_imm(x, SHIFT_LEFT, W32, R11, 14);
  x86_alu(x, ALU_OR, W64, RAX, R11);
  x86_shift_imm(x, SHIFT_LEFT, W32, R13, 5);
  x86_alu(x, ALU_OR, W64, RAX, R13);
  go_on(x, t);
  x86_place(x, &slow);
  x86_store(x, W64, FIELD_AT(pc), RSI);
  x86_store(x, W64, FIELD_AT(npc), RDI);
  x86_mov(x, W32, RSI, RAX);
  call_next(x, t, (uintptr_t)deliver);
}

/* ---- return ---- */

static struct block *done(struct strand *s) {
  strand_done(s, false);
  return interp_next(s);
}

static struct block *retry(struct strand *s) {
  strand_done(s, true);
  return interp_next(s);
}

/* RAX: PC to go on at, where NPC follows it; else C. R11: the level; RCX, RDX go. */
static void find_pc(struct x86 *x, bool retries, struct x86_label *slow) {
  struct x86_label wide = {0};
  x86_load(x, W64, RDX, level_at(offsetof(struct strand, tnpc), 0));
  if (retries) x86_load(x, W64, RAX, level_at(offsetof(struct strand, tpc), 0));
  else x86_mov(x, W64, RAX, RDX), x86_alu_imm(x, ALU_ADD, W64, RDX, 4);
  x86_mov(x, W32, RCX, R13);
  x86_alu_imm(x, ALU_AND, W32, RCX, PSTATE_AM);
  x86_jcc(x, CC_E, &wide);
  x86_mov(x, W32, RAX, RAX);
  x86_mov(x, W32, RDX, RDX);
  x86_place(x, &wide);
  x86_lea(x, W64, RCX, x86_at(RAX, 4));
  x86_alu(x, ALU_CMP, W64, RCX, RDX);
  x86_jcc(x, CC_NE, slow);
}

/* RCX: key of the implicit accesses under R13 at the level in R11. RDX goes. */
static void find_key(struct x86 *x) {
  struct x86_label have = {0};
  x86_mov_imm(x, RCX, BANK_REAL);
  x86_alu_mem_imm(x, ALU_CMP, W64, FIELD_AT(mmu_enabled), 0);
  x86_jcc(x, CC_E, &have);
  x86_mov(x, W32, RCX, R13);
  x86_shift_imm(x, SHIFT_RIGHT, W32, RCX, 2);
  x86_alu_imm(x, ALU_AND, W32, RCX, BANK_PRIV);
  x86_test(x, W32, R11, R11);
  x86_jcc(x, CC_NE, &have);
  for (u32 i = 0; i < 2; i++) {
    x86_load(x, W64, RDX, x86_at(RBP, (i64)offsetof(struct strand, context) + 16 * (i64)i));
    x86_shift_imm(x, SHIFT_LEFT, W64, RDX, (u8)(2 + 16 * i));
    x86_alu(x, ALU_OR, W64, RCX, RDX);
  }
  x86_place(x, &have);
}

/* CCR of TSTATE in R12, as operands of a compare where one may have left it. RCX, RDX, RSI go. */
static void restore_codes(struct x86 *x, const struct saved_codes *codes) {
  x86_mov(x, W64, RCX, R12);
  x86_shift_imm(x, SHIFT_RIGHT, W64, RCX, 32);
  x86_movzx(x, 1, RCX, RCX);
  x86_store(x, W64, FIELD_AT(ccr), RCX);
  x86_mov_imm(x, RDX, (u64)(uintptr_t)codes);
  x86_load(x, W32, RSI, (struct x86_mem){RDX, RCX, 2, offsetof(struct saved_codes, kind)});
  x86_store(x, W32, FIELD_AT(cc_kind), RSI);
  x86_shift_imm(x, SHIFT_LEFT, W32, RCX, 4);
  x86_movups_load(x, 0, (struct x86_mem){RDX, RCX, 0, offsetof(struct saved_codes, operand)});
  x86_movups_store(x, FIELD_AT(cc_a), 0);
}

/* R9: the mode under R13. RCX, RDX go. */
static void find_mode(struct x86 *x) {
  x86_load(x, W32, R9, FIELD_AT(mode));
  x86_alu_imm(x, ALU_AND, W32, R9, MODE_STRICT);
  x86_mov(x, W32, RCX, R13);
  x86_alu_imm(x, ALU_AND, W32, RCX, PSTATE_PRIV);
  x86_shift_imm(x, SHIFT_LEFT, W32, RCX, 2);
  x86_alu(x, ALU_OR, W32, R9, RCX);
  static const struct { u32 shift, mask; } down[] = {{2, MODE_FP}, {3, MODE_AM}, {8, MODE_CLE}};
  for (u32 i = 0; i < ARRAY_LEN(down); i++) {
    x86_mov(x, W32, RCX, R13);
    x86_shift_imm(x, SHIFT_RIGHT, W32, RCX, (u8)down[i].shift);
    x86_alu_imm(x, ALU_AND, W32, RCX, (i32)down[i].mask);
    if (down[i].mask == MODE_FP) {
      x86_load_zx(x, 1, RDX, FIELD_AT(fprs));
      x86_alu(x, ALU_AND, W32, RCX, RDX);
    }
    x86_alu(x, ALU_OR, W32, R9, RCX);
  }
}

static void nothing_waits(struct x86 *x, struct x86_label *slow) {
  x86_alu_mem_imm(x, ALU_CMP, W64, FIELD_AT(softint), 0);
  x86_jcc(x, CC_NE, slow);
  for (i64 q = 0; q < 4; q++) {
    x86_load(x, W64, RCX, x86_at(RBP, (i64)offsetof(struct strand, queue_tail) + 8 * q));
    x86_alu_load(x, ALU_CMP, W64, RCX, x86_at(RBP, (i64)offsetof(struct strand, queue_head) + 8 * q));
    x86_jcc(x, CC_NE, slow);
  }
}

/* At TL 1 and above. */
static void make_return(struct x86 *x, struct jit *j, struct x86_label *label, bool retries) {
  struct x86_label slow = {0};
  x86_place(x, label);
  nothing_waits(x, &slow);
  x86_load_zx(x, 1, R11, FIELD_AT(tl));
  x86_load(x, W64, R12, level_at(offsetof(struct strand, tstate), 0));
  x86_mov(x, W64, R13, R12);
  x86_shift_imm(x, SHIFT_RIGHT, W64, R13, 8);
  x86_alu_imm(x, ALU_AND, W32, R13, PSTATE_ALL);
  find_pc(x, retries, &slow);
  x86_alu_imm(x, ALU_SUB, W32, R11, 1);
  find_key(x);
  select_bank(x, &slow);
  x86_store_byte(x, FIELD_AT(tl), R11);
  x86_store(x, W64, FIELD_AT(pstate), R13);
  restore_codes(x, &j->codes);
  x86_mov(x, W64, RCX, R12);
  x86_shift_imm(x, SHIFT_RIGHT, W64, RCX, 24);
  x86_store_byte(x, FIELD_AT(asi), RCX);
  find_mode(x);
  x86_mov(x, W32, R8, R12);
  x86_alu_imm(x, ALU_AND, W32, R8, NWINDOWS - 1);
  x86_mov(x, W64, RCX, R12);
  x86_shift_imm(x, SHIFT_RIGHT, W64, RCX, 40);
  x86_alu_imm(x, ALU_AND, W32, RCX, 7);
  x86_mov_imm(x, RDX, MAX_GL);
  x86_alu(x, ALU_CMP, W32, RCX, RDX);
  x86_cmov(x, CC_A, RCX, RDX);
  move_registers(x);
  go_on(x, &j->thunks);
  x86_place(x, &slow);
  call_next(x, &j->thunks, retries ? (uintptr_t)retry : (uintptr_t)done);
}

void traps_make(struct x86 *x, struct jit *j) {
  for (u32 ccr = 0; ccr < 256; ccr++) j->codes.kind[ccr] = trap_codes(ccr, j->codes.operand[ccr]) ? CC_SUB : CC_EXPLICIT;
  make_trap(x, &j->thunks);
  make_return(x, j, &j->thunks.done, false);
  make_return(x, j, &j->thunks.retry, true);
}
