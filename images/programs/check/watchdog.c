/* watchdog.c - a trap at the highest trap level: the machine must report it and stop; exit status 3 of `sun4v run`. */
#include "check.h"

int main(void) {
  puts("watchdog: trapping at TL 2");
  WRPR(tl, 2);
  __asm__ volatile("ta 1");
  return 99; /* not reached */
}
