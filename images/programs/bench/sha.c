/* sha.c - SHA-256 compression over words already in host order: long runs of 32-bit arithmetic. */
#include "sha256.h"

BENCH("sha", 1200);
enum { WORDS = 16384 };
static u32 data[WORDS];

static NOINLINE void block(u32 state[8], const u32 *p) {
  u32 w[64];
  for (int i = 0; i < 16; i++) w[i] = p[i];
  sha256_compress(state, w);
}

u64 bench(u64 work) {
  u32 state[8];
  memcpy(state, sha256_start, sizeof state);
  for (u32 i = 0; i < WORDS; i++) data[i] = i * 2654435761u;
  for (u64 round = 0; round < work; round++)
    for (u32 i = 0; i < WORDS; i += 16) block(state, data + i);
  u64 sum = 0;
  for (int i = 0; i < 8; i++) sum = sum * 33 + state[i];
  return sum;
}
