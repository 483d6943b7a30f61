/* cipher.c - DES, triple DES and AES on blocks of bytes, and the modes ECB, CBC, CFB and counter. See cipher.h. */
#include "crypto/cipher.h"

#include <string.h>

#include "crypto/crypto.h"

enum { DES_KEYS = 16 };

static u64 load(const u8 *p) {
  u64 v;
  memcpy(&v, p, 8);
  return __builtin_bswap64(v);
}

static void store(u8 *p, u64 v) {
  v = __builtin_bswap64(v);
  memcpy(p, &v, 8);
}

u32 cipher_key_bytes(u32 kind) {
  static const u8 bytes[CIPHER_KINDS] = {8, 24, 16, 24, 32};
  return bytes[kind];
}

u32 cipher_block_bytes(u32 kind) { return kind <= CIPHER_3DES ? 8 : 16; }

/* The round keys in the order of rounds, by the steps that instructions offer. */
static void des_schedule(u64 *keys, u64 key) {
  static const u8 from[DES_KEYS] = {0, 0, 1, 1, 3, 3, 5, 5, 7, 8, 8, 10, 10, 12, 12, 14};
  static const u8 steps[DES_KEYS] = {0, 1, 2, 3, 2, 3, 2, 3, 1, 2, 3, 2, 3, 2, 3, 1};
  keys[0] = des_kexpand(key, 0);
  for (unsigned i = 1; i < DES_KEYS; i++) keys[i] = des_kexpand(keys[from[i]], steps[i]);
}

static void aes_schedule(struct cipher *c, const u8 *key) {
  unsigned words = cipher_key_bytes(c->kind) / 8, round = 0;
  c->rounds = 2 * words + 6;
  for (unsigned i = 0; i < words; i++) c->keys[i] = load(key + 8 * i);
  for (unsigned i = words; i < 2 * (c->rounds + 1); i++) {
    u64 old = c->keys[i - words], last = c->keys[i - 1];
    if (i % words == 0)
      c->keys[i] = aes_kexpand1(old, last, round++);
    else if (words == 4 && i % words == 2)
      c->keys[i] = aes_kexpand0(old, last);
    else
      c->keys[i] = aes_kexpand2(old, last);
  }
}

void cipher_init(struct cipher *c, u32 kind, const u8 *key) {
  *c = (struct cipher){.kind = kind, .block = cipher_block_bytes(kind)};
  if (kind >= CIPHER_AES128)
    aes_schedule(c, key);
  else
    for (unsigned n = 0; n < (kind == CIPHER_DES ? 1u : 3u); n++) des_schedule(c->keys + DES_KEYS * n, load(key + 8 * n));
}

static u64 des_pass(const u64 *keys, u64 v, bool encrypt) {
  v = des_ip(v);
  for (unsigned i = 0; i < DES_KEYS; i += 2)
    v = encrypt ? des_round(keys[i], keys[i + 1], v) : des_round(keys[15 - i], keys[14 - i], v);
  return des_iip(v);
}

static u64 des_block(const struct cipher *c, u64 v, bool encrypt) {
  if (c->kind == CIPHER_DES) return des_pass(c->keys, v, encrypt);
  for (unsigned n = 0; n < 3; n++) {
    const u64 *keys = c->keys + DES_KEYS * (encrypt ? n : 2 - n);
    v = des_pass(keys, v, encrypt == (n != 1));
  }
  return v;
}

static void aes_encrypt(const struct cipher *c, u8 *block) {
  const u64 *k = c->keys;
  u64 a = load(block) ^ k[0], b = load(block + 8) ^ k[1];
  for (unsigned r = 1; r <= c->rounds; r++) {
    bool last = r == c->rounds;
    u64 low = k[2 * r], high = k[2 * r + 1];
    u64 next = last ? aes_eround01_l(low, a, b) : aes_eround01(low, a, b);
    b = last ? aes_eround23_l(high, a, b) : aes_eround23(high, a, b);
    a = next;
  }
  store(block, a);
  store(block + 8, b);
}

