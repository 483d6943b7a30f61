/* fp_guest.c - runs V9 floating-point instructions on operands from standard input, for a static sparc64 program.
 *
 * Record in, big endian: u32 operation, u32 rounding (FSR.RD), u64 a (rs1), u64 b (rs2). Record out: u64 result,
 * u64 FSR after the instruction. A single-precision result is in the low half; a compare's result is fcc0.
 */
#include <stdint.h>
#include <stdio.h>

struct request { uint32_t op, rounding; uint64_t a, b; };
struct reply { uint64_t result, fsr; };

/* %f0/%d0 and %f4/%d4 are the operands, %f8/%d8 the result; singles come from the low halves. */
#define RUN(insn, load, store, a, b, out)                                                                      \
  __asm__ volatile("ldx [%3], %%fsr\n\t" load " [%1], %%f0\n\t" load " [%2], %%f4\n\t" insn "\n\t"             \
                   store "\n\tstx %%fsr, [%3]"                                                                 \
                   : : "r"(out), "r"(a), "r"(b), "r"(&fsr) : "f0", "f1", "f4", "f5", "f8", "f9", "fcc0", "memory")

#define LOAD_S "ld"
#define LOAD_D "ldd"
#define STORE_S "st %%f8, [%0 + 4]"
#define STORE_D "std %%f8, [%0]"
#define STORE_NONE "nop"

#define OPERATIONS(X)                                                                                          \
  X(0, "fadds %%f0, %%f4, %%f8", S, S) X(1, "faddd %%f0, %%f4, %%f8", D, D)                                    \
  X(2, "fsubs %%f0, %%f4, %%f8", S, S) X(3, "fsubd %%f0, %%f4, %%f8", D, D)                                    \
  X(4, "fmuls %%f0, %%f4, %%f8", S, S) X(5, "fmuld %%f0, %%f4, %%f8", D, D)                                    \
  X(6, "fdivs %%f0, %%f4, %%f8", S, S) X(7, "fdivd %%f0, %%f4, %%f8", D, D)                                    \
  X(8, "fsqrts %%f4, %%f8", S, S) X(9, "fsqrtd %%f4, %%f8", D, D)                                              \
  X(10, "fsmuld %%f0, %%f4, %%f8", S, D)                                                                       \
  X(11, "fstod %%f4, %%f8", S, D) X(12, "fdtos %%f4, %%f8", D, S)                                              \
  X(13, "fstoi %%f4, %%f8", S, S) X(14, "fdtoi %%f4, %%f8", D, S)                                              \
  X(15, "fstox %%f4, %%f8", S, D) X(16, "fdtox %%f4, %%f8", D, D)                                              \
  X(17, "fitos %%f4, %%f8", S, S) X(18, "fitod %%f4, %%f8", S, D)                                              \
  X(19, "fxtos %%f4, %%f8", D, S) X(20, "fxtod %%f4, %%f8", D, D)                                              \
  X(21, "fcmps %%f0, %%f4", S, NONE) X(22, "fcmpd %%f0, %%f4", D, NONE)                                        \
  X(23, "fcmpes %%f0, %%f4", S, NONE) X(24, "fcmped %%f0, %%f4", D, NONE)

static int is_single(uint32_t op)
{
#define S 1
#define D 0
#define SINGLE(number, insn, from, to) case number: return from;
  switch (op) { OPERATIONS(SINGLE) }
  return 0;
#undef S
#undef D
}

int main(void)
{
  struct request q;
  while (fread(&q, sizeof q, 1, stdin) == 1) {
    uint64_t fsr = (uint64_t)q.rounding << 30;
    uint64_t out = 0;
    const char *a = (const char *)&q.a + (is_single(q.op) ? 4 : 0);
    const char *b = (const char *)&q.b + (is_single(q.op) ? 4 : 0);
#define CASE(number, insn, from, to) case number: RUN(insn, LOAD_##from, STORE_##to, a, b, &out); break;
    switch (q.op) { OPERATIONS(CASE) default: return 1; }
    struct reply r = {q.op >= 21 ? fsr >> 10 & 3 : out, fsr};
    if (fwrite(&r, sizeof r, 1, stdout) != 1)
      return 1;
  }
  return 0;
}
