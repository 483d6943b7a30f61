/* fp.c - floating point in many processes at a time, each with its own numbers; results exact to the bit. */
#include "load.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static u64 bits(double x) {
  u64 out;
  memcpy(&out, &x, sizeof out);
  return out;
}

static u64 chaos(long seed, u64 sum) {
  double x = 0.1 + 0.8 / (double)(seed + 2), y = 1.0;
  for (int i = 0; i < 4000; i++) {
    x = 3.9 * x * (1.0 - x);
    y = sqrt(y + x) / (1.0 + x * x) + 1e-3;
    if (i % 97 == 0) sum = fold(sum, bits(x) ^ bits(y));
  }
  return sum;
}

static u64 singles(long seed, u64 sum) {
  float f = 1.0f / (float)(seed + 3);
  for (int i = 0; i < 2000; i++) {
    f = f * 1.5f - (float)(int)(f * 1.5f) + 1.0f / (float)(i + 7);
    if (i % 89 == 0) sum = fold(sum, bits((double)f));
  }
  return sum;
}

/* Conversions both ways, all rounding toward zero, and the ends of their ranges. */
static u64 conversions(long seed, u64 sum) {
  u64 state = (u64)seed * 2 + 1;
  for (int i = 0; i < 1000; i++) {
    i64 n = (i64)chance(&state) >> (i % 60);
    double d = (double)n;
    sum = fold(sum, bits(d) + (u64)(i64)(d / 3.0) + (u64)(u32)(int)(d / 4294967296.0) + (u64)bits((double)(float)d));
  }
  return sum;
}

/* Quadruple precision: no such instruction in hardware, the kernel or the library computes it. */
static u64 quads(long seed, u64 sum) {
#if defined(__sparc__)
  long double a = 1.0L / (long double)(seed + 3), b = 1.0L;
  for (int i = 0; i < 300; i++) {
    b = b * a + 1.0L / (long double)(i + 1);
    a = a + b / 3.0L;
    if (a > 100.0L) a = a - 99.5L;
    sum = fold(sum, bits((double)(b * 1e6L - (long double)(i64)(b * 1e6L))));
  }
#else
  (void)seed;
#endif
  return sum;
}

static long rounds = 10;

static u64 one_process(long index) {
  u64 sum = FOLD_START;
  for (long i = 0; i < rounds; i++) {
    sum = chaos(index, sum);
    sched_yield();
    sum = singles(index, sum);
    sum = conversions(index, sum);
    sum = quads(index, sum);
    sched_yield();
  }
  return sum;
}

static u64 expected[64];

static int worker(long index) { return one_process(index) == expected[index] ? 0 : 1; }

int fp_main(int argc, char **argv) {
  long processes = argument(argc, argv, 1, 16);
  rounds = argument(argc, argv, 2, 10);
  CHECK(processes >= 1 && processes <= 64);
  u64 total = FOLD_START;
  for (long i = 0; i < processes; i++) total = fold(total, expected[i] = one_process(i));
  int pids[64];
  for (long i = 0; i < processes; i++) pids[i] = spawn(worker, i);
  for (long i = 0; i < processes; i++) CHECK(reap(pids[i]) == 0);
  printf("fp: ok %ld processes, %016llx\n", processes, (unsigned long long)total);
  return 0;
}
