/* qsort.c - quicksort of 32768 words with the comparison behind a pointer: calls, branches nobody can predict. */
#include "bench.h"

BENCH("qsort", 40);
enum { SIZE = 32768 };
static u32 values[SIZE];
typedef int (*comparison)(const void *, const void *);

static NOINLINE int compare(const void *a, const void *b) {
  u32 x = *(const u32 *)a, y = *(const u32 *)b;
  return x < y ? -1 : x > y;
}
static comparison volatile chosen = compare;

static NOINLINE void sort(u32 *v, i64 n, comparison order) {
  if (n < 2) return;
  u32 pivot = v[n / 2];
  i64 i = 0, j = n - 1;
  while (i <= j) {
    while (order(&v[i], &pivot) < 0) i++;
    while (order(&v[j], &pivot) > 0) j--;
    if (i > j) break;
    u32 t = v[i];
    v[i++] = v[j];
    v[j--] = t;
  }
  sort(v, j + 1, order);
  sort(v + i, n - i, order);
}

u64 bench(u64 work) {
  u64 sum = 0;
  for (u64 round = 0; round < work; round++) {
    u32 s = (u32)round + 1;
    for (u32 i = 0; i < SIZE; i++) values[i] = (s = next32(s)) >> 3;
    sort(values, SIZE, chosen);
    for (u32 i = 0; i < SIZE; i += 64) sum = sum * 31 + values[i];
  }
  return sum;
}
