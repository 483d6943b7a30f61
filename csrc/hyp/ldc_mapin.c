/* ldc_mapin.c - LDC_MAPIN, LDC_UNMAP, LDC_REVOKE: pages of the other end at real addresses of their own.
 *
 * Slot n of the map-in region begins at first + n * stride; stride is the machine's largest page. Only loads, stores and
 * fetches reach the region: an argument of a hypercall must lie in memory. An entry that is mapped in has bit 56 of its
 * word 0 set, and the cookie that revokes it in word 1.
 */
#include "hyp/calls.h"
#include "hyp/hyp.h"
#include "strand/mmu.h"

enum { MAP_RIGHTS = 0x70, ANY_RIGHTS = 0x7f0, RIGHT_SHIFT = 4, MOST_CODE = 7, HOST_RIGHTS = 0x630 };
#define IN_USE (1ull << 56)
#define ENTRY_RA 0x00ffffffffffe000ull
#define COOKIE_ADDRESS ((1ull << 60) - 1)

static u64 page_of(u32 code) { return 1ull << (PAGE_BITS + 3 * code); }

static u64 slot_ra(const struct domain *d, const struct ldc_mapin *m) {
  return d->env.mapped_first + (u64)(m - d->channels.mapin) * d->env.mapped_stride;
}

/* NULL: not in the region. */
static struct ldc_mapin *slot_of(struct domain *d, u64 ra) {
  u64 n = (ra - d->env.mapped_first) / d->env.mapped_stride;
  return ra >= d->env.mapped_first && n < LDC_MAPINS ? &d->channels.mapin[n] : NULL;
}

bool mapin_place(void *machine, u64 ra, struct ram_ref *ref, u32 *rights) {
  struct domain *d = machine;
  const struct ldc_mapin *m = slot_of(d, ra);
  if (!m || !m->rights) return false;
  u64 offset = ra - slot_ra(d, m);
  if (offset >= page_of(m->code)) return false;
  struct ldc_endpoint *e = &d->channels.endpoint[m->exporter];
  *rights = m->rights;
  if (e->kind == LDC_GUEST) return ram_lookup(d->env.ram, RA(m->target + offset), ref);
  u8 *marks = e->exported + e->export_bytes; /* nobody looks at these; there is never code */
  *ref = (struct ram_ref){.host = e->exported + m->target + offset, .bytes = page_of(m->code) - offset,
                          .page = marks, .region = marks + 1, .code = marks + 2, .pa = PA(0)};
  return true;
}

/* The map table entry that a cookie of this endpoint's table names, before any right is looked at. */
static u32 entry_of(const struct domain *d, const struct ldc_endpoint *e, u64 cookie, u64 *index, u64 *entry) {
  u32 code = (u32)(cookie >> 60);
  u8 word[8];
  if (code > MOST_CODE) return HV_EBADPGSZ;
  *index = (cookie & COOKIE_ADDRESS) / page_of(code);
  if (*index >= e->map_entries) return HV_ENOMAP;
  if (!ram_read(d->env.ram, RA(e->map_base + *index * LDC_MAP_BYTES), word, sizeof word)) return HV_ENORADDR;
  *entry = be64_load(word);
  return HV_EOK;
}

/* Word 0's bit and word 1 of an entry that is, or is no longer, mapped in. */
static void mark_entry(struct domain *d, const struct ldc_endpoint *e, u64 index, u64 revoke) {
  u64 at = e->map_base + index * LDC_MAP_BYTES;
  u8 words[LDC_MAP_BYTES];
  if (index >= e->map_entries || !ram_read(d->env.ram, RA(at), words, sizeof words)) return;
  u64 entry = be64_load(words);
  be64_store(words, revoke ? entry | IN_USE : entry & ~IN_USE);
  be64_store(words + 8, revoke);
  ram_write(d->env.ram, RA(at), words, sizeof words);
}

