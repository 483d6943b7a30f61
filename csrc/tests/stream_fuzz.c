/* stream_fuzz.c SEED COUNT: what a hostile peer can send to the transfer core. Prints "ok N applied".
 *
 * Headers: random, and valid ones with bits changed and the checksum made right again. Payloads: random, and valid ones with
 * numbers of pages changed. After each the memory beside the blocks must be what it was, and the digest the sum of the hashes of
 * what memory has. Records of TLS: made with the right keys, of every type and length, some damaged, cut or out of order; what is
 * received must begin what was sent. Without a libcrypto there are none. Flows: chunks as they should be, and others, cut
 * anywhere, through a socket into memory; what comes out of order, damaged or of another sort must be left where it is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "stream/aead.h"

enum { BLOCKS = 3, FILE_PAGES = 96, AUDIT_EVERY = 4096 };
static const u64 FIRST[BLOCKS] = {8, 40, 44};   /* page of the file; in between nothing may be written */
static const u64 PAGES[BLOCKS] = {20, 4, 30};
static const u64 NUMBER[BLOCKS] = {0, 512, 516}; /* ra / 8 KiB */

struct fuzz {
  unsigned long long random;
  int fd;
  s4v_stream *stream;
  u8 key[S4V_STREAM_KEY_BYTES];
  u8 raw[S4V_STREAM_RAW_BYTES], scratch[S4V_STREAM_RAW_BYTES];
  unsigned long long applied, talks; /* payloads put into memory; conversations that came whole */
  unsigned long long flows; /* chunks that flowed into memory */
};

static u64 below(struct fuzz *f, u64 n) { return random_next(&f->random) % n; }

static void fuzz_open(struct fuzz *f) {
  f->fd = memfd_create("stream-fuzz", MFD_CLOEXEC);
  CHECK(f->fd >= 0 && ftruncate(f->fd, FILE_PAGES * PAGE_BYTES) == 0);
  for (size_t i = 0; i < sizeof f->key; i++) f->key[i] = (u8)random_next(&f->random);
  s4v_stream_block blocks[BLOCKS];
  memset(blocks, 0, sizeof blocks);
  for (int i = 0; i < BLOCKS; i++) {
    blocks[i].ra = NUMBER[i] * PAGE_BYTES;
    blocks[i].bytes = PAGES[i] * PAGE_BYTES;
    blocks[i].memory_offset = FIRST[i] * PAGE_BYTES;
    blocks[i].memory_fd = f->fd;
    blocks[i].map_fd = -1;
  }
  char error[200];
  f->stream = s4v_stream_new(blocks, BLOCKS, f->key, 0, error, sizeof error);
  CHECK(f->stream != NULL);
}

static u64 some_number(struct fuzz *f) {
  switch (below(f, 8)) {
    case 0: return random_next(&f->random);
    case 1: return ~(u64)0 >> below(f, 20);
    case 2: return NUMBER[below(f, BLOCKS)] + PAGES[below(f, BLOCKS)];
    default: {
      u64 b = below(f, BLOCKS);
      return NUMBER[b] + below(f, PAGES[b]);
    }
  }
}

/* Ascending numbers, mostly of memory that is there, sometimes spoilt. */
static void make_numbers(struct fuzz *f, u8 *out, u32 count) {
  u64 next = below(f, 30);
  for (u32 i = 0; i < count; i++) {
    le64_store(out + i * 8, next);
    next += 1 + (below(f, 4) == 0 ? below(f, 3) : 0);
    if (next >= 20 && next < 512) next = 512;
  }
  if (count && below(f, 3) == 0) le64_store(out + below(f, count) * 8, some_number(f));
}

static void one_payload(struct fuzz *f) {
  s4v_stream_chunk c = {.type = 1, .major = 1};
  c.pages = (u16)below(f, below(f, 4) ? 6 : 40);
  c.zeros = (u16)below(f, below(f, 4) ? 6 : 600);
  c.raw_bytes = (u32)c.pages * PAGE_BYTES + (u32)(c.pages + c.zeros) * 8;
  if (below(f, 20) == 0) c.raw_bytes = (u32)random_next(&f->random);
  if (c.pages > S4V_STREAM_CHUNK_PAGES || c.zeros > S4V_STREAM_CHUNK_ZEROS) { /* parse lets none of these through */
    CHECK(s4v_stream_apply(f->stream, &c, f->raw, f->scratch) == S4V_EFORMAT);
    return;
  }
  for (u32 i = 0; i < c.pages; i++) le64_store(f->raw + i * PAGE_BYTES + below(f, 1024) * 8, random_next(&f->random));
  u8 *numbers = f->raw + (u64)c.pages * PAGE_BYTES;
  make_numbers(f, numbers, c.pages);
  make_numbers(f, numbers + c.pages * 8u, c.zeros);
  f->applied += s4v_stream_apply(f->stream, &c, f->raw, f->scratch) == 0;
}

