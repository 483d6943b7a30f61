/* vio.c - see vio.h. */
#include "vio.h"

#define PATIENCE_NS (5 * NS_PER_SECOND)

static void event(struct ldc_channel *channel, enum ldc_event event, const u8 *data, size_t bytes);

u64 vio_open(struct vio *v, bool initiator, interrupt_handler handler, void *arg) {
  v->state = VIO_IDLE;
  v->channel.event = event;
  v->session = (u32)clock_wall_ns() ^ (u32)v->channel.id << 24;
  return ldc_open(&v->channel, LINK_UNRELIABLE, initiator, handler, arg);
}

static struct vio *vio_of(struct ldc_channel *channel) {
  return (struct vio *)((u8 *)channel - offsetof(struct vio, channel));
}

bool vio_send(struct vio *v, union vio_message *m, enum vio_type type, enum vio_subtype subtype, u16 what) {
  m->tag = (struct vio_tag){(u8)type, (u8)subtype, what, v->session};
  return ldc_send(&v->channel, m, what == VIO_RING ? sizeof *m : VIO_MESSAGE);
}

/* Part of the handshake does not get through: begin again, so that no end waits for ever. */
static void control(struct vio *v, union vio_message *m, enum vio_subtype subtype, u16 what) {
  if (!vio_send(v, m, VIO_CTRL, subtype, what)) ldc_restart(&v->channel);
}

static void forget(struct vio *v) {
  v->ring_sent = v->ring_acked = v->peer_ring = v->rdx_sent = false;
  v->major = v->minor = 0;
  v->peer_session = 0;
}

static void send_version(struct vio *v, u16 major, u16 minor) {
  union vio_message m = {0};
  m.version.major = major;
  m.version.minor = minor;
  m.version.device_class = v->device_class;
  control(v, &m, VIO_INFO, VIO_VERSION);
}

static void link_up(struct vio *v) {
  forget(v);
  v->session++;
  v->sessions++;
  v->called_ns = clock_ns();
  v->state = VIO_NEGOTIATING;
  send_version(v, v->version_major, v->version_minor);
}

static void link_lost(struct vio *v) {
  bool running = v->state == VIO_RUNNING;
  forget(v);
  v->state = VIO_IDLE;
  if (running) v->device->down(v);
}

void vio_watch(struct vio *v) {
  ldc_watch(&v->channel);
  bool stuck = v->state == VIO_NEGOTIATING || v->state == VIO_REFUSED;
  if (stuck && v->channel.open && clock_ns() - v->called_ns > PATIENCE_NS) {
    v->called_ns = clock_ns();
    ldc_restart(&v->channel);
  }
}

/* The other end wants something we do not. It is called again later: another may have taken its place. */
static void refuse(struct vio *v, const char *why) {
  if (v->complaint != why) printf("WARNING: channel %lu: %s\n", v->channel.id, why);
  v->complaint = why;
  link_lost(v);
  v->state = VIO_REFUSED;
}

static void send_attributes(struct vio *v) {
  union vio_message m = {0};
  v->device->attributes(v, &m);
  control(v, &m, VIO_INFO, VIO_ATTRIBUTES);
}

/* Rings are known at both ends. */
static void maybe_ready(struct vio *v) {
  union vio_message m = {0};
  if (v->rdx_sent || !v->ring_acked || (v->both_ways && !v->peer_ring)) return;
  v->rdx_sent = true;
  control(v, &m, VIO_INFO, VIO_RDX);
}

static void send_ring(struct vio *v) {
  union vio_message m = {0};
  v->ring_sent = true;
  if (v->device->ring(v, &m)) {
    control(v, &m, VIO_INFO, VIO_RING);
  } else {
    v->ring_acked = v->peer_ring = true;
    maybe_ready(v);
  }
}

static void start(struct vio *v) {
  if (v->state != VIO_NEGOTIATING) return;
  v->state = VIO_RUNNING;
  v->complaint = NULL;
  v->device->running(v);
}

