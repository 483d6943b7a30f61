/* mark.c - the mix CoreMark stands for: linked list, small matrices, a state machine, all folded into a CRC-16. */
#include "bench.h"

BENCH("mark", 4000);
enum { NODES = 160, N = 24, STATES = 8 };
struct node {
  struct node *next;
  i16 data, index;
};
static struct node pool[NODES];
static i16 a[N][N], b[N][N];
static i32 c[N][N];

static NOINLINE u16 crc_byte(u16 crc, u8 byte) {
  for (int bit = 0; bit < 8; bit++, byte >>= 1) {
    int odd = (byte ^ crc) & 1;
    crc >>= 1;
    if (odd) crc ^= 0xa001;
  }
  return crc;
}
static u16 crc_u16(u16 crc, u16 v) { return crc_byte(crc_byte(crc, (u8)v), (u8)(v >> 8)); }
static u16 crc_u32(u16 crc, u32 v) { return crc_u16(crc_u16(crc, (u16)v), (u16)(v >> 16)); }

static NOINLINE struct node *list_reverse(struct node *l) {
  struct node *done = NULL;
  while (l) {
    struct node *next = l->next;
    l->next = done;
    done = l;
    l = next;
  }
  return done;
}

static NOINLINE struct node *list_find(struct node *l, int low_byte) {
  while (l && (l->data & 0xff) != low_byte) l = l->next;
  return l;
}

static int before(const struct node *x, const struct node *y, int by_data) {
  return by_data ? x->data <= y->data : x->index <= y->index;
}

/* Bottom-up merge sort: runs of `width` are merged in pairs until one run is left. */
static NOINLINE struct node *list_sort(struct node *list, int by_data) {
  for (int width = 1;; width *= 2) {
    struct node *p = list, *tail = NULL;
    int merges = 0;
    list = NULL;
    while (p) {
      struct node *q = p;
      int left = 0, right = width;
      for (merges++; left < width && q; left++) q = q->next;
      while (left > 0 || (right > 0 && q)) {
        struct node *e;
        if (left > 0 && (right == 0 || !q || before(p, q, by_data)))
          e = p, p = p->next, left--;
        else
          e = q, q = q->next, right--;
        if (tail)
          tail->next = e;
        else
          list = e;
        tail = e;
      }
      p = q;
    }
    tail->next = NULL;
    if (merges <= 1) return list;
  }
}

static u32 matrix_fold(void) {
  i32 total = 0, previous = 0;
  u32 score = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      total += c[i][j];
      score += total > 500 ? 10 : c[i][j] > previous;
      if (total > 500) total = 0;
      previous = c[i][j];
    }
  return score;
}

static NOINLINE u16 matrix_turn(u16 crc, i16 bump) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) a[i][j] = (i16)(a[i][j] + bump);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      i32 sum = 0;
      for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
      c[i][j] = sum;
    }
  u32 score = matrix_fold();
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      i32 sum = 0;
      for (int k = 0; k < N; k++) {
        i32 product = a[i][k] * b[k][j];
        sum += ((product >> 2) & 15) * ((product >> 5) & 127);
      }
      score += (u32)sum;
    }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) a[i][j] = (i16)(a[i][j] - bump);
  return crc_u32(crc, score);
}

/* Scans one comma-separated field as a number; the final state says of which kind it was. */
enum { START, INTEGER, SIGN, FRACTION, EXPONENT, EXPONENT_SIGN, SCIENTIFIC, WRONG };
static int state_next(int state, char ch) {
  int digit = ch >= '0' && ch <= '9', sign = ch == '+' || ch == '-';
  switch (state) {
  case START: return digit ? INTEGER : sign ? SIGN : ch == '.' ? FRACTION : WRONG;
  case SIGN: return digit ? INTEGER : ch == '.' ? FRACTION : WRONG;
  case INTEGER: return digit ? INTEGER : ch == '.' ? FRACTION : ch == 'e' ? EXPONENT : WRONG;
  case FRACTION: return digit ? FRACTION : ch == 'e' ? EXPONENT : WRONG;
  case EXPONENT: return digit ? SCIENTIFIC : sign ? EXPONENT_SIGN : WRONG;
  case EXPONENT_SIGN:
  case SCIENTIFIC: return digit ? SCIENTIFIC : WRONG;
  default: return WRONG;
  }
}

static NOINLINE u16 state_turn(u16 crc) {
  static const char text[] = "5012,-874,+122,1.3e5,.7e-2,T0.3e-1F,-110.700,+0.64400,35.54400e5,abc,12,e5,--1,-.123e-2,";
  u32 count[STATES] = {0};
  int state = START;
  for (const char *p = text; *p; p++) {
    if (*p == ',') {
      count[state]++;
      state = START;
    } else {
      state = state_next(state, *p);
    }
  }
  for (int i = 0; i < STATES; i++) crc = crc_u32(crc, count[i]);
  return crc;
}

static void setup(void) {
  u32 s = 777;
  for (int i = 0; i < NODES; i++)
    pool[i] = (struct node){i + 1 < NODES ? &pool[i + 1] : NULL, (i16)((s = xorshift32(s)) & 0x7fff), (i16)i};
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (i16)((s = xorshift32(s)) & 255);
      b[i][j] = (i16)((s = xorshift32(s)) & 255);
    }
}

u64 bench(u64 work) {
  u16 crc = 0;
  setup();
  struct node *list = pool;
  for (u64 k = 0; k < work; k++) {
    for (u32 v = 0; v < 20; v++) {
      struct node *found = list_find(list, (int)((k * 7 + v * 13) & 255));
      crc = crc_u16(crc, found ? (u16)found->data : (u16)v);
      list = list_reverse(list);
    }
    list = list_sort(list, 1);
    for (struct node *p = list; p; p = p->next) crc = crc_u16(crc, (u16)p->data);
    list = list_sort(list, 0);
    crc = matrix_turn(crc, (i16)(k & 7));
    crc = state_turn(crc);
  }
  return crc;
}
