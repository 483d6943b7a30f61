/* sockets.c - a stream over TCP on the loopback, checked at the other end; then datagrams between two local sockets. */
#include "load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 10000 };
static u64 total_bytes;
static int listener;

static unsigned char byte_at(u64 i) { return (unsigned char)(i * 7 + i / 251); }

static int sender(long port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) return 1;
  static unsigned char buffer[CHUNK];
  for (u64 done = 0; done < total_bytes;) {
    size_t n = total_bytes - done < CHUNK ? (size_t)(total_bytes - done) : CHUNK;
    for (size_t i = 0; i < n; i++) buffer[i] = byte_at(done + i);
    for (size_t sent = 0; sent < n;) {
      ssize_t got = write(fd, buffer + sent, n - sent);
      if (got <= 0) return 2;
      sent += (size_t)got;
    }
    done += n;
  }
  close(fd);
  return 0;
}

static void stream(void) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t length = sizeof at;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&at, &length) == 0);
  int pid = spawn(sender, ntohs(at.sin_port));
  int fd = accept(listener, NULL, NULL), poll = epoll_create1(0);
  CHECK(fd >= 0 && poll >= 0);
  struct epoll_event event = {.events = EPOLLIN};
  CHECK(epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) == 0);
  static unsigned char buffer[CHUNK];
  u64 seen = 0;
  for (;;) {
    CHECK(epoll_wait(poll, &event, 1, -1) == 1);
    ssize_t n = read(fd, buffer, sizeof buffer);
    CHECK(n >= 0);
    if (n == 0) break;
    for (ssize_t i = 0; i < n; i++, seen++) CHECK(buffer[i] == byte_at(seen));
  }
  CHECK(seen == total_bytes);
  CHECK(reap(pid) == 0);
}

int sockets_main(int argc, char **argv) {
  total_bytes = (u64)argument(argc, argv, 1, 512) << 10;
  stream();
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
  for (u64 i = 1; i <= 200; i++) {
    u64 got[2] = {0, 0}, sent[2] = {i, ~i};
    CHECK(write(pair[0], sent, sizeof sent) == sizeof sent);
    CHECK(read(pair[1], got, sizeof got) == sizeof got && got[0] == i && got[1] == ~i);
  }
  printf("sockets: ok %llu KiB\n", (unsigned long long)(total_bytes >> 10));
  return 0;
}
