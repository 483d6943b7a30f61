/* vdisk.c - see vdisk.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vio/inside.h"

/* Requests that may be acknowledged before an older one: Linux takes the descriptor behind the one acknowledged last for the
 * first in use, and would come round to one that is not done. */
static u64 most_ahead(const struct vdisk *d) { return d->ring.entries / 8 + 8; }

static const struct ldc_endpoint *endpoint(const struct vdisk *d) { return &d->vio->domain->channels.endpoint[d->channel]; }

static bool ring_write(const struct vdisk *d, u32 index, u32 at, const u8 *from, u32 bytes) {
  u64 skip = (u64)index * d->ring.entry_bytes + at;
  return cookies_write(d->vio->domain, endpoint(d), d->ring.cookie, d->ring.cookies, skip, from, bytes);
}

/* ---- the end of a request ---- */

/* Bytes are in memory, or a part of them: what is decoded of them goes, and the pages are marked. */
static void mark(const struct vdisk_request *r) {
  for (u32 i = 0; r->operation == VD_READ && i < r->ranges; i++)
    ram_written(r->disk->vio->domain->env.ram, RA(r->range[i].ra), r->range[i].bytes);
}

static void release(struct vdisk *d, struct vdisk_request *r) {
  if (r->older)
    r->older->newer = r->newer;
  else
    d->oldest = r->newer;
  if (r->newer)
    r->newer->older = r->older;
  else
    d->newest = r->older;
  d->busy[r->index / 8] &= (u8)~(1u << r->index % 8);
  d->counters.in_flight--;
  free(r);
}

static u32 status_of(const struct vdisk_request *r) {
  u32 error = (u32)r->io.error;
  if (r->status || !error) return r->status;
  return error < VDISK_STATUSES ? r->disk->file.status[error] : EIO;
}

static bool report(struct vdisk *d, const struct vdisk_request *r) {
  static const u8 done = VIO_DONE;
  u32 status = status_of(r);
  u8 word[4];
  if (status) d->counters.errors++;
  if (!status && r->operation == VD_READ) d->counters.read_bytes += r->bytes;
  if (!status && r->operation == VD_WRITE) d->counters.written_bytes += r->bytes;
  be32_store(word, status);
  return ring_write(d, r->index, VDISK_STATUS_AT, word, sizeof word) && ring_write(d, r->index, 0, &done, 1);
}

static struct requests take_finished(struct vdisk *d) {
  pthread_mutex_lock(&d->vio->pool.lock);
  struct requests l = d->finished;
  d->finished = (struct requests){0};
  d->told = false;
  pthread_mutex_unlock(&d->vio->pool.lock);
  for (struct vdisk_request *r = l.first; r; r = r->next) r->done = true;
  return l;
}

/* What was not answered comes first the next time. */
static void put_back(struct vdisk *d, struct requests l) {
  if (!l.first) return;
  pthread_mutex_lock(&d->vio->pool.lock);
  l.last->next = d->finished.first;
  d->finished.first = l.first;
  if (!d->finished.last) d->finished.last = l.last;
  pthread_mutex_unlock(&d->vio->pool.lock);
}

i64 vdisk_finish(struct vdisk *d, struct vdisk_answer *answer, u32 room) {
  struct requests all = take_finished(d), later = {0};
  struct vdisk_request *r, *first = d->oldest;
  bool whole = true;
  i64 n = 0;
  while (first && first->done) first = first->newer;
  u64 limit = first ? first->serial + most_ahead(d) : ~(u64)0;
  while ((r = requests_pop(&all))) {
    if (r->serial > limit || n == room) {
      requests_push(&later, r);
      continue;
    }
    mark(r);
    whole &= report(d, r);
    if (r->ack) answer[n++] = (struct vdisk_answer){r->sequence, r->index};
    release(d, r);
  }
  put_back(d, later);
  return whole ? n : -1;
}

/* ---- the beginning ---- */

static struct vdisk_request *request_new(u32 ranges) {
  size_t bytes = sizeof(struct vdisk_request) + ranges * (sizeof(struct range) + sizeof(struct iovec));
  struct vdisk_request *r = malloc(bytes);
  if (!r) return NULL;
  *r = (struct vdisk_request){.ranges = ranges};
  r->range = (struct range *)(void *)(r + 1);
  r->io.part = (struct iovec *)(void *)(r->range + ranges);
  r->io.parts = ranges;
  return r;
}

