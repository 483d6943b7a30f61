/* vnet.c - virtual networks: frames between the stack and a switch, or another domain's interface.
 *
 * Source: UltraSPARC Virtual Machine Specification 3.0, chapter 30. We register the ring we send from, out of memory that
 * we export; the other end registers its own, from which we copy. One message says that descriptors are ready; until the
 * other end answers that it has STOPPED, it goes on by itself. Frames begin 6 bytes into their buffers.
 *
 * All of it belongs to the network's lock.
 */
#include "network.h"
#include "vio.h"

enum { VNETS = 4, VNET_PORTS = 4, ENTRIES = 128, SKIP = 6, DESCRIPTOR_COOKIES = 2 };
enum { VERSION_MAJOR = 1, VERSION_MINOR = 6, MODE_PACKETS = 1, MODE_RING_OLD = 3, MODE_RING = 4, ADDRESS_ETHERNET = 1 };
enum { FRAME_LEAST = 14, FRAME_SHORTEST = 60, FRAME_PLAIN = 1514, FRAME_VLAN = 1518, VLAN_FRAME = 18 };
enum { PEER_ENTRIES_MOST = 4096, PEER_ENTRY_MOST = 512, PEER_COOKIES_MOST = 8, PACKET_AT = 16 };
#define WATCH_NS NS_PER_SECOND
#define PATIENCE_NS (5 * NS_PER_SECOND)

struct descriptor {
  u8 state, ack, reserved[6];
  u32 bytes, cookies;
  struct vio_cookie cookie[DESCRIPTOR_COOKIES];
};

struct vnet_port {
  struct vio vio;
  struct vnet *vnet;
  bool used, is_switch, packets, busy;
  u64 id;
  u8 mac[6];
  u32 frame_most;
  struct descriptor *ring;
  u8 *buffers;
  u64 ring_cookie, buffer_cookie, sequence, expected, told_ns;
  u32 next, first; /* descriptor to fill, oldest that is not done */
  u16 waiting[ENTRIES]; /* lengths of frames that wait to go in band */
  struct {
    u64 ident;
    u32 entries, entry_bytes, cookies;
    struct vio_cookie cookie[VIO_RING_COOKIES];
  } peer;
};

struct vnet {
  char name[NET_NAME];
  u64 number;
  bool unconfigured; /* by the manager, until it configures it again or the description loses it */
  u8 mac[6];
  u32 frame_most, slot_bytes;
  struct net_interface *interface;
  u8 *bounce;
  struct vnet_port port[VNET_PORTS];
};

static struct vnet *vnets[VNETS];
static u32 vnet_count;
static struct timer watch_timer;

static struct vnet_port *port_of(struct vio *vio) {
  return (struct vnet_port *)((u8 *)vio - offsetof(struct vnet_port, vio));
}

static u64 mac_number(const u8 mac[6]) { return get64((const u8[8]){0, 0, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]}); }
static void mac_bytes(u64 number, u8 mac[6]) {
  for (u32 i = 0; i < 6; i++) mac[i] = (u8)(number >> (40 - 8 * i));
}

/* -- handshake */

static u64 frame_limit(const struct vio *vio, u64 wanted) {
  return vio->minor < 3 ? FRAME_PLAIN : vio->minor < 4 ? FRAME_VLAN : wanted;
}

static void attributes(struct vio *vio, union vio_message *m) {
  const struct vnet_port *p = port_of(vio);
  const char *mode = boot_option("vnet");
  bool packets = mode && strcmp(mode, "packets") == 0;
  m->network.mode = packets ? MODE_PACKETS : vio->minor < 2 ? MODE_RING_OLD : MODE_RING;
  m->network.address_type = ADDRESS_ETHERNET;
  m->network.options = vio->minor >= 6 && !packets ? VIO_TX_RING : 0;
  m->network.address = mac_number(p->vnet->mac);
  m->network.mtu = frame_limit(vio, p->vnet->frame_most);
}

/* The smaller of both ends' frames; the interface's MTU follows from the switch's. */
static bool take_mtu(struct vnet_port *p, u64 mtu) {
  u32 header = p->vio.minor < 3 ? FRAME_LEAST : VLAN_FRAME;
  if (mtu < NET_MTU_MIN + VLAN_FRAME) return false;
  if (mtu < p->frame_most) p->frame_most = (u32)mtu;
  if (p->is_switch) p->vnet->interface->mtu = p->frame_most - header;
  return true;
}

