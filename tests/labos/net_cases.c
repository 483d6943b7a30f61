/* net_cases.c - one situation after the other, each in a world of its own. Prints "ok". */
#include "net_link.h"

enum { SECOND = 1000000 };
static const u32 A = 0x0a000001, B = 0x0a000002, NOBODY = 0x0a000063;

static struct tcp_socket *listener, *client, *server;

/* A connection from A to B's port 7 that stands. */
static struct world *connected(unsigned long long seed) {
  struct world *w = world_new(seed, 1500, 1500);
  listener = tcp_listen(w->side[1].net, 7);
  client = tcp_connect(w->side[0].net, B, 7);
  CHECK(listener && client);
  world_run(w, SECOND);
  server = tcp_accept(listener);
  CHECK(server && client->state == TCP_ESTABLISHED && server->state == TCP_ESTABLISHED);
  return w;
}

static void addresses(void) {
  u32 address, prefix;
  CHECK(ip_parse("10.0.0.1", &address) && address == A);
  CHECK(ip_parse("255.255.255.255", &address) && address == ~0u);
  const char *bad[] = {"",       "1",        "1.2.3",  "1.2.3.4.5",   "1.2.3.256", "1.2.3.",
                       ".1.2.3", "1.2.3.4x", "1..2.3", "01234.1.1.1", "-1.2.3.4"};
  for (u32 i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!ip_parse(bad[i], &address));
  CHECK(ip_parse_prefix("10.0.0.1/24", &address, &prefix) && prefix == 24);
  CHECK(ip_parse_prefix("10.0.0.1", &address, &prefix) && prefix == 32);
  CHECK(!ip_parse_prefix("10.0.0.1/33", &address, &prefix) && !ip_parse_prefix("10.0.0.1/", &address, &prefix));
  struct world *w = world_new(1, 1500, 1500);
  struct net *net = w->side[0].net;
  struct net_interface *interface = w->side[0].interface;
  CHECK(net_configure(net, interface, 0x0a0000ff, 24) == NET_INVALID);
  CHECK(net_configure(net, interface, 0x0a000000, 24) == NET_INVALID);
  CHECK(net_configure(net, interface, 0xe0000001, 24) == NET_INVALID);
  CHECK(net_configure(net, interface, 0x7f000002, 8) == NET_INVALID);
  CHECK(net_configure(net, interface, 0x0a000001, 33) == NET_INVALID);
  CHECK(net_configure(net, interface, 0, 24) == NET_INVALID);
  CHECK(net_configure(net, interface, 0x0a0000fe, 31) == NET_OK);
  CHECK(net_configure(net, interface, 0x0a0000ff, 32) == NET_OK);
  CHECK(!net_attach(net, "vnet0", interface->mac, 1500, link_output, NULL)); /* the name is taken */
  CHECK(!net_attach(net, "vnet1", interface->mac, 100, link_output, NULL));
  world_free(w);
}

static void ping(void) {
  struct world *w = world_new(2, 1500, 1500);
  struct net *net = w->side[0].net;
  struct echo_reply reply;
  CHECK(icmp_echo_send(net, B, 7, 3, 56) == NET_OK);
  world_run(w, SECOND);
  CHECK(icmp_echo_next(net, &reply) && !icmp_echo_next(net, &reply));
  CHECK(reply.from == B && reply.id == 7 && reply.sequence == 3 && reply.bytes == 56 && reply.intact && reply.ttl == 64);
  CHECK(icmp_echo_send(net, NOBODY, 7, 4, 56) == NET_OK); /* its ARP is not answered, five times */
  world_run(w, 10 * SECOND);
  CHECK(!icmp_echo_next(net, &reply) && net->interface[1].out_frames == 3 + 5);
  CHECK(icmp_echo_send(net, 0xc0000201, 7, 5, 56) == NET_UNREACHABLE && icmp_echo_send(net, B, 7, 5, 1480) == NET_INVALID);
  u32 own[] = {A, 0x7f000001, 0x7f123456};
  for (u32 i = 0; i < 3; i++) {
    CHECK(icmp_echo_send(net, own[i], 8, 6, 100) == NET_OK);
    world_run(w, SECOND);
    CHECK(icmp_echo_next(net, &reply) && reply.from == own[i] && reply.intact);
  }
  CHECK(w->side[0].sent == 3 + 5); /* nothing of that went out */
  net->gateway = B;
  CHECK(icmp_echo_send(net, 0xc0000201, 7, 5, 56) == NET_OK); /* goes to the gateway, which does not forward */
  world_run(w, SECOND);
  CHECK(w->side[1].net->counters.ip_other == 1);
  world_free(w);
}

