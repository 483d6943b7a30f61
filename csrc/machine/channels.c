/* channels.c - the client's end of channels. */
#include <string.h>

#include "machine/machine.h"
#include "vio/vnet.h"

static bool channel_there(const s4v_machine *m, u32 id) {
  return id < m->domain.channels.count && m->domain.channels.endpoint[id].kind != LDC_NONE;
}

static bool host_channel(const s4v_machine *m, u32 id) {
  return id < m->domain.channels.count && m->domain.channels.endpoint[id].kind == LDC_HOST;
}

int s4v_ldc_add(s4v_machine *m, uint32_t id) {
  if (id >= m->domain.channels.count || channel_there(m, id)) return S4V_EINVAL;
  ldc_add_host(&m->domain, id);
  return S4V_OK;
}

int s4v_ldc_connect(s4v_machine *m, uint32_t a, uint32_t b) {
  if (a >= m->domain.channels.count || b >= m->domain.channels.count || a == b || channel_there(m, a) || channel_there(m, b))
    return S4V_EINVAL;
  ldc_connect(&m->domain, a, b);
  return S4V_OK;
}

int s4v_ldc_add_wire(s4v_machine *m, uint32_t id) {
  if (id >= m->domain.channels.count || channel_there(m, id)) return S4V_EINVAL;
  ldc_add_wire(&m->domain, id);
  return S4V_OK;
}

s4v_wire *s4v_wire_new(void) { return (s4v_wire *)(void *)wire_new(); }

void s4v_wire_release(s4v_wire *w) {
  if (w) wire_release((struct ldc_wire *)(void *)w);
}

static bool wire_channel(const s4v_machine *m, u32 id) {
  return id < m->domain.channels.count && m->domain.channels.endpoint[id].kind == LDC_WIRE;
}

int s4v_wire_plug(s4v_machine *m, uint32_t id, s4v_wire *w, uint32_t side) {
  if (!wire_channel(m, id)) return S4V_ENOENT;
  if (side > 1 || !wire_plug(&m->domain, id, (struct ldc_wire *)(void *)w, side)) return S4V_EINVAL;
  return S4V_OK;
}

int s4v_wire_unplug(s4v_machine *m, uint32_t id) {
  if (!wire_channel(m, id)) return S4V_ENOENT;
  wire_unplug(&m->domain, id);
  return S4V_OK;
}

int s4v_ldc_remove(s4v_machine *m, uint32_t id) {
  if (!channel_there(m, id)) return S4V_ENOENT;
  if (m->vio) vdisk_close(m->vio, id);
  if (m->vio) vnet_close(m->vio, id);
  ldc_remove(&m->domain, id);
  return S4V_OK;
}

uint32_t s4v_ldc_wires(const s4v_machine *m, uint32_t *out, uint32_t max) {
  uint32_t n = 0;
  for (u32 id = 0; id < m->domain.channels.count && n < max; id++)
    if (channel_there(m, id) && m->domain.channels.endpoint[id].kind == LDC_WIRE) out[n++] = id;
  return n;
}

int s4v_ldc_info(const s4v_machine *m, uint32_t id, s4v_ldc *out) {
  if (!channel_there(m, id)) return S4V_ENOENT;
  const struct ldc_endpoint *e = &m->domain.channels.endpoint[id];
  u64 used = e->rx.bytes ? (e->rx.tail - e->rx.head) & (e->rx.bytes - 1) : 0;
  u64 waiting = e->tx.bytes ? (e->tx.tail - e->tx.head) & (e->tx.bytes - 1) : 0;
  *out = (s4v_ldc){
      .host = e->kind == LDC_HOST, .wire = e->kind == LDC_WIRE, .wired = e->wire != NULL, .peer = e->peer, .up = e->up, .tx_entries = (u32)(e->tx.bytes / LDC_PACKET),
      .rx_entries = (u32)(e->rx.bytes / LDC_PACKET), .tx_packets = (u32)(waiting / LDC_PACKET),
      .rx_room = e->rx.bytes ? (u32)((e->rx.bytes - used) / LDC_PACKET - 1) : 0, .map_entries = e->map_entries,
      .export_bytes = e->export_bytes, .resets = e->resets,
  };
  return S4V_OK;
}

