/* mem_fuzz.c - random operations on guest memory against a brute-force model: one entry per page, no ranges, no search.
 *
 * The world is 1,024 pages of PA and as many of RA, at bases that change with the seed (0, the middle, the very end of
 * the 64-bit space). Some arguments are hostile: unaligned, huge, past 2^64. Of dirty pages the model knows which must
 * be reported (content may differ from the last harvest's) and which may.
 *
 * mem_fuzz FIRST_SEED SEEDS OPERATIONS    prints "ok"; a failure names its seed
 */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "mem/mem.h"

enum { PAGES = 1024, K8 = PAGE_BYTES, MAX_PINS = 8, BIG = 3 << 20 };
typedef unsigned __int128 wide;

struct pin_note { u64 ra, bytes; };

struct world {
  unsigned long long rng;
  u64 pa_base, ra_base;
  struct physmem *pm;
  struct ram *ram;
  int block[PAGES];   /* by PA page: block number, 0 none */
  int segment[PAGES]; /* by RA page: segment number, 0 none */
  int target[PAGES];  /* by RA page: PA page */
  bool must[PAGES], may[PAGES], seen[PAGES];
  u8 bytes[PAGES][K8];
  struct pin_note pins[MAX_PINS];
  int pin_count, number;
  u64 last_seen, code_bytes;
};

static const u8 zeros[K8];

static u64 rnd(struct world *w, u64 n) { return random_next(&w->rng) % n; }

static u64 hostile(struct world *w) {
  static const u64 values[] = {0, 1, K8 - 1, K8, K8 + 1, (u64)1 << 63, UINT64_MAX, UINT64_MAX - K8 + 1, (u64)1 << 32};
  u64 i = rnd(w, ARRAY_LEN(values) + 1);
  return i < ARRAY_LEN(values) ? values[i] : random_next(&w->rng);
}

/* Page number of a byte in the world, or -1. */
static int page_of(u64 base, wide at) {
  if (at < base || at - base >= (wide)PAGES * K8) return -1;
  return (int)((at - base) / K8);
}

/* The same of a byte that is known to be in the world. */
static int page_in(u64 base, u64 at) {
  int page = page_of(base, at);
  CHECK(page >= 0);
  return page;
}

static bool aligned(u64 a, u64 b) { return a % K8 == 0 && b % K8 == 0; }

/* Is every page of the range an entry of map[] that is not 0? */
static bool covered(u64 base, const int *map, u64 at, u64 bytes) {
  for (wide a = at - at % K8; bytes && a < (wide)at + bytes; a += K8) {
    int page = page_of(base, a);
    if (page < 0 || !map[page]) return false;
  }
  return true;
}

static bool touches(u64 base, const int *map, u64 at, u64 bytes) {
  for (int page = 0; page < PAGES; page++) {
    wide a = (wide)base + (wide)page * K8;
    if (map[page] && a < (wide)at + bytes && a + K8 > at) return true;
  }
  return false;
}

static bool outside(u64 base, u64 at, u64 bytes) {
  return page_of(base, at) < 0 || page_of(base, (wide)at + bytes - 1) < 0;
}

static void pick_pages(struct world *w, u64 base, u64 *at, u64 *bytes) {
  *at = base + rnd(w, PAGES) * K8;
  *bytes = (1 + rnd(w, (u64)1 << (rnd(w, 2) ? 9 : rnd(w, 9)))) * K8;
  if (rnd(w, 16) == 0) *at = hostile(w);
  if (rnd(w, 16) == 0) *bytes = hostile(w);
}

static void pick_bytes(struct world *w, u64 *at, u64 *bytes) {
  *at = w->ra_base + rnd(w, PAGES * K8);
  *bytes = rnd(w, (u64)1 << rnd(w, 17));
  if (rnd(w, 16) == 0) *at = hostile(w);
  if (rnd(w, 16) == 0) *bytes = hostile(w);
}

static void add_block(struct world *w, u64 at, u64 bytes) {
  bool good = aligned(at, bytes) && bytes && (wide)at + bytes <= (wide)1 << 64;
  good = good && !touches(w->pa_base, w->block, at, bytes);
  if (good && outside(w->pa_base, at, bytes)) return; /* would work, but is not in the model */
  CHECK(physmem_add_block(w->pm, PA(at), bytes, "fuzz") == (good ? 0 : -EINVAL));
  if (!good) return;
  w->number++;
  const struct mblock *b = physmem_find(w->pm, PA(at));
  for (u64 p = (at - w->pa_base) / K8, i = 0; i < bytes / K8; i++, p++) {
    w->block[p] = w->number;
    w->must[p] = w->may[p] = false;
    memset(w->bytes[p], 0, K8);
    b->code_map[i] = rnd(w, 3) == 0;
  }
}

