/* send.c - memory into payloads, and the audit of what was sent.
 *
 * A page is fetched once, into the payload; zero test, hash and all that follows look at that copy. Where it is written
 * meanwhile the copy is any mixture, but hash and bytes agree, and the page's mark sends it again.
 *
 * Payload: bytes of `pages` pages, their numbers, numbers of `zeros` pages.
 */
#include <string.h>

#include "stream/stream.h"

enum { LOOK_AT = 1024 }; /* pages in one call at most: silent ones cost time and make no payload */

struct taking {
  u64 index[S4V_STREAM_CHUNK_PAGES], zero_index[S4V_STREAM_CHUNK_ZEROS];
  u64 number[S4V_STREAM_CHUNK_PAGES], zero_number[S4V_STREAM_CHUNK_ZEROS];
  struct page_hash hash[S4V_STREAM_CHUNK_PAGES];
  u32 pages, zeros, looked;
  u32 most; /* pages with bytes */
  u64 next; /* page index behind the last */
};

/* A run of pending pages of one piece, ascending within a payload. 0: none. */
static u64 run_next(s4v_stream *s, const struct taking *t, u64 *from, const struct piece **piece) {
  pthread_mutex_lock(&s->lock);
  u64 run = pending_take(&s->pending, s->pages, t->most - t->pages, from);
  if (run && *from < t->next) { /* began anew: the next payload's */
    pending_add(&s->pending, *from, *from + run);
    s->pending.cursor = *from;
    run = 0;
  }
  if (run) {
    *piece = image_piece(s, *from);
    u64 end = (*piece)->first + (*piece)->pages;
    if (*from + run > end) {
      pending_add(&s->pending, end, *from + run);
      run = end - *from;
      s->pending.cursor = end;
    }
  }
  pthread_mutex_unlock(&s->lock);
  return run;
}

/* Keep of the page at `bytes` what the other side does not have. */
static void sort_page(const s4v_stream *s, struct taking *t, const struct piece *p, u64 index, u8 *raw, const u8 *bytes) {
  u64 number = piece_number(p, index);
  struct page_hash hash = {0};
  if (!page_is_zero(bytes)) hash = page_hash(s->key, bytes, number);
  if (!s->serving && hash_value(hash) == hash_value(s->table[index])) return; /* else somebody may wait for it */
  if (hash_value(hash) == 0) {
    t->zero_index[t->zeros] = index;
    t->zero_number[t->zeros++] = number;
    return;
  }
  u8 *place = raw + (u64)t->pages * PAGE_BYTES;
  if (place != bytes) memmove(place, bytes, PAGE_BYTES);
  t->index[t->pages] = index;
  t->hash[t->pages] = hash;
  t->number[t->pages++] = number;
}

static void settle(s4v_stream *s, const struct taking *t) {
  pthread_mutex_lock(&s->lock);
  for (u32 i = 0; i < t->pages; i++) table_set(s, t->index[i], t->hash[i]);
  for (u32 i = 0; i < t->zeros; i++) table_set(s, t->zero_index[i], (struct page_hash){0});
  pthread_mutex_unlock(&s->lock);
}

static int take(s4v_stream *s, u32 most, uint8_t *raw, s4v_stream_taken *out) {
  struct taking t;
  t.pages = t.zeros = t.looked = 0;
  t.most = most;
  t.next = 0;
  while (t.pages < most && t.zeros < most * (S4V_STREAM_CHUNK_ZEROS / S4V_STREAM_CHUNK_PAGES) && t.zeros + S4V_STREAM_CHUNK_PAGES <= S4V_STREAM_CHUNK_ZEROS &&
         t.looked < LOOK_AT) {
    u64 from;
    const struct piece *p;
    u64 run = run_next(s, &t, &from, &p);
    if (run == 0) break;
    u8 *bytes = raw + (u64)t.pages * PAGE_BYTES;
    if (!image_read(p, from, run, bytes)) return S4V_EFAULT;
    for (u64 i = 0; i < run; i++) sort_page(s, &t, p, from + i, raw, bytes + i * PAGE_BYTES);
    t.looked += (u32)run;
    t.next = from + run;
  }
  settle(s, &t);
  u8 *numbers = raw + (u64)t.pages * PAGE_BYTES;
  memcpy(numbers, t.number, t.pages * sizeof *t.number);
  memcpy(numbers + t.pages * sizeof *t.number, t.zero_number, t.zeros * sizeof *t.zero_number);
  *out = (s4v_stream_taken){
    .pages = t.pages, .zeros = t.zeros, .looked = t.looked,
    .raw_bytes = t.pages * PAGE_BYTES + (t.pages + t.zeros) * 8,
  };
  return 0;
}

int s4v_stream_take(s4v_stream *s, uint8_t *raw, s4v_stream_taken *out) { return take(s, S4V_STREAM_CHUNK_PAGES, raw, out); }

