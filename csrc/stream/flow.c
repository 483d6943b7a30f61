/* flow.c - what a channel does nearly all the time, many chunks a call: pending pages fetched, sealed and sent, one chunk after the
 * other; chunks received, checked, put into memory and acknowledged. Whatever is anything else goes back to the caller as it
 * is, who knows what to do about it (emulator/stream/outgoing.py, incoming.py): another type, a chunk that is compressed, damaged,
 * out of order or of another round, the end of the link.
 */
#include <string.h>

#include "stream/stream.h"

enum { TYPE_DATA = 1, TYPE_ACK = 16, SEND_MS = 15000 };

_Static_assert(sizeof((s4v_stream_outflow *)0)->bytes == S4V_STREAM_FLOW_CHUNKS * sizeof(uint32_t), "the header says 8");
_Static_assert(S4V_STREAM_FLOW_BYTES == S4V_STREAM_RAW_BYTES + 2 * S4V_STREAM_HEADER_BYTES, "a chunk and a header");

static int link_error(int rc) {
  if (rc == S4V_EBUSY) return S4V_STREAM_FLOW_SILENT;
  return rc == S4V_EFAULT ? S4V_STREAM_FLOW_LINK : S4V_STREAM_FLOW_RECORD;
}

/* -- out */

/* The next payload with its header, passing over pages that are as they were sent; none where nothing is pending. */
static int fetch_one(s4v_stream *s, const s4v_stream_chunk *as, u8 *header, s4v_stream_outflow *f) {
  s4v_stream_taken taken;
  do {
    int rc = s4v_stream_fetch(s, as, header, header + S4V_STREAM_HEADER_BYTES, &taken);
    if (rc) return rc;
    f->looked += taken.looked;
  } while (taken.looked && taken.raw_bytes == 0);
  if (taken.raw_bytes == 0) return 0;
  f->pages += taken.pages + taken.zeros;
  f->raw_bytes += taken.raw_bytes;
  f->bytes[f->fetched] = S4V_STREAM_HEADER_BYTES + taken.raw_bytes;
  f->fetched++;
  return 0;
}

int s4v_stream_flow_out(s4v_stream *s, s4v_stream_records *r, const s4v_stream_chunk *as, uint64_t most_ns,
                        s4v_stream_outflow *f) {
  s4v_stream_chunk c = *as;
  u64 begun = stream_now_ns(), blocked = s4v_stream_records_blocked(r);
  int rc = 0;
  f->fetched = f->sent = 0;
  f->pages = f->raw_bytes = f->looked = 0;
  while (f->fetched < f->count && f->fetched < S4V_STREAM_FLOW_CHUNKS) {
    u8 *header = f->header[f->fetched];
    rc = fetch_one(s, &c, header, f) ? S4V_STREAM_FLOW_MEMORY : 0;
    if (rc || f->fetched == f->sent) break;
    rc = s4v_stream_records_send(r, header, f->bytes[f->sent], SEND_MS);
    if (rc) {
      rc = link_error(rc);
      break;
    }
    f->sent++;
    c.sequence++;
    if (stream_now_ns() - begun >= most_ns) break;
  }
  f->blocked_ns = s4v_stream_records_blocked(r) - blocked;
  return rc;
}

/* -- in */

static int acknowledge(s4v_stream_records *r, s4v_stream_inflow *f) {
  u8 header[S4V_STREAM_HEADER_BYTES];
  s4v_stream_chunk c = {
    .type = TYPE_ACK, .major = f->major, .minor = f->minor, .mid = f->mid, .channel = f->channel, .sequence = f->applied,
    .argument = f->idle_ns + s4v_stream_records_waited(r),
  };
  s4v_stream_seal(header, &c, header);
  f->unanswered = 0;
  int rc = s4v_stream_records_send(r, header, sizeof header, SEND_MS);
  return rc ? link_error(rc) : 0;
}

/* Bytes from `start` on that are wanted before anything can be done: a header, or a chunk of ours. 0: a chunk is not for us. */
static u64 wanted(const s4v_stream_inflow *f, s4v_stream_chunk *c) {
  const u8 *at = f->bytes + f->start;
  if (f->end - f->start < S4V_STREAM_HEADER_BYTES) return S4V_STREAM_HEADER_BYTES;
  if (s4v_stream_parse(at, c) != 0) return 0;
  if (c->type != TYPE_DATA || c->algorithm || c->mid != f->mid || c->channel != f->channel || c->round != f->round ||
      c->sequence != f->applied + 1 || c->wire_bytes > S4V_STREAM_RAW_BYTES)
    return 0;
  return S4V_STREAM_HEADER_BYTES + (u64)c->wire_bytes;
}

/* At least the bytes up to `need` behind `start`, and no more than the next header with them: what is put into memory is still in
 * the cache. S4V_EBUSY: not yet. */
static int more(s4v_stream_records *r, s4v_stream_inflow *f, u64 need, int wait_ms) {
  u64 have = f->end - f->start, room = need + S4V_STREAM_HEADER_BYTES - have;
  if (f->start) memmove(f->bytes, f->bytes + f->start, have); /* a header at most, nearly always */
  f->start = 0;
  f->end = have;
  int64_t n = s4v_stream_records_receive(r, f->bytes + have, room, need - have, wait_ms);
  if (n == S4V_EBUSY) return S4V_EBUSY;
  if (n == 0) return S4V_STREAM_FLOW_OTHER; /* the end: whoever reads next is told again */
  if (n < 0) return link_error((int)n);
  f->end += (u64)n;
  return 0;
}

/* Receive for a while; what has come is acknowledged once nothing more does. */
static int listen_for(s4v_stream_records *r, s4v_stream_inflow *f, u64 need) {
  int rc = more(r, f, need, f->unanswered ? f->soon_ms : f->wait_ms);
  if (rc != S4V_EBUSY || f->unanswered == 0) return rc;
  rc = acknowledge(r, f);
  return rc ? rc : more(r, f, need, f->wait_ms);
}

int s4v_stream_flow_in(s4v_stream *s, s4v_stream_records *r, uint64_t most_ns, s4v_stream_inflow *f,
                       uint8_t *scratch) {
  f->taken = f->pages = 0;
  f->wire_bytes = 0;
  u64 begun = stream_now_ns();
  if (f->start > f->end || f->end > f->capacity || f->capacity < S4V_STREAM_FLOW_BYTES) return S4V_EINVAL;
  do {
    s4v_stream_chunk c;
    u64 need = wanted(f, &c), have = f->end - f->start;
    if (need == 0 || atomic_load(&s->complete)) return S4V_STREAM_FLOW_OTHER;
    if (have < need) {
      int rc = listen_for(r, f, need);
      if (rc == S4V_EBUSY) return 0;
      if (rc) return rc;
      continue;
    }
    const u8 *payload = f->bytes + f->start + S4V_STREAM_HEADER_BYTES;
    if (s4v_stream_intact(&c, payload) != 0 || s4v_stream_apply(s, &c, payload, scratch) != 0) return S4V_STREAM_FLOW_OTHER;
    f->start += need;
    f->applied = c.sequence;
    f->taken++;
    f->pages += c.pages + c.zeros;
    f->wire_bytes += c.wire_bytes;
    if (++f->unanswered >= f->answer_every) {
      int rc = acknowledge(r, f);
      if (rc) return rc;
    }
  } while (stream_now_ns() - begun < most_ns);
  return 0;
}

void s4v_stream_complete(s4v_stream *s) { atomic_store(&s->complete, true); }
