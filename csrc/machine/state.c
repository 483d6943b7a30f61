/* state.c - saving and loading a whole machine, and its digest.
 *
 *   magic, version | configuration | where memory is | which strands there are | the parts (parts.h) | pages: RA, 8 KiB ... |
 *   end mark
 *
 * Pages that hold only zeros are left out. Physical addresses are not in it: what a guest cannot see is no part of its state.
 * Everything read is checked before it is used: an image may come from anywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/parts.h"
#include "util/sha256.h"

enum { IMAGE_VERSION = 10 };
#define IMAGE_MAGIC 0x31656e696863616dull /* "machine1" */
#define IMAGE_END (~(u64)0)

/* What two machines must have in common to take each other's images: not how much there is of what may change, nor where
 * clock and random numbers began, for where they are now is in the parts. */
static void strip(s4v_config *c) {
  c->memory_bytes = 0;
  c->strands = 0;
  c->tod_seconds = 0;
  c->rng_seed = 0;
}

static s4v_config comparable(const s4v_machine *m) {
  s4v_config c = m->config;
  strip(&c);
  return c;
}

static void save_shape(const s4v_machine *m, struct writer *w) {
  s4v_config config = comparable(m);
  put_bytes(w, &config, sizeof config);
  machine_save_layout(m, w);
  parts_save_strand_ids(m, w);
}

static void save_page(void *ctx, u64 ra, const u8 *bytes) {
  put_u64(ctx, ra);
  put_bytes(ctx, bytes, PAGE_BYTES);
}

/* The state of everything but memory. */
static void save_core(const s4v_machine *m, struct writer *w) {
  put_u64(w, IMAGE_MAGIC);
  put_u32(w, IMAGE_VERSION);
  save_shape(m, w);
  for (u32 i = 0; i < PART_COUNT; i++) parts[i].save(m, w);
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

static bool load_parts(s4v_machine *m, struct reader *in) {
  for (u32 i = 0; i < PART_COUNT; i++)
    if (!parts[i].load(m, in)) return false;
  return true;
}

static int load_all(s4v_machine *m, const struct before *before, struct reader *in, char *err, size_t err_bytes) {
  const char *why = NULL;
  if (!load_parts(m, in))
    why = "state image is damaged";
  else if (!load_pages(m, in))
    why = "state image is damaged in its memory pages";
  m->host_start_ns = machine_host_ns();
  if (!why) return S4V_OK;
  before_restore(before, m);
  return refuse(err, err_bytes, why);
}

static int load_with(s4v_machine *m, const struct before *before, struct reader *in, char *err, size_t err_bytes) {
  u32 n = parts_load_strand_ids(m, before->wanted, in);
  if (n == 0) return refuse(err, err_bytes, "state image is damaged");
  if (!machine_set_strands(m, before->wanted, n))
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
  strip(&config);
  if (memcmp(&config, &ours, sizeof config))
    return refuse(err, err_bytes, "state image of a machine with another configuration");
  if (!machine_same_memory(m, &in))
    return refuse(err, err_bytes, "state image of a machine with memory at other real addresses");
  machine_disks_settle(m);
  struct before before;
  if (!before_take(&before, m)) return refuse(err, err_bytes, "the host has not enough memory to load a state image");
  int status = load_with(m, &before, &in, err, err_bytes);
  before_drop(&before);
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
