/* net_linux.c - our stack against the one of the Linux kernel this runs on, through a tap device.
 *
 * Arguments: seed, bytes, frames of 1000 that are lost. Ends with 77 where no network namespace or tap may be made.
 * Ours connects to Linux and Linux to ours; both echo; every byte is checked. UDP and ping go as well. The clock is the
 * host's, because Linux's timers are; nothing is decided by how long it takes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net_link.h"

static const u32 OURS = 0x0a000001, LINUX = 0x0a000002;
static unsigned long long chances;
static u32 lose;

static u64 host_clock(void *context) {
  struct timespec now;
  (void)context;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (u64)now.tv_sec * 1000000 + (u64)now.tv_nsec / 1000;
}

static bool tap_output(void *context, const u8 *frame, size_t bytes) {
  if (random_next(&chances) % 1000 < lose) return true;
  return write(*(int *)context, frame, bytes) == (ssize_t)bytes;
}

static void skip(const char *what) {
  printf("needs %s\n", what);
  exit(EXIT_SKIP);
}

static struct sockaddr_in at(u32 address, u16 port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

static void set_address(int control, struct ifreq *request, unsigned long what, u32 address) {
  struct sockaddr_in name = at(address, 0);
  memcpy(&request->ifr_addr, &name, sizeof name);
  CHECK(ioctl(control, what, request) == 0);
}

static int tap_open(void) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  strcpy(request.ifr_name, "labos0");
  if (unshare(CLONE_NEWNET) != 0) skip("the right to make a network namespace");
  int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0) skip("/dev/net/tun");
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(control >= 0);
  set_address(control, &request, SIOCSIFADDR, LINUX);
  set_address(control, &request, SIOCSIFNETMASK, 0xffffff00);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  CHECK(ioctl(control, SIOCSIFFLAGS, &request) == 0);
  close(control);
  return tap;
}

static void pump(struct net *net, int tap) {
  static u8 frame[20000];
  struct pollfd wait = {.fd = tap, .events = POLLIN};
  poll(&wait, 1, 1);
  for (ssize_t n; (n = read(tap, frame, sizeof frame)) > 0;)
    if (random_next(&chances) % 1000 >= lose) net_input(net, &net->interface[1], frame, (size_t)n);
  net_tick(net);
  net_check(net);
}

/* One way of an end: ours or a socket of Linux. Both give counts, 0 for "not now", and -1 for the end. */
struct end {
  struct tcp_socket *ours;
  int linux_socket;
};