int s4v_stream_fetch(s4v_stream *s, const s4v_stream_chunk *as, uint8_t *header, uint8_t *raw, s4v_stream_taken *out) {
  int rc = take(s, S4V_STREAM_CHUNK_PAGES, raw, out);
  if (rc != 0 || out->raw_bytes == 0) return rc;
  s4v_stream_chunk c = *as;
  c.pages = (uint16_t)out->pages;
  c.zeros = (uint16_t)out->zeros;
  c.raw_bytes = c.wire_bytes = out->raw_bytes;
  s4v_stream_seal(header, &c, raw);
  return 0;
}

int s4v_stream_take_at(s4v_stream *s, uint64_t number, uint32_t most, uint8_t *raw, s4v_stream_taken *out) {
  const struct piece *p = image_find(s, number);
  *out = (s4v_stream_taken){0};
  if (!p || most == 0 || most > S4V_STREAM_CHUNK_PAGES) return S4V_EFORMAT;
  pthread_mutex_lock(&s->lock);
  bool there = pending_has(&s->pending, image_index(p, number));
  if (there) s->pending.cursor = image_index(p, number); /* what is pushed goes on from there as well: it is wanted next */
  pthread_mutex_unlock(&s->lock);
  return there ? take(s, most, raw, out) : 0;
}

int64_t s4v_stream_ranges(s4v_stream *s, uint64_t *at, uint64_t *ranges, uint32_t max) {
  u32 n = 0;
  pthread_mutex_lock(&s->lock);
  while (n < max) {
    u64 end, first = pending_run(&s->pending, s->pages, *at, &end);
    if (first == s->pages) {
      *at = s->pages;
      break;
    }
    const struct piece *p = image_piece(s, first);
    if (end > p->first + p->pages) end = p->first + p->pages;
    ranges[2 * n] = piece_number(p, first);
    ranges[2 * n + 1] = piece_number(p, end - 1) + 1;
    n++;
    *at = end;
  }
  pthread_mutex_unlock(&s->lock);
  return n;
}

/* What the table has for a page with these bytes. */
static struct page_hash hash_of(const s4v_stream *s, const struct piece *p, u64 index, const u8 *page) {
  return page_is_zero(page) ? (struct page_hash){0} : page_hash(s->key, page, piece_number(p, index));
}

static int look_extent(void *ctx, const struct piece *p, u64 from, u64 to) {
  s4v_stream *s = ctx;
  u8 bytes[8 * PAGE_BYTES];
  while (from < to) {
    u64 run = to - from < 8 ? to - from : 8;
    if (!image_read(p, from, run, bytes)) return S4V_EFAULT;
    for (u64 i = 0; i < run; i++) {
      table_set(s, from + i, hash_of(s, p, from + i, bytes + i * PAGE_BYTES));
    }
    from += run;
  }
  return 0;
}

int64_t s4v_stream_look(s4v_stream *s, uint64_t *at, uint64_t most) {
  u64 end = most < s->pages - *at ? *at + most : s->pages;
  if (*at == 0)
    for (u64 i = 0; s->hashed && i < s->pages; i++) table_set(s, i, (struct page_hash){0}); /* it was looked at before */
  while (*at < end) {
    const struct piece *p = image_piece(s, *at);
    u64 to = p->first + p->pages < end ? p->first + p->pages : end;
    int rc = image_populated(p, *at, to, look_extent, s);
    if (rc != 0) return rc;
    *at = to;
  }
  return (i64)s->hashed;
}

struct audit {
  s4v_stream *stream;
  u64 *examples;
  u32 max;
  u64 wrong, looked;
};

static int audit_extent(void *ctx, const struct piece *p, u64 from, u64 to) {
  struct audit *a = ctx;
  u8 bytes[8 * PAGE_BYTES];
  while (from < to) {
    u64 run = to - from < 8 ? to - from : 8;
    if (!image_read(p, from, run, bytes)) return S4V_EFAULT;
    for (u64 i = 0; i < run; i++) {
      struct page_hash hash = hash_of(a->stream, p, from + i, bytes + i * PAGE_BYTES);
      u128 sent = hash_value(a->stream->table[from + i]);
      a->looked += sent != 0;
      if (hash_value(hash) == sent) continue;
      if (a->wrong < a->max) a->examples[a->wrong] = piece_number(p, from + i);
      a->wrong++;
    }
    from += run;
  }
  return 0;
}

int64_t s4v_stream_audit(s4v_stream *s, uint64_t *at, uint64_t most, uint64_t *looked, uint64_t *examples, uint32_t max) {
  struct audit a = {.stream = s, .examples = examples, .max = max, .looked = *looked};
  u64 end = most < s->pages - *at ? *at + most : s->pages;
  while (*at < end) {
    const struct piece *p = image_piece(s, *at);
    u64 to = p->first + p->pages < end ? p->first + p->pages : end;
    int rc = image_populated(p, *at, to, audit_extent, &a);
    if (rc != 0) return rc;
    *at = to;
  }
  if (*at == s->pages && s->hashed > a.looked) a.wrong += s->hashed - a.looked; /* had bytes, and is a hole now */
  *looked = a.looked;
  return (i64)a.wrong;
}
