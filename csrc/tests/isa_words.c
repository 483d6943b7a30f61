/* isa_words.c - the C decoder and disassembler over random words: `isa_words SEED COUNT`.
 *
 * Every word: the decoder's row has a form that matches, illegal words print as data, the text fits the length that was
 * announced, and a short buffer gets a terminated beginning of it. One word in 64: no other row matches it, and
 * none at all where the decoder says illegal. Prints "words legal" on success.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/disasm.h"
#include "isa/isa.h"

enum { TEXT_BYTES = 96, LINEAR_EVERY = 64 };

static u64 next_random(u64 *state) {
  u64 z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Half of the words are a row's own with random operands: plain random ones seldom meet the narrow rows. */
static u32 next_word(u64 *state) {
  u64 r = next_random(state);
  u32 word = (u32)r;
  if (r >> 63) {
    const struct isa_form *form = &isa_forms[(r >> 32) % isa_form_count];
    word = form->match | (word & ~form->mask);
    if (!(r >> 60 & 7)) word ^= 1u << (r >> 55 & 31);
  }
  return word;
}

static void fail(u32 word, const char *what) {
  printf("word 0x%08x: %s\n", word, what);
  exit(1);
}

static void check_row(u32 word, u32 row) {
  u32 found = 0;
  for (u32 n = 0; n < isa_form_count; n++) {
    if ((word & isa_forms[n].mask) != isa_forms[n].match) continue;
    if (isa_forms[n].row != row) fail(word, "another row matches");
    found++;
  }
  if (found != (row != ISA_ILLEGAL)) fail(word, "not exactly one form matches");
}

static void check_text(u32 word, u32 row, u64 pc, size_t cut) {
  char text[TEXT_BYTES], part[TEXT_BYTES];
  memset(part, '#', sizeof part);
  int length = isa_disasm(word, pc, text, sizeof text);
  if (length <= 0 || (size_t)length >= sizeof text || strlen(text) != (size_t)length) fail(word, "wrong length");
  if ((strncmp(text, ".word", 5) == 0) != (row == ISA_ILLEGAL)) fail(word, "data and illegal disagree");
  if (isa_disasm(word, pc, part, cut) != length) fail(word, "the length depends on the buffer");
  size_t expect = cut == 0 ? 0 : (size_t)length < cut ? (size_t)length : cut - 1;
  if (cut && (strlen(part) != expect || memcmp(part, text, expect) != 0)) fail(word, "cut text differs");
  if (part[cut] != '#') fail(word, "wrote past the buffer");
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  u64 state = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10), legal = 0;
  for (u64 n = 0; n < count; n++) {
    u32 word = next_word(&state), row = isa_decode(word);
    legal += row != ISA_ILLEGAL;
    if (row != ISA_ILLEGAL && row >= isa_row_count) fail(word, "row out of range");
    if (n % LINEAR_EVERY == 0) check_row(word, row);
    u64 r = next_random(&state);
    check_text(word, row, r & ~(u64)3, r >> 57 & 31);
  }
  printf("%llu %llu\n", (unsigned long long)count, (unsigned long long)legal);
  return 0;
}
