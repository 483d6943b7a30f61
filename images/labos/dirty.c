/* dirty.c - the oracle of a migration: a thread writes stamps to memory at a set rate, and every stamp can be checked.
 *
 * Stamp n goes to page n % pages. It is four words {n, address, n ^ address, ~n} at a place in the page that n chooses,
 * and the page's head counts them, so that what a page must hold follows from how many stamps there were: a page lost,
 * torn, or older than it should be, shows.
 */
#include "commands.h"
#include "kernel.h"

enum { BLOCK_ORDER = 9, BLOCK_PAGES = 1 << BLOCK_ORDER, BLOCKS = 8192, STAMP_WORDS = 4, PAGE_WORDS = PAGE_BYTES / 8,
       SLOTS = PAGE_WORDS / STAMP_WORDS, TICK_MS = 10, COMPLAINTS = 10 };

static struct {
  u64 *blocks[BLOCKS]; /* 4 MiB each; the last one may be smaller */
  u64 pages, rate;
  u64 stamps; /* written */
  u64 started_ns;
  bool running, stop;
} dirty;
static struct spinlock lock = SPINLOCK("dirty");

static u64 *page_of(u64 n) { return dirty.blocks[n / BLOCK_PAGES] + n % BLOCK_PAGES * PAGE_WORDS; }

/* Round r of a page: in which of its slots; slot 0 is the head. */
static u64 slot_of(u64 round) { return 1 + (round * 37) % (SLOTS - 1); }

static void stamp_write(u64 n) {
  u64 round = n / dirty.pages, *page = page_of(n % dirty.pages), *stamp = page + slot_of(round) * STAMP_WORDS;
  u64 address = ra_of(stamp);
  stamp[0] = n;
  stamp[1] = address;
  stamp[2] = n ^ address;
  stamp[3] = ~n;
  page[0] = round + 1;
}

static bool stamp_good(const u64 *stamp, u64 n) {
  u64 address = ra_of(stamp);
  return stamp[0] == n && stamp[1] == address && stamp[2] == (n ^ address) && stamp[3] == ~n;
}

/* The last rounds of a page are all there: as many as there are slots. */
static bool page_good(u64 number) {
  u64 rounds = dirty.stamps / dirty.pages + (number < dirty.stamps % dirty.pages ? 1 : 0);
  u64 *page = page_of(number);
  if (page[0] != rounds) return false;
  for (u64 round = rounds < SLOTS - 1 ? 0 : rounds - (SLOTS - 1); round < rounds; round++)
    if (!stamp_good(page + slot_of(round) * STAMP_WORDS, round * dirty.pages + number)) return false;
  return true;
}

static void writer(void *arg) {
  (void)arg;
  u64 due = 0;
  while (!dirty.stop) {
    thread_sleep_ns(TICK_MS * NS_PER_MS);
    u64 elapsed = clock_ns() - dirty.started_ns;
    due = elapsed / NS_PER_SECOND * dirty.rate + elapsed % NS_PER_SECOND * dirty.rate / NS_PER_SECOND;
    while (dirty.stamps < due && !dirty.stop) {
      lock_acquire(&lock);
      for (u32 i = 0; i < 64 && dirty.stamps < due; i++) stamp_write(dirty.stamps++);
      lock_release(&lock);
    }
  }
  lock_acquire(&lock);
  dirty.running = false;
  lock_release(&lock);
  thread_wakeup(&dirty);
}

static u32 order_of(u64 pages) {
  u32 order = 0;
  while (1ul << order < pages && order < BLOCK_ORDER) order++;
  return order;
}

static void memory_drop(void) {
  for (u64 i = 0; i < BLOCKS && dirty.blocks[i]; i++) {
    u64 left = dirty.pages - i * BLOCK_PAGES;
    pages_free(dirty.blocks[i], order_of(left));
    dirty.blocks[i] = NULL;
  }
  dirty.pages = dirty.stamps = 0;
}

static bool memory_take(u64 pages) {
  dirty.pages = pages;
  for (u64 at = 0; at < pages; at += BLOCK_PAGES) {
    u64 *block = at / BLOCK_PAGES < BLOCKS ? pages_alloc(order_of(pages - at)) : NULL;
    if (!block) {
      memory_drop();
      return false;
    }
    dirty.blocks[at / BLOCK_PAGES] = block;
  }
  return true;
}

static int start(u64 rate, u64 bytes) {
  u64 pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
  if (!rate || !pages) return COMMAND_USAGE;
  if (dirty.running) {
    printf("dirty: it runs already\n");
    return 1;
  }
  memory_drop();
  if (!memory_take(pages)) {
    printf("dirty: not enough memory\n");
    return 1;
  }
  dirty.rate = rate;
  dirty.started_ns = clock_ns();
  dirty.stop = false;
  dirty.running = true;
  if (!thread_start("dirty", writer, NULL)) {
    dirty.running = false;
    return 1;
  }
  printf("dirty: %lu stamps/s over %lu pages\n", rate, pages);
  return 0;
}

static int check(void) {
  u64 bad = 0;
  if (!dirty.pages) {
    printf("dirty: nothing to check\n");
    return 1;
  }
  lock_acquire(&lock);
  u64 stamps = dirty.stamps;
  for (u64 i = 0; i < dirty.pages; i++) {
    if (page_good(i)) continue;
    if (bad++ < COMPLAINTS) printf("dirty: page %lu at 0x%lx is wrong\n", i, ra_of(page_of(i)));
  }
  lock_release(&lock);
  printf("dirty: %lu stamps, %lu pages, %lu wrong\n", stamps, dirty.pages, bad);
  return bad ? 1 : 0;
}

static int stop(void) {
  lock_acquire(&lock);
  dirty.stop = true;
  while (dirty.running) thread_sleep(&dirty, &lock);
  lock_release(&lock);
  printf("dirty: stopped after %lu stamps\n", dirty.stamps);
  return 0;
}

int command_dirty(int argc, char **argv) {
  u64 rate, bytes;
  if (argc == 2 && strcmp(argv[1], "check") == 0) return check();
  if (argc == 2 && strcmp(argv[1], "stop") == 0) return stop();
  if (argc != 3 || !parse_number(argv[1], &rate) || !parse_number(argv[2], &bytes)) return COMMAND_USAGE;
  return start(rate, bytes);
}
