/* str.c - copying, measuring and comparing strings by bytes, and a copy by words. */
#include "bench.h"

BENCH("str", 26000);
enum { LENGTH = 4000, ROOM = 4096 };
static char source[ROOM] ALIGNED(8), copy[2 * ROOM] ALIGNED(8);

static NOINLINE u64 string_length(const char *s) {
  const char *p = s;
  while (*p) p++;
  return (u64)(p - s);
}

static NOINLINE void string_copy(char *to, const char *from) {
  while ((*to++ = *from++))
    ;
}

static NOINLINE int string_compare(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return (u8)*a - (u8)*b;
}

static NOINLINE void words_copy(u64 *to, const u64 *from, u64 n) {
  while (n--) *to++ = *from++;
}

u64 bench(u64 work) {
  u64 sum = 0;
  for (u32 i = 0; i < LENGTH; i++) source[i] = (char)('a' + i % 23);
  for (u64 round = 0; round < work; round++) {
    string_copy(copy, source);
    copy[round % LENGTH] = (char)('A' + (round & 15));
    sum += string_length(copy) + (u64)string_compare(copy, source);
    words_copy((u64 *)(copy + ROOM), (const u64 *)copy, ROOM / 8);
    const u8 *word = (const u8 *)copy + ROOM + (round & 511) * 8;
    sum += (u64)word[0] << 8 | word[7];
  }
  return sum;
}
