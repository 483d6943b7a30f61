/* hello.c - says hello and ends with status 0. */
#include "runtime.h"

int main(void) {
  puts("hello, sun4v");
  return 0;
}
