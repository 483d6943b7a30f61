/* units.c - the kernel's drivers of crypto units or instructions (`SUFFIX`), each against the kernel's own code: random keys,
 * lengths, and sources in pieces, through AF_ALG.
 *
 * A hash takes the way of digest() only where one page comes by splice(): what is sent is an update, which drivers with a
 * fallback leave to it. Pieces of a cipher are whole blocks: a block in two pieces is copied by the kernel, and Linux 6.1's
 * n2_core.c does not ask for the copy back. Linux 6.1, crypto/algif_hash.c, crypto/algif_skcipher.c, include/crypto/if_alg.h.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_alg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROUNDS = 12, PAGE = 8192, MOST = 4 * PAGE, MOST_PIECES = 6, MOST_DIGEST = 64, MOST_IV = 16 };
#ifndef SOL_ALG
#define SOL_ALG 279
#endif

struct algorithm {
  const char *kind, *driver, *reference; /* "%s" in driver: the suffix */
  int keys[4], block, iv, one_page;
};

static const struct algorithm algorithms[] = {
    {"hash", "md5-%s", "md5-generic", {0}, 1, 0, 1},
    {"hash", "sha1-%s", "sha1-generic", {0}, 1, 0, 1},
    {"hash", "sha224-%s", "sha224-generic", {0}, 1, 0, 1},
    {"hash", "sha256-%s", "sha256-generic", {0}, 1, 0, 1},
    {"hash", "hmac-md5-%s", "hmac(md5-generic)", {20, 32, 100}, 1, 0, 1},
    {"hash", "hmac-sha1-%s", "hmac(sha1-generic)", {20, 32, 100}, 1, 0, 1},
    {"hash", "hmac-sha256-%s", "hmac(sha256-generic)", {20, 32, 100}, 1, 0, 1},
    {"skcipher", "ecb-des-%s", "ecb(des-generic)", {8}, 8, 0, 0},
    {"skcipher", "cbc-des-%s", "cbc(des-generic)", {8}, 8, 8, 0},
    {"skcipher", "ecb-3des-%s", "ecb(des3_ede-generic)", {24}, 8, 0, 0},
    {"skcipher", "cbc-3des-%s", "cbc(des3_ede-generic)", {24}, 8, 8, 0},
    {"skcipher", "ecb-des3_ede-%s", "ecb(des3_ede-generic)", {24}, 8, 0, 0},
    {"skcipher", "cbc-des3_ede-%s", "cbc(des3_ede-generic)", {24}, 8, 8, 0},
    {"skcipher", "ecb-aes-%s", "ecb(aes-generic)", {16, 24, 32}, 16, 0, 0},
    {"skcipher", "cbc-aes-%s", "cbc(aes-generic)", {16, 24, 32}, 16, 16, 0},
    /* Where the destination is not in one run, n2_core.c goes on with the wrong counter. */
    {"skcipher", "ctr-aes-%s", "ctr(aes-generic)", {16, 24, 32}, 16, 16, 1},
};

static unsigned char source[MOST], other[MOST], results[2][MOST] __attribute__((aligned(PAGE)));

static void fill(u64 *state, unsigned char *to, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) to[i] = (unsigned char)(chance(state) >> 32);
}

/* -1: the kernel has no such driver. */
static int bound(const char *kind, const char *name) {
  struct sockaddr_alg address = {.salg_family = AF_ALG};
  int fd = socket(AF_ALG, SOCK_SEQPACKET, 0);
  CHECK(fd >= 0);
  strncpy((char *)address.salg_type, kind, sizeof address.salg_type - 1);
  strncpy((char *)address.salg_name, name, sizeof address.salg_name - 1);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  CHECK(errno == ENOENT);
  close(fd);
  return -1;
}

/* The pieces reach the kernel as they lie in our pages. */
static void give(int fd, const struct iovec *piece, int pieces, size_t bytes) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(vmsplice(ends[1], piece, (size_t)pieces, 0) == (ssize_t)bytes);
  while (bytes > 0) {
    ssize_t n = splice(ends[0], NULL, fd, NULL, bytes, 0);
    CHECK(n > 0);
    bytes -= (size_t)n;
  }
  close(ends[0]);
  close(ends[1]);
}

