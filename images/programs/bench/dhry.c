/* dhry.c - the mix Weicker's Dhrystone stands for: record assignment, string copy and compare, short calls. */
#include "bench.h"

BENCH("dhry", 2000000);
enum kind { RED, GREEN, BLUE, GREY, BLACK };
struct record {
  struct record *link;
  enum kind kind, shade;
  int number;
  char text[32];
};
static struct record first, second;
static int counter, flag;
static char mark_a, mark_b;
static int row[50], table[50][50];

static NOINLINE enum kind letter_kind(char a, char b) {
  if (a != b) return RED;
  mark_a = a;
  return GREEN;
}

static NOINLINE int texts_differ(const char *a, const char *b) {
  int at = 2;
  while (at <= 2) at += letter_kind(a[at], b[at + 1]) == RED ? 1 : 3;
  if (strcmp(a, b) <= 0) return 0;
  counter = at + 7;
  return 1;
}

static NOINLINE void add_two(int a, int b, int *sum) { *sum = a + b + 2; }

static NOINLINE enum kind shade_of(enum kind k) {
  switch (k) {
  case RED: return RED;
  case GREEN: return counter > 100 ? RED : GREY;
  case BLUE: return GREEN;
  case BLACK: return BLUE;
  default: return GREY;
  }
}

static NOINLINE void tables_touch(int at, int value) {
  int l = at + 5;
  row[l] = value;
  row[l + 1] = row[l];
  row[l + 30] = l;
  for (int i = l; i <= l + 1; i++) table[l][i] = l;
  table[l][l - 1]++;
  table[l + 20][l] = row[l];
  counter = 5;
}

static NOINLINE void record_turn(struct record *r) {
  struct record *next = r->link;
  *next = first;
  r->number = 5;
  next->number = r->number;
  next->link = r->link;
  add_two(10, counter, &first.number);
  if (next->kind == RED) {
    next->number = 6;
    next->shade = shade_of(r->shade);
    next->link = first.link;
    add_two(next->number, 10, &next->number);
  } else {
    *r = *next;
  }
}

static NOINLINE int settle(int value) {
  int v = value + 10;
  if (mark_a == 'A') v--;
  return v - counter;
}

static NOINLINE u64 turn(u64 k) {
  char one[32], two[32];
  int x = 2, y = 3, z = 0;
  enum kind e = GREEN;
  mark_a = 'A';
  flag = 0;
  mark_b = 'B';
  strcpy(one, "DHRYSTONE-LIKE, FIRST STRING");
  strcpy(two, "DHRYSTONE-LIKE, SECOND STRING");
  flag = !texts_differ(one, two);
  for (; x < y; x++) {
    z = 5 * x - y;
    add_two(x, y, &z);
  }
  tables_touch(x, z);
  record_turn(&first);
  for (char c = 'A'; c <= mark_b; c++)
    if (e == letter_kind(c, 'C')) {
      e = shade_of(RED);
      strcpy(two, "DHRYSTONE-LIKE, THIRD STRING");
      y = counter = (int)k;
    }
  y *= x;
  x = y / z;
  y = 7 * (y - z) - x;
  return (u32)(settle(x) + y + z + flag);
}

u64 bench(u64 work) {
  u64 sum = 0;
  first = (struct record){&second, RED, BLUE, 40, "DHRYSTONE-LIKE, SOME STRING"};
  second.link = &first;
  for (u64 k = 1; k <= work; k++) sum += turn(k);
  return sum + (u64)table[8][7] + (u64)first.number;
}
