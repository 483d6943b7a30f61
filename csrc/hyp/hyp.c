/* hyp.c - dispatch, API versions, machine and console calls. */
#include "hyp/hyp.h"

#include "hyp/calls.h"

struct hcall {
  u16 trap, function;
  u8 group, minor;
  u32 (*handler)(struct strand *, struct domain *);
  const char *name;
};

static const struct hcall hcalls[] = {
#define HCALL(trap, function, group, minor, name, handler, text) {trap, function, group, minor, handler, #name},
#include "hyp/hcall.def"
#undef HCALL
};

struct domain *hyp_domain(const struct strand *s) { return s->env->machine; }

struct strand *hyp_strand(struct domain *d, u64 cpuid) { return cpuid < d->strand_count ? d->strands[cpuid] : NULL; }

void hyp_init(struct domain *d) {
  d->major[GROUP_SUN4V] = d->major[GROUP_CORE] = 1;
  d->minor[GROUP_SUN4V] = 0;
  d->minor[GROUP_CORE] = 1;
}

static const struct hcall *find(u32 trap, u64 function) {
  bool numbered = trap == 0x80 || trap == 0xff;
  for (size_t i = 0; i < ARRAY_LEN(hcalls); i++)
    if (hcalls[i].trap == trap && (!numbered || hcalls[i].function == function)) return &hcalls[i];
  return NULL;
}

const char *hyp_call_name(u32 trap, u64 function) {
  const struct hcall *h = find(trap, function);
  return h ? h->name : NULL;
}

u32 hyp_call(struct strand *s, u32 trap) {
  struct domain *d = hyp_domain(s);
  const struct hcall *h = find(trap, reg_get(s, 13));
  bool core = trap == 0xff;
  if (!h || (!core && (d->major[h->group] != 1 || d->minor[h->group] < h->minor))) {
    hv_ret(s, 0, HV_EBADTRAP);
    return BODY_NEXT;
  }
  return h->handler(s, d);
}

u32 hc_status(struct strand *s, u32 status) {
  hv_ret(s, 0, status);
  return BODY_NEXT;
}

u32 hc_api_set_version(struct strand *s, struct domain *d) {
  u64 group = hv_arg(s, 0), major = hv_arg(s, 1), minor = hv_arg(s, 2);
  static const u16 supported[GROUP_COUNT] = {0, CORE_MINOR};
  if (group >= GROUP_COUNT) return hc_status(s, HV_EINVAL);
  if (major > 1) {
    hv_ret(s, 1, 0);
    return hc_status(s, HV_ENOTSUPPORTED);
  }
  u64 granted = major == 0 ? 0 : minor < supported[group] ? minor : supported[group];
  d->major[group] = (u16)major;
  d->minor[group] = (u16)granted;
  hv_ret(s, 1, granted);
  return hc_status(s, HV_EOK);
}

u32 hc_api_get_version(struct strand *s, struct domain *d) {
  u64 group = hv_arg(s, 0);
  if (group >= GROUP_COUNT || d->major[group] == 0) return hc_status(s, HV_EINVAL);
  hv_ret(s, 1, d->major[group]);
  hv_ret(s, 2, d->minor[group]);
  return hc_status(s, HV_EOK);
}

u32 hc_mach_exit(struct strand *s, struct domain *d) {
  d->exit_code = hv_arg(s, 0);
  s->stop = STOP_EXIT;
  return BODY_STOP;
}

/* No machine description yet: size 0, as a probe with (0, 0) expects. */
u32 hc_mach_desc(struct strand *s, struct domain *d) {
  (void)d;
  hv_ret(s, 1, 0);
  return hc_status(s, hv_arg(s, 0) & 15 ? HV_EBADALIGN : HV_ENOTSUPPORTED);
}

u32 hc_mach_sir(struct strand *s, struct domain *d) {
  (void)d;
  s->stop = STOP_RESET;
  return BODY_STOP;
}

u32 hc_tod_get(struct strand *s, struct domain *d) {
  hv_ret(s, 1, d->tod_offset + d->elapsed_seconds(d));
  return hc_status(s, HV_EOK);
}

u32 hc_tod_set(struct strand *s, struct domain *d) {
  d->tod_offset = hv_arg(s, 0) - d->elapsed_seconds(d);
  return hc_status(s, HV_EOK);
}

static u32 memory_range(struct strand *s) {
  u64 ra = hv_arg(s, 0), len = hv_arg(s, 1);
  if (len == 0) return HV_EINVAL;
  if ((ra | len) & (PAGE_BYTES - 1)) return HV_EBADALIGN;
  return ram_backed(s->env->ram, RA(ra), len) ? HV_EOK : HV_ENORADDR;
}

u32 hc_mem_scrub(struct strand *s, struct domain *d) {
  (void)d;
  u32 status = memory_range(s);
  u64 ra = hv_arg(s, 0), len = hv_arg(s, 1);
  if (status) return hc_status(s, status);
  if (len > (u64)64 << 20) len = (u64)64 << 20; /* bounded work a call; the guest goes on from ret1 */
  ram_zero(s->env->ram, RA(ra), len);
  hv_ret(s, 1, len);
  return hc_status(s, HV_EOK);
}

u32 hc_mem_sync(struct strand *s, struct domain *d) {
  (void)d;
  u32 status = memory_range(s);
  if (!status) hv_ret(s, 1, hv_arg(s, 1));
  return hc_status(s, status);
}
