/* ldc_map.c - map tables and LDC_COPY (UltraSPARC VM Specification 3.0).
 *
 *   cookie: page size code 63:60 | index * page size + offset
 *   entry word 0: RA 55:13 | rights 10:4 | page size code 3:0
 */
#include "hyp/calls.h"
#include "hyp/hyp.h"
#include "hyp/ldc_wire.h"

enum { COPY_MOST = 1 << 20, COPY_CHUNK = 4096, RIGHTS = 0x7f0, MAX_SIZE_CODE = 7 };
#define ENTRY_RA 0x00ffffffffffe000ull
#define COOKIE_ADDRESS ((1ull << 60) - 1)

u32 hc_ldc_set_map_table(struct strand *s, struct domain *d) {
  struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  u64 base = hv_arg(s, 1), n = hv_arg(s, 2);
  if (!e) return hc_status(s, HV_ECHANNEL);
  if (n == 1 || (n & (n - 1)) || n > LDC_MAP_ENTRIES) return hc_status(s, HV_EINVAL);
  if (n && (base & (n * LDC_MAP_BYTES - 1))) return hc_status(s, HV_EBADALIGN);
  if (n && !ram_backed(s->env->ram, RA(base), n * LDC_MAP_BYTES)) return hc_status(s, HV_ENORADDR);
  wire_set_map(e, n ? base : 0, n);
  return hc_status(s, HV_EOK);
}

u32 hc_ldc_get_map_table(struct strand *s, struct domain *d) {
  const struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  if (!e) return hc_status(s, HV_ECHANNEL);
  hv_ret(s, 1, e->map_base);
  hv_ret(s, 2, e->map_entries);
  return hc_status(s, HV_EOK);
}

u32 ldc_translate(const struct domain *d, const struct ldc_endpoint *e, u64 cookie, u32 right, u64 *ra, u64 *bytes) {
  u32 code = (u32)(cookie >> 60), shift = PAGE_BITS + 3 * (code & MAX_SIZE_CODE);
  u64 page = 1ull << shift, index = (cookie & COOKIE_ADDRESS) >> shift, offset = cookie & (page - 1);
  u8 word[8];
  if (code > MAX_SIZE_CODE) return HV_EBADPGSZ;
  if (index >= e->map_entries) return HV_ENOMAP;
  if (!ram_read(d->env.ram, RA(e->map_base + index * LDC_MAP_BYTES), word, sizeof word)) return HV_ENORADDR;
  u64 entry = be64_load(word);
  if (!(entry & RIGHTS)) return HV_ENOMAP;
  if ((entry & 15) != code) return HV_EBADPGSZ;
  if (!(entry & right)) return HV_ENOACCESS;
  *ra = (entry & ENTRY_RA & ~(page - 1)) + offset;
  *bytes = page - offset;
  return HV_EOK;
}

/* One run inside a page of the exporter. */
static u32 copy_run(struct domain *d, u64 from, u64 to, u64 bytes) {
  u8 chunk[COPY_CHUNK];
  if (!ram_backed(d->env.ram, RA(from), bytes) || !ram_backed(d->env.ram, RA(to), bytes)) return HV_ENORADDR;
  for (u64 at = 0; at < bytes; at += sizeof chunk) {
    u64 n = bytes - at < sizeof chunk ? bytes - at : sizeof chunk;
    if (!ram_read(d->env.ram, RA(from + at), chunk, n) || !ram_write(d->env.ram, RA(to + at), chunk, n)) return HV_ENORADDR;
  }
  return HV_EOK;
}

/* Memory the client exports: one run of bytes, every page allowed both ways. */
static u32 copy_exported(struct domain *d, const struct ldc_endpoint *e, bool out, u64 cookie, u64 local, u64 *length) {
  if (cookie >> 60) return e->export_bytes ? HV_EBADPGSZ : HV_ENOMAP;
  if (cookie >= e->export_bytes) return HV_ENOMAP;
  if (*length > e->export_bytes - cookie) *length = e->export_bytes - cookie;
  u8 *exported = e->exported + cookie;
  bool here = out ? ram_read(d->env.ram, RA(local), exported, *length) : ram_write(d->env.ram, RA(local), exported, *length);
  return here ? HV_EOK : HV_ENORADDR;
}

/* Goes on over the page ends of both sides. What was copied before an error counts: the error comes when it is the
 * first page's. */
u32 hc_ldc_copy(struct strand *s, struct domain *d) {
  const struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  u64 out = hv_arg(s, 1), cookie = hv_arg(s, 2), local = hv_arg(s, 3), length = hv_arg(s, 4), copied = 0;
  if (!e) return hc_status(s, HV_ECHANNEL);
  if (out > 1) return hc_status(s, HV_EINVAL);
  if ((cookie | local | length) & 7) return hc_status(s, HV_EBADALIGN);
  if (length > COPY_MOST) length = COPY_MOST;
  if (length && !ram_backed(s->env->ram, RA(local), length)) return hc_status(s, HV_ENORADDR);
  if (e->kind == LDC_HOST) {
    u32 status = length ? copy_exported(d, e, out != 0, cookie, local, &length) : HV_EOK;
    if (!status) hv_ret(s, 1, length);
    return hc_status(s, status);
  }
  if (e->kind == LDC_WIRE) {
    u32 status = wire_copy(d, e, out != 0, cookie, local, length, &copied);
    if (!status) hv_ret(s, 1, copied);
    return hc_status(s, status);
  }
  const struct ldc_endpoint *exporter = &d->channels.endpoint[e->peer];
  while (copied < length) {
    u64 remote = 0, bytes = 0;
    u32 status = ldc_translate(d, exporter, cookie + copied, out ? LDC_COPY_WRITE : LDC_COPY_READ, &remote, &bytes);
    if (bytes > length - copied) bytes = length - copied;
    if (!status) status = out ? copy_run(d, local + copied, remote, bytes) : copy_run(d, remote, local + copied, bytes);
    if (status && !copied) return hc_status(s, status);
    if (status) break;
    copied += bytes;
  }
  hv_ret(s, 1, copied);
  return hc_status(s, HV_EOK);
}
