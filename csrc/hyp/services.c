/* services.c - SOFT_STATE_*, MACH_SET_WATCHDOG, MACH_REBOOT_DATA_*, MACH_SUSPEND (UltraSPARC VM Specification 3.0). */
#include "hyp/calls.h"
#include "hyp/hyp.h"

void services_init(struct services *v) {
  *v = (struct services){0}; /* also after an image that was refused half-way */
  services_reset(v);
}

void services_reset(struct services *v) {
  v->soft_state = SOFT_STATE_TRANSITION;
  __builtin_memset(v->soft_text, 0, sizeof v->soft_text);
  v->watchdog_tick = v->suspended = v->suspend_strand = 0;
  v->trace_frozen = v->dump_base = v->dump_bytes = 0;
}

void services_save(const struct services *v, struct writer *w) {
#define X(type, name) put_u64(w, v->name);
  SERVICE_FIELDS(X)
#undef X
  put_bytes(w, v->soft_text, sizeof v->soft_text);
  put_bytes(w, v->reboot_data, sizeof v->reboot_data);
}

bool services_load(struct services *v, struct reader *in) {
#define X(type, name) v->name = (type)get_u64(in);
  SERVICE_FIELDS(X)
#undef X
  get_bytes(in, v->soft_text, sizeof v->soft_text);
  get_bytes(in, v->reboot_data, sizeof v->reboot_data);
  bool soft = v->soft_state == SOFT_STATE_NORMAL || v->soft_state == SOFT_STATE_TRANSITION;
  return !in->failed && soft && !v->soft_text[SOFT_STATE_BYTES - 1] && v->reboot_length <= REBOOT_DATA_BYTES &&
         v->suspended <= 1;
}

u32 hc_soft_state_set(struct strand *s, struct domain *d) {
  u64 state = hv_arg(s, 0), ra = hv_arg(s, 1);
  u8 text[SOFT_STATE_BYTES];
  if (state != SOFT_STATE_NORMAL && state != SOFT_STATE_TRANSITION) return hc_status(s, HV_EINVAL);
  if (ra & (SOFT_STATE_BYTES - 1)) return hc_status(s, HV_EBADALIGN);
  if (!ram_read(s->env->ram, RA(ra), text, sizeof text)) return hc_status(s, HV_ENORADDR);
  u32 length = 0;
  while (length < SOFT_STATE_BYTES && text[length]) length++;
  if (length == SOFT_STATE_BYTES) return hc_status(s, HV_EINVAL);
  __builtin_memset(text + length, 0, SOFT_STATE_BYTES - length); /* what follows the end is no state */
  __builtin_memcpy(d->services.soft_text, text, sizeof text);
  d->services.soft_state = state;
  domain_notice(d, WATCH_SOFT_STATE);
  return hc_status(s, HV_EOK);
}

u32 hc_soft_state_get(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0);
  if (ra & (SOFT_STATE_BYTES - 1)) return hc_status(s, HV_EBADALIGN);
  if (!ram_write(s->env->ram, RA(ra), d->services.soft_text, SOFT_STATE_BYTES)) return hc_status(s, HV_ENORADDR);
  hv_ret(s, 1, d->services.soft_state);
  return hc_status(s, HV_EOK);
}

/* The time is TICK's: in a deterministic run the watchdog bites at an instruction. */
u32 hc_mach_set_watchdog(struct strand *s, struct domain *d) {
  u64 ms = hv_arg(s, 0), now = s->env->tick_now(s, strand_slice_done(s)), *at = &d->services.watchdog_tick, left = 0;
  if (ms > WATCHDOG_MAX_MS) return hc_status(s, HV_EINVAL);
  if (*at > now) left = (u64)(((u128)(*at - now) * 1000 + s->env->tick_hz - 1) / s->env->tick_hz);
  ms = (ms + WATCHDOG_RESOLUTION_MS - 1) / WATCHDOG_RESOLUTION_MS * WATCHDOG_RESOLUTION_MS;
  *at = ms ? now + (u64)((u128)ms * s->env->tick_hz / 1000) : 0;
  hv_ret(s, 1, left);
  hyp_wake(d, NULL);
  return hc_event(s, HV_EOK); /* the stretch under way does not know the new time */
}

u32 hc_reboot_data_set(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), length = hv_arg(s, 1);
  u8 data[REBOOT_DATA_BYTES] = {0};
  if (length > sizeof data) return hc_status(s, HV_EINVAL);
  if (length && (ra & 15)) return hc_status(s, HV_EBADALIGN);
  if (length && !ram_read(s->env->ram, RA(ra), data, length)) return hc_status(s, HV_ENORADDR);
  __builtin_memcpy(d->services.reboot_data, data, sizeof data);
  d->services.reboot_length = length;
  return hc_status(s, HV_EOK);
}

u32 hc_reboot_data_get(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), length = hv_arg(s, 1), actual = d->services.reboot_length;
  if (length && (ra & 15)) return hc_status(s, HV_EBADALIGN);
  if (length && !ram_backed(s->env->ram, RA(ra), length)) return hc_status(s, HV_ENORADDR);
  hv_ret(s, 1, actual);
  if (length && length < actual) return hc_status(s, HV_EINVAL);
  if (length && actual) ram_write(s->env->ram, RA(ra), d->services.reboot_data, actual);
  return hc_status(s, HV_EOK);
}

/* Returns when the client resumes the domain, maybe in another machine: s4v_resume() sets the status. */
u32 hc_mach_suspend(struct strand *s, struct domain *d) {
  d->services.suspended = 1;
  d->services.suspend_strand = s->id;
  hv_ret(s, 0, HV_EOK);
  s->stop = STOP_SUSPEND;
  return BODY_STOP;
}
