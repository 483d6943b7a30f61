/* x86.h - an assembler for the x86-64 instructions the translator uses.
 *
 * Encodings: Intel SDM volume 2. Each function appends one instruction; a buffer that is full takes no more and says so in
 * `full`, so that nobody needs to look before the end. csrc/tests/x86_forms.c holds every form against objdump.
 */
#ifndef S4V_JIT_X86_H
#define S4V_JIT_X86_H
#include "util/types.h"

enum x86_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REG = 0xff };
enum x86_alu { ALU_ADD = 0, ALU_OR = 1, ALU_ADC = 2, ALU_SBB = 3, ALU_AND = 4, ALU_SUB = 5, ALU_XOR = 6, ALU_CMP = 7 };
enum x86_shift { SHIFT_LEFT = 4, SHIFT_RIGHT = 5, SHIFT_ARITHMETIC = 7 };
enum x86_cond { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };
enum x86_width { W32 = 0, W64 = 1 };
/* Scalar FP operations: the second opcode byte. */
enum x86_fp { FP_SQRT = 0x51, FP_ADD = 0x58, FP_MUL = 0x59, FP_SUB = 0x5c, FP_DIV = 0x5e, FP_CONVERT = 0x5a };

struct x86_mem {
  u8 base, index, scale; /* index NO_REG: none; scale: log2 */
  i32 disp;
};
static inline struct x86_mem x86_at(u8 base, i64 disp) {
  return (struct x86_mem){.base = base, .index = NO_REG, .disp = (i32)disp};
}

/* A place in the code, perhaps not yet reached: jumps to it are linked in a list through their displacements. */
struct x86_label {
  u32 at;    /* offset + 1; 0: not yet placed */
  u32 chain; /* offset + 1 of the last displacement that waits for it */
};

struct x86 {
  u8 *start; /* where the code is written */
  u32 at, size;
  u32 full;
};

