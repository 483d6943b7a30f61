/* vdisk_host.h - the host's file calls as the tests of the disk path want them: preadv2, pwritev2 and fdatasync of this
 * program, in front of the C library's. They count, cut transfers short, are interrupted, fail, and wait at a gate. */
#ifndef S4V_TESTS_VDISK_HOST_H
#define S4V_TESTS_VDISK_HOST_H
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

enum { ANYWHERE = -1, NO_WAIT = 8 /* RWF_NOWAIT */ };

static struct {
  pthread_mutex_t lock;
  pthread_cond_t moved;
  long gate;           /* transfers of this offset wait; ANYWHERE: all do */
  int closed, waiting; /* the gate, and who is at it */
  int transfers, syncs;
  int spoil;           /* cut short and interrupt by chance */
  int error, error_at; /* the transfer of this offset fails; ANYWHERE: all do, LONG: none */
  int sync_error;
  unsigned long long chance;
} host = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER, .error_at = INT_MAX};

static inline void host_gate(int closed, long offset) {
  pthread_mutex_lock(&host.lock);
  host.closed = closed;
  host.gate = offset;
  pthread_cond_broadcast(&host.moved);
  pthread_mutex_unlock(&host.lock);
}

/* Cut short by chance; the transfer of an offset fails. */
static inline void host_trouble(int spoil, int error, int at) {
  pthread_mutex_lock(&host.lock);
  host.spoil = spoil;
  host.error = error;
  host.error_at = at;
  pthread_mutex_unlock(&host.lock);
}

static inline int host_waiting(void) {
  pthread_mutex_lock(&host.lock);
  int n = host.waiting;
  pthread_mutex_unlock(&host.lock);
  return n;
}

static inline void host_await(int waiting) {
  pthread_mutex_lock(&host.lock);
  while (host.waiting < waiting) pthread_cond_wait(&host.moved, &host.lock);
  pthread_mutex_unlock(&host.lock);
}

static inline int host_syncs(void) {
  pthread_mutex_lock(&host.lock);
  int n = host.syncs;
  pthread_mutex_unlock(&host.lock);
  return n;
}

/* Waits, fails (-1, errno) or says how many bytes of the first part may move: 0, all of everything. */
static ssize_t host_transfer(const struct iovec *part, long offset, int flags) {
  ssize_t most = 0;
  pthread_mutex_lock(&host.lock);
  int shut = host.closed && (host.gate == ANYWHERE || host.gate == offset);
  int fails = host.error_at == ANYWHERE || host.error_at == offset;
  if (shut && flags & NO_WAIT) {
    pthread_mutex_unlock(&host.lock);
    errno = EAGAIN;
    return -1;
  }
  host.waiting += shut;
  pthread_cond_broadcast(&host.moved);
  while (shut && host.closed) pthread_cond_wait(&host.moved, &host.lock);
  host.waiting -= shut;
  host.transfers++;
  int roll = host.spoil ? (int)(random_next(&host.chance) % 4) : 3;
  if (roll == 0) most = -1, errno = EINTR;
  if (roll == 1) most = (ssize_t)(1 + random_next(&host.chance) % part->iov_len);
  if (fails) most = -1, errno = host.error;
  pthread_mutex_unlock(&host.lock);
  return most;
}

static ssize_t host_move(long call, int fd, const struct iovec *part, int parts, long offset, int flags) {
  ssize_t most = host_transfer(part, offset, flags);
  if (most < 0) return -1;
  struct iovec one = {.iov_base = part->iov_base, .iov_len = (size_t)most};
  return syscall(call, fd, most ? &one : part, most ? 1 : parts, offset, 0, flags);
}

ssize_t preadv2(int fd, const struct iovec *part, int parts, off_t offset, int flags) {
  return host_move(SYS_preadv2, fd, part, parts, offset, flags);
}

ssize_t pwritev2(int fd, const struct iovec *part, int parts, off_t offset, int flags) {
  return host_move(SYS_pwritev2, fd, part, parts, offset, flags);
}

int fdatasync(int fd) {
  pthread_mutex_lock(&host.lock);
  host.syncs++;
  int error = host.sync_error;
  pthread_cond_broadcast(&host.moved);
  pthread_mutex_unlock(&host.lock);
  if (!error) return (int)syscall(SYS_fdatasync, fd);
  errno = error;
  return -1;
}

#endif