static void op_add_block(struct world *w) {
  u64 at, bytes;
  pick_pages(w, w->pa_base, &at, &bytes);
  add_block(w, at, bytes);
}

/* A page to remove at: mostly the first of its range, which is the only one that will do. */
static int pick_first(struct world *w, const int *map) {
  int page = (int)rnd(w, PAGES);
  bool back = rnd(w, 8) != 0;
  while (back && page > 0 && map[page] && map[page - 1] == map[page]) page--;
  return page;
}

static void op_remove_block(struct world *w) {
  if (rnd(w, 4)) return; /* or the world stays too empty for anything else */
  u64 mapped = 0;
  int page = pick_first(w, w->block), number = w->block[page];
  bool first = number && (page == 0 || w->block[page - 1] != number);
  for (int p = 0; p < PAGES; p++) mapped += w->segment[p] && w->block[w->target[p]] == number;
  CHECK(physmem_remove_block(w->pm, PA(w->pa_base + (u64)page * K8)) == (!first ? -ENOENT : mapped ? -EBUSY : 0));
  if (!first || mapped) return;
  for (int p = 0; p < PAGES; p++)
    if (w->block[p] == number) w->block[p] = 0;
}

static void add_segment(struct world *w, u64 at, u64 bytes, u64 pa) {
  bool good = aligned(at, bytes) && pa % K8 == 0 && bytes && (wide)at + bytes <= (wide)1 << 64;
  good = good && !touches(w->ra_base, w->segment, at, bytes) && covered(w->pa_base, w->block, pa, bytes);
  if (good && outside(w->ra_base, at, bytes)) return;
  CHECK(ram_add_segment(w->ram, RA(at), bytes, PA(pa)) == (good ? 0 : -EINVAL));
  if (!good) return;
  w->number++;
  for (int ra = page_of(w->ra_base, at), p = page_of(w->pa_base, pa), n = (int)(bytes / K8); n--; ra++, p++) {
    w->segment[ra] = w->number;
    w->target[ra] = p;
  }
}

static void op_add_segment(struct world *w) {
  u64 at, bytes, pa = w->pa_base + rnd(w, PAGES) * K8;
  pick_pages(w, w->ra_base, &at, &bytes);
  if (rnd(w, 16) == 0) pa = hostile(w);
  add_segment(w, at, bytes, pa);
}

static bool pinned_segment(const struct world *w, int number) {
  for (int i = 0; i < w->pin_count; i++) {
    int first = page_in(w->ra_base, w->pins[i].ra), last = page_in(w->ra_base, w->pins[i].ra + w->pins[i].bytes - 1);
    for (int p = first; p <= last; p++)
      if (w->segment[p] == number) return true;
  }
  return false;
}

static void op_remove_segment(struct world *w) {
  if (rnd(w, 4)) return;
  int page = pick_first(w, w->segment), number = w->segment[page];
  bool first = number && (page == 0 || w->segment[page - 1] != number);
  int want = !first ? -ENOENT : pinned_segment(w, number) ? -EBUSY : 0;
  CHECK(ram_remove_segment(w->ram, RA(w->ra_base + (u64)page * K8)) == want);
  if (want) return;
  for (int p = 0; p < PAGES; p++)
    if (w->segment[p] == number) w->segment[p] = 0;
}

static bool pinned_range(const struct world *w, u64 at, u64 bytes) {
  for (int i = 0; i < w->pin_count; i++) {
    const struct pin_note *pin = &w->pins[i];
    if (pin->ra < (wide)at + bytes && at < (wide)pin->ra + pin->bytes) return true;
  }
  return false;
}

