/* memory.c - the domain's memory: blocks that come and go, bytes, dirty marks. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "strand/share.h"

enum { MOST_BLOCKS = 4096, PA_BITS = 56 };

int machine_refuse(int status, char *err, size_t bytes, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(err, bytes, format, args);
  va_end(args);
  return status;
}

/* ---- blocks ---- */

/* True if the two ranges, which do not wrap, have a byte in common. */
static bool overlap(u64 a, u64 a_bytes, u64 b, u64 b_bytes) { return a < b + b_bytes && b < a + a_bytes; }

static int check_new(const s4v_machine *m, u64 ra, u64 pa, u64 bytes, char *err, size_t err_bytes) {
  const struct ram *ram = m->domain.env.ram;
  u64 limit = m->config.ra_limit;
  if ((ra | pa | bytes) & (PAGE_BYTES - 1) || bytes == 0)
    return machine_refuse(S4V_EINVAL, err, err_bytes, "addresses and size of memory must be multiples of 8 KiB");
  if (bytes > limit || ra > limit - bytes)
    return machine_refuse(S4V_EINVAL, err, err_bytes, "real addresses of memory must be below %#llx", (unsigned long long)limit);
  if (pa >> PA_BITS || (pa + bytes - 1) >> PA_BITS)
    return machine_refuse(S4V_EINVAL, err, err_bytes, "physical addresses must be below 2^%d", PA_BITS);
  if (ram_segment_count(ram) >= MOST_BLOCKS)
    return machine_refuse(S4V_EINVAL, err, err_bytes, "a domain has at most %d blocks of memory", MOST_BLOCKS);
  for (size_t i = 0; i < ram_segment_count(ram); i++) {
    ra_t at;
    pa_t place;
    u64 there;
    ram_segment(ram, i, &at, &there, &place);
    if (overlap(ra, bytes, at.v, there))
      return machine_refuse(S4V_EINVAL, err, err_bytes, "there is memory at real address %#llx already", (unsigned long long)at.v);
    if (overlap(pa, bytes, place.v, there))
      return machine_refuse(S4V_EINVAL, err, err_bytes, "the memory at physical address %#llx is in use", (unsigned long long)place.v);
  }
  return S4V_OK;
}

/* The first byte at or after pa, below end, that no memfd holds; end: all are held. */
static u64 next_gap(const struct physmem *pm, u64 pa, u64 end) {
  const struct mblock *b;
  while (pa < end && (b = physmem_find(pm, PA(pa)))) pa = b->base.v + b->bytes;
  return pa < end ? pa : end;
}

static u64 gap_end(const struct physmem *pm, u64 pa, u64 end) {
  for (size_t i = 0; i < physmem_block_count(pm); i++) {
    u64 base = physmem_block(pm, i)->base.v;
    if (base >= pa && base < end) return base;
  }
  return end;
}

/* What was removed before may still have its memfd, emptied; the rest gets new ones. */
static int make_blocks(s4v_machine *m, u64 pa, u64 bytes) {
  u64 end = pa + bytes;
  for (u64 at = next_gap(m->physmem, pa, end); at < end; at = next_gap(m->physmem, at, end)) {
    char label[32];
    snprintf(label, sizeof label, "ram-%llx", (unsigned long long)at);
    int rc = physmem_add_block(m->physmem, PA(at), gap_end(m->physmem, at, end) - at, label);
    if (rc) return rc;
  }
  return 0;
}

int s4v_memory_add(s4v_machine *m, uint64_t ra, uint64_t pa, uint64_t bytes, char *err, size_t err_bytes) {
  int status = check_new(m, ra, pa, bytes, err, err_bytes);
  if (status) return status;
  pthread_rwlock_wrlock(&m->domain.reach);
  int rc = make_blocks(m, pa, bytes);
  if (!rc) rc = ram_add_segment(m->domain.env.ram, RA(ra), bytes, PA(pa));
  if (!rc)
    ram_join(m->domain.env.ram);
  else
    physmem_discard(m->physmem, PA(pa), bytes);
  pthread_rwlock_unlock(&m->domain.reach);
  if (rc) return machine_refuse(S4V_ENOMEM, err, err_bytes, "the host gives no memory for it: %s", strerror(-rc));
  return S4V_OK;
}

struct extent {
  u64 pa, bytes;
};

