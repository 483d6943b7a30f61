/* hash.c - MD5, SHA-1 and SHA-256 of bytes, HMAC, the MAC of SSL 3.0, the Internet checksum. See cipher.h. */
#include "crypto/cipher.h"

#include <string.h>

#include "crypto/crypto.h"

enum { BLOCK_AT = 4, LENGTH_AT = HASH_BLOCK - 8 }; /* first double of the block; offset of the length in the last one */

static u64 load(const u8 *p) {
  u64 v;
  memcpy(&v, p, 8);
  return __builtin_bswap64(v);
}

static void store(u8 *p, u64 v) {
  v = __builtin_bswap64(v);
  memcpy(p, &v, 8);
}

u32 hash_bytes(u32 kind) {
  static const u8 bytes[HASH_KINDS] = {16, 20, 32};
  return bytes[kind];
}

void hash_init(struct hash *h, u32 kind, const u8 *state) {
  u8 padded[HASH_MOST_BYTES] = {0};
  *h = (struct hash){.kind = kind};
  memcpy(padded, state, hash_bytes(kind));
  for (unsigned i = 0; i < HASH_MOST_BYTES / 8; i++) h->f[i] = load(padded + 8 * i);
}

static void block(struct hash *h, const u8 *bytes) {
  for (unsigned i = 0; i < HASH_BLOCK / 8; i++) h->f[BLOCK_AT + i] = load(bytes + 8 * i);
  if (h->kind == HASH_MD5)
    md5_block(h->f);
  else if (h->kind == HASH_SHA1)
    sha1_block(h->f);
  else
    sha256_block(h->f);
}

void hash_update(struct hash *h, const u8 *data, size_t bytes) {
  size_t held = h->bytes % HASH_BLOCK;
  h->bytes += bytes;
  if (held) {
    size_t n = bytes < HASH_BLOCK - held ? bytes : HASH_BLOCK - held;
    memcpy(h->block + held, data, n);
    if (held + n < HASH_BLOCK) return;
    block(h, h->block);
    data += n;
    bytes -= n;
  }
  for (; bytes >= HASH_BLOCK; data += HASH_BLOCK, bytes -= HASH_BLOCK) block(h, data);
  if (bytes) memcpy(h->block, data, bytes);
}

void hash_state(const struct hash *h, u8 *state) {
  u8 all[HASH_MOST_BYTES];
  for (unsigned i = 0; i < HASH_MOST_BYTES / 8; i++) store(all + 8 * i, h->f[i]);
  memcpy(state, all, hash_bytes(h->kind));
}

void hash_final(struct hash *h, u8 *digest) {
  u64 bits = h->bytes * 8;
  size_t held = h->bytes % HASH_BLOCK;
  h->block[held++] = 0x80;
  if (held > LENGTH_AT) {
    memset(h->block + held, 0, HASH_BLOCK - held);
    block(h, h->block);
    held = 0;
  }
  memset(h->block + held, 0, LENGTH_AT - held);
  store(h->block + LENGTH_AT, h->kind == HASH_MD5 ? __builtin_bswap64(bits) : bits);
  block(h, h->block);
  hash_state(h, digest);
}

void hash_hmac(u32 kind, const u8 *state, const u8 *key, u32 key_bytes, const u8 *data, size_t bytes, u8 *digest) {
  u8 pad[HASH_BLOCK] = {0};
  struct hash h;
  memcpy(pad, key, key_bytes);
  for (unsigned i = 0; i < HASH_BLOCK; i++) pad[i] ^= 0x36;
  hash_init(&h, kind, state);
  hash_update(&h, pad, HASH_BLOCK);
  hash_update(&h, data, bytes);
  hash_final(&h, digest);
  for (unsigned i = 0; i < HASH_BLOCK; i++) pad[i] ^= 0x36 ^ 0x5c;
  hash_init(&h, kind, state);
  hash_update(&h, pad, HASH_BLOCK);
  hash_update(&h, digest, hash_bytes(kind));
  hash_final(&h, digest);
}

void hash_ssl_mac(u32 kind, const u8 *state, const u8 *key, u32 key_bytes, const u8 *data, size_t bytes, u8 *digest) {
  u8 pad[48];
  u32 pad_bytes = kind == HASH_MD5 ? 48 : 40;
  struct hash h;
  memset(pad, 0x36, sizeof pad);
  hash_init(&h, kind, state);
  hash_update(&h, key, key_bytes);
  hash_update(&h, pad, pad_bytes);
  hash_update(&h, data, bytes);
  hash_final(&h, digest);
  memset(pad, 0x5c, sizeof pad);
  hash_init(&h, kind, state);
  hash_update(&h, key, key_bytes);
  hash_update(&h, pad, pad_bytes);
  hash_update(&h, digest, hash_bytes(kind));
  hash_final(&h, digest);
}

u32 checksum_bytes(u32 sum, const u8 *data, size_t bytes) {
  u64 total = sum;
  for (size_t i = 0; i < bytes; i++) total += i & 1 ? data[i] : (u64)data[i] << 8;
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return (u32)total;
}
