/* stream_writer.c MEMORY_FD MAP_FD CONTROL_FD PAGES REGIONS_AT SEED [drop]: a guest that writes without a pause.
 *
 * Two threads store by the dirty rule (csrc/mem/mem.h: the bytes, then check, then set) as fast as they can, without any lock.
 * Control page: word 0 is 1: stand still. Word 1: threads that stand (2: memory does not change any more). "drop": one mark in
 * 64 is left out, which an audit must find. The process is registered for membarrier(GLOBAL_EXPEDITED).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "mem/mem.h"

enum { THREADS = 2, DROP_ONE_IN = 64 };

struct writer {
  u8 *memory, *map;
  u32 *control;
  u64 pages, regions_at;
  unsigned long long random;
  bool drop;
};

static void *map_fd(const char *text, u64 bytes) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(text), 0);
  CHECK(at != MAP_FAILED);
  return at;
}

static void *write_on(void *context) {
  struct writer *w = context;
  while (!__atomic_load_n(w->control, __ATOMIC_RELAXED)) {
    u64 value = random_next(&w->random), page = value >> 8 & 3 ? value >> 16 & 63 : value >> 16;
    page %= w->pages;
    u64 at = page * PAGE_BYTES + (value >> 48) % (PAGE_BYTES / 8) * 8;
    __atomic_store_n((u64 *)(void *)(w->memory + at), value, __ATOMIC_RELAXED);
    if (w->drop && value % DROP_ONE_IN == 0) continue;
    ram_mark(w->map + page, w->map + w->regions_at + page / PAGES_PER_REGION);
  }
  __atomic_add_fetch(w->control + 1, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc >= 7);
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) != 0) return EXIT_SKIP;
  u64 pages = strtoull(argv[4], NULL, 10), regions_at = strtoull(argv[5], NULL, 10);
  struct writer writers[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    writers[i] = (struct writer){
      .memory = map_fd(argv[1], pages * PAGE_BYTES), .map = map_fd(argv[2], regions_at + PAGE_BYTES),
      .control = map_fd(argv[3], PAGE_BYTES), .pages = pages, .regions_at = regions_at,
      .random = strtoull(argv[6], NULL, 10) + (unsigned long long)i, .drop = argc > 7 && strcmp(argv[7], "drop") == 0,
    };
    CHECK(pthread_create(threads + i, NULL, write_on, writers + i) == 0);
  }
  CHECK(write(STDOUT_FILENO, "w", 1) == 1);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  CHECK(write(STDOUT_FILENO, "s", 1) == 1);
  return 0;
}
