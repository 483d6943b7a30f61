/* tcp_output.c - segments that go out: what may be sent, what must be sent again, and when. */
#include "net/tcp.h"

u32 tcp_own_mss(struct net *net, u32 remote) {
  u32 hop;
  const struct net_interface *interface = ip_route(net, remote, &hop);
  return (interface ? interface->mtu : NET_MTU_MIN) - IP_HEADER - TCP_HEADER;
}

/* Where the window may end: the whole free ring, as far as a window without scaling goes. */
static u32 edge_possible(const struct tcp_socket *s) {
  u32 free = TCP_BUFFER - (s->rcv_nxt - s->fin_taken - s->rcv_read);
  u32 edge = s->rcv_nxt + smaller(free, TCP_WINDOW_MOST);
  return seq_lt(edge, s->rcv_edge) ? s->rcv_edge : edge; /* what was promised stays promised */
}

bool tcp_window_grew(const struct tcp_socket *s) {
  return edge_possible(s) - s->rcv_edge >= smaller(TCP_BUFFER / 2, 2 * s->mss);
}

/* The window moves in steps of a segment at least (RFC 9293 3.8.6.2.2). */
static u32 window_told(struct tcp_socket *s) {
  u32 edge = edge_possible(s);
  if (edge - s->rcv_edge >= smaller(TCP_BUFFER / 2, s->mss)) s->rcv_edge = edge;
  return s->rcv_edge - s->rcv_nxt;
}

static void segment_finish(struct net *net, u32 from, u32 to, u32 bytes) {
  u8 *p = ip_payload(net);
  set16(p + 16, 0);
  set16(p + 18, 0);
  set16(p + 16, ip_checksum(p, bytes, ip_pseudo_sum(from, to, PROTOCOL_TCP, bytes)));
  net->counters.tcp_out++;
  ip_send(net, from, to, PROTOCOL_TCP, bytes);
}

static void segment_header(u8 *p, u16 from_port, u16 to_port, u32 seq, u32 ack, u32 header, u8 flags, u32 window) {
  set16(p, from_port);
  set16(p + 2, to_port);
  set32(p + 4, seq);
  set32(p + 8, ack);
  p[12] = (u8)(header / 4 << 4);
  p[13] = flags;
  set16(p + 14, window);
}

/* One segment: bytes of tx from seq on. */
static void emit(struct tcp_socket *s, u8 flags, u32 seq, u32 bytes) {
  u8 *p = ip_payload(s->net);
  u32 header = flags & TCP_SYN ? TCP_HEADER + 4 : TCP_HEADER;
  segment_header(p, s->local_port, s->remote_port, seq, flags & TCP_ACK ? s->rcv_nxt : 0, header, flags, window_told(s));
  if (flags & TCP_SYN) {
    set16(p + 20, 2 << 8 | 4);
    set16(p + 22, tcp_own_mss(s->net, s->remote));
  }
  for (u32 i = 0; i < bytes;) {
    u32 at = (seq + i) % TCP_BUFFER;
    u32 run = smaller(bytes - i, TCP_BUFFER - at);
    copy_bytes(p + header + i, s->tx + at, run);
    i += run;
  }
  if (flags & TCP_ACK) s->ack_now = false;
  segment_finish(s->net, s->local, s->remote, header + bytes);
}

void tcp_answer_reset(struct net *net, const struct tcp_segment *g) {
  if (g->flags & TCP_RST) return;
  bool ack = (g->flags & TCP_ACK) != 0;
  u8 *p = ip_payload(net);
  segment_header(p, g->to_port, g->from_port, ack ? g->ack : 0, ack ? 0 : g->seq + segment_length(g), TCP_HEADER,
                 ack ? TCP_RST : TCP_RST | TCP_ACK, 0);
  net->counters.tcp_resets_out++;
  segment_finish(net, g->to, g->from, TCP_HEADER);
}

