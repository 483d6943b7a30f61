/* presence.c - the worker's side of pages that follow a guest that runs already (util/presence.h). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "stream/stream.h"
#include "util/presence.h"

u64 image_index(const struct piece *p, u64 number) { return p->first + (number - (p->ra >> PAGE_BITS)); }

int s4v_stream_presence(s4v_stream *s, int fd) {
  struct stat status;
  u64 bytes = presence_file_bytes(s->pages);
  int seals = fcntl(fd, F_GET_SEALS);
  if (s->presence || seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &status) != 0 || (u64)status.st_size != bytes)
    return S4V_EINVAL;
  struct presence_head *head = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (head == MAP_FAILED) return S4V_EINVAL;
  if (head->magic != PRESENCE_MAGIC || head->pages != s->pages) {
    munmap(head, bytes);
    return S4V_EINVAL;
  }
  s->presence = head;
  s->presence_bytes = bytes;
  return 0;
}

void presence_release(s4v_stream *s) {
  if (s->presence) munmap(s->presence, s->presence_bytes);
}

/* A range may run over blocks that adjoin. */
static bool mark_missing(s4v_stream *s, u64 first, u64 end) {
  u8 *bytes = presence_bytes(s->presence);
  if (first >= end) return false;
  for (u64 number = first; number < end;) {
    const struct piece *p = image_find(s, number);
    if (!p) return false;
    u64 index = image_index(p, number), left = p->first + p->pages - index;
    if (left > end - number) left = end - number;
    for (u64 i = 0; i < left; i++) {
      s->presence->missing += bytes[index + i] == PAGE_HERE;
      bytes[index + i] = PAGE_MISSING;
    }
    number += left;
  }
  return true;
}

int s4v_stream_missing(s4v_stream *s, const uint64_t *ranges, uint32_t count) {
  if (!s->presence || s->serving) return S4V_EINVAL;
  for (u32 i = 0; i < count; i++)
    if (!mark_missing(s, ranges[2 * i], ranges[2 * i + 1])) return S4V_EFORMAT;
  return 0;
}

void s4v_stream_serve(s4v_stream *s) { s->serving = true; }

uint64_t s4v_stream_left(const s4v_stream *s) {
  return s->presence ? __atomic_load_n(&s->presence->missing, __ATOMIC_ACQUIRE) : 0;
}

static u64 number_of(const s4v_stream *s, u64 index) { return piece_number(image_piece(s, index), index); }

/* Everything that was asked for and has not come: the link that carried the requests is gone. */
static u32 asked_again(s4v_stream *s, u64 *numbers, u32 max) {
  const u8 *bytes = presence_bytes(s->presence);
  u32 n = 0;
  for (u64 i = 0; i < s->pages && n < max; i++)
    if (__atomic_load_n(bytes + i, __ATOMIC_ACQUIRE) == PAGE_ASKED) numbers[n++] = number_of(s, i);
  return n;
}

uint32_t s4v_stream_asked(s4v_stream *s, uint64_t *numbers, uint32_t max, int again) {
  struct presence_head *h = s->presence;
  u32 n = 0;
  if (!h) return 0;
  if (again) return asked_again(s, numbers, max);
  u32 head = __atomic_load_n(&h->head, __ATOMIC_ACQUIRE), tail = h->tail;
  if (head - tail > PRESENCE_RING) tail = head - PRESENCE_RING; /* not written by our machine */
  for (; tail != head && n < max; tail++) {
    u64 index = h->ring[tail % PRESENCE_RING];
    if (index < s->pages) numbers[n++] = number_of(s, index);
  }
  __atomic_store_n(&h->tail, tail, __ATOMIC_RELEASE);
  return n;
}

bool presence_all_missing(const s4v_stream *s, const u8 *numbers, u32 count) {
  if (!s->serving || !s->presence) return true;
  const u8 *bytes = presence_bytes(s->presence);
  for (u32 i = 0; i < count; i++) {
    u64 number = le64_load(numbers + (u64)i * 8);
    if (__atomic_load_n(bytes + image_index(image_find(s, number), number), __ATOMIC_ACQUIRE) == PAGE_HERE) return false;
  }
  return true;
}

void presence_arrived(s4v_stream *s, const u8 *numbers, u32 count) {
  if (!s->serving || !s->presence || count == 0) return;
  u8 *bytes = presence_bytes(s->presence);
  for (u32 i = 0; i < count; i++) {
    u64 number = le64_load(numbers + (u64)i * 8);
    __atomic_store_n(bytes + image_index(image_find(s, number), number), PAGE_HERE, __ATOMIC_RELEASE);
  }
  __atomic_fetch_sub(&s->presence->missing, count, __ATOMIC_SEQ_CST);
  presence_wake(s->presence);
}
