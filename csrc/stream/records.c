/* records.c - a connection, TLS 1.3 whose handshake is over or plain: a chunk goes out or comes in by one call, without the
 * interpreter.
 *
 * The handshake, with everything that is checked there, is Python's ssl (emulator/stream/records.py); here come its two traffic
 * secrets. Sixteen records are sealed before they are sent, and all that has come is read at once, where OpenSSL itself makes a
 * system call or two for each record of 16 KiB. What is here of TLS: data, KeyUpdate both ways, alerts. Anything else ends the
 * connection: session tickets are switched off, and nobody of ours renegotiates or authenticates later.
 *
 * One thread at a time. The descriptor is the caller's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "stream/aead.h"

enum {
  OUT_RECORDS = 16,
  IN_BYTES = 1 << 19,
  MOST_EMPTY = 32,  /* records without data in a row */
  HANDSHAKE_UPDATE = 24, UPDATE_BYTES = 5, ALERT_CLOSE = 0,
};
static const u64 REKEY_AFTER = (u64)1 << 22; /* records: 64 GiB; AES-GCM is good for 2^24.5 (RFC 8446, 5.5) */

struct s4v_stream_records {
  struct libcrypto *lib;
  struct direction out, in;
  int fd, failure;       /* failure: errno of the socket */
  bool plain;
  u64 waited_ns;         /* for input, in `receive` */
  u64 blocked_ns;        /* for room, in `send` */
  u64 rekey_after;
  u32 empty;
  bool owes_update;      /* the peer wants new keys in the other direction too */
  bool ended;            /* its close_notify or end of file came */
  u8 *sealed;            /* what is sent next */
  u8 *bytes;             /* what came: [start, end) is not opened yet */
  size_t start, end;
  u8 spill[RECORD_SEALED]; /* a record's content that had no room: [spill_at, spill_end) */
  size_t spill_at, spill_end;
};

int s4v_stream_records_available(void) {
  struct libcrypto *lib = libcrypto_open();
  libcrypto_close(lib);
  return lib != NULL;
}

s4v_stream_records *s4v_stream_records_new(int fd, int suite, const uint8_t *out_secret, const uint8_t *in_secret,
                                           uint64_t rekey_after) {
  s4v_stream_records *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->fd = fd;
  r->plain = suite == S4V_STREAM_PLAIN;
  if (r->plain) return r;
  r->rekey_after = rekey_after ? rekey_after : REKEY_AFTER;
  r->lib = libcrypto_open();
  r->sealed = malloc((size_t)OUT_RECORDS * RECORD_OURS);
  r->bytes = malloc(IN_BYTES);
  if (r->lib && r->sealed && r->bytes && direction_open(&r->out, r->lib, suite, out_secret, true) &&
      direction_open(&r->in, r->lib, suite, in_secret, false))
    return r;
  s4v_stream_records_free(r);
  return NULL;
}

void s4v_stream_records_free(s4v_stream_records *r) {
  if (!r) return;
  if (r->out.lib) direction_close(&r->out);
  if (r->in.lib) direction_close(&r->in);
  libcrypto_close(r->lib);
  free(r->sealed);
  free(r->bytes);
  explicit_bzero(r->spill, sizeof r->spill);
  free(r);
}

int s4v_stream_records_errno(const s4v_stream_records *r) { return r->failure; }

u64 stream_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* -- out */

/* All of it; S4V_EBUSY: nothing could be sent for so many milliseconds. */
static int put(s4v_stream_records *r, const u8 *data, size_t bytes, int most_ms) {
  while (bytes) {
    ssize_t n = send(r->fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      data += n;
      bytes -= (size_t)n;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      r->failure = errno;
      return S4V_EFAULT;
    }
    struct pollfd p = {.fd = r->fd, .events = POLLOUT};
    u64 begun = stream_now_ns();
    int ready = poll(&p, 1, most_ms);
    r->blocked_ns += stream_now_ns() - begun;
    if (ready == 0) return S4V_EBUSY;
  }
  return 0;
}

/* New keys for what is sent from now on. */
static size_t seal_update(s4v_stream_records *r, u8 *out) {
  const u8 message[UPDATE_BYTES] = {HANDSHAKE_UPDATE, 0, 0, 1, 0};
  size_t n = record_seal(&r->out, CONTENT_HANDSHAKE, message, sizeof message, out);
  r->owes_update = false;
  return n && direction_update(&r->out) ? n : 0;
}

int s4v_stream_records_send(s4v_stream_records *r, const uint8_t *data, size_t bytes, int most_ms) {
  if (r->plain) return put(r, data, bytes, most_ms);
  while (bytes) {
    size_t used = 0;
    for (int i = 0; i < OUT_RECORDS && bytes; i++) {
      size_t piece = 0, n;
      if (r->owes_update || r->out.sequence >= r->rekey_after) n = seal_update(r, r->sealed + used);
      else {
        piece = bytes < RECORD_PLAIN ? bytes : RECORD_PLAIN;
        n = record_seal(&r->out, CONTENT_DATA, data, piece, r->sealed + used);
      }
      if (n == 0) return S4V_EINVAL;
      used += n;
      data += piece;
      bytes -= piece;
    }
    int rc = put(r, r->sealed, used, most_ms);
    if (rc) return rc;
  }
  return 0;
}

/* -- in */