void tcp_send_reset(struct tcp_socket *s) {
  s->net->counters.tcp_resets_out++;
  emit(s, TCP_RST | TCP_ACK, s->snd_nxt, 0);
}

void tcp_start_rto(struct tcp_socket *s) { s->rto_at = net_now(s->net) + s->rto; }

static void count_sent(struct tcp_socket *s, u32 from, u32 length) {
  bool again = seq_lt(from, s->snd_max);
  s->retransmits += again;
  s->net->counters.tcp_retransmits += again;
  if (again) s->timing = false; /* Karn: an ACK would not say which of the two it means */
  if (!again && !s->timing) {
    s->timing = true;
    s->timed_seq = from;
    s->timed_at = net_now(s->net);
  }
  if (seq_lt(s->snd_max, from + length)) s->snd_max = from + length;
}

static void send_syn(struct tcp_socket *s) {
  if (s->snd_nxt != s->iss) return;
  emit(s, s->state == TCP_SYN_SENT ? TCP_SYN : TCP_SYN | TCP_ACK, s->iss, 0);
  count_sent(s, s->iss, 1);
  s->snd_nxt = s->iss + 1;
  if (!s->rto_at) tcp_start_rto(s);
}

/* Small segments wait while others are on the way (Nagle) and while the window is silly (RFC 9293 3.8.6.2.1, 3.7.4). */
static bool worth_sending(const struct tcp_socket *s, u32 bytes, u32 waiting, u32 flight, bool fin) {
  if (fin || bytes >= s->mss || seq_lt(s->snd_nxt, s->snd_max)) return true;
  if (bytes == waiting && flight == 0) return true;
  return bytes > 0 && bytes >= s->snd_wnd_max / 2;
}

/* The next new or repeated segment. False: nothing may go now. */
static bool send_next(struct tcp_socket *s) {
  if (seq_lt(s->snd_end, s->snd_nxt)) return false; /* the FIN is out */
  u32 waiting = s->snd_end - s->snd_nxt, flight = s->snd_nxt - s->snd_una, window = smaller(s->snd_wnd, s->cwnd);
  u32 room = flight < window ? window - flight : 0;
  u32 bytes = smaller(smaller(waiting, s->mss), room);
  bool fin = s->fin_queued && bytes == waiting;
  if ((!bytes && !fin) || !worth_sending(s, bytes, waiting, flight, fin)) return false;
  emit(s, (u8)(TCP_ACK | (bytes == waiting ? TCP_PSH : 0) | (fin ? TCP_FIN : 0)), s->snd_nxt, bytes);
  count_sent(s, s->snd_nxt, bytes + fin);
  s->snd_nxt += bytes + fin;
  if (!s->rto_at) tcp_start_rto(s);
  return true;
}

/* Data waits, nothing is on the way that an ACK could come for: only a probe can find the window open again. */
static void update_persist(struct tcp_socket *s) {
  bool stuck = seq_lt(s->snd_nxt, s->snd_end) && s->snd_nxt == s->snd_una && !s->rto_at;
  if (!stuck)
    s->persist_at = 0;
  else if (!s->persist_at)
    s->persist_at = net_now(s->net) + earlier(s->rto << earlier(s->persists, 8), TCP_RTO_MOST);
}

/* The sequence number of a bare ACK lies in the other end's window, also when a probe or FIN went beyond it. */
static u32 ack_sequence(const struct tcp_socket *s) {
  u32 edge = s->snd_una + s->snd_wnd;
  return seq_lt(edge, s->snd_max) ? edge : s->snd_max;
}

void tcp_push(struct tcp_socket *s) {
  if (s->state == TCP_SYN_SENT || s->state == TCP_SYN_RECEIVED) {
    send_syn(s);
  } else if (s->state >= TCP_ESTABLISHED && s->state != TCP_TIME_WAIT && s->state != TCP_FIN_WAIT_2) {
    while (send_next(s)) {
    }
    update_persist(s);
  }
  if (s->ack_now && s->state >= TCP_SYN_RECEIVED) emit(s, TCP_ACK, ack_sequence(s), 0);
}

