/* rc4.c - the stream cipher RC4 (RFC 6229 has vectors). See cipher.h. */
#include "crypto/cipher.h"

static void swap(u8 *a, u8 *b) {
  u8 c = *a;
  *a = *b;
  *b = c;
}

void rc4_init(struct rc4 *r, const u8 *key, u32 key_bytes) {
  for (unsigned i = 0; i < 256; i++) r->s[i] = (u8)i;
  r->i = r->j = 0;
  u8 j = 0;
  for (unsigned i = 0; i < 256; i++) {
    j = (u8)(j + r->s[i] + key[i % key_bytes]);
    swap(&r->s[i], &r->s[j]);
  }
}

void rc4_run(struct rc4 *r, u8 *data, size_t bytes) {
  for (size_t n = 0; n < bytes; n++) {
    r->j = (u8)(r->j + r->s[++r->i]);
    swap(&r->s[r->i], &r->s[r->j]);
    data[n] ^= r->s[(u8)(r->s[r->i] + r->s[r->j])];
  }
}
