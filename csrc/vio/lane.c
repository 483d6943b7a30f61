/* lane.c - plain requests without the client: packets of a session that is up, one descriptor each, and their answers.
 *
 * The client lends a session's link (its two counters) and takes it back before it does anything with it. While it is lent, a
 * packet that is not the plain one stays in the guest's queue, and the run stops for the client as ever. Under the domain's
 * lock. Packets: emulator/devices/ldc_link.py, messages: emulator/devices/vio.py.
 */
#include "vio/inside.h"

enum {
  LDC_DATA = 2, LDC_INFO = 1, LDC_WHOLE = 0xc0, LDC_LENGTH = 0x3f, /* packet: type, stype, ctrl, env, seqid; then payload */
  VIO_DATA = 2, VIO_INFO = 1, VIO_ACK = 2, VIO_RING_DATA = 0x42, VIO_ACTIVE = 1,
  PAYLOAD = 8, SEQUENCE_AT = PAYLOAD + 8, IDENT_AT = PAYLOAD + 16, START_AT = PAYLOAD + 24, END_AT = PAYLOAD + 28,
  STATE_AT = PAYLOAD + 32, MESSAGE = 56, LEAST_MESSAGE = STATE_AT + 1 - PAYLOAD, ANSWERS = 16,
  BURST = 64, /* packets served in a row; the client, who looks at other things between, goes on with the rest */
};

static struct ldc_endpoint *endpoint(const struct vdisk *d) { return &d->vio->domain->channels.endpoint[d->channel]; }

/* About one descriptor of our ring, and the packet that is due. */
static bool plain(const struct vdisk *d, const u8 packet[LDC_PACKET]) {
  u32 length = packet[3] & LDC_LENGTH, start = be32_load(packet + START_AT);
  return packet[0] == LDC_DATA && packet[1] == LDC_INFO && (packet[3] & LDC_WHOLE) == LDC_WHOLE && length >= LEAST_MESSAGE &&
         length <= MESSAGE && be32_load(packet + 4) == d->lane.received + 1 && packet[PAYLOAD] == VIO_DATA &&
         packet[PAYLOAD + 1] == VIO_INFO && be16_load(packet + PAYLOAD + 2) == VIO_RING_DATA &&
         be64_load(packet + IDENT_AT) == d->lane.ident && start == be32_load(packet + END_AT) && start < d->ring.entries;
}

static void make_answer(struct vdisk *d, const struct vdisk_answer *a, u8 packet[LDC_PACKET]) {
  for (u32 i = 0; i < LDC_PACKET; i++) packet[i] = 0;
  packet[0] = LDC_DATA;
  packet[1] = LDC_INFO;
  packet[3] = LDC_WHOLE | MESSAGE;
  be32_store(packet + 4, ++d->lane.sent);
  packet[PAYLOAD] = VIO_DATA;
  packet[PAYLOAD + 1] = VIO_ACK;
  be16_store(packet + PAYLOAD + 2, VIO_RING_DATA);
  be32_store(packet + PAYLOAD + 4, d->lane.session);
  be64_store(packet + SEQUENCE_AT, a->sequence);
  be64_store(packet + IDENT_AT, d->lane.ident);
  be32_store(packet + START_AT, a->index);
  be32_store(packet + END_AT, a->index);
  packet[STATE_AT] = VIO_ACTIVE;
}

static u64 room(const struct vdisk *d) {
  const struct ldc_queue *q = &endpoint(d)->rx;
  u64 packets = q->bytes ? (q->bytes - LDC_PACKET - ((q->tail - q->head) & (q->bytes - 1))) / LDC_PACKET : 0;
  return packets < ANSWERS ? packets : ANSWERS;
}

static bool some_finished(struct vdisk *d) {
  pthread_mutex_lock(&d->vio->pool.lock);
  bool some = d->finished.first != NULL;
  pthread_mutex_unlock(&d->vio->pool.lock);
  return some;
}

/* Answers what is finished, as far as the guest has room. How many answers went out; -1: the ring is not there. */
static i64 answer(struct vdisk *d) {
  struct vdisk_answer found[ANSWERS];
  u8 packets[ANSWERS][LDC_PACKET];
  i64 sent = 0;
  for (;;) {
    u32 most = (u32)room(d);
    i64 n = vdisk_finish(d, found, most);
    if (n < 0) return -1;
    for (i64 i = 0; i < n; i++) make_answer(d, &found[i], packets[i]);
    if (n) ldc_send(d->vio->domain, d->channel, packets[0], (u64)n);
    sent += n;
    if (most && (u64)n == most) continue;
    if (!most && some_finished(d)) endpoint(d)->host_waits = 1; /* on with it when the guest makes room */
    return sent;
  }
}

static bool broken(struct vdisk *d) {
  d->lane.on = false;
  d->lane.broken = true;
  return false;
}

u32 vdisk_packets(struct vdisk *d) {
  struct domain *domain = d->vio->domain;
  const struct ldc_queue *q = &endpoint(d)->tx;
  u8 packet[LDC_PACKET];
  bool all = d->lane.on;
  u32 burst = 0;
  while (all && q->bytes && q->head != q->tail) {
    u32 taken = 0;
    all = burst++ < BURST && ram_read(domain->env.ram, RA(q->base + q->head), packet, sizeof packet) && plain(d, packet) &&
          vdisk_take(d, be32_load(packet + START_AT), 1, be64_load(packet + SEQUENCE_AT), &taken) == VDISK_ALL;
    if (!all) break;
    d->lane.received++;
    ldc_receive(domain, d->channel, packet, 1);
  }
  i64 sent = d->lane.on ? answer(d) : 0;
  if (sent < 0) all = broken(d);
  if (!all) return HOST_CLIENT;
  return sent ? HOST_ANSWERED : HOST_SERVED;
}

bool vio_answer(struct vio *v) {
  bool all = true;
  for (u32 id = 0; id < v->channels; id++) {
    struct vdisk *d = v->disk[id];
    if (!d || !d->counters.in_flight) continue;
    if (!d->lane.on)
      all = false;
    else if (answer(d) < 0)
      all = broken(d);
  }
  return all;
}

void vdisk_lend(struct vdisk *d, const struct vdisk_lane *lane) {
  d->lane = *lane;
  d->lane.on = true;
  d->lane.broken = false;
}

bool vdisk_is_lent(const struct vdisk *d) { return d->lane.on; }

struct vdisk_lane vdisk_take_back(struct vdisk *d) {
  struct vdisk_lane lane = d->lane;
  d->lane.on = d->lane.broken = false;
  return lane;
}
