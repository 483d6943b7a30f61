/* sha256.c - SHA-256 (FIPS 180-4), portable. */
#include "util/sha256.h"

#include <string.h>

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const u32 round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const u32 first_hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static inline u32 rotate_right(u32 x, unsigned n) {
  return x >> n | x << (32 - n);
}

static inline u32 big_sigma0(u32 x) {
  return rotate_right(x, 2) ^ rotate_right(x, 13) ^ rotate_right(x, 22);
}

static inline u32 big_sigma1(u32 x) {
  return rotate_right(x, 6) ^ rotate_right(x, 11) ^ rotate_right(x, 25);
}

static inline u32 small_sigma0(u32 x) {
  return rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3;
}

static inline u32 small_sigma1(u32 x) {
  return rotate_right(x, 17) ^ rotate_right(x, 19) ^ x >> 10;
}

static inline u32 choose(u32 x, u32 y, u32 z) {
  return (x & y) ^ (~x & z);
}

static inline u32 majority(u32 x, u32 y, u32 z) {
  return (x & y) ^ (x & z) ^ (y & z);
}

/* Instead of moving a..h one place on each round, the round finds them one place back; unrolled, s is in registers. */
static inline void eight_rounds(u32 s[8], const u32 *constants, const u32 *w) {
#pragma GCC unroll 8
  for (unsigned i = 0; i < 8; i++) {
    u32 a = s[-i & 7], b = s[(1 - i) & 7], c = s[(2 - i) & 7];
    u32 e = s[(4 - i) & 7], f = s[(5 - i) & 7], g = s[(6 - i) & 7], *h = &s[(7 - i) & 7];
    u32 t1 = *h + big_sigma1(e) + choose(e, f, g) + constants[i] + w[i];
    s[(3 - i) & 7] += t1;
    *h = t1 + big_sigma0(a) + majority(a, b, c);
  }
}

void sha256_compress(u32 h[8], const u32 message[16]) {
  u32 w[64], s[8];
  memcpy(w, message, 64);
  memcpy(s, h, sizeof s);
  for (unsigned i = 16; i < 64; i++)
    w[i] = small_sigma1(w[i - 2]) + w[i - 7] + small_sigma0(w[i - 15]) + w[i - 16];
  for (unsigned i = 0; i < 64; i += 8)
    eight_rounds(s, &round_constants[i], &w[i]);
  for (unsigned i = 0; i < 8; i++)
    h[i] += s[i];
}

static inline u32 word_at(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }

static void block_mix(u32 h[8], const u8 *block) {
  u32 w[16];
  for (unsigned t = 0; t < 16; t++) w[t] = word_at(block + 4 * t);
  sha256_compress(h, w);
}

void sha256_init(struct sha256 *s) {
  memcpy(s->h, first_hash, sizeof s->h);
  s->bytes = 0;
}

void sha256_update(struct sha256 *s, const void *data, size_t bytes) {
  const u8 *p = data;
  size_t held = s->bytes % SHA256_BLOCK;
  if (bytes == 0) return; /* data may be NULL then */
  s->bytes += bytes;
  if (held) {
    size_t n = SHA256_BLOCK - held < bytes ? SHA256_BLOCK - held : bytes;
    memcpy(s->block + held, p, n);
    p += n, bytes -= n;
    if (held + n < SHA256_BLOCK) return;
    block_mix(s->h, s->block);
  }
  for (; bytes >= SHA256_BLOCK; p += SHA256_BLOCK, bytes -= SHA256_BLOCK) block_mix(s->h, p);
  memcpy(s->block, p, bytes);
}

void sha256_final(struct sha256 *s, u8 out[SHA256_BYTES]) {
  static const u8 padding[SHA256_BLOCK] = {0x80};
  u64 bits = s->bytes << 3;
  u8 length[8];
  for (unsigned i = 0; i < 8; i++) length[i] = (u8)(bits >> (56 - 8 * i));
  size_t held = s->bytes % SHA256_BLOCK;
  sha256_update(s, padding, held < 56 ? 56 - held : 120 - held);
  sha256_update(s, length, sizeof length);
  for (unsigned i = 0; i < SHA256_BYTES; i++) out[i] = (u8)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}
