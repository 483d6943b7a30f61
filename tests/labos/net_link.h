/* net_link.h - two stacks of images/labos/net, a virtual clock, and a bad link between them.
 *
 * The link loses, doubles, delays (so that frames overtake each other) and damages frames by seeded chance. Time
 * moves from event to event: the next arrival or the next deadline of a stack.
 */
#ifndef NET_LINK_H
#define NET_LINK_H
#include <stdarg.h>
#include <string.h>

#include "check.h"
#include "net/bytes.h"
#include "net/tcp.h"

enum { LINK_FRAMES = 4096, LINK_FRAME_MOST = NET_FRAME };

struct link_faults {
  u32 lose, twice, late, damage; /* of 1000 frames */
  u64 delay_us, late_us;
};

struct flight {
  u64 at;
  u32 to, bytes;
  u8 *data;
};

struct side {
  struct world *world;
  u32 number;
  struct net *net;
  struct net_interface *interface;
  u64 sent, lost;
};

struct world {
  u64 now_us;
  unsigned long long random;
  struct link_faults faults;
  bool cut; /* nothing passes */
  struct side side[2];
  struct flight flight[LINK_FRAMES];
  u32 flights;
  FILE *capture; /* pcap; NULL: none */
  /* Called for every frame before it goes; false: it is lost. */
  bool (*filter)(struct world *world, u32 from, const u8 *frame, size_t bytes);
  void *filter_context;
};

static u64 world_clock(void *context) { return ((struct world *)context)->now_us; }

static bool chance(struct world *w, u32 of_1000) { return random_next(&w->random) % 1000 < of_1000; }

static void capture_frame(struct world *w, const u8 *frame, size_t bytes) {
  u32 head[4] = {(u32)(w->now_us / 1000000), (u32)(w->now_us % 1000000), (u32)bytes, (u32)bytes};
  if (!w->capture) return;
  fwrite(head, sizeof head, 1, w->capture);
  fwrite(frame, bytes, 1, w->capture);
}

static inline void world_capture(struct world *w, const char *path) {
  const u32 head[6] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65535, 1};
  w->capture = fopen(path, "wb");
  CHECK(w->capture);
  fwrite(head, sizeof head, 1, w->capture);
}

static void fly(struct world *w, u32 to, const u8 *frame, size_t bytes) {
  if (w->flights == LINK_FRAMES) return;
  struct flight *f = &w->flight[w->flights++];
  *f = (struct flight){.at = w->now_us + w->faults.delay_us, .to = to, .bytes = (u32)bytes, .data = malloc(bytes)};
  CHECK(f->data);
  memcpy(f->data, frame, bytes);
  if (chance(w, w->faults.late)) f->at += random_next(&w->random) % (w->faults.late_us + 1);
  if (bytes > ETHER_HEADER && get16(frame + 12) == ETHER_IP && chance(w, w->faults.damage))
    f->data[ETHER_HEADER + random_next(&w->random) % (bytes - ETHER_HEADER)] ^= (u8)(1u << random_next(&w->random) % 8);
}

static bool link_output(void *context, const u8 *frame, size_t bytes) {
  struct side *side = context;
  struct world *w = side->world;
  side->sent++;
  CHECK(bytes >= 60 && bytes <= ETHER_HEADER + side->interface->mtu);
  capture_frame(w, frame, bytes);
  bool lost = w->cut || chance(w, w->faults.lose) || (w->filter && !w->filter(w, side->number, frame, bytes));
  side->lost += lost;
  if (lost) return true;
  fly(w, !side->number, frame, bytes);
  if (chance(w, w->faults.twice)) fly(w, !side->number, frame, bytes);
  return true;
}

