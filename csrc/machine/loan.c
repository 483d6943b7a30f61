/* loan.c - a guest's memory is handed from one machine to another by its memfds. docs/internals/moving.md. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

enum { MOST_LOANS = 8192 };

struct cut { /* places of two lists of ranges, cut at the borders of both */
  struct physmem_loan *loans;
  size_t count;
};

static int by_base(const void *a, const void *b) {
  const struct physmem_loan *x = a, *y = b;
  return (x->base.v > y->base.v) - (x->base.v < y->base.v);
}

/* The part of a given block that lies in a piece of ours. */
static bool cut_add(struct cut *cut, const s4v_block *given, u64 ra, u64 bytes, u64 pa) {
  u64 from = given->ra > ra ? given->ra : ra;
  u64 given_end = given->ra + given->bytes, end = ra + bytes < given_end ? ra + bytes : given_end;
  if (from >= end) return true;
  if (cut->count == MOST_LOANS) return false;
  cut->loans[cut->count++] = (struct physmem_loan){
    .base = PA(pa + (from - ra)), .bytes = end - from, .offset = given->memory_offset + (from - given->ra), .fd = given->memory_fd,
  };
  return true;
}

static bool given_ok(const s4v_block *blocks, u32 count) {
  const u64 most = (u64)1 << 56;
  for (u32 i = 0; i < count; i++) {
    const s4v_block *b = blocks + i;
    if ((b->ra | b->bytes | b->memory_offset) % PAGE_BYTES || b->bytes == 0 || b->bytes > most || b->ra > most || b->memory_offset > most)
      return false;
    if (i && b[-1].ra + b[-1].bytes > b->ra) return false;
  }
  return true;
}

/* Both lists ascend by real address. */
static bool cut_all(const s4v_machine *m, const s4v_block *blocks, u32 count, struct cut *cut) {
  ra_t ra;
  pa_t pa;
  u64 bytes;
  u32 n = 0;
  for (size_t i = 0; ram_segment(m->domain.env.ram, i, &ra, &bytes, &pa) == 0; i++) {
    while (n && n < count && blocks[n].ra > ra.v) n--;
    for (; n < count && blocks[n].ra < ra.v + bytes; n++)
      if (!cut_add(cut, blocks + n, ra.v, bytes, pa.v)) return false;
    if (n) n--; /* one may reach into the next segment */
  }
  return true;
}

static u64 total(const s4v_block *blocks, u32 count) {
  u64 sum = 0;
  for (u32 i = 0; i < count; i++) sum += blocks[i].bytes;
  return sum;
}

static int exchange(s4v_machine *m, const s4v_block *blocks, u32 count, struct cut *cut, char *err, size_t err_bytes) {
  u64 covered = 0;
  if (!given_ok(blocks, count) || !cut_all(m, blocks, count, cut))
    return machine_refuse(S4V_EINVAL, err, err_bytes, "these are no blocks of memory");
  for (size_t i = 0; i < cut->count; i++) covered += cut->loans[i].bytes;
  if (covered != total(blocks, count)) return machine_refuse(S4V_EINVAL, err, err_bytes, "the memory is at other real addresses");
  qsort(cut->loans, cut->count, sizeof *cut->loans, by_base);
  int rc = physmem_exchange(m->physmem, m->domain.env.ram, cut->loans, cut->count);
  switch (rc) {
    case 0: return S4V_OK;
    case -EINVAL: return machine_refuse(S4V_EINVAL, err, err_bytes, "the memory is at other addresses, or not where large pages begin, or no memory");
    case -EBUSY: return machine_refuse(S4V_EBUSY, err, err_bytes, "a device has mapped memory");
    default: return machine_refuse(S4V_ENOMEM, err, err_bytes, "the host gives no memory for it: %s", strerror(-rc));
  }
}

int s4v_memory_adopt(s4v_machine *m, const s4v_block *blocks, uint32_t count, char *err, size_t err_bytes) {
  struct cut cut = {.loans = calloc(MOST_LOANS, sizeof *cut.loans)};
  if (!cut.loans) return machine_refuse(S4V_ENOMEM, err, err_bytes, "the host has not enough memory");
  machine_disks_settle(m);
  machine_drop_code(m);
  int status = exchange(m, blocks, count, &cut, err, err_bytes);
  free(cut.loans);
  if (status == S4V_OK) hyp_forget_translations(&m->domain);
  return status;
}

int s4v_presence_begin(s4v_machine *m, int32_t *fd, int32_t *bell) {
  int rc = presence_begin(m->domain.env.ram);
  if (rc) return rc == -EBUSY ? S4V_EBUSY : S4V_ENOMEM;
  *fd = presence_fd(m->domain.env.ram);
  *bell = presence_bell(m->domain.env.ram);
  return S4V_OK;
}

int s4v_presence_end(s4v_machine *m) {
  if (presence_missing(m->domain.env.ram)) return S4V_EBUSY;
  presence_end(m->domain.env.ram);
  return S4V_OK;
}

uint64_t s4v_presence_missing(const s4v_machine *m) { return presence_missing(m->domain.env.ram); }

void s4v_presence_waits(const s4v_machine *m, s4v_waits *out) {
  struct page_waits found = presence_waits(m->domain.env.ram);
  *out = (s4v_waits){found.count, found.half_ns, found.most_ns, found.longest_ns};
}

void s4v_presence_give_up(s4v_machine *m) { presence_give_up(m->domain.env.ram); }

int s4v_memory_part(s4v_machine *m) {
  machine_disks_settle(m);
  machine_drop_code(m);
  hyp_forget_translations(&m->domain);
  return physmem_part(m->physmem) == 0 ? S4V_OK : S4V_ENOMEM;
}