/* Where a transfer goes, and 0, or the status it fails with. */
static u32 place(const struct vdisk *d, const u8 *raw, u64 *offset, u64 *bytes) {
  u64 block = be64_load(raw + VDISK_BLOCK_AT), size = be64_load(raw + VDISK_BYTES_AT);
  u64 start = 0, blocks = d->file.blocks;
  u8 slice = raw[VDISK_SLICE_AT];
  if (raw[VDISK_OPERATION_AT] == VD_WRITE && d->file.read_only) return EROFS;
  if (size > VDISK_MOST_BYTES) return EINVAL;
  if (raw[VDISK_OPERATION_AT] == VD_FLUSH) return 0;
  if (slice != VDISK_WHOLE && d->sliced) {
    start = d->file.cut[slice].start;
    blocks = d->file.cut[slice].blocks;
    if (!blocks) return ENXIO;
  } else if (slice != VDISK_WHOLE && slice != 0) {
    return ENXIO;
  }
  if (size % VDISK_BLOCK || size / VDISK_BLOCK > d->file.most_blocks) return EINVAL;
  if (size / VDISK_BLOCK > blocks || block > blocks - size / VDISK_BLOCK) return EIO;
  *offset = d->file.base + (start + block) * VDISK_BLOCK;
  *bytes = size;
  return 0;
}

/* The ranges behind a request's cookies. Sets the status of one that cannot be. */
static u32 find(const struct vdisk *d, const u8 *raw, struct range *range, u64 *offset, u64 *bytes, u32 *status) {
  struct cookie cookie[VDISK_MOST_COOKIES];
  u32 count = be32_load(raw + VDISK_COOKIES_AT);
  *status = EINVAL;
  if (count > VDISK_MOST_COOKIES || VDISK_COOKIE_AT + 16 * count > d->ring.entry_bytes) return 0;
  *status = place(d, raw, offset, bytes);
  if (*status) return 0;
  for (u32 i = 0; i < count; i++) {
    const u8 *at = raw + VDISK_COOKIE_AT + 16 * i;
    cookie[i] = (struct cookie){be64_load(at), be64_load(at + 8)};
  }
  u32 right = raw[VDISK_OPERATION_AT] == VD_READ ? LDC_COPY_WRITE : LDC_COPY_READ;
  i64 n = ranges_find(d->vio->domain, endpoint(d), cookie, count, 0, *bytes, right, range, VDISK_RANGES);
  if (n < 0) *status = EIO;
  return n < 0 ? 0 : (u32)n;
}

static void enlist(struct vdisk *d, struct vdisk_request *r) {
  r->disk = d;
  r->serial = ++d->serial;
  r->older = d->newest;
  if (d->newest)
    d->newest->newer = r;
  else
    d->oldest = r;
  d->newest = r;
  d->busy[r->index / 8] |= (u8)(1u << r->index % 8);
  if (++d->counters.in_flight > d->counters.deepest) d->counters.deepest = d->counters.in_flight;
  if (r->status) return;
  d->counters.reads += r->operation == VD_READ;
  d->counters.writes += r->operation == VD_WRITE;
  d->counters.flushes += r->operation == VD_FLUSH;
}

static bool begin(struct vdisk *d, u32 index, u64 sequence, const u8 *raw) {
  static const u8 accepted = VIO_ACCEPTED;
  static const u8 kind[] = {[VD_READ] = IO_READ, [VD_WRITE] = IO_WRITE, [VD_FLUSH] = IO_FLUSH};
  struct range range[VDISK_RANGES];
  u64 offset = 0, bytes = 0;
  u32 status = 0, n = find(d, raw, range, &offset, &bytes, &status);
  struct vdisk_request *r = request_new(n);
  if (!r) return false;
  r->index = index;
  r->sequence = sequence;
  r->status = status;
  r->bytes = bytes;
  r->operation = raw[VDISK_OPERATION_AT];
  r->ack = raw[1] != 0;
  r->io.kind = kind[r->operation];
  r->io.fd = d->file.fd;
  r->io.image = d->file.image;
  r->io.offset = offset;
  r->io.stable = d->file.stable;
  for (u32 i = 0; i < n; i++) {
    r->range[i] = range[i];
    r->io.part[i] = (struct iovec){range[i].host, range[i].bytes};
  }
  if (r->operation == VD_WRITE && !status && offset < d->file.base + VDISK_LABEL_BLOCKS * VDISK_BLOCK) d->sliced = false;
  enlist(d, r);
  ring_write(d, index, 0, &accepted, 1); /* where it cannot be written, DONE cannot either */
  request_begin(d, r);
  return true;
}

static bool for_client(const struct vdisk *d, const u8 *raw) {
  u8 operation = raw[VDISK_OPERATION_AT];
  if ((d->file.fd < 0 && !d->file.image) || operation < VD_READ || operation > VD_FLUSH) return true;
  if (operation == VD_FLUSH || raw[VDISK_SLICE_AT] == VDISK_WHOLE || d->file.slice) return false;
  return !d->sliced || raw[VDISK_SLICE_AT] >= VDISK_SLICES;
}