static void datagrams(void) {
  struct world *w = world_new(3, 1500, 1500);
  struct udp_socket *a = udp_open(w->side[0].net, 0), *b = udp_open(w->side[1].net, 123);
  CHECK(a && b && !udp_open(w->side[1].net, 123));
  CHECK(udp_send(a, B, 123, "hello", 5) == NET_OK && udp_send(a, B, 123, "", 0) == NET_OK);
  world_run(w, SECOND);
  const struct udp_datagram *d = udp_next(b);
  CHECK(d == NULL || d->bytes == 0 || memcmp(d->data, "hello", 5) == 0); /* ARP keeps the later of the two */
  udp_drop(b);
  CHECK(udp_send(a, B, 123, "hello", 5) == NET_OK);
  world_run(w, SECOND);
  d = udp_next(b);
  CHECK(d && d->bytes == 5 && memcmp(d->data, "hello", 5) == 0 && d->from == A && d->from_port == a->port);
  udp_drop(b);
  for (u32 i = 0; i < UDP_QUEUE + 3; i++) CHECK(udp_send(a, B, 123, &i, 4) == NET_OK);
  world_run(w, SECOND);
  CHECK(b->count == UDP_QUEUE && w->side[1].net->counters.udp_dropped == 3);
  CHECK(udp_send(a, B, 124, "x", 1) == NET_OK && !a->refused);
  world_run(w, SECOND);
  CHECK(a->refused);
  CHECK(udp_send(a, B, 123, "x", UDP_MOST + 1) == NET_INVALID);
  world_free(w);
}

static void refused_and_unreachable(void) {
  struct world *w = world_new(4, 1500, 1500);
  struct tcp_socket *s = tcp_connect(w->side[0].net, B, 9);
  u8 byte;
  CHECK(s && tcp_send(s, "x", 1) == 0);
  world_run(w, SECOND);
  CHECK(s->state == TCP_CLOSED && tcp_recv(s, &byte, 1) == NET_REFUSED && tcp_send(s, "x", 1) == NET_REFUSED);
  tcp_close(s);
  CHECK(!s->used && !tcp_connect(w->side[0].net, 0xc0000201, 9));
  s = tcp_connect(w->side[0].net, NOBODY, 9); /* no ARP answer: SYN again and again, then the end */
  CHECK(s);
  world_run(w, 200ul * SECOND);
  CHECK(tcp_recv(s, &byte, 1) == NET_TIMEOUT);
  tcp_close(s);
  world_free(w);
}

static void half_close(void) {
  struct world *w = connected(5);
  u8 buffer[100];
  CHECK(tcp_send(client, "abc", 3) == 3 && tcp_shutdown(client) == NET_OK);
  CHECK(tcp_send(client, "d", 1) < 0 && tcp_shutdown(client) == NET_INVALID);
  world_run(w, SECOND);
  CHECK(client->state == TCP_FIN_WAIT_2 && server->state == TCP_CLOSE_WAIT);
  CHECK(tcp_recv(server, buffer, 100) == 3 && memcmp(buffer, "abc", 3) == 0 && tcp_recv(server, buffer, 100) == NET_EOF);
  CHECK(tcp_send(server, "defg", 4) == 4);
  world_run(w, SECOND);
  CHECK(tcp_recv(client, buffer, 2) == 2 && tcp_recv(client, buffer, 100) == 2 && tcp_recv(client, buffer, 100) == 0);
  tcp_close(server);
  world_run(w, SECOND);
  CHECK(!server->used && client->state == TCP_TIME_WAIT && tcp_recv(client, buffer, 100) == NET_EOF);
  world_run(w, 61 * SECOND);
  CHECK(client->state == TCP_CLOSED && tcp_recv(client, buffer, 100) == NET_EOF);
  tcp_close(client);
  CHECK(!client->used);
  world_free(w);
}

