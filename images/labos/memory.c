/* memory.c - the domain's memory: chunks of 4 MiB, and a buddy allocator that splits them.
 *
 *   range   addresses the machine description calls memory, cut to whole chunks; holes between ranges cost nothing
 *   chunk   4 MiB; taken when the allocator runs dry, so that boot does not touch what nobody uses, and given back when
 *           all of it is free: the kernel takes the lowest, user programs the highest, so that memory can be taken away
 *   block   8 KiB << order, free ones in one list per pool and order; the range's `orders` has a byte for every page
 *
 * A free block's first bytes are its list links, through the direct map.
 */
#include "memory.h"

#include "firmware.h"
#include "kernel.h"
#include "memory_ranges.h"
#include "percpu.h"

_Static_assert(CHUNK_BYTES == 1 << CHUNK_SHIFT && CHUNK_PAGES * PAGE_BYTES == CHUNK_BYTES, "memory_ranges.h");
enum { RANGES = 128, TOP = ORDERS - 1 };
enum { CLASSES = 8, SMALLEST = 32 };
enum { PAGE_IN_USE = 0x80, PAGE_LEAVES = 0x40, ORDER_BITS = 0x0f }; /* a block's first page: its order, and these */
enum { CHUNK_LEAVES = 0x80 }; /* beside the chunk's state */
enum pool { POOL_KERNEL, POOL_MOVABLE, POOLS };
#define ADDED_RANGE_MOST (32ul << 30) /* its `orders` are one block of the highest order */

struct block {
  struct block *next, *previous;
};
struct range {
  u64 base, end;
  u8 *orders; /* by page */
  u8 *chunks; /* by chunk: enum chunk_state */
  u32 low, high; /* no unused chunk is below the one or from the other on */
};
struct piece {
  struct piece *next;
};

static struct spinlock lock = SPINLOCK("memory");
static struct block *free_blocks[POOLS][ORDERS];
static struct range ranges[RANGES];
static u32 range_count;
static u8 small_tables[1 << 20] NOINIT; /* is enough for 8 GiB */
static u64 total_bytes, free_bytes;
static struct spinlock piece_lock = SPINLOCK("pieces");
static struct piece *free_pieces[CLASSES];

u64 ra_of(const volatile void *va) {
  u64 address = (u64)va;
  if (address >= DIRECT_BASE) return address - DIRECT_BASE;
  return address - KERNEL_BASE + boot_block.cpu.image_ra;
}

void *va_of(u64 ra) { return (void *)(ra + DIRECT_BASE); }

/* -- finding ranges, chunks, pages */

static struct range *range_of(u64 ra) {
  for (u32 i = 0; i < range_count; i++)
    if (ra >= ranges[i].base && ra < ranges[i].end) return &ranges[i];
  return NULL;
}

static u8 *order_at(u64 ra) {
  struct range *r = range_of(ra);
  return &r->orders[(ra - r->base) >> PAGE_SHIFT];
}

static u8 *state_at(u64 ra) {
  struct range *r = range_of(ra);
  return r ? &r->chunks[(ra - r->base) >> CHUNK_SHIFT] : NULL;
}

static enum pool pool_of(u64 ra) {
  return (*state_at(ra) & ~CHUNK_LEAVES) == CHUNK_MOVABLE ? POOL_MOVABLE : POOL_KERNEL;
}

/* -- blocks */

static void list_put(u64 ra, unsigned order) {
  struct block **first = &free_blocks[pool_of(ra)][order], *b = va_of(ra);
  b->previous = NULL;
  b->next = *first;
  if (b->next) b->next->previous = b;
  *first = b;
  *order_at(ra) = (u8)order;
}

static void list_remove(u64 ra, unsigned order) {
  struct block *b = va_of(ra);
  if (b->previous)
    b->previous->next = b->next;
  else
    free_blocks[pool_of(ra)][order] = b->next;
  if (b->next) b->next->previous = b->previous;
  *order_at(ra) = (u8)(order | PAGE_IN_USE);
}