/* Where a range lies in physical memory. NULL: the host has no memory. */
static struct extent *find_extents(const struct ram *ram, u64 ra, u64 bytes, size_t *count) {
  struct extent *found = NULL;
  size_t n = 0;
  for (u64 done = 0; done < bytes;) {
    struct extent *grown = realloc(found, (n + 1) * sizeof *found);
    struct ram_ref ref;
    if (!grown || !ram_place(ram, RA(ra + done), &ref)) {
      free(grown ? grown : found);
      return NULL;
    }
    found = grown;
    found[n].pa = ref.pa.v;
    found[n].bytes = ref.bytes < bytes - done ? ref.bytes : bytes - done;
    done += found[n++].bytes;
  }
  *count = n;
  return found;
}

static int check_old(const s4v_machine *m, u64 ra, u64 bytes, char *err, size_t err_bytes) {
  char user[80];
  if ((ra | bytes) & (PAGE_BYTES - 1) || bytes == 0)
    return machine_refuse(S4V_EINVAL, err, err_bytes, "address and size of memory must be multiples of 8 KiB");
  if (!ram_backed(m->domain.env.ram, RA(ra), bytes))
    return machine_refuse(S4V_EFAULT, err, err_bytes, "not all of it is memory of the domain");
  if (hyp_memory_user(&m->domain, ra, ra + (bytes - 1), user, sizeof user))
    return machine_refuse(S4V_EBUSY, err, err_bytes, "%s is there", user);
  return S4V_OK;
}

/* Errors behind memory go with it. False: what is left of a range on both sides does not fit the list. */
static int take_away(s4v_machine *m, u64 ra, u64 bytes, char *err, size_t err_bytes) {
  struct domain *d = &m->domain;
  struct poison before = d->poison;
  if (!poison_remove(d, ra, bytes))
    return machine_refuse(S4V_EFULL, err, err_bytes, "the list of memory errors is full, and one of them would be split");
  int rc = ram_remove(d->env.ram, RA(ra), bytes);
  if (!rc) return S4V_OK;
  d->poison = before;
  d->env.poison_count = before.count;
  if (rc == -EBUSY) return machine_refuse(S4V_EBUSY, err, err_bytes, "a device has mapped it");
  return machine_refuse(S4V_ENOMEM, err, err_bytes, "the host has not enough memory to take it away");
}

int s4v_memory_remove(s4v_machine *m, uint64_t ra, uint64_t bytes, char *err, size_t err_bytes) {
  size_t count = 0;
  int status = check_old(m, ra, bytes, err, err_bytes);
  if (status) return status;
  struct extent *extents = find_extents(m->domain.env.ram, ra, bytes, &count);
  if (!extents) return machine_refuse(S4V_ENOMEM, err, err_bytes, "the host has not enough memory to take it away");
  machine_disks_settle(m);
  machine_drop_code(m); /* before the bytes that say where code is */
  pthread_rwlock_wrlock(&m->domain.reach);
  status = take_away(m, ra, bytes, err, err_bytes);
  for (size_t i = 0; !status && i < count; i++) physmem_discard(m->physmem, PA(extents[i].pa), extents[i].bytes);
  pthread_rwlock_unlock(&m->domain.reach);
  free(extents);
  if (!status) hyp_forget_translations(&m->domain);
  return status;
}

int s4v_memory_block(const s4v_machine *m, uint32_t n, s4v_block *out) {
  ra_t ra;
  pa_t pa;
  u64 bytes;
  if (ram_piece(m->domain.env.ram, n, &ra, &bytes, &pa)) return S4V_ENOENT;
  const struct mblock *b = physmem_find(m->physmem, pa);
  u64 offset = b->offset + (pa.v - b->base.v);
  *out = (s4v_block){
      .ra = ra.v, .pa = pa.v, .bytes = bytes, .memory_offset = offset, .page_map_offset = offset >> PAGE_BITS,
      .region_map_offset = mblock_region_offset(b->offset + b->bytes), .memory_fd = b->fd, .map_fd = b->map_fd,
  };
  return S4V_OK;
}

uint64_t s4v_memory_run(const s4v_machine *m, uint64_t ra) {
  struct ram_ref ref;
  u64 bytes = 0;
  while (ram_place(m->domain.env.ram, RA(ra + bytes), &ref)) bytes += ref.bytes;
  return bytes;
}

/* ---- bytes ---- */

int s4v_mem_read(const s4v_machine *m, uint64_t ra, void *buf, size_t len) {
  return ram_read(m->domain.env.ram, RA(ra), buf, len) ? S4V_OK : S4V_EFAULT;
}

int s4v_mem_write(s4v_machine *m, uint64_t ra, const void *buf, size_t len) {
  return ram_write(m->domain.env.ram, RA(ra), buf, len) ? S4V_OK : S4V_EFAULT;
}

const void *s4v_mem_ptr(const s4v_machine *m, uint64_t ra, size_t len) {
  struct ram_ref ref;
  if (!ram_place(m->domain.env.ram, RA(ra), &ref) || ref.bytes < len) return NULL;
  return ram_map(m->domain.env.ram, RA(ra), len ? len : 1, false);
}

