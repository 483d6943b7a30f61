/* check.c - tries user mode from inside: deep windows on a growing stack, memory that comes and goes, floating point
 * over sleeps, system calls with bad arguments. */
#include "user.h"

static int wrong;
static void expect(int good, const char *what) {
  if (good) return;
  printf("check: %s\n", what);
  wrong = 1;
}

/* Every level keeps a value in a register of its window, over a trap into the kernel. */
static NOINLINE u64 deep(u64 n) {
  u64 mine = n * 3, below;
  if (n == 0) return 0;
  if (n % 64 == 0) yield();
  below = deep(n - 1);
  __asm__ volatile("" : "+r"(mine));
  return below + mine;
}

static void memory(void) {
  u64 *p = sbrk(1 << 20);
  for (u64 i = 0; i < 1 << 17; i += 1024) p[i] = i ^ 0x5555;
  sleep_ns(1000000);
  for (u64 i = 0; i < 1 << 17; i += 1024) expect(p[i] == (i ^ 0x5555), "memory");
  sbrk(-(1 << 20));
  p = sbrk(1 << 20);
  for (u64 i = 0; i < 1 << 17; i += 1024) expect(p[i] == 0, "memory given back is zero");
}

static void floating_point(void) {
  double sum = 0, term = 1;
  for (int i = 1; i < 20; i++) {
    sum += term;
    term /= i;
    if (i % 5 == 0) sleep_ns(100000);
  }
  expect(sum > 2.718281828 && sum < 2.718281829, "floating point");
  WRASR(fprs, 0); /* off: the kernel must still take care of the registers, and turn them on again when they are used */
  sleep_ns(100000);
  sum -= 2;
  expect(sum > 0.718281828 && sum < 0.718281829, "floating point after it was off");
}

static void bad_arguments(void) {
  expect(write((const void *)0x100000000, 10) == -1, "write of nothing");
  expect(write((const void *)0x400000, 10) == -1, "write of the kernel");
  expect(write((const void *)~0xful, 100) == -1, "write beyond the end");
  expect(system_call(99, 0, 0, 0) == -1, "no such call");
  expect(system_call(~0ul, 0, 0, 0) == -1, "no such call");
  expect((i64)sbrk(-(1l << 29)) == -1, "less than nothing");
}

int main(const char *arguments) {
  if (strcmp(arguments, "sleep") == 0) sleep_ns(1ul << 63); /* until it is killed */
  expect(deep(2000) == 3ul * 2000 * 2001 / 2, "windows");
  memory();
  floating_point();
  bad_arguments();
  u64 before = time_ns();
  sleep_ns(5000000);
  expect(time_ns() - before >= 5000000, "sleep");
  printf("check: %s\n", wrong ? "FAILED" : "ok");
  return wrong;
}
