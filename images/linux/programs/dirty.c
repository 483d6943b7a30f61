/* dirty.c - writes memory in rounds at pseudo-random places and checks every word after each round. */
#include "load.h"

#include <stdio.h>
#include <sys/mman.h>

static u64 value_of(u64 index, u64 round) { return (index * 0x9e3779b97f4a7c15u) ^ (round * 0xd1342543de82ef95u); }

int dirty_main(int argc, char **argv) {
  u64 words = (u64)argument(argc, argv, 1, 16) << 17;
  long rounds = argument(argc, argv, 2, 4);
  u64 *memory = mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  u64 pages = words / 1024, sum = FOLD_START;
  for (u64 i = 0; i < words; i++) memory[i] = value_of(i, 0);
  for (long round = 1; round <= rounds; round++) {
    /* a step that has no factor in common with the number of pages visits each of half of them once */
    u64 page = (u64)round * 7 % pages, step = pages / 2 * 2 - 1;
    for (u64 n = 0; n < pages / 2; n++, page = (page + step) % pages)
      for (u64 i = page * 1024; i < page * 1024 + 1024; i++) memory[i] ^= value_of(i, (u64)round);
    u64 seen = 0;
    for (u64 i = 0; i < words; i++) {
      u64 all = memory[i] ^ value_of(i, 0);
      for (long k = 1; k <= round && all != 0; k++) {
        u64 p = i / 1024, start = (u64)k * 7 % pages;
        if ((start + pages - p) % pages < pages / 2) all ^= value_of(i, (u64)k); /* step is -1 modulo pages */
      }
      CHECK(all == 0);
      seen += memory[i] & 0xff;
    }
    sum = fold(sum, seen);
    printf("dirty: round %ld %016llx\n", round, (unsigned long long)sum);
  }
  printf("dirty: ok %llu MiB\n", (unsigned long long)(words >> 17));
  return 0;
}
