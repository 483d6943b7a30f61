/* pagehash.c - keyed 128-bit hash of a page, zero test, and the table whose sum is the digest.
 *
 * NH over 64-bit words (the universal hash of VMAC):
 *
 *   A = sum of (m[i] + k[i]) (m[i+1] + k[i+1])        i = 0, 2, .. 1022; additions mod 2^64, the sum mod 2^128
 *
 * Two different pages have the same A with probability 2^-64 over the key (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC,
 * CRYPTO '99). Its words are mixed with the page's number in both factors, so that the sum over all pages notices two that
 * changed places:
 *
 *   fold(a, b) = high ^ low word of a b;   s = fold(n ^ f0, f1), t = fold(n ^ f2, f3)
 *   low = fold(A.low ^ f4 ^ s, A.high ^ f5 ^ t);   high = fold(A.low ^ f6 ^ t, A.high ^ f7 ^ s)
 *
 * A page of zeros has hash 0, and no other page has. Key: words k[0..1023], f0..f7.
 */
#include "stream/stream.h"

enum { NH_KEY_WORDS = STREAM_HASH_WORDS };

typedef u64 __attribute__((may_alias, aligned(1))) u64_any;
typedef u64 v2u __attribute__((vector_size(16), may_alias, aligned(1)));

bool page_is_zero(const u8 *page) {
  for (size_t i = 0; i < PAGE_BYTES; i += 128) {
    const v2u *v = (const v2u *)(const void *)(page + i);
    v2u any = (v[0] | v[1] | v[2] | v[3]) | (v[4] | v[5] | v[6] | v[7]);
    if (any[0] | any[1]) return false;
  }
  return true;
}

static inline u64 fold(u64 a, u64 b) {
  u128 product = (u128)a * b;
  return (u64)(product >> 64) ^ (u64)product;
}

struct page_hash page_hash(const u64 *key, const u8 *page, u64 number) {
  const u64_any *m = (const u64_any *)(const void *)page;
  const u64 *f = key + NH_KEY_WORDS;
  u128 a = 0, b = 0; /* two sums: neither waits for the other's carry */
  for (size_t i = 0; i < STREAM_HASH_WORDS; i += 8) {
    a += (u128)(m[i] + key[i]) * (m[i + 1] + key[i + 1]);
    b += (u128)(m[i + 2] + key[i + 2]) * (m[i + 3] + key[i + 3]);
    a += (u128)(m[i + 4] + key[i + 4]) * (m[i + 5] + key[i + 5]);
    b += (u128)(m[i + 6] + key[i + 6]) * (m[i + 7] + key[i + 7]);
  }
  a += b;
  u64 s = fold(number ^ f[0], f[1]), t = fold(number ^ f[2], f[3]);
  struct page_hash hash = {
    .lo = fold((u64)a ^ f[4] ^ s, (u64)(a >> 64) ^ f[5] ^ t),
    .hi = fold((u64)a ^ f[6] ^ t, (u64)(a >> 64) ^ f[7] ^ s),
  };
  if ((hash.lo | hash.hi) == 0) hash.lo = 1;
  return hash;
}

void table_set(s4v_stream *s, u64 index, struct page_hash hash) {
  struct page_hash *entry = s->table + index;
  s->digest += hash_value(hash) - hash_value(*entry);
  s->hashed += (u64)(hash_value(hash) != 0) - (u64)(hash_value(*entry) != 0);
  *entry = hash;
}

void s4v_stream_digest(s4v_stream *s, uint64_t out[2]) {
  pthread_mutex_lock(&s->lock);
  out[0] = (u64)s->digest;
  out[1] = (u64)(s->digest >> 64);
  pthread_mutex_unlock(&s->lock);
}

void s4v_stream_hash(const uint8_t *key, const uint8_t *page, uint64_t number, uint64_t out[2]) {
  u64 words[STREAM_KEY_WORDS];
  __builtin_memcpy(words, key, sizeof words);
  struct page_hash hash = page_is_zero(page) ? (struct page_hash){0} : page_hash(words, page, number);
  out[0] = hash.lo;
  out[1] = hash.hi;
}
