/* bigsieve.c - sieve over 1 MiB of byte flags, starting at the square: stores that leave the first-level cache. */
#include "bench.h"

BENCH("bigsieve", 90);
enum { SIZE = 1 << 20 };
static u8 flag[SIZE];

u64 bench(u64 work) {
  u64 primes = 0;
  for (u64 round = 0; round < work; round++) {
    memset(flag, 1, SIZE);
    for (u64 i = 2; i < SIZE; i++) {
      if (!flag[i]) continue;
      primes++;
      for (u64 j = i * i; j < SIZE; j += i) flag[j] = 0;
    }
  }
  return primes;
}
