/* pending.c - the set of pages that must be sent: a bit each, and a bit for each word that is not empty. */
#include "stream/stream.h"
#include "util/pages.h"

enum { BITS = STREAM_PENDING_BITS };

int pending_init(struct pending *p, u64 pages) {
  p->word_count = (pages + BITS - 1) / BITS;
  p->group_count = (p->word_count + BITS - 1) / BITS;
  p->words = pages_new(p->word_count * sizeof *p->words);
  p->groups = pages_new(p->group_count * sizeof *p->groups);
  return p->words && p->groups ? 0 : S4V_ENOMEM;
}

void pending_release(struct pending *p) {
  pages_free(p->words, p->word_count * sizeof *p->words);
  pages_free(p->groups, p->group_count * sizeof *p->groups);
}

/* Bits [from, to) of a word, 0 <= from < to <= 64. */
static u64 mask_of(u64 from, u64 to) { return (~(u64)0 >> (BITS - (to - from))) << from; }

u64 pending_add(struct pending *p, u64 from, u64 to) {
  u64 added = 0;
  while (from < to) {
    u64 w = from / BITS, end = (w + 1) * BITS < to ? (w + 1) * BITS : to;
    u64 mask = mask_of(from % BITS, end - w * BITS);
    added += (u64)__builtin_popcountll(mask & ~p->words[w]);
    p->words[w] |= mask;
    p->groups[w / BITS] |= (u64)1 << w % BITS;
    from = end;
  }
  p->count += added;
  return added;
}

/* First word from `w` on that is not empty, or word_count. */
static u64 word_next(const struct pending *p, u64 w) {
  if (w >= p->word_count) return p->word_count;
  u64 g = w / BITS, group = p->groups[g] & (~(u64)0 << w % BITS);
  while (group == 0) {
    if (++g == p->group_count) return p->word_count;
    group = p->groups[g];
  }
  return g * BITS + (u64)__builtin_ctzll(group);
}

/* First page from `at` on, or ~0. */
static u64 page_next(const struct pending *p, u64 at) {
  u64 w = at / BITS;
  if (w < p->word_count) {
    u64 rest = p->words[w] & (~(u64)0 << at % BITS);
    if (rest) return w * BITS + (u64)__builtin_ctzll(rest);
  }
  w = word_next(p, w + 1);
  return w == p->word_count ? ~(u64)0 : w * BITS + (u64)__builtin_ctzll(p->words[w]);
}

bool pending_has(const struct pending *p, u64 page) { return p->words[page / BITS] >> page % BITS & 1; }

u64 pending_run(const struct pending *p, u64 pages, u64 at, u64 *end) {
  u64 first = at < pages ? page_next(p, at) : ~(u64)0;
  if (first >= pages) return pages;
  for (*end = first; *end < pages && pending_has(p, *end); (*end)++) {}
  return first;
}

u64 pending_take(struct pending *p, u64 pages, u64 most, u64 *from) {
  if (p->count == 0 || most == 0) return 0;
  u64 first = page_next(p, p->cursor);
  if (first == ~(u64)0) first = page_next(p, 0);
  u64 end = first, limit = first + most < pages ? first + most : pages;
  while (end < limit && p->words[end / BITS] >> end % BITS & 1) {
    u64 w = end / BITS;
    p->words[w] &= ~((u64)1 << end % BITS);
    if (p->words[w] == 0) p->groups[w / BITS] &= ~((u64)1 << w % BITS);
    end++;
  }
  p->count -= end - first;
  p->cursor = end;
  *from = first;
  return end - first;
}

uint64_t s4v_stream_pending(s4v_stream *s) {
  pthread_mutex_lock(&s->lock);
  u64 count = s->pending.count;
  pthread_mutex_unlock(&s->lock);
  return count;
}
