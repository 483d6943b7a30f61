/* ldc.c - channels as the hypervisor and the client move packets through them. See ldc.h. */
#include "hyp/ldc.h"

#include <stdlib.h>

#include "hyp/hyp.h"
#include "hyp/ldc_wire.h"

enum { MAX_QUEUE_BYTES = 1 << 24 };

static u32 tx_sysino(u32 id) { return CHANNEL_HANDLE + 2 * id; }
static u32 rx_sysino(u32 id) { return CHANNEL_HANDLE + 2 * id + 1; }

static u64 queue_used(const struct ldc_queue *q) { return q->bytes ? (q->tail - q->head) & (q->bytes - 1) : 0; }
static u64 queue_room(const struct ldc_queue *q) { return q->bytes ? q->bytes - LDC_PACKET - queue_used(q) : 0; }

static void add(struct domain *d, u32 id, enum ldc_kind kind, u32 peer) {
  d->channels.endpoint[id] = (struct ldc_endpoint){.kind = (u8)kind, .peer = peer};
  intr_add(&d->interrupts, tx_sysino(id));
  intr_add(&d->interrupts, rx_sysino(id));
}

void ldc_add_host(struct domain *d, u32 id) { add(d, id, LDC_HOST, 0); }

void ldc_add_wire(struct domain *d, u32 id) { add(d, id, LDC_WIRE, 0); }

void ldc_connect(struct domain *d, u32 a, u32 b) {
  add(d, a, LDC_GUEST, b);
  add(d, b, LDC_GUEST, a);
}

void ldc_remove(struct domain *d, u32 id) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  u32 peer = e->peer;
  bool pair = e->kind == LDC_GUEST;
  wire_unplug(d, id);
  mapin_drop(d, id);
  free(e->exported);
  *e = (struct ldc_endpoint){0};
  intr_remove(&d->interrupts, tx_sysino(id));
  intr_remove(&d->interrupts, rx_sysino(id));
  if (pair) {
    d->channels.endpoint[peer].kind = LDC_NONE; /* so that it does not come back here */
    ldc_remove(d, peer);
  }
}

bool ldc_export(struct domain *d, u32 id, u64 bytes) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  u8 *memory = bytes ? calloc(1, bytes + EXPORT_MARKS) : NULL;
  if (bytes && !memory) return false;
  mapin_drop(d, id);
  free(e->exported);
  e->exported = memory;
  e->export_bytes = bytes;
  return true;
}

void ldc_free(struct channels *c) {
  for (u32 id = 0; id < c->count; id++) {
    if (!c->endpoint[id].exported) continue;
    free(c->endpoint[id].exported);
    c->endpoint[id].exported = NULL;
    c->endpoint[id].export_bytes = 0;
  }
}

void ldc_clear(struct domain *d) {
  u32 count = d->channels.count;
  wires_unplug(d);
  mapin_drop_all(d);
  ldc_free(&d->channels);
  d->channels.revokes = 0;
  for (u32 id = 0; id < count; id++)
    if (d->channels.endpoint[id].kind != LDC_NONE) d->channels.endpoint[id] = (struct ldc_endpoint){0};
}

struct ldc_endpoint *ldc_find(struct domain *d, u64 id) {
  if (id >= d->channels.count || d->channels.endpoint[id].kind == LDC_NONE) return NULL;
  return &d->channels.endpoint[id];
}

void ldc_unconfigure(struct domain *d) {
  mapin_drop_all(d);
  for (u32 id = 0; id < d->channels.count; id++) {
    struct ldc_endpoint *e = &d->channels.endpoint[id];
    if (e->kind == LDC_NONE) continue;
    e->tx = e->rx = (struct ldc_queue){0};
    wire_set_map(e, 0, 0);
    wire_configured(d, id);
    e->reset = e->rx_event = e->tx_event = e->host_waits = 0;
    e->resets++;
  }
}

/* The state of the channel has changed for this endpoint. */
static bool announce(struct domain *d, u32 id) {
  d->channels.endpoint[id].rx_event = 1;
  return intr_update(d, rx_sysino(id));
}

void ldc_reset_all(struct domain *d) {
  for (u32 id = 0; id < d->channels.count; id++)
    if (d->channels.endpoint[id].kind != LDC_NONE) ldc_reset(d, id);
}

void ldc_reset(struct domain *d, u32 id) {
  d->channels.endpoint[id].reset |= RESET_DUE;
  announce(d, id);
}