static bool attributes_acked(struct vio *vio, const union vio_message *m) {
  struct vnet_port *p = port_of(vio);
  bool ring = m->network.mode == MODE_RING || (vio->minor < 2 && m->network.mode == MODE_RING_OLD);
  p->packets = m->network.mode == MODE_PACKETS;
  if (p->packets && p->frame_most > LINK_MESSAGE - PACKET_AT) p->frame_most = LINK_MESSAGE - PACKET_AT;
  return (ring || p->packets) && take_mtu(p, m->network.mtu);
}

static bool peer_attributes(struct vio *vio, union vio_message *m) {
  struct vnet_port *p = port_of(vio);
  if (m->network.address_type != ADDRESS_ETHERNET || !take_mtu(p, m->network.mtu)) return false;
  if (vio->minor >= 4) m->network.mtu = p->frame_most;
  m->network.link_updates = 0;
  return true;
}

static bool ring(struct vio *vio, union vio_message *m) {
  struct vnet_port *p = port_of(vio);
  if (p->packets) return false;
  memset(p->ring, 0, ENTRIES * sizeof *p->ring);
  for (u32 i = 0; i < ENTRIES; i++) p->ring[i].state = VIO_FREE;
  m->ring.entries = ENTRIES;
  m->ring.entry_bytes = sizeof *p->ring;
  m->ring.options = VIO_TX_RING;
  m->ring.cookies = 1;
  m->ring.cookie[0] = (struct vio_cookie){p->ring_cookie, ENTRIES * sizeof *p->ring};
  return true;
}

/* A ring we can copy from: whole words, and all of it behind its cookies. */
static bool peer_ring(struct vio *vio, union vio_message *m) {
  struct vnet_port *p = port_of(vio);
  u64 there = 0, need = (u64)m->ring.entries * m->ring.entry_bytes;
  if (m->ring.entries < 1 || m->ring.entries > PEER_ENTRIES_MOST || m->ring.entry_bytes < 32 ||
      m->ring.entry_bytes > PEER_ENTRY_MOST || m->ring.entry_bytes % 8 || m->ring.cookies < 1 ||
      m->ring.cookies > VIO_RING_COOKIES)
    return false;
  for (u32 i = 0; i < m->ring.cookies; i++) {
    if ((m->ring.cookie[i].address | m->ring.cookie[i].bytes) % 8 || m->ring.cookie[i].bytes > 1u << 30) return false;
    p->peer.cookie[i] = m->ring.cookie[i];
    there += m->ring.cookie[i].bytes;
  }
  if (there < need) return false;
  p->peer.entries = m->ring.entries;
  p->peer.entry_bytes = m->ring.entry_bytes;
  p->peer.cookies = m->ring.cookies;
  m->ring.ident = ++p->peer.ident;
  return true;
}

static void port_forget(struct vnet_port *p) {
  p->busy = false;
  p->next = p->first = 0;
  p->sequence = p->expected = 1;
  p->frame_most = p->vnet->frame_most;
}

/* -- sending */

/* Tells that descriptors from `first` on are ready. Where that finds no room, room() comes. */
static void tell_ready(struct vnet_port *p, u32 start) {
  union vio_message m = {0};
  m.data.sequence = p->sequence;
  m.data.ident = p->vio.ident;
  m.data.start = start;
  m.data.end = VIO_OPEN_END;
  m.data.state = VIO_ACTIVE;
  if (!vio_send(&p->vio, &m, VIO_DATA, VIO_INFO, VIO_RING_DATA)) return;
  p->sequence++;
  p->busy = true;
  p->told_ns = clock_ns();
}

static void reclaim(struct vnet_port *p) {
  while (p->first != p->next && *(volatile u8 *)&p->ring[p->first].state == VIO_DONE) {
    p->ring[p->first].state = VIO_FREE;
    p->first = (p->first + 1) % ENTRIES;
    p->told_ns = clock_ns();
  }
}

