/* tcp_input.c - segments that come in (RFC 9293 3.10.7). */
#include "net/tcp.h"

static bool parse_options(const u8 *p, u32 bytes, struct tcp_segment *g) {
  for (u32 i = 0; i < bytes;) {
    if (p[i] == 0) return true;
    if (p[i] == 1) {
      i++;
      continue;
    }
    if (i + 1 >= bytes || p[i + 1] < 2 || p[i + 1] > bytes - i) return false;
    if (p[i] == 2 && p[i + 1] == 4) g->mss = get16(p + i + 2);
    i += p[i + 1];
  }
  return true;
}

static bool parse_segment(const struct ip_packet *packet, struct tcp_segment *g) {
  const u8 *p = packet->data;
  if (packet->broadcast || packet->bytes < TCP_HEADER) return false;
  u32 header = (u32)(p[12] >> 4) * 4;
  if (header < TCP_HEADER || header > packet->bytes) return false;
  if (ip_checksum(p, packet->bytes, ip_pseudo_sum(packet->from, packet->to, PROTOCOL_TCP, packet->bytes))) return false;
  *g = (struct tcp_segment){
      .from = packet->from, .to = packet->to, .from_port = get16(p), .to_port = get16(p + 2), .seq = get32(p + 4),
      .ack = get32(p + 8), .flags = p[13], .wnd = get16(p + 14), .data = p + header,
      .bytes = (u32)(packet->bytes - header)};
  return parse_options(p + TCP_HEADER, header - TCP_HEADER, g) && g->from_port && g->to_port;
}

static struct tcp_socket *find_socket(struct net *net, const struct tcp_segment *g) {
  struct tcp_socket *listener = NULL;
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    struct tcp_socket *s = &net->tcp[i];
    if (!s->used || s->local_port != g->to_port || s->state == TCP_CLOSED) continue;
    if (s->state == TCP_LISTEN)
      listener = s;
    else if (s->remote_port == g->from_port && s->remote == g->from && s->local == g->to)
      return s;
  }
  return listener;
}

static u32 half_open(const struct tcp_socket *listener) {
  u32 n = 0;
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    const struct tcp_socket *s = &listener->net->tcp[i];
    n += s->used && !s->accepted && s->listener == listener;
  }
  return n;
}

/* The other end's SYN: its numbers, how much it takes at once. */
static void take_syn(struct tcp_socket *s, const struct tcp_segment *g) {
  u32 theirs = g->mss ? g->mss : TCP_MSS_DEFAULT, own = tcp_own_mss(s->net, s->remote);
  if (theirs < TCP_MSS_LEAST) theirs = TCP_MSS_LEAST;
  s->mss = smaller(theirs, own);
  s->cwnd = 4 * s->mss;
  s->irs = g->seq;
  s->rcv_nxt = s->rcv_read = s->rcv_edge = g->seq + 1;
  s->rcv_edge += TCP_WINDOW_MOST;
  s->snd_wnd = s->snd_wnd_max = g->wnd;
  s->snd_wl1 = g->seq;
  s->snd_wl2 = g->ack;
}

static void arrive_listen(struct tcp_socket *listener, const struct tcp_segment *g) {
  if (g->flags & TCP_RST) return;
  if (g->flags & TCP_ACK) {
    tcp_answer_reset(listener->net, g);
    return;
  }
  if (!(g->flags & TCP_SYN)) return;
  struct tcp_socket *s = half_open(listener) < TCP_HALF_OPEN ? tcp_allocate(listener->net) : NULL;
  if (!s) { /* the other end will ask again */
    listener->net->counters.tcp_dropped++;
    return;
  }
  s->listener = listener;
  tcp_open(s, g->to, g->to_port, g->from, g->from_port);
  take_syn(s, g);
  s->state = TCP_SYN_RECEIVED;
  tcp_push(s);
}

static void establish(struct tcp_socket *s, const struct tcp_segment *g) {
  s->snd_una = g->ack;
  if (s->timing) { /* the handshake gives the first round-trip time */
    s->srtt = net_now(s->net) - s->timed_at;
    s->rttvar = s->srtt / 2;
    s->timing = false;
    u64 rto = s->srtt + 4 * s->rttvar;
    s->rto = rto < TCP_RTO_LEAST ? TCP_RTO_LEAST : earlier(rto, TCP_RTO_MOST);
  }
  s->rto_at = 0;
  s->retries = 0;
  s->state = TCP_ESTABLISHED;
}

static void arrive_syn_sent(struct tcp_socket *s, const struct tcp_segment *g) {
  bool ack = (g->flags & TCP_ACK) != 0;
  if (ack && g->ack != s->iss + 1) {
    tcp_answer_reset(s->net, g);
    return;
  }
  if (g->flags & TCP_RST) {
    if (ack) tcp_fail(s, NET_REFUSED);
    return;
  }
  if (!(g->flags & TCP_SYN)) return;
  take_syn(s, g);
  s->ack_now = ack;
  if (ack)
    establish(s, g);
  else { /* both ends called at the same time */
    s->state = TCP_SYN_RECEIVED;
    s->snd_nxt = s->iss;
  }
  tcp_push(s);
}