int s4v_ldc_up(s4v_machine *m, uint32_t id, int up) {
  if (!host_channel(m, id)) return S4V_ENOENT;
  ldc_set_up(&m->domain, id, up != 0);
  return S4V_OK;
}

int s4v_ldc_reset(s4v_machine *m, uint32_t id) {
  if (!host_channel(m, id)) return S4V_ENOENT;
  ldc_reset(&m->domain, id);
  return S4V_OK;
}

int64_t s4v_ldc_send(s4v_machine *m, uint32_t id, const void *packets, size_t count) {
  return host_channel(m, id) ? (int64_t)ldc_send(&m->domain, id, packets, count) : S4V_ENOENT;
}

int64_t s4v_ldc_receive(s4v_machine *m, uint32_t id, void *packets, size_t count) {
  return host_channel(m, id) ? (int64_t)ldc_receive(&m->domain, id, packets, count) : S4V_ENOENT;
}

/* Finds the next run of at most `len` bytes behind a cookie. */
static int next_run(const s4v_machine *m, u32 id, u64 cookie, u32 right, u64 *ra, u64 *len) {
  u64 bytes = 0;
  u32 status = ldc_translate(&m->domain, &m->domain.channels.endpoint[id], cookie, right, ra, &bytes);
  if (status) return status == HV_ENOACCESS ? S4V_EREADONLY : S4V_EFAULT;
  if (bytes < *len) *len = bytes;
  return S4V_OK;
}

int s4v_ldc_read(s4v_machine *m, uint32_t id, uint64_t cookie, void *buf, size_t len) {
  if (!host_channel(m, id)) return S4V_ENOENT;
  for (u64 at = 0; at < len;) {
    u64 ra = 0, bytes = len - at;
    int status = next_run(m, id, cookie + at, LDC_COPY_READ, &ra, &bytes);
    if (!status) status = s4v_mem_read(m, ra, (u8 *)buf + at, bytes);
    if (status) return status;
    at += bytes;
  }
  return S4V_OK;
}

int s4v_ldc_write(s4v_machine *m, uint32_t id, uint64_t cookie, const void *buf, size_t len) {
  if (!host_channel(m, id)) return S4V_ENOENT;
  for (u64 at = 0; at < len;) {
    u64 ra = 0, bytes = len - at;
    int status = next_run(m, id, cookie + at, LDC_COPY_WRITE, &ra, &bytes);
    if (!status) status = s4v_mem_write(m, ra, (const u8 *)buf + at, bytes);
    if (status) return status;
    at += bytes;
  }
  return S4V_OK;
}

int s4v_ldc_export(s4v_machine *m, uint32_t id, uint64_t bytes) {
  if (!host_channel(m, id)) return S4V_ENOENT;
  if (bytes % PAGE_BYTES || bytes > LDC_EXPORT_MOST) return S4V_EINVAL;
  return ldc_export(&m->domain, id, bytes) ? S4V_OK : S4V_ENOMEM;
}

/* NULL: not all of the range is exported. */
static u8 *exported(const s4v_machine *m, u32 id, u64 offset, u64 len) {
  const struct ldc_endpoint *e = &m->domain.channels.endpoint[id];
  return len <= e->export_bytes && offset <= e->export_bytes - len ? e->exported + offset : NULL;
}

int s4v_ldc_export_read(const s4v_machine *m, uint32_t id, uint64_t offset, void *buf, size_t len) {
  if (!host_channel(m, id)) return S4V_ENOENT;
  if (len == 0) return S4V_OK;
  const u8 *from = exported(m, id, offset, len);
  if (from) memcpy(buf, from, len);
  return from ? S4V_OK : S4V_EFAULT;
}

int s4v_ldc_export_write(s4v_machine *m, uint32_t id, uint64_t offset, const void *buf, size_t len) {
  if (!host_channel(m, id)) return S4V_ENOENT;
  if (len == 0) return S4V_OK;
  u8 *to = exported(m, id, offset, len);
  if (to) memcpy(to, buf, len);
  return to ? S4V_OK : S4V_EFAULT;
}
