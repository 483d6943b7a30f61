/* contexts.c - coroutines and long jumps, each with register windows in flight. */
#include "load.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

enum { COROUTINES = 6, STACK_BYTES = 65536 };
static ucontext_t main_context, contexts[COROUTINES];
static u64 sums[COROUTINES];
static long switches_left;
static int alive;

static __attribute__((noinline)) u64 switch_deep(int index, int levels, u64 x) {
  if (levels > 0) return switch_deep(index, levels - 1, x * 3 + (u64)levels) + x;
  if (switches_left > 0) {
    switches_left--;
    CHECK(swapcontext(&contexts[index], &contexts[(index + 1) % COROUTINES]) == 0);
  }
  return x;
}

static void coroutine(int index) {
  double x = index + 0.5;
  while (switches_left > 0) {
    x = x * 1.25 - (double)(int)x;
    sums[index] = fold(sums[index], switch_deep(index, 4 + index * 3, (u64)index) + (u64)(x * 1e6));
  }
  alive--;
  /* the others finish in their turn */
  CHECK(setcontext(alive > 0 ? &contexts[(index + 1) % COROUTINES] : &main_context) == 0);
}

static jmp_buf back;

static __attribute__((noinline)) int dive(int levels, int x) {
  if (levels == 0) longjmp(back, x);
  return dive(levels - 1, x) + levels;
}

int contexts_main(int argc, char **argv) {
  switches_left = argument(argc, argv, 1, 3000);
  alive = COROUTINES;
  for (int i = 0; i < COROUTINES; i++) {
    CHECK(getcontext(&contexts[i]) == 0);
    contexts[i].uc_stack.ss_sp = malloc(STACK_BYTES);
    contexts[i].uc_stack.ss_size = STACK_BYTES;
    contexts[i].uc_link = &main_context;
    makecontext(&contexts[i], (void (*)(void))(void *)coroutine, 1, i);
    sums[i] = FOLD_START;
  }
  CHECK(swapcontext(&main_context, &contexts[0]) == 0);
  u64 total = FOLD_START;
  for (int i = 0; i < COROUTINES; i++) total = fold(total, sums[i]);
  volatile u64 jumps = 0;
  for (volatile int i = 1; i <= 500; i++) {
    int got = setjmp(back);
    if (got == 0) dive(i % 40, i);
    CHECK(got == i);
    jumps += (u64)got;
  }
  CHECK(jumps == 500 * 501 / 2);
  printf("contexts: ok %016llx\n", (unsigned long long)total);
  return 0;
}
