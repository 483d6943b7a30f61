/* sha1.c - one block of SHA-1 (FIPS 180-4) in the FP registers: state %f0..%f4, block %d8..%d22, big-endian. */
#include "crypto/crypto.h"
#include "crypto/fp_words.h"

enum { STATE = 0, BLOCK = 8 }; /* first %f register */

static u32 rotate_left(u32 x, unsigned n) {
  return x << n | x >> (32 - n);
}

static u32 mix(unsigned round, u32 b, u32 c, u32 d) {
  switch (round) {
  case 0: return ((b & c) | (~b & d)) + 0x5a827999;
  case 1: return (b ^ c ^ d) + 0x6ed9eba1;
  case 2: return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
  default: return (b ^ c ^ d) + 0xca62c1d6;
  }
}

void sha1_block(u64 f[32]) {
  u32 w[80], s[5];
  for (unsigned i = 0; i < 16; i++)
    w[i] = fp_word(f, BLOCK + i);
  for (unsigned i = 16; i < 80; i++)
    w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  for (unsigned i = 0; i < 5; i++)
    s[i] = fp_word(f, STATE + i);
  for (unsigned i = 0; i < 80; i++) {
    u32 sum = rotate_left(s[0], 5) + mix(i / 20, s[1], s[2], s[3]) + s[4] + w[i];
    s[4] = s[3];
    s[3] = s[2];
    s[2] = rotate_left(s[1], 30);
    s[1] = s[0];
    s[0] = sum;
  }
  for (unsigned i = 0; i < 5; i++)
    fp_word_set(f, STATE + i, fp_word(f, STATE + i) + s[i]);
}
