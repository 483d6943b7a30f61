/* check.h - the few lines of test harness that the C tests share. A failed CHECK names itself and ends the program. */
#ifndef S4V_TESTS_CHECK_H
#define S4V_TESTS_CHECK_H
#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                         \
  do {                                                                      \
    if (!(cond)) {                                                          \
      fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #cond); \
      exit(1);                                                              \
    }                                                                       \
  } while (0)

/* splitmix64: the seeded randomness of the C tests. */
static inline unsigned long long random_next(unsigned long long *state) {
  unsigned long long z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

enum { EXIT_SKIP = 77 };

#endif
