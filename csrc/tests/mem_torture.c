/* mem_torture.c - a writer runs free, a harvester keeps a copy; after each epoch the copy must be the memory.
 *
 * The writer stores a running number here and there: as the engine does it (store, ram_mark), through ram_write, or as
 * a device (ram_map, store, ram_unmap). Meanwhile the harvester copies what it is told, round after round, as pre-copy
 * does. At the end of the epoch the writer stands still: one last harvest, and the audit: every word equal, no mark and
 * no region byte left over. Epochs are short and pages few, for a mark lost early is repaired by a later store.
 *
 * mem_torture EPOCHS SEED    prints "epochs N rounds N pages N wrong N"
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "check.h"
#include "mem/mem.h"
#include "threads.h"

enum { REGIONS = 3, HOT = 3, WORDS = 4, WRITES = 40 };
static const u64 BYTES = (u64)REGIONS << REGION_BITS;

struct torture {
  struct physmem *pm;
  struct ram *ram;
  const struct mblock *block;
  u64 epochs;
  unsigned long long seed;
  struct turn started, finished;
  size_t cpus[2];
  u64 copy[REGIONS * PAGES_PER_REGION][WORDS];
};

static u64 hot_page(u64 i) { return i % REGIONS * PAGES_PER_REGION + i / REGIONS % HOT; }

static u64 *word_at(const struct torture *t, u64 page, u64 word) {
  return (u64 *)(void *)(t->block->host + page * PAGE_BYTES + word * 1024);
}

static void write_one(struct torture *t, u64 r, u64 value) {
  u64 page = hot_page(r % (REGIONS * HOT)), word = r / 64 % WORDS;
  ra_t ra = RA(page * PAGE_BYTES + word * 1024);
  struct ram_ref ref;
  switch (r / 1024 % 4) {
  case 0:
    CHECK(ram_write(t->ram, ra, &value, sizeof value));
    break;
  case 1:
    CHECK(ram_map(t->ram, ra, sizeof value, true) == (u8 *)word_at(t, page, word));
    __atomic_store_n(word_at(t, page, word), value, __ATOMIC_RELAXED);
    ram_unmap(t->ram, ra, sizeof value, true);
    break;
  default:
    CHECK(ram_lookup(t->ram, ra, &ref));
    __atomic_store_n(word_at(t, page, word), value, __ATOMIC_RELAXED);
    ram_mark(ref.page, ref.region);
  }
}

static void *writer_run(void *arg) {
  struct torture *t = arg;
  unsigned long long state = t->seed;
  cpu_pin(t->cpus[1]);
  for (u64 epoch = 1; epoch <= t->epochs; epoch++) {
    u64 writes = random_next(&state) % WRITES;
    turn_wait(&t->started, epoch);
    for (u64 i = 0; i < writes; i++) write_one(t, random_next(&state), epoch * WRITES + i);
    turn_set(&t->finished, epoch);
  }
  return NULL;
}

static void sink_copy(void *ctx, pa_t first, u64 pages) {
  struct torture *t = ctx;
  for (u64 page = first.v / PAGE_BYTES; pages--; page++)
    for (u64 w = 0; w < WORDS; w++) t->copy[page][w] = __atomic_load_n(word_at(t, page, w), __ATOMIC_RELAXED);
}

static u64 audit(const struct torture *t) {
  u64 wrong = 0;
  for (u64 i = 0; i < REGIONS * HOT; i++) {
    u64 page = hot_page(i);
    wrong += t->block->page_map[page];
    for (u64 w = 0; w < WORDS; w++) wrong += t->copy[page][w] != *word_at(t, page, w);
  }
  for (u64 r = 0; r < REGIONS; r++) wrong += t->block->region_map[r];
  return wrong;
}

static void harvester_run(struct torture *t) {
  u64 rounds = 0, pages = 0, wrong = 0;
  i64 n;
  for (u64 epoch = 1; epoch <= t->epochs; epoch++) {
    turn_set(&t->started, epoch);
    u64 spins = 0;
    do {
      n = physmem_harvest(t->pm, PA(0), BYTES, harvest_membarrier, sink_copy, t);
      CHECK(n >= 0);
      rounds++, pages += (u64)n;
      if (++spins % SPINS == 0) sched_yield();
    } while (turn_get(&t->finished) < epoch);
    CHECK(physmem_harvest(t->pm, PA(0), BYTES, NULL, sink_copy, t) >= 0);
    wrong += audit(t);
  }
  printf("epochs %llu rounds %llu pages %llu wrong %llu\n", (unsigned long long)t->epochs, (unsigned long long)rounds,
         (unsigned long long)pages, (unsigned long long)wrong);
}

int main(int argc, char **argv) {
  static struct torture t;
  CHECK(argc == 3);
  t.epochs = strtoull(argv[1], NULL, 10);
  t.seed = strtoull(argv[2], NULL, 10);
  if (!cpu_pair(t.cpus)) {
    puts("needs two processors");
    return EXIT_SKIP;
  }
  if (harvest_membarrier_register() != 0) {
    puts("needs membarrier(2)");
    return EXIT_SKIP;
  }
  t.pm = physmem_new();
  CHECK(t.pm && physmem_add_block(t.pm, PA(0), BYTES, "torture") == 0);
  t.block = physmem_block(t.pm, 0);
  t.ram = ram_new(t.pm);
  CHECK(t.ram && ram_add_segment(t.ram, RA(0), BYTES, PA(0)) == 0);
  pthread_t writer;
  CHECK(pthread_create(&writer, NULL, writer_run, &t) == 0);
  cpu_pin(t.cpus[0]);
  harvester_run(&t);
  pthread_join(writer, NULL);
  ram_free(t.ram);
  physmem_free(t.pm);
  return 0;
}