/* Frames in band wait in the buffers, each behind its message's head. */
static void send_waiting(struct vnet_port *p) {
  while (p->first != p->next) {
    u8 *m = p->buffers + (u64)p->first * p->vnet->slot_bytes;
    struct vio_tag tag = {VIO_DATA, VIO_INFO, VIO_PACKET, p->vio.session};
    memcpy(m, &tag, sizeof tag);
    set64(m + 8, p->sequence);
    if (!ldc_send(&p->vio.channel, m, PACKET_AT + p->waiting[p->first])) return;
    p->sequence++;
    p->first = (p->first + 1) % ENTRIES;
  }
}

static void room(struct vio *vio) {
  struct vnet_port *p = port_of(vio);
  if (p->packets) {
    send_waiting(p);
    return;
  }
  reclaim(p);
  if (!p->busy && p->first != p->next) tell_ready(p, p->first);
}

static bool send_ring(struct vnet_port *p, const u8 *frame, size_t bytes) {
  reclaim(p);
  if ((p->next + 1) % ENTRIES == p->first) return false;
  u32 index = p->next;
  struct descriptor *d = &p->ring[index];
  u64 at = (u64)index * p->vnet->slot_bytes;
  memcpy(p->buffers + at + SKIP, frame, bytes);
  d->bytes = (u32)bytes;
  d->cookies = 1;
  d->cookie[0] = (struct vio_cookie){p->buffer_cookie + at, (SKIP + bytes + 7) & ~7ul};
  __asm__ volatile("membar #Sync" : : : "memory"); /* the state comes last */
  *(volatile u8 *)&d->state = VIO_READY;
  p->next = (index + 1) % ENTRIES;
  if (!p->busy) tell_ready(p, p->first);
  return true;
}

static bool send_packet(struct vnet_port *p, const u8 *frame, size_t bytes) {
  if ((p->next + 1) % ENTRIES == p->first) return false;
  memcpy(p->buffers + (u64)p->next * p->vnet->slot_bytes + PACKET_AT, frame, bytes);
  p->waiting[p->next] = (u16)bytes;
  p->next = (p->next + 1) % ENTRIES;
  send_waiting(p);
  return true;
}

/* The port for a destination: the domain's that has the address, else the switch. */
static struct vnet_port *route(struct vnet *v, const u8 mac[6]) {
  struct vnet_port *found = NULL;
  for (u32 i = 0; i < VNET_PORTS; i++) {
    struct vnet_port *p = &v->port[i];
    if (!p->used || p->vio.state != VIO_RUNNING) continue;
    if (!p->is_switch && memcmp(p->mac, mac, 6) == 0) return p;
    if (p->is_switch) found = p;
  }
  return found;
}

static bool output(void *context, const u8 *frame, size_t bytes) {
  struct vnet_port *p = route(context, frame);
  if (!p || bytes > p->frame_most) return false;
  return p->packets ? send_packet(p, frame, bytes) : send_ring(p, frame, bytes);
}

/* -- receiving */

/* Between the other end's ring and our memory, over the cookies' borders. */
static bool peer_copy(struct vnet_port *p, bool out, u64 offset, void *memory, u64 bytes) {
  u8 *at = memory;
  for (u32 i = 0; i < p->peer.cookies && bytes > 0; i++) {
    const struct vio_cookie *c = &p->peer.cookie[i];
    if (offset >= c->bytes) {
      offset -= c->bytes;
      continue;
    }
    u64 n = c->bytes - offset < bytes ? c->bytes - offset : bytes;
    struct ldc_channel *channel = &p->vio.channel;
    if (!(out ? ldc_copy_out(channel, c->address + offset, at, n) : ldc_copy_in(channel, c->address + offset, at, n)))
      return false;
    at += n;
    bytes -= n;
    offset = 0;
  }
  return bytes == 0;
}

