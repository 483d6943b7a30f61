/* loop64.c - a plain loop that copies 8 MiB by 64-bit words and sums them. */
#include "streams.h"

BENCH("loop64", 100);

u64 bench(u64 work) {
  u64 sum = 0;
  for (u32 i = 0; i < STREAM_BYTES / 8; i++) stream_from[i] = i * 0x9e3779b97f4a7c15ul;
  for (u64 round = 0; round < work; round++) {
    volatile u64 *from = stream_from, *to = stream_to;
    for (u32 i = 0; i < STREAM_BYTES / 8; i += 4) {
      u64 a = from[i], b = from[i + 1], c = from[i + 2], d = from[i + 3];
      to[i] = a, to[i + 1] = b, to[i + 2] = c, to[i + 3] = d;
      sum += a ^ b ^ c ^ d;
    }
  }
  return sum + stream_to[77];
}
