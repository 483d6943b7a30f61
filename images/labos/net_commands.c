/* net_commands.c - shell commands for networks: ifconfig, route, arp, netstat, ping, ntp. Formats are those of Solaris. */
#include "calendar.h"
#include "net/ntp.h"
#include "network.h"

enum { TEXT = 24, PING_BYTES = 56, PING_SECONDS = 20, NTP_TRIES = 4 };
int command_ifconfig(int argc, char **argv);
int command_route(int argc, char **argv);
int command_arp(int argc, char **argv);
int command_netstat(int argc, char **argv);
int command_ping(int argc, char **argv);
int command_ntp(int argc, char **argv);

static const char *address_text(u32 a, char *text) {
  snprintf(text, TEXT, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
  return text;
}

static const char *end_text(u32 a, u16 port, char *text) {
  if (a)
    snprintf(text, TEXT, "%u.%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, port);
  else
    snprintf(text, TEXT, port ? "*.%u" : "*.*", port);
  return text;
}

static const char *mac_text(const u8 m[6], char *text) {
  snprintf(text, TEXT, "%x:%x:%x:%x:%x:%x", m[0], m[1], m[2], m[3], m[4], m[5]);
  return text;
}

/* A copy to print without the lock. */
static bool stack_copy(void *to, const void *from, size_t bytes) {
  bool there = network_lock() != NULL;
  if (there) memcpy(to, from, bytes);
  network_unlock();
  if (!there) printf("no network\n");
  return there;
}

static void print_interface(const struct net_interface *i, u32 index) {
  char text[TEXT];
  bool lo = i->loopback;
  printf("%s: flags=%s<UP,%sRUNNING,MULTICAST,IPv4%s> mtu %u index %u\n", i->name, lo ? "2001000849" : "1000843",
         lo ? "LOOPBACK," : "BROADCAST,", lo ? ",VIRTUAL" : "", i->mtu, index);
  printf("\tinet %s netmask %x", address_text(i->address, text), i->mask);
  if (!lo && i->address) printf(" broadcast %s", address_text(i->address | ~i->mask, text));
  printf("\n");
  if (!lo) printf("\tether %s\n", mac_text(i->mac, text));
}

static int ifconfig_show(const char *name) {
  struct net_interface all[NET_INTERFACES];
  u32 shown = 0;
  if (!stack_copy(all, network_lock_held()->interface, sizeof all)) return 1;
  for (u32 i = 0; i < NET_INTERFACES; i++)
    if (all[i].name[0] && !all[i].gone && (!name || strcmp(name, all[i].name) == 0)) print_interface(&all[i], i + 1), shown++;
  if (!shown && name) printf("ifconfig: %s: no such interface\n", name);
  return !shown;
}

int command_ifconfig(int argc, char **argv) {
  u32 address, prefix;
  if (!network_lock_held()) return printf("no network\n"), 1;
  if (argc == 1 || (argc == 2 && strcmp(argv[1], "-a") == 0)) return ifconfig_show(NULL);
  if (argc == 2) return ifconfig_show(argv[1]);
  bool unplumb = argc == 3 && strcmp(argv[2], "unplumb") == 0;
  if (argc != 3 || (!unplumb && !ip_parse_prefix(argv[2], &address, &prefix))) return COMMAND_USAGE;
  struct net *net = network_lock();
  struct net_interface *i = net_find(net, argv[1]);
  if (i && (i->gone || (unplumb && i->loopback))) i = NULL;
  if (i && unplumb) i->address = i->mask = 0;
  enum net_error error = !i ? NET_UNREACHABLE : unplumb ? NET_OK : net_configure(net, i, address, prefix);
  network_unlock();
  if (!i) printf("ifconfig: %s: no such interface\n", argv[1]);
  if (error == NET_INVALID) printf("ifconfig: %s: not an address for an interface\n", argv[2]);
  return error != NET_OK;
}

int command_route(int argc, char **argv) {
  u32 address = 0;
  bool add = argc == 4 && strcmp(argv[1], "add") == 0, delete = argc == 3 && strcmp(argv[1], "delete") == 0;
  if ((!add && !delete) || strcmp(argv[2], "default") || (add && !ip_parse(argv[3], &address))) return COMMAND_USAGE;
  struct net *net = network_lock();
  if (net) net->gateway = address;
  network_unlock();
  printf("%s net default%s%s\n", argv[1], add ? ": gateway " : "", add ? argv[3] : "");
  return !net;
}

int command_arp(int argc, char **argv) {
  char address[TEXT], mac[TEXT];
  if (argc != 2 || strcmp(argv[1], "-a")) return COMMAND_USAGE;
  struct net *net = network_lock();
  printf("Net to Media Table: IPv4\nDevice   IP Address               Phys Addr\n"
         "------ -------------------- -----------------\n");
  for (u32 i = 0; net && i < ARP_ENTRIES; i++) {
    const struct arp_entry *e = &net->arp[i];
    if (e->state != ARP_FREE)
      printf("%-6s %-20s %s\n", e->interface->name, address_text(e->address, address),
             e->state == ARP_KNOWN ? mac_text(e->mac, mac) : "unresolved");
  }
  network_unlock();
  return 0;
}

static void print_tcp(const struct net *net) {
  char local[TEXT], remote[TEXT];
  printf("TCP: IPv4\n   Local Address        Remote Address    Swind Send-Q Rwind Recv-Q    State\n"
         "-------------------- -------------------- ----- ------ ----- ------ -----------\n");
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    const struct tcp_socket *s = &net->tcp[i];
    if (!s->used) continue;
    printf("%-20s %-20s %5u %6lu %5u %6lu %s\n", end_text(s->local, s->local_port, local),
           end_text(s->remote, s->remote_port, remote), s->snd_wnd, tcp_unacked(s), s->rcv_edge - s->rcv_nxt,
           tcp_readable(s), tcp_state_name(s->state));
  }
}

static int print_counters(void) {
  struct net_counters c;
  if (!stack_copy(&c, &network_lock_held()->counters, sizeof c)) return 1;
#define X(name) printf("\t%-18s=%8lu\n", #name, c.name);
  NET_COUNTERS(X)
#undef X
  return 0;
}

static void print_interfaces(const struct net *net) {
  printf("Name  Mtu  Address         Ipkts      Opkts      Oerrs\n");
  char text[TEXT];
  for (u32 i = 0; i < NET_INTERFACES; i++) {
    const struct net_interface *n = &net->interface[i];
    if (n->name[0])
      printf("%-5s %-4u %-15s %-10lu %-10lu %lu\n", n->name, n->mtu, address_text(n->address, text), n->in_frames,
             n->out_frames, n->out_lost);
  }
}

int command_netstat(int argc, char **argv) {
  char local[TEXT];
  if (argc > 2) return COMMAND_USAGE;
  if (!network_lock_held()) return printf("no network\n"), 1;
  if (argc == 2 && strcmp(argv[1], "-s") == 0) return print_counters();
  if (argc == 2 && strcmp(argv[1], "-i") && strcmp(argv[1], "-an")) return COMMAND_USAGE;
  const struct net *net = network_lock();
  if (argc == 2 && strcmp(argv[1], "-i") == 0) {
    print_interfaces(net);
  } else {
    printf("UDP: IPv4\n   Local Address\n--------------------\n");
    for (u32 i = 0; i < UDP_SOCKETS; i++)
      if (net->udp[i].port) printf("%s\n", end_text(0, net->udp[i].port, local));
    print_tcp(net);
  }
  network_unlock();
  return 0;
}

/* -- ping */

struct ping {
  const char *name;
  u32 to, sent, received;
  u16 id;
  u64 bytes, least, most, sum, sum_of_squares; /* microseconds */
};

/* Milliseconds with three digits after the point. */
static void print_ms(u64 us) { printf("%lu.%03lu", us / 1000, us % 1000); }

/* Sends one and waits until the time is over; true: the answer came. */
static bool ping_one(struct ping *p, u64 wait_ns, u64 *us, bool *unreachable) {
  struct echo_reply reply;
  struct net *net = network_lock();
  u64 start = clock_ns(), limit = start + wait_ns;
  bool answered = false;
  *unreachable = net == NULL || icmp_echo_send(net, p->to, p->id, (u16)p->sent, p->bytes) != NET_OK;
  u16 sequence = (u16)p->sent++;
  while (!answered && !*unreachable && clock_ns() < limit) {
    while (icmp_echo_next(net, &reply)) {
      if (reply.id != p->id || reply.sequence != sequence) continue;
      *unreachable = reply.unreachable;
      answered = !reply.unreachable && reply.from == p->to && reply.intact && reply.bytes == p->bytes;
      if (answered) break;
    }
    if (!answered && !*unreachable && !network_wait(limit)) break;
  }
  *us = (clock_ns() - start) / 1000;
  network_unlock();
  p->received += answered;
  return answered;
}

static u64 square_root(u64 n) {
  u64 root = 0;
  for (u64 bit = 1ul << 31; bit; bit >>= 1)
    if ((root + bit) * (root + bit) <= n) root += bit;
  return root;
}

static void ping_statistics(const struct ping *p) {
  printf("\n----%s PING Statistics----\n", p->name);
  printf("%u packets transmitted, %u packets received, %u%% packet loss\n", p->sent, p->received,
         p->sent ? (p->sent - p->received) * 100 / p->sent : 0);
  if (!p->received) return;
  u64 mean = p->sum / p->received, square = p->sum_of_squares / p->received;
  printf("round-trip (ms)  min/avg/max/stddev = ");
  const u64 values[4] = {p->least, mean, p->most, square_root(square > mean * mean ? square - mean * mean : 0)};
  for (u32 i = 0; i < 4; i++) {
    print_ms(values[i]);
    printf(i < 3 ? "/" : "\n");
  }
}

/* As ping -s: one a second. */
static int ping_many(struct ping *p, u64 count) {
  u64 us;
  bool unreachable;
  printf("PING %s: %lu data bytes\n", p->name, p->bytes);
  for (u64 i = 0; i < count && !console_interrupted(); i++) {
    u64 next = clock_ns() + NS_PER_SECOND;
    if (ping_one(p, NS_PER_SECOND, &us, &unreachable)) {
      printf("%lu bytes from %s: icmp_seq=%lu. time=", p->bytes + 8, p->name, i);
      print_ms(us);
      printf(" ms\n");
      p->sum += us;
      p->sum_of_squares += us * us;
      if (us < p->least || p->received == 1) p->least = us;
      if (us > p->most) p->most = us;
    } else if (unreachable) {
      printf("ICMP Host Unreachable from gateway for icmp from here to %s\n", p->name);
    }
    if (i + 1 < count && clock_ns() < next) thread_sleep_ns(next - clock_ns());
  }
  ping_statistics(p);
  return p->received == 0;
}

static int ping_alive(struct ping *p) {
  u64 us;
  bool unreachable;
  for (u32 i = 0; i < PING_SECONDS && !console_interrupted(); i++) {
    if (ping_one(p, NS_PER_SECOND, &us, &unreachable)) {
      printf("%s is alive\n", p->name);
      return 0;
    }
    if (unreachable) break;
  }
  printf("no answer from %s\n", p->name);
  return 1;
}

int command_ping(int argc, char **argv) {
  static u16 id;
  u64 count = 0;
  struct ping p = {.bytes = PING_BYTES, .id = ++id};
  bool s = argc > 2 && strcmp(argv[1], "-s") == 0;
  if (argc < 2 || argc > (s ? 5 : 3)) return COMMAND_USAGE;
  p.name = argv[s ? 2 : 1];
  if (!ip_parse(p.name, &p.to)) return COMMAND_USAGE;
  if (s && argc > 3 && (!parse_number(argv[3], &p.bytes) || p.bytes > ECHO_MOST)) return COMMAND_USAGE;
  if (s) count = argc == 5 ? 0 : ~0ul;
  if (argc == 5 && !parse_number(argv[4], &count)) return COMMAND_USAGE;
  if (!s && argc == 3 && !parse_number(argv[2], &count)) return COMMAND_USAGE;
  console_interrupted();
  return count ? ping_many(&p, count) : ping_alive(&p);
}

/* -- ntp */

/* One question and its answer. */
static bool ntp_ask(struct udp_socket *socket, u32 server, i64 *offset, u32 *stratum) {
  u8 packet[NTP_BYTES];
  u64 start = clock_ns(), cookie = start * 0x9e3779b97f4a7c15u ^ clock_wall_ns(), limit = start + NS_PER_SECOND;
  ntp_question(packet, cookie);
  if (udp_send(socket, server, NTP_PORT, packet, NTP_BYTES) != NET_OK) return false;
  for (;;) {
    for (const struct udp_datagram *d; (d = udp_next(socket)); udp_drop(socket)) {
      if (d->from != server || d->from_port != NTP_PORT) continue;
      if (ntp_answer(d->data, d->bytes, cookie, clock_wall_ns(), clock_ns() - start, offset, stratum)) return true;
    }
    if (socket->refused || !network_wait(limit)) return false;
  }
}

/* The line is ntpdate's. */
int command_ntp(int argc, char **argv) {
  u32 server, stratum = 0;
  i64 offset = 0;
  bool answered = false;
  if (argc != 2 || !ip_parse(argv[1], &server)) return COMMAND_USAGE;
  struct net *net = network_lock();
  struct udp_socket *socket = net ? udp_open(net, 0) : NULL;
  for (u32 i = 0; socket && i < NTP_TRIES && !answered; i++) answered = ntp_ask(socket, server, &offset, &stratum);
  if (socket) udp_close(socket);
  network_unlock();
  if (!answered) {
    printf("ntp: no server suitable for synchronization found\n");
    return 1;
  }
  clock_wall_adjust(offset);
  u64 size = offset < 0 ? -(u64)offset : (u64)offset;
  char text[CALENDAR_BYTES];
  calendar_text(clock_wall_ns() / NS_PER_SECOND, text);
  printf("%s ntp: %s time server %s stratum %u offset %s%lu.%06lu sec\n", text,
         size < NS_PER_SECOND / 2 ? "adjust" : "step", argv[1], stratum, offset < 0 ? "-" : "", size / NS_PER_SECOND,
         size % NS_PER_SECOND / 1000);
  return 0;
}
