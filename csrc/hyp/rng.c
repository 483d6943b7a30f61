/* rng.c - RNG_*. See rng.h. Version 1 knows one unit, version 2 names it: there is unit 0. */
#include "hyp/rng.h"

#include "hyp/calls.h"
#include "hyp/hyp.h"
#include "strand/internal.h"

enum { LEAST_DIAG = 8, MOST_DIAG = 128 << 10, CONTROL_BYTES = 8 * RNG_CONTROLS, DIAG_CHUNK = 4096 };
enum { SOURCES = 7, SHIFT_REGISTER = 8, SHORT_WAIT = 64 };
#define POLYNOMIAL 0x231dcee91262b8a3ull /* of the shift register */

void rng_init(struct rng *r, u64 seed, u32 control_access, u32 second_layout) {
  *r = (struct rng){.random = seed, .control_access = control_access, .second_layout = second_layout};
  r->state = control_access ? RNG_UNCONFIGURED : RNG_CONFIGURED; /* else another domain has done it */
}

void rng_reset(struct rng *r) { r->owned = 0; }

void rng_save(const struct rng *r, struct writer *w) {
#define X(type, name) put_u64(w, r->name);
  RNG_FIELDS(X)
#undef X
  for (u32 i = 0; i < RNG_CONTROLS; i++) put_u64(w, r->control[i]);
}

bool rng_load(struct rng *r, struct reader *in) {
#define X(type, name) r->name = (type)get_u64(in);
  RNG_FIELDS(X)
#undef X
  for (u32 i = 0; i < RNG_CONTROLS; i++) r->control[i] = get_u64(in);
  return !in->failed && r->state <= RNG_ERROR && r->owned <= 1;
}

/* splitmix64: a stream that is the same for the same seed, which deterministic runs need. Not for secrets. */
static u64 random_next(u64 *state) {
  u64 z = *state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

static u64 stick_now(struct strand *s) {
  return strand_stick_of_tick(s, s->env->tick_now(s, strand_slice_done(s)));
}

static u64 delta(const struct rng *r, u64 now) { return r->ready > now ? r->ready - now : 0; }

static bool second(const struct domain *d) { return d->major[GROUP_RNG] == 2; }

/* ENOACCESS comes before everything else: Linux asks with nonsense to learn whether it has control. */
static u32 control_check(const struct domain *d, u64 ra, u64 unit) {
  if (!d->rng.control_access) return HV_ENOACCESS;
  if (ra & 7) return HV_EBADALIGN;
  return second(d) && unit ? HV_EINVAL : HV_EOK;
}

u32 hc_rng_get_diag_control(struct strand *s, struct domain *d) {
  if (!d->rng.control_access) return hc_status(s, HV_ENOACCESS);
  d->rng.owned = 1;
  return hc_status(s, HV_EOK);
}

u32 hc_rng_ctl_read(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), words[RNG_CONTROLS];
  u32 status = control_check(d, ra, hv_arg(s, 1));
  if (status) return hc_status(s, status);
  for (u32 i = 0; i < RNG_CONTROLS; i++) words[i] = __builtin_bswap64(d->rng.control[i]);
  if (ra && !ram_write(s->env->ram, RA(ra), words, sizeof words)) return hc_status(s, HV_ENORADDR);
  hv_ret(s, 1, d->rng.state);
  hv_ret(s, 2, delta(&d->rng, stick_now(s)));
  if (second(d)) {
    hv_ret(s, 3, 0); /* the watchdog of a write */
    hv_ret(s, 4, HV_EOK);
  }
  return hc_status(s, HV_EOK);
}

/* Bits that a control word can have: 16 of waiting, and what is below them. */
static u64 control_mask(const struct rng *r) { return r->second_layout ? 0xfffffff : 0x1ffffff; }

static u32 configure(struct strand *s, struct rng *r, u64 ra, u64 state, u64 timeout, u64 *wait) {
  u64 words[RNG_CONTROLS], now = stick_now(s);
  if (!ram_read(s->env->ram, RA(ra), words, sizeof words)) return HV_ENORADDR;
  *wait = delta(r, now);
  if (*wait) return HV_EWOULDBLOCK;
  for (u32 i = 0; i < RNG_CONTROLS; i++) {
    words[i] = __builtin_bswap64(words[i]);
    if (words[i] & ~control_mask(r)) return HV_EINVAL;
  }
  __builtin_memcpy(r->control, words, sizeof words);
  *wait = timeout >> 63 ? 0 : timeout;
  r->ready = now + *wait;
  r->state = state;
  return HV_EOK;
}

