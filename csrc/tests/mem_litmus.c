/* mem_litmus.c - do the shipped mark and the shipped harvest lose a write?
 *
 * One page a round, its mark left over from an earlier store:
 *
 *   writer                               harvester
 *   data = round                         physmem_harvest: mark 1 -> 0, [barrier], sink copies data
 *   ram_mark: mark is 1? nothing to do
 *
 * LOST: the copy is old and the mark is 0. Nobody would ever send that page again. It happens when the writer's check
 * runs while its data is still in the store buffer, so the rounds hold the store buffer up with stores that miss the
 * cache, and both sides start with a random skew. The two threads spin on two processors.
 *
 * mem_litmus barrier ROUNDS   plays all rounds with harvest_membarrier
 * mem_litmus none ROUNDS      plays until the first loss, without a barrier
 * Prints "rounds N old N lost N". `old` counts the rounds whose copy was old: there was something to lose.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>

#include "check.h"
#include "mem/mem.h"
#include "threads.h"

enum { PAGES = 256, CLOG_BYTES = 64 << 20, CLOG_STORES = 4 };

struct litmus {
  struct turn start, done;
  volatile u64 rounds;
  struct physmem *pm;
  const struct mblock *block;
  u8 *clog;
  size_t cpus[2];
  u64 copy; /* what the sink read */
};

static void delay(u64 turns) {
  for (u64 i = 0; i < turns; i++) __asm__ volatile("");
}

/* A word of its own line in the page, another one each lap, so that the data is not always in the cache. */
static volatile u64 *cell(const struct litmus *l, u64 round) {
  return (volatile u64 *)(void *)(l->block->host + (round % PAGES) * PAGE_BYTES + (round / PAGES % 16) * LINE);
}

static void *writer_run(void *arg) {
  struct litmus *l = arg;
  unsigned long long seed = 1;
  cpu_pin(l->cpus[1]);
  for (u64 round = 1; round <= l->rounds; round++) {
    u64 r = random_next(&seed), page = round % PAGES;
    volatile u64 *data = cell(l, round);
    u8 *mark = l->block->page_map + page, *region = l->block->region_map + page / PAGES_PER_REGION;
    u8 *miss[CLOG_STORES];
    for (u64 i = 0; i < CLOG_STORES; i++) miss[i] = l->clog + random_next(&seed) % CLOG_BYTES;
    (void)*(volatile u8 *)mark; /* the check is to hit the cache */
    turn_wait(&l->start, round);
    delay(r % 512 << (r >> 32) % 6); /* to microseconds: a barrier makes the harvester's window that long */
    for (u64 i = 0; i < r / 512 % (CLOG_STORES + 1); i++) *(volatile u8 *)miss[i] = (u8)round;
    *data = round;
    ram_mark(mark, region);
    turn_set(&l->done, round);
  }
  return NULL;
}

static void sink_copy(void *ctx, pa_t first, u64 pages) {
  struct litmus *l = ctx;
  (void)first;
  (void)pages;
  l->copy = *cell(l, turn_get(&l->start));
}

struct tally { u64 rounds, old, lost; };

static struct tally harvester_run(struct litmus *l, harvest_barrier barrier) {
  struct tally t = {0};
  unsigned long long seed = 2;
  for (u64 round = 1; round <= l->rounds; round++) {
    u64 page = round % PAGES, before = *cell(l, round);
    u8 *mark = l->block->page_map + page;
    ram_mark(mark, l->block->region_map);
    l->copy = ~(u64)0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    turn_set(&l->start, round);
    delay(random_next(&seed) % 1024);
    i64 n = physmem_harvest(l->pm, PA(page * PAGE_BYTES), PAGE_BYTES, barrier, sink_copy, l);
    CHECK(n == 1 && l->copy != ~(u64)0);
    turn_wait(&l->done, round);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    t.rounds++;
    if (l->copy != before) continue;
    t.old++;
    if (*(volatile u8 *)mark == 0) t.lost++;
    if (t.lost && !barrier && round < l->rounds) l->rounds = round + 1; /* the writer may be waiting for that one */
  }
  return t;
}

int main(int argc, char **argv) {
  static struct litmus l;
  CHECK(argc == 3);
  bool with = strcmp(argv[1], "barrier") == 0;
  CHECK(with || strcmp(argv[1], "none") == 0);
  l.rounds = strtoull(argv[2], NULL, 10);
  if (!cpu_pair(l.cpus)) {
    puts("needs two processors");
    return EXIT_SKIP;
  }
  if (with && harvest_membarrier_register() != 0) {
    puts("needs membarrier(2)");
    return EXIT_SKIP;
  }
  l.clog = malloc(CLOG_BYTES);
  l.pm = physmem_new();
  CHECK(l.clog && l.pm);
  memset(l.clog, 0, CLOG_BYTES);
  CHECK(physmem_add_block(l.pm, PA(0), PAGES * PAGE_BYTES, "litmus") == 0);
  l.block = physmem_block(l.pm, 0);
  memset(l.block->host, 0, PAGES * PAGE_BYTES); /* no page faults in the rounds */
  pthread_t writer;
  CHECK(pthread_create(&writer, NULL, writer_run, &l) == 0);
  cpu_pin(l.cpus[0]);
  struct tally t = harvester_run(&l, with ? harvest_membarrier : NULL);
  pthread_join(writer, NULL);
  printf("rounds %llu old %llu lost %llu\n", (unsigned long long)t.rounds, (unsigned long long)t.old,
         (unsigned long long)t.lost);
  physmem_free(l.pm);
  free(l.clog);
  return 0;
}
