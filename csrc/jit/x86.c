/* x86.c - see x86.h. */
#include "jit/x86.h"

void x86_byte(struct x86 *x, u32 b) {
  if (x->at >= x->size) {
    x->full = 1;
    return;
  }
  x->start[x->at++] = (u8)b;
}

static void imm32(struct x86 *x, i32 v) {
  for (u32 i = 0; i < 32; i += 8) x86_byte(x, (u32)v >> i & 0xff);
}

enum { MAP_ONE = 0, MAP_0F = 1, MAP_0F38 = 2, MAP_0F3A = 3, FORCE_REX = 0x100 };

/* Legacy prefix, REX, opcode map, opcode. `reg` and `rm` are register numbers; `index` of a memory operand or 0. */
static void opcode(struct x86 *x, u32 prefix, u32 map, u32 op, u32 w, u8 reg, u8 index, u8 rm, u32 force) {
  u32 rex = 0x40 | (w & 1) << 3 | (u32)(reg >> 3) << 2 | (u32)(index >> 3) << 1 | (u32)(rm >> 3);
  if (prefix) x86_byte(x, prefix);
  if (rex != 0x40 || force) x86_byte(x, rex);
  if (map != MAP_ONE) x86_byte(x, 0x0f);
  if (map == MAP_0F38) x86_byte(x, 0x38);
  if (map == MAP_0F3A) x86_byte(x, 0x3a);
  x86_byte(x, op);
}

static void modrm_mem(struct x86 *x, u8 reg, struct x86_mem m) {
  u32 base = m.base & 7u, r = (u32)(reg & 7) << 3;
  bool sib = m.index != NO_REG || base == RSP;
  u32 mod = m.disp == 0 && base != RBP ? 0 : m.disp == (i8)m.disp ? 1 : 2;
  x86_byte(x, mod << 6 | r | (sib ? 4u : base));
  if (sib) x86_byte(x, (u32)m.scale << 6 | (m.index == NO_REG ? 4u : m.index & 7u) << 3 | base);
  if (mod == 1) x86_byte(x, (u32)m.disp & 0xff);
  if (mod == 2) imm32(x, m.disp);
}

static void op_rr(struct x86 *x, u32 prefix, u32 map, u32 op, u32 w, u8 reg, u8 rm) {
  opcode(x, prefix, map, op, w, reg, 0, rm, 0);
  x86_byte(x, 0xc0u | (u32)(reg & 7) << 3 | (rm & 7u));
}

static void op_rm(struct x86 *x, u32 prefix, u32 map, u32 op, u32 w, u8 reg, struct x86_mem m) {
  opcode(x, prefix, map, op, w, reg, m.index == NO_REG ? 0 : m.index, m.base, 0);
  modrm_mem(x, reg, m);
}

void x86_alu(struct x86 *x, u32 alu, u32 w, u8 dst, u8 src) { op_rr(x, 0, MAP_ONE, alu << 3 | 1, w, src, dst); }
void x86_alu_load(struct x86 *x, u32 alu, u32 w, u8 dst, struct x86_mem m) { op_rm(x, 0, MAP_ONE, alu << 3 | 3, w, dst, m); }
void x86_alu_store(struct x86 *x, u32 alu, u32 w, struct x86_mem m, u8 src) { op_rm(x, 0, MAP_ONE, alu << 3 | 1, w, src, m); }

void x86_alu_imm(struct x86 *x, u32 alu, u32 w, u8 dst, i32 imm) {
  bool small = imm == (i8)imm;
  op_rr(x, 0, MAP_ONE, small ? 0x83 : 0x81, w, (u8)alu, dst);
  if (small) x86_byte(x, (u32)imm & 0xff);
  else imm32(x, imm);
}

void x86_alu_mem_imm(struct x86 *x, u32 alu, u32 w, struct x86_mem m, i32 imm) {
  bool small = imm == (i8)imm;
  op_rm(x, 0, MAP_ONE, small ? 0x83 : 0x81, w, (u8)alu, m);
  if (small) x86_byte(x, (u32)imm & 0xff);
  else imm32(x, imm);
}

void x86_alu_byte_imm(struct x86 *x, u32 alu, struct x86_mem m, u8 imm) {
  op_rm(x, 0, MAP_ONE, 0x80, 0, (u8)alu, m);
  x86_byte(x, imm);
}

