/* tcp.h - what the files of TCP share. RFC 9293 (the protocol), 6298 (retransmission timer), 5681 and 6582 (congestion),
 * 5961 (blind attacks), 6528 (first sequence number). Options: MSS only, so a window is at most 65535 bytes.
 *
 *            snd_una        snd_nxt   snd_max      snd_end
 *   --- done ---|--- on the way ---|--- sent once ---|--- never sent ---|      tx[sequence % TCP_BUFFER]
 *
 *            rcv_read       rcv_nxt                rcv_edge
 *   --- read ---|--- for the user ---|--- window, with ranges ---|             rx[sequence % TCP_BUFFER]
 */
#ifndef LABOS_NET_TCP_H
#define LABOS_NET_TCP_H
#include "net/bytes.h"

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };
enum { TCP_HEADER = 20, TCP_MSS_DEFAULT = 536, TCP_MSS_LEAST = 64, TCP_WINDOW_MOST = 65535 };
enum { TCP_RTO_FIRST = 1000000, TCP_RTO_LEAST = 200000, TCP_RTO_MOST = 60000000 };
enum { TCP_MSL2 = 60000000, TCP_ORPHAN = 60000000, TCP_QUIET = 500000 };
enum { TCP_RETRIES = 15, TCP_SYN_RETRIES = 6, TCP_HALF_OPEN = 4 };

struct tcp_segment {
  u32 from, to, seq, ack, wnd, bytes;
  u16 from_port, to_port, mss;
  u8 flags;
  const u8 *data;
};

static inline bool seq_lt(u32 a, u32 b) { return (i32)(a - b) < 0; }
static inline bool seq_le(u32 a, u32 b) { return (i32)(a - b) <= 0; }
static inline u32 segment_length(const struct tcp_segment *g) {
  return g->bytes + ((g->flags & TCP_SYN) != 0) + ((g->flags & TCP_FIN) != 0);
}

/* tcp.c */
struct tcp_socket *tcp_allocate(struct net *net);
/* A connection between two ends starts: numbers, windows, timers. */
void tcp_open(struct tcp_socket *s, u32 local, u16 local_port, u32 remote, u16 remote_port);
void tcp_fail(struct tcp_socket *s, enum net_error error); /* CLOSED; whoever holds it learns the error */

/* tcp_output.c */
void tcp_push(struct tcp_socket *s); /* send what may be sent now, an ACK where one is owed */
void tcp_retransmit_head(struct tcp_socket *s);
void tcp_answer_reset(struct net *net, const struct tcp_segment *g);
void tcp_send_reset(struct tcp_socket *s);
u32 tcp_own_mss(struct net *net, u32 remote);
void tcp_start_rto(struct tcp_socket *s);
bool tcp_window_grew(const struct tcp_socket *s); /* by enough to be worth telling */

/* tcp_receive.c: data and FIN of an acceptable segment go in the ring. True: rcv_nxt passed the FIN. */
bool tcp_take(struct tcp_socket *s, const struct tcp_segment *g);
#endif
