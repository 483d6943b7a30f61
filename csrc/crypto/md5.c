/* md5.c - one block of MD5 (RFC 1321) in the FP registers.
 *
 * State A, B, C, D in %f0..%f3, block in %d8..%d22. MD5 is little-endian: software loads its words with ordinary
 * (big-endian) loads, so a register holds the byte-swapped word.
 */
#include "crypto/crypto.h"
#include "crypto/fp_words.h"

enum { STATE = 0, BLOCK = 8 }; /* first %f register */

/* floor(2^32 |sin(i + 1)|) */
static const u32 SINES[64] = {
  0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
  0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
  0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
  0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
  0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
  0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
  0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
  0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const u8 ROTATIONS[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

static u32 rotate_left(u32 x, unsigned n) {
  return x << n | x >> (32 - n);
}

static u32 mix(unsigned round, u32 b, u32 c, u32 d) {
  switch (round) {
  case 0: return (b & c) | (~b & d);
  case 1: return (d & b) | (~d & c);
  case 2: return b ^ c ^ d;
  default: return c ^ (b | ~d);
  }
}

static unsigned message_index(unsigned round, unsigned i) {
  static const u8 factor[4] = {1, 5, 3, 7}, offset[4] = {0, 1, 5, 0};
  return (factor[round] * i + offset[round]) & 15;
}

void md5_block(u64 f[32]) {
  u32 m[16], a[4];
  for (unsigned i = 0; i < 16; i++)
    m[i] = __builtin_bswap32(fp_word(f, BLOCK + i));
  for (unsigned i = 0; i < 4; i++)
    a[i] = __builtin_bswap32(fp_word(f, STATE + i));
  u32 s[4] = {a[0], a[1], a[2], a[3]};
  for (unsigned i = 0; i < 64; i++) {
    unsigned round = i / 16;
    u32 sum = s[0] + mix(round, s[1], s[2], s[3]) + m[message_index(round, i)] + SINES[i];
    s[0] = s[3];
    s[3] = s[2];
    s[2] = s[1];
    s[1] += rotate_left(sum, ROTATIONS[round][i & 3]);
  }
  for (unsigned i = 0; i < 4; i++)
    fp_word_set(f, STATE + i, __builtin_bswap32(a[i] + s[i]));
}