void ldc_set_up(struct domain *d, u32 id, bool up) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  if (e->up == up) return;
  e->up = up;
  announce(d, id);
}

bool ldc_level(const struct domain *d, u32 devino) {
  if (devino / 2 >= d->channels.count) return false;
  const struct ldc_endpoint *e = &d->channels.endpoint[devino / 2];
  if (devino & 1) return e->rx.bytes && (e->rx_event || queue_used(&e->rx));
  return e->tx.bytes && e->tx_event;
}

static bool peer_there(const struct domain *d, const struct ldc_endpoint *e) {
  if (e->kind == LDC_HOST) return e->up;
  return e->kind == LDC_WIRE ? wire_there(e) : d->channels.endpoint[e->peer].rx.bytes != 0;
}

u32 ldc_state(struct domain *d, u32 id, bool rx) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  if (!intr_unused(d, rx_sysino(id)) && (!rx || !intr_handled(d, rx_sysino(id))))
    return e->reset & TOLD_DOWN ? LDC_DOWN : LDC_UP;
  if (rx) e->rx_event = 0;
  if (!peer_there(d, e)) {
    e->reset |= TOLD_DOWN;
    return LDC_DOWN;
  }
  bool due = e->reset & RESET_DUE;
  e->reset = 0;
  return due ? LDC_RESET : LDC_UP;
}

/* One packet out of a queue of this domain, or into one. Memory behind a queue is checked when it is configured. */
static void take(struct domain *d, struct ldc_queue *q, u8 packet[LDC_PACKET]) {
  ram_read(d->env.ram, RA(q->base + q->head), packet, LDC_PACKET);
  q->head = (q->head + LDC_PACKET) & (q->bytes - 1);
}

static void append(struct domain *d, struct ldc_queue *q, const u8 packet[LDC_PACKET]) {
  ram_write(d->env.ram, RA(q->base + q->tail), packet, LDC_PACKET);
  q->tail = (q->tail + LDC_PACKET) & (q->bytes - 1);
}

/* Moves what fits from an endpoint to its peer. True: an interrupt went out. */
bool ldc_pump(struct domain *d, u32 id) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  struct ldc_queue *from = &e->tx, *to = &d->channels.endpoint[e->peer].rx;
  u8 packet[LDC_PACKET];
  bool moved = false;
  if (e->kind == LDC_WIRE) return wire_pump(d, id);
  if (e->kind != LDC_GUEST) return false;
  while (queue_used(from) && queue_room(to)) {
    take(d, from, packet);
    append(d, to, packet);
    moved = true;
  }
  return moved && intr_update(d, rx_sysino(e->peer));
}

/* The RX queue of an endpoint has room: what its peer could not send comes, and the peer hears of it. */
bool ldc_pull(struct domain *d, u32 id) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  if (e->kind == LDC_WIRE) return wire_look(d, id);
  if (e->kind != LDC_GUEST || !queue_used(&d->channels.endpoint[e->peer].tx)) return false;
  bool sent = ldc_pump(d, e->peer);
  d->channels.endpoint[e->peer].tx_event = 1;
  return intr_update(d, tx_sysino(e->peer)) || sent;
}

/* The guest has (un)configured its RX queue: the other end sees another state. */
bool ldc_rx_changed(struct domain *d, u32 id, bool was) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  e->resets++;
  if (!was) e->reset = (u8)((e->reset & RESET_DUE) | (peer_there(d, e) ? 0 : TOLD_DOWN)); /* nothing was told before */
  if (e->kind == LDC_WIRE) wire_configured(d, id);
  if (e->kind != LDC_GUEST) return false;
  struct ldc_endpoint *peer = &d->channels.endpoint[e->peer];
  peer->reset = (u8)((peer->reset & TOLD_DOWN) | (e->rx.bytes ? RESET_DUE : 0));
  bool sent = announce(d, e->peer);
  return ldc_pull(d, id) || sent;
}

u64 ldc_send(struct domain *d, u32 id, const u8 *packets, u64 count) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  u64 n = queue_room(&e->rx) / LDC_PACKET;
  if (!e->up) return 0;
  if (n > count) n = count;
  e->host_waits = n < count;
  for (u64 i = 0; i < n; i++) append(d, &e->rx, packets + i * LDC_PACKET);
  if (n) intr_update(d, rx_sysino(id)); /* after the last: a message comes as a whole */
  return n;
}

