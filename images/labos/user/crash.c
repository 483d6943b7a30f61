/* crash.c - does what it must not: the kernel ends it. The argument says what: read, write, jump, code, align, stack,
 * illegal, privileged, kernel; or aes: an instruction that not every cpu-arch has. */
#include "user.h"

static int is(const char *a, const char *b) { return strcmp(a, b) == 0; }
static volatile u64 word;

int main(const char *what) {
  volatile u64 *bad = (volatile u64 *)0x100000000;
  if (is(what, "read")) return (int)*bad;
  if (is(what, "write")) *bad = 1;
  if (is(what, "jump")) ((void (*)(void))0x100000000)();
  if (is(what, "code")) *(volatile u32 *)(void *)main = 0;
  if (is(what, "align")) __asm__ volatile("lduw [%0 + 1], %%g1" : : "r"(&word) : "g1");
  if (is(what, "illegal")) __asm__ volatile("illtrap 0");
  if (is(what, "privileged")) __asm__ volatile("wrpr %g0, 0, %pil");
  if (is(what, "aes")) __asm__ volatile(".word 0x80c80000" : : : "memory"); /* aes_eround01 %f0, %f0, %f0, %f0 */
  if (is(what, "kernel")) return (int)*(volatile u64 *)0x400000;
  if (is(what, "stack"))
    __asm__ volatile("clr %sp\n\tsave %sp, -176, %sp\n\tsave %sp, -176, %sp\n\tsave %sp, -176, %sp\n\t"
                     "save %sp, -176, %sp\n\tsave %sp, -176, %sp\n\tsave %sp, -176, %sp\n\tsave %sp, -176, %sp\n\t"
                     "save %sp, -176, %sp");
  return 0;
}
