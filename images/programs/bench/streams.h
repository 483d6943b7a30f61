/* streams.h - two 8 MiB buffers for the memory benchmarks. */
#ifndef BENCH_STREAMS_H
#define BENCH_STREAMS_H
#include "bench.h"

enum { STREAM_BYTES = 8 << 20 };
static u64 stream_to[STREAM_BYTES / 8] NOINIT ALIGNED(8192);
static u64 stream_from[STREAM_BYTES / 8] NOINIT ALIGNED(8192);
#define STREAM_FENCE() __asm__ volatile("" : : "r"(stream_to), "r"(stream_from) : "memory")
#endif
