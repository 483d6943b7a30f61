/* hwcaps.c - each optional instruction works where the kernel names it (AT_HWCAP, CFR), and is illegal where not.
 * Not here: what the kernel emulates for programs (POPC, VIS 1 and 2). */
#include "load.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#if defined(__sparc__)
static sigjmp_buf back;
static char names[512];

enum { CRYPTO = 1 << 26 };

static void on_illegal(int number) { siglongjmp(back, number); }

static void judge(const char *name, int works, int named) {
  if (works != named) {
    printf("%s %s, but the kernel %s it\n", name, works ? "works" : "is illegal", named ? "names" : "does not name");
    fail(__FILE__, __LINE__, name);
  }
  if (named) {
    strcat(names, " ");
    strcat(names, name);
  }
}

#define TRY(name, named, code)                                                       \
  do {                                                                               \
    volatile int works = 0;                                                             \
    if (sigsetjmp(back, 1) == 0) {                                                   \
      u64 a = 3, b = 5;                                                              \
      __asm__ volatile(code : "+r"(a) : "r"(b)                                       \
                       : "memory", "cc", "g1", "o5", "f0", "f2", "f4", "f6", "f8");  \
      works = 1;                                                                     \
    }                                                                                \
    judge(name, works, (named) != 0);                                                \
  } while (0)

static u64 caps, cfr;

int hwcaps_main(int argc, char **argv) {
  (void)argc, (void)argv;
  caps = getauxval(AT_HWCAP);
  struct sigaction action = {.sa_handler = on_illegal, .sa_flags = SA_NODEFER};
  sigaction(SIGILL, &action, NULL);
  if (caps & CRYPTO) __asm__ volatile("rd %%asr26, %0" : "=r"(cfr));
  TRY("fmaf", caps & 0x10000, "fmaddd %%f0, %%f2, %%f4, %%f6");
  TRY("vis3", caps & 0x20000, "lzcnt %1, %0");
  TRY("hpc", caps & 0x40000, "fhaddd %%f0, %%f2, %%f4");
  TRY("ima", caps & 0x400000, "fpmaddx %%f0, %%f2, %%f4, %%f6");
  TRY("cbcond", caps & 0x2000000, "cwbe %1, %0, 1f\n\tnop\n1:");
  TRY("pause", caps & 0x1000000, "wr %%g0, 1, %%asr27");
  TRY("aes", cfr & 1, "aes_eround01 %%f0, %%f2, %%f4, %%f6");
  TRY("des", cfr & 2, "des_ip %%f0, %%f2");
  TRY("kasumi", cfr & 4, "kasumi_fl_xor %%f0, %%f2, %%f4, %%f6");
  TRY("camellia", cfr & 8, "camellia_fl %%f0, %%f2, %%f4");
  TRY("md5", cfr & 0x10, "md5");
  TRY("sha1", cfr & 0x20, "sha1");
  TRY("sha256", cfr & 0x40, "sha256");
  TRY("sha512", cfr & 0x80, "sha512");
  TRY("crc32c", cfr & 0x800, "crc32c %%f0, %%f2, %%f4");
  printf("hwcaps: ok%s\n", names);
  return 0;
}
#else
int hwcaps_main(int argc, char **argv) {
  (void)argc, (void)argv;
  printf("hwcaps: ok\n");
  return 0;
}
#endif
