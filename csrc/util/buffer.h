/* buffer.h - writing and reading state files: little-endian fields in a bounded run of bytes.
 *
 * The first access that does not fit sets `failed` and does nothing; all later ones do nothing either, so that a
 * caller checks once, at the end. A failed read gives 0 (or zeroed bytes). No host byte order, no alignment, no
 * lengths that could wrap.
 *
 * A writer over NULL (writer_counting) stores nothing and only counts: run the save code once to learn its size.
 */
#ifndef S4V_UTIL_BUFFER_H
#define S4V_UTIL_BUFFER_H
#include <string.h>

#include "util/types.h"

struct writer {
  u8 *data;     /* NULL: count only */
  size_t room;  /* bytes that data holds */
  size_t used;
  bool failed;
};

struct reader {
  const u8 *data;
  size_t bytes;
  size_t used;
  bool failed;
};

static inline struct writer writer_over(void *data, size_t room) { return (struct writer){.data = data, .room = room}; }
static inline struct writer writer_counting(void) { return (struct writer){.room = SIZE_MAX}; }
static inline struct reader reader_over(const void *data, size_t bytes) {
  return (struct reader){.data = data, .bytes = bytes};
}

/* The next n bytes to be filled in by the caller, or NULL: none (failed, or counting). */
static inline u8 *writer_take(struct writer *w, size_t n) {
  if (w->failed || n > w->room - w->used) {
    w->failed = true;
    return NULL;
  }
  u8 *p = w->data ? w->data + w->used : NULL;
  w->used += n;
  return p;
}

/* The next n bytes where they lie, or NULL: they are not there. */
static inline const u8 *reader_take(struct reader *r, size_t n) {
  if (r->failed || n > r->bytes - r->used) {
    r->failed = true;
    return NULL;
  }
  const u8 *p = r->data + r->used;
  r->used += n;
  return p;
}

static inline size_t reader_left(const struct reader *r) { return r->failed ? 0 : r->bytes - r->used; }
/* Everything was there, and nothing is left over. */
static inline bool reader_done(const struct reader *r) { return !r->failed && r->used == r->bytes; }

static inline void put_bytes(struct writer *w, const void *data, size_t n) {
  u8 *p = writer_take(w, n);
  if (p && n) memcpy(p, data, n);
}

static inline void get_bytes(struct reader *r, void *out, size_t n) {
  const u8 *p = reader_take(r, n);
  if (n == 0) return;
  if (p)
    memcpy(out, p, n);
  else
    memset(out, 0, n);
}

/* The low n bytes of a value, least significant first; n is 1 to 8. */
static inline void put_low(struct writer *w, u64 v, size_t n) {
  u8 *p = writer_take(w, n);
  for (size_t i = 0; p && i < n; i++) p[i] = (u8)(v >> (8 * i));
}

static inline u64 get_low(struct reader *r, size_t n) {
  const u8 *p = reader_take(r, n);
  u64 v = 0;
  for (size_t i = 0; p && i < n; i++) v |= (u64)p[i] << (8 * i);
  return v;
}

static inline void put_u8(struct writer *w, u8 v) { put_low(w, v, 1); }
static inline void put_u16(struct writer *w, u16 v) { put_low(w, v, 2); }
static inline void put_u32(struct writer *w, u32 v) { put_low(w, v, 4); }
static inline void put_u64(struct writer *w, u64 v) { put_low(w, v, 8); }
static inline u8 get_u8(struct reader *r) { return (u8)get_low(r, 1); }
static inline u16 get_u16(struct reader *r) { return (u16)get_low(r, 2); }
static inline u32 get_u32(struct reader *r) { return (u32)get_low(r, 4); }
static inline u64 get_u64(struct reader *r) { return get_low(r, 8); }

#endif
