/* vnet.c - see vnet.h. */
#include "vio/vnet.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vio/inside.h"

enum {
  LDC_DATA = 2, LDC_INFO = 1, LDC_WHOLE = 0xc0, LDC_LENGTH = 0x3f, /* packet: type, stype, ctrl, env, seqid; then payload */
  VIO_DATA = 2, VIO_INFO = 1, VIO_ACK = 2, VIO_RING_DATA = 0x42, VIO_ACTIVE = 1, VIO_STOPPED = 2,
  PAYLOAD = 8, SEQUENCE_AT = PAYLOAD + 8, IDENT_AT = PAYLOAD + 16, START_AT = PAYLOAD + 24, END_AT = PAYLOAD + 28,
  STATE_AT = PAYLOAD + 32, MESSAGE = 56, LEAST_MESSAGE = STATE_AT + 1 - PAYLOAD,
  BYTES_AT = 8, COOKIES_AT = 12, COOKIE_AT = 16, MOST_COOKIES = 16, DESCRIPTOR = COOKIE_AT + 16 * MOST_COOKIES,
  BURST = 64,
};
#define OPEN_END 0xffffffffu

struct vnet {
  struct vnet *next;
  struct vio *vio;
  u32 channel;
  struct net_port *port; /* held while lent */
  struct vnet_ring ring;
  struct vnet_lane lane;
  struct net_frames out; /* for the client */
  u64 resets;            /* of the channel, when it was lent */
  bool midway;           /* the message at the head of the guest's queue has been begun: */
  u32 at, last, left;    /* next descriptor, the one before, how many may follow */
};

static struct ldc_endpoint *endpoint(const struct vnet *v) { return &v->vio->domain->channels.endpoint[v->channel]; }

/* Lent, and the guest has not begun anew. */
static bool is_served(const struct vnet *v) { return v->lane.on && endpoint(v)->resets == v->resets; }

static u64 now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

static bool has_room(const struct vnet *v) {
  const struct ldc_queue *q = &endpoint(v)->rx;
  return q->bytes && ((q->tail - q->head) & (q->bytes - 1)) < q->bytes - LDC_PACKET;
}

struct message { u64 sequence, ident; u32 subtype, start, end, state; };

static void send(struct vnet *v, const struct message *m) {
  u8 packet[LDC_PACKET] = {0};
  packet[0] = LDC_DATA;
  packet[1] = LDC_INFO;
  packet[3] = LDC_WHOLE | MESSAGE;
  be32_store(packet + 4, ++v->lane.sent);
  packet[PAYLOAD] = VIO_DATA;
  packet[PAYLOAD + 1] = (u8)m->subtype;
  be16_store(packet + PAYLOAD + 2, VIO_RING_DATA);
  be32_store(packet + PAYLOAD + 4, v->lane.session);
  be64_store(packet + SEQUENCE_AT, m->sequence);
  be64_store(packet + IDENT_AT, m->ident);
  be32_store(packet + START_AT, m->start);
  be32_store(packet + END_AT, m->end);
  packet[STATE_AT] = (u8)m->state;
  ldc_send(v->vio->domain, v->channel, packet, 1);
}

/* ---- frames to the guest ---- */

static void put(struct vnet *v, const struct net_frame *f) {
  struct vnet_lane *l = &v->lane;
  const struct ldc_endpoint *e = endpoint(v);
  u64 buffer = PAGE_BYTES + (u64)l->next * l->slot_bytes;
  u32 bytes = f->bytes < FRAME_LEAST ? FRAME_LEAST : f->bytes;
  u8 *at = e->exported + buffer, *d = e->exported + (u64)l->next * VNET_ENTRY_BYTES;
  memset(at, 0, VNET_SKIP);
  memcpy(at + VNET_SKIP, f->data, f->bytes);
  memset(at + VNET_SKIP + f->bytes, 0, bytes - f->bytes);
  memset(d, 0, BYTES_AT);
  d[0] = VIO_READY;
  be32_store(d + BYTES_AT, bytes);
  be32_store(d + COOKIES_AT, 1);
  be64_store(d + COOKIE_AT, buffer);
  be64_store(d + COOKIE_AT + 8, (VNET_SKIP + bytes + 7) & ~7u);
  l->next = (l->next + 1) % VNET_ENTRIES;
}

static bool ring_has_room(const struct vnet_lane *l) { return (l->next + 1) % VNET_ENTRIES != l->first; }

