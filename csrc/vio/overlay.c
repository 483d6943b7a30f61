/* overlay.c - images that keep what is written, upon one that is only read. The file's format and what it promises:
 * emulator/backends/overlay.py and docs/internals/disks.md; who opens the file reads its maps and gives them to us.
 *
 *   a write      data in place, then the bits of the recent map, then those in memory
 *   a flush      data and recent map stable, then the same bits in the stable map, then that stable
 *
 * A bit in memory is only ever set. Who finds it set may move the cluster's bytes without the lock; who finds it clear and
 * writes takes the lock, in which the rest of the cluster is copied from below.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vio/image.h"

#define FLUSH_NS 30000000000ull /* writes that nobody flushes become stable after so long */

struct overlay {
  struct overlay_layout layout;
  struct image *below;
  pthread_mutex_t lock;     /* clusters become ours; and what is below here */
  pthread_mutex_t flushing; /* taken first: one flush at a time */
  u64 low, high;            /* bytes of the map that are set in the recent one only; low == high: none */
  u64 flushed_ns;
  int failed;
  u8 map[];
};

static u64 now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

u64 overlay_map_bytes(u64 size) { return ((size + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER + 7) / 8; }

struct image *image_new_overlay(int fd, const struct overlay_layout *l, const u8 *map, struct image *below) {
  u64 bytes = overlay_map_bytes(l->size);
  struct overlay *o = calloc(1, sizeof *o + bytes);
  struct image *i = o ? image_new_file(fd, l->data_at) : NULL;
  if (!i) {
    free(o);
    return NULL;
  }
  o->layout = *l;
  o->below = below;
  image_hold(below);
  pthread_mutex_init(&o->lock, NULL);
  pthread_mutex_init(&o->flushing, NULL);
  o->flushed_ns = now_ns();
  memcpy(o->map, map, bytes);
  o->high = l->unstable ? bytes : 0;
  i->kind = IMAGE_OVERLAY;
  i->overlay = o;
  return i;
}

void overlay_free(struct overlay *o) {
  image_drop(o->below);
  pthread_mutex_destroy(&o->lock);
  pthread_mutex_destroy(&o->flushing);
  free(o);
}

static bool here(const struct overlay *o, u64 cluster) {
  return __atomic_load_n(&o->map[cluster / 8], __ATOMIC_ACQUIRE) >> cluster % 8 & 1;
}

/* Bytes from `offset` on, at most `bytes`, that are all here or all below. */
static u64 run(const struct overlay *o, u64 offset, u64 bytes, bool *ours) {
  u64 cluster = offset / OVERLAY_CLUSTER, end = offset + bytes;
  *ours = here(o, cluster);
  do cluster++;
  while (cluster * OVERLAY_CLUSTER < end && here(o, cluster) == *ours);
  u64 stop = cluster * OVERLAY_CLUSTER;
  return (stop < end ? stop : end) - offset;
}

static int read_some(struct image *i, struct io_job *j, u64 bytes) {
  const struct overlay *o = i->overlay;
  while (bytes) {
    bool ours;
    u64 n = run(o, j->offset, bytes, &ours);
    int error = ours ? io_some(j, i->fd, i->base + j->offset, n) : image_move(o->below, j, n);
    if (error) return error;
    bytes -= n;
  }
  return 0;
}

/* With the lock held. The cluster's bytes from below, into the file. */
static int copy_up(struct image *i, u64 cluster) {
  const struct overlay *o = i->overlay;
  u64 start = cluster * OVERLAY_CLUSTER, left = o->layout.size - start, n = left < OVERLAY_CLUSTER ? left : OVERLAY_CLUSTER;
  u8 bytes[OVERLAY_CLUSTER];
  struct iovec part = {bytes, n};
  struct io_job j = {.kind = IO_READ, .offset = start, .part = &part, .parts = 1};
  int error = image_move(o->below, &j, n);
  if (error) return error;
  part = (struct iovec){bytes, n};
  j = (struct io_job){.kind = IO_WRITE, .offset = start, .part = &part, .parts = 1};
  return io_some(&j, i->fd, i->base + start, n);
}

/* With the lock held; the data of the clusters are in the file. */
static int mark(struct image *i, u64 first, u64 last) {
  struct overlay *o = i->overlay;
  u64 low = first / 8, high = last / 8 + 1;
  u8 *changed = malloc(high - low);
  if (!changed) return ENOMEM;
  memcpy(changed, o->map + low, high - low);
  for (u64 c = first; c <= last; c++) changed[c / 8 - low] |= (u8)(1u << c % 8);
  struct iovec part = {changed, high - low};
  struct io_job j = {.kind = IO_WRITE, .part = &part, .parts = 1};
  int error = io_some(&j, i->fd, o->layout.recent_at + low, high - low);
  for (u64 b = low; !error && b < high; b++) __atomic_store_n(&o->map[b], changed[b - low], __ATOMIC_RELEASE);
  free(changed);
  if (error) return error;
  bool none = o->low == o->high;
  o->low = none || low < o->low ? low : o->low;
  o->high = none || high > o->high ? high : o->high;
  return 0;
}

static bool all_here(const struct overlay *o, u64 first, u64 last) {
  while (first <= last && here(o, first)) first++;
  return first > last;
}

static int write_fresh(struct image *i, struct io_job *j, u64 bytes) {
  const struct overlay *o = i->overlay;
  u64 start = j->offset, end = start + bytes, first = start / OVERLAY_CLUSTER, last = (end - 1) / OVERLAY_CLUSTER;
  u64 whole = (last + 1) * OVERLAY_CLUSTER < o->layout.size ? (last + 1) * OVERLAY_CLUSTER : o->layout.size;
  int error = 0;
  if (start % OVERLAY_CLUSTER && !here(o, first)) error = copy_up(i, first);
  bool again = first == last && start % OVERLAY_CLUSTER;
  if (!error && end < whole && !here(o, last) && !again) error = copy_up(i, last);
  if (!error) error = io_some(j, i->fd, i->base + start, bytes);
  return error ? error : mark(i, first, last);
}

static bool flush_is_due(const struct overlay *o) {
  return o->layout.kept && now_ns() - __atomic_load_n(&o->flushed_ns, __ATOMIC_RELAXED) > FLUSH_NS;
}

static int write_some(struct image *i, struct io_job *j, u64 bytes) {
  struct overlay *o = i->overlay;
  u64 first = j->offset / OVERLAY_CLUSTER, last = (j->offset + bytes - 1) / OVERLAY_CLUSTER;
  int error;
  if (all_here(o, first, last)) {
    error = io_some(j, i->fd, i->base + j->offset, bytes);
  } else {
    pthread_mutex_lock(&o->lock);
    error = write_fresh(i, j, bytes);
    pthread_mutex_unlock(&o->lock);
  }
  __atomic_store_n(&o->failed, error, __ATOMIC_RELAXED);
  return !error && flush_is_due(o) ? overlay_flush(i) : error;
}

int overlay_move(struct image *i, struct io_job *j, u64 bytes) {
  u64 size = i->overlay->layout.size;
  if (j->offset > size || bytes > size - j->offset) return EIO;
  return j->kind == IO_READ ? read_some(i, j, bytes) : write_some(i, j, bytes);
}

bool overlay_place(struct image *i, const struct io_job *j, u64 bytes, int *fd, u64 *at) {
  const struct overlay *o = i->overlay;
  bool ours;
  if (j->offset > o->layout.size || bytes > o->layout.size - j->offset) return false;
  if (run(o, j->offset, bytes, &ours) != bytes || (j->kind == IO_WRITE && (!ours || flush_is_due(o)))) return false;
  if (!ours) return image_place(o->below, j, bytes, fd, at);
  *fd = i->fd;
  *at = i->base + j->offset;
  return true;
}

/* What the maps differ in is taken before the data become stable: bits that come meanwhile are the next flush's. */
static int flush(struct image *i) {
  struct overlay *o = i->overlay;
  pthread_mutex_lock(&o->lock);
  u64 low = o->low, high = o->high;
  u8 *bits = malloc(high - low + 1);
  if (bits) memcpy(bits, o->map + low, high - low);
  if (bits) o->low = o->high = 0;
  pthread_mutex_unlock(&o->lock);
  if (!bits) return ENOMEM;
  int error = io_settle(i->fd);
  struct iovec part = {bits, high - low};
  struct io_job j = {.kind = IO_WRITE, .part = &part, .parts = 1};
  if (!error && high > low) error = io_some(&j, i->fd, o->layout.stable_at + low, high - low);
  if (!error && high > low) error = io_settle(i->fd);
  free(bits);
  __atomic_store_n(&o->flushed_ns, now_ns(), __ATOMIC_RELAXED);
  if (!error || low == high) return error;
  pthread_mutex_lock(&o->lock); /* they are to be written yet */
  bool none = o->low == o->high;
  o->low = none || low < o->low ? low : o->low;
  o->high = none || high > o->high ? high : o->high;
  pthread_mutex_unlock(&o->lock);
  return error;
}

int overlay_flush(struct image *i) {
  struct overlay *o = i->overlay;
  if (!o->layout.kept) return 0;
  pthread_mutex_lock(&o->flushing);
  int error = flush(i);
  pthread_mutex_unlock(&o->flushing);
  if (error) __atomic_store_n(&o->failed, error, __ATOMIC_RELAXED);
  return error;
}

bool overlay_map(struct overlay *o, u8 *map, u64 bytes) {
  if (bytes != overlay_map_bytes(o->layout.size)) return false;
  pthread_mutex_lock(&o->lock);
  memcpy(map, o->map, bytes);
  pthread_mutex_unlock(&o->lock);
  return true;
}

int overlay_failed(struct overlay *o) { return __atomic_load_n(&o->failed, __ATOMIC_RELAXED); }
