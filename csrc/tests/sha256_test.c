/* sha256_test.c - digest of standard input, taken in in the pieces named by the arguments, round and round.
 *
 * sha256_test PIECE...    prints the digest in hexadecimal
 */
#include "check.h"
#include "util/sha256.h"

int main(int argc, char **argv) {
  struct sha256 s;
  u8 out[SHA256_BYTES];
  sha256_init(&s);
  CHECK(argc > 1);
  for (int i = 1, eof = 0; !eof; i = i % (argc - 1) + 1) {
    size_t piece = strtoull(argv[i], NULL, 10);
    u8 *buf = malloc(piece); /* exactly as large as the piece, for the sanitizer's sake */
    CHECK(buf || piece == 0);
    size_t n = fread(buf, 1, piece, stdin);
    sha256_update(&s, n ? buf : NULL, n);
    eof = n < piece;
    free(buf);
  }
  sha256_final(&s, out);
  for (int i = 0; i < SHA256_BYTES; i++) printf("%02x", out[i]);
  putchar('\n');
  return 0;
}
