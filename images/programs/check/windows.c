/* windows.c - register windows: spill and fill at depth, FLUSHW, OTHERWIN, clean_window, and values that survive. */
#include "check.h"

/* Eight values live in locals across the call, so every window must come back as it was. */
static NOINLINE u64 descend(u64 depth, u64 seed) {
  if (depth == 0) return seed;
  u64 a = seed * 3, b = seed ^ depth, c = seed + depth, d = seed << 1;
  u64 below = descend(depth - 1, seed * 6364136223846793005ul + depth);
  __asm__ volatile("" : "+r"(below)); /* else the compiler makes a loop of it */
  return below + (a ^ b) + (c ^ d);
}

/* The same sum without recursion. */
static u64 expected(u64 depth, u64 seed) {
  u64 sum = 0;
  for (; depth; depth--) {
    sum += (seed * 3 ^ (seed ^ depth)) + ((seed + depth) ^ seed << 1);
    seed = seed * 6364136223846793005ul + depth;
  }
  return sum + seed;
}

static void depths(void) {
  for (u64 depth = 0; depth < 40; depth++) CHECK_EQUAL(descend(depth, depth + 7), expected(depth, depth + 7));
  CHECK_EQUAL(descend(3000, 1), expected(3000, 1));
}

static NOINLINE u64 flush_at(u64 depth) {
  if (depth == 0) {
    __asm__ volatile("flushw");
    if (runtime_env == ENV_SUN4V) CHECK_EQUAL(RDPR(canrestore), 0);
    return 5;
  }
  u64 below = flush_at(depth - 1);
  __asm__ volatile("" : "+r"(below));
  return below + depth;
}

/* OTHERWIN: the windows below belong to somebody else, spilled through the "other" entry (vector 0xa0). */
static NOINLINE u64 other_windows(void) {
  u64 before = RDPR(canrestore);
  WRPR(wstate, 0);
  WRPR(otherwin, before);
  WRPR(canrestore, 0);
  u64 sum = descend(5, 11);
  u64 left = RDPR(otherwin);
  CHECK_EQUAL(RDPR(cansave) + RDPR(canrestore) + left, 6);
  __asm__ volatile("flushw");
  CHECK_EQUAL(RDPR(otherwin), 0);
  return sum;
}

static NOINLINE void clean_windows(void) {
  __asm__ volatile("flushw");
  WRPR(cleanwin, 1);
  CHECK_EQUAL(descend(6, 3), expected(6, 3));
  CHECK(RDPR(cleanwin) > 1);
  WRPR(cleanwin, 7);
}

/* SAVE and RESTORE add with the operands of the old window and write in the new one. */
static void save_adds(void) {
  u64 inside, outside;
  __asm__ volatile(
      "mov 40, %%o1\n\t"
      "save %%sp, -176, %%sp\n\t"
      "add %%i1, 1, %%l1\n\t"
      "restore %%l1, 1, %%o1\n\t"
      "mov %%o1, %0\n\t"
      "mov %%sp, %1"
      : "=r"(inside), "=r"(outside)
      :
      : "o1", "memory");
  CHECK_EQUAL(inside, 42);
}

int main(void) {
  depths();
  CHECK_EQUAL(flush_at(4), 15);
  CHECK_EQUAL(flush_at(12), 5 + 78);
  if (runtime_env == ENV_SUN4V) {
    CHECK_EQUAL(other_windows(), expected(5, 11));
    clean_windows();
  }
  save_adds();
  return check_result("windows");
}
