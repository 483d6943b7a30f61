/* state.c - saving and loading a whole machine, and its digest.
 *
 *   magic, version | machine fields | hypervisor (hyp.c) | consoles | machine description | client's own | strands
 *   | pages: RA, 8 KiB ... | end mark
 *
 * Pages that hold only zeros are left out. Everything read is checked before it is used: an image may come from
 * anywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "strand/state.h"
#include "util/sha256.h"

enum { IMAGE_VERSION = 9 };
#define IMAGE_MAGIC 0x31656e696863616dull /* "machine1" */
#define IMAGE_END (~(u64)0)

#define MACHINE_FIELDS(X) \
  X(tick_base) X(tick_fraction) X(unit) X(turn) X(turn_left) X(insns) X(domain.tod_offset) X(domain.exit_code) \
  X(domain.console_event)

static void save_ring(const struct console_ring *r, struct writer *w) {
  put_u32(w, r->count);
  for (u32 i = 0; i < r->count; i++) put_u8(w, r->bytes[(r->start + i) % CONSOLE_BYTES]);
}

static bool load_ring(struct console_ring *r, struct reader *in) {
  u32 n = get_u32(in);
  if (n > CONSOLE_BYTES) return false;
  r->start = 0;
  r->count = n;
  get_bytes(in, r->bytes, n);
  return !in->failed;
}

static bool page_is_zero(const u8 *p) {
  return p[0] == 0 && memcmp(p, p + 1, PAGE_BYTES - 1) == 0;
}

struct page_walk {
  const s4v_machine *machine;
  void (*page)(void *ctx, u64 ra, const u8 *bytes);
  void *ctx;
};

static void walk_extent(void *ctx, pa_t first, u64 pages) {
  struct page_walk *walk = ctx;
  for (u64 i = 0; i < pages; i++) {
    u64 ra = first.v + i * PAGE_BYTES;
    const u8 *p = s4v_mem_ptr(walk->machine, ra, PAGE_BYTES);
    if (p && !page_is_zero(p)) walk->page(walk->ctx, ra, p);
  }
}

static void each_page(const s4v_machine *m, void (*page)(void *, u64, const u8 *), void *ctx) {
  struct page_walk walk = {m, page, ctx};
  physmem_populated(m->physmem, PA(0), walk_extent, &walk);
}

static void save_page(void *ctx, u64 ra, const u8 *bytes) {
  put_u64(ctx, ra);
  put_bytes(ctx, bytes, PAGE_BYTES);
}

/* The state of everything but memory. Strands are normalised on the way: their state stays the same. */
static void save_core(const s4v_machine *m, struct writer *w) {
  put_u64(w, IMAGE_MAGIC);
  put_u32(w, IMAGE_VERSION);
  put_bytes(w, &m->config, sizeof m->config);
#define X(field) put_u64(w, m->field);
  MACHINE_FIELDS(X)
#undef X
  hyp_save(&m->domain, w);
  save_ring(&m->domain.input, w);
  save_ring(&m->domain.output, w);
  blob_save(&m->domain.md, w);
  blob_save(&m->domain.client, w);
  for (u32 i = 0; i < m->domain.strand_count; i++) strand_save(m->domain.strands[i], w);
}

static void save_all(const s4v_machine *m, struct writer *w) {
  save_core(m, w);
  each_page(m, save_page, w);
  put_u64(w, IMAGE_END);
}

int64_t s4v_state_size(const s4v_machine *m) {
  struct writer w = writer_counting();
  save_all(m, &w);
  return (int64_t)w.used;
}

int64_t s4v_state_save(const s4v_machine *m, void *buf, size_t len) {
  struct writer w = writer_over(buf, len);
  save_all(m, &w);
  return w.failed ? S4V_EINVAL : (int64_t)w.used;
}

static int refuse(char *err, size_t err_bytes, const char *why) {
  snprintf(err, err_bytes, "%s", why);
  return S4V_EFORMAT;
}

static void clear_extent(void *ctx, pa_t first, u64 pages) {
  s4v_machine *m = ctx;
  for (u64 i = 0; i < pages; i++) {
    u64 ra = first.v + i * PAGE_BYTES;
    const u8 *p = s4v_mem_ptr(m, ra, PAGE_BYTES);
    if (p && !page_is_zero(p)) ram_zero(m->domain.env.ram, RA(ra), PAGE_BYTES);
  }
}

