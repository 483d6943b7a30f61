/* aead.c - records of TLS 1.3 (RFC 8446, 5.2 and 5.3) sealed and opened, and their keys (7.1 to 7.3). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "stream/aead.h"

enum { GET_TAG = 0x10, SET_TAG = 0x11 }; /* EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG */
static const unsigned long LEAST_VERSION = 0x30000000; /* OpenSSL 3.0 */
static const char *const NAMES[] = {"libcrypto.so.3", "libcrypto.so.4", "libcrypto.so"};

struct libcrypto {
  void *handle;
  unsigned long (*version)(void);
  void *(*context_new)(void);
  void (*context_free)(void *);
  int (*init)(void *, const void *cipher, void *engine, const u8 *key, const u8 *nonce, int encrypt);
  int (*control)(void *, int what, int n, void *);
  int (*update)(void *, u8 *out, int *out_bytes, const u8 *in, int bytes);
  int (*final)(void *, u8 *out, int *out_bytes);
  const void *(*aes_128_gcm)(void);
  const void *(*aes_256_gcm)(void);
  const void *(*chacha20)(void);
  const void *(*sha256)(void);
  const void *(*sha384)(void);
  u8 *(*hmac)(const void *md, const void *key, int key_bytes, const u8 *data, size_t bytes, u8 *out, unsigned *out_bytes);
};

static bool find(void *handle, const char *name, void *place) {
  void *symbol = dlsym(handle, name);
  memcpy(place, &symbol, sizeof symbol); /* ISO C has no cast from an object's address to a function's */
  return symbol != NULL;
}

static bool find_all(struct libcrypto *l) {
  void *h = l->handle;
  return find(h, "OpenSSL_version_num", &l->version) && l->version() >= LEAST_VERSION &&
         find(h, "EVP_CIPHER_CTX_new", &l->context_new) && find(h, "EVP_CIPHER_CTX_free", &l->context_free) &&
         find(h, "EVP_CipherInit_ex", &l->init) && find(h, "EVP_CIPHER_CTX_ctrl", &l->control) &&
         find(h, "EVP_CipherUpdate", &l->update) && find(h, "EVP_CipherFinal_ex", &l->final) &&
         find(h, "EVP_aes_128_gcm", &l->aes_128_gcm) && find(h, "EVP_aes_256_gcm", &l->aes_256_gcm) &&
         find(h, "EVP_chacha20_poly1305", &l->chacha20) && find(h, "EVP_sha256", &l->sha256) &&
         find(h, "EVP_sha384", &l->sha384) && find(h, "HMAC", &l->hmac);
}

/* Only one that is in the process already: then it is the one that made the handshake. */
struct libcrypto *libcrypto_open(void) {
  struct libcrypto *l = calloc(1, sizeof *l);
  if (!l) return NULL;
  for (size_t i = 0; i < ARRAY_LEN(NAMES) && !l->handle; i++) l->handle = dlopen(NAMES[i], RTLD_NOW | RTLD_NOLOAD);
  if (l->handle && find_all(l)) return l;
  libcrypto_close(l);
  return NULL;
}

void libcrypto_close(struct libcrypto *l) {
  if (!l) return;
  if (l->handle) dlclose(l->handle);
  free(l);
}

static const void *cipher_of(const struct direction *d) {
  switch (d->suite) {
    case S4V_STREAM_AES_128_GCM: return d->lib->aes_128_gcm();
    case S4V_STREAM_AES_256_GCM: return d->lib->aes_256_gcm();
    default: return d->lib->chacha20();
  }
}

/* HKDF-Expand-Label with no context and no more than one block of output (RFC 8446, 7.1; RFC 5869, 2.3). */
static bool expand(const struct direction *d, const char *label, u8 *out, size_t bytes) {
  u8 info[64], block[64];
  size_t n = strlen(label);
  unsigned made = 0;
  if (bytes > d->secret_bytes || n > 32) return false;
  info[0] = (u8)(bytes >> 8);
  info[1] = (u8)bytes;
  info[2] = (u8)(6 + n);
  memcpy(info + 3, "tls13 ", 6);
  memcpy(info + 9, label, n);
  info[9 + n] = 0;
  info[10 + n] = 1; /* the block's number */
  const void *md = d->secret_bytes == SECRET_BYTES ? d->lib->sha384() : d->lib->sha256();
  if (!d->lib->hmac(md, d->secret, (int)d->secret_bytes, info, 11 + n, block, &made) || made != d->secret_bytes) return false;
  memcpy(out, block, bytes);
  explicit_bzero(block, sizeof block);
  return true;
}

