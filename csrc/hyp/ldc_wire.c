/* ldc_wire.c - see ldc_wire.h. */
#include "hyp/ldc_wire.h"

#include <stdlib.h>

#include "hyp/hyp.h"

enum { WIRE_PACKETS = 256 };
enum wire_news { NEWS_RESET = 1, NEWS_STATE = 2, NEWS_ROOM = 4 };

struct wire_end {
  struct domain *domain; /* NULL: nobody is plugged in */
  u32 id;
  u32 news;              /* what this end has not heard yet: enum wire_news */
  bool there;            /* it has a receive queue */
  bool lacked;           /* the other end found no room here */
  u32 first, count;      /* packets for this end */
  u8 packet[WIRE_PACKETS][LDC_PACKET];
};

struct ldc_wire {
  pthread_mutex_t lock;
  u32 holders; /* ends, and the client */
  struct wire_end end[2];
};

struct ldc_wire *wire_new(void) {
  struct ldc_wire *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  pthread_mutex_init(&w->lock, NULL);
  w->holders = 1;
  return w;
}

/* Under the lock, which is given up. */
static void let_go(struct ldc_wire *w) {
  bool last = --w->holders == 0;
  pthread_mutex_unlock(&w->lock);
  if (!last) return;
  pthread_mutex_destroy(&w->lock);
  free(w);
}

void wire_release(struct ldc_wire *w) {
  pthread_mutex_lock(&w->lock);
  let_go(w);
}

static struct ldc_endpoint *endpoint(struct domain *d, u32 id) { return &d->channels.endpoint[id]; }
static struct wire_end *own_end(const struct ldc_endpoint *e) { return &e->wire->end[e->side]; }
static struct wire_end *other_end(const struct ldc_endpoint *e) { return &e->wire->end[!e->side]; }

/* Under the lock. */
static void tell(struct wire_end *w, u32 news) {
  w->news |= news;
  if (w->domain) domain_tell(w->domain);
}

/* ---- plugs ---- */

bool wire_plug(struct domain *d, u32 id, struct ldc_wire *w, u32 side) {
  struct ldc_endpoint *e = endpoint(d, id);
  struct wire_end *own = &w->end[side];
  if (e->wire) return false;
  pthread_mutex_lock(&w->lock);
  if (own->domain) {
    pthread_mutex_unlock(&w->lock);
    return false;
  }
  e->wire = w;
  e->side = (u8)side;
  e->next_wired = d->channels.first_wired;
  d->channels.first_wired = id + 1;
  w->holders++;
  own->domain = d;
  own->id = id;
  own->count = own->first = 0;
  own->lacked = false;
  own->there = e->rx.bytes != 0;
  tell(own, NEWS_RESET | NEWS_ROOM); /* whatever was before, it is another end */
  if (own->there) tell(other_end(e), NEWS_RESET | NEWS_ROOM);
  pthread_mutex_unlock(&w->lock);
  return true;
}

static void unlink_wired(struct channels *c, u32 id) {
  u32 *at = &c->first_wired;
  while (*at != id + 1) at = &c->endpoint[*at - 1].next_wired;
  *at = c->endpoint[id].next_wired;
}

void wire_unplug(struct domain *d, u32 id) {
  struct ldc_endpoint *e = endpoint(d, id);
  struct ldc_wire *w = e->wire;
  if (!w) return;
  pthread_mutex_lock(&w->lock);
  struct wire_end *own = own_end(e);
  bool was = own->there;
  own->domain = NULL;
  own->there = own->lacked = false;
  own->news = own->count = own->first = 0;
  other_end(e)->count = 0;
  if (was) tell(other_end(e), NEWS_STATE);
  unlink_wired(&d->channels, id);
  e->wire = NULL;
  e->next_wired = 0;
  e->rx_event = 1;
  let_go(w);
  intr_update(d, CHANNEL_HANDLE + 2 * id + 1);
}

void wires_unplug(struct domain *d) {
  while (d->channels.first_wired) wire_unplug(d, d->channels.first_wired - 1);
}

/* ---- packets and states ---- */

static u64 room_of(const struct ldc_queue *q) {
  return q->bytes ? (q->bytes - LDC_PACKET - ((q->tail - q->head) & (q->bytes - 1))) / LDC_PACKET : 0;
}

/* Under the lock: what came, into the guest's queue. A page of a queue that will never come (mem/mem.h) ends both ways: the
 * guest is about to be stopped, and nothing may go out that it has not written. */
static void take_in(struct domain *d, struct ldc_endpoint *e) {
  struct wire_end *own = own_end(e);
  struct ldc_queue *q = &e->rx;
  for (u64 n = room_of(q); n && own->count; n--) {
    if (!ram_write(d->env.ram, RA(q->base + q->tail), own->packet[own->first], LDC_PACKET)) break;
    q->tail = (q->tail + LDC_PACKET) & (q->bytes - 1);
    own->first = (own->first + 1) % WIRE_PACKETS;
    own->count--;
  }
  if (!own->lacked || own->count > WIRE_PACKETS / 2) return;
  own->lacked = false;
  tell(other_end(e), NEWS_ROOM);
}

/* Under the lock: what the guest has sent, to the other end. */
static void hand_on(struct domain *d, struct ldc_endpoint *e) {
  struct wire_end *other = other_end(e);
  struct ldc_queue *q = &e->tx;
  if (!other->domain || !other->there || !q->bytes) return;
  bool moved = false;
  for (; q->head != q->tail && other->count < WIRE_PACKETS; other->count++, moved = true) {
    u8 *packet = other->packet[(other->first + other->count) % WIRE_PACKETS];
    if (!ram_read(d->env.ram, RA(q->base + q->head), packet, LDC_PACKET)) break;
    q->head = (q->head + LDC_PACKET) & (q->bytes - 1);
  }
  if (q->head != q->tail) other->lacked = true;
  if (moved) tell(other, 0);
}

