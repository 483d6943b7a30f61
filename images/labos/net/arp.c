/* arp.c - which Ethernet address has an IPv4 address (RFC 826, announcements of RFC 5227). */
#include "net/bytes.h"

enum { ARP_BYTES = 28, ARP_REQUEST = 1, ARP_REPLY = 2, ARP_TRIES = 5 };
enum { ARP_AGAIN_US = 1000000, ARP_FRESH_US = 1200000000 }; /* a known address is asked for anew after 20 minutes */

static const u8 BROADCAST[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void arp_packet(struct net *net, struct net_interface *interface, u32 operation, const u8 to_mac[6], u32 to) {
  u8 *p = net->frame + ETHER_HEADER;
  set16(p, 1);
  set16(p + 2, ETHER_IP);
  p[4] = 6;
  p[5] = 4;
  set16(p + 6, operation);
  copy_bytes(p + 8, interface->mac, 6);
  set32(p + 14, interface->address);
  if (operation == ARP_REPLY)
    copy_bytes(p + 18, to_mac, 6);
  else
    __builtin_memset(p + 18, 0, 6);
  set32(p + 24, to);
  __builtin_memset(p + ARP_BYTES, 0, 18); /* the shortest frame has 60 bytes */
  ether_send(net, interface, to_mac, ETHER_ARP, net->frame, ETHER_HEADER + ARP_BYTES + 18);
}

void arp_announce(struct net *net, struct net_interface *interface) {
  arp_packet(net, interface, ARP_REQUEST, BROADCAST, interface->address);
}

static struct arp_entry *arp_find(struct net *net, const struct net_interface *interface, u32 address) {
  for (u32 i = 0; i < ARP_ENTRIES; i++) {
    struct arp_entry *e = &net->arp[i];
    if (e->state != ARP_FREE && e->address == address && e->interface == interface) return e;
  }
  return NULL;
}

/* A free entry, or the one with the oldest business. */
static struct arp_entry *arp_take(struct net *net) {
  struct arp_entry *best = &net->arp[0];
  for (u32 i = 0; i < ARP_ENTRIES; i++) {
    struct arp_entry *e = &net->arp[i];
    if (e->state == ARP_FREE) return e;
    if (e->at < best->at) best = e;
  }
  return best;
}

static void arp_learn(struct net *net, struct arp_entry *e, const u8 mac[6]) {
  copy_bytes(e->mac, mac, 6);
  e->state = ARP_KNOWN;
  e->at = net_now(net);
  u32 held = e->held_bytes;
  e->held_bytes = 0;
  if (held) ether_send(net, e->interface, e->mac, ETHER_IP, e->held, held);
}

/* Packets for us make a new entry, others only refresh one: a noisy network cannot push our neighbours out. */
void arp_input(struct net *net, struct net_interface *interface, const u8 *p, size_t bytes) {
  if (bytes < ARP_BYTES || get16(p) != 1 || get16(p + 2) != ETHER_IP || p[4] != 6 || p[5] != 4 || (p[8] & 1)) {
    net->counters.arp_bad++;
    return;
  }
  u32 operation = get16(p + 6), from = get32(p + 14), to = get32(p + 24);
  bool ours = interface->address && to == interface->address;
  if (interface->address && from == interface->address) {
    net->counters.arp_conflicts += __builtin_memcmp(p + 8, interface->mac, 6) != 0;
    return;
  }
  bool local = interface->address && ((from ^ interface->address) & interface->mask) == 0;
  struct arp_entry *e = arp_find(net, interface, from);
  if (!e && ours && local && operation == ARP_REQUEST) {
    e = arp_take(net);
    e->address = from;
    e->interface = interface;
    e->held_bytes = 0;
  }
  u8 sender[6];
  copy_bytes(sender, p + 8, 6);
  if (e) arp_learn(net, e, sender);
  if (ours && operation == ARP_REQUEST) arp_packet(net, interface, ARP_REPLY, sender, from);
}

static void arp_ask(struct net *net, struct arp_entry *e, u64 now) {
  e->tries++;
  e->at = now + ARP_AGAIN_US;
  arp_packet(net, e->interface, ARP_REQUEST, BROADCAST, e->address);
}

/* The packet in net->frame goes to next_hop, at once or when it has answered. The latest packet waits (RFC 1122 2.3.2.2). */
void arp_send_ip(struct net *net, struct net_interface *interface, u32 next_hop, size_t frame_bytes) {
  u64 now = net_now(net);
  struct arp_entry *e = arp_find(net, interface, next_hop);
  if (e && e->state == ARP_KNOWN && now - e->at < ARP_FRESH_US) {
    ether_send(net, interface, e->mac, ETHER_IP, net->frame, frame_bytes);
    return;
  }
  bool ask = !e || e->state == ARP_KNOWN;
  if (!e) e = arp_take(net);
  if (ask) {
    e->state = ARP_ASKED;
    e->address = next_hop;
    e->interface = interface;
    e->tries = 0;
  }
  e->held_bytes = 0;
  if (frame_bytes <= ARP_HELD) {
    copy_bytes(e->held, net->frame, frame_bytes);
    e->held_bytes = (u32)frame_bytes;
  }
  if (ask) arp_ask(net, e, now);
}

void arp_tick(struct net *net, u64 now) {
  for (u32 i = 0; i < ARP_ENTRIES; i++) {
    struct arp_entry *e = &net->arp[i];
    if (e->state != ARP_ASKED || now < e->at) continue;
    if (e->tries < ARP_TRIES)
      arp_ask(net, e, now);
    else
      e->state = ARP_FREE;
  }
}

u64 arp_deadline(const struct net *net) {
  u64 first = NEVER;
  for (u32 i = 0; i < ARP_ENTRIES; i++)
    if (net->arp[i].state == ARP_ASKED) first = earlier(first, net->arp[i].at);
  return first;
}
