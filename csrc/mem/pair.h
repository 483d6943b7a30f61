/* pair.h - 16 aligned bytes of guest memory at one instant: LDTXA, and a TSB entry while another strand rewrites it. */
#ifndef S4V_MEM_PAIR_H
#define S4V_MEM_PAIR_H
#include "util/types.h"

#if defined(__x86_64__)
/* An aligned 16-byte load is one access on every processor with AVX (Intel SDM 3A 9.1.1, AMD APM 2 7.3.2). */
static inline void pair_load(const u8 *p, u64 pair[2]) {
  typedef u64 __attribute__((vector_size(16))) words;
  const words *from = (const words *)(const void *)p;
  if (LIKELY(__builtin_cpu_supports("avx"))) {
    words v;
    __asm__ volatile("movdqa %1, %0" : "=x"(v) : "m"(*from));
    pair[0] = v[0];
    pair[1] = v[1];
    return;
  }
  pair[0] = pair[1] = 0;
  __asm__ volatile("lock cmpxchg16b %2" : "+a"(pair[0]), "+d"(pair[1]), "+m"(*(words *)(uintptr_t)p) : "b"(0ull), "c"(0ull) : "cc");
}
#elif defined(__aarch64__)
static inline void pair_load(const u8 *p, u64 pair[2]) {
  u32 failed;
  do {
    __asm__ volatile("ldaxp %0, %1, [%3]\n\tstxp %w2, %0, %1, [%3]"
                     : "=&r"(pair[0]), "=&r"(pair[1]), "=&r"(failed) : "r"(p) : "memory");
  } while (failed);
}
#else
/* What a writer of tag, data, tag leaves consistent. */
static inline void pair_load(const u8 *p, u64 pair[2]) {
  const u64 *from = (const u64 *)(const void *)p;
  do {
    pair[0] = __atomic_load_n(from, __ATOMIC_ACQUIRE);
    pair[1] = __atomic_load_n(from + 1, __ATOMIC_ACQUIRE);
  } while (__atomic_load_n(from, __ATOMIC_ACQUIRE) != pair[0]);
}
#endif

#endif