/* Bytes behind the header of the record at `start`, 0: not all of it is here; S4V_EFORMAT: it is none. */
static int whole(const s4v_stream_records *r) {
  const u8 *at = r->bytes + r->start;
  size_t have = r->end - r->start;
  if (have < RECORD_HEADER) return 0;
  int sealed = at[3] << 8 | at[4];
  if (at[0] != CONTENT_DATA || at[1] != 3 || at[2] != 3 || sealed < RECORD_TAG + 1 || sealed > RECORD_SEALED)
    return S4V_EFORMAT;
  return have >= (size_t)(RECORD_HEADER + sealed) ? sealed : 0;
}

/* Read what is there; bytes, 0: nothing yet, or the end. */
static int64_t get(s4v_stream_records *r, u8 *out, size_t room) {
  for (;;) {
    ssize_t n = recv(r->fd, out, room, MSG_DONTWAIT);
    if (n > 0) return n;
    if (n == 0) {
      r->ended = true;
      return 0;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    r->failure = errno;
    return S4V_EFAULT;
  }
}

static int64_t fill(s4v_stream_records *r) {
  if (r->start) memmove(r->bytes, r->bytes + r->start, r->end - r->start);
  r->end -= r->start;
  r->start = 0;
  int64_t n = get(r, r->bytes + r->end, IN_BYTES - r->end);
  if (n > 0) r->end += (size_t)n;
  return n;
}

/* Until something comes, at most until `end`: false. */
static bool wait_for_input(s4v_stream_records *r, u64 end) {
  u64 begun = stream_now_ns();
  if (begun >= end) return false;
  struct pollfd p = {.fd = r->fd, .events = POLLIN};
  int ready = poll(&p, 1, (int)((end - begun) / 1000000 + 1));
  r->waited_ns += stream_now_ns() - begun;
  return ready > 0;
}

/* What is no data. */
static int take_other(s4v_stream_records *r, u8 type, const u8 *content, int bytes) {
  if (type == CONTENT_ALERT && bytes == 2 && content[1] == ALERT_CLOSE) {
    r->ended = true;
    return 0;
  }
  if (type != CONTENT_HANDSHAKE || bytes != UPDATE_BYTES || content[0] != HANDSHAKE_UPDATE || content[1] || content[2] ||
      content[3] != 1 || content[4] > 1)
    return S4V_EFORMAT;
  r->owes_update = r->owes_update || content[4] == 1;
  return direction_update(&r->in) ? 0 : S4V_EFORMAT;
}

/* Open the record at `start`, `sealed` bytes long behind its header: bytes put into `out`, or an error. */
static int64_t open_one(s4v_stream_records *r, int sealed, u8 *out, size_t room) {
  bool direct = room >= (size_t)sealed - RECORD_TAG;
  u8 type, *to = direct ? out : r->spill;
  int n = record_open(&r->in, r->bytes + r->start, (size_t)sealed, to, &type);
  r->start += (size_t)(RECORD_HEADER + sealed);
  if (n < 0 || n > RECORD_PLAIN || (n == 0 && type != CONTENT_DATA)) return S4V_EFORMAT;
  if (type != CONTENT_DATA || n == 0) {
    if (++r->empty > MOST_EMPTY) return S4V_EFORMAT;
    return n == 0 ? 0 : take_other(r, type, to, n);
  }
  r->empty = 0;
  if (direct) return n;
  size_t part = room < (size_t)n ? room : (size_t)n;
  memcpy(out, r->spill, part);
  r->spill_at = part;
  r->spill_end = (size_t)n;
  return (int64_t)part;
}

static size_t take_spill(s4v_stream_records *r, u8 *out, size_t room) {
  size_t n = r->spill_end - r->spill_at;
  if (n > room) n = room;
  memcpy(out, r->spill + r->spill_at, n);
  r->spill_at += n;
  return n;
}

int s4v_stream_records_pending(const s4v_stream_records *r) {
  return !r->plain && (r->spill_at < r->spill_end || whole(r) != 0);
}

/* What is there, by one look at the socket at most. */
static int64_t receive_now(s4v_stream_records *r, u8 *out, size_t room) {
  if (r->plain) return room ? get(r, out, room) : 0;
  size_t got = take_spill(r, out, room);
  while (got < room && !r->ended) {
    int sealed = whole(r);
    if (sealed < 0) return sealed;
    if (sealed == 0) {
      if (got) break;
      int64_t rc = fill(r);
      if (rc < 0) return rc;
      if (rc == 0) return 0;
      continue;
    }
    int64_t n = open_one(r, sealed, out + got, room - got);
    if (n < 0) return n;
    got += (size_t)n;
  }
  return (int64_t)got;
}

int64_t s4v_stream_records_receive(s4v_stream_records *r, uint8_t *out, size_t room, size_t least, int wait_ms) {
  size_t got = 0;
  u64 end = wait_ms ? stream_now_ns() + (u64)wait_ms * 1000000u : 0;
  if (least > room) least = room;
  for (;;) {
    int64_t n = r->ended && !s4v_stream_records_pending(r) ? 0 : receive_now(r, out + got, room - got);
    if (n < 0) return n;
    got += (size_t)n;
    if (got >= least && got) return (int64_t)got;
    if (r->ended) return (int64_t)got; /* 0: the peer has ended it */
    if (n == 0 && (wait_ms == 0 || !wait_for_input(r, end))) return got ? (int64_t)got : S4V_EBUSY;
  }
}

uint64_t s4v_stream_records_waited(const s4v_stream_records *r) { return r->waited_ns; }

uint64_t s4v_stream_records_blocked(const s4v_stream_records *r) { return r->blocked_ns; }
