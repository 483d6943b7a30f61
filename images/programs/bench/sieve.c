/* sieve.c - sieve of Eratosthenes over 64 KiB of byte flags: short loops of stores. */
#include "bench.h"

BENCH("sieve", 1500);
enum { SIZE = 65536 };
static u8 composite[SIZE];

u64 bench(u64 work) {
  u64 primes = 0;
  for (u64 round = 0; round < work; round++) {
    for (u32 i = 0; i < SIZE; i++) composite[i] = 0;
    for (u32 i = 2; i < SIZE; i++) {
      if (composite[i]) continue;
      primes++;
      for (u32 j = 2 * i; j < SIZE; j += i) composite[j] = 1;
    }
  }
  return primes;
}
