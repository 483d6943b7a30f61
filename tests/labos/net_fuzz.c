/* net_fuzz.c - hostile frames. Arguments: seed, rounds. Prints how many frames were made and what became of them.
 *
 * Frames of a real exchange are changed: bytes, lengths, flags, numbers near the connection's own; checksums are put
 * right again for most, so that the damage reaches every layer. Whatever comes, the stack's own numbers stay sound
 * (net_check), and a later connection works.
 */
#include "net_link.h"

enum { KEPT = 64 };
static u8 kept[KEPT][2048];
static u32 kept_bytes[KEPT], kept_to[KEPT], kept_count;
static u64 made;

static bool keep(struct world *w, u32 from, const u8 *frame, size_t bytes) {
  if (bytes <= 2048) {
    u32 i = kept_count < KEPT ? kept_count++ : (u32)(random_next(&w->random) % KEPT);
    memcpy(kept[i], frame, bytes);
    kept_bytes[i] = (u32)bytes;
    kept_to[i] = !from;
  }
  return true;
}

static void put_right(u8 *frame, u32 bytes) {
  u8 *p = frame + ETHER_HEADER;
  u32 header = (u32)(p[0] & 15) * 4, total = bytes >= 18 ? get16(p + 2) : 0;
  if (get16(frame + 12) != ETHER_IP || header < 20 || ETHER_HEADER + header > bytes) return;
  set16(p + 10, 0);
  set16(p + 10, ip_checksum(p, header, 0));
  if (total < header || total > bytes - ETHER_HEADER) return;
  u8 *t = p + header;
  u32 rest = total - header, at = p[9] == PROTOCOL_TCP ? 16 : p[9] == PROTOCOL_UDP ? 6 : 2;
  if (rest < at + 2) return;
  set16(t + at, 0);
  set16(t + at, ip_checksum(t, rest, p[9] == PROTOCOL_ICMP ? 0 : ip_pseudo_sum(get32(p + 12), get32(p + 16), p[9], rest)));
}

static const u8 EDGES[] = {0, 1, 2, 4, 5, 15, 16, 0x7f, 0x80, 0xfe, 0xff};

static void mutate(struct world *w, u8 *frame, u32 *bytes) {
  unsigned long long r = random_next(&w->random);
  u32 at = *bytes > 12 ? 12 + (u32)(random_next(&w->random) % (*bytes - 12)) : 0;
  switch (r % 8) {
    case 0: frame[at] ^= (u8)(1u << (r >> 8) % 8); break;
    case 1: frame[at] = EDGES[(r >> 8) % sizeof EDGES]; break;
    case 2: *bytes = (u32)((r >> 8) % (*bytes + 1)); break;
    case 3: if (*bytes > 18) set16(frame + 16, (u32)(r >> 8)); break;                                    /* IP length */
    case 4: if (*bytes >= 54) set32(frame + 38, get32(frame + 38) + (u32)((r >> 8) % 140000) - 70000); break; /* seq */
    case 5: if (*bytes >= 54) set32(frame + 42, get32(frame + 42) + (u32)((r >> 8) % 140000) - 70000); break; /* ack */
    case 6: if (*bytes >= 54) frame[47] = (u8)(r >> 8); break;                                           /* flags */
    default: if (*bytes >= 54) set16(frame + 48, (r >> 8) % 4 ? (u32)(r >> 16) : 0); break;              /* window */
  }
}

static void hostile_frame(struct world *w) {
  u32 which = (u32)(random_next(&w->random) % kept_count), bytes = kept_bytes[which];
  u8 frame[2048];
  memcpy(frame, kept[which], bytes);
  for (u32 n = 1 + (u32)(random_next(&w->random) % 3); n > 0; n--) mutate(w, frame, &bytes);
  if (bytes >= ETHER_HEADER + 20 && chance(w, 900)) put_right(frame, bytes);
  u8 *exact = malloc(bytes ? bytes : 1);
  CHECK(exact);
  memcpy(exact, frame, bytes);
  struct side *side = &w->side[kept_to[which]];
  net_input(side->net, side->interface, exact, bytes);
  free(exact);
  net_check(side->net);
  made++;
}

static void talk(struct world *w, struct tcp_socket *s) {
  u8 piece[3000] = {0};
  if (!s) return;
  tcp_send(s, piece, 1 + random_next(&w->random) % sizeof piece);
  tcp_recv(s, piece, 1 + random_next(&w->random) % sizeof piece);
  if (chance(w, 5)) tcp_shutdown(s);
}

static void round_of(struct world *w, struct tcp_socket *listener) {
  struct tcp_socket *a = tcp_connect(w->side[0].net, 0x0a000002, 7), *b = NULL;
  struct udp_socket *u = udp_open(w->side[0].net, 0);
  struct echo_reply reply;
  for (u32 i = 0; i < 200; i++) {
    world_step(w, w->now_us + 1000);
    if (!b) b = tcp_accept(listener);
    talk(w, a);
    talk(w, b);
    if (u && chance(w, 50)) udp_send(u, 0x0a000002, 123, &i, sizeof i);
    if (chance(w, 50)) icmp_echo_send(w->side[0].net, 0x0a000002, 1, (u16)i, 100);
    icmp_echo_next(w->side[0].net, &reply);
    if (kept_count) hostile_frame(w);
  }
  if (u) udp_close(u);
  if (a && chance(w, 500)) tcp_abort(a);
  else if (a) tcp_close(a);
  if (b) tcp_close(b);
  while ((b = tcp_accept(listener))) tcp_abort(b);
  world_run(w, chance(w, 500) ? 100000000 : 1000);
}

static void still_works(struct world *w, struct tcp_socket *listener) {
  w->filter = NULL;
  for (struct tcp_socket *s; (s = tcp_accept(listener));) tcp_close(s);
  world_run(w, 3000000000);
  CHECK(listener->state == TCP_LISTEN);
  struct tcp_socket *a = tcp_connect(w->side[0].net, 0x0a000002, 7), *b;
  u8 buffer[8];
  CHECK(a);
  world_run(w, 10000000);
  while ((b = tcp_accept(listener)) && b->remote_port != a->local_port) tcp_close(b);
  CHECK(b && tcp_send(a, "hello", 5) == 5);
  world_run(w, 1000000);
  CHECK(tcp_recv(b, buffer, 8) == 5 && memcmp(buffer, "hello", 5) == 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  struct world *w = world_new(strtoull(argv[1], NULL, 10), 1500, 1500);
  w->filter = keep;
  struct tcp_socket *listener = tcp_listen(w->side[1].net, 7);
  CHECK(listener && udp_open(w->side[1].net, 123));
  for (int i = atoi(argv[2]); i > 0; i--) round_of(w, listener);
  still_works(w, listener);
  const struct net_counters *c = &w->side[1].net->counters;
  printf("frames %lu ip-bad %lu tcp-in %lu tcp-bad %lu outside %lu challenges %lu resets %lu\n", made, c->ip_bad, c->tcp_in,
         c->tcp_bad, c->tcp_outside, c->tcp_challenges, c->tcp_resets_out);
  world_free(w);
  return 0;
}
