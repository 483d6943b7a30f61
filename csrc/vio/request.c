/* request.c - one request from its beginning to where the client takes it: at once, or by way of a worker.
 *
 * A flush waits for the writes that were taken before it; everything else goes on beside each other.
 */
#include <errno.h>
#include <stdlib.h>

#include "vio/inside.h"

void requests_push(struct requests *l, struct vdisk_request *r) {
  r->next = NULL;
  if (l->last)
    l->last->next = r;
  else
    l->first = r;
  l->last = r;
}

struct vdisk_request *requests_pop(struct requests *l) {
  struct vdisk_request *r = l->first;
  if (!r) return NULL;
  l->first = r->next;
  if (!l->first) l->last = NULL;
  return r;
}

static struct vdisk_request *request_of(struct io_job *j) { return (struct vdisk_request *)(void *)j; }

/* Under the lock. A job that no thread can be found for is done here and now. */
static void to_worker(struct vdisk_request *r) {
  struct io_pool *p = &r->disk->vio->pool;
  if (io_pool_put(p, &r->io)) return;
  io_do(&r->io);
  request_done(&r->io);
}

/* Flushes that waited for this write, and now for none. */
static void write_done(struct vdisk *d, u64 serial) {
  struct requests wait = d->flushes;
  struct vdisk_request *r;
  d->writes--;
  d->flushes = (struct requests){0};
  while ((r = requests_pop(&wait))) {
    if (r->serial > serial) r->awaits--;
    if (r->awaits)
      requests_push(&d->flushes, r);
    else
      to_worker(r);
  }
}

void request_done(struct io_job *j) {
  struct vdisk_request *r = request_of(j);
  struct vdisk *d = r->disk;
  d->at_work--;
  requests_push(&d->finished, r);
  if (r->operation == VD_WRITE) write_done(d, r->serial);
  if (d->told) return;
  d->told = true;
  d->vio->tell(d->vio->domain);
}

static void finished_at_once(struct vdisk *d, struct vdisk_request *r) {
  pthread_mutex_lock(&d->vio->pool.lock);
  requests_push(&d->finished, r);
  pthread_mutex_unlock(&d->vio->pool.lock);
}

void request_begin(struct vdisk *d, struct vdisk_request *r) {
  bool none = r->status || (r->operation == VD_FLUSH && d->file.read_only);
  if (!none && d->vio->at_once) io_do(&r->io);
  if (none || d->vio->at_once || io_try(&r->io, &d->able)) {
    finished_at_once(d, r);
    return;
  }
  pthread_mutex_lock(&d->vio->pool.lock);
  d->at_work++;
  r->awaits = r->operation == VD_FLUSH ? d->writes : 0;
  d->writes += r->operation == VD_WRITE;
  if (r->awaits)
    requests_push(&d->flushes, r);
  else
    to_worker(r);
  pthread_mutex_unlock(&d->vio->pool.lock);
}

static bool is_of(const struct io_job *j, const void *disk) {
  return ((const struct vdisk_request *)(const void *)j)->disk == disk;
}

static void dropped(struct io_job *j) { request_of(j)->disk->at_work--; }

void request_drop_all(struct vdisk *d) {
  struct io_pool *p = &d->vio->pool;
  pthread_mutex_lock(&p->lock);
  while (requests_pop(&d->flushes)) d->at_work--;
  io_pool_cancel(p, is_of, dropped, d);
  while (d->at_work) pthread_cond_wait(&p->moved, &p->lock);
  d->writes = 0;
  d->finished = (struct requests){0};
  d->told = false;
  pthread_mutex_unlock(&p->lock);
}
