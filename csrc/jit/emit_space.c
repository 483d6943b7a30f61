/* emit_space.c - alternate spaces, atomics, pairs.
 *
 * The strand remembers which bank of the soft TLB an alternate space had last (asi.h). An access that hits there counts as a
 * use of the bank, as it does in mmu_bank(): banks that are used least are emptied first, and a guest can tell.
 */
#include "jit/gen.h"
#include "strand/asi.h"

enum { TAG_R = offsetof(struct tlb_entry, rtag), TAG_W = offsetof(struct tlb_entry, wtag) };

/* An access: what the compare of the tag needs to know. */
struct access {
  u32 bytes, tag;
  bool cacheable; /* atomics want TLB_CP */
  bool alternate;
  u32 space;      /* then: enum asi_space */
};

static struct x86_mem space_at(const struct gen *g, u32 space) {
  u32 priv = (g->node->block->mode & MODE_PRIV) != 0;
  return x86_at(RBP, (i64)offsetof(struct strand, space) + 8 * (i64)(priv * SPACES + space));
}

/* The space's bank was used. RCX and RDX go. */
static void count_use(struct gen *g, u32 space) {
  struct x86 *x = &g->x;
  struct x86_label implicit = {0};
  x86_load(x, W64, RDX, space_at(g, space));
  x86_alu_load(x, ALU_CMP, W64, RDX, FIELD_AT(bank));
  x86_jcc(x, CC_E, &implicit);
  x86_load(x, W64, RCX, FIELD_AT(use_stamp));
  x86_alu_imm(x, ALU_ADD, W64, RCX, 1);
  x86_store(x, W64, FIELD_AT(use_stamp), RCX);
  x86_store(x, W64, x86_at(RDX, offsetof(struct tlb_bank, used)), RCX);
  x86_place(x, &implicit);
}

/* RAX: address, then the host's. Anything unusual is the body's. RCX and RDX go. */
static void translate(struct gen *g, const struct access *a, struct stub *s) {
  struct x86 *x = &g->x;
  if (a->alternate) {
    x86_load(x, W64, RDX, space_at(g, a->space));
    x86_test(x, W64, RDX, RDX);
    x86_jcc(x, CC_E, &s->from);
  }
  x86_rorx(x, W64, RCX, RAX, PAGE_BITS - 5);
  x86_alu_imm(x, ALU_AND, W32, RCX, (TLB_ENTRIES - 1) << 5);
  if (a->alternate) x86_lea(x, W64, RCX, (struct x86_mem){RDX, RCX, 0, offsetof(struct tlb_bank, d)});
  else x86_alu_load(x, ALU_ADD, W64, RCX, FIELD_AT(dtlb));
  x86_mov(x, W64, RDX, RAX);
  x86_alu_imm(x, ALU_AND, W64, RDX, (i32)(PAGE_MASK | (a->bytes - 1)));
  x86_alu_load(x, ALU_CMP, W64, RDX, x86_at(RCX, a->tag));
  x86_jcc(x, CC_NE, &s->from);
  if (a->cacheable) {
    x86_load(x, W32, RDX, x86_at(RCX, offsetof(struct tlb_entry, info)));
    x86_alu_imm(x, ALU_AND, W32, RDX, TLB_CP);
    x86_jcc(x, CC_E, &s->from);
  }
  x86_alu_load(x, ALU_ADD, W64, RAX, x86_at(RCX, offsetof(struct tlb_entry, addend)));
  if (a->alternate) count_use(g, a->space);
}

/* The ASI the instruction has or, where it is %asi, is thought to have: then the register must have that value. */
static const struct asi_info *guess_asi(struct gen *g, u32 insn, bool init_store, struct stub *s) {
  struct x86 *x = &g->x;
  if (!insn_i(insn)) return &asi_table[insn >> 5 & 0xff];
  u32 asi = g->asi;
  const struct asi_info *a = &asi_table[asi];
  bool allowed = asi >= 0x80 || (g->node->block->mode & MODE_PRIV && asi < 0x30);
  bool init = init_store && a->kind == ASI_TWIN;
  if (!allowed || (a->kind != ASI_MEMORY && !init) || a->little || a->io) return NULL;
  x86_alu_byte_imm(x, ALU_CMP, FIELD_AT(asi), (u8)asi);
  x86_jcc(x, CC_NE, &s->from);
  return a;
}

/* ---- loads and stores ---- */