/* The frame behind a descriptor, at vnet->bounce + SKIP. false: it cannot be had, and is lost. */
static bool fetch(struct vnet_port *p, const struct descriptor *d, u32 cookies_read) {
  u64 left = (SKIP + (u64)d->bytes + 7) & ~7ul, at = 0;
  if (d->bytes < FRAME_LEAST || d->bytes > p->frame_most || d->cookies > cookies_read) return false;
  for (u32 i = 0; i < d->cookies && left > 0; i++) {
    u64 n = d->cookie[i].bytes < left ? d->cookie[i].bytes & ~7ul : left;
    if (d->cookie[i].address % 8 || !ldc_copy_in(&p->vio.channel, d->cookie[i].address, p->vnet->bounce + at, n))
      return false;
    at += n;
    left -= n;
  }
  return left == 0;
}

/* One descriptor. false: it is not ready, or the ring cannot be read. */
static bool receive_one(struct vnet_port *p, u32 index) {
  struct descriptor d ALIGNED(8);
  u64 offset = (u64)index * p->peer.entry_bytes;
  u32 bytes = smaller(p->peer.entry_bytes, sizeof d);
  if (!peer_copy(p, false, offset, &d, bytes) || d.state != VIO_READY) return false;
  bool fetched = fetch(p, &d, (bytes - 16) / 16);
  d.state = VIO_DONE;
  if (!peer_copy(p, true, offset, &d, 8)) return false;
  struct net *net = network_lock_held();
  if (fetched) net_input(net, p->vnet->interface, p->vnet->bounce + SKIP, d.bytes);
  return true;
}

/* From `start` to `end`, or to the first that is not ready; at most once round. Answering may end the session. */
static void receive(struct vnet_port *p, const union vio_message *m) {
  u32 index = m->data.start, last = (index + p->peer.entries - 1) % p->peer.entries;
  u64 session = p->vio.sessions;
  for (u32 i = 0; i < p->peer.entries; i++) {
    if (!receive_one(p, index)) break;
    if (p->vio.sessions != session || p->vio.state != VIO_RUNNING) return;
    last = index;
    if (index == m->data.end) break;
    index = (index + 1) % p->peer.entries;
  }
  union vio_message reply = *m;
  reply.data.end = last;
  reply.data.state = VIO_STOPPED;
  if (!vio_send(&p->vio, &reply, VIO_DATA, VIO_ACK, VIO_RING_DATA)) ldc_restart(&p->vio.channel);
}

/* A frame in band, or descriptors that are ready. false: it makes no sense. */
static bool data_info(struct vnet_port *p, const union vio_message *m, const u8 *bytes_at, size_t bytes) {
  bool in_order = m->data.sequence == p->expected++;
  if (m->tag.what == VIO_PACKET && in_order) {
    if (bytes - PACKET_AT <= p->frame_most)
      net_input(network_lock_held(), p->vnet->interface, bytes_at + PACKET_AT, bytes - PACKET_AT);
    return true;
  }
  if (m->tag.what != VIO_RING_DATA || !in_order || p->packets || bytes < VIO_MESSAGE) return false;
  if (m->data.ident != p->peer.ident || m->data.start >= p->peer.entries) return false;
  if (m->data.end >= p->peer.entries && m->data.end != VIO_OPEN_END) return false;
  receive(p, m);
  return true;
}

/* Nothing is sent twice: what makes no sense stands for a message that is lost, and both ends start anew. */
static void data(struct vio *vio, const u8 *bytes_at, size_t bytes) {
  struct vnet_port *p = port_of(vio);
  union vio_message m = {0};
  memcpy(&m, bytes_at, bytes < VIO_MESSAGE ? bytes : VIO_MESSAGE);
  bool fine = bytes >= PACKET_AT && m.tag.session == vio->peer_session;
  if (fine && m.tag.subtype == VIO_INFO) {
    fine = data_info(p, &m, bytes_at, bytes);
  } else if (fine) {
    fine = m.tag.subtype == VIO_ACK && m.tag.what == VIO_RING_DATA && m.data.ident == vio->ident;
    if (fine && m.data.state == VIO_STOPPED) p->busy = false;
    if (fine) room(vio);
  }
  if (!fine && vio->state == VIO_RUNNING) ldc_restart(&vio->channel);
}

/* -- sessions */

static void running(struct vio *vio) {
  struct vnet_port *p = port_of(vio);
  u32 most = p->frame_most;
  port_forget(p);
  p->frame_most = most;
  if (p->is_switch) net_resume(network_lock_held(), p->vnet->interface);
}