void x86_test(struct x86 *x, u32 w, u8 a, u8 b) { op_rr(x, 0, MAP_ONE, 0x85, w, b, a); }
void x86_mov(struct x86 *x, u32 w, u8 dst, u8 src) { op_rr(x, 0, MAP_ONE, 0x89, w, src, dst); }

void x86_mov_imm(struct x86 *x, u8 dst, u64 imm) {
  if (imm == 0) {
    x86_alu(x, ALU_XOR, W32, dst, dst);
  } else if (imm <= 0xffffffffu) {
    opcode(x, 0, MAP_ONE, 0xb8u | (dst & 7u), 0, 0, 0, dst, 0);
    imm32(x, (i32)(u32)imm);
  } else if ((i64)imm == (i32)imm) {
    op_rr(x, 0, MAP_ONE, 0xc7, 1, 0, dst);
    imm32(x, (i32)imm);
  } else {
    opcode(x, 0, MAP_ONE, 0xb8u | (dst & 7u), 1, 0, 0, dst, 0);
    imm32(x, (i32)(u32)imm);
    imm32(x, (i32)(u32)(imm >> 32));
  }
}

void x86_load(struct x86 *x, u32 w, u8 dst, struct x86_mem m) { op_rm(x, 0, MAP_ONE, 0x8b, w, dst, m); }
void x86_store(struct x86 *x, u32 w, struct x86_mem m, u8 src) { op_rm(x, 0, MAP_ONE, 0x89, w, src, m); }

void x86_store_imm(struct x86 *x, u32 w, struct x86_mem m, i32 imm) {
  op_rm(x, 0, MAP_ONE, 0xc7, w, 0, m);
  imm32(x, imm);
}

void x86_store_byte(struct x86 *x, struct x86_mem m, u8 src) {
  opcode(x, 0, MAP_ONE, 0x88, 0, src, m.index == NO_REG ? 0 : m.index, m.base, src >= RSP);
  modrm_mem(x, src, m);
}

void x86_exchange(struct x86 *x, u32 bytes, struct x86_mem m, u8 src) {
  u32 force = bytes == 1 && src >= RSP;
  opcode(x, 0, MAP_ONE, bytes == 1 ? 0x86 : 0x87, bytes == 8, src, m.index == NO_REG ? 0 : m.index, m.base, force);
  modrm_mem(x, src, m);
}

void x86_compare_exchange(struct x86 *x, u32 w, struct x86_mem m, u8 src) { op_rm(x, 0xf0, MAP_0F, 0xb1, w, src, m); }
void x86_bswap(struct x86 *x, u32 w, u8 reg) { opcode(x, 0, MAP_0F, 0xc8u | (reg & 7u), w, 0, 0, reg, 0); }

void x86_fence(struct x86 *x) {
  x86_byte(x, 0x0f);
  x86_byte(x, 0xae);
  x86_byte(x, 0xf0);
}

void x86_movdqa_load(struct x86 *x, u8 xmm, struct x86_mem m) { op_rm(x, 0x66, MAP_0F, 0x6f, 0, xmm, m); }

void x86_zero(struct x86 *x, u8 xmm) { op_rr(x, 0, MAP_0F, 0x57, 0, xmm, xmm); }

void x86_upper(struct x86 *x, u8 xmm) {
  op_rr(x, 0x66, MAP_0F, 0x73, 0, 3, xmm);
  x86_byte(x, 8);
}

void x86_load_zx(struct x86 *x, u32 bytes, u8 dst, struct x86_mem m) {
  op_rm(x, 0, MAP_0F, bytes == 1 ? 0xb6 : 0xb7, 0, dst, m);
}
void x86_load_sx8(struct x86 *x, u8 dst, struct x86_mem m) { op_rm(x, 0, MAP_0F, 0xbe, 1, dst, m); }

void x86_movzx(struct x86 *x, u32 bytes, u8 dst, u8 src) {
  opcode(x, 0, MAP_0F, bytes == 1 ? 0xb6 : 0xb7, 0, dst, 0, src, bytes == 1 && src >= RSP);
  x86_byte(x, 0xc0u | (u32)(dst & 7) << 3 | (src & 7u));
}

void x86_movsx(struct x86 *x, u32 bytes, u8 dst, u8 src) {
  if (bytes == 4) op_rr(x, 0, MAP_ONE, 0x63, 1, dst, src);
  else op_rr(x, 0, MAP_0F, bytes == 1 ? 0xbe : 0xbf, 1, dst, src);
}

