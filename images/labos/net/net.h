/* net.h - a small TCP/IP stack: Ethernet, ARP, IPv4, ICMP, UDP, TCP.
 *
 * Pure C over two functions: a clock, and one output function an interface. Nothing is allocated, nothing waits: whoever
 * owns a `struct net` feeds it frames (net_input), calls net_tick when net_deadline says so, and asks sockets whether
 * something came. One owner at a time: callers hold the stack's lock. The same files are built for the host, where the
 * tests connect two stacks by a bad link.
 *
 * Addresses and ports are numbers in host order: 10.0.0.1 is 0x0a000001. Times are microseconds of the clock.
 * Everything that comes from a frame is hostile: lengths are checked against what is there before a byte is read.
 */
#ifndef LABOS_NET_H
#define LABOS_NET_H
#include "wire.h"

enum {
  NET_INTERFACES = 5, /* the first is lo0 */
  NET_NAME = 16,
  NET_MTU_MAX = 16000,
  NET_MTU_MIN = 576, /* every IPv4 host takes so much (RFC 791) */
  ETHER_HEADER = 14,
  IP_HEADER = 20,
  NET_FRAME = ETHER_HEADER + NET_MTU_MAX,
  LOOP_MTU = 8232,
  LOOP_FRAMES = 16,
  ARP_ENTRIES = 16,
  ARP_HELD = 2048, /* longest frame that waits for an address; longer ones are lost, and sent again by who cares */
  UDP_SOCKETS = 8,
  UDP_QUEUE = 4,
  UDP_MOST = 1472, /* longest datagram that is kept */
  ECHO_REPLIES = 8,
  ECHO_MOST = 1472,
  TCP_SOCKETS = 12,
  TCP_BUFFER = 65536, /* a power of two: sequence numbers index the rings */
  TCP_RANGES = 8,
};

/* What calls return when it is not a count. */
enum net_error {
  NET_OK = 0,
  NET_EOF = -1,         /* the other end has finished sending */
  NET_RESET = -2,       /* the other end broke the connection */
  NET_TIMEOUT = -3,     /* no answer for too long */
  NET_REFUSED = -4,     /* nobody listens there */
  NET_UNREACHABLE = -5, /* no interface leads there */
  NET_BUSY = -6,        /* no free socket, or the port is taken */
  NET_INVALID = -7,     /* the call makes no sense now: not connected, closed, bad argument */
};

struct net;

/* Gives a frame to the link; false: the link is full or down, the frame is lost. The frame is copied before it returns. */
typedef bool (*net_output)(void *context, const u8 *frame, size_t bytes);
typedef u64 (*net_clock)(void *context);

struct net_interface {
  char name[NET_NAME]; /* "" : free */
  u8 mac[6];
  bool up, loopback;
  bool gone; /* its device is not there */
  u32 mtu;
  u32 address, mask; /* address 0: none yet */
  net_output output;
  void *context;
  u64 in_frames, out_frames, out_lost;
};

enum arp_state { ARP_FREE, ARP_ASKED, ARP_KNOWN };
struct arp_entry {
  u32 address;
  u8 state, tries, mac[6];
  struct net_interface *interface;
  u64 at; /* asked: when to ask again; known: when it was learnt */
  u32 held_bytes;
  u8 held[ARP_HELD];
};

struct udp_datagram {
  u32 from, to, bytes;
  u16 from_port;
  u8 data[UDP_MOST];
};
struct udp_socket {
  struct net *net;
  u16 port; /* 0: free */
  bool refused; /* an ICMP port unreachable came for it */
  u32 first, count;
  struct udp_datagram queue[UDP_QUEUE];
};

struct echo_reply {
  u32 from, bytes; /* bytes of payload */
  u16 id, sequence;
  u8 ttl;
  bool unreachable; /* no reply: a destination unreachable for this request */
  bool intact;      /* the payload is the one that icmp_echo_send writes */
};

enum tcp_state {
  TCP_CLOSED, TCP_LISTEN, TCP_SYN_SENT, TCP_SYN_RECEIVED, TCP_ESTABLISHED, TCP_FIN_WAIT_1, TCP_FIN_WAIT_2,
  TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK, TCP_TIME_WAIT
};

