/* clock.c - prints what STICK says to a user program. */
#include "user.h"

int main(const char *arguments) {
  (void)arguments;
  printf("%lu\n", RDASR(asr24));
  return 0;
}
