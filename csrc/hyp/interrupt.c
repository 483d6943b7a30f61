/* interrupt.c - INTR_* and VINTR_*, delivery of device mondos. See interrupt.h. */
#include "hyp/interrupt.h"

#include "hyp/calls.h"
#include "hyp/hyp.h"

enum { COOKIE_RESERVED = 2047 };

/* Writes only to those there are: a machine's memory is touched where it is used. */
static void forget_sources(struct interrupts *in) {
  for (u32 i = 0; i < INTR_SOURCES; i++)
    if (in->source[i].exists) in->source[i] = (struct intr_source){0};
}

void intr_init(struct interrupts *in) {
  forget_sources(in);
  intr_add(in, SYSINO_CONSOLE);
  in->blocked = 1;
}

void intr_reset(struct interrupts *in) {
  for (u32 i = 0; i < INTR_SOURCES; i++)
    if (in->source[i].exists) in->source[i] = (struct intr_source){.exists = 1};
}

void intr_add(struct interrupts *in, u32 sysino) {
  in->source[sysino - SYSINO_FIRST] = (struct intr_source){.exists = 1};
}

void intr_remove(struct interrupts *in, u32 sysino) { in->source[sysino - SYSINO_FIRST] = (struct intr_source){0}; }

void intr_save(const struct interrupts *in, struct writer *w) {
  for (u32 i = 0; i < INTR_SOURCES; i++) {
    const struct intr_source *source = &in->source[i];
    if (!source->exists) continue;
    put_u32(w, i);
#define X(type, name) put_low(w, source->name, sizeof(type));
    INTR_FIELDS(X)
#undef X
  }
  put_u32(w, INTR_SOURCES);
}

bool intr_load(struct interrupts *in, struct reader *from, u32 max_strands) {
  forget_sources(in);
  in->blocked = 1;
  for (;;) {
    u32 i = get_u32(from);
    if (from->failed || i > INTR_SOURCES) return false;
    if (i == INTR_SOURCES) return true;
    struct intr_source *source = &in->source[i];
#define X(type, name) source->name = (type)get_low(from, sizeof(type));
    INTR_FIELDS(X)
#undef X
    if (source->exists != 1 || source->valid > 1 || source->edge > 1 || source->state > INTR_DELIVERED ||
        source->target >= max_strands)
      return false;
  }
}

static bool level(const struct domain *d, u32 sysino) {
  if (sysino == SYSINO_CONSOLE) return d->input.count != 0 || (d->console_event & CONSOLE_BREAK);
  if (sysino < CHANNEL_HANDLE) return ncs_level(d, sysino - VDEVICE_HANDLE);
  return ldc_level(d, sysino - CHANNEL_HANDLE);
}

static bool wants(const struct domain *d, const struct intr_source *source) {
  u32 sysino = (u32)(source - d->interrupts.source) + SYSINO_FIRST;
  return source->exists && source->valid && source->state == INTR_IDLE && (source->edge || level(d, sysino));
}

static bool deliver(struct domain *d, struct intr_source *source) {
  struct strand *target = hyp_strand(d, source->target);
  u8 mondo[64] = {0};
  if (!target || target->run_state != STRAND_RUNNING) return false;
  be64_store(mondo, source->cookie ? source->cookie : (u64)(source - d->interrupts.source) + SYSINO_FIRST);
  if (!hyp_mondo(target, DEV_MONDO_QUEUE, mondo)) return false;
  source->state = INTR_DELIVERED;
  source->edge = 0;
  return true;
}

bool intr_update(struct domain *d, u32 sysino) {
  struct intr_source *source = &d->interrupts.source[sysino - SYSINO_FIRST];
  if (!wants(d, source)) return false;
  if (deliver(d, source)) return true;
  d->interrupts.blocked = 1;
  return false;
}

bool intr_handled(const struct domain *d, u32 sysino) {
  return d->interrupts.source[sysino - SYSINO_FIRST].state == INTR_DELIVERED;
}

bool intr_unused(const struct domain *d, u32 sysino) {
  const struct intr_source *source = &d->interrupts.source[sysino - SYSINO_FIRST];
  return !source->valid && !source->cookie;
}

bool intr_once(struct domain *d, u32 sysino) {
  d->interrupts.source[sysino - SYSINO_FIRST].edge = 1;
  return intr_update(d, sysino);
}

void intr_retry(struct domain *d, struct strand *s) {
  u32 blocked = 0;
  if (!d->interrupts.blocked) return;
  for (u32 i = 0; i < INTR_SOURCES; i++) {
    struct intr_source *source = &d->interrupts.source[i];
    if (wants(d, source) && (source->target != s->id || !deliver(d, source))) blocked = 1;
  }
  d->interrupts.blocked = blocked;
}

void intr_queue_moved(struct strand *s, u32 queue) {
  struct domain *d = hyp_domain(s);
  if (queue != DEV_MONDO_QUEUE) return;
  hyp_lock(d);
  intr_retry(d, s);
  hyp_unlock(d);
}

