/* vm.c - a program's address space: two levels of tables that miss.S reads. */
#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "process.h"

enum { ENTRIES = 1024 };

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
  if (!leaf_of(space, va)) {
    void *leaf = page_alloc();
    if (!leaf) return false;
    space->root[va >> TABLE_SHIFT] = ra_of(leaf);
  }
  *entry_of(space, va) = TTE_VALID | ra_of(page) | TTE_CACHED | TTE_8K | permission;
  space->pages++;
  return true;
}

void *space_page(const struct space *space, u64 va) {
  const u64 *entry = va < USER_LIMIT ? entry_of(space, va) : NULL;
  return entry && *entry & TTE_VALID ? va_of(*entry & TTE_RA) : NULL;
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
  void *page = space_page(space, va);
  if (!page) return;
  *entry_of(space, va) = 0;
  struct shootdown s = {va, space->context};
  shoot(space, shootdown_page, &s);
  page_free(page);
  space->pages--;
}

/* Nobody runs in it any more. */
void space_free(struct space *space) {
  struct shootdown s = {0, space->context};
  shoot(space, shootdown_context, &s);
  for (u32 i = 0; i < ENTRIES; i++) {
    if (!space->root[i]) continue;
    u64 *leaf = va_of(space->root[i]);
    for (u32 k = 0; k < ENTRIES; k++)
      if (leaf[k] & TTE_VALID) page_free(va_of(leaf[k] & TTE_RA));
    page_free(leaf);
  }
  page_free(space->root);
}
