/* sha256.h - SHA-256 (FIPS 180-4) of a stream of bytes, for state digests; and its compression function, which the
 * guest's instruction uses on the guest's registers.
 */
#ifndef S4V_UTIL_SHA256_H
#define S4V_UTIL_SHA256_H
#include "util/types.h"

enum { SHA256_BYTES = 32, SHA256_BLOCK = 64 };

struct sha256 {
  u32 h[8];
  u64 bytes;               /* taken in so far, modulo 2^64 */
  u8 block[SHA256_BLOCK];  /* the bytes that do not fill a block yet */
};

/* One block: h is the state, message its 16 words in host order. */
void sha256_compress(u32 h[8], const u32 message[16]);

void sha256_init(struct sha256 *);
void sha256_update(struct sha256 *, const void *data, size_t bytes);
/* Digest of all that was taken in; afterwards the struct wants sha256_init. */
void sha256_final(struct sha256 *, u8 out[SHA256_BYTES]);

#endif
