/* faults.c - what a fault in a program becomes: signal, code and address. */
#include "load.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int got_signal, got_code;
static void *volatile got_address;

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  got_signal = number;
  got_code = info->si_code;
  got_address = info->si_addr;
  siglongjmp(back, 1);
}

static void expect(const char *what, int number, int code, const void *address) {
  if (got_signal != number || got_code != code || (address != NULL && got_address != address)) {
    printf("%s: signal %d code %d address %p, not %d %d %p\n", what, got_signal, got_code, got_address, number, code,
           address);
    fail(__FILE__, __LINE__, what);
  }
}

#define FAULT(statement)                           \
  do {                                             \
    got_signal = got_code = 0;                     \
    if (sigsetjmp(back, 1) == 0) {                 \
      statement;                                   \
    }                                              \
  } while (0)

static volatile u64 sink;

#if defined(__sparc__)
static u64 word;
static const u64 zero;
#endif

int faults_main(int argc, char **argv) {
  (void)argc, (void)argv;
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) CHECK(sigaction(numbers[i], &action, NULL) == 0);
  long page = sysconf(_SC_PAGESIZE);
  char *pages = mmap(NULL, (size_t)(4 * page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED);
  CHECK(mprotect(pages + page, (size_t)page, PROT_READ) == 0);
  CHECK(munmap(pages + 2 * page, (size_t)page) == 0);
  CHECK(mprotect(pages + 3 * page, (size_t)page, PROT_NONE) == 0);

  FAULT(*(volatile char *)(pages + page + 8) = 1);
  expect("write to a page that is read-only", SIGSEGV, SEGV_ACCERR, pages + page + 8);
  FAULT(sink = *(volatile u64 *)(pages + 2 * page + 16));
  expect("read of nothing", SIGSEGV, SEGV_MAPERR, pages + 2 * page + 16);
  FAULT(sink = *(volatile u64 *)(pages + 3 * page));
  expect("read of a page without access", SIGSEGV, SEGV_ACCERR, pages + 3 * page);
  FAULT(((void (*)(void))(void *)(pages + 2 * page + 64))());
  expect("call to nothing", SIGSEGV, SEGV_MAPERR, pages + 2 * page + 64);
  FAULT(((void (*)(void))(void *)pages)());
  expect("call to a page that is not executable", SIGSEGV, SEGV_ACCERR, pages);
#if defined(__sparc__)
  FAULT(__asm__ volatile("ldx [%1], %0" : "=r"(word) : "r"(pages + 4)));
  expect("misaligned load", SIGBUS, BUS_ADRALN, pages + 4);
  FAULT(__asm__ volatile("stx %0, [%1]" : : "r"(word), "r"(pages + 1) : "memory"));
  expect("misaligned store", SIGBUS, BUS_ADRALN, pages + 1);
  FAULT(__asm__ volatile("sdivx %0, %1, %0" : "+r"(word) : "r"(zero)));
  expect("division by zero", SIGFPE, FPE_INTDIV, NULL);
  FAULT(__asm__ volatile(".word 0"));
  expect("illegal instruction", SIGILL, ILL_ILLOPC, NULL);
  FAULT(__asm__ volatile("rdpr %%tl, %0" : "=r"(word)));
  expect("privileged instruction", SIGILL, ILL_PRVOPC, NULL);
  FAULT(__asm__ volatile("ldxa [%1] 0x20, %0" : "=r"(word) : "r"(zero)));
  expect("privileged ASI", SIGILL, ILL_PRVOPC, NULL);
  FAULT(__asm__ volatile("ta 1\n\tnop"));
  expect("breakpoint", SIGTRAP, TRAP_BRKPT, NULL);
  FAULT(__asm__ volatile("ta 0x80 + 0x77\n\tnop"));
  expect("a trap nobody knows", SIGILL, ILL_ILLTRP, NULL);
#endif
  printf("faults: ok\n");
  return 0;
}
