/* mont.c - MPMUL, MONTMUL, MONTSQR and their carry-less twins: where the operands live.
 *
 * Numbers of imm5 + 1 words, least significant word first, each spread over register windows ("-k" = k windows behind
 * the current one) and FP registers:
 *
 *      MONTMUL, MONTSQR   A and result   -5: %l0-%l7 %o0-%o5, then %d24-%d58
 *                         N              -4: %l0-%l7 %o0-%o5, -3: the same, -2: %l0-%l3
 *                         B              -1: %i0-%i5 %l0-%l7, 0: %i0-%i5 %l0-%l7 %o0-%o3
 *                         n0             %d60
 *      MPMUL              multiplier     -6: %o0-%o5, %d0 %d2, -6: %l0-%l7 %i0-%i5, %d4-%d22
 *                         multiplicand   as A
 *                         product        -4, -3, -2, -1: %l0-%l7 %o0-%o5, 0: %l0-%l7
 *
 * Observed in OpenSSL (crypto/bn/asm/sparct4-mont.pl) and OpenJDK (multiplyToLen in stubGenerator_sparc.cpp).
 */
#include "crypto/crypto.h"

enum { O0 = 8, L0 = 16, I0 = 24 };  /* register numbers in a window */
enum { FP = 7 };                    /* instead of a window: index into the doubles */
enum { FCC_DONE = 0, FCC_FAILED = 3 };
enum { N0_DOUBLE = 30 };

/* `count` words in consecutive registers from `first` on, in the window `back` restores behind. */
struct span {
  u8 back, first, count;
};

static const struct span A[] = {{5, L0, 8}, {5, O0, 6}, {FP, 12, 18}};
static const struct span MODULUS[] = {{4, L0, 8}, {4, O0, 6}, {3, L0, 8}, {3, O0, 6}, {2, L0, 4}};
static const struct span B[] = {{1, I0, 6}, {1, L0, 8}, {0, I0, 6}, {0, L0, 8}, {0, O0, 4}};
static const struct span MULTIPLIER[] = {{6, O0, 6}, {FP, 0, 2}, {6, L0, 8}, {6, I0, 6}, {FP, 2, 10}};
static const struct span PRODUCT[] = {{4, L0, 8}, {4, O0, 6}, {3, L0, 8}, {3, O0, 6}, {2, L0, 8},
                                      {2, O0, 6}, {1, L0, 8}, {1, O0, 6}, {0, L0, 8}};

static u64 *cell(const struct window_access *w, u64 f[32], struct span span, unsigned i) {
  return span.back == FP ? &f[span.first + i] : w->window_reg(w->ctx, span.back, span.first + i);
}

static void gather(const struct window_access *w, u64 f[32], const struct span *span, u64 *words, unsigned count) {
  for (; count; span++)
    for (unsigned i = 0; i < span->count && count; i++, count--)
      *words++ = *cell(w, f, *span, i);
}

static void scatter(const struct window_access *w, u64 f[32], const struct span *span, const u64 *words,
                    unsigned count) {
  for (; count; span++)
    for (unsigned i = 0; i < span->count && count; i++, count--)
      *cell(w, f, *span, i) = *words++;
}

typedef void multiply_fn(u64 *product, const u64 *a, const u64 *b, unsigned words);
typedef bool montgomery_fn(u64 *result, const u64 *a, const u64 *b, const u64 *n, u64 n0, unsigned words);

static unsigned multiply(const struct window_access *w, u64 f[32], u32 imm5, multiply_fn *compute) {
  u64 a[BIGNUM_WORDS], b[BIGNUM_WORDS], product[2 * BIGNUM_WORDS];
  unsigned words = (imm5 & 31) + 1;
  if (w->canrestore < MPMUL_WINDOWS_BEHIND)
    return FCC_FAILED;
  gather(w, f, A, a, words);
  gather(w, f, MULTIPLIER, b, words);
  compute(product, a, b, words);
  scatter(w, f, PRODUCT, product, 2 * words);
  return FCC_DONE;
}

static unsigned montgomery(const struct window_access *w, u64 f[32], u32 imm5, bool square, montgomery_fn *compute) {
  u64 a[BIGNUM_WORDS], b[BIGNUM_WORDS], n[BIGNUM_WORDS];
  unsigned words = (imm5 & 31) + 1;
  if (w->canrestore < MONT_WINDOWS_BEHIND)
    return FCC_FAILED;
  gather(w, f, A, a, words);
  gather(w, f, MODULUS, n, words);
  if (!square)
    gather(w, f, B, b, words);
  if (!compute(a, a, square ? a : b, n, f[N0_DOUBLE], words))
    return FCC_FAILED;
  scatter(w, f, A, a, words);
  return FCC_DONE;
}

unsigned crypto_mpmul(const struct window_access *w, u64 f[32], u32 imm5) {
  return multiply(w, f, imm5, bignum_mul);
}

unsigned crypto_xmpmul(const struct window_access *w, u64 f[32], u32 imm5) {
  return multiply(w, f, imm5, bignum_xmul);
}

unsigned crypto_montmul(const struct window_access *w, u64 f[32], u32 imm5) {
  return montgomery(w, f, imm5, false, bignum_montmul);
}

unsigned crypto_xmontmul(const struct window_access *w, u64 f[32], u32 imm5) {
  return montgomery(w, f, imm5, false, bignum_xmontmul);
}

unsigned crypto_montsqr(const struct window_access *w, u64 f[32], u32 imm5) {
  return montgomery(w, f, imm5, true, bignum_montmul);
}

unsigned crypto_xmontsqr(const struct window_access *w, u64 f[32], u32 imm5) {
  return montgomery(w, f, imm5, true, bignum_xmontmul);
}