static void chunk_unuse(u64 ra) {
  struct range *r = range_of(ra);
  u32 number = (u32)((ra - r->base) >> CHUNK_SHIFT);
  r->chunks[number] = CHUNK_UNUSED;
  if (number < r->low) r->low = number;
  if (number >= r->high) r->high = number + 1;
}

/* An unused chunk of a range: the lowest for the kernel, the highest for programs. */
static bool chunk_find(struct range *r, enum pool pool, u64 *ra) {
  while (r->low < r->high && r->chunks[r->low] != CHUNK_UNUSED) r->low++;
  while (r->low < r->high && r->chunks[r->high - 1] != CHUNK_UNUSED) r->high--;
  if (r->low == r->high) return false;
  *ra = r->base + ((u64)(pool == POOL_KERNEL ? r->low : r->high - 1) << CHUNK_SHIFT);
  return true;
}

/* Real address 0 means "none" in tables and to the hypervisor, so its page is never given out: the chunk without it is
 * one block of every smaller order. The table's bytes for a chunk are written now, not at boot. */
static bool chunk_take(enum pool pool) {
  u64 ra;
  for (u32 i = 0; i < range_count; i++) {
    struct range *r = &ranges[pool == POOL_KERNEL ? i : range_count - 1 - i];
    if (!chunk_find(r, pool, &ra)) continue;
    *state_at(ra) = pool == POOL_KERNEL ? CHUNK_KERNEL : CHUNK_MOVABLE;
    memset(order_at(ra), PAGE_IN_USE, CHUNK_PAGES);
    if (ra)
      list_put(ra, TOP);
    else
      for (unsigned order = 0; order < TOP; order++) list_put((u64)PAGE_BYTES << order, order);
    return true;
  }
  return false;
}

static bool block_find(enum pool pool, unsigned order, unsigned *have) {
  for (*have = order; *have < ORDERS; ++*have)
    if (free_blocks[pool][*have]) return true;
  return false;
}

/* The smallest free block that will do, cut down to size: of its own pool, of a new chunk, of the other pool. */
static void *block_take(enum pool pool, unsigned order) {
  unsigned have;
  if (!block_find(pool, order, &have) && !(chunk_take(pool) && block_find(pool, order, &have))) {
    pool = pool == POOL_KERNEL ? POOL_MOVABLE : POOL_KERNEL;
    if (!block_find(pool, order, &have)) return NULL;
  }
  struct block *b = free_blocks[pool][have];
  u64 ra = ra_of(b);
  list_remove(ra, have);
  for (unsigned half = have; half-- > order;) list_put(ra + ((u64)PAGE_BYTES << half), half);
  *order_at(ra) = (u8)(order | PAGE_IN_USE);
  return b;
}

static void *alloc(enum pool pool, unsigned order) {
  if (order >= ORDERS) return NULL;
  lock_acquire(&lock);
  void *b = block_take(pool, order);
  if (b) free_bytes -= (u64)PAGE_BYTES << order;
  lock_release(&lock);
  return b ? memset(b, 0, (u64)PAGE_BYTES << order) : NULL;
}

void *pages_alloc(unsigned order) { return alloc(POOL_KERNEL, order); }
void *page_alloc_movable(void) { return alloc(POOL_MOVABLE, 0); }

/* A block and its buddy, both free, are one block of the next order; a whole chunk is nobody's. */
static void block_put(u64 ra, unsigned order) {
  while (order < TOP) {
    u64 buddy = ra ^ (u64)PAGE_BYTES << order;
    if (*order_at(buddy) != order) break;
    list_remove(buddy, order);
    ra &= ~((u64)PAGE_BYTES << order);
    order++;
  }
  if (order == TOP)
    chunk_unuse(ra);
  else
    list_put(ra, order);
}