static void both_close_at_once(void) {
  struct world *w = connected(6);
  tcp_shutdown(client);
  tcp_shutdown(server);
  world_run(w, SECOND);
  CHECK(client->state == TCP_TIME_WAIT && server->state == TCP_TIME_WAIT);
  world_free(w);
}

/* SYNs cross: ports are made to match by hand. */
static void both_call_at_once(void) {
  struct world *w = world_new(7, 1500, 1500);
  w->side[0].net->next_port = 40000;
  w->side[1].net->next_port = 50000;
  struct tcp_socket *a = tcp_connect(w->side[0].net, B, 50001), *b = tcp_connect(w->side[1].net, A, 40001);
  CHECK(a && b);
  world_run(w, 5 * SECOND);
  CHECK(a->state == TCP_ESTABLISHED && b->state == TCP_ESTABLISHED);
  u8 buffer[4];
  CHECK(tcp_send(a, "ping", 4) == 4);
  world_run(w, SECOND);
  CHECK(tcp_recv(b, buffer, 4) == 4 && memcmp(buffer, "ping", 4) == 0);
  world_free(w);
}

/* Nobody reads for hours: the sender keeps asking, and goes on within its longest interval. */
static void closed_window(void) {
  struct world *w = connected(8);
  static u8 piece[TCP_BUFFER];
  size_t sent = 0, received = 0;
  for (u32 i = 0; i < 5; i++) {
    i64 n = tcp_send(client, piece, sizeof piece);
    CHECK(n >= 0);
    sent += (size_t)n;
    world_run(w, SECOND);
  }
  CHECK(sent > TCP_BUFFER && client->snd_wnd == 0);
  world_run(w, 36000ul * SECOND);
  CHECK(client->state == TCP_ESTABLISHED && w->side[0].net->counters.tcp_probes > 500);
  for (i64 n; received < sent;) {
    n = tcp_recv(server, piece, 10000);
    CHECK(n >= 0);
    received += (size_t)n;
    if (n == 0) world_run(w, 61 * SECOND);
  }
  CHECK(tcp_recv(server, piece, 1) == 0);
  world_free(w);
}

/* The link is cut: with data on the way, with a closed window; both ends give up, none before its time. */
static void dead_link(void) {
  struct world *w = connected(9);
  u8 byte;
  CHECK(tcp_send(client, "x", 1) == 1);
  w->cut = true;
  world_run(w, 100ul * SECOND);
  CHECK(client->state == TCP_ESTABLISHED);
  world_run(w, 2000ul * SECOND);
  CHECK(tcp_recv(client, &byte, 1) == NET_TIMEOUT && server->state == TCP_ESTABLISHED);
  world_free(w);
  w = connected(10);
  static u8 piece[TCP_BUFFER];
  for (u32 i = 0; i < 5; i++) {
    CHECK(tcp_send(client, piece, sizeof piece) >= 0);
    world_run(w, SECOND);
  }
  w->cut = true;
  world_run(w, 100ul * SECOND);
  CHECK(client->state == TCP_ESTABLISHED);
  world_run(w, 2000ul * SECOND);
  CHECK(tcp_recv(client, &byte, 1) == NET_TIMEOUT);
  world_free(w);
}

/* A pause as in a migration: everything is lost for a while, then goes on where it was. */
static void long_pause(void) {
  struct world *w = connected(11);
  static u8 piece[30000], got[30000];
  for (u32 i = 0; i < sizeof piece; i++) piece[i] = stream_byte(11, i);
  CHECK(tcp_send(client, piece, sizeof piece) == sizeof piece);
  w->cut = true;
  world_run(w, 30 * SECOND);
  w->cut = false;
  world_run(w, 60 * SECOND);
  CHECK(tcp_recv(server, got, sizeof got) == sizeof got && memcmp(got, piece, sizeof got) == 0);
  world_free(w);
}

