/* tcp_receive.c - received bytes: into the ring, also out of order, each position once. */
#include "net/tcp.h"

static void ring_write(struct tcp_socket *s, u32 seq, const u8 *data, u32 bytes) {
  for (u32 i = 0; i < bytes;) {
    u32 at = (seq + i) % TCP_BUFFER;
    u32 run = smaller(bytes - i, TCP_BUFFER - at);
    copy_bytes(s->rx + at, data + i, run);
    i += run;
  }
}

static void range_remove(struct tcp_socket *s, u32 at) {
  s->ranges--;
  for (u32 i = at; i < s->ranges; i++) s->range[i] = s->range[i + 1];
}

/* [start, end) is there: joined with what it touches; kept sorted by start. False: no place to remember it. */
static bool range_add(struct tcp_socket *s, u32 start, u32 end) {
  for (u32 i = 0; i < s->ranges;) {
    const struct tcp_range *r = &s->range[i];
    if (seq_lt(r->end, start) || seq_lt(end, r->start)) {
      i++;
      continue;
    }
    if (seq_lt(r->start, start)) start = r->start;
    if (seq_lt(end, r->end)) end = r->end;
    range_remove(s, i);
  }
  if (s->ranges == TCP_RANGES) return false;
  u32 at = s->ranges++;
  for (; at > 0 && seq_lt(start, s->range[at - 1].start); at--) s->range[at] = s->range[at - 1];
  s->range[at] = (struct tcp_range){start, end};
  return true;
}

/* Ranges that rcv_nxt has reached become data for the user. */
static void range_join(struct tcp_socket *s) {
  while (s->ranges > 0 && seq_le(s->range[0].start, s->rcv_nxt)) {
    if (seq_lt(s->rcv_nxt, s->range[0].end)) s->rcv_nxt = s->range[0].end;
    range_remove(s, 0);
  }
}

/* What a range holds already is not written again: a byte the user may read does not change. */
static void ring_fill(struct tcp_socket *s, u32 start, const u8 *data, u32 bytes) {
  for (u32 i = 0; i < bytes;) {
    u32 at = start + i, run = bytes - i;
    for (u32 k = 0; k < s->ranges; k++) {
      const struct tcp_range *r = &s->range[k];
      if (seq_le(r->start, at) && seq_lt(at, r->end)) {
        at = r->end;
        break;
      }
      if (seq_lt(at, r->start)) {
        run = smaller(run, r->start - at);
        break;
      }
    }
    if (at != start + i) {
      i = at - start;
      continue;
    }
    ring_write(s, at, data + i, run);
    i += run;
  }
}

static void take_data(struct tcp_socket *s, const struct tcp_segment *g) {
  u32 start = g->seq, bytes = g->bytes, edge = s->fin_known ? s->fin_seq : s->rcv_edge;
  const u8 *data = g->data;
  if (seq_lt(s->rcv_edge, edge)) edge = s->rcv_edge;
  if (seq_lt(start, s->rcv_nxt)) { /* the head came before */
    u32 old = s->rcv_nxt - start;
    s->net->counters.tcp_duplicates++;
    if (old >= bytes) return;
    start += old, data += old, bytes -= old;
  }
  if (seq_le(edge, start)) return;
  bytes = smaller(bytes, edge - start);
  if (start != s->rcv_nxt) {
    s->net->counters.tcp_out_of_order++;
    ring_fill(s, start, data, bytes);
    if (!range_add(s, start, start + bytes)) s->net->counters.tcp_dropped++;
    return;
  }
  ring_fill(s, start, data, bytes);
  s->bytes_in += bytes;
  s->rcv_nxt = start + bytes;
  range_join(s);
}

bool tcp_take(struct tcp_socket *s, const struct tcp_segment *g) {
  if (segment_length(g) == 0 || s->fin_taken) return false;
  s->ack_now = true;
  u32 fin = g->seq + g->bytes;
  if ((g->flags & TCP_FIN) && !s->fin_known && seq_le(s->rcv_nxt, fin) && seq_lt(fin, s->rcv_edge)) {
    s->fin_known = true;
    s->fin_seq = fin;
  }
  if (g->bytes) take_data(s, g);
  if (!s->fin_known || s->rcv_nxt != s->fin_seq) return false;
  s->fin_taken = true;
  s->rcv_nxt++;
  return true;
}