static void load_little(struct gen *g, u32 type, u32 rd) {
  struct x86 *x = &g->x;
  u8 target = gen_target(g, rd, RAX);
  struct x86_mem m = x86_at(RAX, 0);
  switch (type) {
  case MT_U16: case MT_I16:
    x86_load_zx(x, 2, target, m);
    if (type == MT_I16) x86_movsx(x, 2, target, target);
    break;
  case MT_U64: x86_load(x, W64, target, m); break;
  default:
    x86_load(x, W32, target, m);
    if (type == MT_I32) x86_movsx(x, 4, target, target);
  }
  gen_set(g, rd, target);
}

/* RAX: the register's address in its space, then an index of the strand's array that starts at `array`. */
static struct x86_mem register_at(struct gen *g, u32 kind, struct stub *s) {
  struct x86 *x = &g->x;
  bool context = kind == ASI_CONTEXT; /* 8 and 16; scratchpads 0 to 0x18, the others are the body's */
  if (context) x86_alu_imm(x, ALU_SUB, W64, RAX, 8);
  x86_mov(x, W64, RCX, RAX);
  x86_alu_imm(x, ALU_AND, W64, RCX, context ? ~8 : ~0x18);
  x86_jcc(x, CC_NE, &s->from);
  return (struct x86_mem){RBP, RAX, 0, (i32)(context ? offsetof(struct strand, context) : offsetof(struct strand, scratchpad))};
}

/* A block-init store: the first one to a line clears the rest of it, which is an access of its own. */
static void emit_init_store(struct gen *g, const struct asi_info *a, u32 rd, struct stub *s) {
  struct x86 *x = &g->x;
  struct x86_label within = {0};
  if (a->from_t4) {
    x86_load(x, W64, RCX, FIELD_AT(env));
    x86_alu_mem_imm(x, ALU_CMP, W32, x86_at(RCX, offsetof(struct strand_env, cfr_present)), 0);
    x86_jcc(x, CC_E, &s->from);
  }
  translate(g, &(struct access){.bytes = 8, .tag = TAG_W, .alternate = true, .space = a->space}, s);
  x86_mov(x, W32, RCX, RAX);
  x86_alu_imm(x, ALU_AND, W32, RCX, 63);
  x86_jcc(x, CC_NE, &within);
  count_use(g, a->space);
  x86_zero(x, 0);
  for (i64 i = 0; i < 4; i++) x86_movups_store(x, x86_at(RAX, 16 * i), 0);
  x86_place(x, &within);
  u8 from = gen_source(g, rd, RCX);
  x86_movbe_store(x, 8, x86_at(RAX, 0), from);
}

static void emit_alternate(struct gen *g, struct op op, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), bytes = emit_type_bytes(op.arg);
  bool store = op.kind == OP_ASTORE;
  struct stub *s = gen_body_stub(g, uop, store ? 32 : rd);
  const struct asi_info *a = guess_asi(g, insn, store && op.arg == MT_U64, s);
  if (!a) {
    x86_jmp(x, &s->from);
    x86_place(x, &s->back);
    return;
  }
  emit_address(g, insn);
  if (a->kind == ASI_TWIN) {
    emit_init_store(g, a, rd, s);
  } else if (a->kind != ASI_MEMORY) {
    struct x86_mem m = register_at(g, a->kind, s);
    u8 reg = store ? gen_source(g, rd, RCX) : gen_target(g, rd, RCX);
    if (store) x86_store(x, W64, m, reg);
    else x86_load(x, W64, reg, m);
    if (!store) gen_set(g, rd, reg);
  } else {
    translate(g, &(struct access){.bytes = bytes, .tag = store ? TAG_W : TAG_R, .alternate = true, .space = a->space}, s);
    if (!store) {
      if (a->little && bytes > 1) load_little(g, op.arg, rd);
      else emit_loaded(g, op.arg, rd, x86_at(RAX, 0));
    } else {
      u8 from = gen_source(g, rd, RCX);
      if (bytes == 1) x86_store_byte(x, x86_at(RAX, 0), from);
      else if (a->little) x86_store(x, bytes == 8 ? W64 : W32, x86_at(RAX, 0), from);
      else x86_movbe_store(x, bytes, x86_at(RAX, 0), from);
    }
  }
  x86_place(x, &s->back);
}

/* ---- pairs ---- */

/* A stub whose body leaves two registers. */
static struct stub *pair_stub(struct gen *g, u32 insn, u32 uop) {
  u32 rd = insn_rd(insn);
  struct stub *s = gen_body_stub(g, uop, rd);
  if (rd == 0 && g->r->host[1] != NO_REG) s->reload |= 2;
  else if (rd && g->r->host[rd + 1] != NO_REG) s->reload |= 1u << (rd + 1);
  return s;
}

