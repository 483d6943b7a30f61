/* udp.c - datagrams (RFC 768). */
#include "net/bytes.h"

enum { UDP_HEADER = 8 };

static struct udp_socket *udp_find(struct net *net, u16 port) {
  for (u32 i = 0; i < UDP_SOCKETS; i++)
    if (port && net->udp[i].port == port) return &net->udp[i];
  return NULL;
}

struct udp_socket *udp_open(struct net *net, u16 port) {
  if (port && udp_find(net, port)) return NULL;
  while (!port) {
    if (net->next_port < 32768) net->next_port = 32768;
    if (!udp_find(net, net->next_port)) port = net->next_port;
    net->next_port++;
  }
  for (u32 i = 0; i < UDP_SOCKETS; i++) {
    struct udp_socket *socket = &net->udp[i];
    if (socket->port) continue;
    socket->net = net;
    socket->port = port;
    socket->first = socket->count = 0;
    socket->refused = false;
    return socket;
  }
  return NULL;
}

void udp_close(struct udp_socket *socket) { socket->port = 0; }

void udp_refused(struct net *net, u16 local_port) {
  struct udp_socket *socket = udp_find(net, local_port);
  if (socket) socket->refused = true;
}

enum net_error udp_send(struct udp_socket *socket, u32 to, u16 port, const void *data, size_t bytes) {
  struct net *net = socket->net;
  u32 from = ip_source(net, to);
  if (!from) return NET_UNREACHABLE;
  if (!port || bytes > UDP_MOST) return NET_INVALID; /* ip_send looks at the MTU */
  u8 *p = ip_payload(net);
  set16(p, socket->port);
  set16(p + 2, port);
  set16(p + 4, (u32)(UDP_HEADER + bytes));
  set16(p + 6, 0);
  copy_bytes(p + UDP_HEADER, data, bytes);
  u16 sum = ip_checksum(p, UDP_HEADER + bytes, ip_pseudo_sum(from, to, PROTOCOL_UDP, UDP_HEADER + bytes));
  set16(p + 6, sum ? sum : 0xffff); /* 0 means: none */
  return ip_send(net, from, to, PROTOCOL_UDP, UDP_HEADER + bytes);
}

void udp_input(struct net *net, const struct ip_packet *packet) {
  const u8 *p = packet->data;
  size_t bytes = packet->bytes >= UDP_HEADER ? get16(p + 4) : 0;
  if (bytes < UDP_HEADER || bytes > packet->bytes ||
      (get16(p + 6) &&
       ip_checksum(p, bytes, ip_pseudo_sum(packet->from, packet->to, PROTOCOL_UDP, bytes)) != 0)) {
    net->counters.udp_bad++;
    return;
  }
  net->counters.udp_in++;
  struct udp_socket *socket = udp_find(net, get16(p + 2));
  if (!socket) {
    net->counters.udp_no_port++;
    icmp_unreachable(net, packet, UNREACHABLE_PORT);
    return;
  }
  if (socket->count == UDP_QUEUE || bytes - UDP_HEADER > UDP_MOST) {
    net->counters.udp_dropped++;
    return;
  }
  struct udp_datagram *to = &socket->queue[(socket->first + socket->count++) % UDP_QUEUE];
  to->from = packet->from;
  to->to = packet->to;
  to->from_port = get16(p);
  to->bytes = (u32)(bytes - UDP_HEADER);
  copy_bytes(to->data, p + UDP_HEADER, to->bytes);
}

const struct udp_datagram *udp_next(struct udp_socket *socket) {
  return socket->count ? &socket->queue[socket->first] : NULL;
}

void udp_drop(struct udp_socket *socket) {
  if (socket->count == 0) return;
  socket->first = (socket->first + 1) % UDP_QUEUE;
  socket->count--;
}
