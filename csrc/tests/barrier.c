/* barrier.c - does a harvester beside running strands lose a store? `barrier MODE STRANDS ROUNDS`
 *
 *   thread    a thread harvests the map, asks for the barrier, copies the pages
 *   process   another process does, with nothing but the memfds; this one carries out the barrier when it is asked by a pipe
 *   none      as `process`, without the barrier: shows that the test sees a lost store
 *   limit     what strands make dirty keeps to a limit, and a limit that is lifted holds nobody; kicks are not held up
 *
 * Each strand stores an increasing number to words of its own pages, a page after the other. The harvester keeps a copy as a
 * migration's target would; after the last harvest, with all strands at rest, copy and memory must be the same.
 * Prints "stores N pages N lost N".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine_choice.h"
#include "public.h"

enum { PAGE = 8192, PAGES = 512, MEMORY = PAGE * PAGES, CODE = 0x1000, FIRST_PAGE = 16, REGION_PAGES = 256, MOST_STRANDS = 4,
       OWN_PAGES = 64 };
#define SECOND_NS 1000000000ull

static u64 now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * SECOND_NS + (u64)t.tv_nsec;
}

/* ---- the guest: %o0 first page of its own; stores %g1 = 1, 2, 3 ... to word (n / OWN_PAGES) % 1024 of page n % OWN_PAGES */
static const u32 code[] = {
    0x82100000,              /* mov 0, %g1 */
    0x82006001,              /* next: inc %g1 */
    0x8408603f,              /* and %g1, OWN_PAGES - 1, %g2 */
    0x8528b00d,              /* sllx %g2, 13, %g2 */
    0x84008008,              /* add %g2, %o0, %g2 */
    0x87307006,              /* srlx %g1, 6, %g3 */
    0x8608e3ff,              /* and %g3, 1023, %g3 */
    0x8728f003,              /* sllx %g3, 3, %g3 */
    0xc2708003,              /* stx %g1, [%g2 + %g3] */
    0x10bffff8, 0x01000000,  /* ba next; nop */
};

static u64 first_page(u32 strand) { return FIRST_PAGE + strand * OWN_PAGES; }

static s4v_machine *machine(u32 strands) {
  s4v_config config = {
      .memory_bytes = MEMORY, .strands = strands, .features = ~(u64)0, .cfr_present = 1, .stick_hz = 1000000000,
      .tick_hz = 3600000000u, .va_bits = 52, .page_sizes = 0x3f, .max_tsbs = 4, .quantum = 1000, .rng_layout = 1,
  };
  char why[128];
  u8 bytes[sizeof code];
  s4v_machine *m = s4v_machine_new(&config, why, sizeof why);
  CHECK(m);
  engine_choose(m);
  for (size_t i = 0; i < sizeof code; i++) bytes[i] = (u8)(code[i / 4] >> (24 - 8 * (i % 4)));
  CHECK(!s4v_mem_write(m, CODE, bytes, sizeof bytes));
  for (u32 i = 0; i < strands; i++) CHECK(!s4v_strand_start(m, i, CODE, 0, first_page(i) * PAGE));
  return m;
}

/* ---- the harvester: what it needs is the same in a thread and in another process ---- */
struct harvester {
  const u8 *memory;
  u8 *pages, *regions, *copy;
  u64 copied;
  bool (*barrier)(struct harvester *);
  s4v_machine *m;
  int ask[2], answer[2];
};

static bool barrier_here(struct harvester *h) { return s4v_barrier(h->m, 60 * SECOND_NS) == S4V_OK; }

static bool barrier_there(struct harvester *h) {
  u8 byte = 1;
  return write(h->ask[1], &byte, 1) == 1 && read(h->answer[0], &byte, 1) == 1;
}

static bool barrier_none(struct harvester *h) {
  (void)h;
  return true;
}

static void harvest(struct harvester *h) {
  u32 found[PAGES], count = 0;
  for (u32 r = 0; r < PAGES / REGION_PAGES; r++) {
    if (!__atomic_exchange_n(&h->regions[r], 0, __ATOMIC_SEQ_CST)) continue;
    for (u32 p = r * REGION_PAGES; p < (r + 1) * REGION_PAGES; p++)
      if (__atomic_load_n(&h->pages[p], __ATOMIC_RELAXED) && __atomic_exchange_n(&h->pages[p], 0, __ATOMIC_SEQ_CST))
        found[count++] = p;
  }
  CHECK(h->barrier(h));
  for (u32 i = 0; i < count; i++)
    for (u32 word = 0; word < PAGE / 8; word++) {
      u64 at = (u64)found[i] * PAGE + word * 8;
      *(u64 *)(void *)(h->copy + at) = __atomic_load_n((const u64 *)(const void *)(h->memory + at), __ATOMIC_RELAXED);
    }
  h->copied += count;
}

static void look_at(struct harvester *h, s4v_machine *m) {
  s4v_block b;
  CHECK(!s4v_memory_block(m, 0, &b) && b.bytes == MEMORY && b.memory_offset == 0);
  u64 map_bytes = b.region_map_offset + PAGES / REGION_PAGES;
  h->m = m;
  h->memory = mmap(NULL, MEMORY, PROT_READ, MAP_SHARED, b.memory_fd, 0);
  u8 *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, b.map_fd, 0);
  h->copy = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(h->memory != MAP_FAILED && map != MAP_FAILED && h->copy != MAP_FAILED);
  h->pages = map + b.page_map_offset;
  h->regions = map + b.region_map_offset;
}