/* A range out of segments; what of the last one lies behind it is a segment of its own from now on. */
static void op_remove_range(struct world *w) {
  u64 at, bytes;
  pick_pages(w, w->ra_base, &at, &bytes);
  if (rnd(w, 2) && aligned(at, bytes) && page_of(w->ra_base, at) >= 0) bytes = K8 * (1 + rnd(w, 4));
  bool shape = aligned(at, bytes) && bytes && (wide)at + bytes <= (wide)1 << 64;
  bool there = shape && covered(w->ra_base, w->segment, at, bytes);
  int want = !shape ? -EINVAL : !there ? -EFAULT : pinned_range(w, at, bytes) ? -EBUSY : 0;
  CHECK(ram_remove(w->ram, RA(at), bytes) == want);
  if (want) return;
  int first = page_in(w->ra_base, at), end = first + (int)(bytes / K8), cut = w->segment[end - 1];
  w->number++;
  for (int p = first; p < end; p++) w->segment[p] = 0;
  for (int p = end; p < PAGES && w->segment[p] == cut; p++) w->segment[p] = w->number;
}

static void op_join(struct world *w) {
  ram_join(w->ram);
  for (int p = 1; p < PAGES; p++) {
    int low = w->segment[p - 1], high = w->segment[p];
    if (!low || !high || low == high || w->target[p] != w->target[p - 1] + 1) continue;
    for (int q = p; q < PAGES && w->segment[q] == high; q++) w->segment[q] = low;
  }
}

/* A piece that no segment uses, and with it the blocks it touches that none uses at all. */
static void op_discard(struct world *w) {
  bool used[PAGES] = {false};
  int first = (int)rnd(w, PAGES), end = first;
  for (int p = 0; p < PAGES; p++)
    if (w->segment[p]) used[w->target[p]] = true;
  while (end < PAGES && !used[end] && end - first < 40) end++;
  if (end == first) return;
  physmem_discard(w->pm, PA(w->pa_base + (u64)first * K8), (u64)(end - first) * K8);
  for (int p = first; p < end; p++) {
    int number = w->block[p];
    bool users = false;
    for (int q = 0; q < PAGES; q++) users |= used[q] && w->block[q] == number;
    for (int q = 0; q < PAGES && !users && number; q++)
      if (w->block[q] == number) w->block[q] = 0;
    memset(w->bytes[p], 0, K8);
    w->must[p] = w->may[p] = false;
  }
}

static u8 *model_byte(struct world *w, u64 ra) {
  return &w->bytes[w->target[page_in(w->ra_base, ra)]][ra % K8];
}

/* A range was written: what a harvest must and may report, and how much of it holds decoded code. */
static u64 model_written(struct world *w, u64 ra, u64 bytes, bool must) {
  u64 code = 0;
  for (wide a = ra - ra % K8; bytes && a < (wide)ra + bytes; a += K8) {
    int page = page_of(w->ra_base, a);
    if (page < 0 || !w->segment[page]) continue;
    int pa = w->target[page];
    const struct mblock *b = physmem_find(w->pm, PA(w->pa_base + (u64)pa * K8));
    wide from = a > ra ? a : ra, to = a + K8 < (wide)ra + bytes ? a + K8 : (wide)ra + bytes;
    if (b->code_map[(w->pa_base + (u64)pa * K8 - b->base.v) / K8]) code += (u64)(to - from);
    w->may[pa] = true;
    w->must[pa] |= must;
  }
  return code;
}

static void op_write(struct world *w) {
  static u8 buf[1 << 17];
  u64 at, bytes;
  pick_bytes(w, &at, &bytes);
  bool good = covered(w->ra_base, w->segment, at, bytes);
  CHECK(ram_backed(w->ram, RA(at), bytes) == good);
  if (good)
    for (u64 i = 0; i < bytes; i++) buf[i] = (u8)random_next(&w->rng);
  w->code_bytes = 0;
  CHECK(ram_write(w->ram, RA(at), buf, bytes) == good);
  if (!good) return;
  CHECK(w->code_bytes == model_written(w, at, bytes, true));
  for (u64 i = 0; i < bytes; i++) *model_byte(w, at + i) = buf[i];
}

static void op_read(struct world *w) {
  static u8 buf[1 << 17];
  u64 at, bytes;
  pick_bytes(w, &at, &bytes);
  bool good = covered(w->ra_base, w->segment, at, bytes);
  CHECK(ram_read(w->ram, RA(at), buf, bytes) == good);
  for (u64 i = 0; good && i < bytes; i++) CHECK(buf[i] == *model_byte(w, at + i));
}

