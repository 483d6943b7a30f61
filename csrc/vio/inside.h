/* inside.h - what the files of csrc/vio share among themselves. */
#ifndef S4V_VIO_INSIDE_H
#define S4V_VIO_INSIDE_H
#include "vio/vdisk.h"

/* Of a request: cookies cut at pages. */
enum { VDISK_RANGES = 2 * VDISK_MOST_COOKIES + VDISK_MOST_BYTES / PAGE_BYTES };

struct vdisk_request {
  struct io_job io; /* first */
  struct vdisk *disk;
  struct vdisk_request *older, *newer; /* all in flight, by age */
  struct vdisk_request *next;          /* in the list of those done, or of flushes that wait */
  u64 serial, sequence, bytes;
  u32 index, status;
  u32 awaits;     /* a flush: writes that were taken before it and are not done */
  u8 operation;
  bool ack, done;
  u32 ranges;
  struct range *range; /* behind the structure, as are io.part's */
};

struct requests { struct vdisk_request *first, *last; };

struct vdisk {
  struct vio *vio;
  u32 channel;
  struct vdisk_file file;
  struct vdisk_ring ring;
  bool sliced;        /* file.cut is what the label says */
  bool able;          /* the file may be asked for what needs no waiting */
  u8 *busy;           /* a bit for each descriptor in flight */
  u64 serial;
  struct vdisk_counters counters;
  struct vdisk_lane lane;
  struct vdisk_request *oldest, *newest;
  /* Under the pool's lock: */
  struct requests finished, flushes;
  u32 at_work;        /* requests that a worker has, or will have */
  u32 writes;         /* of these */
  bool told;          /* the client knows that some are finished */
};

struct vio {
  struct io_pool pool;
  struct domain *domain;
  bool at_once;       /* deterministic: no workers, all in order */
  void (*tell)(struct domain *);
  struct vdisk **disk; /* by channel */
  u32 channels;
  struct vnet *nets;   /* vnet.h */
  u32 nets_lent;
};

void vio_close_nets(struct vio *); /* vnet.c */

/* request.c */
void request_begin(struct vdisk *, struct vdisk_request *);
void request_done(struct io_job *);                     /* io_pool.done */
void request_drop_all(struct vdisk *);
void requests_push(struct requests *, struct vdisk_request *);
struct vdisk_request *requests_pop(struct requests *);

#endif
