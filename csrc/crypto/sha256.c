/* sha256.c - one block of SHA-224/256 (FIPS 180-4) in the FP registers: state %f0..%f7, block %d8..%d22, big-endian. */
#include "crypto/crypto.h"
#include "crypto/fp_words.h"
#include "util/sha256.h"

enum { STATE = 0, BLOCK = 8 }; /* first %f register */

void sha256_block(u64 f[32]) {
  u32 w[16], h[8];
  for (unsigned i = 0; i < 16; i++)
    w[i] = fp_word(f, BLOCK + i);
  for (unsigned i = 0; i < 8; i++)
    h[i] = fp_word(f, STATE + i);
  sha256_compress(h, w);
  for (unsigned i = 0; i < 8; i++)
    fp_word_set(f, STATE + i, h[i]);
}