static void one_header(struct fuzz *f) {
  u8 header[S4V_STREAM_HEADER_BYTES];
  s4v_stream_chunk c = {.type = (u8)below(f, 40), .algorithm = (u8)below(f, 5), .pages = (u16)below(f, 34), .crc = 0};
  c.zeros = (u16)below(f, 520);
  c.raw_bytes = (u32)c.pages * PAGE_BYTES + (u32)(c.pages + c.zeros) * 8;
  c.wire_bytes = (u32)below(f, 4000);
  s4v_stream_seal(header, &c, f->raw);
  u64 changes = below(f, 4);
  for (u64 i = 0; i < changes; i++) header[below(f, 60)] ^= (u8)(1u << below(f, 8));
  if (below(f, 8)) le32_store(header + 60, s4v_stream_crc32c(header, 60));
  if (below(f, 50) == 0)
    for (size_t i = 0; i < sizeof header; i++) header[i] = (u8)random_next(&f->random);
  s4v_stream_chunk out;
  if (s4v_stream_parse(header, &out) != 0) return;
  CHECK(out.wire_bytes <= S4V_STREAM_MAX_BYTES);
  if (out.type != 1) return;
  CHECK(out.raw_bytes <= S4V_STREAM_RAW_BYTES && out.wire_bytes <= out.raw_bytes);
  CHECK(out.pages <= S4V_STREAM_CHUNK_PAGES && out.zeros <= S4V_STREAM_CHUNK_ZEROS);
  (void)s4v_stream_intact(&out, f->raw);
}

/* -- records */

enum { WIRE = 1 << 18, RECORD_EVERY = 64 };
struct talk {
  struct direction peer;
  u8 wire[WIRE], sent[WIRE], got[WIRE];
  size_t wire_bytes, sent_bytes;
  bool spoilt; /* from here on nothing has to arrive */
};

static void one_record(struct fuzz *f, struct talk *t) {
  static const u8 KINDS[] = {CONTENT_CHANGE, CONTENT_ALERT, CONTENT_HANDSHAKE, 0, 255};
  static u8 data[RECORD_SEALED];
  u64 size = below(f, 3) ? below(f, 300) : below(f, RECORD_PLAIN + 1);
  u8 type = CONTENT_DATA, *out = t->wire + t->wire_bytes;
  if (t->wire_bytes + RECORD_OURS + 64 > WIRE) return;
  for (u64 i = 0; i < size; i++) data[i] = (u8)random_next(&f->random);
  if (below(f, 4) == 0) {
    type = KINDS[below(f, ARRAY_LEN(KINDS))];
    if (below(f, 2)) memcpy(data, (u8[]){24, 0, 0, 1, (u8)below(f, 3)}, size = 5);
    else size = below(f, 8);
  }
  u64 last = size;
  while (last && data[last - 1] == 0) last--;
  if (type == 0 && last && data[last - 1] == CONTENT_DATA) type = 255; /* 0 is padding, and what is before it the type */
  bool update = type == CONTENT_HANDSHAKE && size == 5 && data[0] == 24 && data[4] < 2;
  size_t n = record_seal(&t->peer, type, data, size, out);
  CHECK(n == RECORD_HEADER + size + 1 + RECORD_TAG);
  if (update) CHECK(direction_update(&t->peer));
  if (below(f, 12) == 0) {
    out[below(f, n)] ^= (u8)(1u << below(f, 8));
    t->spoilt = true;
  }
  if (below(f, 40) == 0) {
    n = below(f, n);
    t->spoilt = true;
  }
  t->spoilt = t->spoilt || (type != CONTENT_DATA && !update);
  t->wire_bytes += n;
  if (t->spoilt || type != CONTENT_DATA) return;
  memcpy(t->sent + t->sent_bytes, data, size);
  t->sent_bytes += size;
}

