/* image.h - what is behind a disk whose bytes are not those of one file: an overlay, or a disk of the client's.
 *
 *   file     a descriptor, from an offset on
 *   overlay  our own format: clusters that were written, in a file of their own; the rest from the image below (overlay.c)
 *   client   functions of the client, which any thread calls, several at once
 *
 * Images are counted: who makes one holds it. All functions may be called by any thread. docs/internals/disks.md.
 */
#ifndef S4V_VIO_IMAGE_H
#define S4V_VIO_IMAGE_H
#include "vio/pool.h"

enum { OVERLAY_CLUSTER = 32 << 10 };

/* The client's: moves all n bytes, or for IO_FLUSH none. 0 or an errno. */
typedef int image_io(void *self, u32 kind, u64 offset, void *bytes, u64 n);

struct overlay_layout {
  u64 size;                 /* of the disk; its byte b is byte data_at + b of the file */
  u64 data_at, stable_at, recent_at;
  bool kept;                /* the file outlives us: maps are written, and flushes mean something */
  bool unstable;            /* the map has bits that the stable map has not */
};

struct overlay;
struct image {
  enum image_kind { IMAGE_FILE, IMAGE_OVERLAY, IMAGE_CLIENT } kind;
  u32 users;
  int fd;                   /* of a file or an overlay; ours */
  u64 base;                 /* where the disk begins in it */
  struct overlay *overlay;
  image_io *io;
  void *self;
};

/* NULL: no host memory, no descriptor. Of `fd` a copy is kept. */
struct image *image_new_file(int fd, u64 base);
struct image *image_new_client(image_io *, void *self);
struct image *image_new_overlay(int fd, const struct overlay_layout *, const u8 *map, struct image *below); /* holds `below` */
void image_hold(struct image *);
void image_drop(struct image *);

/* The next `bytes` bytes of a job, between image and memory. 0 or an errno. */
int image_move(struct image *, struct io_job *, u64 bytes);
int image_flush(struct image *);
/* Where all of a job is, if it is in one run of one file; false: it is not, or it takes more than moving bytes. */
bool image_place(struct image *, const struct io_job *, u64 bytes, int *fd, u64 *at);

/* overlay.c */
int overlay_move(struct image *, struct io_job *, u64 bytes);
int overlay_flush(struct image *);
bool overlay_place(struct image *, const struct io_job *, u64 bytes, int *fd, u64 *at);
void overlay_free(struct overlay *);
u64 overlay_map_bytes(u64 size);
bool overlay_map(struct overlay *, u8 *map, u64 bytes); /* false: it has another size */
int overlay_failed(struct overlay *); /* the last write's errno, or 0 */

#endif
