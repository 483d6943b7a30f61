/* receive.c - payloads into memory. What comes was made by a peer: every number is checked before the first byte is written. */
#include "stream/stream.h"

struct applying {
  const s4v_stream_chunk *chunk;
  const u8 *bytes, *numbers, *zeros;
};

static u64 number_at(const u8 *numbers, u32 i) { return le64_load(numbers + (u64)i * 8); }

/* Ascending, without doubles, all of them in memory. */
static bool numbers_ok(const s4v_stream *s, const u8 *numbers, u32 count) {
  for (u32 i = 0; i < count; i++) {
    u64 number = number_at(numbers, i);
    if ((i && number_at(numbers, i - 1) >= number) || !image_find(s, number)) return false;
  }
  return true;
}

/* No page both with bytes and zero; both lists ascend. */
static bool disjoint(const struct applying *a) {
  for (u32 i = 0, k = 0; i < a->chunk->pages && k < a->chunk->zeros;) {
    u64 page = number_at(a->numbers, i), zero = number_at(a->zeros, k);
    if (page == zero) return false;
    if (page < zero) i++;
    else k++;
  }
  return true;
}

/* Pages from the i-th on that follow each other in one piece. */
static u32 run_length(const struct applying *a, const struct piece *p, u32 i) {
  u64 first = number_at(a->numbers, i), left = p->pages - (first - (p->ra >> PAGE_BITS));
  u32 n = 1;
  while (i + n < a->chunk->pages && n < left && number_at(a->numbers, i + n) == first + n) n++;
  return n;
}

static u64 index_of(const struct piece *p, u64 number) { return p->first + (number - (p->ra >> PAGE_BITS)); }

/* Write the run, read it back; the hashes are those of what memory has, and the digest at the next barrier compares them
 * with those of the source. */
static int apply_run(s4v_stream *s, const struct applying *a, u32 i, u32 *length, u8 *scratch) {
  u64 number = number_at(a->numbers, i);
  const struct piece *p = image_find(s, number);
  u32 n = run_length(a, p, i);
  u64 index = index_of(p, number);
  const u8 *bytes = a->bytes + (u64)i * PAGE_BYTES;
  if (!image_write(p, index, n, bytes)) return S4V_EFAULT;
  const u8 *back = p->memory ? p->memory + ((index - p->first) << PAGE_BITS) : scratch;
  if (!p->memory && !image_read(p, index, n, scratch)) return S4V_EFAULT;
  struct page_hash hashes[S4V_STREAM_CHUNK_PAGES];
  for (u32 k = 0; k < n; k++) {
    const u8 *page = back + (u64)k * PAGE_BYTES;
    hashes[k] = page_is_zero(page) ? (struct page_hash){0} : page_hash(s->key, page, number + k);
  }
  pthread_mutex_lock(&s->lock);
  for (u32 k = 0; k < n; k++) table_set(s, index + k, hashes[k]);
  pthread_mutex_unlock(&s->lock);
  *length = n;
  return 0;
}

static int apply_zero(s4v_stream *s, u64 number, u8 *scratch) {
  const struct piece *p = image_find(s, number);
  u64 index = index_of(p, number);
  if (!image_clear(p, index) || !image_read(p, index, 1, scratch) || !page_is_zero(scratch)) return S4V_EFAULT;
  pthread_mutex_lock(&s->lock);
  table_set(s, index, (struct page_hash){0});
  pthread_mutex_unlock(&s->lock);
  return 0;
}

int s4v_stream_apply(s4v_stream *s, const s4v_stream_chunk *chunk, const uint8_t *raw, uint8_t *scratch) {
  if (chunk->pages > S4V_STREAM_CHUNK_PAGES || chunk->zeros > S4V_STREAM_CHUNK_ZEROS) return S4V_EFORMAT;
  const u8 *numbers = raw + (u64)chunk->pages * PAGE_BYTES;
  struct applying a = {.chunk = chunk, .bytes = raw, .numbers = numbers, .zeros = numbers + chunk->pages * 8u};
  if (chunk->raw_bytes != (u32)chunk->pages * PAGE_BYTES + (u32)(chunk->pages + chunk->zeros) * 8 ||
      !numbers_ok(s, a.numbers, chunk->pages) || !numbers_ok(s, a.zeros, chunk->zeros) || !disjoint(&a) ||
      !presence_all_missing(s, a.numbers, chunk->pages) || !presence_all_missing(s, a.zeros, chunk->zeros))
    return S4V_EFORMAT;
  int rc = 0;
  u32 length = 0;
  for (u32 i = 0; i < chunk->pages && rc == 0; i += length) rc = apply_run(s, &a, i, &length, scratch);
  for (u32 i = 0; i < chunk->zeros && rc == 0; i++) rc = apply_zero(s, number_at(a.zeros, i), scratch);
  if (rc) return rc;
  presence_arrived(s, a.numbers, chunk->pages);
  presence_arrived(s, a.zeros, chunk->zeros);
  return 0;
}

static int wipe_extent(void *ctx, const struct piece *p, u64 from, u64 to) {
  (void)ctx;
  u8 page[PAGE_BYTES];
  for (u64 index = from; index < to; index++) { /* what is zero already stays: it may be there on purpose (page-in) */
    if (!image_read(p, index, 1, page)) return S4V_EFAULT;
    if (!page_is_zero(page) && !image_clear(p, index)) return S4V_EFAULT;
  }
  return 0;
}

int s4v_stream_wipe(s4v_stream *s) {
  int rc = 0;
  for (u32 i = 0; i < s->count && rc == 0; i++) {
    const struct piece *p = s->pieces + i;
    rc = image_populated(p, p->first, p->first + p->pages, wipe_extent, NULL);
  }
  return rc;
}