static void emit_pair_load(struct gen *g, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  struct stub *s = pair_stub(g, insn, uop);
  emit_address(g, insn);
  translate(g, &(struct access){.bytes = 8, .tag = TAG_R}, s);
  x86_movbe_load(x, 8, RAX, x86_at(RAX, 0));
  x86_mov(x, W32, RCX, RAX);
  x86_shift_imm(x, SHIFT_RIGHT, W64, RAX, 32);
  gen_set(g, rd, RAX);
  gen_set(g, rd + 1, RCX);
  x86_place(x, &s->back);
}

static void emit_pair_store(struct gen *g, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  struct stub *s = gen_body_stub(g, uop, 32);
  emit_address(g, insn);
  translate(g, &(struct access){.bytes = 8, .tag = TAG_W}, s);
  gen_load(g, rd, RCX);
  x86_shift_imm(x, SHIFT_LEFT, W64, RCX, 32);
  u8 low = gen_source(g, rd + 1, RDX);
  x86_mov(x, W32, RDX, low);
  x86_alu(x, ALU_OR, W64, RCX, RDX);
  x86_movbe_store(x, 8, x86_at(RAX, 0), RCX);
  x86_place(x, &s->back);
}

/* 16 bytes at once: what looks at a TSB entry (mem/pair.h). */
static void emit_twin(struct gen *g, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn);
  struct stub *s = pair_stub(g, insn, uop);
  const struct asi_info *a = &asi_table[insn >> 5 & 0xff];
  emit_address(g, insn);
  translate(g, &(struct access){.bytes = 16, .tag = TAG_R, .alternate = true, .space = a->space}, s);
  x86_movdqa_load(x, 0, x86_at(RAX, 0));
  x86_to_gpr(x, W64, RAX, 0);
  x86_upper(x, 0);
  x86_to_gpr(x, W64, RCX, 0);
  x86_bswap(x, W64, RAX);
  x86_bswap(x, W64, RCX);
  gen_set(g, rd, RAX);
  gen_set(g, rd + 1, RCX);
  x86_place(x, &s->back);
}

/* ---- atomics: the write tag is there only while the page is marked and holds no code, so a hit has nothing to mark ---- */

static void emit_swap(struct gen *g, u32 type, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), bytes = emit_type_bytes(type);
  struct stub *s = gen_body_stub(g, uop, rd);
  emit_address(g, insn);
  translate(g, &(struct access){.bytes = bytes, .tag = TAG_W, .cacheable = true}, s);
  if (bytes == 1) {
    x86_mov_imm(x, RCX, 0xff);
    x86_exchange(x, 1, x86_at(RAX, 0), RCX);
  } else {
    gen_load(g, rd, RCX);
    x86_bswap(x, W32, RCX);
    x86_exchange(x, 4, x86_at(RAX, 0), RCX);
    x86_bswap(x, W32, RCX);
  }
  gen_set(g, rd, RCX);
  x86_place(x, &s->back);
}

static void emit_cas(struct gen *g, u32 type, u32 insn, u32 uop) {
  struct x86 *x = &g->x;
  u32 rd = insn_rd(insn), bytes = emit_type_bytes(type), width = bytes == 8 ? W64 : W32;
  struct stub *s = gen_body_stub(g, uop, rd);
  const struct asi_info *a = guess_asi(g, insn, false, s);
  if (!a) {
    x86_jmp(x, &s->from);
    x86_place(x, &s->back);
    return;
  }
  gen_load(g, insn_rs1(insn), RAX);
  if (g->node->block->mode & MODE_AM) x86_mov(x, W32, RAX, RAX);
  translate(g, &(struct access){.bytes = bytes, .tag = TAG_W, .cacheable = true, .alternate = true, .space = a->space}, s);
  x86_mov(x, W64, RDX, RAX);
  gen_load(g, insn_rs2(insn), RAX);
  gen_load(g, rd, RCX);
  x86_bswap(x, width, RAX);
  x86_bswap(x, width, RCX);
  x86_compare_exchange(x, width, x86_at(RDX, 0), RCX);
  x86_bswap(x, width, RAX);
  gen_set(g, rd, RAX);
  x86_place(x, &s->back);
}

void emit_space(struct gen *g, struct op op, u32 insn, u32 uop) {
  switch (op.kind) {
  case OP_PAIR_LOAD: emit_pair_load(g, insn, uop); break;
  case OP_PAIR_STORE: emit_pair_store(g, insn, uop); break;
  case OP_TWIN: emit_twin(g, insn, uop); break;
  case OP_ALOAD: case OP_ASTORE: emit_alternate(g, op, insn, uop); break;
  case OP_SWAP: emit_swap(g, op.arg, insn, uop); break;
  default: emit_cas(g, op.arg, insn, uop);
  }
}
