/* console.c - CONS_GETCHAR, CONS_PUTCHAR, CONS_READ, CONS_WRITE (UltraSPARC VM Specification 3.0).
 *
 * Output never fails towards the guest: when the buffer is full the call is not completed, the machine stops with
 * S4V_STOP_CONSOLE, and the same call runs again once the client has drained it. So a run does not depend on how
 * fast the host reads.
 */
#include "hyp/calls.h"
#include "hyp/hyp.h"

u32 console_put(struct console_ring *r, const u8 *from, u32 len) {
  u32 room = CONSOLE_BYTES - r->count;
  if (len > room) len = room;
  for (u32 i = 0; i < len; i++) r->bytes[(r->start + r->count + i) % CONSOLE_BYTES] = from[i];
  r->count += len;
  return len;
}

u32 console_get(struct console_ring *r, u8 *to, u32 len) {
  if (len > r->count) len = r->count;
  for (u32 i = 0; i < len; i++) to[i] = r->bytes[(r->start + i) % CONSOLE_BYTES];
  r->start = (r->start + len) % CONSOLE_BYTES;
  r->count -= len;
  return len;
}

/* BREAK comes at once, HUP when the input is used up. Returns -1, -2 or 0. */
static i64 take_event(struct domain *d) {
  if (d->console_event & CONSOLE_BREAK) {
    d->console_event &= ~(u32)CONSOLE_BREAK;
    return -1;
  }
  if ((d->console_event & CONSOLE_HUP) && d->input.count == 0) return -2;
  return 0;
}

static u32 wait_for_drain(struct strand *s) {
  s->stop = STOP_CONSOLE;
  return BODY_RETRY;
}

u32 hc_cons_getchar(struct strand *s, struct domain *d) {
  u8 byte;
  i64 event = take_event(d);
  if (event) {
    hv_ret(s, 1, (u64)event);
    return hc_status(s, HV_EOK);
  }
  if (!console_get(&d->input, &byte, 1)) return hc_status(s, HV_EWOULDBLOCK);
  hv_ret(s, 1, byte);
  return hc_status(s, HV_EOK);
}

u32 hc_cons_putchar(struct strand *s, struct domain *d) {
  u64 ch = hv_arg(s, 0);
  if (ch > 255 && ch != ~(u64)0) return hc_status(s, HV_EINVAL);
  if (ch <= 255) {
    u8 byte = (u8)ch;
    if (!console_put(&d->output, &byte, 1)) return wait_for_drain(s);
    domain_notice(d, WATCH_OUTPUT);
  }
  return hc_status(s, HV_EOK);
}

u32 hc_cons_read(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), size = hv_arg(s, 1);
  u8 chunk[512];
  if (!ram_backed(s->env->ram, RA(ra), size ? size : 1)) return hc_status(s, HV_ENORADDR);
  i64 event = take_event(d);
  if (event) {
    hv_ret(s, 1, (u64)event);
    return hc_status(s, HV_EOK);
  }
  u32 n = console_get(&d->input, chunk, size > sizeof chunk ? sizeof chunk : (u32)size);
  if (n == 0) return hc_status(s, HV_EWOULDBLOCK);
  ram_write(s->env->ram, RA(ra), chunk, n);
  hv_ret(s, 1, n);
  return hc_status(s, HV_EOK);
}

u32 hc_cons_write(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), size = hv_arg(s, 1);
  u8 chunk[4096];
  u32 room = CONSOLE_BYTES - d->output.count, n = size > sizeof chunk ? sizeof chunk : (u32)size;
  if (!ram_backed(s->env->ram, RA(ra), size ? size : 1)) return hc_status(s, HV_ENORADDR);
  if (size && !room) return wait_for_drain(s);
  if (n > room) n = room;
  ram_read(s->env->ram, RA(ra), chunk, n);
  if (console_put(&d->output, chunk, n)) domain_notice(d, WATCH_OUTPUT);
  hv_ret(s, 1, n);
  return hc_status(s, HV_EOK);
}
