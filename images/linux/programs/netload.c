/* netload.c - two guests on a network: a checked TCP stream, round trips, packets by UDP. One serves, the other asks. */
#include "load.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 5001, BLOCK = 65536, MOST_PACKET = 16384 };
/* First byte of a connection: what it is for. */
enum { STREAM = 's', ECHO = 'e', PACKETS = 'p' };

struct order {
  u32 what, bytes; /* of a message */
  u64 count;       /* bytes of a stream; messages */
};

static void put(int fd, const void *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t n = write(fd, (const char *)data + done, bytes - done);
    CHECK(n > 0);
    done += (size_t)n;
  }
}

static int take(int fd, void *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t n = read(fd, (char *)data + done, bytes - done);
    CHECK(n >= 0);
    if (n == 0) return 0;
    done += (size_t)n;
  }
  return 1;
}

static void no_delay(int fd) { CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (int[]){1}, sizeof(int)) == 0); }

static struct sockaddr_in address(const char *host) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  CHECK(host == NULL || inet_pton(AF_INET, host, &to.sin_addr) == 1);
  return to;
}

/* Words of a stream follow from their place in it. */
static void fill(u64 *words, u64 place) {
  for (u64 i = 0; i < BLOCK / 8; i++) words[i] = (place + i) * 0x9e3779b97f4a7c15u;
}

/* -- the one that serves */

static void serve_stream(int fd, struct order order) {
  static u64 got[BLOCK / 8], want[BLOCK / 8];
  u64 wrong = 0;
  for (u64 place = 0; place < order.count / 8; place += BLOCK / 8) {
    CHECK(take(fd, got, BLOCK));
    fill(want, place);
    wrong += memcmp(got, want, BLOCK) != 0;
  }
  put(fd, &wrong, sizeof wrong);
}

static void serve_echo(int fd, struct order order) {
  static char message[BLOCK];
  no_delay(fd);
  for (u64 i = 0; i < order.count; i++) {
    CHECK(take(fd, message, order.bytes));
    put(fd, message, order.bytes);
  }
}

/* Counts packets until the asker says on the connection that it is done. */
static void serve_packets(int fd, struct order order) {
  static char message[MOST_PACKET];
  struct sockaddr_in here = address(NULL);
  int from = socket(AF_INET, SOCK_DGRAM, 0);
  u64 count = 0;
  (void)order;
  CHECK(from >= 0 && bind(from, (struct sockaddr *)&here, sizeof here) == 0);
  CHECK(setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 300000}, sizeof(struct timeval)) == 0);
  put(fd, "r", 1);
  while (recv(from, message, sizeof message, 0) >= 0 || recv(fd, message, 1, MSG_DONTWAIT | MSG_PEEK) < 0) count++;
  close(from);
  put(fd, &count, sizeof count);
}

static int serve(long connections) {
  struct sockaddr_in here = address(NULL);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, (int[]){1}, sizeof(int)) == 0);
  CHECK(bind(listener, (struct sockaddr *)&here, sizeof here) == 0 && listen(listener, 4) == 0);
  printf("netload: serving\n");
  for (long i = 0; i < connections || connections == 0; i++) {
    int fd = accept(listener, NULL, NULL);
    struct order order;
    CHECK(fd >= 0 && take(fd, &order, sizeof order) && order.bytes <= BLOCK);
    if (order.what == STREAM) serve_stream(fd, order);
    if (order.what == ECHO) serve_echo(fd, order);
    if (order.what == PACKETS) serve_packets(fd, order);
    close(fd);
  }
  printf("netload: served ok\n");
  return 0;
}

/* -- the one that asks */

static int ask(const char *host, struct order order) {
  struct sockaddr_in to = address(host);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
  put(fd, &order, sizeof order);
  return fd;
}

static int stream(const char *host, long mebibytes) {
  static u64 block[BLOCK / 8];
  u64 wrong, bytes = (u64)mebibytes << 20;
  int fd = ask(host, (struct order){STREAM, 0, bytes});
  i64 begin = now_ns();
  for (u64 place = 0; place < bytes / 8; place += BLOCK / 8) {
    fill(block, place);
    put(fd, block, BLOCK);
  }
  CHECK(take(fd, &wrong, sizeof wrong) && wrong == 0);
  double seconds = (double)(now_ns() - begin) / 1e9;
  printf("netload stream: %.2f MB/s %.3f s ok\n", (double)bytes / 1e6 / seconds, seconds);
  return 0;
}

static int echo(const char *host, long count, long bytes) {
  static char out[BLOCK], back[BLOCK];
  CHECK(bytes >= 1 && bytes <= BLOCK);
  int fd = ask(host, (struct order){ECHO, (u32)bytes, (u64)count});
  no_delay(fd);
  i64 begin = now_ns();
  for (long i = 0; i < count; i++) {
    memset(out, (int)i, (size_t)bytes);
    put(fd, out, (size_t)bytes);
    CHECK(take(fd, back, (size_t)bytes) && memcmp(out, back, (size_t)bytes) == 0);
  }
  double seconds = (double)(now_ns() - begin) / 1e9;
  printf("netload echo %ld: %.1f us %.3f s ok\n", bytes, seconds * 1e6 / (double)count, seconds);
  return 0;
}

static int packets(const char *host, long count, long bytes) {
  static char message[MOST_PACKET];
  struct sockaddr_in to = address(host);
  u64 got;
  int fd = ask(host, (struct order){PACKETS, 0, 0}), by = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(bytes >= 1 && bytes <= MOST_PACKET && by >= 0 && take(fd, message, 1));
  i64 begin = now_ns();
  for (long i = 0; i < count; i++)
    CHECK(sendto(by, message, (size_t)bytes, 0, (struct sockaddr *)&to, sizeof to) == bytes);
  double seconds = (double)(now_ns() - begin) / 1e9;
  put(fd, "d", 1);
  CHECK(take(fd, &got, sizeof got));
  printf("netload packets %ld: %.0f packets/s sent, %llu of %ld came, %.3f s ok\n", bytes, (double)count / seconds,
         (unsigned long long)got, count, seconds);
  return 0;
}

int netload_main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "serve") == 0) return serve(argument(argc, argv, 2, 0));
  if (argc > 2 && strcmp(what, "stream") == 0) return stream(argv[2], argument(argc, argv, 3, 16));
  if (argc > 2 && strcmp(what, "echo") == 0) return echo(argv[2], argument(argc, argv, 3, 1000), argument(argc, argv, 4, 64));
  if (argc > 2 && strcmp(what, "packets") == 0)
    return packets(argv[2], argument(argc, argv, 3, 10000), argument(argc, argv, 4, 64));
  printf("load netload serve [CONNECTIONS] | stream HOST [MEBIBYTES] | echo HOST [COUNT [BYTES]] | packets HOST [COUNT [BYTES]]\n");
  return 2;
}
