/* ipv4.c - IPv4 packets (RFC 791, 1122): header, route, checksum. Fragments are counted and dropped. */
#include "net/bytes.h"

enum { TTL = 64, DONT_FRAGMENT = 0x4000, FRAGMENT_BITS = 0x3fff };

u16 ip_checksum(const u8 *data, size_t bytes, u64 sum) {
  size_t i = 0;
  for (; i + 1 < bytes; i += 2) sum += get16(data + i);
  if (i < bytes) sum += (u32)data[i] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (u16)~sum;
}

u64 ip_pseudo_sum(u32 from, u32 to, u8 protocol, size_t bytes) {
  return (u64)(from >> 16) + (from & 0xffff) + (to >> 16) + (to & 0xffff) + protocol + bytes;
}

static bool ip_is_ours(const struct net_interface *interface, u32 address) {
  return interface->address && (address == interface->address || (interface->loopback && address >> 24 == 127));
}

static bool ip_is_broadcast(const struct net_interface *interface, u32 to) {
  return to == ~0u || (interface->address && interface->mask < ~1u && to == (interface->address | ~interface->mask));
}

/* An address no packet may come from: broadcast, multicast, this net, and loopback from outside. */
static bool ip_is_martian(const struct net_interface *interface, u32 from) {
  return from >> 28 >= 14 || from >> 24 == 0 || ip_is_broadcast(interface, from) ||
         (from >> 24 == 127 && !interface->loopback);
}

static void ip_deliver(struct net *net, const struct ip_packet *packet) {
  switch (packet->protocol) {
    case PROTOCOL_ICMP: icmp_input(net, packet); break;
    case PROTOCOL_UDP: udp_input(net, packet); break;
    case PROTOCOL_TCP: tcp_input(net, packet); break;
    default: icmp_unreachable(net, packet, UNREACHABLE_PROTOCOL);
  }
}

static bool ip_to_us(const struct net *net, const struct net_interface *interface, u32 to) {
  if (ip_is_ours(interface, to)) return true;
  if (!interface->loopback) return false;
  for (u32 i = 0; i < NET_INTERFACES; i++) /* to our own address: lo0 carries it */
    if (net->interface[i].address && ip_is_ours(&net->interface[i], to)) return true;
  return false;
}

void ip_input(struct net *net, struct net_interface *interface, const u8 *p, size_t bytes) {
  net->counters.ip_in++;
  size_t header = bytes ? (size_t)(p[0] & 15) * 4 : 0;
  if (bytes < IP_HEADER || p[0] >> 4 != 4 || header < IP_HEADER || header > bytes || get16(p + 2) < header ||
      get16(p + 2) > bytes || ip_checksum(p, header, 0) != 0 || ip_is_martian(interface, get32(p + 12))) {
    net->counters.ip_bad++;
    return;
  }
  struct ip_packet packet = {
      .from = get32(p + 12), .to = get32(p + 16), .protocol = p[9], .ttl = p[8], .header = p, .header_bytes = header,
      .data = p + header, .bytes = get16(p + 2) - header};
  packet.broadcast = ip_is_broadcast(interface, packet.to);
  if (get16(p + 6) & FRAGMENT_BITS)
    net->counters.ip_fragments++;
  else if (packet.broadcast || ip_to_us(net, interface, packet.to))
    ip_deliver(net, &packet);
  else
    net->counters.ip_other++;
}

struct net_interface *ip_route(struct net *net, u32 to, u32 *next_hop) {
  struct net_interface *best = NULL;
  *next_hop = to;
  for (u32 i = 0; i < NET_INTERFACES; i++)
    if (net->interface[i].address && ip_is_ours(&net->interface[i], to)) return &net->interface[0];
  for (u32 i = 0; i < NET_INTERFACES; i++) {
    struct net_interface *one = &net->interface[i];
    if (!one->address || ((one->address ^ to) & one->mask) != 0) continue;
    if (!best || one->mask > best->mask) best = one;
  }
  if (best || !net->gateway || to == net->gateway || to == ~0u) return best;
  *next_hop = net->gateway;
  u32 hop;
  return ip_route(net, net->gateway, &hop);
}

u32 ip_source(struct net *net, u32 to) {
  u32 hop;
  const struct net_interface *interface = ip_route(net, to, &hop);
  if (!interface) return 0;
  return interface->loopback ? to : interface->address; /* to ourselves: from there as well */
}

u8 *ip_payload(struct net *net) { return net->frame + ETHER_HEADER + IP_HEADER; }

enum net_error ip_send(struct net *net, u32 from, u32 to, u8 protocol, size_t bytes) {
  u32 hop;
  struct net_interface *interface = ip_route(net, to, &hop);
  if (!interface) return NET_UNREACHABLE;
  if (IP_HEADER + bytes > interface->mtu) return NET_INVALID;
  u8 *p = net->frame + ETHER_HEADER;
  size_t frame_bytes = ETHER_HEADER + IP_HEADER + bytes;
  p[0] = 0x45;
  p[1] = 0;
  set16(p + 2, (u32)(IP_HEADER + bytes));
  set16(p + 4, net->ip_id++);
  set16(p + 6, DONT_FRAGMENT);
  p[8] = TTL;
  p[9] = protocol;
  set16(p + 10, 0);
  set32(p + 12, from ? from : ip_source(net, to));
  set32(p + 16, to);
  set16(p + 10, ip_checksum(p, IP_HEADER, 0));
  net->counters.ip_out++;
  if (frame_bytes < 60 && !interface->loopback) { /* the shortest Ethernet frame; receivers go by the IP length */
    __builtin_memset(net->frame + frame_bytes, 0, 60 - frame_bytes);
    frame_bytes = 60;
  }
  static const u8 every[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  if (interface->loopback)
    ether_send(net, interface, interface->mac, ETHER_IP, net->frame, frame_bytes);
  else if (ip_is_broadcast(interface, to))
    ether_send(net, interface, every, ETHER_IP, net->frame, frame_bytes);
  else
    arp_send_ip(net, interface, hop, frame_bytes);
  return NET_OK;
}

/* A decimal number up to most; NULL: there is none. */
static const char *parse_number(const char *text, u32 most, u32 *value) {
  u32 digits = 0;
  *value = 0;
  for (; *text >= '0' && *text <= '9' && digits < 4; text++, digits++) *value = *value * 10 + (u32)(*text - '0');
  return digits > 0 && digits < 4 && *value <= most ? text : NULL;
}

static const char *parse_address(const char *text, u32 *address) {
  *address = 0;
  for (u32 i = 0; i < 4; i++) {
    u32 part;
    if (i > 0 && *text++ != '.') return NULL;
    text = parse_number(text, 255, &part);
    if (!text) return NULL;
    *address = *address << 8 | part;
  }
  return text;
}

bool ip_parse(const char *text, u32 *address) {
  text = parse_address(text, address);
  return text && *text == 0;
}

bool ip_parse_prefix(const char *text, u32 *address, u32 *prefix) {
  *prefix = 32;
  text = parse_address(text, address);
  if (text && *text == '/') text = parse_number(text + 1, 32, prefix);
  return text && *text == 0;
}
