/* nbody.c - five bodies under gravity in double precision: add, multiply, divide, square root. */
#include "bench.h"

BENCH("nbody", 250000);
enum { BODIES = 5 };
struct body {
  double position[3], velocity[3], mass;
};

/* Positions in astronomical units, velocities a day; masses in suns. The outer planets, rounded: an orbit's accuracy
 * does not matter here, that every machine computes the same bits does. */
static const struct body start[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 1},
    {{4.841431442, -1.160320044, -0.103622044}, {0.001660077, 0.007699011, -0.000069046}, 0.000954792},
    {{8.343366718, 4.124798564, -0.403523417}, {-0.002767425, 0.004998528, 0.000023042}, 0.000285886},
    {{12.894369562, -15.111151401, -0.223307579}, {0.002964601, 0.002378472, -0.000029659}, 0.000043662},
    {{15.379697114, -25.919314609, 0.179258773}, {0.002680678, 0.001628242, -0.000095159}, 0.000051514}};

#if defined(__sparc__)
static double square_root(double x) {
  double r;
  __asm__("fsqrtd %1, %0" : "=e"(r) : "e"(x));
  return r;
}
#else
static double square_root(double x) { return __builtin_sqrt(x); }
#endif

static NOINLINE void advance(struct body *b, double dt) {
  for (int i = 0; i < BODIES; i++)
    for (int j = i + 1; j < BODIES; j++) {
      double d[3], square = 0;
      for (int k = 0; k < 3; k++) {
        d[k] = b[i].position[k] - b[j].position[k];
        square += d[k] * d[k];
      }
      double pull = dt / (square * square_root(square));
      for (int k = 0; k < 3; k++) {
        b[i].velocity[k] -= d[k] * b[j].mass * pull;
        b[j].velocity[k] += d[k] * b[i].mass * pull;
      }
    }
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) b[i].position[k] += dt * b[i].velocity[k];
}

u64 bench(u64 work) {
  struct body b[BODIES];
  memcpy(b, start, sizeof b);
  for (int i = 0; i < BODIES; i++) {
    b[i].mass *= 39.47841760435743; /* 4 pi^2: years and astronomical units */
    for (int k = 0; k < 3; k++) b[i].velocity[k] *= 365.24;
  }
  for (u64 step = 0; step < work; step++) advance(b, 0.01);
  u64 bits, sum = 0;
  for (int i = 0; i < BODIES; i++) {
    memcpy(&bits, &b[i].position[i % 3], sizeof bits);
    sum = sum * 31 + bits;
  }
  return sum;
}