/* ---- what a walk over memory meets: pieces by ascending real address, in each the physical addresses go on ---- */

struct walk {
  const s4v_machine *machine;
  u64 ra_of_pa; /* what makes a physical address of the piece a real one */
  page_sink page;
  void *ctx;
};

static bool page_is_zero(const u8 *p) { return p[0] == 0 && memcmp(p, p + 1, PAGE_BYTES - 1) == 0; }

static void walk_extent(void *ctx, pa_t first, u64 pages) {
  const struct walk *walk = ctx;
  for (u64 i = 0; i < pages; i++) {
    u64 ra = first.v + i * PAGE_BYTES + walk->ra_of_pa;
    const u8 *p = s4v_mem_ptr(walk->machine, ra, PAGE_BYTES);
    if (p && !page_is_zero(p)) walk->page(walk->ctx, ra, p);
  }
}

void machine_each_page(const s4v_machine *m, page_sink page, void *ctx) {
  ra_t ra;
  pa_t pa;
  u64 bytes;
  for (size_t i = 0; ram_piece(m->domain.env.ram, i, &ra, &bytes, &pa) == 0; i++) {
    struct walk walk = {.machine = m, .ra_of_pa = ra.v - pa.v, .page = page, .ctx = ctx};
    physmem_populated(m->physmem, pa, bytes, walk_extent, &walk);
  }
}

/* Where there is memory, however it is cut into blocks and wherever these lie: ranges, then 0, 0. */
static bool next_range(const s4v_machine *m, size_t *i, u64 *ra, u64 *bytes) {
  ra_t at;
  pa_t pa;
  if (ram_segment(m->domain.env.ram, *i, &at, bytes, &pa)) return false;
  *ra = at.v;
  u64 more;
  while (ram_segment(m->domain.env.ram, ++*i, &at, &more, &pa) == 0 && at.v == *ra + *bytes) *bytes += more;
  return true;
}

void machine_save_layout(const s4v_machine *m, struct writer *w) {
  u64 ra, bytes;
  for (size_t i = 0; next_range(m, &i, &ra, &bytes);) {
    put_u64(w, ra);
    put_u64(w, bytes);
  }
  put_u64(w, 0);
  put_u64(w, 0);
}

bool machine_same_memory(const s4v_machine *m, struct reader *in) {
  u64 ra, bytes;
  bool same = true;
  for (size_t i = 0; next_range(m, &i, &ra, &bytes);) {
    same = same && get_u64(in) == ra && get_u64(in) == bytes;
    if (!same) return false;
  }
  return get_u64(in) == 0 && get_u64(in) == 0 && !in->failed;
}

/* ---- dirty marks ---- */

struct harvest {
  s4v_machine *machine;
  u64 ra_of_pa;
  u64 *pages;
  size_t count, max;
};

static void harvest_pages(void *ctx, pa_t first, u64 pages) {
  struct harvest *h = ctx;
  for (u64 i = 0; i < pages; i++, h->count++)
    if (h->count < h->max) h->pages[h->count] = ((first.v + h->ra_of_pa) >> PAGE_BITS) + i;
}

/* The strands rest: each gives its write permissions back before it runs again, and that is the whole handshake. */
static void harvest_rest(void *ctx) {
  struct harvest *h = ctx;
  s4v_dirty_barrier(h->machine);
}

void s4v_dirty_barrier(s4v_machine *m) { strand_ask_writes(&m->domain.env, NULL); }

int64_t s4v_dirty_harvest(s4v_machine *m, uint64_t *pages, size_t max) {
  struct harvest h = {.machine = m, .pages = pages, .max = max};
  ra_t ra;
  pa_t pa;
  u64 bytes;
  if ((u64)s4v_dirty_count(m) > max) return S4V_EINVAL;
  for (size_t i = 0; ram_piece(m->domain.env.ram, i, &ra, &bytes, &pa) == 0; i++) {
    h.ra_of_pa = ra.v - pa.v;
    if (physmem_harvest(m->physmem, pa, bytes, harvest_rest, harvest_pages, &h) < 0) return S4V_ENOMEM;
  }
  return (int64_t)h.count;
}

int64_t s4v_dirty_count(const s4v_machine *m) {
  ra_t ra;
  pa_t pa;
  u64 bytes, count = 0;
  for (size_t i = 0; ram_piece(m->domain.env.ram, i, &ra, &bytes, &pa) == 0; i++)
    count += physmem_dirty_count(m->physmem, pa, bytes);
  return (int64_t)count;
}
