/* nohandler.c - a trap without a handler: the runtime reports it and exits with 0xE1. */
#include "check.h"

int main(void) {
  __asm__ volatile("illtrap 0");
  return 99; /* not reached */
}