u32 hc_rng_ctl_write(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), state = hv_arg(s, 1), timeout = hv_arg(s, 2), wait = 0;
  struct rng *r = &d->rng;
  u32 status = control_check(d, ra, hv_arg(s, 3));
  if (status) return hc_status(s, status);
  if (!ram_backed(s->env->ram, RA(ra), CONTROL_BYTES)) return hc_status(s, HV_ENORADDR);
  if (!second(d) && !r->owned) return hc_status(s, HV_EIO);
  if (state > RNG_ERROR) return hc_status(s, HV_EINVAL);
  if (state == RNG_CONFIGURED || state == RNG_HEALTHCHECK) {
    status = configure(s, r, ra, state, timeout, &wait);
  } else {
    r->state = state;
    wait = delta(r, stick_now(s));
  }
  if (!second(d) && (status == HV_EOK || status == HV_EWOULDBLOCK)) hv_ret(s, 1, wait);
  return hc_status(s, status);
}

/* Without noise the shift register begins with ones and moves on by the waiting time of the last control word. That it
 * stays as it is for a short one is what Linux expects of the M7. */
static u64 diagnostic_word(struct rng *r) {
  u64 all = r->control[0] | r->control[1] | r->control[2] | r->control[3], last = r->control[RNG_CONTROLS - 1];
  if ((all & SOURCES) || !(last & SHIFT_REGISTER)) return random_next(&r->random);
  u64 wait = last >> (r->second_layout ? 12 : 9) & 0xffff, word = ~(u64)0;
  for (u64 i = 0; wait > SHORT_WAIT && i <= wait; i++) word = word << 1 ^ (word >> 63 ? POLYNOMIAL : 0);
  return word;
}

static bool noisy(const struct rng *r) {
  u64 all = r->control[0] | r->control[1] | r->control[2] | r->control[3];
  return (all & SOURCES) || !(r->control[RNG_CONTROLS - 1] & SHIFT_REGISTER);
}

static void write_diagnostics(struct strand *s, struct rng *r, u64 ra, u64 bytes) {
  u8 chunk[DIAG_CHUNK];
  u64 known = noisy(r) ? 0 : diagnostic_word(r);
  for (u64 done = 0; done < bytes; done += sizeof chunk) {
    u64 n = bytes - done < sizeof chunk ? bytes - done : sizeof chunk;
    for (u64 i = 0; i < n; i += 8) be64_store(chunk + i, noisy(r) ? random_next(&r->random) : known);
    ram_write(s->env->ram, RA(ra + done), chunk, n);
  }
}

u32 hc_rng_data_read_diag(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), bytes = hv_arg(s, 1), wait;
  struct rng *r = &d->rng;
  u32 status = control_check(d, ra, hv_arg(s, 2));
  if (status) return hc_status(s, status);
  if (bytes & 7) return hc_status(s, HV_EBADALIGN);
  if (bytes < LEAST_DIAG || bytes > MOST_DIAG) return hc_status(s, HV_EINVAL);
  if (!ram_backed(s->env->ram, RA(ra), bytes)) return hc_status(s, HV_ENORADDR);
  if (!second(d) && !r->owned) return hc_status(s, HV_EIO);
  wait = delta(r, stick_now(s));
  hv_ret(s, 1, wait);
  if (wait) return hc_status(s, HV_EWOULDBLOCK);
  write_diagnostics(s, r, ra, bytes);
  return hc_status(s, HV_EOK);
}

u32 hc_rng_data_read(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), wait;
  struct rng *r = &d->rng;
  u8 bytes[8];
  if (ra & 7) return hc_status(s, HV_EBADALIGN);
  if (!ram_backed(s->env->ram, RA(ra), sizeof bytes)) return hc_status(s, HV_ENORADDR);
  if (r->state == RNG_ERROR) return hc_status(s, HV_ENOACCESS);
  if (r->state != RNG_CONFIGURED) return hc_status(s, HV_EIO);
  wait = delta(r, stick_now(s));
  hv_ret(s, 1, wait);
  if (wait) return hc_status(s, HV_EWOULDBLOCK);
  be64_store(bytes, random_next(&r->random));
  ram_write(s->env->ram, RA(ra), bytes, sizeof bytes);
  return hc_status(s, HV_EOK);
}
