/* pool.h - worker threads that move bytes between files of the host and memory.
 *
 *   io_pool_put ──▶ queue ──▶ a worker: preadv, pwritev, fdatasync ──▶ done()
 *
 * Workers are made when a job finds none that is idle, and stay. A worker knows host addresses and file descriptors, and
 * nothing of guests: who puts a job sees to it that both stay until it is done. docs/internals/vio.md.
 */
#ifndef S4V_VIO_POOL_H
#define S4V_VIO_POOL_H
#include <pthread.h>
#include <sys/uio.h>

#include "util/types.h"

enum { IO_WORKERS = 8 };
enum io_kind { IO_READ, IO_WRITE, IO_FLUSH };

struct io_job {
  struct io_job *next;
  u8 kind;      /* enum io_kind */
  bool stable;  /* a write: on stable storage before it is done */
  int fd;
  struct image *image; /* behind the disk instead of the file (image.h), or NULL */
  u64 offset;
  struct iovec *part; /* consumed as bytes move */
  u32 parts;
  int error;    /* when done: 0 or an errno */
};

struct io_pool {
  pthread_mutex_t lock; /* of everything here, and of what its user shares with `done` */
  pthread_cond_t work;  /* there is a job, or it is time to quit */
  pthread_cond_t moved; /* a job is done */
  struct io_job *first, *last;
  u32 queued, workers, idle;
  bool quit;
  void (*done)(struct io_job *); /* by a worker, under the lock */
  pthread_t worker[IO_WORKERS];
};

void io_pool_init(struct io_pool *, void (*done)(struct io_job *));
void io_pool_free(struct io_pool *);                  /* no job is queued any more; those that run are waited for */
bool io_pool_put(struct io_pool *, struct io_job *);  /* under the lock. false: the host gives no thread */
/* Takes back, under the lock, the jobs of an owner that no worker has begun; they are not done. */
void io_pool_cancel(struct io_pool *, bool (*owned)(const struct io_job *, const void *), void (*back)(struct io_job *),
                    const void *owner);

void io_do(struct io_job *);       /* by the caller itself, to the end */
/* Parts of that: `bytes` bytes more have moved; the next `bytes` of a file (0 or an errno); all of a file is stable. */
void io_advance(struct io_job *, u64 bytes);
int io_some(struct io_job *, int fd, u64 at, u64 bytes);
int io_settle(int fd);
/* What can be done without waiting for a device. True: all of it. `able`: false from when the file refuses to be asked. */
bool io_try(struct io_job *, bool *able);

#endif
