/* mem.h - guest memory: memory blocks, the dirty map, and real address space of a domain.
 *
 *   physmem:  the server's memory. A sorted set of mblocks, each one memfd mapped at 2 MiB alignment (sparse),
 *             with its dirty map in a second memfd: one byte per 8 KiB page, one byte per 2 MiB region.
 *   ram:      a domain's real address space: segments RA -> PA over those blocks.
 *
 * Dirty rule (one for all writers): the bytes first, then the mark, `page = 1; region = 1`, without atomics. The
 * harvester clears with exchange, region before pages, then makes every writer cross a barrier (membarrier or
 * safepoint), and only then reads the pages. The engine has the soft-TLB form of it: it holds write permission for a
 * page only while the page is marked, and gives it back at the safepoint of a harvest.
 */
#ifndef S4V_MEM_MEM_H
#define S4V_MEM_MEM_H
#include "util/types.h"

/* Threads: lookups, copies, marks and harvests may run on any number of threads at once. Blocks, segments and the
 * code listener are changed only while no other thread is inside this layer (machine stopped, no harvest running). */

struct mblock {
  pa_t base;
  u64 bytes;      /* multiple of 8 KiB */
  u8 *host;       /* host address of base; 2 MiB aligned */
  u8 *marks;      /* the map memfd, mapped */
  u8 *page_map;   /* bytes >> PAGE_BITS dirty bytes, in the map memfd */
  u8 *region_map; /* one per 2 MiB, behind the pages in the same memfd */
  u8 *code_map;   /* bytes >> PAGE_BITS, process-private: 1 while decoded code of the page exists */
  int fd;         /* memfd of the memory */
  u64 offset;     /* of base in it: 0, but where the memfd came from another machine; a multiple of 2 MiB */
  int map_fd;     /* memfd of the marks, laid out for offset + bytes of memory (mblock_region_offset()) */
  u32 users;      /* spans of segments that lie over it */
};

enum { PAGES_PER_REGION = 1 << (REGION_BITS - PAGE_BITS) };

/* Layout of map_fd, for a reader in another process. */
static inline u64 mblock_pages(u64 bytes) { return bytes >> PAGE_BITS; }
static inline u64 mblock_regions(u64 bytes) {
  return (mblock_pages(bytes) + PAGES_PER_REGION - 1) / PAGES_PER_REGION;
}
static inline u64 mblock_region_offset(u64 bytes) { return (mblock_pages(bytes) + PAGE_BYTES - 1) & PAGE_MASK; }

struct physmem;
struct ram;

struct physmem *physmem_new(void);                                    /* NULL: out of memory */
void physmem_free(struct physmem *);                                  /* every ram over it is freed first */
/* Add a block; 0, or a negative errno: -EINVAL (alignment, overlap, empty, past 2^64), -ENOMEM (also: larger than
 * the host can map), -EMFILE/-ENFILE. `label` names the memfd. A block's address never moves. */
int physmem_add_block(struct physmem *, pa_t base, u64 bytes, const char *label);
int physmem_remove_block(struct physmem *, pa_t base);                /* -ENOENT; -EBUSY while a segment uses it */
const struct mblock *physmem_find(const struct physmem *, pa_t);      /* block holding pa, or NULL */
/* The bytes of a range are gone: holes without marks. Only where no segment lies; what no block holds is passed over.
 * Blocks that no segment uses any more are removed. */
void physmem_discard(struct physmem *, pa_t, u64 bytes);
size_t physmem_block_count(const struct physmem *);
/* A range of physical memory whose bytes are in another machine's memfd, at `offset`, from now on. */
struct physmem_loan {
  pa_t base;
  u64 bytes, offset;
  int fd; /* duplicated */
};
/* The blocks are these from now on, ascending by base, and cover what the old ones do; bytes and marks of the old ones are
 * gone, new marks are clear. -EINVAL: not that, or a descriptor that is no sealed memory of that size, or an offset that
 * is not of 2 MiB; -EBUSY: a range is mapped; -ENOMEM, -EMFILE. Then nothing has changed. `ram` is the only one over it. */
