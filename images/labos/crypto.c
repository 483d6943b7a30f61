/* crypto.c - `crypto`: every algorithm by the instructions the description offers, and in software; both must give what
 * the standards say. */
#include "commands.h"
#include "crypto_soft.h"
#include "kernel.h"
#include "scheduler.h"

enum { BLOCK = 128, DIGEST = 64 };
typedef void (*algorithm)(u8 *digest, bool instructions);

/* The one padded block of the message "abc": 0x80, zeros, and the length in bits at the end. */
static u8 message[BLOCK] ALIGNED(8);

static void message_abc(u32 block, bool little) {
  memset(message, 0, sizeof message);
  memcpy(message, "abc\200", 4);
  message[little ? block - 8 : block - 1] = 24;
}

static void run_md5(u8 *digest, bool instructions) {
  u32 state[4] ALIGNED(8) = {0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210}; /* as bytes in memory */
  message_abc(64, true);
  (instructions ? md5_insn : md5_soft)(state, message);
  memcpy(digest, state, sizeof state);
}

static void run_sha1(u8 *digest, bool instructions) {
  u32 state[6] ALIGNED(8) = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0, 0};
  message_abc(64, false);
  (instructions ? sha1_insn : sha1_soft)(state, message);
  memcpy(digest, state, 20);
}

static void run_sha256(u8 *digest, bool instructions) {
  u32 state[8] ALIGNED(8) = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  message_abc(64, false);
  (instructions ? sha256_insn : sha256_soft)(state, message);
  memcpy(digest, state, sizeof state);
}

static void run_sha512(u8 *digest, bool instructions) {
  u64 state[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                  0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  message_abc(128, false);
  (instructions ? sha512_insn : sha512_soft)(state, message);
  memcpy(digest, state, sizeof state);
}

/* 32 bytes 0, 1, 2 ... (RFC 3720, appendix B.4). */
static void run_crc32c(u8 *digest, bool instructions) {
  u32 crc[2] ALIGNED(8) = {~0u, 0};
  for (u32 i = 0; i < 32; i++) message[i] = (u8)i;
  (instructions ? crc32c_insn : crc32c_soft)(crc, message, 4);
  crc[0] = ~crc[0];
  memcpy(digest, crc, 4);
}

/* FIPS 197, appendix C.1: encrypted, and the decrypted behind it. */
static void run_aes(u8 *digest, bool instructions) {
  u64 schedule[22];
  u8 key[16] ALIGNED(8), block[16] ALIGNED(8);
  for (u32 i = 0; i < 16; i++) {
    key[i] = (u8)i;
    block[i] = (u8)(i * 0x11);
  }
  (instructions ? aes128_expand_insn : aes128_expand_soft)(key, schedule);
  (instructions ? aes128_encrypt_insn : aes128_encrypt_soft)(schedule, block);
  memcpy(digest, block, 16);
  (instructions ? aes128_decrypt_insn : aes128_decrypt_soft)(schedule, block);
  memcpy(digest + 16, block, 16);
}

static const struct {
  const char *name, *hwcap, *known; /* the beginning of the right result */
  u32 known_bytes;
  algorithm run;
} algorithms[] = {
    {"aes", "aes", "\x69\xc4\xe0\xd8\x6a\x7b\x04\x30\xd8\xcd\xb7\x80\x70\xb4\xc5\x5a\x00\x11\x22\x33", 20, run_aes},
    {"md5", "md5", "\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72", 16, run_md5},
    {"sha1", "sha1", "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d", 20, run_sha1},
    {"sha256", "sha256", "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23", 16, run_sha256},
    {"sha512", "sha512", "\xdd\xaf\x35\xa1\x93\x61\x7a\xba\xcc\x41\x73\x49\xae\x20\x41\x31", 16, run_sha512},
    {"crc32c", "crc32c", "\x4e\x79\xdd\x46", 4, run_crc32c},
};

static const char *crypto_one(u32 i, bool instructions) {
  u8 by_software[DIGEST] = {0}, by_instructions[DIGEST] = {0};
  algorithms[i].run(by_software, false);
  if (memcmp(by_software, algorithms[i].known, algorithms[i].known_bytes)) return "WRONG (software)";
  if (!instructions) return "ok";
  algorithms[i].run(by_instructions, true);
  return memcmp(by_instructions, by_software, DIGEST) ? "WRONG (instructions)" : "ok";
}

int command_crypto(int argc, char **argv) {
  int wrong = 0;
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  if (!fp_begin()) {
    printf("crypto: no memory\n");
    return 1;
  }
  md_node cpu = md_find("cpu", MD_NONE);
  for (u32 i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
    bool instructions = md_list_has(cpu, "hwcap-list", algorithms[i].hwcap);
    const char *verdict = crypto_one(i, instructions);
    printf("%-7s %-12s %s\n", algorithms[i].name, instructions ? "instructions" : "software", verdict);
    wrong |= strcmp(verdict, "ok");
  }
  wrong |= crypto_units_print();
  return wrong ? 1 : 0;
}