void pages_free(void *block, unsigned order) {
  u64 ra = ra_of(block);
  lock_acquire(&lock);
  if (!state_at(ra) || *order_at(ra) != (order | PAGE_IN_USE))
    panic("pages_free: %p is no block of order %u", block, order);
  if (*state_at(ra) & CHUNK_LEAVES) {
    *order_at(ra) = (u8)(order | PAGE_LEAVES);
  } else {
    free_bytes += (u64)PAGE_BYTES << order;
    block_put(ra, order);
  }
  lock_release(&lock);
}

/* -- pieces of 32, 64, ... 4096 bytes come from pages cut up; a page once cut stays so */

static unsigned piece_class(size_t bytes) {
  unsigned class = 0;
  while ((size_t)SMALLEST << class < bytes) class++;
  return class;
}

static unsigned bytes_order(size_t bytes) {
  unsigned order = 0;
  while ((size_t)PAGE_BYTES << order < bytes) order++;
  return order;
}

void *kmalloc(size_t bytes) {
  unsigned class = piece_class(bytes);
  if (class >= CLASSES) return pages_alloc(bytes_order(bytes));
  lock_acquire(&piece_lock);
  if (!free_pieces[class]) {
    u8 *page = page_alloc();
    for (size_t at = 0; page && at < PAGE_BYTES; at += (size_t)SMALLEST << class) {
      struct piece *p = (struct piece *)(void *)(page + at);
      p->next = free_pieces[class];
      free_pieces[class] = p;
    }
  }
  struct piece *p = free_pieces[class];
  if (p) free_pieces[class] = p->next;
  lock_release(&piece_lock);
  return p ? memset(p, 0, (size_t)SMALLEST << class) : NULL;
}

void kfree(void *piece, size_t bytes) {
  unsigned class = piece_class(bytes);
  if (!piece) return;
  if (class >= CLASSES) {
    pages_free(piece, bytes_order(bytes));
    return;
  }
  lock_acquire(&piece_lock);
  struct piece *p = piece;
  p->next = free_pieces[class];
  free_pieces[class] = p;
  lock_release(&piece_lock);
}

u64 memory_total(void) { return total_bytes; }
u64 memory_free(void) { return free_bytes; }

/* -- chunks that come and go */

enum chunk_state chunk_state(u64 ra) {
  lock_acquire(&lock);
  const u8 *state = state_at(ra);
  enum chunk_state is = state ? (enum chunk_state)(*state & ~CHUNK_LEAVES) : CHUNK_ABSENT;
  lock_release(&lock);
  return is;
}

bool memory_contains(u64 ra) { return range_of(ra) && *state_at(ra) != CHUNK_ABSENT; }

static bool is_split(u8 state) {
  state &= (u8)~CHUNK_LEAVES;
  return state == CHUNK_KERNEL || state == CHUNK_MOVABLE;
}

/* Pages of a chunk in blocks with one of the flags; 0: that are free. */
static u32 pages_with(u64 chunk, u8 flag) {
  u32 pages = 0;
  for (u32 n = 0; n < CHUNK_PAGES;) {
    u8 byte = *order_at(chunk + (u64)n * PAGE_BYTES);
    if (flag ? byte & flag : !(byte & (PAGE_IN_USE | PAGE_LEAVES))) pages += 1u << (byte & ORDER_BITS);
    n += 1u << (byte & ORDER_BITS);
  }
  return pages;
}

static u32 used(u64 ra) {
  const u8 *state = state_at(ra);
  if (!state || *state == CHUNK_ABSENT) return 0;
  if (*state == CHUNK_PERMANENT) return CHUNK_PAGES;
  return is_split(*state) ? pages_with(ra, PAGE_IN_USE) : 0;
}

u32 chunk_pages_used(u64 ra) {
  lock_acquire(&lock);
  u32 pages = used(ra);
  lock_release(&lock);
  return pages;
}

