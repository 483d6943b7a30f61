/* smc.c - self-modifying code: patched loops, code on the page being run, a function copied over another. */
#include "check.h"

/* retl; mov N, %o0 */
static u32 code[4096] ALIGNED(8192);
typedef u64 (*function)(void);

static void flush_word(const volatile u32 *at) { __asm__ volatile("flush %0" : : "r"(at) : "memory"); }

static void poke(volatile u32 *at, u32 word) {
  *at = word;
  flush_word(at);
}

static void patched_function(void) {
  function f = (function)code;
  poke(code, 0x81c3e008); /* retl */
  for (u32 n = 0; n < 2000; n++) {
    poke(code + 1, 0x90102000 | (n & 0xfff)); /* mov n, %o0 */
    CHECK_EQUAL(f(), n & 0xfff);
  }
}

/* The loop rewrites an instruction ahead of itself: add %o0, 1 becomes add %o0, 16 after the first turn. */
static void patched_loop(void) {
  u64 sum = 0, turns = 10, addr, word = 0xb0062010;
  __asm__ volatile(
      "rd %%pc, %1\n\t"
      "ba,a 2f\n\t"
      "nop\n"
      "1:\tmov %0, %%i0\n\t"
      "add %%i0, 1, %%i0\n\t" /* at 1b + 4 */
      "mov %%i0, %0\n\t"
      "add %1, 16, %%l0\n\t"
      "st %3, [%%l0]\n\t"
      "flush %%l0\n\t"
      "subcc %2, 1, %2\n"
      "2:\tbrgz,pt %2, 1b\n\t"
      " nop"
      : "+r"(sum), "=&r"(addr), "+r"(turns)
      : "r"(word)
      : "memory", "cc", "l0", "i0");
  CHECK_EQUAL(sum, 1 + 9 * 16);
}

static NOINLINE u64 one(void) { return 1; }

static void copied_code(void) {
  volatile u32 *to = code + 2048; /* the next page */
  for (int k = 0; k < 3; k++) {
    const u32 *from = (const u32 *)(u64)one;
    for (int i = 0; i < 8; i++) poke(to + i, from[i]);
    CHECK_EQUAL(((function)(u64)to)(), 1);
    poke(to, 0x81c3e008);
    poke(to + 1, 0x90102002);
    CHECK_EQUAL(((function)(u64)to)(), 2);
  }
}

/* A block that ends at the page end and goes on in the next page, both halves patched. */
static void across_pages(void) {
  volatile u32 *at = code + 2048 - 2;
  function f = (function)(u64)at;
  for (u32 n = 0; n < 50; n++) {
    poke(at, 0x90102000 | n);         /* mov n, %o0 */
    poke(at + 1, 0x90022001);         /* add %o0, 1, %o0 */
    poke(at + 2, 0x90022000 | 2 * n); /* add %o0, 2n, %o0 */
    poke(at + 3, 0x81c3e008);         /* retl */
    poke(at + 4, 0x01000000);
    CHECK_EQUAL(f(), 3 * n + 1);
  }
}

/* Stores of every size into code. */
static void store_sizes(void) {
  function f = (function)code;
  poke(code, 0x81c3e008);
  poke(code + 1, 0x90102001);
  CHECK_EQUAL(f(), 1);
  __asm__ volatile("stb %0, [%1 + 7]\n\tflush %1 + 4" : : "r"(9), "r"(code) : "memory");
  CHECK_EQUAL(f(), 9);
  __asm__ volatile("sth %0, [%1 + 6]\n\tflush %1 + 4" : : "r"(0x2123), "r"(code) : "memory");
  CHECK_EQUAL(f(), 0x123);
  __asm__ volatile("stx %0, [%1]\n\tflush %1" : : "r"(0x81c3e00890102456), "r"(code) : "memory");
  CHECK_EQUAL(f(), 0x456);
  u64 old = 0x90102456, new = 0x90102789;
  __asm__ volatile("cas [%1], %2, %0" : "+r"(new) : "r"(code + 1), "r"(old) : "memory");
  flush_word(code + 1);
  CHECK_EQUAL(f(), 0x789);
}

int main(void) {
  patched_function();
  if (runtime_env == ENV_SUN4V) patched_loop();
  copied_code();
  across_pages();
  store_sizes();
  return check_result("smc");
}