static struct ldc_mapin *other_mapin(struct domain *d, const struct ldc_mapin *of) {
  for (u32 i = 0; i < LDC_MAPINS; i++) {
    struct ldc_mapin *m = &d->channels.mapin[i];
    if (m != of && m->rights && m->exporter == of->exporter && m->index == of->index) return m;
  }
  return NULL;
}

static void free_slot(struct domain *d, struct ldc_mapin *m) {
  const struct ldc_endpoint *e = &d->channels.endpoint[m->exporter];
  if (e->kind == LDC_GUEST && !other_mapin(d, m)) mark_entry(d, e, m->index, 0);
  *m = (struct ldc_mapin){0};
}

void mapin_drop(struct domain *d, u32 exporter) {
  bool any = false;
  for (u32 i = 0; i < LDC_MAPINS; i++) {
    struct ldc_mapin *m = &d->channels.mapin[i];
    if (!m->rights || m->exporter != exporter) continue;
    free_slot(d, m);
    any = true;
  }
  if (any) hyp_forget_translations(d);
}

/* Without a word to the exporters: their tables go as well. */
void mapin_drop_all(struct domain *d) {
  bool any = false;
  for (u32 i = 0; i < LDC_MAPINS; i++) {
    if (!d->channels.mapin[i].rights) continue;
    d->channels.mapin[i] = (struct ldc_mapin){0};
    any = true;
  }
  if (any) hyp_forget_translations(d);
}

/* What a page of the client's memory would be mapped in as. */
static u32 host_page(const struct ldc_endpoint *e, u64 cookie, struct ldc_mapin *m) {
  if (cookie >> 60) return e->export_bytes ? HV_EBADPGSZ : HV_ENOMAP;
  if (cookie >= e->export_bytes) return HV_ENOMAP;
  m->target = cookie & PAGE_MASK;
  m->index = cookie >> PAGE_BITS;
  m->rights = PLACE_READ | PLACE_WRITE;
  return HV_EOK;
}

/* The same for a page of another endpoint of this domain. */
static u32 guest_page(const struct domain *d, const struct ldc_endpoint *exporter, u64 cookie, struct ldc_mapin *m) {
  u64 entry = 0, page = page_of(cookie >> 60 & MOST_CODE);
  struct ram_ref ref;
  u32 status = entry_of(d, exporter, cookie, &m->index, &entry);
  if (status) return status;
  if (!(entry & ANY_RIGHTS)) return HV_ENOMAP;
  if ((entry & 15) != cookie >> 60 || page > d->env.mapped_stride) return HV_EBADPGSZ;
  if (!(entry & MAP_RIGHTS)) return HV_ENOACCESS;
  m->target = entry & ENTRY_RA;
  m->code = (u8)(cookie >> 60);
  m->rights = (u8)((entry & MAP_RIGHTS) >> RIGHT_SHIFT);
  if (m->target & (page - 1)) return HV_EBADALIGN;
  return ram_place(d->env.ram, RA(m->target), &ref) && ref.bytes >= page ? HV_EOK : HV_ENORADDR;
}

static struct ldc_mapin *free_mapin(struct domain *d) {
  for (u32 i = 0; i < LDC_MAPINS; i++)
    if (!d->channels.mapin[i].rights) return &d->channels.mapin[i];
  return NULL;
}

u32 hc_ldc_mapin(struct strand *s, struct domain *d) {
  const struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  u64 cookie = hv_arg(s, 1), perms = HOST_RIGHTS;
  struct ldc_mapin made = {0}, *slot = free_mapin(d);
  if (!e) return hc_status(s, HV_ECHANNEL);
  if (e->kind == LDC_WIRE) return hc_status(s, HV_ENOTSUPPORTED); /* nobody could take such a page back in time */
  bool host = e->kind == LDC_HOST;
  const struct ldc_endpoint *exporter = host ? e : &d->channels.endpoint[e->peer];
  u32 status = host ? host_page(e, cookie, &made) : guest_page(d, exporter, cookie, &made);
  if (status) return hc_status(s, status);
  if (!slot) return hc_status(s, HV_ETOOMANY);
  made.exporter = (u32)(exporter - d->channels.endpoint);
  const struct ldc_mapin *other = other_mapin(d, &made);
  made.revoke = other ? other->revoke : ++d->channels.revokes;
  *slot = made;
  if (!host) {
    u64 index, entry = 0;
    entry_of(d, exporter, cookie, &index, &entry);
    perms = entry & ANY_RIGHTS;
    mark_entry(d, exporter, made.index, made.revoke);
  }
  hv_ret(s, 1, slot_ra(d, slot) + (cookie & (page_of(made.code) - 1)));
  hv_ret(s, 2, perms >> RIGHT_SHIFT);
  return hc_status(s, HV_EOK);
}

