/* aead.h - one direction of a TLS 1.3 connection: its key, its count of records, one record sealed or opened.
 *
 * The ciphers and HMAC are those of the libcrypto that Python's ssl has loaded; a handful of functions that have had the same
 * form since OpenSSL 1.1, found at run time, since a host that builds this need not have OpenSSL's headers.
 */
#ifndef S4V_STREAM_AEAD_H
#define S4V_STREAM_AEAD_H
#include "stream/stream.h"

enum {
  RECORD_HEADER = 5,
  RECORD_TAG = 16,
  RECORD_PLAIN = 1 << 14,           /* the most content a record has */
  RECORD_SEALED = RECORD_PLAIN + 256, /* the most it has behind its header */
  RECORD_OURS = RECORD_HEADER + RECORD_PLAIN + 1 + RECORD_TAG, /* the longest that is sealed here */
  SECRET_BYTES = 48,
  NONCE_BYTES = 12,
};
enum { CONTENT_CHANGE = 20, CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };

struct libcrypto; /* its functions */
struct libcrypto *libcrypto_open(void); /* NULL: it is not there, or too old */
void libcrypto_close(struct libcrypto *);

struct direction {
  const struct libcrypto *lib;
  void *cipher;              /* EVP_CIPHER_CTX */
  bool sealing;
  int suite;
  u32 key_bytes, secret_bytes;
  u64 sequence;
  u8 secret[SECRET_BYTES], nonce[NONCE_BYTES];
};

/* Keys from a traffic secret; `suite`: S4V_STREAM_AES_256_GCM and so on. */
bool direction_open(struct direction *, const struct libcrypto *, int suite, const u8 *secret, bool sealing);
void direction_close(struct direction *);
bool direction_update(struct direction *); /* the next secret and its keys, RFC 8446, 7.2 */

/* A record of `bytes` (1 to RECORD_PLAIN) of content into `out` (RECORD_OURS): its length, 0 where the library fails. */
size_t record_seal(struct direction *, u8 type, const u8 *data, size_t bytes, u8 *out);
/* Open the record with this header and `sealed` bytes behind it into `out`, of sealed - RECORD_TAG bytes. Its content's length
 * and type; -1: it is not what the peer has sent. */
int record_open(struct direction *, const u8 *record, size_t sealed, u8 *out, u8 *type);
#endif
