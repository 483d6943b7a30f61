/* sha256.c - SHA-256 of a 4 KiB buffer with the words put together from bytes. */
#include "sha256.h"

BENCH("sha256", 20000);
enum { SIZE = 4096 };
static u8 data[SIZE];

static NOINLINE void block(u32 state[8], const u8 *p) {
  u32 w[64];
  for (int i = 0; i < 16; i++, p += 4) w[i] = (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
  sha256_compress(state, w);
}

u64 bench(u64 work) {
  u32 state[8];
  memcpy(state, sha256_start, sizeof state);
  for (u32 i = 0; i < SIZE; i++) data[i] = (u8)(i * 7);
  for (u64 round = 0; round < work; round++)
    for (u32 at = 0; at < SIZE; at += 64) block(state, data + at);
  return (u64)state[0] << 32 | state[7];
}