static void begin(int fd, u32 operation, const unsigned char *iv, size_t iv_bytes) {
  char control[CMSG_SPACE(4) + CMSG_SPACE(4 + MOST_IV)] = {0};
  struct msghdr message = {.msg_control = control, .msg_controllen = CMSG_SPACE(4)};
  if (iv_bytes) message.msg_controllen += CMSG_SPACE(4 + iv_bytes);
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_ALG, .cmsg_type = ALG_SET_OP};
  memcpy(CMSG_DATA(c), &operation, 4);
  if (iv_bytes) {
    struct af_alg_iv head = {.ivlen = (u32)iv_bytes};
    c = CMSG_NXTHDR(&message, c);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(4 + iv_bytes), .cmsg_level = SOL_ALG, .cmsg_type = ALG_SET_IV};
    memcpy(CMSG_DATA(c), &head, 4);
    memcpy(CMSG_DATA(c) + 4, iv, iv_bytes);
  }
  CHECK(sendmsg(fd, &message, MSG_MORE) == 0);
}

/* Bytes of the result. */
static size_t once(int tfm, const struct algorithm *a, u32 operation, const unsigned char *iv, const struct iovec *piece,
                   int pieces, size_t bytes, unsigned char *result) {
  int fd = accept(tfm, NULL, NULL), hash = strcmp(a->kind, "hash") == 0;
  CHECK(fd >= 0);
  if (!hash) begin(fd, operation, iv, (size_t)a->iv);
  give(fd, piece, pieces, bytes);
  ssize_t n = read(fd, result, hash ? MOST_DIGEST : bytes);
  CHECK(hash ? n >= 16 : n == (ssize_t)bytes);
  close(fd);
  return (size_t)n;
}

/* Cuts [from, from + bytes) at multiples of `block`; every piece lies in one page. */
static int cut(u64 *state, unsigned char *from, size_t bytes, size_t block, int most, struct iovec *piece) {
  int n = 0;
  while (bytes > 0) {
    size_t in_page = PAGE - (size_t)((uintptr_t)from % PAGE), least = in_page < bytes ? in_page : bytes;
    size_t take = n + (int)((bytes + PAGE - 1) / PAGE) + 1 < most ? (1 + chance(state) % (least / block)) * block : least;
    piece[n++] = (struct iovec){from, take};
    from += take;
    bytes -= take;
  }
  return n;
}

static void compare(u64 *state, const struct algorithm *a, const int tfm[2]) {
  unsigned char iv[MOST_IV];
  struct iovec piece[MOST_PIECES + MOST / PAGE];
  size_t limit = a->one_page ? PAGE : MOST, blocks = 1 + chance(state) % (limit / (size_t)a->block);
  size_t bytes = blocks * (size_t)a->block;
  int hash = strcmp(a->kind, "hash") == 0;
  fill(state, source, bytes);
  fill(state, iv, sizeof iv);
  for (u32 operation = 0; operation < (hash ? 1u : 2u); operation++) {
    int pieces = cut(state, source, bytes, (size_t)a->block, hash ? 1 : MOST_PIECES, piece);
    size_t n = once(tfm[0], a, operation, iv, piece, pieces, bytes, results[0]);
    memcpy(other, results[0], n);
    CHECK(once(tfm[1], a, operation, iv, piece, pieces, bytes, results[0]) == n);
    CHECK(memcmp(other, results[0], n) == 0);
    CHECK(hash || memcmp(other, source, n) != 0);
  }
}

int units_main(int argc, char **argv) {
  const char *suffix = argc > 1 ? argv[1] : "n2";
  long rounds = argument(argc, argv, 2, ROUNDS);
  u64 state = 0x9e3779b97f4a7c15u;
  char name[64], found[512] = "";
  for (unsigned i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
    const struct algorithm *a = &algorithms[i];
    snprintf(name, sizeof name, a->driver, suffix);
    int tfm[2] = {bound(a->kind, name), bound(a->kind, a->reference)};
    if (tfm[0] < 0) continue;
    CHECK(tfm[1] >= 0);
    printf("units: %s\n", name);
    for (long round = 0; round < rounds; round++) {
      int keys = 0;
      while (keys < 4 && a->keys[keys]) keys++;
      if (keys) {
        unsigned char key[128];
        int bytes = a->keys[chance(&state) % (u64)keys];
        fill(&state, key, sizeof key);
        for (int t = 0; t < 2; t++) CHECK(setsockopt(tfm[t], SOL_ALG, ALG_SET_KEY, key, (socklen_t)bytes) == 0);
      }
      compare(&state, a, tfm);
    }
    strcat(strcat(found, " "), name);
    close(tfm[0]);
    close(tfm[1]);
  }
  printf("units: ok%s\n", found);
  return 0;
}
