/* bignum.c - multiple-precision products and Montgomery products, with and without carries.
 *
 * Numbers are arrays of up to BIGNUM_WORDS 64-bit words, least significant first. The Montgomery products go word by
 * word (Koc, Acar, Kaliski, "Analyzing and comparing Montgomery multiplication algorithms", CIOS): add a * b[i], add
 * the multiple of n that clears the lowest word, drop that word.
 */
#include "crypto/crypto.h"

#include <string.h>

/* t[0..words] += a * b, except that a carry out of t[words] is returned */
static u64 add_product(u64 *t, const u64 *a, u64 b, unsigned words) {
  u64 carry = 0;
  for (unsigned i = 0; i < words; i++) {
    u128 sum = (u128)a[i] * b + t[i] + carry;
    t[i] = (u64)sum;
    carry = (u64)(sum >> 64);
  }
  u128 top = (u128)t[words] + carry;
  t[words] = (u64)top;
  return (u64)(top >> 64);
}

void bignum_mul(u64 *product, const u64 *a, const u64 *b, unsigned words) {
  memset(product, 0, 2 * words * sizeof *product);
  for (unsigned i = 0; i < words; i++)
    add_product(product + i, a, b[i], words);
}

/* result = t - n over `words` words; returns the borrow */
static u64 subtract(u64 *result, const u64 *t, const u64 *n, unsigned words) {
  u64 borrow = 0;
  for (unsigned i = 0; i < words; i++) {
    u128 difference = (u128)t[i] - n[i] - borrow;
    result[i] = (u64)difference;
    borrow = (u64)(difference >> 64) & 1;
  }
  return borrow;
}

/* Subtracts n from t[0..words] once if that is due. */
static void reduce_once(u64 *t, const u64 *n, unsigned words) {
  u64 difference[BIGNUM_WORDS];
  u64 borrow = subtract(difference, t, n, words);
  if (t[words] || !borrow)
    memcpy(t, difference, words * sizeof *t);
}

bool bignum_montmul(u64 *result, const u64 *a, const u64 *b, const u64 *n, u64 n0, unsigned words) {
  u64 t[BIGNUM_WORDS + 2] = {0};
  if (n[0] * n0 != ~(u64)0)
    return false;
  for (unsigned i = 0; i < words; i++) {
    t[words + 1] = add_product(t, a, b[i], words);
    t[words + 1] += add_product(t, n, t[0] * n0, words);
    memmove(t, t + 1, (words + 1) * sizeof *t); /* t[0] is zero now */
  }
  reduce_once(t, n, words);
  memcpy(result, t, words * sizeof *t);
  return true;
}

/* Carry-less product of two words, four bits of b at a time. */
static u128 multiply_x(u64 a, u64 b) {
  u128 multiples[16] = {0, a};
  for (unsigned i = 2; i < 16; i += 2) {
    multiples[i] = multiples[i / 2] << 1;
    multiples[i + 1] = multiples[i] ^ a;
  }
  u128 product = 0;
  for (int shift = 60; shift >= 0; shift -= 4)
    product = product << 4 ^ multiples[b >> shift & 15];
  return product;
}

/* t[0..words] ^= a * b, carry-less */
static void add_xproduct(u64 *t, const u64 *a, u64 b, unsigned words) {
  for (unsigned i = 0; i < words; i++) {
    u128 product = multiply_x(a[i], b);
    t[i] ^= (u64)product;
    t[i + 1] ^= (u64)(product >> 64);
  }
}

void bignum_xmul(u64 *product, const u64 *a, const u64 *b, unsigned words) {
  memset(product, 0, 2 * words * sizeof *product);
  for (unsigned i = 0; i < words; i++)
    add_xproduct(product + i, a, b[i], words);
}

bool bignum_xmontmul(u64 *result, const u64 *a, const u64 *b, const u64 *n, u64 n0, unsigned words) {
  u64 t[BIGNUM_WORDS + 2] = {0};
  if ((u64)multiply_x(n[0], n0) != 1)
    return false;
  for (unsigned i = 0; i < words; i++) {
    add_xproduct(t, a, b[i], words);
    add_xproduct(t, n, (u64)multiply_x(t[0], n0), words);
    memmove(t, t + 1, (words + 1) * sizeof *t); /* t[0] is zero now */
  }
  memcpy(result, t, words * sizeof *t);
  return true;
}
