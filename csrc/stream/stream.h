/* stream.h - the transfer core: pages of memory that other processes own, by their descriptors. It knows pages, not domains.
 *
 *   image     blocks as pieces, page index <-> page number <-> place in a memfd; reads and writes by pread and pwrite, so
 *             that a hole is never touched and a file that shrinks is an error and no SIGBUS. Only what a receiver has
 *             just written is read back through a mapping, of a file whose size is sealed
 *   marks     dirty maps of another process, mapped: harvest by exchange
 *   pending   one bit a page: what must be sent
 *   pagehash  keyed 128-bit hash; table of what was sent or received; their sum is the digest
 *   chunk     header, checksum;   send: memory -> payload;   receive: payload -> memory;   flow: many chunks a call
 *
 * Threads: pending, table and digest change under the lock; the bytes of a page are moved without it.
 */
#ifndef S4V_STREAM_STREAM_H
#define S4V_STREAM_STREAM_H
#include <pthread.h>
#include <stdatomic.h>

#include "sun4v.h"
#include "sun4v_stream.h"
#include "util/types.h"

enum {
  STREAM_PAGES_PER_REGION = 1 << (REGION_BITS - PAGE_BITS),
  STREAM_HASH_WORDS = PAGE_BYTES / 8,
  STREAM_KEY_WORDS = S4V_STREAM_KEY_BYTES / 8,
  STREAM_MAX_BLOCKS = 4096,
  STREAM_PENDING_BITS = 64,
};

struct page_hash { u64 lo, hi; }; /* both 0: a page of zeros */

struct piece {
  u64 ra, bytes;
  u64 first, pages;  /* page index of its first page */
  u64 memory_offset;
  int memory_fd;
  const u8 *memory;  /* a receiver's view, where the file cannot shrink: only what has been written is looked at */
  u8 *page_map;      /* of its first page */
  u8 *region_map;    /* of the region its first byte lies in */
  u64 region_skew;   /* pages of that region before its first page */
  void *mapped[2];   /* what to unmap: pages, regions; or the view of the memory */
  u64 mapped_bytes[2];
};

struct pending {
  u64 *words;  /* bit n of word w: page index 64 w + n must be sent */
  u64 *groups; /* bit n of word g: word 64 g + n is not 0 */
  u64 word_count, group_count;
  u64 count;   /* bits that are set */
  u64 cursor;  /* page index to go on at */
};

struct s4v_stream {
  pthread_mutex_t lock;
  u64 key[STREAM_KEY_WORDS];
  u64 pages;
  struct page_hash *table; /* by page index; sparse */
  u64 hashed;              /* entries that are not 0 */
  u128 digest;
  struct pending pending;
  struct presence_head *presence; /* of the machine that runs the guest; NULL: all pages come before it runs */
  u64 presence_bytes;
  bool serving;                   /* it runs */
  atomic_bool complete;           /* its memory was compared: nothing comes by `flow_in` any more */
  u32 count;
  struct piece pieces[];
};

static inline u64 piece_offset(const struct piece *p, u64 index) {
  return p->memory_offset + ((index - p->first) << PAGE_BITS);
}
static inline u64 piece_number(const struct piece *p, u64 index) { return (p->ra >> PAGE_BITS) + (index - p->first); }
static inline u128 hash_value(struct page_hash h) { return (u128)h.hi << 64 | h.lo; }

/* The piece of a page index below `pages`; the piece of a page number, or NULL. */
const struct piece *image_piece(const s4v_stream *, u64 index);
const struct piece *image_find(const s4v_stream *, u64 number);
/* Whole, or false. */
u64 image_index(const struct piece *, u64 number); /* of a page number in the piece */
void presence_release(s4v_stream *);
/* Pages whose bytes are in memory are here; `missing`: all of them still were (else nothing may be written to them). */
bool presence_all_missing(const s4v_stream *, const u8 *numbers, u32 count);
void presence_arrived(s4v_stream *, const u8 *numbers, u32 count);
bool image_read(const struct piece *, u64 index, u64 pages, u8 *out);
bool image_write(const struct piece *, u64 index, u64 pages, const u8 *bytes);
bool image_clear(const struct piece *, u64 index); /* a page of zeros, a hole where the host can make one */
/* Populated extents of [from, to) of a piece, in page indexes, ascending. 0, or S4V_EFAULT. */
typedef int (*image_extent)(void *ctx, const struct piece *, u64 from, u64 to);
int image_populated(const struct piece *, u64 from, u64 to, image_extent, void *ctx);

int pending_init(struct pending *, u64 pages);
void pending_release(struct pending *);
u64 pending_add(struct pending *, u64 from, u64 to); /* how many were not set before */
bool pending_has(const struct pending *, u64 page);
/* First run from `at` on, [result, *end); `pages`: there is none. Nothing is taken away. */
u64 pending_run(const struct pending *, u64 pages, u64 at, u64 *end);
/* The next run of at most `most` pages, from the cursor on and around; taken away. 0: none. */
u64 pending_take(struct pending *, u64 pages, u64 most, u64 *from);

struct page_hash page_hash(const u64 *key, const u8 *page, u64 number);
bool page_is_zero(const u8 *page);
/* Entry of a page set; digest and count follow. Under the lock. */
void table_set(s4v_stream *, u64 index, struct page_hash);

u64 stream_now_ns(void); /* of a clock that only goes on; records.c */
static inline u16 le16_load(const u8 *p) { u16 v; __builtin_memcpy(&v, p, 2); return v; }
static inline u32 le32_load(const u8 *p) { u32 v; __builtin_memcpy(&v, p, 4); return v; }
static inline u64 le64_load(const u8 *p) { u64 v; __builtin_memcpy(&v, p, 8); return v; }
static inline void le16_store(u8 *p, u16 v) { __builtin_memcpy(p, &v, 2); }
static inline void le32_store(u8 *p, u32 v) { __builtin_memcpy(p, &v, 4); }
static inline void le64_store(u8 *p, u64 v) { __builtin_memcpy(p, &v, 8); }
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the helpers above, and page_hash, take the host's order");

#endif