void x86_movbe_load(struct x86 *x, u32 bytes, u8 dst, struct x86_mem m) {
  op_rm(x, bytes == 2 ? 0x66 : 0, MAP_0F38, 0xf0, bytes == 8, dst, m);
}
void x86_movbe_store(struct x86 *x, u32 bytes, struct x86_mem m, u8 src) {
  op_rm(x, bytes == 2 ? 0x66 : 0, MAP_0F38, 0xf1, bytes == 8, src, m);
}
void x86_lea(struct x86 *x, u32 w, u8 dst, struct x86_mem m) { op_rm(x, 0, MAP_ONE, 0x8d, w, dst, m); }

void x86_shift_imm(struct x86 *x, u32 shift, u32 w, u8 reg, u8 count) {
  op_rr(x, 0, MAP_ONE, 0xc1, w, (u8)shift, reg);
  x86_byte(x, count);
}

/* Three-byte VEX, 128 bits. `v`: the extra source; `pp`: 0 none, 1 66, 2 F3, 3 F2; `map`: 2 0F38, 3 0F3A. */
static void vex(struct x86 *x, u32 map, u32 pp, u32 op, u32 w, u8 reg, u8 v, u8 rm) {
  x86_byte(x, 0xc4);
  x86_byte(x, (u32)(~reg >> 3 & 1) << 7 | 1u << 6 | (u32)(~rm >> 3 & 1) << 5 | map);
  x86_byte(x, w << 7 | (u32)(~v & 15) << 3 | pp);
  x86_byte(x, op);
  x86_byte(x, 0xc0u | (u32)(reg & 7) << 3 | (rm & 7u));
}

void x86_shift(struct x86 *x, u32 shift, u32 w, u8 dst, u8 src, u8 count) {
  u32 pp = shift == SHIFT_LEFT ? 1 : shift == SHIFT_ARITHMETIC ? 2 : 3;
  vex(x, 2, pp, 0xf7, w, dst, count, src);
}
void x86_rorx(struct x86 *x, u32 w, u8 dst, u8 src, u8 count) {
  vex(x, 3, 3, 0xf0, w, dst, 0, src);
  x86_byte(x, count);
}
void x86_andn(struct x86 *x, u32 w, u8 dst, u8 inverted, u8 src) { vex(x, 2, 0, 0xf2, w, dst, inverted, src); }

void x86_not(struct x86 *x, u32 w, u8 reg) { op_rr(x, 0, MAP_ONE, 0xf7, w, 2, reg); }
void x86_neg(struct x86 *x, u32 w, u8 reg) { op_rr(x, 0, MAP_ONE, 0xf7, w, 3, reg); }
void x86_imul(struct x86 *x, u32 w, u8 dst, u8 src) { op_rr(x, 0, MAP_0F, 0xaf, w, dst, src); }
void x86_div(struct x86 *x, bool is_signed, u32 w, u8 divisor) { op_rr(x, 0, MAP_ONE, 0xf7, w, is_signed ? 7 : 6, divisor); }
void x86_cqo(struct x86 *x) { x86_byte(x, 0x48), x86_byte(x, 0x99); }
void x86_cmov(struct x86 *x, u32 cond, u8 dst, u8 src) { op_rr(x, 0, MAP_0F, 0x40 | cond, 1, dst, src); }

void x86_setcc(struct x86 *x, u32 cond, u8 dst) {
  opcode(x, 0, MAP_0F, 0x90 | cond, 0, 0, 0, dst, dst >= RSP);
  x86_byte(x, 0xc0u | (dst & 7u));
}

void x86_bt(struct x86 *x, u8 reg, u8 bit) { op_rr(x, 0, MAP_0F, 0xa3, 0, bit, reg); }
void x86_bsr(struct x86 *x, u32 w, u8 dst, u8 src) { op_rr(x, 0, MAP_0F, 0xbd, w, dst, src); }
void x86_popcnt(struct x86 *x, u32 w, u8 dst, u8 src) { op_rr(x, 0xf3, MAP_0F, 0xb8, w, dst, src); }

/* ---- jumps ---- */

static void patch(struct x86 *x, u32 at, u32 v) {
  for (u32 i = 0; i < 4; i++) x->start[at + i] = (u8)(v >> 8 * i);
}