static bool rekey(struct direction *d) {
  u8 key[32];
  bool ok = expand(d, "key", key, d->key_bytes) && expand(d, "iv", d->nonce, NONCE_BYTES) &&
            d->lib->init(d->cipher, cipher_of(d), NULL, key, NULL, d->sealing) == 1;
  explicit_bzero(key, sizeof key);
  d->sequence = 0;
  return ok;
}

bool direction_open(struct direction *d, const struct libcrypto *lib, int suite, const u8 *secret, bool sealing) {
  *d = (struct direction){.lib = lib, .suite = suite, .sealing = sealing, .key_bytes = 32, .secret_bytes = 32};
  if (suite == S4V_STREAM_AES_128_GCM) d->key_bytes = 16;
  else if (suite == S4V_STREAM_AES_256_GCM) d->secret_bytes = SECRET_BYTES;
  else if (suite != S4V_STREAM_CHACHA20) return false;
  memcpy(d->secret, secret, d->secret_bytes);
  d->cipher = lib->context_new();
  return d->cipher && rekey(d);
}

void direction_close(struct direction *d) {
  if (d->cipher) d->lib->context_free(d->cipher);
  explicit_bzero(d, sizeof *d);
}

bool direction_update(struct direction *d) {
  u8 next[SECRET_BYTES];
  bool ok = expand(d, "traffic upd", next, d->secret_bytes);
  memcpy(d->secret, next, d->secret_bytes);
  explicit_bzero(next, sizeof next);
  return ok && rekey(d);
}

/* The nonce of the next record, and its header as what is authenticated beside it. */
static bool begin(struct direction *d, const u8 *header) {
  u8 nonce[NONCE_BYTES];
  int n;
  memcpy(nonce, d->nonce, sizeof nonce);
  for (int i = 0; i < 8; i++) nonce[NONCE_BYTES - 1 - i] ^= (u8)(d->sequence >> 8 * i);
  d->sequence++;
  return d->lib->init(d->cipher, NULL, NULL, NULL, nonce, d->sealing) == 1 &&
         d->lib->update(d->cipher, NULL, &n, header, RECORD_HEADER) == 1;
}

size_t record_seal(struct direction *d, u8 type, const u8 *data, size_t bytes, u8 *out) {
  size_t sealed = bytes + 1 + RECORD_TAG;
  const u8 header[RECORD_HEADER] = {CONTENT_DATA, 3, 3, (u8)(sealed >> 8), (u8)sealed};
  u8 *at = out + RECORD_HEADER;
  int n = 0, one = 0, rest = 0;
  memcpy(out, header, sizeof header);
  if (!begin(d, header) || d->lib->update(d->cipher, at, &n, data, (int)bytes) != 1 ||
      d->lib->update(d->cipher, at + n, &one, &type, 1) != 1 || d->lib->final(d->cipher, at + n + one, &rest) != 1 ||
      (size_t)(n + one + rest) != bytes + 1 || d->lib->control(d->cipher, GET_TAG, RECORD_TAG, at + bytes + 1) != 1)
    return 0;
  return RECORD_HEADER + sealed;
}

int record_open(struct direction *d, const u8 *record, size_t sealed, u8 *out, u8 *type) {
  const u8 *at = record + RECORD_HEADER;
  int n = 0, rest = 0, inner = (int)(sealed - RECORD_TAG);
  u8 tag[RECORD_TAG];
  memcpy(tag, at + inner, sizeof tag);
  if (!begin(d, record) || d->lib->update(d->cipher, out, &n, at, inner) != 1 ||
      d->lib->control(d->cipher, SET_TAG, RECORD_TAG, tag) != 1 || d->lib->final(d->cipher, out + n, &rest) != 1 ||
      n + rest != inner)
    return -1;
  while (inner > 0 && out[inner - 1] == 0) inner--; /* padding; before it stands the type of the content */
  if (inner == 0) return -1;
  *type = out[inner - 1];
  return inner - 1;
}