bool chunk_leave(u64 ra) {
  lock_acquire(&lock);
  u8 *state = state_at(ra);
  bool can = state && *state != CHUNK_ABSENT && *state != CHUNK_PERMANENT && !(*state & CHUNK_LEAVES);
  if (can) {
    bool split = is_split(*state);
    free_bytes -= (u64)(split ? pages_with(ra, 0) : CHUNK_PAGES) * PAGE_BYTES;
    for (u32 n = 0; split && n < CHUNK_PAGES;) {
      u64 page = ra + (u64)n * PAGE_BYTES;
      u8 byte = *order_at(page);
      n += 1u << (byte & ORDER_BITS);
      if (byte & PAGE_IN_USE) continue;
      list_remove(page, byte);
      *order_at(page) = byte | PAGE_LEAVES;
    }
    *state |= CHUNK_LEAVES;
  }
  lock_release(&lock);
  return can;
}

void chunk_stay(u64 ra) {
  lock_acquire(&lock);
  u8 *state = state_at(ra);
  if (*state & CHUNK_LEAVES) {
    *state &= (u8)~CHUNK_LEAVES;
    bool split = is_split(*state);
    free_bytes += (u64)(split ? pages_with(ra, PAGE_LEAVES) : CHUNK_PAGES) * PAGE_BYTES;
    if (!split) chunk_unuse(ra);
    for (u32 n = 0; split && n < CHUNK_PAGES;) {
      u64 page = ra + (u64)n * PAGE_BYTES;
      u8 byte = *order_at(page);
      n += 1u << (byte & ORDER_BITS);
      if (byte & PAGE_LEAVES) block_put(page, byte & ORDER_BITS);
    }
  }
  lock_release(&lock);
}

void chunk_remove(u64 ra) {
  lock_acquire(&lock);
  if (!(*state_at(ra) & CHUNK_LEAVES) || used(ra)) panic("chunk_remove: 0x%lx is in use", ra);
  *state_at(ra) = CHUNK_ABSENT;
  total_bytes -= CHUNK_BYTES;
  lock_release(&lock);
}

/* Tables for addresses no range has: [base, end), in pieces. */
static bool range_new(u64 base, u64 end) {
  while (base < end) {
    u64 bytes = end - base < ADDED_RANGE_MOST ? end - base : ADDED_RANGE_MOST;
    u8 *orders = kmalloc(bytes >> PAGE_SHIFT), *chunks = kmalloc(bytes >> CHUNK_SHIFT);
    if (!orders || !chunks || range_count == RANGES) {
      kfree(orders, bytes >> PAGE_SHIFT);
      kfree(chunks, bytes >> CHUNK_SHIFT);
      return false;
    }
    lock_acquire(&lock);
    ranges[range_count] = (struct range){base, base + bytes, orders, chunks, 0, 0};
    range_count++;
    lock_release(&lock);
    base += bytes;
  }
  return true;
}

/* One caller at a time. A range that was made stays, with nothing in it, when there is no memory for the next. */
bool chunks_add(u64 base, u64 end) {
  for (u64 at = base, next; at < end; at = next) {
    const struct range *r = range_of(at);
    next = r ? r->end : end;
    for (u32 i = 0; !r && i < range_count; i++)
      if (ranges[i].base > at && ranges[i].base < next) next = ranges[i].base;
    if (!r && !range_new(at, next)) return false;
  }
  lock_acquire(&lock);
  for (u64 ra = base; ra < end; ra += CHUNK_BYTES) {
    if (*state_at(ra) != CHUNK_ABSENT) continue;
    chunk_unuse(ra);
    total_bytes += CHUNK_BYTES;
    free_bytes += CHUNK_BYTES;
  }
  lock_release(&lock);
  return true;
}