void tcp_retransmit_head(struct tcp_socket *s) {
  u32 data = seq_lt(s->snd_una, s->snd_end) ? smaller(s->snd_end - s->snd_una, s->mss) : 0;
  bool fin = s->fin_queued && s->snd_una + data == s->snd_end && seq_lt(s->snd_end, s->snd_max);
  if (!data && !fin) return;
  emit(s, (u8)(TCP_ACK | (fin ? TCP_FIN : 0)), s->snd_una, data);
  count_sent(s, s->snd_una, data + fin);
}

/* Nothing was acknowledged in time: go back to the oldest byte, slowly (RFC 6298 5, 5681 3.1). */
static void retransmission_timeout(struct tcp_socket *s) {
  u32 flight = s->snd_max - s->snd_una;
  if (++s->retries > (s->state < TCP_ESTABLISHED ? TCP_SYN_RETRIES : TCP_RETRIES)) {
    tcp_fail(s, NET_TIMEOUT);
    return;
  }
  s->rto = earlier(s->rto * 2, TCP_RTO_MOST);
  s->ssthresh = flight / 2 > 2 * s->mss ? flight / 2 : 2 * s->mss;
  s->cwnd = s->mss;
  s->recover = s->snd_max;
  s->recovering = false;
  s->dup_acks = 0;
  s->snd_nxt = s->snd_una;
  tcp_start_rto(s);
  if (s->state >= TCP_ESTABLISHED && s->snd_wnd == 0) {
    tcp_retransmit_head(s); /* the window closed over what was on the way */
    s->snd_nxt = s->snd_max;
  }
  tcp_push(s);
}

/* Nobody doubts that what was on the way is lost: it does not count as a sign of a slow network. */
void tcp_resume(struct net *net, u64 now) {
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    struct tcp_socket *s = &net->tcp[i];
    if (!s->used || !s->rto_at) continue;
    s->rto /= s->rto >= 2 * TCP_RTO_LEAST ? 2 : 1; /* the timeout doubles it */
    s->retries -= s->retries > 0;
    s->rto_at = now;
  }
}

static void persist_timeout(struct tcp_socket *s) {
  u32 bytes = smaller(smaller(s->snd_end - s->snd_una, s->mss), s->snd_wnd ? s->snd_wnd : 1);
  s->persist_at = 0;
  s->persists++;
  if (++s->retries > TCP_RETRIES) {
    tcp_fail(s, NET_TIMEOUT);
    return;
  }
  s->net->counters.tcp_probes++;
  emit(s, TCP_ACK, s->snd_una, bytes);
  s->timing = false;
  if (seq_lt(s->snd_max, s->snd_una + bytes)) s->snd_max = s->snd_una + bytes;
  update_persist(s);
}

static void socket_tick(struct tcp_socket *s, u64 now) {
  if (s->expire_at && now >= s->expire_at)
    tcp_fail(s, NET_EOF);
  else if (s->rto_at && now >= s->rto_at)
    retransmission_timeout(s);
  else if (s->persist_at && now >= s->persist_at)
    persist_timeout(s);
}

void tcp_tick(struct net *net, u64 now) {
  for (u32 i = 0; i < TCP_SOCKETS; i++)
    if (net->tcp[i].used) socket_tick(&net->tcp[i], now);
}

u64 tcp_deadline(const struct net *net) {
  u64 first = NEVER;
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    const struct tcp_socket *s = &net->tcp[i];
    if (!s->used) continue;
    if (s->rto_at) first = earlier(first, s->rto_at);
    if (s->persist_at) first = earlier(first, s->persist_at);
    if (s->expire_at) first = earlier(first, s->expire_at);
  }
  return first;
}
