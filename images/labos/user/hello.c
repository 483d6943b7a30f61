/* hello.c - says hello, with its number and its arguments. */
#include "user.h"

int main(const char *arguments) {
  printf("hello from process %ld%s%s\n", getpid(), *arguments ? ": " : "", arguments);
  return 0;
}