int vdisk_take(struct vdisk *d, u32 start, u32 count, u64 sequence, u32 *taken) {
  u8 raw[VDISK_ENTRY_BYTES];
  for (*taken = 0; *taken < count; ++*taken) {
    u32 index = (u32)(((u64)start + *taken) % d->ring.entries);
    u64 skip = (u64)index * d->ring.entry_bytes;
    if (!cookies_read(d->vio->domain, endpoint(d), d->ring.cookie, d->ring.cookies, skip, raw, d->ring.entry_bytes)) return -1;
    if (raw[0] != VIO_READY || d->busy[index / 8] >> index % 8 & 1) return VDISK_NOT_READY;
    if (for_client(d, raw)) return VDISK_CLIENT;
    if (d->counters.in_flight >= VDISK_DEPTH) return VDISK_FULL;
    if (!begin(d, index, sequence, raw)) return d->counters.in_flight ? VDISK_FULL : VDISK_CLIENT;
  }
  return VDISK_ALL;
}

/* ---- files, rings, life ---- */

int vdisk_set_file(struct vdisk *d, const struct vdisk_file *f) {
  int fd = f->fd < 0 ? -1 : fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
  if (f->fd >= 0 && fd < 0) return errno;
  if (d->file.fd >= 0) close(d->file.fd);
  if (f->image) image_hold(f->image);
  image_drop(d->file.image);
  d->file = *f;
  d->file.fd = fd;
  d->able = true;
  d->sliced = f->sliced;
  return 0;
}

void vdisk_set_ring(struct vdisk *d, const struct vdisk_ring *ring) { d->ring = *ring; }

void vdisk_forget(struct vdisk *d) {
  d->lane.on = false;
  request_drop_all(d);
  while (d->oldest) {
    mark(d->oldest);
    release(d, d->oldest);
  }
  vdisk_set_file(d, &(struct vdisk_file){.fd = -1});
  d->ring = (struct vdisk_ring){.entries = 1};
}

void vdisk_wait(struct vdisk *d) {
  struct io_pool *p = &d->vio->pool;
  pthread_mutex_lock(&p->lock);
  while (d->at_work) pthread_cond_wait(&p->moved, &p->lock);
  pthread_mutex_unlock(&p->lock);
}

struct vdisk_counters vdisk_counters(struct vdisk *d) { return d->counters; }

struct vdisk *vdisk_of(struct vio *v, u32 channel) { return channel < v->channels ? v->disk[channel] : NULL; }

struct vdisk *vdisk_open(struct vio *v, u32 channel) {
  struct vdisk *d = calloc(1, sizeof *d);
  if (!d || !(d->busy = calloc(1, VDISK_ENTRIES / 8))) {
    free(d);
    return NULL;
  }
  d->vio = v;
  d->channel = channel;
  d->file.fd = -1;
  d->ring.entries = 1;
  v->disk[channel] = d;
  return d;
}

void vdisk_close(struct vio *v, u32 channel) {
  struct vdisk *d = vdisk_of(v, channel);
  if (!d) return;
  vdisk_forget(d);
  v->disk[channel] = NULL;
  free(d->busy);
  free(d);
}

struct vio *vio_new(struct domain *domain, bool at_once, void (*tell)(struct domain *)) {
  struct vio *v = calloc(1, sizeof *v);
  if (!v || !(v->disk = calloc(domain->channels.count + 1, sizeof *v->disk))) {
    free(v);
    return NULL;
  }
  v->domain = domain;
  v->channels = domain->channels.count;
  v->at_once = at_once;
  v->tell = tell;
  io_pool_init(&v->pool, request_done);
  return v;
}

void vio_free(struct vio *v) {
  if (!v) return;
  for (u32 id = 0; id < v->channels; id++) vdisk_close(v, id);
  vio_close_nets(v);
  io_pool_free(&v->pool);
  free(v->disk);
  free(v);
}

void vio_settle(struct vio *v) {
  for (u32 id = 0; id < v->channels; id++)
    if (v->disk[id]) vdisk_wait(v->disk[id]);
}

bool vio_busy(struct vio *v) {
  bool busy = false;
  pthread_mutex_lock(&v->pool.lock);
  for (u32 id = 0; id < v->channels && !busy; id++) busy = v->disk[id] && (v->disk[id]->at_work || v->disk[id]->told);
  pthread_mutex_unlock(&v->pool.lock);
  return busy;
}
