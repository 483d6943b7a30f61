/* cpu.c - CPU_* calls and mondo delivery (UltraSPARC VM Specification 3.0). */
#include "hyp/calls.h"
#include "hyp/hyp.h"
#include "strand/share.h"

enum { QUEUE_FIRST = 0x3c, QUEUE_LAST = 0x3f, QUEUE_MAX_ENTRIES = 1 << 14 };

bool hyp_mondo(struct strand *s, u32 queue, const u8 bytes[64]) {
  u64 size = s->queue_entries[queue] * 64;
  if (!size) return false;
  u64 tail = queue_tail(s, queue), next = (tail + 64) % size;
  if (next == queue_head(s, queue)) return false;
  if (!ram_write(s->env->ram, RA(s->queue_base[queue] + tail), bytes, 64)) return false;
  queue_set_tail(s, queue, next);
  strand_notice(s);
  s->waiting = 0;
  hyp_wake(hyp_domain(s), s);
  return true;
}

u32 hc_cpu_start(struct strand *s, struct domain *d) {
  struct strand *t = hyp_strand(d, hv_arg(s, 0));
  u64 pc = hv_arg(s, 1), rtba = hv_arg(s, 2), arg = hv_arg(s, 3);
  if (!t) return hc_status(s, HV_ENOCPU);
  if (t->run_state != STRAND_STOPPED) return hc_status(s, HV_EINVAL);
  if (!ram_backed(s->env->ram, RA(pc), 4) || !ram_backed(s->env->ram, RA(rtba), 1)) return hc_status(s, HV_ENORADDR);
  if ((pc & 3) || (rtba & 0xff)) return hc_status(s, HV_EBADALIGN);
  strand_start(t, pc, rtba, arg);
  hyp_wake(d, t);
  return hc_event(s, HV_EOK);
}

u32 hc_cpu_stop(struct strand *s, struct domain *d) {
  struct strand *t = hyp_strand(d, hv_arg(s, 0));
  if (!t) return hc_status(s, HV_ENOCPU);
  if (t == s || t->run_state != STRAND_RUNNING) return hc_status(s, HV_EINVAL);
  if (d->beside.on && !d->beside.hold(d, s, t)) return hc_again(s);
  if (t->run_state == STRAND_RUNNING) strand_reset(t);
  if (d->beside.on) d->beside.release(d, t);
  return hc_event(s, HV_EOK); /* turns change with the number of strands at work */
}

u32 hc_cpu_yield(struct strand *s, struct domain *d) {
  (void)d;
  strand_check_timers(s);
  hv_ret(s, 0, HV_EOK);
  if (strand_wakeable(s)) {
    s->poked = 0;
    return BODY_NEXT;
  }
  s->waiting = 1;
  s->stop = STOP_YIELD;
  return BODY_STOP;
}

u32 hc_cpu_poke(struct strand *s, struct domain *d) {
  struct strand *t = hyp_strand(d, hv_arg(s, 0));
  if (!t) return hc_status(s, HV_ENOCPU);
  if (t == s) return hc_status(s, HV_EINVAL);
  if (!t->waiting) t->poked = 1;
  t->waiting = 0;
  hyp_wake(d, t);
  return hc_event(s, HV_EOK);
}

static bool queue_number(u64 queue, u32 *index) {
  *index = (u32)(queue - QUEUE_FIRST);
  return queue >= QUEUE_FIRST && queue <= QUEUE_LAST;
}

u32 hc_cpu_qconf(struct strand *s, struct domain *d) {
  u64 base = hv_arg(s, 1), n = hv_arg(s, 2);
  u32 q;
  if (!queue_number(hv_arg(s, 0), &q)) return hc_status(s, HV_EINVAL);
  if (n && ((n & (n - 1)) || n < 2 || n > QUEUE_MAX_ENTRIES)) return hc_status(s, HV_EINVAL);
  if (n && (base & (n * 64 - 1))) return hc_status(s, HV_EBADALIGN);
  if (n && !ram_backed(s->env->ram, RA(base), n * 64)) return hc_status(s, HV_ENORADDR);
  s->queue_base[q] = n ? base : 0;
  s->queue_entries[q] = n;
  queue_set_head(s, q, 0);
  queue_set_tail(s, q, 0);
  if (q == DEV_MONDO_QUEUE) intr_retry(d, s);
  return hc_status(s, HV_EOK);
}

