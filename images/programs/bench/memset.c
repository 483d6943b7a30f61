/* memset.c - fills of 8 MiB with the runtime's memset. */
#include "streams.h"

BENCH("memset", 600);

u64 bench(u64 work) {
  u64 sum = 0;
  for (u64 round = 0; round < work; round++) {
    memset(stream_to, (int)(round & 127), STREAM_BYTES);
    STREAM_FENCE();
    sum = sum * 31 + stream_to[round];
  }
  return sum;
}