/* NULL: no such source. */
static struct intr_source *by_sysino(struct domain *d, u64 sysino) {
  if (sysino < SYSINO_FIRST || sysino >= SYSINO_FIRST + INTR_SOURCES) return NULL;
  struct intr_source *source = &d->interrupts.source[sysino - SYSINO_FIRST];
  return source->exists ? source : NULL;
}

static struct intr_source *by_devino(struct domain *d, u64 handle, u64 devino) {
  if (handle == VDEVICE_HANDLE && devino < VDEVICE_INOS) return by_sysino(d, handle + devino);
  if (handle == CHANNEL_HANDLE && devino < CHANNEL_INOS) return by_sysino(d, handle + devino);
  return NULL;
}

/* The source may have become ready to deliver. */
static u32 changed(struct strand *s, struct domain *d, const struct intr_source *source) {
  bool sent = intr_update(d, (u32)(source - d->interrupts.source) + SYSINO_FIRST);
  return sent ? hc_event(s, HV_EOK) : hc_status(s, HV_EOK);
}

static u32 give(struct strand *s, const struct intr_source *source, u64 value) {
  if (source) hv_ret(s, 1, value);
  return hc_status(s, source ? HV_EOK : HV_EINVAL);
}

static u32 give_valid(struct strand *s, const struct intr_source *source) {
  return give(s, source, source ? source->valid : 0);
}

static u32 give_state(struct strand *s, const struct intr_source *source) {
  return give(s, source, source ? source->state : 0);
}

static u32 give_target(struct strand *s, const struct intr_source *source) {
  return give(s, source, source ? source->target : 0);
}

static u32 set_valid(struct strand *s, struct domain *d, struct intr_source *source, u64 value) {
  if (!source || value > 1) return hc_status(s, HV_EINVAL);
  source->valid = (u8)value;
  return changed(s, d, source);
}

static u32 set_state(struct strand *s, struct domain *d, struct intr_source *source, u64 value) {
  if (!source || value > INTR_DELIVERED) return hc_status(s, HV_EINVAL);
  source->state = (u8)value;
  return changed(s, d, source);
}

static u32 set_target(struct strand *s, struct domain *d, struct intr_source *source, u64 value) {
  if (!source) return hc_status(s, HV_EINVAL);
  if (!hyp_strand(d, value)) return hc_status(s, HV_ENOCPU);
  source->target = (u32)value;
  return changed(s, d, source);
}

#define SYSINO by_sysino(d, hv_arg(s, 0))
#define DEVINO by_devino(d, hv_arg(s, 0), hv_arg(s, 1))

u32 hc_intr_devino2sysino(struct strand *s, struct domain *d) {
  return give(s, DEVINO, hv_arg(s, 0) + hv_arg(s, 1));
}

u32 hc_intr_getenabled(struct strand *s, struct domain *d) { return give_valid(s, SYSINO); }
u32 hc_intr_getstate(struct strand *s, struct domain *d) { return give_state(s, SYSINO); }
u32 hc_intr_gettarget(struct strand *s, struct domain *d) { return give_target(s, SYSINO); }

u32 hc_intr_setenabled(struct strand *s, struct domain *d) { return set_valid(s, d, SYSINO, hv_arg(s, 1)); }
u32 hc_intr_setstate(struct strand *s, struct domain *d) { return set_state(s, d, SYSINO, hv_arg(s, 1)); }
u32 hc_intr_settarget(struct strand *s, struct domain *d) { return set_target(s, d, SYSINO, hv_arg(s, 1)); }

u32 hc_vintr_getcookie(struct strand *s, struct domain *d) {
  const struct intr_source *source = DEVINO;
  return give(s, source, source ? source->cookie : 0);
}

u32 hc_vintr_setcookie(struct strand *s, struct domain *d) {
  struct intr_source *source = DEVINO;
  u64 cookie = hv_arg(s, 2);
  if (!source || (cookie && cookie <= COOKIE_RESERVED)) return hc_status(s, HV_EINVAL);
  source->cookie = cookie;
  if (!cookie) source->valid = 0;
  return hc_status(s, HV_EOK);
}

u32 hc_vintr_getvalid(struct strand *s, struct domain *d) { return give_valid(s, DEVINO); }
u32 hc_vintr_getstate(struct strand *s, struct domain *d) { return give_state(s, DEVINO); }
u32 hc_vintr_gettarget(struct strand *s, struct domain *d) { return give_target(s, DEVINO); }

u32 hc_vintr_setvalid(struct strand *s, struct domain *d) { return set_valid(s, d, DEVINO, hv_arg(s, 2)); }
u32 hc_vintr_setstate(struct strand *s, struct domain *d) { return set_state(s, d, DEVINO, hv_arg(s, 2)); }
u32 hc_vintr_settarget(struct strand *s, struct domain *d) { return set_target(s, d, DEVINO, hv_arg(s, 2)); }
