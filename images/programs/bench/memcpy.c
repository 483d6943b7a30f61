/* memcpy.c - copies of 8 MiB with the runtime's memcpy. */
#include "streams.h"

BENCH("memcpy", 100);

u64 bench(u64 work) {
  for (u32 i = 0; i < STREAM_BYTES / 8; i++) stream_from[i] = i * 0x9e3779b97f4a7c15ul;
  for (u64 round = 0; round < work; round++) {
    stream_from[round] += round;
    memcpy(stream_to, stream_from, STREAM_BYTES);
    STREAM_FENCE();
  }
  u64 sum = 0;
  for (u32 i = 0; i < STREAM_BYTES / 8; i += 512) sum = sum * 31 + stream_to[i];
  return sum + stream_to[work - 1];
}
