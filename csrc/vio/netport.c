/* netport.c - see netport.h. */
#include "vio/netport.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/hyp.h"

enum { FLOWS = 256, TAG_HIGH = 0x81, CLUSTER_HIGH = 0x08, CLUSTER_LOW = 0x33 };
#define FLOW_NS 1000000000ull

struct flow {
  u8 addresses[FRAME_ADDRESSES]; /* destination, source */
  u32 most; /* bytes of a frame */
  u64 generation, until_ns;
  struct net_port *to; /* held; NULL: free */
};

struct net_port {
  pthread_mutex_t lock; /* of what follows to `closed` */
  struct domain *domain;
  struct net_frames inbox;
  bool closed;
  u32 holders;          /* this and the next two: atomic */
  u64 generation;
  struct net_counters counters;
  struct flow flow[FLOWS];
};

struct net_frame *frame_new(u32 bytes) {
  struct net_frame *f = malloc(sizeof *f + bytes);
  if (!f) return NULL;
  f->next = NULL;
  f->bytes = bytes;
  return f;
}

void frames_push(struct net_frames *l, struct net_frame *f) {
  f->next = NULL;
  if (l->last)
    l->last->next = f;
  else
    l->first = f;
  l->last = f;
  l->count++;
}

struct net_frame *frames_pop(struct net_frames *l) {
  struct net_frame *f = l->first;
  if (!f) return NULL;
  l->first = f->next;
  if (!l->first) l->last = NULL;
  l->count--;
  return f;
}

void frames_free(struct net_frames *l) {
  for (struct net_frame *f; (f = frames_pop(l));) free(f);
}

/* ---- life ---- */

struct net_port *net_port_new(void) {
  struct net_port *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  pthread_mutex_init(&p->lock, NULL);
  p->holders = 1;
  return p;
}

void net_port_hold(struct net_port *p) { __atomic_add_fetch(&p->holders, 1, __ATOMIC_RELAXED); }

static void drop_flows(struct net_port *p) {
  for (u32 i = 0; i < FLOWS; i++) {
    struct net_port *to = p->flow[i].to;
    p->flow[i].to = NULL;
    if (to) net_port_release(to);
  }
}

void net_port_release(struct net_port *p) {
  if (__atomic_sub_fetch(&p->holders, 1, __ATOMIC_ACQ_REL)) return;
  drop_flows(p); /* closed before: there are none, unless nobody ever closed it */
  frames_free(&p->inbox);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

void net_port_close(struct net_port *p) {
  net_port_forget(p);
  pthread_mutex_lock(&p->lock);
  p->closed = true;
  bool alone = !p->domain;
  pthread_mutex_unlock(&p->lock);
  if (alone) drop_flows(p); /* else net_port_serve() does, whose thread may be looking at them */
  net_port_release(p);
}

void net_port_serve(struct net_port *p, struct domain *d) {
  pthread_mutex_lock(&p->lock);
  p->domain = d;
  bool over = p->closed && !d;
  if (d && p->inbox.count) domain_tell(d);
  pthread_mutex_unlock(&p->lock);
  if (over) drop_flows(p);
}

/* ---- frames for the guest ---- */

static void put_first(struct net_frames *l, struct net_frame *f) {
  f->next = l->first;
  l->first = f;
  if (!l->last) l->last = f;
  l->count++;
}

u32 net_port_put(struct net_port *p, struct net_frame *f, bool front, u32 most) {
  pthread_mutex_lock(&p->lock);
  bool room = p->inbox.count < most;
  u32 told = room && p->domain ? 2 : room;
  if (room && front) put_first(&p->inbox, f);
  if (room && !front) frames_push(&p->inbox, f);
  if (told == 2) domain_tell(p->domain);
  pthread_mutex_unlock(&p->lock);
  if (!room) free(f);
  return told;
}

struct net_frame *net_port_take(struct net_port *p) {
  pthread_mutex_lock(&p->lock);
  struct net_frame *f = frames_pop(&p->inbox);
  pthread_mutex_unlock(&p->lock);
  return f;
}

void net_port_each(struct net_port *p, void (*f)(void *, const struct net_frame *), void *ctx) {
  pthread_mutex_lock(&p->lock);
  for (const struct net_frame *each = p->inbox.first; each; each = each->next) f(ctx, each);
  pthread_mutex_unlock(&p->lock);
}

u32 net_port_waiting(struct net_port *p) {
  pthread_mutex_lock(&p->lock);
  u32 count = p->inbox.count;
  pthread_mutex_unlock(&p->lock);
  return count;
}

void net_port_clear(struct net_port *p) {
  pthread_mutex_lock(&p->lock);
  frames_free(&p->inbox);
  pthread_mutex_unlock(&p->lock);
}

static u64 taken(u64 *counter) { return __atomic_exchange_n(counter, 0, __ATOMIC_RELAXED); }
static void add(u64 *counter, u64 n) { __atomic_add_fetch(counter, n, __ATOMIC_RELAXED); }

struct net_counters net_port_counted(struct net_port *p) {
  struct net_counters *c = &p->counters;
  return (struct net_counters){taken(&c->in_frames), taken(&c->in_bytes), taken(&c->out_frames), taken(&c->out_bytes),
                               taken(&c->dropped)};
}

void net_port_dropped(struct net_port *p) { add(&p->counters.dropped, 1); }

/* ---- flows ---- */

u64 net_port_generation(const struct net_port *p) { return __atomic_load_n(&p->generation, __ATOMIC_ACQUIRE); }

void net_port_forget(struct net_port *p) { __atomic_add_fetch(&p->generation, 1, __ATOMIC_ACQ_REL); }

static struct flow *flow_of(struct net_port *p, const u8 *addresses) {
  u32 hash = 0;
  for (u32 i = 0; i < FRAME_ADDRESSES; i++) hash = hash * 31 + addresses[i];
  return &p->flow[(hash ^ hash >> 8) % FLOWS];
}

void net_port_flow(struct net_port *p, u64 generation, const u8 addresses[FRAME_ADDRESSES], u32 most, struct net_port *to,
                   u64 now_ns) {
  struct flow *f = flow_of(p, addresses);
  if (to == p || generation != net_port_generation(p)) return;
  net_port_hold(to);
  if (f->to) net_port_release(f->to);
  memcpy(f->addresses, addresses, FRAME_ADDRESSES);
  f->generation = generation;
  f->until_ns = now_ns + FLOW_NS;
  f->most = most;
  f->to = to;
}

/* Tags and heartbeats of clusters are for the client to look at. */
static bool is_plain(const struct net_frame *f) {
  const u8 *type = f->data + FRAME_ADDRESSES;
  return !(type[0] == TAG_HIGH && type[1] == 0) && !(type[0] == CLUSTER_HIGH && type[1] == CLUSTER_LOW);
}

bool net_port_pass(struct net_port *p, struct net_frame *frame, u64 now_ns) {
  const struct flow *f = flow_of(p, frame->data);
  u32 bytes = frame->bytes;
  if (!f->to || memcmp(f->addresses, frame->data, FRAME_ADDRESSES) || !is_plain(frame) || bytes > f->most)
    return false;
  if (f->generation != net_port_generation(p) || now_ns >= f->until_ns) return false;
  add(&p->counters.in_frames, 1);
  add(&p->counters.in_bytes, bytes);
  if (!net_port_put(f->to, frame, false, NETPORT_INBOX)) {
    add(&f->to->counters.dropped, 1);
    return true;
  }
  add(&f->to->counters.out_frames, 1);
  add(&f->to->counters.out_bytes, bytes);
  return true;
}