static void aborts(void) {
  struct world *w = connected(12);
  u8 byte;
  tcp_abort(client);
  world_run(w, SECOND);
  CHECK(!client->used && tcp_recv(server, &byte, 1) == NET_RESET);
  world_free(w);
  w = connected(13);
  tcp_send(client, "unread", 6);
  world_run(w, SECOND);
  tcp_close(server); /* with data nobody read */
  world_run(w, SECOND);
  CHECK(tcp_recv(client, &byte, 1) == NET_RESET);
  world_free(w);
  w = connected(14);
  tcp_close(server);
  world_run(w, SECOND);
  CHECK(client->state == TCP_CLOSE_WAIT && tcp_send(client, "late", 4) == 4);
  world_run(w, SECOND);
  CHECK(tcp_send(client, "x", 1) == NET_RESET);
  world_free(w);
}

static void listeners(void) {
  struct world *w = world_new(15, 1500, 1500);
  struct net *net = w->side[1].net;
  listener = tcp_listen(net, 7);
  CHECK(listener && !tcp_listen(net, 7) && !tcp_listen(net, 0) && !tcp_accept(listener));
  struct tcp_socket *many[8];
  icmp_echo_send(w->side[0].net, B, 1, 1, 0); /* so that no SYN waits for ARP */
  world_run(w, SECOND);
  for (u32 i = 0; i < 8; i++) many[i] = tcp_connect(w->side[0].net, B, 7);
  world_run(w, SECOND);
  u32 accepted = 0;
  while (tcp_accept(listener)) accepted++;
  CHECK(accepted == TCP_HALF_OPEN); /* as many as wait at once; the others ask again */
  world_run(w, 3 * SECOND);
  while (tcp_accept(listener)) accepted++;
  CHECK(accepted == 8);
  for (u32 i = 0; i < 8; i++) CHECK(many[i]->state == TCP_ESTABLISHED);
  struct tcp_socket *late = tcp_connect(w->side[0].net, B, 7);
  world_run(w, SECOND);
  CHECK(late && late->state == TCP_ESTABLISHED);
  tcp_close(listener); /* who was not accepted is sent away, the others stay */
  world_run(w, SECOND);
  CHECK(late->state == TCP_CLOSED && many[0]->state == TCP_ESTABLISHED);
  world_free(w);
}

/* A segment from A's address made by someone who guesses. */
static void forge(struct world *w, u8 flags, u32 seq, u32 ack, const char *data) {
  u8 frame[200] = {0}, *p = frame + ETHER_HEADER, *t = p + IP_HEADER;
  u32 bytes = (u32)strlen(data);
  memcpy(frame, w->side[1].interface->mac, 6);
  memcpy(frame + 6, w->side[0].interface->mac, 6);
  set16(frame + 12, ETHER_IP);
  p[0] = 0x45;
  set16(p + 2, IP_HEADER + TCP_HEADER + bytes);
  p[8] = 64;
  p[9] = PROTOCOL_TCP;
  set32(p + 12, A);
  set32(p + 16, B);
  set16(p + 10, ip_checksum(p, IP_HEADER, 0));
  set16(t, client->local_port);
  set16(t + 2, 7);
  set32(t + 4, seq);
  set32(t + 8, ack);
  t[12] = 5 << 4;
  t[13] = flags;
  set16(t + 14, 1000);
  memcpy(t + TCP_HEADER, data, bytes);
  set16(t + 16, ip_checksum(t, TCP_HEADER + bytes, ip_pseudo_sum(A, B, PROTOCOL_TCP, TCP_HEADER + bytes)));
  net_input(w->side[1].net, w->side[1].interface, frame, ETHER_HEADER + IP_HEADER + TCP_HEADER + bytes);
}

