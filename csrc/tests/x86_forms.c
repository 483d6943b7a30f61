/* x86_forms.c - every form of the translator's assembler (csrc/jit/x86.h) with registers from all groups: one line each,
 * the bytes and the text objdump has for them in Intel syntax. tests/unit/test_jit_x86.py compares. */
#include <stdio.h>

#include "jit/x86.h"

static const char *const name64[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
static const char *const name32[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"};
static const char *const name16[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"};
static const char *const name8[] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"};
static const char *const alu_name[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
static const char *const cond_name[] = {"o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"};

static u8 buffer[64];
static struct x86 x = {.start = buffer, .size = sizeof buffer};
static const char *reg(u32 w, u32 r) { return w ? name64[r] : name32[r]; }

#define CASE(emit, ...)                                           \
  do {                                                            \
    x.at = 0;                                                     \
    emit;                                                         \
    for (u32 i_ = 0; i_ < x.at; i_++) printf("%02x", buffer[i_]); \
    printf("\t");                                                 \
    printf(__VA_ARGS__);                                          \
    printf("\n");                                                 \
  } while (0)

static const char *memory(struct x86_mem m) {
  static char text[2][64];
  static u32 turn;
  char *t = text[turn++ & 1];
  int n = sprintf(t, "[%s", name64[m.base]);
  if (m.index != NO_REG) n += sprintf(t + n, "+%s*%u", name64[m.index], 1u << m.scale);
  if (m.disp || (m.base & 7) == RBP) n += sprintf(t + n, "%c0x%x", m.disp < 0 ? '-' : '+', m.disp < 0 ? 0u - (u32)m.disp : (u32)m.disp);
  sprintf(t + n, "]");
  return t;
}

static void register_forms(u8 a, u8 b, u8 c) {
  for (u32 w = 0; w < 2; w++) {
    for (u32 n = 0; n < 8; n++) CASE(x86_alu(&x, n, w, a, b), "%s %s,%s", alu_name[n], reg(w, a), reg(w, b));
    CASE(x86_test(&x, w, a, b), "test %s,%s", reg(w, a), reg(w, b));
    CASE(x86_mov(&x, w, a, b), "mov %s,%s", reg(w, a), reg(w, b));
    CASE(x86_imul(&x, w, a, b), "imul %s,%s", reg(w, a), reg(w, b));
    CASE(x86_bswap(&x, w, a), "bswap %s", reg(w, a));
    CASE(x86_bsr(&x, w, a, b), "bsr %s,%s", reg(w, a), reg(w, b));
    CASE(x86_popcnt(&x, w, a, b), "popcnt %s,%s", reg(w, a), reg(w, b));
    CASE(x86_not(&x, w, a), "not %s", reg(w, a));
    CASE(x86_neg(&x, w, a), "neg %s", reg(w, a));
    CASE(x86_div(&x, false, w, a), "div %s", reg(w, a));
    CASE(x86_div(&x, true, w, a), "idiv %s", reg(w, a));
    CASE(x86_andn(&x, w, a, b, c), "andn %s,%s,%s", reg(w, a), reg(w, b), reg(w, c));
    CASE(x86_rorx(&x, w, a, b, 8), "rorx %s,%s,0x8", reg(w, a), reg(w, b));
    CASE(x86_shift(&x, SHIFT_LEFT, w, a, b, c), "shlx %s,%s,%s", reg(w, a), reg(w, b), reg(w, c));
    CASE(x86_shift(&x, SHIFT_RIGHT, w, a, b, c), "shrx %s,%s,%s", reg(w, a), reg(w, b), reg(w, c));
    CASE(x86_shift(&x, SHIFT_ARITHMETIC, w, a, b, c), "sarx %s,%s,%s", reg(w, a), reg(w, b), reg(w, c));
    CASE(x86_shift_imm(&x, SHIFT_LEFT, w, a, 7), "shl %s,0x7", reg(w, a));
    CASE(x86_shift_imm(&x, SHIFT_RIGHT, w, a, 31), "shr %s,0x1f", reg(w, a));
    CASE(x86_shift_imm(&x, SHIFT_ARITHMETIC, w, a, 2), "sar %s,0x2", reg(w, a));
    CASE(x86_from_gpr(&x, w, 1, a), "mov%c xmm1,%s", w ? 'q' : 'd', reg(w, a));
    CASE(x86_to_gpr(&x, w, a, 2), "mov%c %s,xmm2", w ? 'q' : 'd', reg(w, a));
    for (u32 d = 0; d < 2; d++) {
      CASE(x86_from_int(&x, d, w, 3, a), "cvtsi2s%c xmm3,%s", d ? 'd' : 's', reg(w, a));
      CASE(x86_to_int(&x, d, w, a, 3), "cvtts%c2si %s,xmm3", d ? 'd' : 's', reg(w, a));
    }
  }
  CASE(x86_movzx(&x, 1, a, b), "movzx %s,%s", name32[a], name8[b]);
  CASE(x86_movzx(&x, 2, a, b), "movzx %s,%s", name32[a], name16[b]);
  CASE(x86_movsx(&x, 1, a, b), "movsx %s,%s", name64[a], name8[b]);
  CASE(x86_movsx(&x, 2, a, b), "movsx %s,%s", name64[a], name16[b]);
  CASE(x86_movsx(&x, 4, a, b), "movsxd %s,%s", name64[a], name32[b]);
  for (u32 n = 0; n < 16; n++) CASE(x86_cmov(&x, n, a, b), "cmov%s %s,%s", cond_name[n], name64[a], name64[b]);
  for (u32 n = 0; n < 16; n++) CASE(x86_setcc(&x, n, a), "set%s %s", cond_name[n], name8[a]);
  CASE(x86_bt(&x, a, b), "bt %s,%s", name32[a], name32[b]);
  CASE(x86_push(&x, a), "push %s", name64[a]);
  CASE(x86_pop(&x, a), "pop %s", name64[a]);
  CASE(x86_jmp_reg(&x, a), "jmp %s", name64[a]);
  CASE(x86_call_reg(&x, a), "call %s", name64[a]);
}

static void immediate_forms(u8 a) {
  static const i32 values[] = {1, -1, 127, -128, 128, -129, 0x12345, -8192};
  for (u32 n = 0; n < 8; n++)
    for (u32 w = 0; w < 2; w++)
      for (u32 v = 0; v < ARRAY_LEN(values); v++) {
        u64 shown = w ? (u64)(i64)values[v] : (u32)values[v];
        if (a == RAX && values[v] != (i8)values[v]) continue; /* objdump's text is the same; kept short here */
        CASE(x86_alu_imm(&x, n, w, a, values[v]), "%s %s,0x%llx", alu_name[n], reg(w, a), (unsigned long long)shown);
      }
  CASE(x86_mov_imm(&x, a, 0), "xor %s,%s", name32[a], name32[a]);
  CASE(x86_mov_imm(&x, a, 0xffffffffu), "mov %s,0xffffffff", name32[a]);
  CASE(x86_mov_imm(&x, a, (u64)-2), "mov %s,0xfffffffffffffffe", name64[a]);
  CASE(x86_mov_imm(&x, a, 0x123456789abcdef0u), "movabs %s,0x123456789abcdef0", name64[a]);
}

static void memory_forms(u8 a, struct x86_mem m) {
  const char *t = memory(m);
  for (u32 w = 0; w < 2; w++) {
    const char *size = w ? "QWORD" : "DWORD";
    for (u32 n = 0; n < 8; n++) {
      CASE(x86_alu_load(&x, n, w, a, m), "%s %s,%s PTR %s", alu_name[n], reg(w, a), size, t);
      CASE(x86_alu_store(&x, n, w, m, a), "%s %s PTR %s,%s", alu_name[n], size, t, reg(w, a));
      CASE(x86_alu_mem_imm(&x, n, w, m, 5), "%s %s PTR %s,0x5", alu_name[n], size, t);
      CASE(x86_alu_mem_imm(&x, n, w, m, 500), "%s %s PTR %s,0x1f4", alu_name[n], size, t);
    }
    CASE(x86_load(&x, w, a, m), "mov %s,%s PTR %s", reg(w, a), size, t);
    CASE(x86_store(&x, w, m, a), "mov %s PTR %s,%s", size, t, reg(w, a));
    CASE(x86_store_imm(&x, w, m, 77), "mov %s PTR %s,0x4d", size, t);
    CASE(x86_lea(&x, w, a, m), "lea %s,%s", reg(w, a), t);
    CASE(x86_movbe_load(&x, w ? 8 : 4, a, m), "movbe %s,%s PTR %s", reg(w, a), size, t);
    CASE(x86_movbe_store(&x, w ? 8 : 4, m, a), "movbe %s PTR %s,%s", size, t, reg(w, a));
  }
  CASE(x86_movbe_load(&x, 2, a, m), "movbe %s,WORD PTR %s", name16[a], t);
  CASE(x86_movbe_store(&x, 2, m, a), "movbe WORD PTR %s,%s", t, name16[a]);
  CASE(x86_store_byte(&x, m, a), "mov BYTE PTR %s,%s", t, name8[a]);
  CASE(x86_alu_byte_imm(&x, ALU_OR, m, 4), "or BYTE PTR %s,0x4", t);
  CASE(x86_alu_byte_imm(&x, ALU_CMP, m, 0), "cmp BYTE PTR %s,0x0", t);
  CASE(x86_load_zx(&x, 1, a, m), "movzx %s,BYTE PTR %s", name32[a], t);
  CASE(x86_load_zx(&x, 2, a, m), "movzx %s,WORD PTR %s", name32[a], t);
  CASE(x86_load_sx8(&x, a, m), "movsx %s,BYTE PTR %s", name64[a], t);
  CASE(x86_exchange(&x, 1, m, a), "xchg BYTE PTR %s,%s", t, name8[a]);
  CASE(x86_exchange(&x, 4, m, a), "xchg DWORD PTR %s,%s", t, name32[a]);
  CASE(x86_exchange(&x, 8, m, a), "xchg QWORD PTR %s,%s", t, name64[a]);
  CASE(x86_compare_exchange(&x, W32, m, a), "lock cmpxchg DWORD PTR %s,%s", t, name32[a]);
  CASE(x86_compare_exchange(&x, W64, m, a), "lock cmpxchg QWORD PTR %s,%s", t, name64[a]);
  CASE(x86_movdqa_load(&x, 5, m), "movdqa xmm5,XMMWORD PTR %s", t);
  CASE(x86_jmp_mem(&x, m), "jmp QWORD PTR %s", t);
  CASE(x86_movups_load(&x, 5, m), "movups xmm5,XMMWORD PTR %s", t);
  CASE(x86_movups_store(&x, m, 5), "movups XMMWORD PTR %s,xmm5", t);
  CASE(x86_fp_load(&x, FP_ADD, true, 1, m), "addsd xmm1,QWORD PTR %s", t);
  CASE(x86_fp_load(&x, FP_CONVERT, false, 1, m), "cvtss2sd xmm1,DWORD PTR %s", t);
}

static void fp_forms(void) {
  static const struct { u32 op; const char *name; } ops[] = {
      {FP_SQRT, "sqrt"}, {FP_ADD, "add"}, {FP_MUL, "mul"}, {FP_SUB, "sub"}, {FP_DIV, "div"}};
  for (u32 n = 0; n < ARRAY_LEN(ops); n++)
    for (u32 d = 0; d < 2; d++) CASE(x86_fp(&x, ops[n].op, d, 1, 6), "%ss%c xmm1,xmm6", ops[n].name, d ? 'd' : 's');
  CASE(x86_fp(&x, FP_CONVERT, true, 1, 6), "cvtsd2ss xmm1,xmm6");
  CASE(x86_fp(&x, FP_CONVERT, false, 1, 6), "cvtss2sd xmm1,xmm6");
  CASE(x86_ucomis(&x, true, 1, 2), "ucomisd xmm1,xmm2");
  CASE(x86_ucomis(&x, false, 1, 2), "ucomiss xmm1,xmm2");
  CASE(x86_zero(&x, 2), "xorps xmm2,xmm2");
  CASE(x86_upper(&x, 3), "psrldq xmm3,0x8");
  CASE(x86_fence(&x), "mfence");
  CASE(x86_cqo(&x), "cqo");
  CASE(x86_ret(&x), "ret");
}

/* Jumps to labels placed before and after them: the displacement is what a label is about. */
static void jump_forms(void) {
  for (u32 n = 0; n < 16; n++) {
    struct x86_label back = {0}, ahead = {0};
    x86_place(&x, &back);
    CASE(((void)(back.at = 1), x86_jcc(&x, n, &back)), "j%s 0x0", cond_name[n]);
    CASE((x86_jcc(&x, n, &ahead), x86_place(&x, &ahead)), "j%s 0x6", cond_name[n]);
  }
  struct x86_label two = {0};
  x.at = 0;
  x86_jmp(&x, &two), x86_call(&x, &two), x86_place(&x, &two);
  CASE((x86_jmp(&x, (two = (struct x86_label){0}, &two)), x86_place(&x, &two)), "jmp 0x5");
  CASE((x86_call(&x, (two = (struct x86_label){0}, &two)), x86_place(&x, &two)), "call 0x5");
}

int main(void) {
  static const i32 disps[] = {0, 8, -8, 0x448, -0x1000};
  for (u8 a = 0; a < 16; a++)
    for (u8 b = 0; b < 16; b = (u8)(b + 3)) register_forms(a, b, (u8)(15 - a));
  for (u8 a = 0; a < 16; a++) immediate_forms(a);
  for (u8 base = 0; base < 16; base++)
    for (u32 d = 0; d < ARRAY_LEN(disps); d++) {
      memory_forms((u8)((base * 7 + d) & 15), x86_at(base, disps[d]));
      u8 index = (u8)((base + 5 + d) & 15);
      if (index != RSP) memory_forms((u8)(base ^ 9), (struct x86_mem){base, index, (u8)(d & 3), disps[d]});
    }
  fp_forms();
  jump_forms();
  x.size = 4, x.at = 0;
  x86_mov_imm(&x, RAX, 0x123456789abcdef0u);
  return x.full && x.at == 4 ? 0 : 1;
}
