/* pool.c - see pool.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vio/pool.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "vio/image.h"

enum { STACK_BYTES = 512 << 10 }; /* a client's functions (image.h) run on it too */

/* ---- one job ---- */

void io_advance(struct io_job *j, u64 bytes) {
  j->offset += bytes;
  while (j->parts && bytes >= j->part->iov_len) {
    bytes -= j->part->iov_len;
    j->part++, j->parts--;
  }
  if (!bytes) return;
  j->part->iov_base = (u8 *)j->part->iov_base + bytes;
  j->part->iov_len -= bytes;
}

/* At most `bytes` bytes, by one call of the host. */
static ssize_t move(const struct io_job *j, int fd, u64 at, u64 bytes, int flags) {
  u64 sum = 0;
  int n = 0;
  while ((u32)n < j->parts && n < IOV_MAX && sum < bytes) sum += j->part[n++].iov_len;
  u64 over = sum > bytes ? sum - bytes : 0;
  if (n) j->part[n - 1].iov_len -= over;
  ssize_t moved = j->kind == IO_READ ? preadv2(fd, j->part, n, (off_t)at, flags) : pwritev2(fd, j->part, n, (off_t)at, flags);
  if (n) j->part[n - 1].iov_len += over;
  return moved;
}

int io_some(struct io_job *j, int fd, u64 at, u64 bytes) {
  while (bytes) {
    ssize_t n = move(j, fd, at, bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO; /* the file has become shorter; or a device takes nothing and gives no reason */
    io_advance(j, (u64)n);
    at += (u64)n;
    bytes -= (u64)n;
  }
  return 0;
}

static u64 left(const struct io_job *j) {
  u64 bytes = 0;
  for (u32 i = 0; i < j->parts; i++) bytes += j->part[i].iov_len;
  return bytes;
}

int io_settle(int fd) {
  while (fdatasync(fd) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

static int transfer(struct io_job *j) {
  return j->image ? image_move(j->image, j, left(j)) : io_some(j, j->fd, j->offset, left(j));
}

static int settle(const struct io_job *j) { return j->image ? image_flush(j->image) : io_settle(j->fd); }

void io_do(struct io_job *j) {
  j->error = j->kind == IO_FLUSH ? 0 : transfer(j);
  if (!j->error && (j->kind == IO_FLUSH || (j->kind == IO_WRITE && j->stable))) j->error = settle(j);
}

bool io_try(struct io_job *j, bool *able) {
  if (j->kind == IO_FLUSH || (j->kind == IO_WRITE && j->stable) || !*able) return false;
  u64 bytes = left(j), at = j->offset;
  int fd = j->fd;
  if (bytes && j->image && !image_place(j->image, j, bytes, &fd, &at)) return false;
  ssize_t n = bytes ? move(j, fd, at, bytes, RWF_NOWAIT) : 0;
  if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) *able = false;
  if (n > 0) io_advance(j, (u64)n);
  j->error = 0;
  return j->parts == 0; /* what is wrong the worker will meet again, and tell */
}

/* ---- workers ---- */

static struct io_job *take(struct io_pool *p) {
  struct io_job *j = p->first;
  if (!j) return NULL;
  p->first = j->next;
  if (!p->first) p->last = NULL;
  p->queued--;
  return j;
}

static void *work(void *pool) {
  struct io_pool *p = pool;
  pthread_mutex_lock(&p->lock);
  for (;;) {
    struct io_job *j = take(p);
    if (j) {
      pthread_mutex_unlock(&p->lock);
      io_do(j);
      pthread_mutex_lock(&p->lock);
      p->done(j);
      pthread_cond_broadcast(&p->moved);
    } else if (p->quit) {
      break;
    } else {
      p->idle++;
      pthread_cond_wait(&p->work, &p->lock);
      p->idle--;
    }
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* Signals are for the threads of the client, also the one of a file that grows too large. */
static bool add_worker(struct io_pool *p) {
  pthread_attr_t attr;
  sigset_t all, before;
  if (pthread_attr_init(&attr) != 0) return false;
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool made = pthread_create(&p->worker[p->workers], &attr, work, p) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  if (made) p->workers++;
  return made;
}

bool io_pool_put(struct io_pool *p, struct io_job *j) {
  if (p->queued >= p->idle && p->workers < IO_WORKERS && !add_worker(p) && !p->workers) return false;
  j->next = NULL;
  if (p->last)
    p->last->next = j;
  else
    p->first = j;
  p->last = j;
  p->queued++;
  pthread_cond_signal(&p->work);
  return true;
}

void io_pool_cancel(struct io_pool *p, bool (*owned)(const struct io_job *, const void *), void (*back)(struct io_job *),
                    const void *owner) {
  struct io_job *all = p->first, *next;
  p->first = p->last = NULL;
  p->queued = 0;
  for (struct io_job *j = all; j; j = next) {
    next = j->next;
    j->next = NULL;
    if (owned(j, owner)) {
      back(j);
      continue;
    }
    if (p->last)
      p->last->next = j;
    else
      p->first = j;
    p->last = j;
    p->queued++;
  }
}

void io_pool_init(struct io_pool *p, void (*done)(struct io_job *)) {
  *p = (struct io_pool){.done = done};
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->work, NULL);
  pthread_cond_init(&p->moved, NULL);
}

void io_pool_free(struct io_pool *p) {
  pthread_mutex_lock(&p->lock);
  p->quit = true;
  pthread_cond_broadcast(&p->work);
  pthread_mutex_unlock(&p->lock);
  for (u32 i = 0; i < p->workers; i++) pthread_join(p->worker[i], NULL);
  pthread_cond_destroy(&p->moved);
  pthread_cond_destroy(&p->work);
  pthread_mutex_destroy(&p->lock);
}