int physmem_exchange(struct physmem *, struct ram *, const struct physmem_loan *, size_t count);
/* This process has the memory no more: its addresses hold zeros of their own, whatever is written there. 0, -ENOMEM. */
int physmem_part(struct physmem *);
const struct mblock *physmem_block(const struct physmem *, size_t i);

struct ram *ram_new(struct physmem *);
void ram_free(struct ram *);
/* A segment may run over adjoining blocks. -EINVAL: alignment (8 KiB), RA overlap, PA not wholly in blocks; -ENOMEM. */
int ram_add_segment(struct ram *, ra_t ra, u64 bytes, pa_t pa);
int ram_remove_segment(struct ram *, ra_t ra);                        /* -ENOENT; -EBUSY while a range is mapped */
/* Takes any range away, out of the middle of a segment too. -EINVAL: alignment; -EFAULT: not all of it is backed;
 * -EBUSY while a part of it is mapped; -ENOMEM. Then nothing has changed. */
int ram_remove(struct ram *, ra_t ra, u64 bytes);
/* Makes one of neighbouring segments where real and physical addresses go on: pieces that were cut are whole again. */
void ram_join(struct ram *);
size_t ram_segment_count(const struct ram *);
int ram_segment(const struct ram *, size_t i, ra_t *ra, u64 *bytes, pa_t *pa); /* by ascending RA; -ENOENT */
/* The same in pieces that each lie in one block. */
int ram_piece(const struct ram *, size_t i, ra_t *ra, u64 *bytes, pa_t *pa);

/* One page's place, for the engine's TLB fill. */
struct ram_ref {
  u8 *host;    /* host address of the byte at ra */
  u64 bytes;   /* contiguous host bytes from there (to the end of segment or block) */
  u8 *page;    /* dirty byte of the page */
  u8 *region;  /* region byte */
  u8 *code;    /* code byte */
  pa_t pa;
};
bool ram_lookup(const struct ram *, ra_t, struct ram_ref *out);
/* The same for who does not touch bytes: it never waits for a page that is missing, and `bytes` is not cut short. */
bool ram_place(const struct ram *, ra_t, struct ram_ref *out);

/* Post-copy: the guest runs before all its memory is here (util/presence.h). While this is so, ram_lookup, ram_read,
 * ram_write, ram_zero and ram_map wait for pages that are missing, ram_lookup's `bytes` end with the page, and segments do
 * not change. Given up: what is missing is as if there were no memory. 0, -EBUSY, -ENOMEM. */
int presence_begin(struct ram *);
void presence_end(struct ram *); /* while nothing runs */
int presence_fd(const struct ram *);   /* -1: none */
int presence_bell(const struct ram *); /* eventfd: pages are asked for */
u64 presence_missing(const struct ram *);
struct page_waits {
  u64 count, half_ns, most_ns, longest_ns; /* s4v_waits */
};
struct page_waits presence_waits(const struct ram *); /* any thread; zeros where there is no presence */
void presence_give_up(struct ram *);   /* any thread */
bool ram_backed(const struct ram *, ra_t, u64 bytes);                 /* whole range backed (across segments too) */

/* The mark itself: call after the bytes are in. Plain stores on x86: the release order (bytes, page, region) is the
 * hardware's there, and asks only the compiler. The check may still run ahead of the bytes (store buffer): that is
 * what the harvester's barrier is for. */
static inline void ram_mark(u8 *page, u8 *region) {
  __atomic_thread_fence(__ATOMIC_RELEASE);
  if (__atomic_load_n(page, __ATOMIC_RELAXED) == 0) {
    __atomic_store_n(page, 1, __ATOMIC_RELEASE);
    __atomic_store_n(region, 1, __ATOMIC_RELEASE);
  }
}

/* The one function for every writer that is not the engine; after the bytes are in. Also reports the range to the
 * code listener (below) where it holds decoded code. Bytes that are not backed are passed over. A full fence stands
 * between the bytes and the look at code_map: a decoder that sets the code byte, fences and then reads the
 * instructions either sees the new bytes or is reported here. */
