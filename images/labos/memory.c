/* memory.c - the domain's memory: chunks of 4 MiB, and a buddy allocator that splits them.
 *
 *   range   what the machine description (or firmware's "available") calls memory, cut to whole chunks
 *   chunk   4 MiB; taken from a range when the allocator runs dry, so that boot does not touch what nobody uses
 *   block   8 KiB << order, free ones in one list per order; `order_of` has a byte for every page
 *
 * A free block's first bytes are its list links, through the direct map.
 */
#include "memory.h"

#include "kernel.h"
#include "memory_ranges.h"
#include "percpu.h"

enum { CHUNK_BYTES = 1 << CHUNK_SHIFT, CHUNK_PAGES = CHUNK_BYTES / PAGE_BYTES, RANGES = 64 };
enum { CLASSES = 8, SMALLEST = 32 };
enum { PAGE_IN_USE = 0x80 }; /* order_of[] of a block's first page: its order, and this while it is not free */

struct block {
  struct block *next, *previous;
};
struct range {
  u64 next_ra, end_ra; /* chunks not taken yet */
};
struct piece {
  struct piece *next;
};

static struct spinlock lock = SPINLOCK("memory");
static struct block *free_blocks[ORDERS];
static struct range ranges[RANGES];
static u32 range_count;
static u8 *order_of; /* by page number, from the lowest chunk on */
static u8 small_table[1 << 20] NOINIT; /* is enough for 8 GiB */
static u64 first_page, total_bytes, free_bytes;
static struct spinlock piece_lock = SPINLOCK("pieces");
static struct piece *free_pieces[CLASSES];

u64 ra_of(const volatile void *va) {
  u64 address = (u64)va;
  if (address >= DIRECT_BASE) return address - DIRECT_BASE;
  return address - KERNEL_BASE + boot_block.cpu.image_ra;
}

void *va_of(u64 ra) { return (void *)(ra + DIRECT_BASE); }

static u64 page_number(const struct block *b) { return (ra_of(b) >> PAGE_SHIFT) - first_page; }
static struct block *page_block(u64 number) { return va_of((number + first_page) << PAGE_SHIFT); }

static void list_put(struct block *b, unsigned order) {
  b->previous = NULL;
  b->next = free_blocks[order];
  if (b->next) b->next->previous = b;
  free_blocks[order] = b;
  order_of[page_number(b)] = (u8)order;
}

static void list_remove(struct block *b, unsigned order) {
  if (b->previous)
    b->previous->next = b->next;
  else
    free_blocks[order] = b->next;
  if (b->next) b->next->previous = b->previous;
  order_of[page_number(b)] = (u8)(order | PAGE_IN_USE);
}

/* Real address 0 means "none" in tables and to the hypervisor, so its page is never given out: the chunk without it is
 * one block of every smaller order. */
static void chunk_without_first_page(struct block *chunk) {
  u64 first = page_number(chunk);
  for (unsigned order = 0; order < ORDERS - 1; order++) list_put(page_block(first + (1ul << order)), order);
}

/* A chunk nobody has used yet becomes one free block. The table's bytes for it are written now, not at boot. */
static bool chunk_take(void) {
  for (u32 i = 0; i < range_count; i++) {
    struct range *r = &ranges[i];
    if (r->next_ra == r->end_ra) continue;
    struct block *b = va_of(r->next_ra);
    r->next_ra += CHUNK_BYTES;
    memset(order_of + page_number(b), PAGE_IN_USE, CHUNK_PAGES);
    if (ra_of(b))
      list_put(b, ORDERS - 1);
    else
      chunk_without_first_page(b);
    return true;
  }
  return false;
}

/* The smallest free block that will do, cut down to size. */
static struct block *block_take(unsigned order) {
  unsigned have;
  for (;;) {
    for (have = order; have < ORDERS && !free_blocks[have];) have++;
    if (have < ORDERS) break;
    if (!chunk_take()) return NULL;
  }
  struct block *b = free_blocks[have];
  list_remove(b, have);
  while (have > order) {
    have--;
    list_put(page_block(page_number(b) + (1ul << have)), have);
  }
  order_of[page_number(b)] = (u8)(order | PAGE_IN_USE);
  return b;
}

void *pages_alloc(unsigned order) {
  if (order >= ORDERS) return NULL;
  lock_acquire(&lock);
  struct block *b = block_take(order);
  if (b) free_bytes -= (u64)PAGE_BYTES << order;
  lock_release(&lock);
  return b ? memset(b, 0, (u64)PAGE_BYTES << order) : NULL;
}

/* A block and its buddy, both free, are one block of the next order. */
void pages_free(void *block, unsigned order) {
  lock_acquire(&lock);
  struct block *b = block;
  u64 number = page_number(b);
  if (order_of[number] != (order | PAGE_IN_USE)) panic("pages_free: %p is no block of order %u", block, order);
  free_bytes += (u64)PAGE_BYTES << order;
  while (order < ORDERS - 1) {
    u64 buddy = number ^ (1ul << order);
    if (order_of[buddy] != order) break;
    list_remove(page_block(buddy), order);
    number &= ~(1ul << order);
    order++;
  }
  list_put(page_block(number), order);
  lock_release(&lock);
}

/* Pieces of 32, 64, ... 4096 bytes come from pages cut up; a page once cut stays so. */
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
bool memory_contains(u64 ra) {
  u64 page = ra >> PAGE_SHIFT;
  for (u32 i = 0; i < range_count; i++)
    if (page >= first_page && ra < ranges[i].end_ra) return true;
  return false;
}

static void range_put(u64 base, u64 end) {
  base = (base + CHUNK_BYTES - 1) & ~(u64)(CHUNK_BYTES - 1);
  end &= ~(u64)(CHUNK_BYTES - 1);
  if (base >= end || range_count == RANGES) return;
  ranges[range_count++] = (struct range){base, end};
  free_bytes += end - base;
}

void memory_add(u64 base, u64 bytes) {
  u64 image = boot_block.cpu.image_ra, end = base + bytes;
  if (image >= base && image < end) {
    range_put(base, image);
    range_put(image + KERNEL_BYTES, end);
  } else {
    range_put(base, end);
  }
}

void memory_total_set(u64 bytes) { total_bytes = bytes; }

/* A large table of orders takes the end of the largest range. */
static u8 *table_place(u64 bytes, struct range *largest) {
  if (bytes <= sizeof small_table) return small_table;
  bytes = (bytes + CHUNK_BYTES - 1) & ~(u64)(CHUNK_BYTES - 1);
  if (bytes >= largest->end_ra - largest->next_ra) panic("memory is too scattered");
  largest->end_ra -= bytes;
  free_bytes -= bytes;
  return va_of(largest->end_ra);
}

void memory_init(void) {
  u64 low = ~0ul, high = 0;
  struct range *largest = &ranges[0];
  if (!range_count) panic("no memory");
  for (u32 i = 0; i < range_count; i++) {
    struct range *r = &ranges[i];
    if (r->next_ra < low) low = r->next_ra;
    if (r->end_ra > high) high = r->end_ra;
    if (r->end_ra - r->next_ra > largest->end_ra - largest->next_ra) largest = r;
  }
  order_of = table_place((high - low) >> PAGE_SHIFT, largest);
  first_page = low >> PAGE_SHIFT;
}
