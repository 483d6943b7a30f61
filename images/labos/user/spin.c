/* spin.c - computes for ever. */
#include "user.h"

static volatile u64 sink;

int main(const char *arguments) {
  (void)arguments;
  for (u64 x = 1;; x = x * 6364136223846793005u + 1442695040888963407u) sink = x;
}