u32 hc_ldc_unmap(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0);
  struct ldc_mapin *m = slot_of(d, ra);
  if (!m) return hc_status(s, HV_ENORADDR);
  if (ra & ~PAGE_MASK) return hc_status(s, HV_EBADALIGN);
  if (!m->rights) return hc_status(s, HV_ENOMAP);
  free_slot(d, m);
  hyp_forget_translations(d);
  return hc_status(s, HV_EOK);
}

/* The exporter takes back a page of its own table, whoever has mapped it in. */
u32 hc_ldc_revoke(struct strand *s, struct domain *d) {
  const struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  u64 cookie = hv_arg(s, 1), revoke = hv_arg(s, 2), index = 0, entry = 0;
  bool mapped = false, right = false;
  if (!e) return hc_status(s, HV_ECHANNEL);
  u32 status = entry_of(d, e, cookie, &index, &entry), id = (u32)(e - d->channels.endpoint);
  if (status) return hc_status(s, status);
  for (u32 i = 0; e->kind == LDC_GUEST && i < LDC_MAPINS; i++) {
    struct ldc_mapin *m = &d->channels.mapin[i];
    if (!m->rights || m->exporter != id || m->index != index) continue;
    mapped = true;
    if (m->revoke != revoke) continue;
    free_slot(d, m);
    right = true;
  }
  if (!mapped) return hc_status(s, HV_ENOMAP);
  if (!right) return hc_status(s, HV_EINVAL);
  hyp_forget_translations(d);
  return hc_status(s, HV_EOK);
}

void mapin_save(const struct channels *c, struct writer *w) {
  put_u64(w, c->revokes);
  for (u32 i = 0; i < LDC_MAPINS; i++) {
    const struct ldc_mapin *m = &c->mapin[i];
    if (!m->rights) continue;
    put_u32(w, i);
#define X(type, name) put_low(w, m->name, sizeof(type));
    MAPIN_FIELDS(X)
#undef X
  }
  put_u32(w, LDC_MAPINS);
}

static bool whole(struct domain *d, const struct ldc_mapin *m) {
  const struct ldc_endpoint *e = ldc_find(d, m->exporter);
  struct ram_ref ref;
  if (!e || m->code > MOST_CODE || !m->rights || m->rights > (PLACE_READ | PLACE_WRITE | PLACE_EXECUTE)) return false;
  u64 page = page_of(m->code);
  if (page > d->env.mapped_stride || (m->target & (page - 1))) return false;
  if (e->kind == LDC_GUEST) return ram_place(d->env.ram, RA(m->target), &ref) && ref.bytes >= page;
  return m->code == 0 && !(m->rights & PLACE_EXECUTE) && m->target < e->export_bytes;
}

bool mapin_load(struct domain *d, struct reader *in) {
  d->channels.revokes = get_u64(in);
  for (;;) {
    u32 i = get_u32(in);
    if (in->failed || i > LDC_MAPINS) return false;
    if (i == LDC_MAPINS) return true;
    struct ldc_mapin *m = &d->channels.mapin[i];
#define X(type, name) m->name = (type)get_low(in, sizeof(type));
    MAPIN_FIELDS(X)
#undef X
    if (in->failed || !whole(d, m)) {
      *m = (struct ldc_mapin){0};
      return false;
    }
  }
}
