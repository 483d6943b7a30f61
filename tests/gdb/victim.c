/* A program for test_gdb_program.py: what a debugger finds in it is what its lines say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct account {
  long number;
  char name[16];
  double balance;
  struct account *next;
};

static struct account first = {7, "ann", 1.25, NULL};
long visits;

__attribute__((noinline)) double visit(struct account *of, int depth) {
  struct account here = *of;
  here.next = of;
  visits++;
  return depth ? visit(&here, depth - 1) + 1 : here.balance;
}

int main(int count, char **words) {
  char *said = malloc(64);
  for (int i = 0; i < 3; i++) {
    first.balance += visit(&first, 3);
    snprintf(said, 64, "%s has visited %s %ld times\n", words[count - 1], first.name, visits);
    if (write(1, said, strlen(said)) < 0) return 1;
  }
  return 0;
}
