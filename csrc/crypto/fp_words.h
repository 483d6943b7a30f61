/* fp_words.h - single-precision registers seen as 32-bit words of the FP register file. */
#ifndef S4V_CRYPTO_FP_WORDS_H
#define S4V_CRYPTO_FP_WORDS_H
#include "util/types.h"

/* %fN, N < 32: the even one of a pair is the high half of the double. */
static inline u32 fp_word(const u64 f[32], unsigned n) {
  return (u32)(n & 1 ? f[n / 2] : f[n / 2] >> 32);
}

static inline void fp_word_set(u64 f[32], unsigned n, u32 value) {
  u64 other = n & 1 ? f[n / 2] & 0xffffffff00000000 : f[n / 2] & 0xffffffff;
  f[n / 2] = other | (n & 1 ? (u64)value : (u64)value << 32);
}

#endif