static void op_zero(struct world *w) {
  u64 at, bytes;
  pick_bytes(w, &at, &bytes);
  if (rnd(w, 4) == 0) at = w->ra_base + rnd(w, BIG), bytes = rnd(w, BIG); /* enough to be punched out */
  bool good = covered(w->ra_base, w->segment, at, bytes);
  CHECK(ram_zero(w->ram, RA(at), bytes) == good);
  if (!good) return;
  model_written(w, at, bytes, false);
  for (u64 i = 0, n; i < bytes; i += n) {
    u8 *part = model_byte(w, at + i);
    n = K8 - (at + i) % K8 < bytes - i ? K8 - (at + i) % K8 : bytes - i;
    if (memcmp(part, zeros, n)) w->must[w->target[page_in(w->ra_base, at + i)]] = true;
    memset(part, 0, n);
  }
}

static void op_written(struct world *w) {
  u64 at, bytes;
  pick_bytes(w, &at, &bytes);
  w->code_bytes = 0;
  ram_written(w->ram, RA(at), bytes);
  wide end = (wide)w->ra_base + (wide)PAGES * K8; /* the model walks page by page: spare it the empty rest of 2^64 */
  if (at < w->ra_base) bytes = bytes > w->ra_base - at ? bytes - (w->ra_base - at) : 0, at = w->ra_base;
  if ((wide)at + bytes > end) bytes = at < end ? (u64)(end - at) : 0;
  if (bytes) CHECK(w->code_bytes == model_written(w, at, bytes, true));
}

/* Host bytes that follow ra without a break of segment, block or order. */
static u64 model_run(const struct world *w, u64 ra, bool within_segment) {
  int page = page_in(w->ra_base, ra), n = 1;
  while (page + n < PAGES && w->segment[page + n] && w->target[page + n] == w->target[page] + n &&
         w->block[w->target[page + n]] == w->block[w->target[page]] &&
         (!within_segment || w->segment[page + n] == w->segment[page]))
    n++;
  return (u64)n * K8 - ra % K8;
}

static void op_lookup(struct world *w) {
  u64 at, bytes;
  pick_bytes(w, &at, &bytes);
  int page = page_of(w->ra_base, at);
  struct ram_ref ref;
  bool found = ram_lookup(w->ram, RA(at), &ref);
  CHECK(found == (page >= 0 && w->segment[page]));
  if (!found) return;
  CHECK(ref.pa.v == w->pa_base + (u64)w->target[page] * K8 + at % K8 && ref.bytes == model_run(w, at, true));
  CHECK(*ref.host == *model_byte(w, at));
  const struct mblock *b = physmem_find(w->pm, ref.pa);
  u64 offset = ref.pa.v - b->base.v;
  CHECK(ref.page == b->page_map + offset / K8 && ref.region == b->region_map + offset / (2 << 20));
  CHECK(ref.code == b->code_map + offset / K8 && ref.host == b->host + offset);
}

static void op_map(struct world *w) {
  u64 at, bytes;
  pick_bytes(w, &at, &bytes);
  bool write = w->pin_count < MAX_PINS;
  bool good = bytes && covered(w->ra_base, w->segment, at, bytes) && bytes <= model_run(w, at, false);
  u8 *p = ram_map(w->ram, RA(at), bytes, write);
  CHECK((p != NULL) == good);
  if (!good) return;
  CHECK(*p == *model_byte(w, at) && p[bytes - 1] == *model_byte(w, at + bytes - 1));
  if (!write) return;
  model_written(w, at, bytes, true);
  w->pins[w->pin_count++] = (struct pin_note){.ra = at, .bytes = bytes};
  p[bytes - 1] = *model_byte(w, at + bytes - 1) = (u8)random_next(&w->rng);
}

static void op_unmap(struct world *w) {
  if (!w->pin_count) return;
  u64 i = rnd(w, (u64)w->pin_count);
  struct pin_note pin = w->pins[i];
  w->pins[i] = w->pins[--w->pin_count];
  struct ram_ref ref;
  CHECK(ram_lookup(w->ram, RA(pin.ra), &ref));
  *ref.host = *model_byte(w, pin.ra) = (u8)random_next(&w->rng);
  w->code_bytes = 0;
  ram_unmap(w->ram, RA(pin.ra), pin.bytes, true);
  CHECK(w->code_bytes == model_written(w, pin.ra, pin.bytes, true));
}

static void sink_seen(void *ctx, pa_t first, u64 pages) {
  struct world *w = ctx;
  CHECK(pages && first.v % K8 == 0 && (w->last_seen == 0 || first.v >= w->last_seen));
  for (u64 i = 0; i < pages; i++) w->seen[page_in(w->pa_base, first.v + i * K8)] = true;
  w->last_seen = first.v + pages * K8;
}

