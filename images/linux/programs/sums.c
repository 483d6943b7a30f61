/* sums.c - integer arithmetic: a number that says whether every instruction was right. */
#include "load.h"

#include <stdio.h>

static __attribute__((noinline)) u64 fib(u64 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int sums_main(int argc, char **argv) {
  long rounds = argument(argc, argv, 1, 20);
  u64 sum = FOLD_START, state = 7;
  for (long i = 0; i < rounds; i++) {
    for (int k = 0; k < 10000; k++) {
      u64 a = chance(&state), b = chance(&state) | 1;
      i64 c = (i64)a, d = (i64)(b >> (k % 50));
      sum = fold(sum, a / b + a % b + (u64)(c / (d | 1)) + (u64)((i64)(int)a * (int)b) + (a >> (b & 63)) + (u64)(c >> 7));
      sum ^= (u64)__builtin_popcountll(a) + (u64)__builtin_clzll(b);
    }
    sum = fold(sum, fib(18));
    printf("sums: round %ld %016llx\n", i + 1, (unsigned long long)sum);
  }
  printf("sums: ok %016llx\n", (unsigned long long)sum);
  return 0;
}