static void blind_attacks(void) {
  struct world *w = connected(16);
  const struct net_counters *c = &w->side[1].net->counters;
  u32 next = server->rcv_nxt, una = server->snd_una;
  forge(w, TCP_RST, next + 1000, 0, "");
  CHECK(server->state == TCP_ESTABLISHED && c->tcp_challenges == 1);
  forge(w, TCP_RST, next + 70000, 0, "");
  CHECK(server->state == TCP_ESTABLISHED && c->tcp_challenges == 1 && c->tcp_outside == 1);
  forge(w, TCP_SYN, next + 5, 0, "");
  CHECK(server->state == TCP_ESTABLISHED && c->tcp_challenges == 2);
  forge(w, TCP_ACK, next, una + 1000, "evil"); /* acknowledges what was never sent */
  CHECK(server->state == TCP_ESTABLISHED && tcp_readable(server) == 0);
  forge(w, 0, next, una, "evil"); /* no ACK bit */
  CHECK(tcp_readable(server) == 0);
  world_run(w, SECOND);
  CHECK(client->state == TCP_ESTABLISHED);
  forge(w, TCP_RST, next, 0, ""); /* the right number: it is from the other end */
  CHECK(server->state == TCP_CLOSED && server->error == NET_RESET);
  world_free(w);
}

/* What was received first stays; pieces in any order give the stream once. */
static void overlapping_pieces(void) {
  struct world *w = connected(17);
  u32 next = server->rcv_nxt, una = server->snd_una;
  u8 got[64];
  forge(w, TCP_ACK, next + 4, una, "EFGH");
  forge(w, TCP_ACK, next + 12, una, "MNOP");
  forge(w, TCP_ACK, next + 2, una, "cdxxxxijklxxxx");
  CHECK(tcp_readable(server) == 0 && server->ranges == 1);
  forge(w, TCP_ACK | TCP_FIN, next + 16, una, "qr");
  forge(w, TCP_ACK | TCP_FIN, next + 16, una, "q"); /* another end: the first counts */
  CHECK(server->state == TCP_ESTABLISHED);
  forge(w, TCP_ACK, next, una, "abxx");
  CHECK(server->state == TCP_CLOSE_WAIT && tcp_recv(server, got, 64) == 18);
  CHECK(memcmp(got, "abcdEFGHijklMNOPqr", 18) == 0 && tcp_recv(server, got, 64) == NET_EOF);
  forge(w, TCP_ACK, next + 18, una, "more");
  CHECK(tcp_recv(server, got, 64) == NET_EOF);
  world_free(w);
}

static void addresses_in_arp(void) {
  struct world *w = world_new(18, 1500, 1500);
  struct net *net = w->side[1].net;
  u8 p[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9};
  set32(p + 28, A); /* someone else says he is A: refreshes nothing before we know A */
  set32(p + 38, 0x0a000050);
  net_input(net, w->side[1].interface, p, 60);
  for (u32 i = 0; i < ARP_ENTRIES; i++) CHECK(net->arp[i].state == ARP_FREE);
  set32(p + 28, B); /* someone has our address */
  net_input(net, w->side[1].interface, p, 60);
  CHECK(net->counters.arp_conflicts == 1);
  for (u32 i = 0; i < 60; i++) net_input(net, w->side[1].interface, p, i);
  set32(p + 38, B);
  for (u32 i = 3; i < 200; i++) { /* more neighbours than entries: each gets its answer */
    set32(p + 28, 0x0a000000 + i);
    net_input(net, w->side[1].interface, p, 60);
  }
  CHECK(w->side[1].sent == 1 + 197);
  world_free(w);
}

int main(void) {
  addresses();
  ping();
  datagrams();
  refused_and_unreachable();
  half_close();
  both_close_at_once();
  both_call_at_once();
  closed_window();
  dead_link();
  long_pause();
  aborts();
  listeners();
  blind_attacks();
  overlapping_pieces();
  addresses_in_arp();
  puts("ok");
  return 0;
}