/* What arrives begins what was sent; without a fault it is all of it. */
static void one_talk(struct fuzz *f, struct libcrypto *lib) {
  static struct talk t;
  int ends[2], suite = 1 + (int)below(f, 3), size = WIRE * 2;
  t.wire_bytes = t.sent_bytes = 0;
  t.spoilt = false;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
  s4v_stream_records *r = s4v_stream_records_new(ends[1], suite, f->key + 64, f->key, 0);
  CHECK(r && direction_open(&t.peer, lib, suite, f->key, true));
  for (u64 i = below(f, 50); i; i--) one_record(f, &t);
  CHECK(send(ends[0], t.wire, t.wire_bytes, 0) == (ssize_t)t.wire_bytes);
  CHECK(shutdown(ends[0], SHUT_WR) == 0);
  size_t got = 0;
  int64_t n = 1;
  while (n > 0) {
    size_t room = below(f, 2) ? sizeof t.got - got : 1 + below(f, 20000);
    if (room > sizeof t.got - got) room = sizeof t.got - got;
    n = s4v_stream_records_receive(r, t.got + got, room, below(f, 2) ? 0 : below(f, 30000), below(f, 2) ? 0 : 10);
    if (n > 0) got += (size_t)n;
  }
  CHECK(got <= t.sent_bytes && memcmp(t.got, t.sent, got) == 0);
  CHECK(t.spoilt || (n == 0 && got == t.sent_bytes));
  f->talks += t.spoilt ? 0 : 1;
  s4v_stream_records_free(r);
  direction_close(&t.peer);
  close(ends[0]);
  close(ends[1]);
}

/* -- flows */

enum { FLOW_WIRE = 1 << 19, FLOW_EVERY = 64, FLOW_MOST = 12 };
struct flow {
  u8 wire[FLOW_WIRE], inbox[S4V_STREAM_FLOW_BYTES + 4096];
  size_t bytes;
  u32 good;    /* chunks that must be taken */
  bool spoilt; /* the next ones must not */
};

/* One more chunk; a payload that is not for this memory, a header of another sort, or damage ends what must be taken. */
static void flow_chunk(struct fuzz *f, struct flow *w, u64 sequence) {
  static u8 raw[S4V_STREAM_RAW_BYTES];
  s4v_stream_chunk c = {.type = 1, .major = 1, .mid = 7, .channel = 3, .round = 2, .sequence = sequence};
  c.pages = (u16)below(f, 4);
  c.zeros = (u16)(below(f, 3) + (c.pages == 0));
  c.raw_bytes = c.wire_bytes = (u32)c.pages * PAGE_BYTES + (u32)(c.pages + c.zeros) * 8;
  memset(raw, (int)below(f, 256), (size_t)c.pages * PAGE_BYTES);
  for (u32 i = 0; i < c.pages + c.zeros; i++)  /* the zero pages behind the others, in the first block */
    le64_store(raw + (u64)c.pages * PAGE_BYTES + i * 8u, i);
  bool bad = true;
  switch (below(f, 24)) {
    case 0:
      c.type = (u8)(2 + below(f, 40));
      c.pages = c.zeros = 0;
      if (below(f, 2)) c.raw_bytes = c.wire_bytes = 0;
      break;
    case 1: c.sequence += 1 + below(f, 3); break;
    case 2: c.round++; break;
    case 3: c.channel++; break;
    case 4: c.mid ^= 1; break;
    case 5: le64_store(raw + c.raw_bytes - 8, some_number(f) | (u64)1 << 40); break;
    case 6: c.algorithm = 1; c.wire_bytes -= 1; break;
    default: bad = false;
  }
  u8 *at = w->wire + w->bytes;
  u64 size = S4V_STREAM_HEADER_BYTES + (u64)c.wire_bytes;
  s4v_stream_seal(at, &c, raw);
  memcpy(at + S4V_STREAM_HEADER_BYTES, raw, c.wire_bytes);
  if (below(f, 16) == 0) {
    at[below(f, size)] ^= (u8)(1u << below(f, 8));
    bad = true;
  }
  w->bytes += size;
  w->spoilt = w->spoilt || bad;
  w->good += !w->spoilt;
}