static i64 end_send(const struct end *e, const u8 *data, size_t bytes) {
  if (e->ours) return tcp_send(e->ours, data, bytes);
  ssize_t n = send(e->linux_socket, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  return n < 0 ? 0 : n;
}

static i64 end_receive(const struct end *e, u8 *data, size_t bytes) {
  if (e->ours) {
    i64 n = tcp_recv(e->ours, data, bytes);
    CHECK(n >= 0 || n == NET_EOF);
    return n;
  }
  ssize_t n = recv(e->linux_socket, data, bytes, MSG_DONTWAIT);
  return n > 0 ? n : n == 0 ? -1 : 0;
}

static void end_shutdown(const struct end *e) {
  if (e->ours)
    CHECK(tcp_shutdown(e->ours) == NET_OK);
  else
    CHECK(shutdown(e->linux_socket, SHUT_WR) == 0);
}

static void exchange(struct net *net, int tap, const struct end *client, const struct end *server, u64 bytes) {
  u64 sent = 0, received = 0, limit = host_clock(NULL) + 240000000;
  u8 out[4000], echo[4000], in[4000];
  size_t have = 0, given = 0;
  bool shut = false, server_eof = false, client_eof = false;
  while (!client_eof && host_clock(NULL) < limit) {
    size_t n = bytes - sent < sizeof out ? bytes - sent : sizeof out;
    for (size_t i = 0; i < n; i++) out[i] = stream_byte(0, sent + i);
    if (n) sent += (u64)end_send(client, out, n);
    if (sent == bytes && !shut) end_shutdown(client), shut = true;
    if (given == have && !server_eof) {
      i64 got = end_receive(server, echo, sizeof echo);
      given = 0, have = got > 0 ? (size_t)got : 0;
      if (got < 0) end_shutdown(server), server_eof = true;
    }
    if (given < have) given += (size_t)end_send(server, echo + given, have - given);
    i64 got = end_receive(client, in, sizeof in);
    for (i64 i = 0; i < got; i++) CHECK(in[i] == stream_byte(0, received++));
    client_eof = got < 0;
    pump(net, tap);
  }
  CHECK(client_eof && received == bytes);
}

static void streams(struct net *net, int tap, u64 bytes) {
  int one = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in name = at(LINUX, 7);
  setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  CHECK(bind(listening, (struct sockaddr *)&name, sizeof name) == 0 && listen(listening, 1) == 0);
  struct end a = {.ours = tcp_connect(net, LINUX, 7)}, b = {.linux_socket = -1};
  CHECK(a.ours);
  while ((b.linux_socket = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) < 0) pump(net, tap);
  exchange(net, tap, &a, &b, bytes);
  tcp_close(a.ours);
  close(b.linux_socket);
  struct tcp_socket *listener = tcp_listen(net, 7);
  a = (struct end){.linux_socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
  b = (struct end){.linux_socket = -1};
  name = at(OURS, 7);
  connect(a.linux_socket, (struct sockaddr *)&name, sizeof name);
  while (!(b.ours = tcp_accept(listener))) pump(net, tap);
  exchange(net, tap, &a, &b, bytes);
}

static void datagrams(struct net *net, int tap) {
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in name = at(LINUX, 123), from;
  socklen_t from_bytes = sizeof from;
  u8 buffer[2000];
  CHECK(bind(s, (struct sockaddr *)&name, sizeof name) == 0);
  struct udp_socket *u = udp_open(net, 0), *nobody = udp_open(net, 0);
  ssize_t n = -1;
  for (u32 i = 0; n < 0; i++) {
    if (i % 200 == 0) CHECK(udp_send(u, LINUX, 123, "question", 8) == NET_OK);
    pump(net, tap);
    n = recvfrom(s, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &from_bytes);
  }
  CHECK(n == 8 && memcmp(buffer, "question", 8) == 0 && ntohs(from.sin_port) == u->port);
  for (u32 i = 0; !udp_next(u); i++) {
    if (i % 200 == 0) CHECK(sendto(s, "answer", 6, 0, (struct sockaddr *)&from, from_bytes) == 6);
    pump(net, tap);
  }
  CHECK(udp_next(u)->bytes == 6 && memcmp(udp_next(u)->data, "answer", 6) == 0);
  for (u32 i = 0; !nobody->refused; i++) { /* Linux limits its ICMP errors */
    if (i % 200 == 0) CHECK(udp_send(nobody, LINUX, 124, "x", 1) == NET_OK);
    pump(net, tap);
  }
  close(s);
}

static void ping(struct net *net, int tap) {
  struct echo_reply reply = {0};
  for (u32 i = 0; !icmp_echo_next(net, &reply) || reply.unreachable; i++) {
    if (i % 200 == 0) CHECK(icmp_echo_send(net, LINUX, 9, 1, 1000) == NET_OK);
    pump(net, tap);
  }
  CHECK(reply.from == LINUX && reply.bytes == 1000 && reply.intact);
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  const u8 mac[6] = {2, 0, 0, 0, 0, 1};
  int tap = tap_open();
  struct net *net = malloc(sizeof *net);
  CHECK(net);
  chances = strtoull(argv[1], NULL, 10);
  lose = (u32)atoi(argv[3]);
  net_init(net, host_clock, NULL, chances);
  struct net_interface *interface = net_attach(net, "vnet0", mac, 1500, tap_output, &tap);
  CHECK(interface && net_configure(net, interface, OURS, 24) == NET_OK);
  ping(net, tap);
  datagrams(net, tap);
  streams(net, tap, strtoul(argv[2], NULL, 10));
  printf("ok retransmits %lu\n", net->counters.tcp_retransmits);
  free(net);
  return 0;
}
