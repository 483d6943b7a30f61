/* fib.c - doubly recursive Fibonacci of 24: calls, and window spills and fills. */
#include "fib.h"

BENCH("fib", 300);
static volatile u64 n = 24;

u64 bench(u64 work) {
  u64 sum = 0;
  for (u64 round = 0; round < work; round++) sum += fib(n);
  return sum;
}
