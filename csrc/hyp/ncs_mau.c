/* ncs_mau.c - what a modular arithmetic unit does with a descriptor: its memory of 160 words, and five operations.
 *
 *   descriptor: state | type | control | memory RA | operands | n' | error | -
 *   control:    T1  operation 8:6,  length 5:0;   T2, T3  operation 12:8, length 7:0;   length + 1 words
 *   operands:   word offsets, 8 bits each, from the least significant: A, B or M, N, X, E, bytes of E - 1
 *
 *   load, store    words at A from or to guest memory
 *   multiply       X = A B / R mod N                 R = 2^(64 length): Montgomery's form
 *   reduce         X = A / R mod N                   A has twice the words
 *   exponentiate   X = A^E, by squaring and multiplying from the highest bit of E on. T1: E's highest word lies first,
 *                  and X begins as one; T2, T3: lowest word first, and the first bit that is set is X itself
 *
 * The operands of multiply and reduce are inferred; those of the others are the Solaris driver's.
 */
#include "crypto/crypto.h"
#include "hyp/hyp.h"

enum { OP_LOAD = 0, OP_STORE = 1, OP_MULTIPLY = 2, OP_REDUCE = 3, OP_EXPONENTIATE = 4 };
enum { DESCRIPTOR_CONTROL = 0x10, DESCRIPTOR_WORDS = 4 };

struct operation {
  u64 memory_ra, operands, n_prime;
  u32 op, words;
};

static u32 operand(const struct operation *o, u32 n) { return (u32)(o->operands >> (8 * n)) & 0xff; }

/* The operand's words; NULL: not all of them are in the unit's memory. */
static u64 *place(struct ncs_unit *u, u32 at, u32 words) {
  return at + words <= MAU_WORDS ? &u->memory[at] : NULL;
}

static u32 transfer(struct domain *d, struct ncs_unit *u, const struct operation *o) {
  u64 *words = place(u, operand(o, 0), o->words), bytes = o->words * 8ull;
  u64 swapped[MAU_WORDS];
  if (o->memory_ra & 7) return HV_EINVAL;
  if (!ram_backed(d->env.ram, RA(o->memory_ra), bytes)) return HV_ENORADDR;
  if (!words) return HV_EIO;
  if (o->op == OP_LOAD) {
    ram_read(d->env.ram, RA(o->memory_ra), swapped, bytes);
    for (u32 i = 0; i < o->words; i++) words[i] = __builtin_bswap64(swapped[i]);
  } else {
    for (u32 i = 0; i < o->words; i++) swapped[i] = __builtin_bswap64(words[i]);
    ram_write(d->env.ram, RA(o->memory_ra), swapped, bytes);
  }
  return HV_EOK;
}

static u32 multiply(struct ncs_unit *u, const struct operation *o) {
  const u64 *a = place(u, operand(o, 0), o->words), *b = place(u, operand(o, 1), o->words);
  const u64 *n = place(u, operand(o, 2), o->words);
  u64 *x = place(u, operand(o, 3), o->words);
  if (!a || !b || !n || !x) return HV_EIO;
  return bignum_montmul(x, a, b, n, o->n_prime, o->words) ? HV_EOK : HV_EIO;
}

/* x += high, and n is taken off where that leaves it below or where a bit was carried out. */
static void add_mod(u64 *x, const u64 *high, const u64 *n, u32 words) {
  u64 difference[BIGNUM_WORDS], carry = 0, borrow = 0;
  for (u32 i = 0; i < words; i++) {
    u128 sum = (u128)x[i] + high[i] + carry;
    x[i] = (u64)sum;
    carry = (u64)(sum >> 64);
  }
  for (u32 i = 0; i < words; i++) {
    u128 left = (u128)x[i] - n[i] - borrow;
    difference[i] = (u64)left;
    borrow = (u64)(left >> 64) & 1;
  }
  if (carry || !borrow) __builtin_memcpy(x, difference, words * 8);
}

static u32 reduce(struct ncs_unit *u, const struct operation *o) {
  const u64 *a = place(u, operand(o, 0), 2 * o->words), *n = place(u, operand(o, 2), o->words);
  u64 *x = place(u, operand(o, 3), o->words), result[BIGNUM_WORDS], one[BIGNUM_WORDS] = {1};
  if (!a || !n || !x) return HV_EIO;
  if (!bignum_montmul(result, a, one, n, o->n_prime, o->words)) return HV_EIO;
  add_mod(result, a + o->words, n, o->words);
  __builtin_memcpy(x, result, o->words * 8);
  return HV_EOK;
}

static bool exponent_bit(const struct ncs_unit *u, const u64 *e, u32 words, u32 bit) {
  u32 word = u->kind == NCS_MAU_T1 ? words - 1 - bit / 64 : bit / 64;
  return e[word] >> (bit % 64) & 1;
}

/* At most 2048 bits of exponent and 32 words: 4096 products of that size. */
static u32 exponentiate(struct ncs_unit *u, const struct operation *o) {
  u32 bytes = operand(o, 5) + 1, e_words = (bytes + 7) / 8, bits = bytes * 8;
  const u64 *a = place(u, operand(o, 0), o->words), *n = place(u, operand(o, 2), o->words);
  const u64 *m = place(u, operand(o, 1), o->words), *e = place(u, operand(o, 4), e_words);
  u64 *x = place(u, operand(o, 3), o->words), power[BIGNUM_WORDS], base[BIGNUM_WORDS];
  bool begun = u->kind == NCS_MAU_T1;
  if (!a || !m || !n || !x || !e) return HV_EIO;
  __builtin_memcpy(power, x, o->words * 8);
  __builtin_memcpy(base, a, o->words * 8);
  for (u32 bit = bits; bit-- > 0;) {
    bool set = exponent_bit(u, e, e_words, bit);
    if (!begun) {
      begun = set;
      continue;
    }
    if (!bignum_montmul(power, power, power, n, o->n_prime, o->words)) return HV_EIO;
    if (set) bignum_montmul(power, power, base, n, o->n_prime, o->words);
  }
  __builtin_memcpy(x, power, o->words * 8);
  return HV_EOK;
}

static struct operation decode(const struct ncs_unit *u, const u64 words[DESCRIPTOR_WORDS]) {
  bool t1 = u->kind == NCS_MAU_T1;
  u64 control = words[0];
  return (struct operation){
      .memory_ra = words[1], .operands = words[2], .n_prime = words[3],
      .op = (u32)(t1 ? control >> 6 & 7 : control >> 8 & 0x1f),
      .words = (u32)(control & (t1 ? 0x3f : 0xff)) + 1,
  };
}

u32 ncs_mau_run_one(struct domain *d, struct ncs_unit *u) {
  u64 words[DESCRIPTOR_WORDS];
  if (!ram_read(d->env.ram, RA(u->base + u->head + DESCRIPTOR_CONTROL), words, sizeof words)) return HV_ENORADDR;
  for (u32 i = 0; i < DESCRIPTOR_WORDS; i++) words[i] = __builtin_bswap64(words[i]);
  struct operation o = decode(u, words);
  if (o.op == OP_LOAD || o.op == OP_STORE) return transfer(d, u, &o);
  if (o.words > BIGNUM_WORDS) return HV_EIO;
  if (o.op == OP_MULTIPLY) return multiply(u, &o);
  if (o.op == OP_REDUCE) return reduce(u, &o);
  return o.op == OP_EXPONENTIATE ? exponentiate(u, &o) : HV_EIO;
}
