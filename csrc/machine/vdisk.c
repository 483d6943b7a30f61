/* vdisk.c - the client's side of the data path of virtual disks (csrc/vio). */
#include <string.h>

#include "machine/machine.h"
#include "vio/vnet.h"

_Static_assert(S4V_DISK_CLIENT == (int)VDISK_CLIENT && S4V_DISK_FULL == (int)VDISK_FULL, "one table");
_Static_assert(sizeof((s4v_disk_file *)0)->status == VDISK_STATUSES, "one table");
enum { LEAST_ENTRY_BYTES = VDISK_COOKIE_AT + 16 };

/* A worker is done with something. */
static void told(struct domain *d) {
  s4v_machine *m = (s4v_machine *)(void *)d;
  __atomic_store_n(&m->disk_news, 1, __ATOMIC_SEQ_CST);
  bell_ring(&m->crew.bell);
}

static u32 host_packets(struct domain *d, u32 channel) {
  struct vio *vio = ((s4v_machine *)(void *)d)->vio;
  struct vdisk *disk = vdisk_of(vio, channel);
  struct vnet *net = disk || !vio_nets_lent(vio) ? NULL : vnet_of(vio, channel);
  return disk ? vdisk_packets(disk) : net ? vnet_packets(net) : HOST_CLIENT;
}

bool machine_disks_look(s4v_machine *m) {
  return __atomic_exchange_n(&m->disk_news, 0, __ATOMIC_ACQ_REL) && !vio_answer(m->vio);
}

static struct vdisk *disk(const s4v_machine *m, u32 channel) { return m->vio ? vdisk_of(m->vio, channel) : NULL; }

struct vio *machine_vio(s4v_machine *m) {
  if (!m->vio) m->vio = vio_new(&m->domain, m->config.deterministic, told);
  if (m->vio && !m->config.deterministic) m->domain.host_packets = host_packets;
  return m->vio;
}

static struct vdisk *made(s4v_machine *m, u32 channel) {
  if (!machine_vio(m)) return NULL;
  struct vdisk *d = vdisk_of(m->vio, channel);
  return d ? d : vdisk_open(m->vio, channel);
}

static bool valid(const s4v_disk_file *f, const s4v_disk_ring *r) {
  if (!r->entries || r->entries > VDISK_ENTRIES || r->cookies > VDISK_RING_COOKIES) return false;
  if (r->entry_bytes < LEAST_ENTRY_BYTES || r->entry_bytes > VDISK_ENTRY_BYTES) return false;
  for (u32 i = 0; f->sliced && i < VDISK_SLICES; i++)
    if (f->slice_blocks[i] > f->blocks || f->slice_start[i] > f->blocks - f->slice_blocks[i]) return false;
  u64 limit = (u64)INT64_MAX / VDISK_BLOCK;
  return f->blocks < limit && f->base / VDISK_BLOCK < limit - f->blocks && f->most_blocks <= VDISK_MOST_BYTES / VDISK_BLOCK;
}

int s4v_disk_open(s4v_machine *m, uint32_t channel, const s4v_disk_file *f, const s4v_disk_ring *r) {
  const struct ldc_endpoint *e = ldc_find(&m->domain, channel);
  if (!e || e->kind != LDC_HOST) return S4V_ENOENT;
  if (!valid(f, r)) return S4V_EINVAL;
  struct vdisk *d = made(m, channel);
  if (!d) return S4V_ENOMEM;
  struct vdisk_file file = {.fd = f->fd, .image = (struct image *)(void *)f->image, .base = f->base, .blocks = f->blocks, .most_blocks = f->most_blocks,
                            .read_only = f->read_only != 0, .stable = f->stable != 0, .slice = f->slice != 0};
  struct vdisk_ring ring = {.entries = r->entries, .entry_bytes = r->entry_bytes, .cookies = r->cookies};
  memcpy(file.status, f->status, sizeof file.status);
  file.sliced = f->sliced != 0 && !file.slice;
  for (u32 i = 0; i < VDISK_SLICES; i++) file.cut[i].start = f->slice_start[i], file.cut[i].blocks = f->slice_blocks[i];
  for (u32 i = 0; i < r->cookies; i++) ring.cookie[i] = (struct cookie){r->address[i], r->bytes[i]};
  vdisk_forget(d);
  vdisk_set_ring(d, &ring);
  return vdisk_set_file(d, &file) ? S4V_EINVAL : S4V_OK;
}

