/* vio.h - the virtual I/O protocol of disks and networks: messages, and the handshake from the client's side.
 *
 *   VERSION INFO -> ACK, ATTRIBUTES INFO -> ACK, RING INFO -> ACK with an ident, RDX INFO -> ACK: data may flow
 *
 * An answer is the message itself with another subtype and the values agreed upon. On networks both ends introduce
 * themselves: each also answers the other's INFOs. The processor's byte order is the wire's.
 * Source: UltraSPARC Virtual Machine Specification 3.0, chapter 28.
 */
#ifndef LABOS_VIO_H
#define LABOS_VIO_H
#include "ldc.h"

enum vio_type { VIO_CTRL = 1, VIO_DATA = 2, VIO_ERROR = 4 };
enum vio_subtype { VIO_INFO = 1, VIO_ACK = 2, VIO_NACK = 4 };
enum vio_what {
  VIO_VERSION = 1, VIO_ATTRIBUTES = 2, VIO_RING = 3, VIO_RING_GONE = 4, VIO_RDX = 5,
  VIO_PACKET = 0x40, VIO_RING_DATA = 0x42
};
enum vio_class { VIO_NETWORK = 1, VIO_SWITCH = 2, VIO_DISK = 3, VIO_DISK_SERVER = 4 };
enum vio_descriptor_state { VIO_FREE = 1, VIO_READY = 2, VIO_ACCEPTED = 3, VIO_DONE = 4 };
enum vio_ring_state { VIO_ACTIVE = 1, VIO_STOPPED = 2 };
enum { VIO_MESSAGE = 56, VIO_RING_COOKIES = 2, VIO_TX_RING = 1 };
#define VIO_OPEN_END 0xffffffffu

struct vio_tag {
  u8 type, subtype;
  u16 what;
  u32 session;
};
struct vio_cookie {
  u64 address, bytes;
};
union vio_message {
  struct vio_tag tag;
  struct {
    struct vio_tag tag;
    u16 major, minor;
    u8 device_class;
  } version;
  struct {
    struct vio_tag tag;
    u8 mode, type, media, reserved;
    u32 block_bytes;
    u64 operations, blocks, most_blocks;
    u32 physical_block_bytes;
  } disk;
  struct {
    struct vio_tag tag;
    u8 mode, address_type;
    u16 ack_every;
    u8 link_updates, options;
    u16 reserved;
    u64 address, mtu;
    u16 flags, segment_most;
  } network;
  struct {
    struct vio_tag tag;
    u64 ident;
    u32 entries, entry_bytes;
    u16 options, reserved;
    u32 cookies;
    struct vio_cookie cookie[VIO_RING_COOKIES];
  } ring;
  struct {
    struct vio_tag tag;
    u64 sequence, ident;
    u32 start, end;
    u8 state;
  } data;
  u8 bytes[64];
};

enum vio_state { VIO_IDLE, VIO_NEGOTIATING, VIO_RUNNING, VIO_REFUSED };

struct vio {
  struct ldc_channel channel;
  u8 state, device_class;
  bool both_ways; /* a network: the other end introduces itself, and has a ring too */
  u16 major, minor, version_major, version_minor; /* agreed upon; the largest we speak */
  u32 session, peer_session;
  bool ring_sent, ring_acked, peer_ring, rdx_sent;
  u64 ident; /* what the other end calls our ring */
  u64 sessions, called_ns;
  const char *complaint; /* what was last said about the other end */
  const struct vio_device *device;
};

/* What a kind of device adds. All are called with the owner's lock held. */
struct vio_device {
  void (*attributes)(struct vio *vio, union vio_message *message);            /* fill ours */
  bool (*attributes_acked)(struct vio *vio, const union vio_message *message); /* false: unusable */
  bool (*peer_attributes)(struct vio *vio, union vio_message *message);        /* the other end's, and the ACK's */
  bool (*ring)(struct vio *vio, union vio_message *message);                   /* fill ours; false: none is used */
  bool (*peer_ring)(struct vio *vio, union vio_message *message);              /* accept it, fill in its ident */
  void (*running)(struct vio *vio);
  void (*down)(struct vio *vio);
  void (*room)(struct vio *vio);
  void (*data)(struct vio *vio, const u8 *message, size_t bytes);
};

/* Device, class, version and channel ids are filled in by the owner. */
u64 vio_open(struct vio *vio, bool initiator, interrupt_handler handler, void *arg);
/* From time to time: a handshake that does not end, or was refused, is begun again. */
void vio_watch(struct vio *vio);
bool vio_send(struct vio *vio, union vio_message *message, enum vio_type type, enum vio_subtype subtype, u16 what);
#endif
