/* traps.c - round trips into a trap handler and back; a Linux process makes system calls instead. */
#include "bench.h"

BENCH("traps", 6000000);

#if defined(__sparc__)
static void install(void) {
  static const u32 handler[] = {0x90022001 /* add %o0, 1, %o0 */, 0x81f00000 /* done */};
  if (runtime_env == ENV_SUN4V) trap_entry_patch(0x110, handler, 2);
}

static u64 round_trip(u64 x) {
  register u64 o0 __asm__("o0") = x;
  if (runtime_env == ENV_SUN4V) {
    __asm__ volatile("ta 0x10" : "+r"(o0) : : "memory");
    return o0;
  }
  register u64 g1 __asm__("g1") = 20; /* getpid */
  __asm__ volatile("ta 0x6d" : "+r"(o0), "+r"(g1) : : "memory", "cc", "o1", "o2", "o3", "o4", "o5", "o7");
  return x + (o0 != 0);
}
#else
int getppid(void);
static void install(void) {}
static u64 round_trip(u64 x) { return x + (getppid() >= 0); }
#endif

u64 bench(u64 work) {
  u64 count = 0;
  install();
  for (u64 round = 0; round < work; round++) count = round_trip(count);
  return count;
}