void s4v_disk_close(s4v_machine *m, uint32_t channel) {
  struct vdisk *d = disk(m, channel);
  if (d) vdisk_forget(d);
}

int s4v_disk_take(s4v_machine *m, uint32_t channel, uint32_t start, uint32_t count, uint64_t sequence, uint32_t *taken) {
  struct vdisk *d = disk(m, channel);
  if (!d) return S4V_ENOENT;
  int stop = vdisk_take(d, start, count, sequence, taken);
  return stop < 0 ? S4V_EFAULT : stop;
}

int64_t s4v_disk_finish(s4v_machine *m, uint32_t channel, s4v_disk_answer *answers, size_t room) {
  struct vdisk_answer found[256];
  struct vdisk *d = disk(m, channel);
  if (!d) return S4V_ENOENT;
  i64 n = vdisk_finish(d, found, room < ARRAY_LEN(found) ? (u32)room : (u32)ARRAY_LEN(found));
  for (i64 i = 0; i < n; i++) answers[i] = (s4v_disk_answer){.sequence = found[i].sequence, .index = found[i].index};
  return n < 0 ? S4V_EFAULT : n;
}

void s4v_disk_wait(s4v_machine *m, uint32_t channel) {
  struct vdisk *d = disk(m, channel);
  if (d) vdisk_wait(d);
}

uint32_t s4v_disk_in_flight(const s4v_machine *m, uint32_t channel) {
  struct vdisk *d = disk(m, channel);
  return d ? vdisk_counters(d).in_flight : 0;
}

int s4v_disk_count(const s4v_machine *m, uint32_t channel, s4v_disk_counters *out) {
  struct vdisk *d = disk(m, channel);
  if (!d) return S4V_ENOENT;
  struct vdisk_counters c = vdisk_counters(d);
  *out = (s4v_disk_counters){.reads = c.reads, .writes = c.writes, .flushes = c.flushes, .errors = c.errors,
                             .read_bytes = c.read_bytes, .written_bytes = c.written_bytes, .in_flight = c.in_flight,
                             .deepest = c.deepest};
  return S4V_OK;
}

int s4v_disk_lend(s4v_machine *m, uint32_t channel, const s4v_disk_link *link) {
  struct vdisk *d = disk(m, channel);
  if (!d) return S4V_ENOENT;
  if (m->config.deterministic) return S4V_EINVAL;
  vdisk_lend(d, &(struct vdisk_lane){.ident = link->ident, .session = link->session, .received = link->received, .sent = link->sent});
  return S4V_OK;
}

int s4v_disk_take_back(s4v_machine *m, uint32_t channel, s4v_disk_link *link) {
  struct vdisk *d = disk(m, channel);
  if (!d) return S4V_ENOENT;
  struct vdisk_lane lane = vdisk_take_back(d);
  *link = (s4v_disk_link){.ident = lane.ident, .session = lane.session, .received = lane.received, .sent = lane.sent,
                          .broken = lane.broken};
  return S4V_OK;
}

int s4v_disk_lent(const s4v_machine *m, uint32_t channel) {
  struct vdisk *d = disk(m, channel);
  return d && vdisk_is_lent(d);
}

bool machine_disks_busy(const s4v_machine *m) { return m->vio && vio_busy(m->vio); }

void machine_disks_settle(s4v_machine *m) {
  if (m->vio) vio_settle(m->vio);
}
