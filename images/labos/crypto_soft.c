/* crypto_soft.c - MD5, SHA-1, SHA-256, SHA-512, CRC-32C and AES-128 in C, for chips without the instructions and to
 * check those that have them. RFC 1321, FIPS 180-4, FIPS 197, RFC 3720 appendix B. */
#include "crypto_soft.h"

static u32 rotate_left(u32 v, u32 by) { return v << by | v >> (32 - by); }
static u32 rotate_right(u32 v, u32 by) { return v >> by | v << (32 - by); }
static u64 rotate_right64(u64 v, u32 by) { return v >> by | v << (64 - by); }
static u32 swap_bytes(u32 v) { return v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24; }
static u32 load_little(const u8 *p) { return (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24; }
static u32 load_big(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | (u32)p[3]; }

static const u32 md5_constants[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

void md5_soft(u32 state[4], const u8 block[64]) {
  static const u8 shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  u32 s[4], a, b, c, d;
  for (u32 i = 0; i < 4; i++) s[i] = swap_bytes(state[i]);
  a = s[0], b = s[1], c = s[2], d = s[3];
  for (u32 i = 0; i < 64; i++) {
    u32 f, at;
    switch (i / 16) {
    case 0: f = (b & c) | (~b & d), at = i; break;
    case 1: f = (d & b) | (~d & c), at = (5 * i + 1) % 16; break;
    case 2: f = b ^ c ^ d, at = (3 * i + 5) % 16; break;
    default: f = c ^ (b | ~d), at = 7 * i % 16; break;
    }
    f += a + md5_constants[i] + load_little(block + 4 * at);
    a = d, d = c, c = b;
    b += rotate_left(f, shifts[i / 16][i % 4]);
  }
  s[0] += a, s[1] += b, s[2] += c, s[3] += d;
  for (u32 i = 0; i < 4; i++) state[i] = swap_bytes(s[i]);
}

void sha1_soft(u32 state[5], const u8 block[64]) {
  u32 w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (u32 i = 0; i < 16; i++) w[i] = load_big(block + 4 * i);
  for (u32 i = 16; i < 80; i++) w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  for (u32 i = 0; i < 80; i++) {
    u32 f, k;
    if (i < 20)
      f = (b & c) | (~b & d), k = 0x5a827999;
    else if (i < 40)
      f = b ^ c ^ d, k = 0x6ed9eba1;
    else if (i < 60)
      f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
    else
      f = b ^ c ^ d, k = 0xca62c1d6;
    f += rotate_left(a, 5) + e + k + w[i];
    e = d, d = c, c = rotate_left(b, 30), b = a, a = f;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* SHA-256's constants are the upper halves of the first 64 of SHA-512's. */
static const u64 sha_constants[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc, 0x3956c25bf348b538,
    0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118, 0xd807aa98a3030242, 0x12835b0145706fbe,
    0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2, 0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235,
    0xc19bf174cf692694, 0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5, 0x983e5152ee66dfab,
    0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4, 0xc6e00bf33da88fc2, 0xd5a79147930aa725,
    0x06ca6351e003826f, 0x142929670a0e6e70, 0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df, 0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30, 0xd192e819d6ef5218,
    0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8, 0x19a4c116b8d2d0c8, 0x1e376c085141ab53,
    0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8, 0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3, 0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b, 0xca273eceea26619c,
    0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178, 0x06f067aa72176fba, 0x0a637dc5a2c898a6,
    0x113f9804bef90dae, 0x1b710b35131c471b, 0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c, 0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

void sha256_soft(u32 state[8], const u8 block[64]) {
  u32 w[64], v[8];
  for (u32 i = 0; i < 16; i++) w[i] = load_big(block + 4 * i);
  for (u32 i = 16; i < 64; i++) {
    u32 s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
    u32 s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  for (u32 i = 0; i < 8; i++) v[i] = state[i];
  for (u32 i = 0; i < 64; i++) {
    u32 s1 = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
    u32 t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + (u32)(sha_constants[i] >> 32) + w[i];
    u32 s0 = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
    u32 t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    for (u32 k = 7; k > 0; k--) v[k] = v[k - 1];
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (u32 i = 0; i < 8; i++) state[i] += v[i];
}

void sha512_soft(u64 state[8], const u8 block[128]) {
  u64 w[80], v[8];
  for (u32 i = 0; i < 16; i++) w[i] = (u64)load_big(block + 8 * i) << 32 | load_big(block + 8 * i + 4);
  for (u32 i = 16; i < 80; i++) {
    u64 s0 = rotate_right64(w[i - 15], 1) ^ rotate_right64(w[i - 15], 8) ^ w[i - 15] >> 7;
    u64 s1 = rotate_right64(w[i - 2], 19) ^ rotate_right64(w[i - 2], 61) ^ w[i - 2] >> 6;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  for (u32 i = 0; i < 8; i++) v[i] = state[i];
  for (u32 i = 0; i < 80; i++) {
    u64 s1 = rotate_right64(v[4], 14) ^ rotate_right64(v[4], 18) ^ rotate_right64(v[4], 41);
    u64 t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha_constants[i] + w[i];
    u64 s0 = rotate_right64(v[0], 28) ^ rotate_right64(v[0], 34) ^ rotate_right64(v[0], 39);
    u64 t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    for (u32 k = 7; k > 0; k--) v[k] = v[k - 1];
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (u32 i = 0; i < 8; i++) state[i] += v[i];
}

void crc32c_soft(u32 *crc, const u8 *data, u64 doublewords) {
  u32 c = swap_bytes(*crc);
  for (u64 i = 0; i < doublewords * 8; i++) {
    c ^= data[i];
    for (u32 bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
  }
  *crc = swap_bytes(c);
}

/* -- AES: the field GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 */

static u8 times(u8 a, u8 b) {
  u8 product = 0;
  for (; b; b >>= 1, a = (u8)(a << 1 ^ (a & 0x80 ? 0x1b : 0)))
    if (b & 1) product ^= a;
  return product;
}

static u8 substitute(u8 v) {
  u8 inverse = v;
  for (u32 i = 0; i < 6; i++) inverse = times(times(inverse, inverse), v); /* v^127 */
  inverse = times(inverse, inverse);                                       /* v^254 */
  u32 wide = inverse * 0x101u;
  return (u8)(inverse ^ wide >> 7 ^ wide >> 6 ^ wide >> 5 ^ wide >> 4 ^ 0x63);
}

struct aes_tables {
  u8 box[256], inverse[256];
  bool made;
};
static struct aes_tables aes;

static void tables_make(void) {
  for (u32 i = 0; i < 256; i++) {
    aes.box[i] = substitute((u8)i);
    aes.inverse[aes.box[i]] = (u8)i;
  }
  aes.made = true;
}

void aes128_expand_soft(const u8 key[16], u64 schedule[22]) {
  u8 *w = (u8 *)schedule, constant = 1;
  if (!aes.made) tables_make();
  memcpy(w, key, 16);
  for (u32 at = 16; at < 176; at += 4) {
    u8 t[4];
    memcpy(t, w + at - 4, 4);
    if (at % 16 == 0) {
      u8 first = t[0];
      for (u32 i = 0; i < 4; i++) t[i] = aes.box[i < 3 ? t[i + 1] : first];
      t[0] ^= constant;
      constant = times(constant, 2);
    }
    for (u32 i = 0; i < 4; i++) w[at + i] = w[at + i - 16] ^ t[i];
  }
}

static void key_add(u8 *state, const u8 *key) {
  for (u32 i = 0; i < 16; i++) state[i] ^= key[i];
}

/* Bytes through a table while the rows move: `by` 1 to the left, 3 to the right. */
static void substitute_shift(u8 *state, const u8 *table, u32 by) {
  u8 old[16];
  memcpy(old, state, 16);
  for (u32 i = 0; i < 16; i++) state[i] = table[old[(i + 4 * by * (i % 4)) % 16]];
}

static void mix(u8 *state, const u8 factors[4]) {
  for (u32 column = 0; column < 16; column += 4) {
    u8 old[4];
    memcpy(old, state + column, 4);
    for (u32 i = 0; i < 4; i++) {
      u8 sum = 0;
      for (u32 k = 0; k < 4; k++) sum ^= times(old[(i + k) % 4], factors[k]);
      state[column + i] = sum;
    }
  }
}

void aes128_encrypt_soft(const u64 schedule[22], u8 block[16]) {
  static const u8 factors[4] = {2, 3, 1, 1};
  const u8 *keys = (const u8 *)schedule;
  key_add(block, keys);
  for (u32 round = 1; round <= 10; round++) {
    substitute_shift(block, aes.box, 1);
    if (round < 10) mix(block, factors);
    key_add(block, keys + 16 * round);
  }
}

void aes128_decrypt_soft(const u64 schedule[22], u8 block[16]) {
  static const u8 factors[4] = {14, 11, 13, 9};
  const u8 *keys = (const u8 *)schedule;
  key_add(block, keys + 160);
  for (u32 round = 10; round-- > 0;) {
    substitute_shift(block, aes.inverse, 3);
    key_add(block, keys + 16 * round);
    if (round > 0) mix(block, factors);
  }
}