/* Acknowledgements are whole, ascend and say no more than was taken. */
static void check_answers(int fd, u64 first, u64 applied) {
  u8 header[S4V_STREAM_HEADER_BYTES];
  s4v_stream_chunk c;
  ssize_t n;
  while ((n = recv(fd, header, sizeof header, MSG_DONTWAIT)) > 0) {
    CHECK(n == (ssize_t)sizeof header && s4v_stream_parse(header, &c) == 0);
    CHECK(c.type == 16 && c.mid == 7 && c.channel == 3 && c.sequence >= first && c.sequence <= applied);
    first = c.sequence;
  }
}

static void one_flow_in(struct fuzz *f) {
  static struct flow w;
  int ends[2], size = FLOW_WIRE * 2, rc = 0;
  u64 first = below(f, 1000), count = below(f, FLOW_MOST);
  w.bytes = w.good = 0;
  w.spoilt = false;
  for (u64 i = 0; i < count; i++) flow_chunk(f, &w, first + i + 1);
  u64 cut = below(f, 3) ? w.bytes : below(f, w.bytes + 1);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
  s4v_stream_records *r = s4v_stream_records_new(ends[1], S4V_STREAM_PLAIN, NULL, NULL, 0);
  CHECK(r && send(ends[0], w.wire, cut, 0) == (ssize_t)cut && shutdown(ends[0], SHUT_WR) == 0);
  s4v_stream_inflow in = {
    .bytes = w.inbox, .capacity = sizeof w.inbox, .mid = 7, .applied = first, .round = 2, .channel = 3,
    .answer_every = 1 + (u32)below(f, 5), .soon_ms = 1, .wait_ms = 1, .major = 1, .minor = 1,
  };
  while (rc == 0) {
    rc = s4v_stream_flow_in(f->stream, r, below(f, 2) ? 0 : 1000000000, &in, f->scratch);
    CHECK(in.start <= in.end && in.end <= in.capacity && in.applied - first <= w.good);
  }
  CHECK(rc == S4V_STREAM_FLOW_OTHER);
  u64 at = 0; /* what is left begins where the last chunk that was taken ends */
  for (u64 i = first; i < in.applied; i++) at += S4V_STREAM_HEADER_BYTES + le32_load(w.wire + at + 40);
  CHECK(at + (in.end - in.start) <= cut && memcmp(w.wire + at, w.inbox + in.start, in.end - in.start) == 0);
  CHECK(cut < w.bytes || in.applied - first == w.good);
  check_answers(ends[0], first, in.applied);
  f->flows += in.applied - first;
  s4v_stream_records_free(r);
  close(ends[0]);
  close(ends[1]);
}

static bool in_block(u64 page) {
  for (int i = 0; i < BLOCKS; i++)
    if (page >= FIRST[i] && page < FIRST[i] + PAGES[i]) return true;
  return false;
}

static void check_memory(struct fuzz *f) {
  u8 page[PAGE_BYTES];
  for (u64 i = 0; i < FILE_PAGES; i++) {
    if (in_block(i)) continue;
    CHECK(pread(f->fd, page, sizeof page, (off_t)(i * PAGE_BYTES)) == PAGE_BYTES);
    CHECK(page_is_zero(page));
  }
  u64 at = 0, looked = 0, examples[4];
  while (at < s4v_stream_pages(f->stream)) CHECK(s4v_stream_audit(f->stream, &at, 7, &looked, examples, 4) == 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  static struct fuzz f;
  f.random = strtoull(argv[1], NULL, 10);
  unsigned long long count = strtoull(argv[2], NULL, 10);
  fuzz_open(&f);
  dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL); /* as Python has it */
  struct libcrypto *lib = libcrypto_open();
  for (unsigned long long i = 0; i < count; i++) {
    if (below(&f, 2)) one_payload(&f);
    else one_header(&f);
    if (i % AUDIT_EVERY == 0) check_memory(&f);
    if (i % RECORD_EVERY == 0 && lib) one_talk(&f, lib);
    if (i % FLOW_EVERY == 1) one_flow_in(&f);
  }
  check_memory(&f);
  s4v_stream_free(f.stream);
  close(f.fd);
  CHECK(f.flows * FLOW_EVERY * 2 >= count);
  CHECK(!lib || f.talks * RECORD_EVERY * 50 >= count); /* some went well */
  libcrypto_close(lib);
  printf("ok %llu applied\n", f.applied);
  return 0;
}