static inline struct world *world_new(unsigned long long seed, u32 mtu_a, u32 mtu_b) {
  struct world *w = calloc(1, sizeof *w);
  CHECK(w);
  w->random = seed;
  w->now_us = 1000000;
  w->faults.delay_us = 500;
  for (u32 i = 0; i < 2; i++) {
    const u8 mac[6] = {0, 0x14, 0x4f, 0xf8, 0, (u8)(i + 1)};
    struct side *side = &w->side[i];
    *side = (struct side){.world = w, .number = i, .net = malloc(sizeof(struct net))};
    CHECK(side->net);
    net_init(side->net, world_clock, w, seed * 2 + i);
    side->interface = net_attach(side->net, "vnet0", mac, i ? mtu_b : mtu_a, link_output, side);
    CHECK(side->interface);
    CHECK(net_configure(side->net, side->interface, 0x0a000001 + i, 24) == NET_OK);
  }
  return w;
}

static inline void world_free(struct world *w) {
  for (u32 i = 0; i < w->flights; i++) free(w->flight[i].data);
  for (u32 i = 0; i < 2; i++) free(w->side[i].net);
  if (w->capture) fclose(w->capture);
  free(w);
}

/* What always holds of a connection, whatever came. */
static inline void socket_check(const struct tcp_socket *s) {
  if (!s->used || s->state == TCP_LISTEN || s->state == TCP_CLOSED) return;
  CHECK(seq_le(s->snd_una, s->snd_nxt) && seq_le(s->snd_nxt, s->snd_max));
  CHECK(seq_le(s->snd_max, s->snd_end + 1));
  CHECK(!seq_lt(s->snd_end, s->snd_una) || s->snd_una == s->snd_end + 1);
  CHECK((i32)(s->snd_end - s->snd_una) <= TCP_BUFFER);
  if (s->state < TCP_SYN_RECEIVED) return;
  CHECK(seq_le(s->rcv_read, s->rcv_nxt) && s->rcv_nxt - s->rcv_read <= TCP_BUFFER + 1);
  CHECK(seq_le(s->rcv_nxt, s->rcv_edge) && s->rcv_edge - s->rcv_nxt <= TCP_WINDOW_MOST);
  CHECK(s->rcv_edge - s->rcv_read <= TCP_BUFFER + 1);
  for (u32 i = 0; i < s->ranges; i++) {
    u32 before = i ? s->range[i - 1].end : s->rcv_nxt;
    CHECK(seq_lt(before, s->range[i].start) && seq_lt(s->range[i].start, s->range[i].end));
    CHECK(seq_le(s->range[i].end, s->rcv_edge));
  }
  CHECK(s->mss >= TCP_MSS_LEAST && s->cwnd >= 1 && s->rto <= TCP_RTO_MOST);
}

static inline void net_check(const struct net *net) {
  for (u32 i = 0; i < TCP_SOCKETS; i++) socket_check(&net->tcp[i]);
}

/* One event: false when nothing will ever happen again before `until`. */
static inline bool world_step(struct world *w, u64 until_us) {
  u64 next = until_us;
  u32 which = LINK_FRAMES;
  for (u32 i = 0; i < 2; i++) next = earlier(next, net_deadline(w->side[i].net));
  for (u32 i = 0; i < w->flights; i++)
    if (w->flight[i].at < next) {
      next = w->flight[i].at;
      which = i;
    }
  if (next > w->now_us) w->now_us = next;
  if (which < LINK_FRAMES) {
    struct flight f = w->flight[which];
    w->flights--;
    memmove(&w->flight[which], &w->flight[which + 1], (w->flights - which) * sizeof f); /* equal times stay in order */
    u8 *exact = malloc(f.bytes); /* a block of exactly this size: reading past it is seen */
    CHECK(exact);
    memcpy(exact, f.data, f.bytes);
    net_input(w->side[f.to].net, w->side[f.to].interface, exact, f.bytes);
    free(exact);
    free(f.data);
  }
  for (u32 i = 0; i < 2; i++) {
    net_tick(w->side[i].net);
    net_check(w->side[i].net);
  }
  return w->now_us < until_us;
}

static inline void world_run(struct world *w, u64 for_us) {
  u64 until = w->now_us + for_us;
  while (world_step(w, until)) {
  }
}

/* Byte `at` of the stream that belongs to `key`. */
static inline u8 stream_byte(u64 key, u64 at) {
  unsigned long long state = key ^ (at >> 3) * 0x9e3779b97f4a7c15u;
  return (u8)(random_next(&state) >> (at & 7) * 8);
}
#endif