/* What waits goes into our ring, and the guest hears of it. True: it was told. */
static bool push(struct vnet *v) {
  struct vnet_lane *l = &v->lane;
  bool some = false;
  while (ring_has_room(l)) {
    struct net_frame *f = net_port_take(v->port);
    if (!f) break;
    if (f->bytes <= l->mtu && f->bytes >= FRAME_HEADER) {
      put(v, f);
      some = true;
    } else {
      net_port_dropped(v->port);
    }
    free(f);
  }
  if (some && !l->busy) l->due = true;
  if (!l->due) return false;
  if (!has_room(v)) {
    endpoint(v)->host_waits = 1;
    return false;
  }
  send(v, &(struct message){l->sequence++, l->out_ident, VIO_INFO, l->first, OPEN_END, VIO_ACTIVE});
  l->busy = true;
  l->due = false;
  return true;
}

/* The guest is done with descriptors of ours up to `end`; Linux names the last in `start` when it repeats itself. */
static void taken_back(struct vnet *v, u32 start, u32 end, u8 state) {
  struct vnet_lane *l = &v->lane;
  u32 last = end == OPEN_END ? start : end, pending = (l->next - l->first) % VNET_ENTRIES;
  if (last >= VNET_ENTRIES) return;
  bool some = (last - l->first) % VNET_ENTRIES + 1 <= pending;
  if (some) l->first = (last + 1) % VNET_ENTRIES;
  if (state != VIO_STOPPED) return;
  l->busy = false;
  if (some && l->first != l->next) l->due = true;
}

/* ---- frames of the guest ---- */

static bool ring_copy(const struct vnet *v, u32 index, u8 *to, u32 bytes) {
  u64 skip = (u64)index * v->ring.entry_bytes;
  return cookies_read(v->vio->domain, endpoint(v), v->ring.cookie, v->ring.cookies, skip, to, bytes);
}

/* The frame of a descriptor; NULL: it cannot be read, and is lost as on a wire. */
static struct net_frame *fetch(struct vnet *v, const u8 *raw, u32 raw_bytes) {
  struct cookie cookie[MOST_COOKIES];
  u32 bytes = be32_load(raw + BYTES_AT), count = be32_load(raw + COOKIES_AT), most = (raw_bytes - COOKIE_AT) / 16;
  if (bytes < FRAME_HEADER || bytes > v->lane.mtu || count > most) return NULL;
  for (u32 i = 0; i < count; i++)
    cookie[i] = (struct cookie){be64_load(raw + COOKIE_AT + 16 * i), be64_load(raw + COOKIE_AT + 16 * i + 8)};
  struct net_frame *f = frame_new(bytes);
  if (f && cookies_read(v->vio->domain, endpoint(v), cookie, count, VNET_SKIP, f->data, bytes)) return f;
  free(f);
  return NULL;
}

static void hand_on(struct vnet *v, struct net_frame *f, u64 now) {
  if (v->out.count || !net_port_pass(v->port, f, now)) frames_push(&v->out, f); /* behind each other: order is kept */
}

/* Frames as long as descriptors are ready. False: the ring is not there. */
static bool walk(struct vnet *v) {
  static const u8 done = VIO_DONE;
  u32 size = v->ring.entry_bytes < DESCRIPTOR ? v->ring.entry_bytes : DESCRIPTOR;
  u64 now = now_ns();
  u8 raw[DESCRIPTOR];
  for (; v->left && v->out.count < VNET_OUTBOX; v->left--) {
    if (!ring_copy(v, v->at, raw, size)) return false;
    if (raw[0] != VIO_READY) {
      v->midway = false;
      return true;
    }
    struct net_frame *f = fetch(v, raw, size);
    if (f)
      hand_on(v, f, now);
    else
      net_port_dropped(v->port);
    u64 skip = (u64)v->at * v->ring.entry_bytes;
    if (!cookies_write(v->vio->domain, endpoint(v), v->ring.cookie, v->ring.cookies, skip, &done, 1)) return false;
    v->last = v->at;
    v->at = (v->at + 1) % v->ring.entries;
  }
  v->midway = v->left != 0;
  return true;
}

static bool broken(struct vnet *v) {
  v->lane.on = v->midway = false;
  v->lane.broken = true;
  return false;
}

/* A message about the guest's ring. False: it is not done with, or cannot be. */
static bool ring_data(struct vnet *v, const u8 packet[LDC_PACKET]) {
  u32 start = be32_load(packet + START_AT);
  if (!v->midway) {
    v->midway = true;
    v->at = start;
    v->last = (start ? start : v->ring.entries) - 1;
    v->left = v->ring.entries;
  }
  if (!walk(v)) return broken(v);
  if (v->midway) return false;
  send(v, &(struct message){be64_load(packet + SEQUENCE_AT), v->lane.ident, VIO_ACK, start, v->last, VIO_STOPPED});
  return true;
}

