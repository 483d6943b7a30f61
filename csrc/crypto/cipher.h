/* cipher.h - ciphers and hashes over bytes, as the crypto units of the T1 to T3 do them; built from crypto.h.
 *
 * Nothing here knows a queue or guest memory. Sources: FIPS 46-3, 197, 180-4, SP 800-38A, RFC 1321, 2104, 3720, 6101.
 */
#ifndef S4V_CRYPTO_CIPHER_H
#define S4V_CRYPTO_CIPHER_H
#include "util/types.h"

/* ---- Block ciphers (cipher.c) ---- */
enum cipher_kind { CIPHER_DES = 0, CIPHER_3DES, CIPHER_AES128, CIPHER_AES192, CIPHER_AES256, CIPHER_KINDS };
enum cipher_mode { CIPHER_ECB = 0, CIPHER_CBC, CIPHER_CFB, CIPHER_COUNTER };
enum { CIPHER_MOST_KEY = 32, CIPHER_MOST_BLOCK = 16, CIPHER_MOST_ROUND_KEYS = 48 };

struct cipher {
  u32 kind, block, rounds; /* bytes of a block; AES: rounds */
  u64 keys[CIPHER_MOST_ROUND_KEYS];
};

u32 cipher_key_bytes(u32 kind);
u32 cipher_block_bytes(u32 kind);
void cipher_init(struct cipher *, u32 kind, const u8 *key);
void cipher_encrypt(const struct cipher *, u8 *block);
void cipher_decrypt(const struct cipher *, u8 *block);
/* `bytes` of data in place; iv is a block, not looked at for ECB. The counter is the whole block, big-endian. ECB and CBC
 * leave an incomplete last block as it is. */
void cipher_run(const struct cipher *, u32 mode, bool encrypt, const u8 *iv, u8 *data, size_t bytes);

/* ---- RC4 (rc4.c) ---- */
struct rc4 {
  u8 s[256], i, j;
};
void rc4_init(struct rc4 *, const u8 *key, u32 key_bytes); /* key_bytes 1 to 256 */
void rc4_run(struct rc4 *, u8 *data, size_t bytes);

/* ---- Hashes (hash.c) ---- */
enum hash_kind { HASH_MD5 = 0, HASH_SHA1, HASH_SHA256, HASH_KINDS };
enum { HASH_MOST_BYTES = 32, HASH_BLOCK = 64 };

struct hash {
  u32 kind;
  u64 bytes;             /* taken in */
  u64 f[32];             /* state and block where the instructions have them */
  u8 block[HASH_BLOCK];  /* what does not fill a block yet */
};

u32 hash_bytes(u32 kind); /* of a digest, and of the state */
/* The state is the bytes of a digest, in the order in which the digest is stored. */
void hash_init(struct hash *, u32 kind, const u8 *state);
void hash_update(struct hash *, const u8 *data, size_t bytes);
void hash_state(const struct hash *, u8 *state);  /* after the whole blocks taken in */
void hash_final(struct hash *, u8 *digest);
/* HMAC (RFC 2104) with hashes that start from `state`; key_bytes at most HASH_BLOCK. */
void hash_hmac(u32 kind, const u8 *state, const u8 *key, u32 key_bytes, const u8 *data, size_t bytes, u8 *digest);
/* The MAC of SSL 3.0 (RFC 6101, 5.2.3.1) over `data`, which begins with sequence number, type and length; MD5, SHA-1. */
void hash_ssl_mac(u32 kind, const u8 *state, const u8 *key, u32 key_bytes, const u8 *data, size_t bytes, u8 *digest);

/* ---- Checksums ---- */
u32 crc32c_bytes(u32 crc, const u8 *data, size_t bytes);      /* crc32c.c; reflected, no inversion (RFC 3720) */
u32 checksum_bytes(u32 sum, const u8 *data, size_t bytes);    /* hash.c; ones' complement sum of 16 bits (RFC 1071) */

#endif
