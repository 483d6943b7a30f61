/* hyp.c - dispatch, API versions, machine, memory and time calls. */
#include "hyp/hyp.h"

#include "hyp/calls.h"
#include "strand/mmu.h"

enum hcall_scope { CALL_OWN, CALL_SHARED, CALL_ALONE };
struct hcall {
  u8 group, major, minor, scope; /* major 0: the call is in all of them */
  u32 (*handler)(struct strand *, struct domain *);
  const char *name;
};

/* A slot for every call: functions of trap 0x80, then of trap 0xff, then the traps without functions. */
enum { FAST_SLOTS = 0x200, CORE_SLOTS = 4, FIRST_PLAIN_TRAP = 0x83, PLAIN_SLOTS = 3 };
#define SLOT(trap, function)                            \
  ((trap) == 0x80   ? (function)                        \
   : (trap) == 0xff ? FAST_SLOTS + (function)           \
                    : FAST_SLOTS + CORE_SLOTS + (trap) - FIRST_PLAIN_TRAP)
#define GROUP_INDEX(number)                                          \
  ((number) == 0x101   ? GROUP_LDOM                                  \
   : (number) == 0x103 ? GROUP_NCS                                   \
   : (number) == 0x104 ? GROUP_RNG                                   \
   : (number) == 0x110 ? GROUP_REBOOT_DATA                           \
                       : (number))