/* Any part in the window; in a closed window only the next number, and only for what is not data (3.10.7.4). */
static bool acceptable(const struct tcp_socket *s, const struct tcp_segment *g) {
  u32 length = segment_length(g);
  if (s->rcv_edge == s->rcv_nxt) return g->seq == s->rcv_nxt;
  if (!length) return seq_le(s->rcv_nxt, g->seq) && seq_lt(g->seq, s->rcv_edge);
  return seq_lt(g->seq, s->rcv_edge) && seq_lt(s->rcv_nxt, g->seq + length);
}

/* RFC 6298 2: smoothed time and its variation. */
static void take_sample(struct tcp_socket *s, u64 rtt) {
  u64 off = s->srtt > rtt ? s->srtt - rtt : rtt - s->srtt;
  if (s->srtt == 0) {
    s->srtt = rtt;
    s->rttvar = rtt / 2;
  } else {
    s->rttvar = (3 * s->rttvar + off) / 4;
    s->srtt = (7 * s->srtt + rtt) / 8;
  }
  u64 rto = s->srtt + 4 * s->rttvar;
  s->rto = rto < TCP_RTO_LEAST ? TCP_RTO_LEAST : earlier(rto, TCP_RTO_MOST);
}

static void grow_cwnd(struct tcp_socket *s, u32 acked) {
  u32 step = s->cwnd < s->ssthresh ? smaller(acked, s->mss) : s->mss * s->mss / s->cwnd;
  if (s->cwnd < 2 * TCP_BUFFER) s->cwnd += step ? step : 1;
}

/* Something new was acknowledged while lost segments are being repeated (RFC 6582 3.2). */
static void recovery_ack(struct tcp_socket *s, u32 acked) {
  if (seq_le(s->recover, s->snd_una)) {
    s->recovering = false;
    s->cwnd = s->ssthresh;
    return;
  }
  s->cwnd = s->cwnd > acked + s->mss ? s->cwnd - acked + s->mss : s->mss;
  tcp_retransmit_head(s);
}

static void new_ack(struct tcp_socket *s, u32 ack) {
  u32 acked = ack - s->snd_una;
  u64 now = net_now(s->net);
  s->bytes_out += smaller(acked, seq_lt(s->snd_una, s->snd_end) ? s->snd_end - s->snd_una : 0);
  if (s->timing && seq_lt(s->timed_seq, ack)) {
    s->timing = false;
    take_sample(s, now - s->timed_at);
  }
  s->snd_una = ack;
  if (seq_lt(s->snd_nxt, ack)) s->snd_nxt = ack;
  s->retries = s->persists = s->dup_acks = 0;
  s->rto_at = ack == s->snd_max ? 0 : now + s->rto;
  if (s->recovering)
    recovery_ack(s, acked);
  else
    grow_cwnd(s, acked);
}

/* The third ACK for the same byte: the segment there is lost (RFC 5681 3.2). */
static void duplicate_ack(struct tcp_socket *s) {
  s->dup_acks++;
  if (s->recovering) {
    if (s->cwnd < 2 * TCP_BUFFER) s->cwnd += s->mss;
    return;
  }
  if (s->dup_acks != 3 || seq_lt(s->snd_una, s->recover)) return;
  u32 flight = s->snd_max - s->snd_una;
  s->ssthresh = flight / 2 > 2 * s->mss ? flight / 2 : 2 * s->mss;
  s->cwnd = s->ssthresh + 3 * s->mss;
  s->recover = s->snd_max;
  s->recovering = true;
  s->net->counters.tcp_fast++;
  tcp_retransmit_head(s);
}

static void take_window(struct tcp_socket *s, const struct tcp_segment *g) {
  if (seq_lt(s->snd_wl1, g->seq) || (s->snd_wl1 == g->seq && seq_le(s->snd_wl2, g->ack))) {
    s->snd_wnd = g->wnd;
    s->snd_wl1 = g->seq;
    s->snd_wl2 = g->ack;
    if (g->wnd > s->snd_wnd_max) s->snd_wnd_max = g->wnd;
  }
}

static void take_ack(struct tcp_socket *s, const struct tcp_segment *g) {
  u32 window = s->snd_wnd;
  if (seq_lt(g->ack, s->snd_una)) return;
  take_window(s, g);
  if (s->snd_wnd == 0) s->retries = 0; /* it lives, and has no room: it may stay so for ever (3.8.6.1) */
  if (g->ack != s->snd_una)
    new_ack(s, g->ack);
  else if (segment_length(g) == 0 && s->snd_una != s->snd_max && s->snd_wnd == window && window)
    duplicate_ack(s);
}

static void enter_time_wait(struct tcp_socket *s) {
  s->state = TCP_TIME_WAIT;
  s->rto_at = s->persist_at = 0;
  s->expire_at = net_now(s->net) + TCP_MSL2;
}

