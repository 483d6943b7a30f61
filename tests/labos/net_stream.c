/* net_stream.c - a stream through a bad link and back, byte for byte.
 *
 * Arguments: seed, bytes, then of 1000 frames: lost, doubled, late, damaged; MTU of both sides; capture file ("-": none).
 * A sends, B echoes with reads of random size and long stalls; A checks every byte; both then close. Prints one line.
 */
#include "net_link.h"

struct end {
  struct tcp_socket *socket;
  u64 sent, received, stall_until;
  bool eof, shut;
};

static void client_run(struct world *w, struct end *a, u64 bytes, u64 key) {
  u8 piece[5000];
  size_t n = 1 + random_next(&w->random) % sizeof piece;
  if (n > bytes - a->sent) n = bytes - a->sent;
  for (size_t i = 0; i < n; i++) piece[i] = stream_byte(key, a->sent + i);
  i64 done = n ? tcp_send(a->socket, piece, n) : 0;
  CHECK(done >= 0);
  a->sent += (u64)done;
  if (a->sent == bytes && !a->shut && a->socket->state == TCP_ESTABLISHED) {
    CHECK(tcp_shutdown(a->socket) == NET_OK);
    a->shut = true;
  }
  done = a->eof ? 0 : tcp_recv(a->socket, piece, 1 + random_next(&w->random) % sizeof piece);
  CHECK(done >= 0 || done == NET_EOF);
  if (done == NET_EOF) a->eof = true;
  for (i64 i = 0; i < done; i++) CHECK(piece[i] == stream_byte(key, a->received++));
}

/* Echoes; now and then it sleeps until the window has closed. */
static void server_run(struct world *w, struct end *b) {
  static u8 piece[5000];
  static size_t have, given;
  if (w->now_us < b->stall_until) return;
  if (chance(w, 1)) b->stall_until = w->now_us + random_next(&w->random) % 5000000;
  if (given == have && !b->eof) {
    i64 done = tcp_recv(b->socket, piece, 1 + random_next(&w->random) % sizeof piece);
    CHECK(done >= 0 || done == NET_EOF);
    given = have = 0;
    if (done == NET_EOF)
      b->eof = true;
    else
      have = (size_t)done;
    b->received += have;
  }
  if (given < have) {
    i64 done = tcp_send(b->socket, piece + given, have - given);
    CHECK(done >= 0);
    given += (size_t)done;
    b->sent += (u64)done;
  }
  if (b->eof && given == have && !b->shut) {
    tcp_close(b->socket);
    b->shut = true;
  }
}

static u32 sockets_used(const struct net *net) {
  u32 n = 0;
  for (u32 i = 0; i < TCP_SOCKETS; i++) n += net->tcp[i].used;
  return n;
}

static void print_line(const struct world *w, u64 bytes) {
  const struct net_counters *a = &w->side[0].net->counters, *b = &w->side[1].net->counters;
  printf("bytes %lu retransmits %lu fast %lu duplicates %lu out-of-order %lu bad %lu probes %lu seconds %lu\n", bytes,
         a->tcp_retransmits + b->tcp_retransmits, a->tcp_fast + b->tcp_fast, a->tcp_duplicates + b->tcp_duplicates,
         a->tcp_out_of_order + b->tcp_out_of_order, a->tcp_bad + b->tcp_bad + a->ip_bad + b->ip_bad,
         a->tcp_probes + b->tcp_probes, w->now_us / 1000000);
}

int main(int argc, char **argv) {
  CHECK(argc == 10);
  unsigned long long seed = strtoull(argv[1], NULL, 10);
  u64 bytes = strtoul(argv[2], NULL, 10);
  struct world *w = world_new(seed, (u32)atoi(argv[7]), (u32)atoi(argv[8]));
  w->faults = (struct link_faults){.lose = (u32)atoi(argv[3]), .twice = (u32)atoi(argv[4]), .late = (u32)atoi(argv[5]),
                                   .damage = (u32)atoi(argv[6]), .delay_us = 500, .late_us = 20000};
  if (strcmp(argv[9], "-") != 0) world_capture(w, argv[9]);
  struct tcp_socket *listener = tcp_listen(w->side[1].net, 7);
  struct end a = {.socket = tcp_connect(w->side[0].net, 0x0a000002, 7)}, b = {0};
  CHECK(listener && a.socket);
  u64 limit = w->now_us + 40000000000ul;
  while (!(a.eof && b.shut) && w->now_us < limit) {
    world_step(w, w->now_us + 10000);
    client_run(w, &a, bytes, seed);
    if (!b.socket) b.socket = tcp_accept(listener);
    if (b.socket) server_run(w, &b);
  }
  CHECK(a.eof && a.received == bytes && b.received == bytes && b.sent == bytes);
  print_line(w, bytes);
  tcp_close(a.socket);
  tcp_close(listener);
  world_run(w, 1000000000);
  CHECK(sockets_used(w->side[0].net) == 0 && sockets_used(w->side[1].net) == 0);
  world_free(w);
  return 0;
}