void x86_byte(struct x86 *, u32 b);
void x86_alu(struct x86 *, u32 alu, u32 width, u8 dst, u8 src);
void x86_alu_imm(struct x86 *, u32 alu, u32 width, u8 dst, i32 imm);
void x86_alu_load(struct x86 *, u32 alu, u32 width, u8 dst, struct x86_mem src);
void x86_alu_store(struct x86 *, u32 alu, u32 width, struct x86_mem dst, u8 src);
void x86_alu_mem_imm(struct x86 *, u32 alu, u32 width, struct x86_mem dst, i32 imm);
void x86_alu_byte_imm(struct x86 *, u32 alu, struct x86_mem dst, u8 imm);
void x86_test(struct x86 *, u32 width, u8 a, u8 b);
void x86_mov(struct x86 *, u32 width, u8 dst, u8 src);
void x86_mov_imm(struct x86 *, u8 dst, u64 imm); /* 64 bits, in the shortest form */
void x86_load(struct x86 *, u32 width, u8 dst, struct x86_mem src);
void x86_store(struct x86 *, u32 width, struct x86_mem dst, u8 src);
void x86_store_imm(struct x86 *, u32 width, struct x86_mem dst, i32 imm); /* sign extended */
void x86_store_byte(struct x86 *, struct x86_mem dst, u8 src);
void x86_load_zx(struct x86 *, u32 bytes, u8 dst, struct x86_mem src); /* 1 or 2 bytes */
void x86_load_sx8(struct x86 *, u8 dst, struct x86_mem src);           /* to 64 bits */
void x86_movzx(struct x86 *, u32 bytes, u8 dst, u8 src);
void x86_movsx(struct x86 *, u32 bytes, u8 dst, u8 src);               /* 1, 2 or 4 bytes to 64 bits */
void x86_movbe_load(struct x86 *, u32 bytes, u8 dst, struct x86_mem src);  /* 2: upper bits of dst stay */
void x86_movbe_store(struct x86 *, u32 bytes, struct x86_mem dst, u8 src);
void x86_exchange(struct x86 *, u32 bytes, struct x86_mem dst, u8 src);       /* XCHG, which is locked; 1, 4, 8 bytes */
void x86_compare_exchange(struct x86 *, u32 width, struct x86_mem dst, u8 src); /* LOCK CMPXCHG with RAX */
void x86_bswap(struct x86 *, u32 width, u8 reg);
void x86_fence(struct x86 *);                                              /* MFENCE */
void x86_lea(struct x86 *, u32 width, u8 dst, struct x86_mem src);
void x86_shift_imm(struct x86 *, u32 shift, u32 width, u8 reg, u8 count);
void x86_shift(struct x86 *, u32 shift, u32 width, u8 dst, u8 src, u8 count); /* BMI2: flags stay */
void x86_rorx(struct x86 *, u32 width, u8 dst, u8 src, u8 count);
void x86_andn(struct x86 *, u32 width, u8 dst, u8 inverted, u8 src);
void x86_not(struct x86 *, u32 width, u8 reg);
void x86_neg(struct x86 *, u32 width, u8 reg);
void x86_imul(struct x86 *, u32 width, u8 dst, u8 src);
void x86_div(struct x86 *, bool is_signed, u32 width, u8 divisor); /* RDX:RAX */
void x86_cqo(struct x86 *);
void x86_cmov(struct x86 *, u32 cond, u8 dst, u8 src);
void x86_setcc(struct x86 *, u32 cond, u8 dst); /* low byte; any register */
void x86_bt(struct x86 *, u8 reg, u8 bit);      /* 32 bits */
void x86_bsr(struct x86 *, u32 width, u8 dst, u8 src);    /* of 0: nothing that is known, and E */
void x86_popcnt(struct x86 *, u32 width, u8 dst, u8 src);
void x86_jcc(struct x86 *, u32 cond, struct x86_label *);
void x86_jmp(struct x86 *, struct x86_label *);
void x86_call(struct x86 *, struct x86_label *);
void x86_place(struct x86 *, struct x86_label *);
void x86_jmp_mem(struct x86 *, struct x86_mem);
void x86_jmp_reg(struct x86 *, u8 reg);
void x86_call_reg(struct x86 *, u8 reg);
void x86_ret(struct x86 *);
void x86_push(struct x86 *, u8 reg);
void x86_pop(struct x86 *, u8 reg);

/* SSE2, registers xmm0..xmm7 */
void x86_movups_load(struct x86 *, u8 xmm, struct x86_mem src);
void x86_movups_store(struct x86 *, struct x86_mem dst, u8 xmm);
void x86_movdqa_load(struct x86 *, u8 xmm, struct x86_mem src);        /* 16 aligned bytes, at once */
void x86_zero(struct x86 *, u8 xmm);                                   /* XORPS with itself */
void x86_upper(struct x86 *, u8 xmm);                                  /* PSRLDQ by 8: the upper half becomes the lower */
void x86_fp(struct x86 *, u32 fp, bool dbl, u8 xmm, u8 src);           /* CONVERT: from this width to the other */
void x86_fp_load(struct x86 *, u32 fp, bool dbl, u8 xmm, struct x86_mem src);
void x86_ucomis(struct x86 *, bool dbl, u8 xmm, u8 src);
void x86_from_gpr(struct x86 *, u32 width, u8 xmm, u8 gpr);            /* MOVD, MOVQ */
void x86_to_gpr(struct x86 *, u32 width, u8 gpr, u8 xmm);
void x86_from_int(struct x86 *, bool dbl, u32 width, u8 xmm, u8 gpr);  /* CVTSI2SS/SD */
void x86_to_int(struct x86 *, bool dbl, u32 width, u8 gpr, u8 xmm);    /* CVTTSS/SD2SI */

/* What the translator needs of the host and does not find: an x86-64 with MOVBE, POPCNT, BMI1, BMI2; or NULL. In words. */
const char *x86_host_lacks(void);

#endif
