/* forks.c - processes: copy-on-write, exit statuses, pipes, exec. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 32768, WAVE = 8, EXEC_EVERY = 16 };
static u64 memory[WORDS];

static u64 sum_memory(void) {
  u64 sum = FOLD_START;
  for (int i = 0; i < WORDS; i += 61) sum = fold(sum, memory[i]);
  return sum;
}

/* Sees the memory as its parent has changed it, and changes it for nobody else. */
static u64 expected_sum;
static int grandchild(long index) {
  int good = sum_memory() == expected_sum;
  for (int i = 0; i < WORDS; i += 1024) memory[i] = 0;
  return good ? (int)((index + 1) % 250) : 255;
}

/* Changes a third of the pages it shares with its parent, checks all of them, and starts a grandchild now and then. */
static int child(long index) {
  for (int i = (int)(index % 3) * 1024; i < WORDS; i += 3072)
    for (int k = 0; k < 1024 && i + k < WORDS; k++) memory[i + k] += (u64)index;
  for (int i = 0; i < WORDS; i++) {
    int mine = i / 1024 % 3 == index % 3;
    if (memory[i] != (u64)i * 0x9e3779b97f4a7c15u + (mine ? (u64)index : 0)) return 255;
  }
  if (index % EXEC_EVERY == 5) {
    expected_sum = sum_memory();
    if (reap(spawn(grandchild, index)) != (index + 1) % 250 || sum_memory() != expected_sum) return 254;
  }
  if (index % EXEC_EVERY == 0) {
    char number[24];
    snprintf(number, sizeof number, "%ld", index);
    execl("/proc/self/exe", "load", "forks", "exec", number, NULL);
    return 253;
  }
  return (int)(index % 250);
}

int forks_main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "exec") == 0) return (int)(argument(argc, argv, 2, 0) % 250);
  long children = argument(argc, argv, 1, 200);
  for (int i = 0; i < WORDS; i++) memory[i] = (u64)i * 0x9e3779b97f4a7c15u;
  u64 before = sum_memory();
  u64 total = FOLD_START;
  for (long first = 0; first < children; first += WAVE) {
    int pids[WAVE];
    int count = 0;
    for (long i = first; i < first + WAVE && i < children; i++) pids[count++] = spawn(child, i);
    for (int i = 0; i < count; i++) {
      int status = reap(pids[i]);
      CHECK(status == (first + i) % 250);
      total = fold(total, (u64)status);
    }
    CHECK(sum_memory() == before);
  }
  printf("forks: ok %ld children, %016llx\n", children, (unsigned long long)total);
  return 0;
}
