/* calls.c - recursion that goes 40 frames deep and back, again and again: mostly window traps. */
#include "fib.h"

BENCH("calls", 6000);

static NOINLINE u64 descend(u64 depth, u64 seed) {
  if (depth == 0) return seed;
  u64 below = descend(depth - 1, seed * 3 + depth);
  return below ^ (seed + depth);
}

u64 bench(u64 work) {
  u64 sum = 0;
  for (u64 round = 0; round < work; round++) {
    for (int i = 0; i < 16; i++) sum += descend(40, sum ^ round);
    sum += fib(7 + (round & 1));
  }
  return sum;
}
