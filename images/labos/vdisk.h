/* vdisk.h - virtual disks: requests to a disk server over a channel.
 *
 * A disk whose description has several ports has several paths (a multipathing group): all channels are kept open, and
 * requests go over the active one. Another takes over when that is lost or gives an I/O error, or when the manager has
 * selected one: the port with the lowest id.
 */
#ifndef LABOS_VDISK_H
#define LABOS_VDISK_H
#include "dr_devices.h"
#include "vio.h"

enum { DISK_BLOCK = 512, DISK_SLOTS = 8, DISK_TRANSFER = 65536, DISKS = 16, DISK_PATHS = 4 };
enum disk_operation {
  DISK_READ = 1, DISK_WRITE = 2, DISK_FLUSH = 3, DISK_GET_WCE = 4, DISK_GET_VTOC = 6, DISK_SET_VTOC = 7,
  DISK_GET_GEOMETRY = 8, DISK_GET_EFI = 0xc, DISK_SET_EFI = 0xd, DISK_GET_CAPACITY = 0x11
};

struct disk_descriptor {
  u8 state, ack, reserved[6];
  u64 request;
  u8 operation, slice;
  u16 reserved1;
  u32 status;
  u64 block, bytes;
  u32 cookies, reserved2;
  struct vio_cookie cookie;
};

enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_SENT, SLOT_DONE };

/* One of the ring's descriptors, and the memory its data go through. */
struct disk_slot {
  u8 state;
  u8 operation;
  u8 path;   /* over which it was sent */
  u8 failed; /* paths that have given an error, bit by bit */
  u32 status;
  u64 number, block, bytes, since_ns;
  u8 *buffer;
};

/* A channel to the disk. */
struct disk_path {
  struct vio vio;
  struct disk *disk;
  u64 port; /* id of the port in the description: the lowest is the selected path */
  struct disk_descriptor *ring;
  u64 ring_cookie, buffer_cookie[DISK_SLOTS], sequence;
};

struct disk {
  char name[8]; /* c0d0 */
  u64 number;   /* cfg-handle */
  bool present; /* the machine description has it, and it is not unconfigured */
  bool unconfigured; /* by the manager, until it configures it again or the description loses it */
  u32 users; /* commands that work on it */
  u64 timeout_ns, down_ns; /* down: since when no path is there */
  struct spinlock lock;
  struct disk_path path[DISK_PATHS]; /* those whose channel is open, and places for others */
  u32 active;
  u64 selected; /* the selected path's channel */
  u64 blocks, operations, most_bytes;
  u8 media, type;
  u64 requests, resent, switched;
  u32 next; /* the slot for the next request */
  struct disk_slot slot[DISK_SLOTS];
  struct timer watch;
};

static inline struct vio *disk_vio(struct disk *disk) { return &disk->path[disk->active].vio; }
static inline bool disk_running(struct disk *disk) { return disk_vio(disk)->state == VIO_RUNNING; }
/* Attach to the disks of the machine description; again after it has changed. */
void disks_scan(void);
struct disk *disk_at(u32 index); /* NULL: past the last */
struct disk *disk_named(const char *name);
void disks_resumed(void);
/* While somebody holds a disk it is busy: the manager has to use force. */
void disk_hold(struct disk *disk);
void disk_release(struct disk *disk);
extern const struct device_class disk_class; /* dr-vio */

/* Waits until the server is there, its timeout of the description at most. false: it is not. */
bool disk_ready(struct disk *disk);
/* Status of the request: 0, or an errno of Solaris as the server gives it. From a thread. bytes: at most
 * disk->most_bytes, a multiple of 512 for reads and writes. A request outlives resets of the channel. */
u32 disk_request(struct disk *disk, enum disk_operation operation, u64 block, void *data, size_t bytes);
/* Any length in blocks. */
u32 disk_read(struct disk *disk, u64 block, void *data, u64 blocks);
u32 disk_write(struct disk *disk, u64 block, const void *data, u64 blocks);
#endif