static void op_harvest(struct world *w) {
  u64 at, bytes, low = 0, high = 0;
  pick_pages(w, w->pa_base, &at, &bytes);
  const struct mblock *b = physmem_find(w->pm, PA(at));
  if (b && rnd(w, 2)) at = b->base.v, bytes = b->bytes;
  bool good = b && aligned(at, bytes) && covered(w->pa_base, w->block, at, bytes);
  if (good && bytes) good = w->block[page_of(w->pa_base, (wide)at + bytes - 1)] == w->block[page_of(w->pa_base, at)];
  memset(w->seen, 0, sizeof w->seen);
  w->last_seen = 0;
  u64 count = physmem_dirty_count(w->pm, PA(at), bytes);
  i64 n = physmem_harvest(w->pm, PA(at), bytes, NULL, sink_seen, w);
  CHECK(good ? n == (i64)count : n == -EINVAL && count == 0);
  if (!good) return;
  for (u64 i = 0; i < bytes / K8; i++) {
    int p = page_in(w->pa_base, at + i * K8);
    CHECK(!w->must[p] || w->seen[p]);
    CHECK(!w->seen[p] || w->may[p]);
    low += w->must[p], high += w->may[p];
    w->must[p] = w->may[p] = false;
  }
  CHECK((u64)n >= low && (u64)n <= high);
  for (int i = 0; i < w->pin_count; i++) { /* only what was harvested lost its mark; the others had it */
    struct pin_note pin = w->pins[i];
    model_written(w, pin.ra, pin.bytes, true);
  }
}

static void op_populated(struct world *w) {
  size_t count = physmem_block_count(w->pm);
  if (!count) return;
  const struct mblock *b = physmem_block(w->pm, (size_t)rnd(w, count));
  memset(w->seen, 0, sizeof w->seen);
  w->last_seen = 0;
  CHECK(physmem_populated(w->pm, b->base, b->bytes, sink_seen, w) >= 0);
  for (u64 i = 0; i < b->bytes / K8; i++) {
    int p = page_in(w->pa_base, b->base.v + i * K8);
    CHECK(w->seen[p] || memcmp(w->bytes[p], zeros, K8) == 0);
  }
}

static void code_listener(void *ctx, pa_t pa, u64 bytes) {
  struct world *w = ctx;
  CHECK(bytes && page_of(w->pa_base, pa.v) >= 0);
  w->code_bytes += bytes;
}

static void world_play(struct world *w, u64 seed, u64 operations) {
  static void (*const ops[])(struct world *) = {
      op_add_block, op_add_block, op_remove_block, op_add_segment, op_add_segment, op_remove_segment, op_write,
      op_write,     op_write,     op_read,         op_read,        op_zero,        op_written,        op_lookup,
      op_lookup,    op_map,       op_unmap,        op_harvest,     op_harvest,     op_populated,      op_remove_range,
      op_join,      op_discard};
  const u64 end = UINT64_MAX - (u64)PAGES * K8 + 1, bases[] = {0, (u64)1 << 40, end};
  memset(w, 0, sizeof *w);
  w->rng = seed;
  w->pa_base = bases[rnd(w, 3)];
  w->ra_base = bases[rnd(w, 3)];
  w->pm = physmem_new();
  w->ram = ram_new(w->pm);
  CHECK(w->pm && w->ram);
  physmem_set_code_listener(w->pm, code_listener, w);
  if (rnd(w, 2)) { /* a world that begins with something large */
    add_block(w, w->pa_base, (u64)PAGES * K8);
    add_segment(w, w->ra_base, (u64)PAGES * K8 - K8, w->pa_base + K8);
  }
  for (u64 i = 0; i < operations; i++) ops[rnd(w, ARRAY_LEN(ops))](w);
  ram_free(w->ram);
  physmem_free(w->pm);
}

int main(int argc, char **argv) {
  static struct world w;
  CHECK(argc == 4);
  u64 first = strtoull(argv[1], NULL, 10), seeds = strtoull(argv[2], NULL, 10), ops = strtoull(argv[3], NULL, 10);
  for (u64 seed = first; seed < first + seeds; seed++) {
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    world_play(&w, seed, ops);
  }
  puts("ok");
  return 0;
}
