/* streams.c - tcp-echo and tcp-send: a stream whose every byte tells where it belongs, there and back.
 *
 * What a migration, a lost frame or a reset of the network does to a connection is seen here: a byte that is lost,
 * doubled or changed, or a connection that broke.
 */
#include "network.h"
#include "pattern.h"

enum { ECHO_PORT = 7, CLIENTS = 4, PIECE = 8192 };
int command_tcp_echo(int argc, char **argv);
int command_tcp_send(int argc, char **argv);

static const char *error_text(i64 error) {
  switch (error) {
    case NET_RESET: return "connection reset by peer";
    case NET_TIMEOUT: return "connection timed out";
    case NET_REFUSED: return "connection refused";
    case NET_UNREACHABLE: return "network is unreachable";
    case NET_BUSY: return "no socket is free";
    default: return "connection closed";
  }
}

/* -- the server */

struct client {
  struct tcp_socket *socket;
  u64 echoed;
  u32 from, have, given;
  u16 port;
  bool eof;
  u8 piece[PIECE];
};

static struct server {
  bool running, stop;
  u16 port;
  struct tcp_socket *listener;
  struct client *clients;
} server;

static void client_end(struct client *c, i64 error) {
  printf("tcp-echo: %u.%u.%u.%u.%u: %lu bytes%s%s\n", c->from >> 24, c->from >> 16 & 255, c->from >> 8 & 255,
         c->from & 255, c->port, c->echoed, error == NET_EOF ? "" : ", ", error == NET_EOF ? "" : error_text(error));
  tcp_close(c->socket);
  c->socket = NULL;
}

/* true: something moved. */
static bool client_run(struct client *c) {
  u32 before = c->given;
  if (c->given == c->have && !c->eof) {
    i64 n = tcp_recv(c->socket, c->piece, PIECE);
    if (n == NET_EOF) c->eof = true;
    if (n < 0 && n != NET_EOF) return client_end(c, n), true;
    c->have = n > 0 ? (u32)n : 0;
    c->given = before = 0;
  }
  if (c->given < c->have) {
    i64 n = tcp_send(c->socket, c->piece + c->given, c->have - c->given);
    if (n < 0) return client_end(c, n), true;
    c->given += (u32)n;
    c->echoed += (u64)n;
  }
  if (c->eof && c->given == c->have) return client_end(c, NET_EOF), true;
  return c->given != before;
}

static bool accept_one(struct server *s) {
  struct client *c = s->clients;
  while (c < s->clients + CLIENTS && c->socket) c++;
  struct tcp_socket *socket = c < s->clients + CLIENTS ? tcp_accept(s->listener) : NULL;
  if (!socket) return false;
  *c = (struct client){.socket = socket, .from = socket->remote, .port = socket->remote_port};
  return true;
}

static void server_thread(void *arg) {
  struct server *s = arg;
  network_lock();
  while (!s->stop) {
    bool moved = accept_one(s);
    for (u32 i = 0; i < CLIENTS; i++)
      if (s->clients[i].socket) moved |= client_run(&s->clients[i]);
    if (!moved) network_wait(clock_ns() + NS_PER_SECOND);
  }
  for (u32 i = 0; i < CLIENTS; i++)
    if (s->clients[i].socket) tcp_abort(s->clients[i].socket);
  tcp_close(s->listener);
  s->running = false;
  network_unlock();
  kfree(s->clients, CLIENTS * sizeof *s->clients);
}

/* With the lock. NULL: it runs; otherwise why it does not. */
static const char *server_start(struct net *net, u16 port) {
  if (!net) return "no network";
  if (server.running) return "it is running already";
  struct client *clients = kmalloc(CLIENTS * sizeof *clients);
  if (!clients) return "no memory";
  server = (struct server){.port = port, .clients = clients, .listener = tcp_listen(net, port)};
  server.running = server.listener && thread_start("tcp-echo", server_thread, &server);
  if (server.running) return NULL;
  if (server.listener) tcp_close(server.listener);
  kfree(clients, CLIENTS * sizeof *clients);
  return "the port is taken, or there is no memory";
}

