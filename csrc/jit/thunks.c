/* thunks.c - the way in from the interpreter, the ways back, and the call of a body. */
#include "jit/gen.h"
#include "strand/interp.h"
#include "strand/special.h"

static const u8 saved[] = {RBX, RBP, R12, R13, R14, R15};

static void restore_host(struct x86 *x) {
  x86_store(x, W64, FIELD_AT(budget), R15);
  x86_alu_imm(x, ALU_ADD, W64, RSP, FRAME_BYTES);
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

#define BODY_DONE ((const struct block *)1)

/* RAX and flags go. */
static void count(struct x86 *x, const u64 *counter) {
  x86_mov_imm(x, RAX, (u64)(uintptr_t)counter);
  x86_alu_mem_imm(x, ALU_ADD, W64, x86_at(RAX, 0), 1);
}

static void count_body(struct jit *j, const struct block *b, const struct uop *u) {
  j->bodies[b->rows[b->side[u - b->ops] & SIDE_INDEX]]++;
}

/* Where to go on: BODY_DONE, behind the instruction; a block; or NULL, to the run loop. */
static const struct block *run_body(struct strand *s, const struct uop *u, struct jit *j) {
  count_body(j, s->block, u);
  return interp_body(s, u) ? interp_next(s) : BODY_DONE;
}

static const struct block *run_hypercall(struct strand *s, const struct uop *u, struct jit *j) {
  count_body(j, s->block, u);
  return interp_hypercall(s, u) ? interp_next(s) : BODY_DONE;
}

static void make_ways_in(struct x86 *x, struct thunks *t) {
  x86_place(x, &t->enter);
  for (u32 i = 0; i < ARRAY_LEN(saved); i++) x86_push(x, saved[i]);
  x86_alu_imm(x, ALU_SUB, W64, RSP, FRAME_BYTES);
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
  x86_place(x, &t->go);
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

typedef const struct block *(*run_fn)(struct strand *, const struct uop *, struct jit *);

static void make_body(struct x86 *x, struct jit *j, struct x86_label *label, run_fn run) {
  struct thunks *t = &j->thunks;
  struct x86_label elsewhere = {0};
  x86_place(x, label);
  x86_store(x, W64, FIELD_AT(block), RAX);
  x86_mov(x, W64, RDI, RBP);
  x86_store(x, W64, FIELD_AT(budget), R15);
  x86_alu_imm(x, ALU_SUB, W64, RSP, 8);
  x86_mov_imm(x, RDX, (u64)(uintptr_t)j);
  x86_mov_imm(x, RAX, (u64)(uintptr_t)run);
  x86_call_reg(x, RAX);
  x86_alu_imm(x, ALU_ADD, W64, RSP, 8);
  x86_load(x, W64, R15, FIELD_AT(budget));
  x86_load(x, W64, RBX, FIELD_AT(w));
  x86_alu_imm(x, ALU_CMP, W64, RAX, 1);
  x86_jcc(x, CC_NE, &elsewhere);
  x86_ret(x);
  x86_place(x, &elsewhere);
  x86_alu_imm(x, ALU_ADD, W64, RSP, 8);
  x86_jmp(x, &t->go);
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

static u64 read_tick(struct strand *s, u32 index) {
  s->cold_index = index;
  u64 v = special_tick(s);
  s->cold_index = 0;
  return v;
}

static u64 read_stick(struct strand *s, u32 index) {
  s->cold_index = index;
  u64 v = special_stick(s);
  s->cold_index = 0;
  return v;
}

static void make_clock(struct x86 *x, struct x86_label *label, u64 (*read)(struct strand *, u32)) {
  static const u8 kept[] = {RSI, RDI, R8, R9, R10, R11};
  x86_place(x, label);
  for (u32 i = 0; i < ARRAY_LEN(kept); i++) x86_push(x, kept[i]);
  x86_alu_imm(x, ALU_SUB, W64, RSP, 8);
  x86_store(x, W64, FIELD_AT(budget), R15);
  x86_mov(x, W64, RDI, RBP);
  x86_mov(x, W32, RSI, RAX);
  x86_mov_imm(x, RAX, (u64)(uintptr_t)read);
  x86_call_reg(x, RAX);
  x86_alu_imm(x, ALU_ADD, W64, RSP, 8);
  for (u32 i = ARRAY_LEN(kept); i-- > 0;) x86_pop(x, kept[i]);
  x86_ret(x);
}

void thunks_make(struct jit *j) {
  struct x86 x = {.start = j->mem.write, .size = j->mem.size};
  make_ways_in(&x, &j->thunks);
  make_ways_back(&x, j);
  make_body(&x, j, &j->thunks.body, run_body);
  make_body(&x, j, &j->thunks.call, run_hypercall);
  make_clock(&x, &j->thunks.tick, read_tick);
  make_clock(&x, &j->thunks.stick, read_stick);
  traps_make(&x, j);
  probes_make(&x, j);
  make_seam(&x, &j->thunks.seam_save, window_save);
  make_seam(&x, &j->thunks.seam_restore, window_restore);
  j->used = j->start = (x.at + 63) & ~63u;
}
