/* poison.c - see poison.h. */
#include "hyp/poison.h"

#include "hyp/hyp.h"
#include "strand/codecache.h"
#include "strand/mmu.h"

enum { DESC_PRECISE = 2, ATTR_MEMORY = 1 << 1, ATTR_USER = 1 << 24, ATTR_PRIVILEGED = 2 << 24 };

/* Inserts, with what it touches made one; false: no room. */
static bool insert(struct poison *p, u64 first, u64 last) {
  u32 at = 0, end;
  while (at < p->count && p->range[at].last + 1 < first) at++;
  for (end = at; end < p->count && p->range[end].first <= last + 1; end++) {
    if (p->range[end].first < first) first = p->range[end].first;
    if (p->range[end].last > last) last = p->range[end].last;
  }
  if (end == at && p->count == POISON_RANGES) return false;
  __builtin_memmove(&p->range[at + 1], &p->range[end], (p->count - end) * sizeof p->range[0]);
  p->range[at] = (struct poison_range){first, last};
  p->count = p->count - (end - at) + 1;
  return true;
}

/* While no strand runs. */
static void drop_code(struct domain *d) {
  for (u32 i = 0; i < d->strand_count; i++) codecache_flush(d->strands[i]->code);
}

static void changed(struct domain *d) {
  d->env.poison_count = d->poison.count;
  hyp_forget_translations(d);
}

bool poison_add(struct domain *d, u64 ra, u64 bytes) {
  u64 first = ra & ~(u64)(POISON_LINE - 1), last = (ra + (bytes - 1)) | (POISON_LINE - 1);
  if (!insert(&d->poison, first, last)) return false;
  drop_code(d); /* of these pages may be decoded */
  changed(d);
  return true;
}

bool poison_remove(struct domain *d, u64 ra, u64 bytes) {
  struct poison *p = &d->poison, left = {0};
  u64 first = (ra + (POISON_LINE - 1)) & ~(u64)(POISON_LINE - 1), end = (ra + bytes) & ~(u64)(POISON_LINE - 1);
  bool room = true;
  if (p->count == 0 || first >= end) return true;
  for (u32 i = 0; i < p->count; i++) {
    const struct poison_range *r = &p->range[i];
    if (r->last < first || r->first >= end) {
      room &= insert(&left, r->first, r->last);
      continue;
    }
    if (r->first < first) room &= insert(&left, r->first, first - 1);
    if (r->last >= end) room &= insert(&left, end, r->last);
  }
  if (!room) return false;
  *p = left;
  changed(d);
  return true;
}

void poison_clear(struct domain *d) {
  bool was = d->poison.count != 0;
  d->poison.count = 0;
  d->env.poison_count = 0;
  if (was) hyp_forget_translations(d);
}

void poison_save(const struct poison *p, struct writer *w) {
  put_u32(w, p->count);
  for (u32 i = 0; i < p->count; i++) {
    put_u64(w, p->range[i].first);
    put_u64(w, p->range[i].last);
  }
}

bool poison_load(struct domain *d, struct reader *in) {
  struct poison *p = &d->poison;
  u32 count = get_u32(in);
  u64 before = 0;
  poison_clear(d);
  if (in->failed || count > POISON_RANGES) return false;
  for (u32 i = 0; i < count; i++) {
    u64 first = get_u64(in), last = get_u64(in);
    bool lines = !(first & (POISON_LINE - 1)) && (last & (POISON_LINE - 1)) == POISON_LINE - 1 && first < last;
    if (in->failed || !lines || (i && first <= before + 1) || !ram_backed(d->env.ram, RA(first), last - first + 1))
      return false;
    before = last;
    p->range[i] = (struct poison_range){first, last};
  }
  p->count = count;
  drop_code(d);
  changed(d);
  return true;
}

u32 poison_look(void *machine, u64 ra) {
  const struct domain *d = machine;
  u64 page = ra & PAGE_MASK;
  u32 found = POISON_NONE;
  for (u32 i = 0; i < d->poison.count; i++) {
    const struct poison_range *r = &d->poison.range[i];
    if (r->last < page || r->first > page + (PAGE_BYTES - 1)) continue;
    if (r->first <= ra && ra <= r->last) return POISON_LINE_HIT;
    found = POISON_PAGE;
  }
  return found;
}

void poison_report(struct strand *s, u64 ra) {
  const struct error_report report = {
      .desc = DESC_PRECISE, .attr = ATTR_MEMORY | (strand_priv(s) ? (u32)ATTR_PRIVILEGED : (u32)ATTR_USER),
      .ra = ra & ~(u64)(POISON_LINE - 1), .size = POISON_LINE};
  hyp_lock(hyp_domain(s)); /* by a load or a fetch, in no hypercall */
  hyp_report_error(hyp_domain(s), s, false, &report);
  hyp_unlock(hyp_domain(s));
}