struct tcp_range {
  u32 start, end; /* sequence numbers [start, end) */
};

struct tcp_socket {
  struct net *net;
  bool used, held; /* held: a user has it. used and not held: it finishes alone */
  bool accepted;   /* a child of a listener that tcp_accept has handed out, or any other */
  u8 state;
  enum net_error error;
  u32 local, remote;
  u16 local_port, remote_port;
  struct tcp_socket *listener;
  /* sending: [una, end) are bytes in tx; [una, nxt) are on the way; max is the highest ever sent */
  u32 iss, snd_una, snd_nxt, snd_max, snd_end;
  u32 snd_wnd, snd_wl1, snd_wl2, snd_wnd_max, mss;
  bool fin_queued; /* FIN has the sequence number snd_end */
  u32 cwnd, ssthresh, dup_acks, recover;
  bool recovering;
  /* receiving: [read, nxt) wait in rx for the user; ranges came out of order */
  u32 irs, rcv_nxt, rcv_read, rcv_edge; /* edge: end of the window as last told */
  bool fin_known, fin_taken, ack_now;
  u32 fin_seq;
  struct tcp_range range[TCP_RANGES];
  u32 ranges;
  /* time */
  u64 rto_at, persist_at, expire_at; /* 0: not running */
  u64 quiet_until;                   /* no ACK before that for what makes no sense */
  u64 rto, srtt, rttvar, timed_at;   /* microseconds */
  u32 timed_seq, retries, persists;
  bool timing;
  u64 retransmits, bytes_in, bytes_out;
  u8 tx[TCP_BUFFER], rx[TCP_BUFFER];
};

/* One line a counter: `netstat -s` prints them in this order. */
#define NET_COUNTERS(X)                                                                                              \
  X(frame_short) X(frame_other) X(arp_bad) X(arp_conflicts) X(ip_in) X(ip_bad) X(ip_fragments) X(ip_other)           \
  X(ip_out) X(icmp_bad) X(icmp_echos) X(udp_in) X(udp_bad) X(udp_no_port) X(udp_dropped) X(tcp_in) X(tcp_bad)        \
  X(tcp_out) X(tcp_resets_out) X(tcp_retransmits) X(tcp_fast) X(tcp_duplicates) X(tcp_out_of_order) X(tcp_outside)   \
  X(tcp_probes) X(tcp_challenges) X(tcp_dropped)
struct net_counters {
#define X(name) u64 name;
  NET_COUNTERS(X)
#undef X
};

struct net {
  net_clock clock;
  void *clock_context;
  struct net_interface interface[NET_INTERFACES];
  u32 gateway; /* 0: none */
  u64 secret;  /* initial sequence numbers, ports */
  u16 ip_id, next_port;
  struct net_counters counters;
  struct arp_entry arp[ARP_ENTRIES];
  struct udp_socket udp[UDP_SOCKETS];
  struct tcp_socket tcp[TCP_SOCKETS];
  u32 echo_first, echo_count;
  struct echo_reply echo[ECHO_REPLIES];
  u32 loop_first, loop_count;
  struct {
    u32 bytes;
    u8 data[ETHER_HEADER + LOOP_MTU];
  } loop[LOOP_FRAMES];
  u8 frame[NET_FRAME]; /* the one that is being built */
};

/* ether.c */
void net_init(struct net *net, net_clock clock, void *context, u64 seed);
/* A new interface; its frames go out by output. NULL: there is no room, or the MTU is out of range. */
struct net_interface *net_attach(struct net *net, const char *name, const u8 mac[6], u32 mtu, net_output output,
                                 void *context);
struct net_interface *net_find(struct net *net, const char *name);
/* Address and prefix length; tells the neighbours (gratuitous ARP). */
enum net_error net_configure(struct net *net, struct net_interface *interface, u32 address, u32 prefix);
/* The neighbours hear who we are, as after a move to another switch. */
void net_announce(struct net *net, struct net_interface *interface);
/* An interface that was cut off works again: neighbours hear of it, what was sent meanwhile goes again at once. */
void net_resume(struct net *net, struct net_interface *interface);
void net_input(struct net *net, struct net_interface *interface, const u8 *frame, size_t bytes);
/* Timers and the loopback; at least when net_deadline has come. */
void net_tick(struct net *net);
u64 net_deadline(const struct net *net); /* ~0: nothing waits */
u64 net_now(const struct net *net);
/* For the layers: the frame in net->frame is `bytes` long and has everything but its Ethernet addresses. */
void ether_send(struct net *net, struct net_interface *interface, const u8 to[6], u16 type, const u8 *frame,
                size_t bytes);

