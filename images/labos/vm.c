/* vm.c - a program's address space: two levels of tables that miss.S reads.
 *
 * Only tables know where a program's page is, so a page can be moved: with all other cpus parked it is copied, its entry
 * changed, and every cpu forgets its translations. Whoever changes entries, or keeps an address that is in one, holds
 * the lock meanwhile.
 */
#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "process.h"

enum { ENTRIES = 1024, MOVE_MOST = 64 };
static struct spinlock lock = SPINLOCK("address spaces");

static u64 *leaf_of(const struct space *space, u64 va) {
  u64 ra = space->root[va >> TABLE_SHIFT];
  return ra ? va_of(ra) : NULL;
}

static u64 *entry_of(const struct space *space, u64 va) {
  u64 *leaf = leaf_of(space, va);
  return leaf ? &leaf[va >> PAGE_SHIFT & (ENTRIES - 1)] : NULL;
}

bool space_init(struct space *space, u64 context) {
  *space = (struct space){.root = page_alloc(), .context = context};
  return space->root != NULL;
}

bool space_map(struct space *space, u64 va, void *page, u64 permission) {
  lock_acquire(&lock);
  void *leaf = leaf_of(space, va);
  if (!leaf && (leaf = page_alloc())) space->root[va >> TABLE_SHIFT] = ra_of(leaf);
  if (leaf) {
    *entry_of(space, va) = TTE_VALID | ra_of(page) | TTE_CACHED | TTE_8K | permission;
    space->pages++;
  }
  lock_release(&lock);
  return leaf != NULL;
}

/* With the lock held for as long as the page is looked at. */
static void *page_at(const struct space *space, u64 va) {
  const u64 *entry = va < USER_LIMIT ? entry_of(space, va) : NULL;
  return entry && *entry & TTE_VALID ? va_of(*entry & TTE_RA) : NULL;
}

bool space_has(const struct space *space, u64 va) {
  lock_acquire(&lock);
  bool has = page_at(space, va) != NULL;
  lock_release(&lock);
  return has;
}

u64 space_word(const struct space *space, u64 va) {
  lock_acquire(&lock);
  const u64 *page = page_at(space, va);
  u64 word = page ? page[va % PAGE_BYTES / sizeof(u64)] : 0;
  lock_release(&lock);
  return word;
}

/* What one cpu may know of a page: its entry in the users' TSB, and its TLB. */
struct shootdown {
  u64 va, context;
};

static void shootdown_page(void *arg) {
  const struct shootdown *s = arg;
  u64 *tsb = (u64 *)((u8 *)cpu_this() + CPU_USER_TSB_AT) + (s->va >> PAGE_SHIFT & (TSB_ENTRIES - 1)) * 2;
  struct hcall h = {{0, 0, s->va, s->context, 3}};
  if (tsb[0] == (s->context << 48 | s->va >> 22)) tsb[1] = 0;
  hcall_fast(MMU_DEMAP_PAGE, &h);
}

static void shootdown_context(void *arg) {
  const struct shootdown *s = arg;
  u64 *tsb = (u64 *)((u8 *)cpu_this() + CPU_USER_TSB_AT);
  for (u32 i = 0; i < TSB_ENTRIES; i++)
    if (tsb[2 * i] >> 48 == s->context) tsb[2 * i + 1] = 0;
  hyper(MMU_DEMAP_CTX, 0, 0, s->context, 3);
}

static void shoot(const struct space *space, void (*function)(void *), struct shootdown *s) {
  interrupts_push();
  function(s);
  cross_call_set(&space->ran_on, function, s);
  interrupts_pop();
}

void space_unmap(struct space *space, u64 va) {
  lock_acquire(&lock);
  void *page = page_at(space, va);
  if (page) {
    *entry_of(space, va) = 0;
    space->pages--;
  }
  lock_release(&lock);
  if (!page) return;
  struct shootdown s = {va, space->context};
  shoot(space, shootdown_page, &s);
  page_free(page);
}

/* Nobody runs in it any more. */
void space_free(struct space *space) {
  struct shootdown s = {0, space->context};
  shoot(space, shootdown_context, &s);
  lock_acquire(&lock);
  u64 *root = space->root;
  space->root = NULL;
  lock_release(&lock);
  for (u32 i = 0; i < ENTRIES; i++) {
    if (!root[i]) continue;
    u64 *leaf = va_of(root[i]);
    for (u32 k = 0; k < ENTRIES; k++)
      if (leaf[k] & TTE_VALID) page_free(va_of(leaf[k] & TTE_RA));
    page_free(leaf);
  }
  page_free(root);
}

/* -- moving pages */

struct move {
  u64 *entry;
  void *to;
};

/* With the lock held: entries of pages in [low, high), each with a page to move it to. */
static u32 moves_of(const struct space *space, u64 low, u64 high, struct move *moves, u32 most, bool *out_of_memory) {
  u32 count = 0;
  for (u32 i = 0; i < ENTRIES && space->root; i++) {
    u64 *leaf = space->root[i] ? va_of(space->root[i]) : NULL;
    for (u32 k = 0; leaf && k < ENTRIES && count < most; k++) {
      u64 ra = leaf[k] & TTE_RA;
      if (!(leaf[k] & TTE_VALID) || ra < low || ra >= high) continue;
      void *to = page_alloc_movable();
      if (!to) {
        *out_of_memory = true;
        return count;
      }
      moves[count++] = (struct move){&leaf[k], to};
    }
  }
  return count;
}

/* On every cpu, with interrupts off. */
static void forget_translations(struct cpu *cpu) {
  memset((u8 *)cpu + CPU_USER_TSB_AT, 0, TSB_ENTRIES * 16);
  hyper(MMU_DEMAP_ALL, 0, 0, 3, 0);
}

static void nothing(struct cpu *cpu) { (void)cpu; }

/* With the lock held. false: a cpu did not come to rest; nothing has changed. */
static bool move_all(struct move *moves, u32 count) {
  bool parked = cross_park_others();
  for (u32 i = 0; parked && i < count; i++) {
    u64 old = *moves[i].entry;
    memcpy(moves[i].to, va_of(old & TTE_RA), PAGE_BYTES);
    if (old & TTE_EXEC) code_flush(moves[i].to);
    *moves[i].entry = (old & ~(u64)TTE_RA) | ra_of(moves[i].to);
    moves[i].to = va_of(old & TTE_RA); /* what is free now */
  }
  if (parked) forget_translations(cpu_this());
  cross_release_others(parked ? forget_translations : nothing);
  return parked;
}

enum spaces_moved spaces_move(u64 low, u64 high, u32 *moved) {
  struct move moves[MOVE_MOST];
  u32 count = 0;
  bool out_of_memory = false;
  lock_acquire(&lock);
  for (u32 id = 1; id <= PROCESSES && count < MOVE_MOST && !out_of_memory; id++)
    count += moves_of(process_space(id), low, high, moves + count, MOVE_MOST - count, &out_of_memory);
  bool done = !count || move_all(moves, count);
  lock_release(&lock);
  for (u32 i = 0; i < count; i++) page_free(moves[i].to);
  *moved = done ? count : 0;
  if (!done) return SPACES_BUSY;
  return count ? SPACES_MORE : out_of_memory ? SPACES_NO_MEMORY : SPACES_DONE;
}
