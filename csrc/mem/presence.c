/* presence.c - the check before bytes of memory are touched that may not be there yet, and the wait for them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "mem/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

#include "mem/ram.h"
#include "util/presence.h"

enum { WAIT_CLASSES = 160 }; /* four an octave: the last begins beyond half an hour */

struct presence {
  struct presence_head *head;
  u64 bytes;
  int fd, bell;
  u64 waits[WAIT_CLASSES], longest_ns; /* how long threads waited; atomic */
};

static int shared_file(u64 bytes) {
  int fd = memfd_create("presence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  if (ftruncate(fd, (off_t)bytes) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) return fd;
  close(fd);
  return -ENOMEM;
}

int presence_begin(struct ram *ram) {
  u64 pages = 0;
  if (ram->presence) return -EBUSY;
  for (size_t i = 0; i < ram->span_count; i++) pages += ram->spans[i].bytes >> PAGE_BITS;
  struct presence *p = calloc(1, sizeof *p);
  if (!p) return -ENOMEM;
  p->bytes = presence_file_bytes(pages);
  p->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  p->fd = shared_file(p->bytes);
  void *at = p->fd < 0 ? MAP_FAILED : mmap(NULL, p->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, p->fd, 0);
  if (at == MAP_FAILED || p->bell < 0) {
    if (at != MAP_FAILED) munmap(at, p->bytes);
    if (p->fd >= 0) close(p->fd);
    if (p->bell >= 0) close(p->bell);
    free(p);
    return -ENOMEM;
  }
  p->head = at;
  p->head->pages = pages;
  p->head->magic = PRESENCE_MAGIC;
  u8 *bytes = presence_bytes(p->head);
  for (size_t i = 0; i < ram->span_count; i++) {
    ram->spans[i].missing = bytes;
    bytes += ram->spans[i].bytes >> PAGE_BITS;
  }
  ram->presence = p;
  return 0;
}

void presence_end(struct ram *ram) {
  struct presence *p = ram->presence;
  if (!p) return;
  for (size_t i = 0; i < ram->span_count; i++) ram->spans[i].missing = NULL;
  munmap(p->head, p->bytes);
  close(p->fd);
  close(p->bell);
  free(p);
  ram->presence = NULL;
}

int presence_fd(const struct ram *ram) { return ram->presence ? ram->presence->fd : -1; }
int presence_bell(const struct ram *ram) { return ram->presence ? ram->presence->bell : -1; }

u64 presence_missing(const struct ram *ram) {
  return ram->presence ? __atomic_load_n(&ram->presence->head->missing, __ATOMIC_ACQUIRE) : 0;
}

void presence_give_up(struct ram *ram) {
  if (!ram->presence) return;
  __atomic_store_n(&ram->presence->head->closed, 1, __ATOMIC_SEQ_CST);
  presence_wake(ram->presence->head);
}

/* Into the ring; false: it is full, which passes. */
static bool ask(const struct presence *p, u64 index) {
  struct presence_head *h = p->head;
  while (__atomic_exchange_n(&h->lock, 1, __ATOMIC_ACQUIRE)) sched_yield();
  u32 head = h->head, tail = __atomic_load_n(&h->tail, __ATOMIC_ACQUIRE);
  bool room = head - tail < PRESENCE_RING;
  if (room) {
    h->ring[head % PRESENCE_RING] = index;
    __atomic_store_n(&h->head, head + 1, __ATOMIC_RELEASE);
  }
  __atomic_store_n(&h->lock, 0, __ATOMIC_RELEASE);
  u64 one = 1;
  ssize_t ignored = write(p->bell, &one, sizeof one); /* full: it will ring anyway */
  (void)ignored;
  return room;
}

static void sleep_on(struct presence_head *h, u32 turn) {
  struct timespec limit = {.tv_nsec = 100 * 1000 * 1000}; /* a request that found no room is made again */
  __atomic_fetch_add(&h->waiting, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &h->turn, FUTEX_WAIT, turn, &limit, NULL, 0);
  __atomic_fetch_sub(&h->waiting, 1, __ATOMIC_SEQ_CST);
}

static bool wait_for(const struct presence *p, u8 *byte) {
  struct presence_head *h = p->head;
  for (;;) {
    u32 turn = __atomic_load_n(&h->turn, __ATOMIC_SEQ_CST);
    u8 now = __atomic_load_n(byte, __ATOMIC_ACQUIRE);
    if (now == PAGE_HERE) return true;
    if (__atomic_load_n(&h->closed, __ATOMIC_SEQ_CST)) return false;
    u8 missing = PAGE_MISSING;
    if (now == PAGE_MISSING &&
        __atomic_compare_exchange_n(byte, &missing, PAGE_ASKED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) &&
        !ask(p, (u64)(byte - presence_bytes(h)))) {
      u8 asked = PAGE_ASKED;
      __atomic_compare_exchange_n(byte, &asked, PAGE_MISSING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    sleep_on(h, turn);
  }
}

static u32 class_of(u64 ns) {
  if (ns < 4) return (u32)ns;
  u32 octave = 63 - (u32)__builtin_clzll(ns);
  u32 class = 4 * (octave - 1) + (u32)((ns >> (octave - 2)) & 3);
  return class < WAIT_CLASSES ? class : WAIT_CLASSES - 1;
}

/* What everything in a class is below. */
static u64 class_end(u32 class) {
  if (class < 4) return class + 1;
  return (u64)(4 + class % 4 + 1) << (class / 4 - 1);
}

static u64 now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static bool timed_wait(struct presence *p, u8 *byte) {
  u64 begun = now_ns();
  bool here = wait_for(p, byte);
  u64 took = now_ns() - begun, longest = __atomic_load_n(&p->longest_ns, __ATOMIC_RELAXED);
  __atomic_fetch_add(&p->waits[class_of(took)], 1, __ATOMIC_RELAXED);
  while (took > longest &&
         !__atomic_compare_exchange_n(&p->longest_ns, &longest, took, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return here;
}

/* The end of the class by which `share` hundredths of all waits were over. */
static u64 over_by(const u64 *waits, u64 count, u32 share) {
  u64 seen = 0;
  for (u32 class = 0; class < WAIT_CLASSES; class++) {
    seen += waits[class];
    if (count && seen * 100 >= count * share) return class_end(class);
  }
  return 0;
}

struct page_waits presence_waits(const struct ram *ram) {
  struct page_waits found = {0};
  if (!ram->presence) return found;
  u64 waits[WAIT_CLASSES];
  for (u32 class = 0; class < WAIT_CLASSES; class++) {
    waits[class] = __atomic_load_n(&ram->presence->waits[class], __ATOMIC_RELAXED);
    found.count += waits[class];
  }
  found.longest_ns = __atomic_load_n(&ram->presence->longest_ns, __ATOMIC_RELAXED);
  found.half_ns = over_by(waits, found.count, 50);
  found.most_ns = over_by(waits, found.count, 99);
  return found;
}

bool presence_wait(const struct ram *ram, const struct span *s, u64 into, u64 bytes) {
  u8 *byte = s->missing + (into >> PAGE_BITS), *last = s->missing + ((into + (bytes - 1)) >> PAGE_BITS);
  for (; byte <= last; byte++)
    if (__atomic_load_n(byte, __ATOMIC_ACQUIRE) != PAGE_HERE && !timed_wait(ram->presence, byte)) return false;
  return true;
}
