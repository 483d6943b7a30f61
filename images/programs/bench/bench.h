/* bench.h - what a benchmark program is: a workload with a work count and a checksum.
 *
 * The checksum depends only on the work count, not on the machine (byte order, address of data), so the native build
 * of the same source must print the same line. The harness changes the work count in the ELF file: it finds the magic
 * and writes the big-endian word behind it.
 */
#ifndef BENCH_H
#define BENCH_H
#include "runtime.h"

struct bench_param {
  char magic[8];
  u64 work;
};
extern volatile struct bench_param bench_param;
extern const char bench_name[];

#ifdef BENCH_WORK /* the native build sets it at compile time */
#define BENCH_CHOOSE(default_work) BENCH_WORK
#else
#define BENCH_CHOOSE(default_work) default_work
#endif
#define BENCH(name, default_work) \
  const char bench_name[] = name; \
  volatile struct bench_param bench_param = {{'S', '4', 'V', 'B', 'E', 'N', 'C', 'H'}, BENCH_CHOOSE(default_work)}

u64 bench(u64 work);

/* The generators of test data: a 64-bit and a 32-bit linear congruence, and xorshift. */
static inline u64 next64(u64 s) { return s * 6364136223846793005ul + 1442695040888963407ul; }
static inline u32 next32(u32 s) { return s * 1664525u + 1013904223u; }
static inline u32 xorshift32(u32 s) {
  s ^= s << 13;
  s ^= s >> 17;
  return s ^ s << 5;
}
#endif