/* An answer to what we said. */
static void acknowledged(struct vio *v, const union vio_message *m) {
  switch (m->tag.what) {
    case VIO_VERSION:
      if (m->version.major != v->version_major || m->version.minor > v->version_minor) {
        refuse(v, "a version that was not offered");
        return;
      }
      v->major = m->version.major;
      v->minor = m->version.minor;
      send_attributes(v);
      break;
    case VIO_ATTRIBUTES:
      if (!v->device->attributes_acked(v, m))
        refuse(v, "attributes that cannot be used");
      else if (!v->ring_sent)
        send_ring(v);
      break;
    case VIO_RING:
      if (!v->ring_sent) break;
      v->ident = m->ring.ident;
      v->ring_acked = true;
      maybe_ready(v);
      break;
    case VIO_RDX:
      if (v->rdx_sent) start(v);
      break;
    default: ldc_restart(&v->channel); /* nothing like that was said */
  }
}

/* The other end of a network speaks of itself. */
static void introduced(struct vio *v, union vio_message *m) {
  bool fine = v->both_ways;
  switch (m->tag.what) {
    case VIO_VERSION:
      v->peer_session = m->tag.session;
      fine = fine && m->version.major == v->version_major;
      if (fine && m->version.minor > v->version_minor) m->version.minor = v->version_minor;
      if (!fine) m->version.major = v->version_major, m->version.minor = v->version_minor;
      m->version.device_class = v->device_class;
      break;
    case VIO_ATTRIBUTES: fine = fine && v->major && v->device->peer_attributes(v, m); break;
    case VIO_RING: fine = fine && v->major && v->device->peer_ring(v, m); break;
    case VIO_RDX: fine = fine && v->peer_ring; break;
    default: fine = false;
  }
  u16 what = m->tag.what;
  control(v, m, fine ? VIO_ACK : VIO_NACK, what);
  if (!fine || v->state == VIO_IDLE) return;
  if (what == VIO_RING) v->peer_ring = true;
  maybe_ready(v);
  if (what == VIO_RDX && v->ring_acked) start(v);
}

static void refused(struct vio *v, const union vio_message *m) {
  if (m->tag.what == VIO_VERSION && m->version.major == v->version_major && v->state == VIO_NEGOTIATING)
    send_version(v, m->version.major, smaller(m->version.minor, v->version_minor) & 0xffff);
  else
    refuse(v, "the other end refuses the handshake");
}

/* Nothing is ever sent twice, so a message that makes no sense stands for one that is lost: both ends start anew. */
static void message(struct vio *v, const u8 *data, size_t bytes) {
  union vio_message m = {0};
  if (v->state == VIO_IDLE || v->state == VIO_REFUSED) return;
  memcpy(&m, data, bytes < sizeof m ? bytes : sizeof m);
  if (m.tag.type == VIO_DATA && bytes >= sizeof m.tag) {
    if (v->state == VIO_RUNNING) v->device->data(v, data, bytes);
    return;
  }
  bool data_like = m.tag.what >= VIO_PACKET && m.tag.what <= VIO_RING_DATA;
  if (m.tag.type != VIO_CTRL || bytes < VIO_MESSAGE - 24 || data_like) {
    ldc_restart(&v->channel);
    return;
  }
  if (v->both_ways && m.tag.subtype != VIO_INFO && v->peer_session && m.tag.session != v->peer_session) return;
  if (m.tag.subtype == VIO_ACK)
    acknowledged(v, &m);
  else if (m.tag.subtype == VIO_INFO)
    introduced(v, &m);
  else if (m.tag.subtype == VIO_NACK)
    refused(v, &m);
  else
    ldc_restart(&v->channel);
}

static void event(struct ldc_channel *channel, enum ldc_event what, const u8 *data, size_t bytes) {
  struct vio *v = vio_of(channel);
  if (what == LDC_EVENT_UP) link_up(v);
  if (what == LDC_EVENT_DOWN) link_lost(v);
  if (what == LDC_EVENT_MESSAGE) message(v, data, bytes);
  if (what == LDC_EVENT_ROOM && v->state == VIO_RUNNING) v->device->room(v);
}
