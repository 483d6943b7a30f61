/* strands.h - strands of a guest program that work together: start, barrier, atomics, mondo queues. */
#ifndef STRANDS_H
#define STRANDS_H
#include "check.h"
#include "hcall.h"
#include "layout.h"

#define CPU_POKE 0x13
#define CPU_MONDO_SEND 0x42
enum { MOST_STRANDS = 64, QUEUE_ENTRIES = 16, QUEUE_BYTES = QUEUE_ENTRIES * 64, LINE = 64 };

/* What a client may pass in %o0 at the start; all zeros, or no pointer: every test, few rounds. */
struct work {
  u64 tests, rounds, seed;
};

struct cell {
  volatile u64 v;
  u64 pad[7];
} ALIGNED(64);

typedef void (*strand_job)(u64 id);
extern u64 strand_count, strands_failed; /* failed: calls of strands_run() */
void strands_open(void);                 /* counts strands, makes CPU_POKE and the like callable */
u64 strand_start(u64 id, strand_job job); /* status */
void strands_run(u64 n, strand_job job); /* strands 0..n-1 do it, the caller as strand 0; returns when all have */
void strand_barrier(u64 n);

static inline u64 cas(volatile u64 *p, u64 expect, u64 set) {
  __asm__ volatile("casx [%1], %2, %0" : "+r"(set) : "r"(p), "r"(expect) : "memory");
  return set;
}
static inline u64 fetch_add(volatile u64 *p, u64 n) {
  u64 old = *p;
  for (u64 seen; (seen = cas(p, old, old + n)) != old;) old = seen;
  return old;
}
static inline u32 swap32(volatile u32 *p, u32 v) {
  __asm__ volatile("swap [%1], %0" : "+r"(v) : "r"(p) : "memory");
  return v;
}
static inline u64 ldstub(volatile u8 *p) {
  u64 v;
  __asm__ volatile("ldstub [%1], %0" : "=r"(v) : "r"(p) : "memory");
  return v;
}
#define MEMBAR_STORELOAD __asm__ volatile("membar #StoreLoad" : : : "memory")
#define COMPILER __asm__ volatile("" : : : "memory")

static inline u64 random_next(u64 *state) {
  u64 z = *state += 0x9e3779b97f4a7c15ul;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ul;
  z = (z ^ z >> 27) * 0x94d049bb133111ebul;
  return z ^ z >> 31;
}

static inline u64 call1(u64 function, u64 a) {
  struct hcall h = {{a}};
  return hcall_fast(function, &h);
}
static inline void yield(void) { call1(CPU_YIELD, 0); }

/* Mondo queue 0x3c of the calling strand. */
static inline u64 queue_read(u64 at) {
  u64 v;
  __asm__ volatile("ldxa [%1] 0x25, %0" : "=r"(v) : "r"(at) : "memory");
  return v;
}
static inline void queue_write(u64 at, u64 v) { __asm__ volatile("stxa %0, [%1] 0x25" : : "r"(v), "r"(at) : "memory"); }
#endif