bool memory_range(u32 index, struct memory_range *info) {
  if (index >= range_count) return false;
  const struct range *r = &ranges[index];
  *info = (struct memory_range){.base = r->base, .end = r->end};
  for (u64 ra = r->base; ra < r->end; ra += CHUNK_BYTES) {
    lock_acquire(&lock);
    u8 state = *state_at(ra);
    u64 in_use = (u64)used(ra) * PAGE_BYTES;
    lock_release(&lock);
    if (state == CHUNK_ABSENT) continue;
    info->present += CHUNK_BYTES;
    info->free += CHUNK_BYTES - in_use;
    if (state == CHUNK_PERMANENT || (state & ~CHUNK_LEAVES) == CHUNK_KERNEL) info->permanent += in_use;
  }
  return true;
}

/* -- boot */

static u64 up(u64 ra) { return (ra + CHUNK_BYTES - 1) & ~(u64)(CHUNK_BYTES - 1); }
static u64 down(u64 ra) { return ra & ~(u64)(CHUNK_BYTES - 1); }

void memory_add(u64 base, u64 bytes) {
  u64 from = up(base), to = down(base + bytes);
  total_bytes += bytes;
  if (from < to && range_count < RANGES) ranges[range_count++] = (struct range){.base = from, .end = to};
}

/* The first place of so many whole chunks in [from, to) beside the kernel image; ~0: there is none. */
static u64 place_in(u64 from, u64 to, u64 bytes) {
  u64 image = boot_block.cpu.image_ra;
  from = up(from);
  to = down(to);
  if (from < image + KERNEL_BYTES && from + bytes > image) from = image + KERNEL_BYTES;
  return from < to && to - from >= bytes ? from : ~0ul;
}

static u8 *tables_place(u64 bytes, const struct firmware_range *available, u32 count) {
  u64 ra = ~0ul;
  if (bytes <= sizeof small_tables) return small_tables;
  for (u32 i = 0; i < count && ra == ~0ul; i++)
    ra = place_in(available[i].base, available[i].base + available[i].bytes, up(bytes));
  for (u32 i = 0; !count && i < range_count && ra == ~0ul; i++) ra = place_in(ranges[i].base, ranges[i].end, up(bytes));
  if (ra == ~0ul) panic("memory is too scattered");
  return va_of(ra);
}

/* In whichever ranges [from, to) lies. */
static void usable(u64 from, u64 to) {
  for (u64 ra = up(from); ra < down(to); ra += CHUNK_BYTES) {
    if (!range_of(ra)) continue;
    chunk_unuse(ra);
    free_bytes += CHUNK_BYTES;
  }
}

static void keep(u64 from, u64 to) {
  for (u64 ra = from; ra < to; ra += CHUNK_BYTES) {
    if (!range_of(ra) || *state_at(ra) != CHUNK_UNUSED) continue;
    *state_at(ra) = CHUNK_PERMANENT;
    free_bytes -= CHUNK_BYTES;
  }
}

void memory_init(const struct firmware_range *available, u32 count) {
  u64 chunks = 0;
  if (!range_count) panic("no memory");
  for (u32 i = 0; i < range_count; i++) chunks += (ranges[i].end - ranges[i].base) >> CHUNK_SHIFT;
  u64 bytes = chunks + chunks * CHUNK_PAGES;
  u8 *tables = tables_place(bytes, available, count), *orders = tables + chunks;
  u64 tables_ra = ra_of(tables);
  memset(tables, CHUNK_PERMANENT, chunks);
  for (u32 i = 0; i < range_count; i++) {
    struct range *r = &ranges[i];
    u32 n = (u32)((r->end - r->base) >> CHUNK_SHIFT);
    r->chunks = tables;
    r->orders = orders;
    r->low = n;
    tables += n;
    orders += (u64)n * CHUNK_PAGES;
  }
  for (u32 i = 0; i < count; i++) usable(available[i].base, available[i].base + available[i].bytes);
  for (u32 i = 0; !count && i < range_count; i++) usable(ranges[i].base, ranges[i].end);
  keep(boot_block.cpu.image_ra, boot_block.cpu.image_ra + KERNEL_BYTES);
  if (bytes > sizeof small_tables) keep(tables_ra, up(tables_ra + bytes));
}
