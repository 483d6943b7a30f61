/* vdisk.h - the data path of virtual disks: requests of a ring of descriptors, between a file and guest memory.
 *
 *   guest's ring ─ vdisk_take ─▶ request ─▶ done at once, or by a worker (pool.h) ─▶ vdisk_finish ─ status, DONE ─▶ ring
 *
 * The client keeps the session and every operation but READ, WRITE and FLUSH. All functions are for who has the domain: the
 * client's thread between runs, else under the domain's lock. Only workers run beside that, and they touch nothing but host
 * memory that was resolved here, and files. docs/internals/vio.md. Sources: UltraSPARC Virtual Machine
 * Specification 3.0, chapter 28; Linux 6.1, drivers/block/sunvdc.c.
 */
#ifndef S4V_VIO_VDISK_H
#define S4V_VIO_VDISK_H
#include "vio/image.h"
#include "vio/ranges.h"

enum {
  VDISK_BLOCK = 512, VDISK_MOST_BYTES = 1 << 20, /* of a request */
  VDISK_MOST_COOKIES = 256, VDISK_RING_COOKIES = 24, VDISK_ENTRIES = 1 << 16, VDISK_ENTRY_BYTES = 4096,
  VDISK_DEPTH = 512, /* requests in flight */
  VDISK_STATUSES = 256, VDISK_WHOLE = 0xff, VDISK_SLICES = 8,
  VDISK_LABEL_BLOCKS = 64, /* a write there may be a new table of slices */
};
enum vio_state { VIO_READY = 2, VIO_ACCEPTED = 3, VIO_DONE = 4 }; /* byte 0 of a descriptor; byte 1: acknowledge it */
enum { /* of a descriptor */
  VDISK_OPERATION_AT = 16, VDISK_SLICE_AT = 17, VDISK_STATUS_AT = 20, VDISK_BLOCK_AT = 24, VDISK_BYTES_AT = 32,
  VDISK_COOKIES_AT = 40, VDISK_COOKIE_AT = 48,
};
enum vdisk_operation { VD_READ = 1, VD_WRITE = 2, VD_FLUSH = 3 };
/* Why vdisk_take stopped: all were taken; one is not ready; one is for the client; no more fit before some are finished. */
enum vdisk_stop { VDISK_ALL = 0, VDISK_NOT_READY = 1, VDISK_CLIENT = 2, VDISK_FULL = 3 };

struct vdisk_file {
  int fd;           /* a copy of it is kept; -1: none */
  struct image *image; /* behind the disk instead of a file; it is held. NULL: none */
  u64 base, blocks; /* where the disk begins in the file, and its size */
  u32 most_blocks;  /* of a request */
  bool read_only, stable, slice; /* stable: writes are on stable storage before they are done; slice: a disk of one slice */
  u8 status[VDISK_STATUSES];     /* errno -> what the guest reads */
  bool sliced;                   /* the table is known; until it may have changed (vdisk.sliced) */
  struct { u64 start, blocks; } cut[VDISK_SLICES]; /* 0 blocks: there is no such slice */
};

struct vdisk_ring {
  u32 entries, entry_bytes, cookies;
  struct cookie cookie[VDISK_RING_COOKIES];
};

struct vdisk_counters { u64 reads, writes, flushes, errors, read_bytes, written_bytes; u32 in_flight, deepest; };

struct vdisk_answer { u64 sequence; u32 index; };

/* A session whose plain requests need no client (lane.c): its id, its ring's, and the counters of its link. */
struct vdisk_lane { u64 ident; u32 session, received, sent; bool on, broken; };

struct vio; /* the disks of a machine, and the workers they share */

struct vio *vio_new(struct domain *, bool at_once, void (*tell)(struct domain *)); /* NULL: no host memory */
void vio_free(struct vio *);      /* requests that wait are dropped, those at work are waited for */
void vio_settle(struct vio *);    /* no worker has anything any more; finished requests wait for vdisk_finish */
bool vio_busy(struct vio *);      /* requests are at work, or the news of one that is done has not been taken */

struct vdisk *vdisk_of(struct vio *, u32 channel);           /* NULL: none */
struct vdisk *vdisk_open(struct vio *, u32 channel);         /* makes it; NULL: no host memory */
void vdisk_close(struct vio *, u32 channel);
/* Another file; requests must be finished. 0 or an errno. */
int vdisk_set_file(struct vdisk *, const struct vdisk_file *);
void vdisk_set_ring(struct vdisk *, const struct vdisk_ring *);
/* No ring and no file any more: what waits is dropped, what is at work is waited for, and nobody hears of it. */
void vdisk_forget(struct vdisk *);

/* Takes descriptors from `start` on, at most `count`; they are answered under `sequence`. Their number goes to *taken.
 * enum vdisk_stop, or -1: the ring is not there. */
int vdisk_take(struct vdisk *, u32 start, u32 count, u64 sequence, u32 *taken);
/* Finished requests in order: status and DONE are written; answers[] are those to acknowledge. Returns their number, at
 * most `room` (then there may be more: call again), or -1: the ring is not there. */
i64 vdisk_finish(struct vdisk *, struct vdisk_answer *, u32 room);
void vdisk_wait(struct vdisk *);  /* until no worker has a request of it */
struct vdisk_counters vdisk_counters(struct vdisk *);

/* lane.c */
void vdisk_lend(struct vdisk *, const struct vdisk_lane *);
struct vdisk_lane vdisk_take_back(struct vdisk *);
bool vdisk_is_lent(const struct vdisk *); /* false as well: the ring has gone */
u32 vdisk_packets(struct vdisk *);  /* the guest has sent, or made room: enum host_packets of hyp/hyp.h */
bool vio_answer(struct vio *);      /* what is finished; false: some of it is for the client */

#endif