/* ---- strands run in a thread of this process ---- */
struct runner {
  s4v_machine *m;
  pthread_t thread;
  u32 quit;
};

static void *run(void *arg) {
  struct runner *r = arg;
  s4v_stop stop;
  while (!__atomic_load_n(&r->quit, __ATOMIC_ACQUIRE)) CHECK(!s4v_run(r->m, ~(u64)0, &stop) && stop.reason == S4V_STOP_KICK);
  return NULL;
}

static void runner_start(struct runner *r, s4v_machine *m) {
  *r = (struct runner){.m = m};
  CHECK(!pthread_create(&r->thread, NULL, run, r));
}

static void runner_end(struct runner *r) {
  __atomic_store_n(&r->quit, 1, __ATOMIC_RELEASE);
  s4v_kick(r->m);
  pthread_join(r->thread, NULL);
}

static void serve_barriers(struct harvester *h) {
  u8 byte;
  while (read(h->ask[0], &byte, 1) == 1 && byte) {
    CHECK(barrier_here(h));
    CHECK(write(h->answer[1], &byte, 1) == 1);
  }
}

/* Until strand 0 has been through its pages and their words once more. */
static void wait_for_stores(const struct harvester *h) {
  const u64 *word = (const u64 *)(const void *)(h->memory + first_page(0) * PAGE);
  u64 seen = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (__atomic_load_n(word, __ATOMIC_RELAXED) == seen) sched_yield();
}

static void harvests(struct harvester *h, u64 rounds) {
  for (u64 i = 0; i < rounds; i++) {
    if (i % 16 == 0) wait_for_stores(h);
    harvest(h);
  }
}

static void other_process(struct harvester *h, u64 rounds) {
  CHECK(!pipe(h->ask) && !pipe(h->answer));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    harvests(h, rounds);
    u8 end = 0;
    _exit(write(h->ask[1], &end, 1) == 1 ? 0 : 1);
  }
  serve_barriers(h);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static u64 lost_pages(const struct harvester *h) {
  u64 lost = 0;
  for (u32 p = 0; p < PAGES; p++) lost += memcmp(h->copy + (u64)p * PAGE, h->memory + (u64)p * PAGE, PAGE) != 0;
  return lost;
}

static int harvested(const char *mode, u32 strands, u64 rounds) {
  struct harvester *h = mmap(NULL, sizeof *h, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct runner r;
  s4v_machine *m = machine(strands);
  CHECK(h != MAP_FAILED);
  look_at(h, m);
  h->barrier = barrier_here;
  runner_start(&r, m);
  if (strcmp(mode, "thread") == 0) {
    harvests(h, rounds);
  } else {
    h->barrier = strcmp(mode, "none") == 0 ? barrier_none : barrier_there;
    other_process(h, rounds);
  }
  runner_end(&r);
  h->barrier = barrier_here;
  harvest(h); /* the last one: everybody rests */
  printf("stores %llu pages %llu lost %llu\n", (unsigned long long)(s4v_insns(m) / 10), (unsigned long long)h->copied,
         (unsigned long long)lost_pages(h));
  s4v_machine_free(m);
  return 0;
}

/* ---- limit ---- */

/* Pages that become dirty in so long, where all are cleaned all the time. */
static u64 dirtied(struct harvester *h, u64 ns) {
  u64 before = h->copied;
  for (u64 end = now_ns() + ns; now_ns() < end;) harvest(h);
  return h->copied - before;
}

static int limited(u32 strands) {
  enum { LIMIT = 500 };
  struct harvester h = {.barrier = barrier_here};
  struct runner r;
  s4v_machine *m = machine(strands);
  look_at(&h, m);
  runner_start(&r, m);
  dirtied(&h, SECOND_NS / 10);
  u64 free_pages = dirtied(&h, SECOND_NS / 2);
  s4v_dirty_limit(m, LIMIT);
  dirtied(&h, SECOND_NS / 10);
  u64 from = now_ns(), held = dirtied(&h, SECOND_NS), took = now_ns() - from;
  for (u32 i = 0; i < 20; i++) s4v_kick(m); /* a kick is heard by strands that are held */
  s4v_dirty_limit(m, 0);
  dirtied(&h, SECOND_NS / 10);
  u64 freed = dirtied(&h, SECOND_NS / 2);
  runner_end(&r);
  /* a burst of 10 ms, and what each strand does until it looks around, beyond the budget */
  u64 most = (u64)LIMIT * took / SECOND_NS + LIMIT / 50 + OWN_PAGES * strands;
  printf("free %llu held %llu most %llu freed %llu\n", (unsigned long long)free_pages, (unsigned long long)held,
         (unsigned long long)most, (unsigned long long)freed);
  CHECK(held <= most && held > 0 && freed > 0);
  s4v_machine_free(m);
  return 0;
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  u32 strands = (u32)strtoul(argv[2], NULL, 0);
  CHECK(strands >= 1 && strands <= MOST_STRANDS);
  return strcmp(argv[1], "limit") == 0 ? limited(strands) : harvested(argv[1], strands, strtoull(argv[3], NULL, 0));
}
