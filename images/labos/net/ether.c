/* ether.c - interfaces, Ethernet frames, the loopback, and the stack's time. */
#include "net/bytes.h"

static const u8 BROADCAST[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool mac_same(const u8 a[6], const u8 b[6]) { return __builtin_memcmp(a, b, 6) == 0; }

u64 net_now(const struct net *net) { return net->clock(net->clock_context); }

/* Frames to lo0 wait for the next tick: input never runs inside output. */
static bool loop_output(void *context, const u8 *frame, size_t bytes) {
  struct net *net = context;
  if (net->loop_count == LOOP_FRAMES || bytes > sizeof net->loop[0].data) return false;
  u32 slot = (net->loop_first + net->loop_count++) % LOOP_FRAMES;
  net->loop[slot].bytes = (u32)bytes;
  copy_bytes(net->loop[slot].data, frame, bytes);
  return true;
}

static void loop_tick(struct net *net) {
  for (u32 most = LOOP_FRAMES; most > 0 && net->loop_count > 0; most--) {
    u32 slot = net->loop_first;
    net_input(net, &net->interface[0], net->loop[slot].data, net->loop[slot].bytes);
    net->loop_first = (slot + 1) % LOOP_FRAMES; /* after the frame was read: its slot is not filled meanwhile */
    net->loop_count--;
  }
}

void net_init(struct net *net, net_clock clock, void *context, u64 seed) {
  static const u8 none[6] = {0};
  __builtin_memset(net, 0, sizeof *net);
  net->clock = clock;
  net->clock_context = context;
  net->secret = seed;
  net->next_port = (u16)(32768 + (seed >> 7) % 16384);
  struct net_interface *lo = net_attach(net, "lo0", none, LOOP_MTU, loop_output, net);
  lo->loopback = true;
  net_configure(net, lo, 0x7f000001, 8);
}

struct net_interface *net_find(struct net *net, const char *name) {
  for (u32 i = 0; i < NET_INTERFACES; i++)
    if (net->interface[i].name[0] && __builtin_strcmp(net->interface[i].name, name) == 0) return &net->interface[i];
  return NULL;
}

struct net_interface *net_attach(struct net *net, const char *name, const u8 mac[6], u32 mtu, net_output output,
                                 void *context) {
  if (mtu < NET_MTU_MIN || mtu > NET_MTU_MAX || !name[0] || __builtin_strlen(name) >= NET_NAME || net_find(net, name))
    return NULL;
  for (u32 i = 0; i < NET_INTERFACES; i++) {
    struct net_interface *interface = &net->interface[i];
    if (interface->name[0]) continue;
    *interface = (struct net_interface){.mtu = mtu, .output = output, .context = context, .up = true};
    copy_bytes(interface->name, name, __builtin_strlen(name) + 1);
    copy_bytes(interface->mac, mac, 6);
    return interface;
  }
  return NULL;
}

enum net_error net_configure(struct net *net, struct net_interface *interface, u32 address, u32 prefix) {
  u32 mask = prefix == 0 ? 0 : ~0u << (32 - prefix % 33) % 32;
  bool host = prefix >= 31 || ((address & ~mask) != 0 && (address & ~mask) != ~mask);
  if (prefix > 32 || address == 0 || address >> 28 >= 14 || !host) return NET_INVALID;
  if (!interface->loopback && address >> 24 == 127) return NET_INVALID;
  interface->address = address;
  interface->mask = mask;
  net_announce(net, interface);
  return NET_OK;
}

void net_announce(struct net *net, struct net_interface *interface) {
  if (interface->address && !interface->loopback) arp_announce(net, interface);
}

void net_resume(struct net *net, struct net_interface *interface) {
  net_announce(net, interface);
  tcp_resume(net, net_now(net));
}

void ether_send(struct net *net, struct net_interface *interface, const u8 to[6], u16 type, const u8 *frame,
                size_t bytes) {
  u8 *out = net->frame;
  if (frame != out) __builtin_memmove(out, frame, bytes);
  copy_bytes(out, to, 6);
  copy_bytes(out + 6, interface->mac, 6);
  set16(out + 12, type);
  if (interface->up && interface->output(interface->context, out, bytes))
    interface->out_frames++;
  else
    interface->out_lost++;
}

void net_input(struct net *net, struct net_interface *interface, const u8 *frame, size_t bytes) {
  if (bytes < ETHER_HEADER || bytes > ETHER_HEADER + interface->mtu + 4u) { /* 4: a trailer some switches leave */
    net->counters.frame_short++;
    return;
  }
  bool ours = mac_same(frame, interface->mac) || mac_same(frame, BROADCAST);
  u16 type = get16(frame + 12);
  if (!interface->up || (!ours && !interface->loopback) || (type != ETHER_IP && type != ETHER_ARP)) {
    net->counters.frame_other++;
    return;
  }
  interface->in_frames++;
  if (type == ETHER_IP)
    ip_input(net, interface, frame + ETHER_HEADER, bytes - ETHER_HEADER);
  else if (!interface->loopback)
    arp_input(net, interface, frame + ETHER_HEADER, bytes - ETHER_HEADER);
}

void net_tick(struct net *net) {
  u64 now = net_now(net);
  loop_tick(net);
  arp_tick(net, now);
  tcp_tick(net, now);
}

u64 net_deadline(const struct net *net) {
  if (net->loop_count > 0) return 0;
  return earlier(arp_deadline(net), tcp_deadline(net));
}
