/* icmp.c - ICMP (RFC 792, 1122 3.2.2): echo both ways, destination unreachable both ways. */
#include "net/bytes.h"

enum { ECHO_REPLY = 0, UNREACHABLE = 3, ECHO_REQUEST = 8, ICMP_HEADER = 8, QUOTED = 8 };

/* What the payload of our own echo requests holds, so that a reply can be checked. */
static u8 echo_byte(u16 sequence, size_t at) { return (u8)(at + sequence); }

static void icmp_send(struct net *net, u32 from, u32 to, size_t bytes) {
  u8 *p = ip_payload(net);
  set16(p + 2, 0);
  set16(p + 2, ip_checksum(p, bytes, 0));
  ip_send(net, from, to, PROTOCOL_ICMP, bytes);
}

enum net_error icmp_echo_send(struct net *net, u32 to, u16 id, u16 sequence, size_t bytes) {
  u32 hop;
  u8 *p = ip_payload(net);
  struct net_interface *interface = ip_route(net, to, &hop);
  if (!interface) return NET_UNREACHABLE;
  if (bytes > ECHO_MOST || IP_HEADER + ICMP_HEADER + bytes > interface->mtu) return NET_INVALID;
  p[0] = ECHO_REQUEST;
  p[1] = 0;
  set16(p + 4, id);
  set16(p + 6, sequence);
  for (size_t i = 0; i < bytes; i++) p[ICMP_HEADER + i] = echo_byte(sequence, i);
  icmp_send(net, 0, to, ICMP_HEADER + bytes);
  return NET_OK;
}

bool icmp_echo_next(struct net *net, struct echo_reply *reply) {
  if (net->echo_count == 0) return false;
  *reply = net->echo[net->echo_first];
  net->echo_first = (net->echo_first + 1) % ECHO_REPLIES;
  net->echo_count--;
  return true;
}

static void echo_keep(struct net *net, const struct echo_reply *reply) {
  if (net->echo_count == ECHO_REPLIES) { /* nobody reads: the oldest goes */
    net->echo_first = (net->echo_first + 1) % ECHO_REPLIES;
    net->echo_count--;
  }
  net->echo[(net->echo_first + net->echo_count++) % ECHO_REPLIES] = *reply;
}

static void echo_replied(struct net *net, const struct ip_packet *packet) {
  const u8 *p = packet->data;
  struct echo_reply reply = {.from = packet->from, .bytes = (u32)(packet->bytes - ICMP_HEADER), .id = get16(p + 4),
                             .sequence = get16(p + 6), .ttl = packet->ttl, .intact = true};
  for (size_t i = ICMP_HEADER; i < packet->bytes; i++)
    if (p[i] != echo_byte(reply.sequence, i - ICMP_HEADER)) reply.intact = false;
  echo_keep(net, &reply);
}

static void echo_requested(struct net *net, const struct ip_packet *packet) {
  if (packet->broadcast || packet->bytes > NET_MTU_MAX - IP_HEADER) return; /* no smurf amplifier */
  u8 *p = ip_payload(net);
  __builtin_memmove(p, packet->data, packet->bytes);
  p[0] = ECHO_REPLY;
  net->counters.icmp_echos++;
  icmp_send(net, packet->to, packet->from, packet->bytes);
}

/* The packet that could not be delivered is quoted: its header and 8 bytes. Only our own are believed. */
static void unreachable_came(struct net *net, const struct ip_packet *packet) {
  const u8 *p = packet->data + ICMP_HEADER;
  size_t bytes = packet->bytes - ICMP_HEADER;
  size_t header = bytes ? (size_t)(p[0] & 15) * 4 : 0;
  if (bytes < IP_HEADER || header < IP_HEADER || bytes < header + QUOTED || get32(p + 12) != packet->to) {
    net->counters.icmp_bad++;
    return;
  }
  u8 code = packet->data[1];
  const u8 *quoted = p + header;
  if (p[9] == PROTOCOL_UDP && code == UNREACHABLE_PORT) udp_refused(net, get16(quoted));
  if (p[9] == PROTOCOL_TCP && (code == UNREACHABLE_PORT || code == UNREACHABLE_PROTOCOL))
    tcp_refused(net, get32(p + 16), get16(quoted + 2), get16(quoted));
  if (p[9] == PROTOCOL_ICMP && quoted[0] == ECHO_REQUEST)
    echo_keep(net, &(struct echo_reply){.from = packet->from, .id = get16(quoted + 4), .sequence = get16(quoted + 6),
                                        .unreachable = true});
}

void icmp_input(struct net *net, const struct ip_packet *packet) {
  if (packet->bytes < ICMP_HEADER || ip_checksum(packet->data, packet->bytes, 0) != 0) {
    net->counters.icmp_bad++;
    return;
  }
  switch (packet->data[0]) {
    case ECHO_REQUEST: echo_requested(net, packet); break;
    case ECHO_REPLY: echo_replied(net, packet); break;
    case UNREACHABLE: unreachable_came(net, packet); break;
    default: break; /* others may be ignored (RFC 1122 3.2.2) */
  }
}

/* Nothing is ever said about a broadcast or about an ICMP packet. */
void icmp_unreachable(struct net *net, const struct ip_packet *packet, u8 code) {
  if (packet->broadcast || packet->protocol == PROTOCOL_ICMP) return;
  u8 *p = ip_payload(net);
  size_t quoted = packet->bytes < QUOTED ? packet->bytes : QUOTED;
  __builtin_memset(p, 0, ICMP_HEADER);
  p[0] = UNREACHABLE;
  p[1] = code;
  __builtin_memmove(p + ICMP_HEADER, packet->header, packet->header_bytes);
  __builtin_memmove(p + ICMP_HEADER + packet->header_bytes, packet->data, quoted);
  icmp_send(net, packet->to, packet->from, ICMP_HEADER + packet->header_bytes + quoted);
}
