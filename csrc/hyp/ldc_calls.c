/* ldc_calls.c - LDC_* calls for queues (UltraSPARC VM Specification 3.0). */
#include "hyp/calls.h"
#include "hyp/hyp.h"
#include "hyp/ldc_wire.h"

enum { MAX_PACKETS = 1 << 18 };

static u32 id_of(const struct domain *d, const struct ldc_endpoint *e) { return (u32)(e - d->channels.endpoint); }

static u32 configure_queue(struct strand *s, struct ldc_queue *q) {
  u64 base = hv_arg(s, 1), n = hv_arg(s, 2);
  if (n == 1 || (n & (n - 1)) || n > MAX_PACKETS) return HV_EINVAL;
  if (n && (base & (n * LDC_PACKET - 1))) return HV_EBADALIGN;
  if (n && !ram_backed(s->env->ram, RA(base), n * LDC_PACKET)) return HV_ENORADDR;
  *q = (struct ldc_queue){.base = n ? base : 0, .bytes = n * LDC_PACKET};
  return HV_EOK;
}

/* The client has something to look at: it gets control, and the guest goes on when it is run again. */
static u32 tell_client(struct strand *s, const struct domain *d, struct ldc_endpoint *e) {
  hv_ret(s, 0, HV_EOK);
  s->stop_code = id_of(d, e);
  s->stop = STOP_CHANNEL;
  return BODY_STOP;
}

static u32 done(struct strand *s, struct domain *d, struct ldc_endpoint *e, bool client, bool sent) {
  if (client && e->kind == LDC_HOST && e->up) {
    u32 served = d->host_packets ? d->host_packets(d, id_of(d, e)) : HOST_CLIENT;
    if (served == HOST_CLIENT) return tell_client(s, d, e);
    sent = served == HOST_ANSWERED;
  }
  return sent ? hc_event(s, HV_EOK) : hc_status(s, HV_EOK);
}

u32 hc_ldc_tx_qconf(struct strand *s, struct domain *d) {
  struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  if (!e) return hc_status(s, HV_ECHANNEL);
  u32 status = configure_queue(s, &e->tx);
  if (!status) e->tx_event = 0;
  return hc_status(s, status);
}

u32 hc_ldc_rx_qconf(struct strand *s, struct domain *d) {
  struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  if (!e) return hc_status(s, HV_ECHANNEL);
  bool was = e->rx.bytes != 0;
  u32 status = configure_queue(s, &e->rx);
  if (status) return hc_status(s, status);
  e->host_waits = 0;
  bool sent = ldc_rx_changed(d, id_of(d, e), was);
  if (e->kind == LDC_HOST && e->up) return tell_client(s, d, e);
  return done(s, d, e, false, sent);
}

static u32 queue_info(struct strand *s, const struct ldc_queue *q) {
  hv_ret(s, 1, q->base);
  hv_ret(s, 2, q->bytes / LDC_PACKET);
  return hc_status(s, HV_EOK);
}

u32 hc_ldc_tx_qinfo(struct strand *s, struct domain *d) {
  const struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  return e ? queue_info(s, &e->tx) : hc_status(s, HV_ECHANNEL);
}

u32 hc_ldc_rx_qinfo(struct strand *s, struct domain *d) {
  const struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  return e ? queue_info(s, &e->rx) : hc_status(s, HV_ECHANNEL);
}

static u32 queue_state(struct strand *s, struct domain *d, const struct ldc_endpoint *e, const struct ldc_queue *q) {
  if (!q->bytes) return hc_status(s, HV_EINVAL);
  hv_ret(s, 1, q->head);
  hv_ret(s, 2, q->tail);
  hv_ret(s, 3, ldc_state(d, id_of(d, e), q == &e->rx));
  return hc_status(s, HV_EOK);
}

u32 hc_ldc_tx_get_state(struct strand *s, struct domain *d) {
  struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  if (!e) return hc_status(s, HV_ECHANNEL);
  wire_look(d, id_of(d, e));
  e->tx_event = 0;
  return queue_state(s, d, e, &e->tx);
}

u32 hc_ldc_rx_get_state(struct strand *s, struct domain *d) {
  struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  if (!e) return hc_status(s, HV_ECHANNEL);
  wire_look(d, id_of(d, e));
  return queue_state(s, d, e, &e->rx);
}

/* Whether a pointer may move from one place to another of a ring, by at most so many bytes. */
static u32 check_move(const struct ldc_queue *q, u64 from, u64 to, u64 most) {
  if (!q->bytes) return HV_EINVAL;
  if (to & (LDC_PACKET - 1)) return HV_EBADALIGN;
  if (to >= q->bytes || ((to - from) & (q->bytes - 1)) > most) return HV_EINVAL;
  return HV_EOK;
}

u32 hc_ldc_tx_set_qtail(struct strand *s, struct domain *d) {
  struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  u64 tail = hv_arg(s, 1);
  if (!e) return hc_status(s, HV_ECHANNEL);
  struct ldc_queue *q = &e->tx;
  u64 used = q->bytes ? (q->tail - q->head) & (q->bytes - 1) : 0;
  u32 status = check_move(q, q->tail, tail, q->bytes - LDC_PACKET - used);
  if (status) return hc_status(s, status);
  q->tail = tail;
  return done(s, d, e, true, ldc_pump(d, id_of(d, e)));
}

u32 hc_ldc_rx_set_qhead(struct strand *s, struct domain *d) {
  struct ldc_endpoint *e = ldc_find(d, hv_arg(s, 0));
  u64 head = hv_arg(s, 1);
  if (!e) return hc_status(s, HV_ECHANNEL);
  struct ldc_queue *q = &e->rx;
  u32 status = check_move(q, q->head, head, q->bytes ? (q->tail - q->head) & (q->bytes - 1) : 0);
  if (status) return hc_status(s, status);
  q->head = head;
  bool client = e->host_waits;
  e->host_waits = 0;
  return done(s, d, e, client, ldc_pull(d, id_of(d, e)));
}