/* Our FIN has been acknowledged. False: that was the end of the connection. */
static bool fin_acked(struct tcp_socket *s) {
  if (!s->fin_queued || s->snd_una != s->snd_end + 1) return true;
  if (s->state == TCP_FIN_WAIT_1) {
    s->state = TCP_FIN_WAIT_2;
    if (!s->held) s->expire_at = net_now(s->net) + TCP_ORPHAN;
  } else if (s->state == TCP_CLOSING) {
    enter_time_wait(s);
  } else if (s->state == TCP_LAST_ACK) {
    tcp_fail(s, NET_EOF);
    return false;
  }
  return true;
}

static void fin_came(struct tcp_socket *s) {
  if (s->state == TCP_ESTABLISHED)
    s->state = TCP_CLOSE_WAIT;
  else if (s->state == TCP_FIN_WAIT_1)
    s->state = TCP_CLOSING; /* an ACK of our FIN in this segment was taken before */
  else if (s->state == TCP_FIN_WAIT_2)
    enter_time_wait(s);
}

static bool takes_data(const struct tcp_socket *s) {
  return s->state == TCP_ESTABLISHED || s->state == TCP_FIN_WAIT_1 || s->state == TCP_FIN_WAIT_2;
}

static void arrive_data(struct tcp_socket *s, const struct tcp_segment *g) {
  if (s->accepted && !s->held && g->bytes && seq_lt(s->rcv_nxt, g->seq + g->bytes) && takes_data(s)) {
    tcp_abort(s); /* closed by its user: nobody will read this */
    return;
  }
  if (takes_data(s)) {
    if (tcp_take(s, g)) fin_came(s);
  } else if (segment_length(g)) {
    s->ack_now = true; /* again what was acknowledged: that ACK is lost */
    if (s->state == TCP_TIME_WAIT) enter_time_wait(s);
  }
  tcp_push(s);
}

/* Tells the other end where we stand, because what came makes no sense here. Not more than twice a second where it has
 * no data: two ends that make no sense to each other would go on for ever. */
static void tell_again(struct tcp_socket *s, const struct tcp_segment *g) {
  u64 now = net_now(s->net);
  if (g->bytes == 0 && now < s->quiet_until) return;
  s->quiet_until = now + TCP_QUIET;
  s->ack_now = true;
  tcp_push(s);
}

/* A reset must be exact, a SYN proves nothing: both are answered with where we stand (RFC 5961 3, 4). */
static bool refuse_attack(struct tcp_socket *s, const struct tcp_segment *g) {
  if ((g->flags & TCP_RST) && g->seq == s->rcv_nxt) {
    tcp_fail(s, s->state == TCP_SYN_RECEIVED ? NET_REFUSED : s->state == TCP_TIME_WAIT ? NET_EOF : NET_RESET);
    return true;
  }
  if (!(g->flags & (TCP_RST | TCP_SYN))) return false;
  s->net->counters.tcp_challenges++;
  tell_again(s, g);
  return true;
}

static void arrive(struct tcp_socket *s, const struct tcp_segment *g) {
  if (!acceptable(s, g)) {
    s->net->counters.tcp_outside++;
    if (s->state == TCP_TIME_WAIT && (g->flags & TCP_FIN)) enter_time_wait(s); /* our last ACK was lost */
    if (!(g->flags & TCP_RST)) tell_again(s, g);
    return;
  }
  if (refuse_attack(s, g) || !(g->flags & TCP_ACK)) return;
  if (s->state == TCP_SYN_RECEIVED) {
    if (g->ack != s->iss + 1) {
      tcp_answer_reset(s->net, g);
      return;
    }
    establish(s, g);
  }
  if (seq_lt(s->snd_max, g->ack)) {
    tell_again(s, g);
    return;
  }
  take_ack(s, g);
  if (fin_acked(s)) arrive_data(s, g);
}

void tcp_input(struct net *net, const struct ip_packet *packet) {
  struct tcp_segment g;
  if (!parse_segment(packet, &g)) {
    net->counters.tcp_bad++;
    return;
  }
  net->counters.tcp_in++;
  struct tcp_socket *s = find_socket(net, &g);
  if (!s)
    tcp_answer_reset(net, &g);
  else if (s->state == TCP_LISTEN)
    arrive_listen(s, &g);
  else if (s->state == TCP_SYN_SENT)
    arrive_syn_sent(s, &g);
  else
    arrive(s, &g);
}

/* An ICMP error ends only a connection that does not stand yet (RFC 5927 5.2). */
void tcp_refused(struct net *net, u32 remote, u16 remote_port, u16 local_port) {
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    struct tcp_socket *s = &net->tcp[i];
    if (s->used && s->state == TCP_SYN_SENT && s->remote == remote && s->remote_port == remote_port &&
        s->local_port == local_port)
      tcp_fail(s, NET_REFUSED);
  }
}