static bool plain(const struct vnet *v, const u8 packet[LDC_PACKET]) {
  u32 length = packet[3] & LDC_LENGTH;
  if (packet[0] != LDC_DATA || packet[1] != LDC_INFO || (packet[3] & LDC_WHOLE) != LDC_WHOLE) return false;
  if (length < LEAST_MESSAGE || length > MESSAGE || be32_load(packet + 4) != v->lane.received + 1) return false;
  if (packet[PAYLOAD] != VIO_DATA || be16_load(packet + PAYLOAD + 2) != VIO_RING_DATA) return false;
  if (packet[PAYLOAD + 1] == VIO_ACK) return true;
  return packet[PAYLOAD + 1] == VIO_INFO && be64_load(packet + IDENT_AT) == v->lane.ident &&
         be32_load(packet + START_AT) < v->ring.entries;
}

/* The packet at the head of the guest's queue. False: it stays there. */
static bool serve_one(struct vnet *v) {
  struct domain *d = v->vio->domain;
  const struct ldc_queue *q = &endpoint(v)->tx;
  u8 packet[LDC_PACKET];
  if (!ram_read(d->env.ram, RA(q->base + q->head), packet, sizeof packet) || !plain(v, packet)) return false;
  if (packet[PAYLOAD + 1] == VIO_ACK)
    taken_back(v, be32_load(packet + START_AT), be32_load(packet + END_AT), packet[STATE_AT]);
  else if (!ring_data(v, packet))
    return false;
  v->lane.received++;
  ldc_receive(d, v->channel, packet, 1);
  return true;
}

static bool waits(const struct vnet *v) {
  const struct ldc_queue *q = &endpoint(v)->tx;
  return is_served(v) && q->bytes && q->head != q->tail;
}

u32 vnet_packets(struct vnet *v) {
  u32 sent = v->lane.sent, burst = 0;
  bool all = is_served(v), wants_room = false;
  while (all && waits(v) && !wants_room) {
    wants_room = !has_room(v);
    if (!wants_room) all = burst++ < BURST && serve_one(v);
  }
  if (wants_room) endpoint(v)->host_waits = 1; /* on with it when the guest makes room */
  if (is_served(v) && !v->midway) push(v);
  if (!all || v->out.count) return HOST_CLIENT;
  return sent != v->lane.sent ? HOST_ANSWERED : HOST_SERVED;
}

void vnet_finish(struct vnet *v) {
  if (v->midway && waits(v) && has_room(v)) serve_one(v);
}

/* ---- life ---- */

struct vnet *vnet_of(struct vio *vio, u32 channel) {
  struct vnet *v = vio->nets;
  while (v && v->channel != channel) v = v->next;
  return v;
}

bool vnet_lend(struct vio *vio, u32 channel, struct net_port *port, const struct vnet_ring *ring, const struct vnet_lane *lane) {
  struct vnet *v = vnet_of(vio, channel);
  if (!v) {
    v = calloc(1, sizeof *v);
    if (!v) return false;
    *v = (struct vnet){.next = vio->nets, .vio = vio, .channel = channel};
    vio->nets = v;
  }
  net_port_hold(port);
  v->port = port;
  v->ring = *ring;
  v->lane = *lane;
  v->lane.on = true;
  v->lane.broken = v->lane.due = false;
  v->midway = false;
  v->resets = endpoint(v)->resets;
  vio->nets_lent++;
  net_port_serve(port, vio->domain);
  return true;
}

struct vnet_lane vnet_take_back(struct vnet *v) {
  struct vnet_lane lane = v->lane;
  v->lane.on = v->lane.broken = v->midway = false;
  if (!v->port) return lane;
  net_port_serve(v->port, NULL);
  net_port_release(v->port);
  v->port = NULL;
  v->vio->nets_lent--;
  return lane;
}

bool vnet_is_lent(const struct vnet *v) { return v->lane.on; }
bool vnet_midway(const struct vnet *v) { return v->midway; }
struct net_frame *vnet_take(struct vnet *v) { return frames_pop(&v->out); }

void vnet_close(struct vio *vio, u32 channel) {
  struct vnet **at = &vio->nets, *v;
  while ((v = *at) && v->channel != channel) at = &v->next;
  if (!v) return;
  vnet_take_back(v);
  frames_free(&v->out);
  *at = v->next;
  free(v);
}

void vio_close_nets(struct vio *vio) {
  while (vio->nets) vnet_close(vio, vio->nets->channel);
}

bool vio_nets_lent(const struct vio *vio) { return vio->nets_lent != 0; }

void vio_nets_look(struct vio *vio) {
  for (struct vnet *v = vio->nets; v; v = v->next)
    if (is_served(v) && !v->midway) push(v);
}
