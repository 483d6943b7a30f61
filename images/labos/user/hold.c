/* hold.c - holds memory and looks at it for ever: hold MEGABYTES. Every word is its own address, mixed; one that is not
 * is told, and is the end. What it does not notice is that its pages move. */
#include "user.h"

static u64 number(const char *text) {
  u64 n = 0;
  while (*text >= '0' && *text <= '9') n = 10 * n + (u64)(*text++ - '0');
  return n;
}

static u64 mixed(const volatile u64 *word) { return (u64)word * 0x9e3779b97f4a7c15u ^ 0x686f6c64; }

int main(const char *arguments) {
  u64 bytes = number(arguments) << 20;
  volatile u64 *words = sbrk((i64)bytes);
  if (!bytes || (i64)words == -1) {
    printf("hold: no memory\n");
    return 1;
  }
  for (u64 i = 0; i < bytes / 8; i += 128) words[i] = mixed(&words[i]);
  printf("hold: %lu MB\n", bytes >> 20);
  for (;;) {
    for (u64 i = 0; i < bytes / 8; i += 128)
      if (words[i] != mixed(&words[i])) {
        printf("hold: wrong at %p\n", (void *)&words[i]);
        return 1;
      }
    sleep_ns(1000000);
  }
}