static void aes_decrypt(const struct cipher *c, u8 *block) {
  const u64 *k = c->keys;
  u64 a = load(block) ^ k[2 * c->rounds], b = load(block + 8) ^ k[2 * c->rounds + 1];
  for (unsigned r = c->rounds; r-- > 0;) {
    u64 low = k[2 * r], high = k[2 * r + 1];
    u64 next = r ? aes_dround01(low, a, b) : aes_dround01_l(low, a, b);
    b = r ? aes_dround23(high, a, b) : aes_dround23_l(high, a, b);
    a = next;
  }
  store(block, a);
  store(block + 8, b);
}

void cipher_encrypt(const struct cipher *c, u8 *block) {
  if (c->kind >= CIPHER_AES128)
    aes_encrypt(c, block);
  else
    store(block, des_block(c, load(block), true));
}

void cipher_decrypt(const struct cipher *c, u8 *block) {
  if (c->kind >= CIPHER_AES128)
    aes_decrypt(c, block);
  else
    store(block, des_block(c, load(block), false));
}

static void xor_bytes(u8 *to, const u8 *with, size_t n) {
  for (size_t i = 0; i < n; i++) to[i] ^= with[i];
}

static void run_cbc(const struct cipher *c, bool encrypt, const u8 *iv, u8 *data, size_t bytes) {
  u8 chain[CIPHER_MOST_BLOCK], next[CIPHER_MOST_BLOCK];
  memcpy(chain, iv, c->block);
  for (size_t at = 0; at + c->block <= bytes; at += c->block) {
    if (encrypt) {
      xor_bytes(data + at, chain, c->block);
      cipher_encrypt(c, data + at);
      memcpy(chain, data + at, c->block);
    } else {
      memcpy(next, data + at, c->block);
      cipher_decrypt(c, data + at);
      xor_bytes(data + at, chain, c->block);
      memcpy(chain, next, c->block);
    }
  }
}

static void run_cfb(const struct cipher *c, bool encrypt, const u8 *iv, u8 *data, size_t bytes) {
  u8 chain[CIPHER_MOST_BLOCK], text[CIPHER_MOST_BLOCK];
  memcpy(chain, iv, c->block);
  for (size_t at = 0; at < bytes; at += c->block) {
    size_t n = bytes - at < c->block ? bytes - at : c->block;
    cipher_encrypt(c, chain);
    memcpy(text, data + at, n);
    xor_bytes(data + at, chain, n);
    memcpy(chain, encrypt ? data + at : text, n);
  }
}

static void run_counter(const struct cipher *c, const u8 *iv, u8 *data, size_t bytes) {
  u8 counter[CIPHER_MOST_BLOCK], pad[CIPHER_MOST_BLOCK];
  memcpy(counter, iv, c->block);
  for (size_t at = 0; at < bytes; at += c->block) {
    size_t n = bytes - at < c->block ? bytes - at : c->block;
    memcpy(pad, counter, c->block);
    cipher_encrypt(c, pad);
    xor_bytes(data + at, pad, n);
    for (u32 i = c->block; i-- > 0 && ++counter[i] == 0;) {}
  }
}

void cipher_run(const struct cipher *c, u32 mode, bool encrypt, const u8 *iv, u8 *data, size_t bytes) {
  switch (mode) {
  case CIPHER_CBC: run_cbc(c, encrypt, iv, data, bytes); return;
  case CIPHER_CFB: run_cfb(c, encrypt, iv, data, bytes); return;
  case CIPHER_COUNTER: run_counter(c, iv, data, bytes); return;
  default: break;
  }
  for (size_t at = 0; at + c->block <= bytes; at += c->block) {
    if (encrypt)
      cipher_encrypt(c, data + at);
    else
      cipher_decrypt(c, data + at);
  }
}
