/* matmul.c - 64 x 64 matrix product in double precision. */
#include "bench.h"

BENCH("matmul", 160);
enum { N = 64 };
static double a[N][N], b[N][N], c[N][N];

static NOINLINE void multiply(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < N; k++) sum += a[i][k] * b[k][j];
      c[i][j] = sum;
    }
}

u64 bench(u64 work) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = i + j * 0.5;
      b[i][j] = i - j * 0.25;
    }
  for (u64 round = 0; round < work; round++) {
    multiply();
    a[round % N][round / N % N] += 1.0;
  }
  u64 sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      u64 bits;
      memcpy(&bits, &c[i][j], sizeof bits);
      sum = sum * 31 + bits;
    }
  return sum;
}
