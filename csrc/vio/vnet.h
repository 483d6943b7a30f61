/* vnet.h - the data path of virtual networks: the rings of a session that is up, and its messages about them.
 *
 *   guest's ring ─ vnet_packets ─▶ flow (netport.h) ─▶ another port's inbox
 *                              └─▶ frames for the client's switch
 *   inbox ─ vnet_push ─▶ ring in exported memory ─▶ guest
 *
 * The client keeps the handshake and everything that is no message about a ring. It lends a session and takes it back before
 * it does anything with it. For who has the domain, as vdisk.h. Sources: UltraSPARC Virtual Machine Specification 3.0,
 * chapter 28; Linux 6.1, drivers/net/ethernet/sun/sunvnet_common.c; emulator/devices/vnet.py has the layout.
 */
#ifndef S4V_VIO_VNET_H
#define S4V_VIO_VNET_H
#include "vio/netport.h"
#include "vio/ranges.h"
#include "vio/vdisk.h"

enum { VNET_ENTRIES = 128, VNET_ENTRY_BYTES = 48, VNET_SKIP = 6, VNET_OUTBOX = 256, VNET_RING_COOKIES = 24 };

struct vnet_ring { /* the guest's */
  u32 entries, entry_bytes, cookies;
  struct cookie cookie[VNET_RING_COOKIES];
};

struct vnet_lane {
  u64 ident, out_ident; /* of the guest's ring and of ours */
  u64 sequence;         /* of our next message about our ring */
  u32 session, received, sent;
  u32 mtu, slot_bytes;  /* largest frame; size of a buffer of ours */
  u32 next, first;      /* of our ring: descriptor to fill, oldest that is not taken back */
  bool busy;            /* the guest works on our ring, and has not said that it stopped */
  bool due;             /* it is to be told of frames, and had no room for that */
  bool on, broken;      /* broken: the guest's ring was not there */
};

struct vnet *vnet_of(struct vio *, u32 channel);
bool vnet_lend(struct vio *, u32 channel, struct net_port *, const struct vnet_ring *, const struct vnet_lane *);
struct vnet_lane vnet_take_back(struct vnet *); /* frames for the client stay, and are to be taken first */
bool vnet_is_lent(const struct vnet *);
bool vnet_midway(const struct vnet *);    /* a message of the guest's is not done with: take frames, and serve again */
u32 vnet_packets(struct vnet *);          /* enum host_packets; HOST_CLIENT as well where frames are for the client */
void vnet_finish(struct vnet *);          /* as far as the message that is not done with */
struct net_frame *vnet_take(struct vnet *); /* a frame for the client's switch; NULL: none */
void vnet_close(struct vio *, u32 channel);
bool vio_nets_lent(const struct vio *);
void vio_nets_look(struct vio *);         /* frames may have come */

#endif