static void displacement(struct x86 *x, struct x86_label *l) {
  if (l->at) {
    imm32(x, (i32)(l->at - 1 - (x->at + 4)));
    return;
  }
  u32 here = x->at;
  imm32(x, (i32)l->chain);
  if (!x->full) l->chain = here + 1;
}

void x86_place(struct x86 *x, struct x86_label *l) {
  if (x->full) return;
  l->at = x->at + 1;
  for (u32 next, at = l->chain; at; at = next) {
    const u8 *p = x->start + at - 1;
    next = p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
    patch(x, at - 1, x->at - (at - 1 + 4));
  }
  l->chain = 0;
}

void x86_jcc(struct x86 *x, u32 cond, struct x86_label *l) {
  x86_byte(x, 0x0f);
  x86_byte(x, 0x80 | cond);
  displacement(x, l);
}
void x86_jmp(struct x86 *x, struct x86_label *l) {
  x86_byte(x, 0xe9);
  displacement(x, l);
}
void x86_call(struct x86 *x, struct x86_label *l) {
  x86_byte(x, 0xe8);
  displacement(x, l);
}
void x86_jmp_mem(struct x86 *x, struct x86_mem m) { op_rm(x, 0, MAP_ONE, 0xff, 0, 4, m); }
void x86_jmp_reg(struct x86 *x, u8 reg) { op_rr(x, 0, MAP_ONE, 0xff, 0, 4, reg); }
void x86_call_reg(struct x86 *x, u8 reg) { op_rr(x, 0, MAP_ONE, 0xff, 0, 2, reg); }
void x86_ret(struct x86 *x) { x86_byte(x, 0xc3); }
void x86_push(struct x86 *x, u8 reg) { opcode(x, 0, MAP_ONE, 0x50u | (reg & 7u), 0, 0, 0, reg, 0); }
void x86_pop(struct x86 *x, u8 reg) { opcode(x, 0, MAP_ONE, 0x58u | (reg & 7u), 0, 0, 0, reg, 0); }

/* ---- SSE2 ---- */

void x86_movups_load(struct x86 *x, u8 xmm, struct x86_mem m) { op_rm(x, 0, MAP_0F, 0x10, 0, xmm, m); }
void x86_movups_store(struct x86 *x, struct x86_mem m, u8 xmm) { op_rm(x, 0, MAP_0F, 0x11, 0, xmm, m); }
static u32 scalar(bool dbl) { return dbl ? 0xf2 : 0xf3; }
void x86_fp(struct x86 *x, u32 fp, bool dbl, u8 xmm, u8 src) { op_rr(x, scalar(dbl), MAP_0F, fp, 0, xmm, src); }
void x86_fp_load(struct x86 *x, u32 fp, bool dbl, u8 xmm, struct x86_mem m) {
  op_rm(x, scalar(dbl), MAP_0F, fp, 0, xmm, m);
}
void x86_ucomis(struct x86 *x, bool dbl, u8 xmm, u8 src) { op_rr(x, dbl ? 0x66 : 0, MAP_0F, 0x2e, 0, xmm, src); }
void x86_from_gpr(struct x86 *x, u32 w, u8 xmm, u8 gpr) { op_rr(x, 0x66, MAP_0F, 0x6e, w, xmm, gpr); }
void x86_to_gpr(struct x86 *x, u32 w, u8 gpr, u8 xmm) { op_rr(x, 0x66, MAP_0F, 0x7e, w, xmm, gpr); }
void x86_from_int(struct x86 *x, bool dbl, u32 w, u8 xmm, u8 gpr) { op_rr(x, scalar(dbl), MAP_0F, 0x2a, w, xmm, gpr); }
void x86_to_int(struct x86 *x, bool dbl, u32 w, u8 gpr, u8 xmm) { op_rr(x, scalar(dbl), MAP_0F, 0x2c, w, gpr, xmm); }

#if defined(__x86_64__)
#include <cpuid.h>

const char *x86_host_lacks(void) {
  u32 a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 22 & 1)) return "the host's processor lacks MOVBE";
  if (!(c >> 23 & 1)) return "the host's processor lacks POPCNT";
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b >> 3 & 1)) return "the host's processor lacks BMI1";
  return b >> 8 & 1 ? NULL : "the host's processor lacks BMI2";
}
#else
const char *x86_host_lacks(void) { return "the host is no x86-64"; }
#endif