static bool load_pages(s4v_machine *m, struct reader *in) {
  physmem_populated(m->physmem, PA(0), clear_extent, m);
  for (;;) {
    u64 ra = get_u64(in);
    if (ra == IMAGE_END) return reader_done(in);
    const u8 *page = reader_take(in, PAGE_BYTES);
    if (!page || (ra & (PAGE_BYTES - 1)) || s4v_mem_write(m, ra, page, PAGE_BYTES)) return false;
  }
}

static bool load_core(s4v_machine *m, struct reader *in) {
#define X(field) m->field = (__typeof__(m->field))get_u64(in);
  MACHINE_FIELDS(X)
#undef X
  bool good = m->unit >= 1 && m->unit <= TICK_UNIT && m->turn < m->domain.strand_count && m->tick_fraction < TICK_UNIT;
  if (!hyp_load(&m->domain, in)) return false;
  if (!load_ring(&m->domain.input, in) || !load_ring(&m->domain.output, in)) return false;
  if (!blob_load(&m->domain.md, in) || !blob_load(&m->domain.client, in) || in->failed) return false;
  for (u32 i = 0; good && i < m->domain.strand_count; i++) good = strand_load(m->domain.strands[i], in);
  return good && !in->failed;
}

/* A refused image leaves the machine reset, with its memory as the image had it so far, and its crypto units. */
static int give_up(s4v_machine *m, const struct ncs *before, char *err, size_t err_bytes, const char *why) {
  for (u32 i = 0; i < m->domain.strand_count; i++) strand_reset(m->domain.strands[i]);
  m->tick_fraction = m->turn = 0;
  hyp_init(&m->domain, m->config.rng_seed);
  for (u32 i = 0; i < before->count; i++) {
    const struct ncs_unit *u = &before->unit[i];
    u32 cpus[NCS_CPUS];
    for (u32 n = 0; n < u->cpu_count; n++) cpus[n] = u->cpu[n];
    ncs_add(&m->domain, u->kind, u->ino, cpus, u->cpu_count);
  }
  m->domain.input.count = m->domain.output.count = 0;
  machine_new_turn(m);
  return refuse(err, err_bytes, why);
}

static int load_all(s4v_machine *m, const struct ncs *before, struct reader *in, char *err, size_t err_bytes) {
  if (!load_core(m, in)) return give_up(m, before, err, err_bytes, "state image is damaged");
  if (!load_pages(m, in)) return give_up(m, before, err, err_bytes, "state image is damaged in its memory pages");
  m->host_start_ns = machine_host_ns();
  return S4V_OK;
}

int s4v_state_load(s4v_machine *m, const void *buf, size_t len, char *err, size_t err_bytes) {
  struct reader in = reader_over(buf, len);
  s4v_config config;
  if (get_u64(&in) != IMAGE_MAGIC) return refuse(err, err_bytes, "not a machine state image");
  if (get_u32(&in) != IMAGE_VERSION) return refuse(err, err_bytes, "state image of another version");
  get_bytes(&in, &config, sizeof config);
  if (in.failed) return refuse(err, err_bytes, "state image is truncated");
  if (memcmp(&config, &m->config, sizeof config))
    return refuse(err, err_bytes, "state image of a machine with another configuration");
  struct ncs *before = malloc(sizeof *before);
  if (!before) return refuse(err, err_bytes, "the host has not enough memory to load a state image");
  *before = m->domain.ncs;
  int status = load_all(m, before, &in, err, err_bytes);
  free(before);
  return status;
}

static void digest_page(void *ctx, u64 ra, const u8 *bytes) {
  sha256_update(ctx, &ra, sizeof ra);
  sha256_update(ctx, bytes, PAGE_BYTES);
}

void s4v_digest(s4v_machine *m, uint8_t out[32]) {
  struct writer count = writer_counting();
  struct sha256 hash;
  sha256_init(&hash);
  save_core(m, &count);
  u8 *core = malloc(count.used);
  if (core) {
    struct writer w = writer_over(core, count.used);
    save_core(m, &w);
    sha256_update(&hash, core, w.used);
    free(core);
  }
  each_page(m, digest_page, &hash);
  sha256_final(&hash, out);
}
