/* tcp.c - TCP sockets as their users see them. */
#include "net/tcp.h"

const char *tcp_state_name(u8 state) {
  static const char *const names[] = {"CLOSED",     "LISTEN",     "SYN_SENT",   "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1",
                                      "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",    "LAST_ACK", "TIME_WAIT"};
  return state < sizeof names / sizeof *names ? names[state] : "?";
}

/* A free socket, or the one that has been longest in TIME_WAIT. */
struct tcp_socket *tcp_allocate(struct net *net) {
  struct tcp_socket *best = NULL;
  for (u32 i = 0; i < TCP_SOCKETS && !(best && !best->used); i++) {
    struct tcp_socket *s = &net->tcp[i];
    if (!s->used)
      best = s;
    else if (s->state == TCP_TIME_WAIT && !s->held && (!best || s->expire_at < best->expire_at))
      best = s;
  }
  if (!best) return NULL;
  __builtin_memset(best, 0, offsetof(struct tcp_socket, tx));
  best->net = net;
  best->used = true;
  return best;
}

static u64 mix(u64 z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* RFC 6528: a clock of 4 microseconds, plus a secret function of the connection. */
static u32 first_sequence(const struct tcp_socket *s) {
  u64 ends = mix(s->net->secret ^ ((u64)s->local << 32 | s->remote));
  return (u32)(net_now(s->net) / 4) + (u32)mix(ends + ((u64)s->local_port << 16 | s->remote_port));
}

void tcp_open(struct tcp_socket *s, u32 local, u16 local_port, u32 remote, u16 remote_port) {
  s->local = local;
  s->remote = remote;
  s->local_port = local_port;
  s->remote_port = remote_port;
  s->iss = first_sequence(s);
  s->snd_una = s->snd_nxt = s->snd_max = s->recover = s->iss;
  s->snd_end = s->iss + 1;
  s->mss = TCP_MSS_DEFAULT;
  s->cwnd = 4 * TCP_MSS_DEFAULT;
  s->ssthresh = TCP_BUFFER;
  s->rto = TCP_RTO_FIRST;
}

void tcp_fail(struct tcp_socket *s, enum net_error error) {
  s->state = TCP_CLOSED;
  s->error = error;
  s->rto_at = s->persist_at = s->expire_at = 0;
  if (!s->held) s->used = false;
}

static bool port_taken(const struct net *net, u16 port) {
  for (u32 i = 0; i < TCP_SOCKETS; i++)
    if (net->tcp[i].used && net->tcp[i].local_port == port) return true;
  return false;
}

struct tcp_socket *tcp_listen(struct net *net, u16 port) {
  for (u32 i = 0; i < TCP_SOCKETS; i++)
    if (net->tcp[i].used && net->tcp[i].state == TCP_LISTEN && net->tcp[i].local_port == port) return NULL;
  struct tcp_socket *s = port ? tcp_allocate(net) : NULL;
  if (!s) return NULL;
  s->held = s->accepted = true;
  s->state = TCP_LISTEN;
  s->local_port = port;
  return s;
}

struct tcp_socket *tcp_accept(struct tcp_socket *listener) {
  struct net *net = listener->net;
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    struct tcp_socket *s = &net->tcp[i];
    if (!s->used || s->accepted || s->listener != listener || s->state < TCP_ESTABLISHED) continue;
    s->accepted = s->held = true;
    s->listener = NULL;
    return s;
  }
  return NULL;
}

struct tcp_socket *tcp_connect(struct net *net, u32 to, u16 port) {
  u32 from = ip_source(net, to);
  if (!from || !port || to == ~0u || to >> 28 == 14) return NULL;
  do {
    if (++net->next_port < 32768) net->next_port = 32768;
  } while (port_taken(net, net->next_port));
  struct tcp_socket *s = tcp_allocate(net);
  if (!s) return NULL;
  s->held = s->accepted = true;
  tcp_open(s, from, net->next_port, to, port);
  s->state = TCP_SYN_SENT;
  tcp_push(s);
  return s;
}