static void down(struct vio *vio) { port_forget(port_of(vio)); }

static const struct vio_device device = {
    .attributes = attributes, .attributes_acked = attributes_acked, .peer_attributes = peer_attributes, .ring = ring,
    .peer_ring = peer_ring, .running = running, .down = down, .room = room, .data = data};

static void interrupted(void *arg) {
  struct vnet_port *p = arg;
  network_lock();
  if (p->vio.channel.open) ldc_service(&p->vio.channel);
  network_unlock();
}

/* The other end took nothing for too long: what it was told, or what it answered, is lost. */
static void port_watch(struct vnet_port *p) {
  if (!p->used) return;
  vio_watch(&p->vio);
  if (p->vio.state != VIO_RUNNING || p->packets || !p->busy) return;
  reclaim(p);
  if (p->first != p->next && clock_ns() - p->told_ns > PATIENCE_NS) ldc_restart(&p->vio.channel);
}

static void watch(void *arg) {
  (void)arg;
  network_lock();
  for (u32 i = 0; i < vnet_count; i++)
    for (u32 k = 0; k < VNET_PORTS; k++) port_watch(&vnets[i]->port[k]);
  network_unlock();
  timer_start(&watch_timer, clock_ns() + WATCH_NS);
}

void vnets_resumed(void) {
  for (u32 i = 0; i < vnet_count; i++)
    for (u32 k = 0; k < VNET_PORTS; k++)
      if (vnets[i]->port[k].used) interrupted(&vnets[i]->port[k]);
}

static bool allocate(struct vnet_port *p) {
  struct ldc_channel *c = &p->vio.channel;
  u64 bytes = (u64)ENTRIES * p->vnet->slot_bytes;
  if (!p->ring) p->ring = page_alloc();
  if (!p->buffers) p->buffers = kmalloc(bytes);
  if (!p->ring || !p->buffers || !ldc_prepare(c)) return false;
  p->ring_cookie = ldc_export(c, p->ring, ENTRIES * sizeof *p->ring, LDC_READ | LDC_WRITE);
  p->buffer_cookie = ldc_export(c, p->buffers, bytes, LDC_READ);
  return p->buffer_cookie != LDC_NO_COOKIE;
}

/* Who calls whom: we the switch, and of two domains the one with the smaller address. */
static void port_attach(struct vnet *v, struct vnet_port *p, md_node node, u64 id) {
  u64 number = 0, none, status = ENOMAP;
  size_t bytes = 0;
  const u8 *macs = md_data(node, "remote-mac-address", &bytes);
  struct ldc_channel *c = &p->vio.channel;
  if (!ldc_endpoint(node, &c->id, &c->tx_ino, &c->rx_ino)) return;
  if (!md_value(node, "remote-mac-address", &number) && macs && bytes >= 8) number = get64(macs);
  mac_bytes(number, p->mac);
  p->vnet = v;
  p->id = id;
  p->is_switch = md_value(node, "switch-port", &none);
  p->vio.device = &device;
  p->vio.device_class = VIO_NETWORK;
  p->vio.version_major = VERSION_MAJOR;
  p->vio.version_minor = VERSION_MINOR;
  p->vio.both_ways = true;
  port_forget(p);
  bool initiator = p->is_switch || mac_number(v->mac) < number;
  if (allocate(p)) status = vio_open(&p->vio, initiator, interrupted, p);
  p->used = !status;
  if (status) printf("WARNING: %s: channel %lu cannot be opened (%lu)\n", v->name, c->id, status);
}

static struct vnet *vnet_new(u64 number, u64 mac, u64 mtu) {
  struct vnet *v = vnet_count < VNETS ? kmalloc(sizeof *v) : NULL;
  if (!v) return NULL;
  if (mtu < NET_MTU_MIN || mtu > NET_MTU_MAX - 4) mtu = FRAME_VLAN - VLAN_FRAME;
  v->number = number;
  snprintf(v->name, sizeof v->name, "vnet%lu", number);
  mac_bytes(mac, v->mac);
  v->frame_most = (u32)mtu + VLAN_FRAME;
  v->slot_bytes = (PACKET_AT + v->frame_most + 63) & ~63u;
  v->bounce = kmalloc(v->slot_bytes + 8);
  struct net *net = network_lock_held();
  v->interface = v->bounce ? net_attach(net, v->name, v->mac, (u32)mtu, output, v) : NULL;
  if (!v->interface) return NULL;
  return vnets[vnet_count++] = v;
}