int command_tcp_echo(int argc, char **argv) {
  u64 port = ECHO_PORT;
  bool stop = argc == 2 && strcmp(argv[1], "stop") == 0;
  if (argc > 2 || (argc == 2 && !stop && (!parse_number(argv[1], &port) || !port || port > 65535))) return COMMAND_USAGE;
  struct net *net = network_lock();
  const char *why = NULL;
  if (stop)
    server.stop = true;
  else
    why = server_start(net, (u16)port);
  while (stop && server.running) network_wait(clock_ns() + NS_PER_SECOND / 10);
  network_unlock();
  if (why) printf("tcp-echo: %s\n", why);
  if (!why && !stop) printf("tcp-echo: port %lu\n", port);
  return why != NULL;
}

/* -- the client */

struct stream {
  struct tcp_socket *socket;
  u64 key, bytes, sent, received, wrong;
  bool wrong_seen, shut, eof;
  u8 *piece;
};

static u64 stream_fill(const struct stream *s) {
  u64 n = s->bytes - s->sent < PIECE ? s->bytes - s->sent : PIECE;
  for (u64 i = 0; i < n; i++) s->piece[i] = pattern_byte(s->key, s->sent + i);
  return n;
}

static void stream_check(struct stream *s, u64 n) {
  for (u64 i = 0; i < n; i++, s->received++) {
    if (s->piece[i] == pattern_byte(s->key, s->received) && s->received < s->bytes) continue;
    if (!s->wrong_seen) s->wrong = s->received;
    s->wrong_seen = true;
  }
}

/* One turn: 0: nothing moved; 1: something did; negative: the connection broke. */
static i64 stream_run(struct stream *s) {
  bool moved = false;
  if (s->sent < s->bytes && tcp_unacked(s->socket) <= TCP_BUFFER - PIECE) {
    i64 n = tcp_send(s->socket, s->piece, stream_fill(s));
    if (n < 0) return n;
    s->sent += (u64)n;
    moved = n > 0;
  }
  if (s->sent == s->bytes && !s->shut && s->socket->state >= TCP_ESTABLISHED) {
    tcp_shutdown(s->socket);
    s->shut = true;
  }
  i64 n = tcp_recv(s->socket, s->piece, PIECE);
  if (n == NET_EOF) s->eof = true;
  if (n > 0) stream_check(s, (u64)n);
  return n < 0 && n != NET_EOF ? n : moved || n != 0;
}

static int stream_report(const struct stream *s, i64 error, u64 ns) {
  printf("tcp-send: %lu bytes sent, %lu bytes came back", s->sent, s->received);
  if (s->wrong_seen) printf(", byte %lu is wrong", s->wrong);
  if (error < 0) printf(", %s", error_text(error));
  bool fine = error >= 0 && !s->wrong_seen && s->received == s->bytes;
  if (fine) printf(", every byte right");
  printf("; %lu segments sent again, %lu.%03lu s\n", s->socket->retransmits, ns / NS_PER_SECOND, ns / NS_PER_MS % 1000);
  return !fine;
}

int command_tcp_send(int argc, char **argv) {
  u32 to;
  u64 port, start = clock_ns();
  struct stream s = {.key = start | 1};
  if (argc != 4 || !ip_parse(argv[1], &to) || !parse_number(argv[2], &port) || !port || port > 65535 ||
      !parse_number(argv[3], &s.bytes))
    return COMMAND_USAGE;
  if (!(s.piece = kmalloc(PIECE))) return 1;
  console_interrupted();
  i64 error = 0;
  struct net *net = network_lock();
  s.socket = net ? tcp_connect(net, to, (u16)port) : NULL;
  while (s.socket && !s.eof && (error = stream_run(&s)) >= 0 && !console_interrupted())
    if (!error) network_wait(clock_ns() + NS_PER_SECOND);
  network_unlock();
  int status = s.socket ? stream_report(&s, error, clock_ns() - start) : 1;
  network_lock();
  if (s.socket && s.eof) tcp_close(s.socket);
  else if (s.socket) tcp_abort(s.socket);
  network_unlock();
  kfree(s.piece, PIECE);
  if (!s.socket) printf("tcp-send: network is unreachable\n");
  return status;
}
