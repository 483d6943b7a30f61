/* netport.h - a guest's port of a virtual switch, as far as C knows it: frames that wait for the guest, and flows.
 *
 * The switch itself is the client's. What it has once decided for frames from one address to another it may leave here as a
 * flow: such frames go straight to the other port for FLOW_NS, then the client is asked again; so it learns, forgets and
 * counts as ever. Any thread may put and take frames, count and forget flows; flows are found and added only by who has the
 * domain of the port's guest.
 */
#ifndef S4V_VIO_NETPORT_H
#define S4V_VIO_NETPORT_H
#include "util/types.h"

enum { NETPORT_INBOX = 1024, FRAME_HEADER = 14, FRAME_LEAST = 60, FRAME_MOST = 16022, FRAME_ADDRESSES = 12 };

struct domain;
struct net_frame {
  struct net_frame *next;
  u32 bytes;
  u8 data[];
};
struct net_frames { struct net_frame *first, *last; u32 count; };
struct net_counters { u64 in_frames, in_bytes, out_frames, out_bytes, dropped; };
struct net_port;

struct net_frame *frame_new(u32 bytes);                      /* NULL: no host memory */
void frames_push(struct net_frames *, struct net_frame *);
struct net_frame *frames_pop(struct net_frames *);           /* NULL: empty */
void frames_free(struct net_frames *);

struct net_port *net_port_new(void);                         /* held once; NULL: no host memory */
void net_port_hold(struct net_port *);
void net_port_release(struct net_port *);
void net_port_close(struct net_port *);                      /* by the client: no flow leads anywhere any more; releases */
/* Takes the frame. `front`: it goes before the others; `most`: frames that may wait. 0: there was no room, and the frame is
 * gone; 1: it waits; 2: it waits, and the guest's machine has been told. */
u32 net_port_put(struct net_port *, struct net_frame *, bool front, u32 most);
struct net_frame *net_port_take(struct net_port *);          /* the oldest, or NULL */
/* The frames in order, for a caller that holds no lock of the port: f(ctx, frame) */
void net_port_each(struct net_port *, void (*f)(void *ctx, const struct net_frame *), void *ctx);
u32 net_port_waiting(struct net_port *);
void net_port_clear(struct net_port *);
void net_port_serve(struct net_port *, struct domain *);     /* whom to tell of frames; NULL: the client asks by itself */
struct net_counters net_port_counted(struct net_port *);     /* since the last call; only what passes without the client */
void net_port_dropped(struct net_port *);                    /* a frame of the guest's that cannot be, or one it cannot take */

u64 net_port_generation(const struct net_port *);
void net_port_forget(struct net_port *);                     /* all flows of frames that come in at this port */
/* A decision that was made while the generation was this one, for frames of at most so many bytes. */
void net_port_flow(struct net_port *, u64 generation, const u8 addresses[FRAME_ADDRESSES], u32 most, struct net_port *to,
                   u64 now_ns);
/* Hands the frame on if there is a flow for it. False: there is none, and the frame is still the caller's. */
bool net_port_pass(struct net_port *, struct net_frame *, u64 now_ns);

#endif
