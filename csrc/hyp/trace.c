/* trace.c - TTRACE_* and DUMP_BUF_* (UltraSPARC VM Specification 3.0).
 *
 *   buffer: control {offset of the last entry, offset of the next one, reserved to 64 bytes} | entry | entry ...
 *   entry:  type 0xff (guest), 0, TL, GL | TT 16, tag 16 | TSTATE | TICK | TPC | four words
 *
 * The hypervisor enters nothing of its own.
 */
#include "hyp/calls.h"
#include "hyp/hyp.h"

enum { TRACE_ENTRY = 64, TRACE_MIN = 2, TRACE_MOST = 1 << 20, TRACE_GUEST = 0xff, DUMP_MINIMUM = 8192 };

static void write_control(struct strand *s, u64 last, u64 next) {
  u8 words[16];
  be64_store(words, last);
  be64_store(words + 8, next);
  ram_write(s->env->ram, RA(s->trace_base), words, sizeof words);
}

u32 hc_ttrace_buf_conf(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), n = hv_arg(s, 1);
  (void)d;
  if (n && (n < TRACE_MIN || n > TRACE_MOST)) return hc_status(s, HV_EINVAL);
  if (n && (ra & (TRACE_ENTRY - 1))) return hc_status(s, HV_EBADALIGN);
  if (n && !ram_backed(s->env->ram, RA(ra), n * TRACE_ENTRY)) return hc_status(s, HV_ENORADDR);
  s->trace_base = n ? ra : 0;
  s->trace_entries = n;
  s->trace_enabled = 0;
  s->trace_next = TRACE_ENTRY;
  if (n) {
    ram_zero(s->env->ram, RA(ra), TRACE_ENTRY);
    write_control(s, 0, TRACE_ENTRY);
  }
  hv_ret(s, 1, n);
  return hc_status(s, HV_EOK);
}

u32 hc_ttrace_buf_info(struct strand *s, struct domain *d) {
  (void)d;
  hv_ret(s, 1, s->trace_base);
  hv_ret(s, 2, s->trace_entries);
  return hc_status(s, HV_EOK);
}

u32 hc_ttrace_enable(struct strand *s, struct domain *d) {
  u64 on = hv_arg(s, 0);
  (void)d;
  if (on > 1 || !s->trace_entries) return hc_status(s, HV_EINVAL);
  hv_ret(s, 1, s->trace_enabled);
  s->trace_enabled = on;
  return hc_status(s, HV_EOK);
}

u32 hc_ttrace_freeze(struct strand *s, struct domain *d) {
  u64 on = hv_arg(s, 0);
  if (on > 1 || !s->trace_entries) return hc_status(s, HV_EINVAL);
  hv_ret(s, 1, d->services.trace_frozen);
  d->services.trace_frozen = on;
  return hc_status(s, HV_EOK);
}

u32 hc_ttrace_addentry(struct strand *s, struct domain *d) {
  u8 e[TRACE_ENTRY] = {TRACE_GUEST, 0, s->tl, s->gl};
  u64 at = s->trace_next, next = at + TRACE_ENTRY;
  if (!s->trace_entries) return hc_status(s, HV_EINVAL);
  if (!s->trace_enabled || d->services.trace_frozen) return hc_status(s, HV_EOK);
  if (next >= s->trace_entries * TRACE_ENTRY) next = TRACE_ENTRY;
  be16_store(e + 4, (u16)s->tt[s->tl]);
  be16_store(e + 6, (u16)hv_arg(s, 0));
  be64_store(e + 8, s->tstate[s->tl]);
  be64_store(e + 16, s->env->tick_now(s, strand_slice_done(s)));
  be64_store(e + 24, s->tpc[s->tl]);
  for (u32 i = 0; i < 4; i++) be64_store(e + 32 + 8 * i, hv_arg(s, 1 + i));
  ram_write(s->env->ram, RA(s->trace_base + at), e, sizeof e);
  s->trace_next = next;
  write_control(s, at, next);
  return hc_status(s, HV_EOK);
}

/* The hypervisor has nothing to say in a dump; it remembers the buffer. */
u32 hc_dump_buf_update(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), size = hv_arg(s, 1);
  hv_ret(s, 1, DUMP_MINIMUM);
  if (size && size < DUMP_MINIMUM) return hc_status(s, HV_EINVAL);
  if (size && (ra & 63)) return hc_status(s, HV_EBADALIGN);
  if (size && !ram_backed(s->env->ram, RA(ra), size)) return hc_status(s, HV_ENORADDR);
  d->services.dump_base = size ? ra : 0;
  d->services.dump_bytes = size;
  return hc_status(s, HV_EOK);
}

u32 hc_dump_buf_info(struct strand *s, struct domain *d) {
  hv_ret(s, 1, d->services.dump_base);
  hv_ret(s, 2, d->services.dump_bytes);
  return hc_status(s, HV_EOK);
}
