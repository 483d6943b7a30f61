/* image.c - images of disks (csrc/vio/image.h) for the client. */
#include <errno.h>

#include "machine/machine.h"

_Static_assert(S4V_IMAGE_READ == (int)IO_READ && S4V_IMAGE_WRITE == (int)IO_WRITE && S4V_IMAGE_FLUSH == (int)IO_FLUSH, "one table");

static struct image *inner(s4v_image *i) { return (struct image *)(void *)i; }
static s4v_image *outer(struct image *i) { return (s4v_image *)(void *)i; }

s4v_image *s4v_image_file(int fd, uint64_t base) { return outer(image_new_file(fd, base)); }

s4v_image *s4v_image_client(s4v_image_io io, void *self) { return outer(image_new_client(io, self)); }

s4v_image *s4v_image_overlay(int fd, const s4v_overlay_layout *l, const void *map, size_t map_bytes, s4v_image *below) {
  if (!below || !l->size || l->size > (u64)1 << 50 || map_bytes != overlay_map_bytes(l->size)) return NULL;
  struct overlay_layout layout = {.size = l->size, .data_at = l->data_at, .stable_at = l->stable_at,
                                  .recent_at = l->recent_at, .kept = l->kept != 0, .unstable = l->unstable != 0};
  return outer(image_new_overlay(fd, &layout, map, inner(below)));
}

void s4v_image_drop(s4v_image *i) { image_drop(inner(i)); }

static int whole(s4v_image *i, u8 kind, u64 offset, void *bytes, u64 n) {
  struct iovec part = {bytes, n};
  struct io_job j = {.kind = kind, .offset = offset, .part = &part, .parts = 1};
  return image_move(inner(i), &j, n);
}

int s4v_image_read(s4v_image *i, uint64_t offset, void *bytes, uint64_t n) { return whole(i, IO_READ, offset, bytes, n); }

int s4v_image_write(s4v_image *i, uint64_t offset, const void *bytes, uint64_t n) {
  return whole(i, IO_WRITE, offset, (void *)(uintptr_t)bytes, n);
}

int s4v_image_flush(s4v_image *i) { return image_flush(inner(i)); }

int s4v_overlay_map(s4v_image *i, void *map, size_t map_bytes) {
  struct overlay *o = inner(i)->overlay;
  return o && overlay_map(o, map, map_bytes) ? S4V_OK : S4V_EINVAL;
}

int s4v_overlay_failed(s4v_image *i) { return inner(i)->overlay ? overlay_failed(inner(i)->overlay) : 0; }
