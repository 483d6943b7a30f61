/* state.c - saving and loading a whole machine, and its digest.
 *
 *   magic, version | configuration | where memory is | which strands there are | machine fields | hypervisor (hyp.c) | consoles
 *   | machine description | client's own | strands | pages: RA, 8 KiB ... | end mark
 *
 * Pages that hold only zeros are left out. Physical addresses are not in it: what a guest cannot see is no part of its state.
 * Everything read is checked before it is used: an image may come from anywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "strand/state.h"
#include "util/sha256.h"

enum { IMAGE_VERSION = 10 };
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

/* What two machines must have in common to take each other's images. */
static s4v_config comparable(const s4v_machine *m) {
  s4v_config c = m->config;
  c.memory_bytes = 0;
  c.strands = 0;
  return c;
}

static void save_shape(const s4v_machine *m, struct writer *w) {
  s4v_config config = comparable(m);
  put_bytes(w, &config, sizeof config);
  machine_save_layout(m, w);
  put_u32(w, m->domain.strand_count);
  for (u32 i = 0; i < m->domain.strand_count; i++) put_u32(w, m->domain.strands[i]->id);
}

static void save_page(void *ctx, u64 ra, const u8 *bytes) {
  put_u64(ctx, ra);
  put_bytes(ctx, bytes, PAGE_BYTES);
}

/* The state of everything but memory. Strands are normalised on the way: their state stays the same. */
static void save_core(const s4v_machine *m, struct writer *w) {
  put_u64(w, IMAGE_MAGIC);
  put_u32(w, IMAGE_VERSION);
  save_shape(m, w);
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
  machine_each_page(m, save_page, w);
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

static void clear_page(void *ctx, u64 ra, const u8 *bytes) {
  (void)bytes;
  ram_zero(((s4v_machine *)ctx)->domain.env.ram, RA(ra), PAGE_BYTES);
}

static bool load_pages(s4v_machine *m, struct reader *in) {
  machine_each_page(m, clear_page, m);
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

/* What a refused image gives back. */
struct before {
  struct ncs ncs;
  u32 strand_count;
  uint32_t *strands;
};

/* A refused image leaves the machine reset, with its memory as the image had it so far, its strands and its crypto units. */
static int give_up(s4v_machine *m, const struct before *before, char *err, size_t err_bytes, const char *why) {
  machine_set_strands(m, before->strands, before->strand_count); /* they have been there: their memory still is */
  for (u32 i = 0; i < m->domain.strand_count; i++) strand_reset(m->domain.strands[i]);
  m->tick_fraction = m->turn = 0;
  hyp_init(&m->domain, m->config.rng_seed);
  for (u32 i = 0; i < before->ncs.count; i++) {
    const struct ncs_unit *u = &before->ncs.unit[i];
    u32 cpus[NCS_CPUS];
    for (u32 n = 0; n < u->cpu_count; n++) cpus[n] = u->cpu[n];
    ncs_add(&m->domain, u->kind, u->ino, cpus, u->cpu_count);
  }
  m->domain.input.count = m->domain.output.count = 0;
  machine_new_turn(m);
  return refuse(err, err_bytes, why);
}

/* Ids of the image's strands, ascending; 0: malformed. */
static u32 get_strands(const s4v_machine *m, u32 *ids, struct reader *in) {
  u32 n = get_u32(in);
  if (in->failed || n > m->domain.max_strands) return 0;
  for (u32 i = 0; i < n; i++) {
    ids[i] = get_u32(in);
    if (in->failed || ids[i] >= m->domain.max_strands || (i && ids[i] <= ids[i - 1])) return 0;
  }
  return n;
}

static int load_all(s4v_machine *m, const struct before *before, struct reader *in, char *err, size_t err_bytes) {
  if (!load_core(m, in)) return give_up(m, before, err, err_bytes, "state image is damaged");
  if (!load_pages(m, in)) return give_up(m, before, err, err_bytes, "state image is damaged in its memory pages");
  m->host_start_ns = machine_host_ns();
  return S4V_OK;
}

static int load_with(s4v_machine *m, struct before *before, uint32_t *ids, struct reader *in, char *err, size_t err_bytes) {
  u32 n = get_strands(m, ids, in);
  if (n == 0) return refuse(err, err_bytes, "state image is damaged");
  before->ncs = m->domain.ncs;
  before->strand_count = s4v_strands(m, before->strands, m->domain.max_strands);
  if (!machine_set_strands(m, ids, n))
    return refuse(err, err_bytes, "the host has not enough memory for the strands of the state image");
  return load_all(m, before, in, err, err_bytes);
}

int s4v_state_load(s4v_machine *m, const void *buf, size_t len, char *err, size_t err_bytes) {
  struct reader in = reader_over(buf, len);
  s4v_config config, ours = comparable(m);
  if (get_u64(&in) != IMAGE_MAGIC) return refuse(err, err_bytes, "not a machine state image");
  if (get_u32(&in) != IMAGE_VERSION) return refuse(err, err_bytes, "state image of another version");
  get_bytes(&in, &config, sizeof config);
  if (in.failed) return refuse(err, err_bytes, "state image is truncated");
  if (memcmp(&config, &ours, sizeof config))
    return refuse(err, err_bytes, "state image of a machine with another configuration");
  if (!machine_same_memory(m, &in))
    return refuse(err, err_bytes, "state image of a machine with memory at other real addresses");
  machine_disks_settle(m);
  struct before *before = malloc(sizeof *before);
  uint32_t *ids = calloc(2 * (size_t)m->domain.max_strands, sizeof *ids);
  int status = S4V_EFORMAT;
  if (before && ids) {
    before->strands = ids + m->domain.max_strands;
    status = load_with(m, before, ids, &in, err, err_bytes);
  } else {
    refuse(err, err_bytes, "the host has not enough memory to load a state image");
  }
  free(before);
  free(ids);
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
  machine_each_page(m, digest_page, &hash);
  sha256_final(&hash, out);
}
