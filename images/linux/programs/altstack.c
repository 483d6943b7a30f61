/* altstack.c - a stack that overflows into its guard page, handled on another stack, again and again. */
#include "load.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

static sigjmp_buf back;
static char *alternate;
static size_t alternate_bytes = 65536;
static volatile int on_alternate, depth_reached;

static void on_overflow(int number, siginfo_t *info, void *context) {
  char here;
  (void)number, (void)info, (void)context;
  on_alternate = &here >= alternate && &here < alternate + alternate_bytes;
  siglongjmp(back, 1);
}

static __attribute__((noinline)) int overflow(volatile char *above, int depth) {
  volatile char block[4096];
  block[0] = above[0];
  depth_reached = depth;
  return overflow(block, depth + 1) + block[0];
}

int altstack_main(int argc, char **argv) {
  long rounds = argument(argc, argv, 1, 20);
  struct rlimit limit = {1 << 20, 1 << 20};
  CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
  alternate = mmap(NULL, alternate_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(alternate != MAP_FAILED);
  stack_t stack = {.ss_sp = alternate, .ss_size = alternate_bytes, .ss_flags = 0};
  CHECK(sigaltstack(&stack, NULL) == 0);
  struct sigaction action = {.sa_sigaction = on_overflow, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
  for (volatile long i = 0; i < rounds; i++) {
    on_alternate = depth_reached = 0;
    if (sigsetjmp(back, 1) == 0) {
      char first = (char)i;
      overflow(&first, 0);
    }
    CHECK(on_alternate && depth_reached > 150 && depth_reached < 300);
  }
  printf("altstack: ok %ld rounds\n", rounds);
  return 0;
}
