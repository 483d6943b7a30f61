/* crypto.h - the cryptographic instructions of OSA2011/OSA2015 as pure functions.
 *
 * Every function takes register values and returns the value of the destination; none of them knows a strand.
 * Operand order follows the instruction fields: the first argument is fd1 (rs1), then fd2 (rs2), then fd3 (rs3).
 *
 * Where a function takes the whole register file, `f` has 32 doubles in host order: f[n] = %d(2n), whose high half is
 * %f(2n) and whose low half is %f(2n+1).
 *
 * What each instruction does, and what of it is inferred: docs/COMPATIBILITY.md, "Crypto instructions".
 */
#ifndef S4V_CRYPTO_CRYPTO_H
#define S4V_CRYPTO_CRYPTO_H
#include "util/types.h"

/* ---- AES (aes.c): the state is s01 (columns 0, 1) and s23 (columns 2, 3) ---- */
u64 aes_eround01(u64 key, u64 s01, u64 s23);
u64 aes_eround23(u64 key, u64 s01, u64 s23);
u64 aes_dround01(u64 key, u64 s01, u64 s23);
u64 aes_dround23(u64 key, u64 s01, u64 s23);
u64 aes_eround01_l(u64 key, u64 s01, u64 s23);
u64 aes_eround23_l(u64 key, u64 s01, u64 s23);
u64 aes_dround01_l(u64 key, u64 s01, u64 s23);
u64 aes_dround23_l(u64 key, u64 s01, u64 s23);
u64 aes_kexpand0(u64 a, u64 b);
u64 aes_kexpand1(u64 a, u64 b, u32 round);
u64 aes_kexpand2(u64 a, u64 b);

/* ---- DES (des.c) ---- */
u64 des_ip(u64 block);
u64 des_iip(u64 state);
u64 des_round(u64 key1, u64 key2, u64 state); /* two Feistel rounds */
u64 des_kexpand(u64 key, u32 step);

/* ---- Camellia (camellia.c) ---- */
u64 camellia_f(u64 key, u64 other, u64 data); /* other ^ F(data, key) */
u64 camellia_fl(u64 key, u64 data);
u64 camellia_fli(u64 key, u64 data);

/* ---- KASUMI (kasumi.c): 32-bit halves in the low words, result zero-extended ---- */
u64 kasumi_fl_xor(u64 key, u64 other, u64 data); /* other ^ FL(data, KL1:KL2) */
u64 kasumi_fi_fi(u64 key, u64 data);             /* first two rounds of FO; key = KO1:KI1:KO2:KI2 */
u64 kasumi_fi_xor(u64 key, u64 other, u64 data); /* other ^ last round of FO; key = KO3:KI3 */

/* ---- CRC-32C (crc32c.c) ---- */
u64 crc32c_update(u64 crc, u64 data);          /* with the host's instruction where it has one */
u64 crc32c_update_portable(u64 crc, u64 data);

/* ---- Hashes (md5.c, sha1.c, sha256.c, sha512.c): one block, state and message at their places in the FP file ---- */
void md5_block(u64 f[32]);
void sha1_block(u64 f[32]);
void sha256_block(u64 f[32]);
void sha512_block(u64 f[32]);

/* ---- Multiple-precision arithmetic on arrays of 64-bit words, least significant word first (bignum.c) ---- */
enum { BIGNUM_WORDS = 32 };

void bignum_mul(u64 *product, const u64 *a, const u64 *b, unsigned words);  /* product: 2 * words, no overlap */
void bignum_xmul(u64 *product, const u64 *a, const u64 *b, unsigned words); /* carry-less, GF(2)[x] */

/* result = a * b * 2^(-64 * words) mod n. n0 is -1/n mod 2^64 (xmont: 1/n mod x^64, carry-less).
 * The result is below n (xmont: of lower degree) if a and b are; otherwise it is congruent, and n is subtracted at most
 * once. False, and `result` untouched, if n0 does not belong to n, so also if n is even. `result` may be `a` or `b`. */
bool bignum_montmul(u64 *result, const u64 *a, const u64 *b, const u64 *n, u64 n0, unsigned words);
bool bignum_xmontmul(u64 *result, const u64 *a, const u64 *b, const u64 *n, u64 n0, unsigned words);

/* ---- MPMUL, MONTMUL, MONTSQR and their carry-less twins (mont.c) ---- */

/* How these instructions reach the register windows. window_reg gives the cell of register `reg` (8..31 = %o0..%i7)
 * as seen in the window that lies `windows_back` restores behind the current one (0..6). */
struct window_access {
  u64 *(*window_reg)(void *ctx, unsigned windows_back, unsigned reg);
  void *ctx;
  unsigned canrestore;
};

/* How many windows behind the current one hold operands. */
enum { MONT_WINDOWS_BEHIND = 5, MPMUL_WINDOWS_BEHIND = 6 };

/* Real CPUs fetch missing windows from the stack: programs use these instructions without looking whether a context
 * switch has spilled the windows they have just loaded. The engine defines this word, before it includes this header,
 * to leave the instruction with a fill trap while CANRESTORE is below `behind`; the trap's CWP is
 * CWP - CANRESTORE - 1, the youngest window that is missing (for RESTORE, where CANRESTORE is 0, the usual CWP - 1).
 * Without it the functions below fail instead. */
#ifndef NEED_WINDOWS
#define NEED_WINDOWS(behind) ((void)0)
#endif

/* imm5 = words - 1. Each returns the new value of FSR.fcc3: 0 done; 3 ("unordered") if the windows are not resident or
 * n0 does not belong to N, and then no register has changed. */
unsigned crypto_mpmul(const struct window_access *w, u64 f[32], u32 imm5);
unsigned crypto_xmpmul(const struct window_access *w, u64 f[32], u32 imm5);
unsigned crypto_montmul(const struct window_access *w, u64 f[32], u32 imm5);
unsigned crypto_xmontmul(const struct window_access *w, u64 f[32], u32 imm5);
unsigned crypto_montsqr(const struct window_access *w, u64 f[32], u32 imm5);
unsigned crypto_xmontsqr(const struct window_access *w, u64 f[32], u32 imm5);

#endif