/* arp.c */
void arp_input(struct net *net, struct net_interface *interface, const u8 *packet, size_t bytes);
void arp_send_ip(struct net *net, struct net_interface *interface, u32 next_hop, size_t frame_bytes);
void arp_announce(struct net *net, struct net_interface *interface);
void arp_tick(struct net *net, u64 now);
u64 arp_deadline(const struct net *net);

/* ipv4.c: ip_payload is where the packet's payload is built; ip_send completes header and frame and sends it. */
struct ip_packet {
  u32 from, to;
  u8 protocol, ttl;
  bool broadcast;
  const u8 *header;
  size_t header_bytes;
  const u8 *data;
  size_t bytes;
};
void ip_input(struct net *net, struct net_interface *interface, const u8 *packet, size_t bytes);
u8 *ip_payload(struct net *net);
enum net_error ip_send(struct net *net, u32 from, u32 to, u8 protocol, size_t bytes);
/* The interface that leads to an address and the next hop; NULL: none. */
struct net_interface *ip_route(struct net *net, u32 to, u32 *next_hop);
u32 ip_source(struct net *net, u32 to); /* our address for packets to there; 0: no interface leads there */
u16 ip_checksum(const u8 *data, size_t bytes, u64 sum);
u64 ip_pseudo_sum(u32 from, u32 to, u8 protocol, size_t bytes);
bool ip_parse(const char *text, u32 *address);
bool ip_parse_prefix(const char *text, u32 *address, u32 *prefix); /* "10.0.0.1/24"; without a slash: 32 */

/* icmp.c */
void icmp_input(struct net *net, const struct ip_packet *packet);
void icmp_unreachable(struct net *net, const struct ip_packet *packet, u8 code);
enum net_error icmp_echo_send(struct net *net, u32 to, u16 id, u16 sequence, size_t bytes);
bool icmp_echo_next(struct net *net, struct echo_reply *reply);

/* udp.c */
void udp_input(struct net *net, const struct ip_packet *packet);
void udp_refused(struct net *net, u16 local_port);
struct udp_socket *udp_open(struct net *net, u16 port); /* port 0: any. NULL: taken, or no room */
void udp_close(struct udp_socket *socket);
enum net_error udp_send(struct udp_socket *socket, u32 to, u16 port, const void *data, size_t bytes);
const struct udp_datagram *udp_next(struct udp_socket *socket); /* stays until udp_drop; NULL: none waits */
void udp_drop(struct udp_socket *socket);

/* tcp.c: sockets */
struct tcp_socket *tcp_listen(struct net *net, u16 port);
struct tcp_socket *tcp_accept(struct tcp_socket *listener); /* NULL: nobody came */
struct tcp_socket *tcp_connect(struct net *net, u32 to, u16 port);
/* Bytes that were taken; 0: the buffer is full, or the connection is not there yet. */
i64 tcp_send(struct tcp_socket *socket, const void *data, size_t bytes);
/* Bytes that were given; 0: none are there yet; NET_EOF after the last. */
i64 tcp_recv(struct tcp_socket *socket, void *data, size_t bytes);
enum net_error tcp_shutdown(struct tcp_socket *socket); /* no more to send; receiving goes on */
void tcp_close(struct tcp_socket *socket);              /* the user is done; what was sent is still delivered */
void tcp_abort(struct tcp_socket *socket);              /* RST */
size_t tcp_readable(const struct tcp_socket *socket);
size_t tcp_unacked(const struct tcp_socket *socket);
const char *tcp_state_name(u8 state);
void tcp_input(struct net *net, const struct ip_packet *packet);
void tcp_refused(struct net *net, u32 remote, u16 remote_port, u16 local_port);
void tcp_resume(struct net *net, u64 now);
void tcp_tick(struct net *net, u64 now);
u64 tcp_deadline(const struct net *net);
#endif