static struct vnet *vnet_of(md_node node) {
  u64 number, mac, mtu = FRAME_VLAN - VLAN_FRAME;
  if (!md_value(node, "cfg-handle", &number) || !md_value(node, "local-mac-address", &mac)) return NULL;
  for (u32 i = 0; i < vnet_count; i++)
    if (vnets[i]->number == number) return vnets[i];
  md_value(node, "mtu", &mtu);
  return number > 999 ? NULL : vnet_new(number, mac, mtu);
}

static void port_detach(struct vnet_port *p) {
  ldc_close(&p->vio.channel);
  p->vio.state = VIO_IDLE;
  p->used = false;
  port_forget(p);
}

/* An interface without a port is gone, and its address with it. */
static void interface_show(struct vnet *v) {
  bool there = false;
  for (u32 k = 0; k < VNET_PORTS; k++) there |= v->port[k].used;
  v->interface->gone = !there;
  if (!there) v->interface->address = v->interface->mask = 0;
}

static struct vnet_port *port_find(struct vnet *v, u64 id) {
  struct vnet_port *unused = NULL;
  for (u32 i = 0; i < VNET_PORTS; i++) {
    if (v->port[i].used && v->port[i].id == id) return &v->port[i];
    if (!v->port[i].used) unused = &v->port[i];
  }
  return unused;
}

void vnets_scan(void) {
  bool seen[VNETS][VNET_PORTS] = {{false}};
  if (!network_lock()) {
    network_unlock();
    return;
  }
  for (md_node n = md_find("virtual-device-port", MD_NONE); n != MD_NONE; n = md_find("virtual-device-port", n)) {
    const char *name = md_string(n, "name");
    md_node parent = md_linked(n, "back", "virtual-device", MD_NONE);
    u64 id = 0;
    if (!name || strcmp(name, "vnet-port") || parent == MD_NONE || !md_value(n, "id", &id)) continue;
    struct vnet *v = vnet_of(parent);
    struct vnet_port *p = v ? port_find(v, id) : NULL;
    if (!p) continue;
    if (!p->used && !v->unconfigured) port_attach(v, p, n, id);
    for (u32 i = 0; i < vnet_count; i++)
      if (vnets[i] == v) seen[i][p - v->port] = true;
  }
  for (u32 i = 0; i < vnet_count; i++) {
    bool any = false;
    for (u32 k = 0; k < VNET_PORTS; k++) {
      any |= seen[i][k];
      if (vnets[i]->port[k].used && !seen[i][k]) port_detach(&vnets[i]->port[k]);
    }
    vnets[i]->unconfigured &= any;
    interface_show(vnets[i]);
  }
  network_unlock();
  if (watch_timer.function || !vnet_count) return; /* a timer that nobody needs would keep an idle domain awake */
  watch_timer.function = watch;
  watch(NULL);
}

/* -- dr-vio */

static struct vnet *known(u64 number) {
  for (u32 i = 0; i < vnet_count; i++)
    if (vnets[i]->number == number) return vnets[i];
  return NULL;
}

static bool is_configured(u64 number) { return known(number) && !known(number)->interface->gone; }

static enum device_result configure(u64 number) {
  if (known(number)) known(number)->unconfigured = false;
  vnets_scan();
  return is_configured(number) ? DEVICE_OK : DEVICE_FAILED;
}

static enum device_result unconfigure(u64 number, bool force, const char **why) {
  enum device_result result = DEVICE_OK;
  network_lock();
  struct vnet *v = known(number);
  if (v && v->interface->address && !force) {
    result = DEVICE_BLOCKED;
    *why = "the interface has an address";
  } else if (v) {
    v->unconfigured = true;
    for (u32 k = 0; k < VNET_PORTS; k++)
      if (v->port[k].used) port_detach(&v->port[k]);
    interface_show(v);
  }
  network_unlock();
  return result;
}

const struct device_class vnet_class = {"network", is_configured, configure, unconfigure};
