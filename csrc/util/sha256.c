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

static inline u32 rotate_right(u32 x, unsigned n) { return x >> n | x << (32 - n); }

static inline u32 word_at(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }

static void schedule_expand(u32 w[64], const u8 *block) {
  for (unsigned t = 0; t < 16; t++) w[t] = word_at(block + 4 * t);
  for (unsigned t = 16; t < 64; t++) {
    u32 x = w[t - 15], y = w[t - 2];
    u32 sigma0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3;
    u32 sigma1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10;
    w[t] = sigma1 + w[t - 7] + sigma0 + w[t - 16];
  }
}

static void block_mix(u32 h[8], const u8 *block) {
  u32 w[64];
  schedule_expand(w, block);
  u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
  for (unsigned t = 0; t < 64; t++) {
    u32 sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    u32 sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    u32 t1 = k + sum1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
    u32 t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
    k = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d;
  h[4] += e, h[5] += f, h[6] += g, h[7] += k;
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