u64 ldc_receive(struct domain *d, u32 id, u8 *packets, u64 count) {
  struct ldc_endpoint *e = &d->channels.endpoint[id];
  bool full = e->tx.bytes && !queue_room(&e->tx);
  u64 n = queue_used(&e->tx) / LDC_PACKET;
  if (!e->up) return 0;
  if (n > count) n = count;
  for (u64 i = 0; i < n; i++) take(d, &e->tx, packets + i * LDC_PACKET);
  if (full && n) {
    e->tx_event = 1;
    intr_update(d, tx_sysino(id));
  }
  return n;
}

static void save_queue(const struct ldc_queue *q, struct writer *w) {
#define X(type, name) put_low(w, q->name, sizeof(type));
  LDC_QUEUE_FIELDS(X)
#undef X
}

static bool load_queue(const struct domain *d, struct ldc_queue *q, struct reader *in) {
#define X(type, name) q->name = (type)get_low(in, sizeof(type));
  LDC_QUEUE_FIELDS(X)
#undef X
  if (!q->bytes) return !q->base && !q->head && !q->tail;
  bool size = q->bytes >= 2 * LDC_PACKET && q->bytes <= MAX_QUEUE_BYTES && !(q->bytes & (q->bytes - 1));
  return size && !(q->base & (q->bytes - 1)) && !((q->head | q->tail) & (LDC_PACKET - 1)) && q->head < q->bytes &&
         q->tail < q->bytes && ram_backed(d->env.ram, RA(q->base), q->bytes);
}

void ldc_save(const struct channels *c, struct writer *w) {
  for (u32 id = 0; id < c->count; id++) {
    const struct ldc_endpoint *e = &c->endpoint[id];
    if (e->kind == LDC_NONE) continue;
    put_u32(w, id);
    save_queue(&e->tx, w);
    save_queue(&e->rx, w);
#define X(type, name) put_low(w, e->name, sizeof(type));
    LDC_FIELDS(X)
#undef X
    put_bytes(w, e->exported, e->export_bytes);
  }
  put_u32(w, LDC_ENDPOINTS);
  mapin_save(c, w);
}

static bool paired(const struct channels *c) {
  for (u32 id = 0; id < c->count; id++) {
    const struct ldc_endpoint *e = &c->endpoint[id];
    if (e->kind != LDC_GUEST) continue;
    if (e->peer >= c->count || e->peer == id) return false;
    if (c->endpoint[e->peer].kind != LDC_GUEST || c->endpoint[e->peer].peer != id) return false;
  }
  return true;
}

static bool load_export(struct ldc_endpoint *e, struct reader *in) {
  u64 bytes = e->export_bytes;
  e->export_bytes = 0; /* until the memory is there */
  if (!bytes) return true;
  const u8 *from = bytes <= LDC_EXPORT_MOST && e->kind == LDC_HOST ? reader_take(in, bytes) : NULL;
  if (!from || !(e->exported = calloc(1, bytes + EXPORT_MARKS))) return false;
  __builtin_memcpy(e->exported, from, bytes);
  e->export_bytes = bytes;
  return true;
}

static bool load_endpoint(const struct domain *d, struct ldc_endpoint *e, struct reader *in) {
  if (!load_queue(d, &e->tx, in) || !load_queue(d, &e->rx, in)) return false;
#define X(type, name) e->name = (type)get_low(in, sizeof(type));
  LDC_FIELDS(X)
#undef X
  if (!load_export(e, in)) return false;
  if (e->map_entries > LDC_MAP_ENTRIES || (e->map_entries & (e->map_entries - 1))) return false;
  if (e->map_entries && !ram_backed(d->env.ram, RA(e->map_base), e->map_entries * LDC_MAP_BYTES)) return false;
  return (e->kind == LDC_HOST || e->kind == LDC_GUEST || e->kind == LDC_WIRE) &&
         (e->up | e->rx_event | e->tx_event | e->host_waits) <= 1 && e->reset <= (RESET_DUE | TOLD_DOWN);
}

bool ldc_load(struct domain *d, struct reader *in) {
  ldc_clear(d);
  for (;;) {
    u32 id = get_u32(in);
    if (id == LDC_ENDPOINTS && !in->failed) {
      if (paired(&d->channels) && mapin_load(d, in)) return true;
      break;
    }
    if (in->failed || id >= d->channels.count) break;
    struct ldc_endpoint *e = &d->channels.endpoint[id];
    if (e->kind != LDC_NONE) break; /* twice the same: the first would leak */
    if (load_endpoint(d, e, in)) continue;
    free(e->exported);
    *e = (struct ldc_endpoint){0};
    break;
  }
  ldc_clear(d);
  return false;
}
