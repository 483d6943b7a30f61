/* thunks.c - the way in from the interpreter, the ways back, and the call of a body. */
#include "jit/gen.h"
#include "strand/interp.h"

static const u8 saved[] = {RBX, RBP, R12, R13, R14, R15};

static void restore_host(struct x86 *x) {
  x86_store(x, W64, FIELD_AT(budget), R15);
  x86_alu_imm(x, ALU_ADD, W64, RSP, 8);
  for (u32 i = ARRAY_LEN(saved); i-- > 0;) x86_pop(x, saved[i]);
}

/* As the interpreter's handlers expect their arguments: strand, micro-op (RSI), window, condition-code operands. */
static void handler_arguments(struct x86 *x) {
  x86_mov(x, W64, RDI, RBP);
  x86_mov(x, W64, RDX, RBX);
  x86_load(x, W64, RCX, FIELD_AT(cc_a));
  x86_load(x, W64, R8, FIELD_AT(cc_b));
  restore_host(x);
}

/* RAX and flags go. */
static void count(struct x86 *x, const u64 *counter) {
  x86_mov_imm(x, RAX, (u64)(uintptr_t)counter);
  x86_alu_mem_imm(x, ALU_ADD, W64, x86_at(RAX, 0), 1);
}

static u32 counted_body(struct strand *s, const struct uop *u, struct jit *j) {
  const struct block *b = s->block;
  j->bodies[b->rows[b->side[u - b->ops] & SIDE_INDEX]]++;
  return interp_body(s, u);
}

static void make_ways_in(struct x86 *x, struct thunks *t) {
  x86_place(x, &t->enter);
  for (u32 i = 0; i < ARRAY_LEN(saved); i++) x86_push(x, saved[i]);
  x86_alu_imm(x, ALU_SUB, W64, RSP, 8);
  x86_mov(x, W64, RBP, RDI);
  x86_mov(x, W64, RBX, RDX);
  x86_load(x, W64, R15, FIELD_AT(budget));
  x86_store(x, W64, FIELD_AT(cc_a), RCX);
  x86_store(x, W64, FIELD_AT(cc_b), R8);
  x86_load(x, W64, RSI, FIELD_AT(block));
  x86_jmp_mem(x, x86_at(RSI, offsetof(struct block, native)));
}

static void make_ways_back(struct x86 *x, struct jit *j) {
  struct thunks *t = &j->thunks;
  struct x86_label out = {0}, common = {0};
  x86_place(x, &t->leave);
  count(x, &j->counts.left);
  x86_store(x, W64, FIELD_AT(block), RSI);
  x86_load(x, W64, RSI, x86_at(RSI, offsetof(struct block, ops)));
  x86_load(x, W64, R9, x86_at(RSI, offsetof(struct uop, h)));
  x86_jmp(x, &common);
  x86_place(x, &t->leave_at);
  count(x, &j->counts.left_at);
  x86_place(x, &common);
  handler_arguments(x);
  x86_jmp_reg(x, R9);
  x86_place(x, &t->miss);
  x86_store(x, W64, FIELD_AT(pc), RAX);
  x86_alu_imm(x, ALU_ADD, W64, RAX, 4);
  x86_store(x, W64, FIELD_AT(npc), RAX);
  x86_place(x, &t->dispatch);
  count(x, &j->counts.lookups);
  x86_store(x, W64, FIELD_AT(budget), R15);
  x86_mov(x, W64, RDI, RBP);
  x86_mov_imm(x, RAX, (u64)(uintptr_t)interp_next);
  x86_call_reg(x, RAX);
  x86_load(x, W64, R15, FIELD_AT(budget));
  x86_load(x, W64, RBX, FIELD_AT(w));
  x86_test(x, W64, RAX, RAX);
  x86_jcc(x, CC_E, &out);
  x86_store(x, W64, FIELD_AT(block), RAX);
  x86_mov(x, W64, RSI, RAX);
  x86_jmp_mem(x, x86_at(RSI, offsetof(struct block, native)));
  x86_place(x, &t->expire_jump);
  x86_load(x, W64, RAX, FIELD_AT(npc));
  x86_place(x, &t->expire);
  x86_store(x, W64, FIELD_AT(pc), RAX);
  x86_alu_imm(x, ALU_ADD, W64, RAX, 4);
  x86_store(x, W64, FIELD_AT(npc), RAX);
  x86_place(x, &out);
  restore_host(x);
  x86_ret(x);
}

static void make_body(struct x86 *x, struct jit *j) {
  struct thunks *t = &j->thunks;
  struct x86_label elsewhere = {0};
  x86_place(x, &t->body);
  x86_store(x, W64, FIELD_AT(block), RAX);
  x86_mov(x, W64, RDI, RBP);
  x86_store(x, W64, FIELD_AT(budget), R15);
  x86_alu_imm(x, ALU_SUB, W64, RSP, 8);
  x86_mov_imm(x, RDX, (u64)(uintptr_t)j);
  x86_mov_imm(x, RAX, (u64)(uintptr_t)counted_body);
  x86_call_reg(x, RAX);
  x86_alu_imm(x, ALU_ADD, W64, RSP, 8);
  x86_load(x, W64, R15, FIELD_AT(budget));
  x86_load(x, W64, RBX, FIELD_AT(w));
  x86_test(x, W32, RAX, RAX);
  x86_jcc(x, CC_NE, &elsewhere);
  x86_ret(x);
  x86_place(x, &elsewhere);
  x86_alu_imm(x, ALU_ADD, W64, RSP, 8);
  x86_jmp(x, &t->dispatch);
}

/* A move of the window at the seam of the ring, which is known to be allowed. RAX stays; the registers are in the strand. */
static void make_seam(struct x86 *x, struct x86_label *label, u32 (*move)(struct strand *)) {
  x86_place(x, label);
  x86_push(x, RAX);
  x86_mov(x, W64, RDI, RBP);
  x86_mov_imm(x, RAX, (u64)(uintptr_t)move);
  x86_call_reg(x, RAX);
  x86_load(x, W64, RBX, FIELD_AT(w));
  x86_pop(x, RAX);
  x86_ret(x);
}

void thunks_make(struct jit *j) {
  struct x86 x = {.start = j->mem.write, .size = j->mem.size};
  make_ways_in(&x, &j->thunks);
  make_ways_back(&x, j);
  make_body(&x, j);
  make_seam(&x, &j->thunks.seam_save, window_save);
  make_seam(&x, &j->thunks.seam_restore, window_restore);
  j->used = j->start = (x.at + 63) & ~63u;
}