u32 hc_cpu_qinfo(struct strand *s, struct domain *d) {
  u32 q;
  (void)d;
  if (!queue_number(hv_arg(s, 0), &q)) return hc_status(s, HV_EINVAL);
  hv_ret(s, 1, s->queue_base[q]);
  hv_ret(s, 2, s->queue_entries[q]);
  return hc_status(s, HV_EOK);
}

u32 hc_cpu_myid(struct strand *s, struct domain *d) {
  (void)d;
  hv_ret(s, 1, s->id);
  return hc_status(s, HV_EOK);
}

u32 hc_cpu_state(struct strand *s, struct domain *d) {
  struct strand *t = hyp_strand(d, hv_arg(s, 0));
  if (!t) return hc_status(s, HV_ENOCPU);
  hv_ret(s, 1, t->run_state);
  return hc_status(s, HV_EOK);
}

u32 hc_cpu_set_rtba(struct strand *s, struct domain *d) {
  u64 rtba = hv_arg(s, 0);
  (void)d;
  if (!ram_backed(s->env->ram, RA(rtba), 1)) return hc_status(s, HV_ENORADDR);
  if (rtba & 0xff) return hc_status(s, HV_EBADALIGN);
  hv_ret(s, 1, s->rtba);
  s->rtba = rtba;
  return hc_status(s, HV_EOK);
}

u32 hc_cpu_get_rtba(struct strand *s, struct domain *d) {
  (void)d;
  hv_ret(s, 1, s->rtba);
  return hc_status(s, HV_EOK);
}

static u32 flag_call(struct strand *s, u64 *field) {
  if (hv_arg(s, 0) > 1) return hc_status(s, HV_EINVAL);
  *field = hv_arg(s, 0);
  return hc_status(s, HV_EOK);
}

u32 hc_cpu_tick_npt(struct strand *s, struct domain *d) { (void)d; return flag_call(s, &s->tick_npt); }
u32 hc_cpu_stick_npt(struct strand *s, struct domain *d) { (void)d; return flag_call(s, &s->stick_npt); }

/* One id of the list: delivered ids become 0xffff, so that the caller can send the rest again. */
static u32 mondo_one(struct strand *s, struct domain *d, u64 at, const u8 *data) {
  u8 id[2];
  ram_read(s->env->ram, RA(at), id, 2);
  u16 cpu = be16_load(id);
  if (cpu == 0xffff) return HV_EOK;
  struct strand *t = hyp_strand(d, cpu);
  if (!t) return HV_ENOCPU;
  if (t == s) return HV_EINVAL;
  if (t->run_state == STRAND_ERROR) return HV_ECPUERROR;
  if (t->run_state != STRAND_RUNNING || !hyp_mondo(t, 0, data)) return HV_EWOULDBLOCK;
  be16_store(id, 0xffff);
  ram_write(s->env->ram, RA(at), id, 2);
  return HV_EOK;
}

u32 hc_cpu_mondo_send(struct strand *s, struct domain *d) {
  u64 count = hv_arg(s, 0), list = hv_arg(s, 1), data = hv_arg(s, 2);
  u8 bytes[64];
  u32 status = HV_EOK;
  if (count > d->strand_count) return hc_status(s, HV_EINVAL);
  if ((data & 63) || (list & 1)) return hc_status(s, HV_EBADALIGN);
  if (!ram_read(s->env->ram, RA(data), bytes, 64) || !ram_backed(s->env->ram, RA(list), count ? count * 2 : 1))
    return hc_status(s, HV_ENORADDR);
  for (u64 i = 0; i < count; i++) {
    u32 one = mondo_one(s, d, list + 2 * i, bytes);
    if (one && (!status || one != HV_EWOULDBLOCK)) status = one;
  }
  return hc_event(s, status);
}