bool wire_pump(struct domain *d, u32 id) {
  struct ldc_endpoint *e = endpoint(d, id);
  if (!e->wire) return false;
  pthread_mutex_lock(&e->wire->lock);
  hand_on(d, e);
  pthread_mutex_unlock(&e->wire->lock);
  return false;
}

bool wire_look(struct domain *d, u32 id) {
  struct ldc_endpoint *e = endpoint(d, id);
  if (!e->wire) return false;
  pthread_mutex_lock(&e->wire->lock);
  struct wire_end *own = own_end(e);
  u32 news = own->news;
  own->news = 0;
  take_in(d, e);
  bool waited = news & NEWS_ROOM && e->tx.head != e->tx.tail;
  if (waited) hand_on(d, e);
  pthread_mutex_unlock(&e->wire->lock);
  if (news & NEWS_RESET) e->reset |= RESET_DUE;
  if (news & (NEWS_RESET | NEWS_STATE)) e->rx_event = 1;
  if (waited) e->tx_event = 1;
  bool sent = intr_update(d, CHANNEL_HANDLE + 2 * id + 1);
  return intr_update(d, CHANNEL_HANDLE + 2 * id) || sent;
}

bool wires_look(struct domain *d) {
  bool sent = false;
  for (u32 at = d->channels.first_wired; at; at = endpoint(d, at - 1)->next_wired) sent |= wire_look(d, at - 1);
  return sent;
}

void wire_configured(struct domain *d, u32 id) {
  struct ldc_endpoint *e = endpoint(d, id);
  if (!e->wire) return;
  pthread_mutex_lock(&e->wire->lock);
  struct wire_end *own = own_end(e), *other = other_end(e);
  own->there = e->rx.bytes != 0;
  own->count = own->first = 0; /* of a session that is over */
  own->lacked = false;
  tell(other, own->there ? NEWS_RESET | NEWS_ROOM : NEWS_STATE);
  pthread_mutex_unlock(&e->wire->lock);
}

bool wire_there(const struct ldc_endpoint *e) {
  if (!e->wire) return false;
  pthread_mutex_lock(&e->wire->lock);
  bool there = other_end(e)->domain && other_end(e)->there;
  pthread_mutex_unlock(&e->wire->lock);
  return there;
}

/* ---- the other domain's memory ---- */

void wire_set_map(struct ldc_endpoint *e, u64 base, u64 entries) {
  if (e->wire) pthread_mutex_lock(&e->wire->lock);
  e->map_base = base;
  e->map_entries = entries;
  if (e->wire) pthread_mutex_unlock(&e->wire->lock);
}

/* One run of bytes that is contiguous in real addresses of both. What is written beside the owner's strands is marked once
 * more behind a fence: a harvest that took the mark away meanwhile finds it again (mem/mem.h). A page that follows a
 * migration is waited for; one that will never come is no memory. */
static u32 copy_run(const struct ram *from, u64 from_ra, struct ram *to, u64 to_ra, u64 bytes) {
  struct ram_ref ref;
  bool here = true;
  if (!ram_backed(from, RA(from_ra), bytes) || !ram_backed(to, RA(to_ra), bytes)) return HV_ENORADDR;
  for (u64 done = 0; here && done < bytes; done += ref.bytes) {
    here = ram_lookup(from, RA(from_ra + done), &ref);
    if (ref.bytes > bytes - done) ref.bytes = bytes - done;
    here = here && ram_write(to, RA(to_ra + done), ref.host, ref.bytes);
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  ram_written(to, RA(to_ra), bytes);
  return here ? HV_EOK : HV_ENORADDR;
}

static u32 copy_all(struct domain *d, const struct wire_end *other, bool out, u64 cookie, u64 local, u64 length, u64 *copied) {
  const struct ldc_endpoint *exporter = &other->domain->channels.endpoint[other->id];
  struct ram *theirs = other->domain->env.ram;
  while (*copied < length) {
    u64 remote = 0, bytes = 0;
    u32 right = out ? LDC_COPY_WRITE : LDC_COPY_READ;
    u32 status = ldc_translate(other->domain, exporter, cookie + *copied, right, &remote, &bytes);
    if (bytes > length - *copied) bytes = length - *copied;
    if (!status && out) status = copy_run(d->env.ram, local + *copied, theirs, remote, bytes);
    if (!status && !out) status = copy_run(theirs, remote, d->env.ram, local + *copied, bytes);
    if (status) return *copied ? HV_EOK : status;
    *copied += bytes;
  }
  return HV_EOK;
}

u32 wire_copy(struct domain *d, const struct ldc_endpoint *e, bool out, u64 cookie, u64 local, u64 length, u64 *copied) {
  u32 status = HV_ENOMAP; /* nobody is there to have exported anything */
  if (!e->wire) return status;
  pthread_mutex_lock(&e->wire->lock);
  const struct wire_end *other = other_end(e);
  if (other->domain) {
    pthread_rwlock_rdlock(&other->domain->reach);
    status = copy_all(d, other, out, cookie, local, length, copied);
    pthread_rwlock_unlock(&other->domain->reach);
  }
  pthread_mutex_unlock(&e->wire->lock);
  return status;
}