static const struct hcall hcalls[FAST_SLOTS + CORE_SLOTS + PLAIN_SLOTS] = {
#define HCALL(trap, function, group, minor, scope, name, handler, text) \
  [SLOT(trap, function)] = {GROUP_INDEX(group), (minor) >> 8, (minor) & 0xff, CALL_##scope, handler, #name},
#include "hyp/hcall.def"
#undef HCALL
};

void hyp_forget_translations(struct domain *d) {
  for (u32 i = 0; i < d->strand_count; i++) mmu_forget(d->strands[i]);
}

struct domain *hyp_domain(const struct strand *s) { return s->env->machine; }

struct strand *hyp_strand(const struct domain *d, u64 cpuid) { return cpuid < d->max_strands ? d->by_id[cpuid] : NULL; }

/* The versions of each group: of a major one all minors up to the one here. Major 0: no second one. */
static const struct group {
  u16 number;
  bool always; /* Linux uses the calls without asking for a version */
  struct version {
    u16 major, minor;
  } has[2];
} groups[GROUP_COUNT] = {
    [GROUP_SUN4V] = {0x000, false, {{1, 0}}},
    [GROUP_CORE] = {0x001, false, {{1, 6}}},
    [GROUP_INTR] = {0x002, true, {{1, 0}}},
    [GROUP_SOFT_STATE] = {0x003, false, {{1, 0}}},
    [GROUP_LDOM] = {0x101, false, {{1, 1}}},
    [GROUP_NCS] = {0x103, false, {{1, 0}, {2, 1}}},
    [GROUP_RNG] = {0x104, false, {{1, 0}, {2, 0}}},
    [GROUP_REBOOT_DATA] = {0x110, false, {{1, 0}}},
};

/* NULL: the group does not have that major version. */
static const struct version *version_find(u32 group, u64 major) {
  for (u32 i = 0; major && i < 2; i++)
    if (groups[group].has[i].major == major) return &groups[group].has[i];
  return NULL;
}

static void versions_reset(struct domain *d) {
  __builtin_memset(d->major, 0, sizeof d->major);
  __builtin_memset(d->minor, 0, sizeof d->minor);
  d->major[GROUP_SUN4V] = d->major[GROUP_CORE] = 1;
  d->minor[GROUP_CORE] = 1;
}

void hyp_init(struct domain *d, u64 seed) {
  versions_reset(d);
  d->firmware_present = d->firmware.count = 0;
  services_init(&d->services);
  intr_init(&d->interrupts);
  ldc_clear(d);
  d->ncs.count = 0;
  rng_init(&d->rng, seed, d->rng.control_access, d->rng.second_layout);
  poison_clear(d);
}

void hyp_reset(struct domain *d) {
  versions_reset(d);
  services_reset(&d->services);
  intr_reset(&d->interrupts);
  ldc_unconfigure(d);
  ncs_reset(&d->ncs);
  rng_reset(&d->rng);
}

void hyp_save(const struct domain *d, struct writer *w) {
  for (u32 i = 0; i < GROUP_COUNT; i++) {
    put_u16(w, d->major[i]);
    put_u16(w, d->minor[i]);
  }
  put_u32(w, d->firmware_present);
  put_u32(w, d->firmware.count);
  for (u32 i = 0; i < d->firmware.count; i++) {
    put_u64(w, d->firmware.map[i].va);
    put_u64(w, d->firmware.map[i].bytes);
    put_u64(w, d->firmware.map[i].ra);
  }
  services_save(&d->services, w);
  intr_save(&d->interrupts, w);
  ldc_save(&d->channels, w);
  ncs_save(&d->ncs, w);
  rng_save(&d->rng, w);
  poison_save(&d->poison, w);
}

static bool load_firmware(struct domain *d, struct reader *in) {
  d->firmware_present = get_u32(in);
  u32 n = get_u32(in);
  if (d->firmware_present > 1 || n > FIRMWARE_MAPS) return false;
  d->firmware.count = n;
  for (u32 i = 0; i < n; i++) {
    u64 va = get_u64(in), bytes = get_u64(in);
    d->firmware.map[i] = (struct firmware_map){va, bytes, get_u64(in)};
  }
  return !in->failed;
}

bool hyp_load(struct domain *d, struct reader *in) {
  bool good = true;
  for (u32 i = 0; i < GROUP_COUNT; i++) {
    d->major[i] = get_u16(in);
    d->minor[i] = get_u16(in);
    const struct version *v = version_find(i, d->major[i]);
    good &= d->major[i] == 0 ? d->minor[i] == 0 : v && d->minor[i] <= v->minor;
  }
  good = good && load_firmware(d, in) && services_load(&d->services, in) &&
         intr_load(&d->interrupts, in, d->max_strands) && ldc_load(d, in) && ncs_load(d, in) &&
         rng_load(&d->rng, in) && poison_load(d, in);
  bool suspend = d->services.suspended ? hyp_strand(d, d->services.suspend_strand) != NULL : !d->services.suspend_strand;
  return good && suspend; /* NCS may have been agreed on while there were units: they go before a move, it stays */
}

static const struct hcall *find(u32 trap, u64 function) {
  size_t slot;
  if (trap == 0x80 && function < FAST_SLOTS)
    slot = function;
  else if (trap == 0xff && function < CORE_SLOTS)
    slot = FAST_SLOTS + function;
  else if (trap >= FIRST_PLAIN_TRAP && trap < FIRST_PLAIN_TRAP + PLAIN_SLOTS)
    slot = FAST_SLOTS + CORE_SLOTS + trap - FIRST_PLAIN_TRAP;
  else
    return NULL;
  return hcalls[slot].handler ? &hcalls[slot] : NULL;
}

const char *hyp_call_name(u32 trap, u64 function) {
  const struct hcall *h = find(trap, function);
  return h ? h->name : NULL;
}

static bool permitted(const struct domain *d, u32 trap, const struct hcall *h) {
  if (trap == 0xff || groups[h->group].always) return true;
  u32 major = __atomic_load_n(&d->major[h->group], __ATOMIC_RELAXED);
  if (h->major && major != h->major) return false;
  return major != 0 && __atomic_load_n(&d->minor[h->group], __ATOMIC_RELAXED) >= h->minor;
}

void hyp_lock(struct domain *d) {
  if (d->beside.on) pthread_mutex_lock(&d->beside.lock);
}

void hyp_unlock(struct domain *d) {
  if (d->beside.on) pthread_mutex_unlock(&d->beside.lock);
}

void hyp_wake(struct domain *d, struct strand *s) {
  if (d->beside.on) d->beside.wake(d, s);
}

static void release_strands(struct domain *d, const struct strand *s, u32 first_running) {
  for (u32 i = 0; i < first_running; i++)
    if (d->strands[i] != s) d->beside.release(d, d->strands[i]);
}

/* Brings all others to rest. False: the caller is wanted there itself; nobody is held then. */
static bool hold_strands(struct domain *d, struct strand *s) {
  for (u32 i = 0; i < d->strand_count; i++) {
    if (d->strands[i] == s || d->beside.hold(d, s, d->strands[i])) continue;
    release_strands(d, s, i);
    return false;
  }
  return true;
}

static u32 call_alone(struct strand *s, struct domain *d, const struct hcall *h) {
  if (!hold_strands(d, s)) return hc_again(s);
  u32 result = h->handler(s, d);
  release_strands(d, s, d->strand_count);
  return result;
}

static u32 shared_call(struct strand *s, struct domain *d, const struct hcall *h) {
  u32 result;
  pthread_mutex_lock(&d->beside.lock);
  if (d->beside.halting || s->park) {
    result = hc_again(s);
  } else {
    result = h->scope == CALL_ALONE ? call_alone(s, d, h) : h->handler(s, d);
    if (strand_stop_is_for_client(s->stop)) { /* what the call did is done, and nobody else may do the like before */
      d->beside.halting = true;
      d->beside.stopper = s;
    }
  }
  pthread_mutex_unlock(&d->beside.lock);
  return result;
}

/* The client interface is served by the client: it completes the instruction (s4v_firmware_done) or retries it. */
static u32 firmware_call(struct strand *s) {
  s->stop = STOP_FIRMWARE;
  s->stop_tt = 0;
  return BODY_RETRY;
}

u32 hyp_call(struct strand *s, u32 trap) {
  struct domain *d = hyp_domain(s);
  const struct hcall *h = find(trap, reg_get(s, 13));
  if (trap == FIRMWARE_TRAP && d->firmware_present) return firmware_call(s);
  s->calls++;
  if (s->env->observe) s->env->observe(s, OBSERVE_HCALL, trap, reg_get(s, 13));
  if (!h || !permitted(d, trap, h)) {
    hv_ret(s, 0, HV_EBADTRAP);
    return BODY_NEXT;
  }
  return d->beside.on && h->scope != CALL_OWN ? shared_call(s, d, h) : h->handler(s, d);
}

u32 hc_status(struct strand *s, u32 status) {
  hv_ret(s, 0, status);
  return BODY_NEXT;
}

u32 hc_event(struct strand *s, u32 status) {
  hv_ret(s, 0, status);
  if (hyp_domain(s)->beside.on) return BODY_NEXT; /* the others have been woken */
  s->stop = STOP_EVENT;
  return BODY_STOP;
}

u32 hc_again(struct strand *s) {
  s->stop = STOP_PARK;
  return BODY_RETRY;
}

/* GROUP_COUNT: unknown. Without crypto units their group is. */
static u32 group_find(const struct domain *d, u64 number) {
  u32 i = 0;
  while (i < GROUP_COUNT && groups[i].number != number) i++;
  return i == GROUP_NCS && d->ncs.count == 0 ? GROUP_COUNT : i;
}

u32 hyp_set_version(struct domain *d, u64 number, u64 major, u64 minor, u64 *granted) {
  u32 group = group_find(d, number);
  if (group == GROUP_COUNT) return HV_EINVAL;
  const struct version *v = version_find(group, major);
  *granted = 0;
  if (major && !v) return HV_ENOTSUPPORTED;
  if (v) *granted = minor < v->minor ? minor : v->minor;
  __atomic_store_n(&d->major[group], (u16)major, __ATOMIC_RELAXED); /* OWN calls look at them without the lock */
  __atomic_store_n(&d->minor[group], (u16)*granted, __ATOMIC_RELAXED);
  return HV_EOK;
}

u32 hyp_get_version(const struct domain *d, u64 number, u64 *major, u64 *minor) {
  u32 group = group_find(d, number);
  if (group == GROUP_COUNT || d->major[group] == 0) return HV_EINVAL;
  *major = d->major[group];
  *minor = d->minor[group];
  return HV_EOK;
}

u32 hc_api_set_version(struct strand *s, struct domain *d) {
  u64 granted;
  u32 status = hyp_set_version(d, hv_arg(s, 0), hv_arg(s, 1), hv_arg(s, 2), &granted);
  if (status != HV_EINVAL) hv_ret(s, 1, granted);
  return hc_status(s, status);
}

u32 hc_api_get_version(struct strand *s, struct domain *d) {
  u64 major, minor;
  u32 status = hyp_get_version(d, hv_arg(s, 0), &major, &minor);
  if (status) return hc_status(s, status);
  hv_ret(s, 1, major);
  hv_ret(s, 2, minor);
  return hc_status(s, HV_EOK);
}

u32 hc_mach_exit(struct strand *s, struct domain *d) {
  d->exit_code = hv_arg(s, 0);
  s->stop = STOP_EXIT;
  return BODY_STOP;
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
  u32 status = memory_range(s);
  u64 ra = hv_arg(s, 0), len = hv_arg(s, 1);
  if (status) return hc_status(s, status);
  if (len > (u64)64 << 20) len = (u64)64 << 20; /* bounded work a call; the guest goes on from ret1 */
  ram_zero(s->env->ram, RA(ra), len);
  poison_remove(d, ra, len);
  hv_ret(s, 1, len);
  return hc_status(s, HV_EOK);
}

u32 hc_mem_sync(struct strand *s, struct domain *d) {
  (void)d;
  u32 status = memory_range(s);
  if (!status) hv_ret(s, 1, hv_arg(s, 1));
  return hc_status(s, status);
}
