/* talk.c - tcp-talk: a conversation with an echo server, in the background, at a set rate.
 *
 * What the other end or the network between goes through is seen here: a byte that is lost, doubled or changed, segments
 * that had to be sent again, the longest time without an answer, or a connection that broke.
 */
#include "network.h"
#include "pattern.h"

enum { MESSAGE = 256, TICK_MS = 10 };
int command_tcp_talk(int argc, char **argv);

static struct {
  struct tcp_socket *socket;
  u64 key, rate, said, sent, received, wrong;
  u64 started_ns, heard_ns, longest_ns, again;
  i64 error;
  bool running, stop, wrong_seen, shut, eof;
  u8 data[MESSAGE];
} talk;

/* With the network's lock, as all below. */
static void say(void) {
  u64 elapsed = clock_ns() - talk.started_ns;
  u64 due = elapsed / NS_PER_SECOND * talk.rate + elapsed % NS_PER_SECOND * talk.rate / NS_PER_SECOND;
  if (talk.stop) due = talk.said; /* what was begun is said to its end */
  while (talk.error >= 0 && (talk.said < due || talk.sent < talk.said * MESSAGE)) {
    if (talk.sent == talk.said * MESSAGE) talk.said++;
    u64 n = talk.said * MESSAGE - talk.sent;
    if (tcp_unacked(talk.socket) + n > TCP_BUFFER / 2) return;
    for (u64 i = 0; i < n; i++) talk.data[i] = pattern_byte(talk.key, talk.sent + i);
    i64 given = tcp_send(talk.socket, talk.data, n);
    if (given < 0) talk.error = given;
    if (given <= 0) return;
    if (talk.sent == talk.received) talk.heard_ns = clock_ns(); /* an answer is due from now on */
    talk.sent += (u64)given;
  }
}

static void hear(void) {
  for (i64 n; talk.error >= 0 && !talk.eof && (n = tcp_recv(talk.socket, talk.data, MESSAGE)) != 0;) {
    if (n == NET_EOF) talk.eof = true;
    else if (n < 0) talk.error = n;
    for (i64 i = 0; i < n; i++, talk.received++) {
      if (talk.data[i] == pattern_byte(talk.key, talk.received) && talk.received < talk.sent) continue;
      if (!talk.wrong_seen) talk.wrong = talk.received;
      talk.wrong_seen = true;
    }
    u64 now = clock_ns();
    if (n > 0 && now - talk.heard_ns > talk.longest_ns) talk.longest_ns = now - talk.heard_ns;
    if (n > 0) talk.heard_ns = now;
  }
}

static void talk_thread(void *arg) {
  (void)arg;
  network_lock();
  while (talk.error >= 0 && !talk.eof) {
    say();
    hear();
    if (talk.stop && !talk.shut && talk.error >= 0 && talk.socket->state >= TCP_ESTABLISHED &&
        talk.sent == talk.said * MESSAGE) {
      tcp_shutdown(talk.socket);
      talk.shut = true;
    }
    network_wait(clock_ns() + TICK_MS * NS_PER_MS);
  }
  talk.again = talk.socket->retransmits;
  if (talk.eof) tcp_close(talk.socket);
  else tcp_abort(talk.socket);
  talk.socket = NULL;
  talk.running = false;
  network_unlock();
}

static int start(u32 to, u16 port, u64 rate) {
  struct net *net = network_lock();
  const char *why = !net ? "no network" : talk.running ? "it runs already" : NULL;
  if (!why) {
    u64 now = clock_ns();
    memset(&talk, 0, sizeof talk);
    talk.key = now | 1, talk.rate = rate, talk.started_ns = talk.heard_ns = now;
    talk.socket = tcp_connect(net, to, port);
    if (!talk.socket) why = "network is unreachable";
    talk.running = talk.socket && thread_start("tcp-talk", talk_thread, NULL);
    if (talk.socket && !talk.running) {
      tcp_abort(talk.socket);
      why = "no memory";
    }
  }
  network_unlock();
  printf("tcp-talk: %s\n", why ? why : "begun");
  return why != NULL;
}

/* With the lock. */
static int report(void) {
  bool whole = talk.running || (talk.eof && talk.received == talk.sent);
  printf("tcp-talk: %lu bytes sent, %lu bytes came back", talk.sent, talk.received);
  if (talk.wrong_seen) printf(", byte %lu is wrong", talk.wrong);
  if (talk.error < 0) printf(", the connection broke (%ld)", -talk.error);
  if (!talk.wrong_seen && talk.error >= 0 && whole) printf(", every byte right");
  printf("; %lu segments sent again, longest silence %lu ms\n", talk.running ? talk.socket->retransmits : talk.again,
         talk.longest_ns / NS_PER_MS);
  talk.longest_ns = 0;
  return talk.wrong_seen || talk.error < 0 || !whole;
}

int command_tcp_talk(int argc, char **argv) {
  u32 to;
  u64 port, rate;
  bool stop = argc == 2 && strcmp(argv[1], "stop") == 0;
  if (stop || (argc == 2 && strcmp(argv[1], "check") == 0)) {
    network_lock();
    if (stop) talk.stop = true;
    while (stop && talk.running && !console_interrupted()) network_wait(clock_ns() + NS_PER_SECOND / 10);
    int status = report();
    network_unlock();
    return status;
  }
  if (argc != 4 || !ip_parse(argv[1], &to) || !parse_number(argv[2], &port) || !port || port > 65535 ||
      !parse_number(argv[3], &rate) || !rate)
    return COMMAND_USAGE;
  return start(to, (u16)port, rate);
}
