/* image.c - see image.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vio/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct image *image_new(enum image_kind kind, int fd) {
  struct image *i = calloc(1, sizeof *i);
  if (!i) return NULL;
  *i = (struct image){.kind = kind, .users = 1, .fd = -1};
  if (fd >= 0 && (i->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
    free(i);
    return NULL;
  }
  return i;
}

struct image *image_new_file(int fd, u64 base) {
  struct image *i = fd < 0 ? NULL : image_new(IMAGE_FILE, fd);
  if (i) i->base = base;
  return i;
}

struct image *image_new_client(image_io *io, void *self) {
  struct image *i = image_new(IMAGE_CLIENT, -1);
  if (!i) return NULL;
  i->io = io;
  i->self = self;
  return i;
}

void image_hold(struct image *i) { __atomic_fetch_add(&i->users, 1, __ATOMIC_RELAXED); }

void image_drop(struct image *i) {
  if (!i || __atomic_fetch_sub(&i->users, 1, __ATOMIC_ACQ_REL) != 1) return;
  if (i->overlay) overlay_free(i->overlay);
  if (i->fd >= 0) close(i->fd);
  free(i);
}

/* -- the client's: one call for a request, however many pieces of memory it has */

static void spread(struct io_job *j, u8 *bytes, u64 n) {
  while (n) {
    u64 piece = j->part->iov_len < n ? j->part->iov_len : n;
    if (j->kind == IO_READ)
      memcpy(j->part->iov_base, bytes, piece);
    else
      memcpy(bytes, j->part->iov_base, piece);
    io_advance(j, piece);
    bytes += piece;
    n -= piece;
  }
}

static int client_move(struct image *i, struct io_job *j, u64 bytes) {
  u64 offset = j->offset;
  if (j->parts && j->part->iov_len >= bytes) {
    int error = i->io(i->self, j->kind, offset, j->part->iov_base, bytes);
    if (!error) io_advance(j, bytes);
    return error;
  }
  u8 *buffer = malloc(bytes);
  if (!buffer) return ENOMEM;
  if (j->kind == IO_WRITE) spread(j, buffer, bytes);
  int error = i->io(i->self, j->kind, offset, buffer, bytes);
  if (!error && j->kind == IO_READ) spread(j, buffer, bytes);
  free(buffer);
  return error;
}

int image_move(struct image *i, struct io_job *j, u64 bytes) {
  if (!bytes) return 0;
  if (i->kind == IMAGE_CLIENT) return client_move(i, j, bytes);
  if (i->kind == IMAGE_OVERLAY) return overlay_move(i, j, bytes);
  return io_some(j, i->fd, i->base + j->offset, bytes);
}

int image_flush(struct image *i) {
  if (i->kind == IMAGE_CLIENT) return i->io(i->self, IO_FLUSH, 0, NULL, 0);
  return i->kind == IMAGE_OVERLAY ? overlay_flush(i) : io_settle(i->fd);
}

bool image_place(struct image *i, const struct io_job *j, u64 bytes, int *fd, u64 *at) {
  if (i->kind == IMAGE_CLIENT) return false;
  if (i->kind == IMAGE_OVERLAY) return overlay_place(i, j, bytes, fd, at);
  *fd = i->fd;
  *at = i->base + j->offset;
  return true;
}