/* Why nothing can be sent or received any more. */
static i64 closed_reason(const struct tcp_socket *s) { return s->error ? (i64)s->error : (i64)NET_INVALID; }

i64 tcp_send(struct tcp_socket *s, const void *data, size_t bytes) {
  if (s->state == TCP_SYN_SENT || s->state == TCP_SYN_RECEIVED) return 0;
  if (s->state != TCP_ESTABLISHED && s->state != TCP_CLOSE_WAIT) return closed_reason(s);
  u32 room = TCP_BUFFER - (s->snd_end - s->snd_una);
  u32 n = bytes < room ? (u32)bytes : room;
  const u8 *from = data;
  for (u32 i = 0; i < n;) {
    u32 at = (s->snd_end + i) % TCP_BUFFER;
    u32 run = smaller(n - i, TCP_BUFFER - at);
    copy_bytes(s->tx + at, from + i, run);
    i += run;
  }
  s->snd_end += n;
  if (n) tcp_push(s);
  return n;
}

size_t tcp_readable(const struct tcp_socket *s) {
  return s->state < TCP_ESTABLISHED && s->rcv_nxt == s->rcv_read ? 0 : s->rcv_nxt - s->rcv_read - s->fin_taken;
}

size_t tcp_unacked(const struct tcp_socket *s) {
  return s->state < TCP_ESTABLISHED || seq_lt(s->snd_end, s->snd_una) ? 0 : s->snd_end - s->snd_una;
}

/* What arrived before an error is still given. */
i64 tcp_recv(struct tcp_socket *s, void *data, size_t bytes) {
  if (s->state == TCP_LISTEN) return NET_INVALID;
  size_t there = tcp_readable(s);
  u32 n = there < bytes ? (u32)there : (u32)bytes;
  u8 *to = data;
  for (u32 i = 0; i < n;) {
    u32 at = (s->rcv_read + i) % TCP_BUFFER;
    u32 run = smaller(n - i, TCP_BUFFER - at);
    copy_bytes(to + i, s->rx + at, run);
    i += run;
  }
  s->rcv_read += n;
  if (n && s->state != TCP_CLOSED && !s->fin_taken && tcp_window_grew(s)) {
    s->ack_now = true;
    tcp_push(s);
  }
  if (n || !bytes) return n;
  if (s->fin_taken && !s->error) return NET_EOF;
  return s->state == TCP_CLOSED ? closed_reason(s) : 0;
}

enum net_error tcp_shutdown(struct tcp_socket *s) {
  if (s->state == TCP_ESTABLISHED)
    s->state = TCP_FIN_WAIT_1;
  else if (s->state == TCP_CLOSE_WAIT)
    s->state = TCP_LAST_ACK;
  else
    return NET_INVALID;
  s->fin_queued = true;
  tcp_push(s);
  return NET_OK;
}

void tcp_abort(struct tcp_socket *s) {
  if (s->state >= TCP_SYN_RECEIVED && s->state != TCP_TIME_WAIT) tcp_send_reset(s);
  s->held = false;
  tcp_fail(s, NET_RESET);
}

static void close_listener(struct tcp_socket *s) {
  for (u32 i = 0; i < TCP_SOCKETS; i++) {
    struct tcp_socket *child = &s->net->tcp[i];
    if (child->used && child->listener == s) tcp_abort(child);
  }
  s->used = false;
}

void tcp_close(struct tcp_socket *s) {
  if (!s->used || !s->held) return;
  s->held = false;
  if (s->state == TCP_LISTEN)
    close_listener(s);
  else if (s->state < TCP_ESTABLISHED || (tcp_readable(s) > 0 && !s->fin_taken))
    tcp_abort(s); /* data nobody will read: the other end must know (RFC 2525 2.17) */
  else if (s->state == TCP_FIN_WAIT_2)
    s->expire_at = net_now(s->net) + TCP_ORPHAN;
  else
    tcp_shutdown(s);
}

