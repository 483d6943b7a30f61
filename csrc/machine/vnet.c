/* vnet.c - the client's side of the data path of virtual networks (csrc/vio). */
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "vio/vnet.h"

_Static_assert(sizeof((s4v_disk_ring *)0)->address == VNET_RING_COOKIES * sizeof(u64), "one table");
enum { LEAST_ENTRY_BYTES = 32, MOST_ENTRY_BYTES = 4096, MOST_ENTRIES = 1 << 16 };

static struct net_port *inner(s4v_netport *p) { return (struct net_port *)(void *)p; }

s4v_netport *s4v_netport_new(void) { return (s4v_netport *)(void *)net_port_new(); }

void s4v_netport_close(s4v_netport *p) {
  if (p) net_port_close(inner(p));
}

int s4v_netport_put(s4v_netport *p, const void *frame, size_t len, int front, uint32_t most) {
  if (len > FRAME_MOST) return S4V_EINVAL;
  struct net_frame *f = frame_new((u32)len);
  if (!f) return S4V_ENOMEM;
  memcpy(f->data, frame, len);
  return (int)net_port_put(inner(p), f, front != 0, most);
}

int64_t s4v_netport_take(s4v_netport *p, void *buf, size_t room) {
  struct net_frame *f = room >= FRAME_MOST ? net_port_take(inner(p)) : NULL;
  if (!f) return room >= FRAME_MOST ? S4V_ENOENT : S4V_EINVAL;
  i64 bytes = f->bytes;
  memcpy(buf, f->data, f->bytes);
  free(f);
  return bytes;
}

struct list { u8 *at; size_t left, wanted; };

/* A length, four bytes of the host's order, then the frame. False: it does not fit. */
static bool write_frame(struct list *l, const struct net_frame *f) {
  size_t need = sizeof f->bytes + f->bytes;
  if (need > l->left) return false;
  memcpy(l->at, &f->bytes, sizeof f->bytes);
  memcpy(l->at + sizeof f->bytes, f->data, f->bytes);
  l->at += need;
  l->left -= need;
  return true;
}

static void list_frame(void *list, const struct net_frame *f) {
  struct list *l = list;
  l->wanted += sizeof f->bytes + f->bytes;
  if (!write_frame(l, f)) l->left = 0;
}

size_t s4v_netport_list(s4v_netport *p, void *buf, size_t room) {
  struct list l = {buf, room, 0};
  net_port_each(inner(p), list_frame, &l);
  return l.wanted;
}

uint32_t s4v_netport_waiting(s4v_netport *p) { return net_port_waiting(inner(p)); }
void s4v_netport_clear(s4v_netport *p) { net_port_clear(inner(p)); }
uint64_t s4v_netport_generation(s4v_netport *p) { return net_port_generation(inner(p)); }
void s4v_netport_forget(s4v_netport *p) { net_port_forget(inner(p)); }

void s4v_netport_flow(s4v_netport *p, uint64_t generation, const void *addresses, uint32_t most, s4v_netport *to) {
  net_port_flow(inner(p), generation, addresses, most, inner(to), machine_host_ns());
}

void s4v_netport_counted(s4v_netport *p, s4v_net_counters *out) {
  struct net_counters c = net_port_counted(inner(p));
  *out = (s4v_net_counters){c.in_frames, c.in_bytes, c.out_frames, c.out_bytes, c.dropped};
}

/* ---- sessions ---- */

static struct vnet *net(const s4v_machine *m, u32 channel) { return m->vio ? vnet_of(m->vio, channel) : NULL; }

static bool valid(const struct ldc_endpoint *e, const s4v_disk_ring *r, const s4v_net_lane *l) {
  if (!r->entries || r->entries > MOST_ENTRIES || r->cookies > VNET_RING_COOKIES) return false;
  if (r->entry_bytes < LEAST_ENTRY_BYTES || r->entry_bytes > MOST_ENTRY_BYTES) return false;
  if (l->mtu < FRAME_LEAST || l->mtu > FRAME_MOST || l->slot_bytes < l->mtu + VNET_SKIP || l->slot_bytes > 2 * FRAME_MOST)
    return false;
  return l->next < VNET_ENTRIES && l->first < VNET_ENTRIES &&
         e->export_bytes >= PAGE_BYTES + (u64)VNET_ENTRIES * l->slot_bytes;
}

int s4v_net_lend(s4v_machine *m, uint32_t channel, s4v_netport *port, const s4v_disk_ring *r, const s4v_net_lane *l) {
  const struct ldc_endpoint *e = ldc_find(&m->domain, channel);
  if (!e || e->kind != LDC_HOST) return S4V_ENOENT;
  if (m->config.deterministic || !valid(e, r, l)) return S4V_EINVAL;
  if (!machine_vio(m)) return S4V_ENOMEM;
  struct vnet *known = net(m, channel);
  if (known && vnet_is_lent(known)) return S4V_EINVAL;
  struct vnet_ring ring = {.entries = r->entries, .entry_bytes = r->entry_bytes, .cookies = r->cookies};
  for (u32 i = 0; i < r->cookies; i++) ring.cookie[i] = (struct cookie){r->address[i], r->bytes[i]};
  struct vnet_lane lane = {.ident = l->ident, .out_ident = l->out_ident, .sequence = l->sequence, .session = l->session,
                           .received = l->received, .sent = l->sent, .mtu = l->mtu, .slot_bytes = l->slot_bytes,
                           .next = l->next, .first = l->first, .busy = l->busy != 0};
  return vnet_lend(m->vio, channel, inner(port), &ring, &lane) ? S4V_OK : S4V_ENOMEM;
}

int s4v_net_take_back(s4v_machine *m, uint32_t channel, s4v_net_lane *out) {
  struct vnet *v = net(m, channel);
  if (!v) return S4V_ENOENT;
  struct vnet_lane l = vnet_take_back(v);
  *out = (s4v_net_lane){.ident = l.ident, .out_ident = l.out_ident, .sequence = l.sequence, .session = l.session,
                        .received = l.received, .sent = l.sent, .mtu = l.mtu, .slot_bytes = l.slot_bytes, .next = l.next,
                        .first = l.first, .busy = l.busy, .due = l.due, .broken = l.broken};
  return S4V_OK;
}

int s4v_net_serve(s4v_machine *m, uint32_t channel, int finish) {
  struct vnet *v = net(m, channel);
  if (!v || !vnet_is_lent(v)) return 1;
  if (!finish) return vnet_packets(v) == HOST_CLIENT;
  vnet_finish(v);
  return vnet_midway(v);
}

int s4v_net_lent(const s4v_machine *m, uint32_t channel) {
  struct vnet *v = net(m, channel);
  return v && vnet_is_lent(v);
}

int64_t s4v_net_frames(s4v_machine *m, uint32_t channel, void *buf, size_t room) {
  struct vnet *v = net(m, channel);
  struct list l = {buf, room, 0};
  while (v && l.left >= sizeof(u32) + FRAME_MOST) {
    struct net_frame *f = vnet_take(v);
    if (!f) break;
    write_frame(&l, f);
    free(f);
  }
  return (int64_t)(room - l.left);
}