void ram_written(struct ram *, ra_t, u64 bytes);
void physmem_written(struct physmem *, pa_t, u64 bytes);              /* the same by physical address */
/* Copies; false if any byte is not backed (then nothing is written). ram_write marks. */
bool ram_read(const struct ram *, ra_t, void *buf, u64 bytes);
bool ram_write(struct ram *, ra_t, const void *buf, u64 bytes);
/* Zero fill. From 2 MiB up the memory is given back to the host, and what was a hole stays one and is not marked
 * (it does not change), so that a sparse terabyte is scrubbed in the time of its populated part. */
bool ram_zero(struct ram *, ra_t, u64 bytes);

/* Pointers for devices: contiguous, else NULL (also when out of memory, or bytes == 0). While mapped for write, a
 * range is pinned dirty: marked at once, and re-marked by each harvest, which therefore always reports it. Unmap
 * with the arguments of the map; it marks. */
u8 *ram_map(struct ram *, ra_t, u64 bytes, bool write);
void ram_unmap(struct ram *, ra_t, u64 bytes, bool write);

/* Called (with ctx) when bytes with decoded code are written through this layer. */
typedef void (*ram_code_listener)(void *ctx, pa_t, u64 bytes);
void physmem_set_code_listener(struct physmem *, ram_code_listener, void *ctx);

/* Harvest: clear the marks of [base, base+bytes), which lies in one block, page-aligned (else -EINVAL), and hand
 * ascending page extents to the sink. `barrier` is called once per batch (at most HARVEST_BATCH_PAGES pages) after
 * the clear and before the sink: membarrier, or a safepoint in which every strand has dropped its write permissions.
 * Without one (NULL) marks are lost unless no writer runs. A batch without marks calls neither.
 * Returns pages harvested or negative errno (-EINVAL, -ENOMEM: then no mark was cleared). */
enum { HARVEST_BATCH_PAGES = (64 << 20) >> PAGE_BITS, HARVEST_BATCH_EXTENTS = HARVEST_BATCH_PAGES / 2 };
typedef void (*harvest_sink)(void *ctx, pa_t first, u64 pages);
typedef void (*harvest_barrier)(void *ctx);
i64 physmem_harvest(struct physmem *, pa_t base, u64 bytes, harvest_barrier, harvest_sink, void *ctx);
void harvest_membarrier(void *ctx);        /* ready barrier: MEMBARRIER_CMD_PRIVATE_EXPEDITED */
/* What a harvester in another process cannot do after it has cleared marks: pinned ranges are marked again, and every writer
 * of this process but the strands crosses a barrier. Any thread. */
void physmem_barrier(struct physmem *);
int harvest_membarrier_register(void);     /* once per process; negative errno: use a safepoint instead */
/* Marked pages, marks untouched; 0 where the range is not in one block. */
u64 physmem_dirty_count(const struct physmem *, pa_t base, u64 bytes);
/* Populated extents of a range in one block (SEEK_DATA), rounded out to pages, ascending, never touching a hole. Returns
 * pages, or negative errno (-EINVAL: alignment, or not in one block). */
i64 physmem_populated(const struct physmem *, pa_t, u64 bytes, harvest_sink, void *ctx);

/* Big-endian accessors on host bytes, any alignment. */
static inline u16 be16_load(const void *p) { u16 v; __builtin_memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline u32 be32_load(const void *p) { u32 v; __builtin_memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline u64 be64_load(const void *p) { u64 v; __builtin_memcpy(&v, p, 8); return __builtin_bswap64(v); }
static inline void be16_store(void *p, u16 v) { v = __builtin_bswap16(v); __builtin_memcpy(p, &v, 2); }
static inline void be32_store(void *p, u32 v) { v = __builtin_bswap32(v); __builtin_memcpy(p, &v, 4); }
static inline void be64_store(void *p, u64 v) { v = __builtin_bswap64(v); __builtin_memcpy(p, &v, 8); }

#endif
