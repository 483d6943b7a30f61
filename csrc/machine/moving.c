/* moving.c - the state of everything but memory, for a machine of another server that has the memory already.
 *
 *   section   name (16, NULs behind), version (4), flags (4, bit 0: required), bytes behind (8), bytes
 *
 * `chip` is what the guest was told of the hardware, and stays true for it: the target takes it over where it can do all of
 * that, whatever it has besides. `memory` is where memory is, `cpus` the strands there are; then the parts (parts.h). All is
 * checked before it is used: an image may come from anywhere. docs/internals/moving.md.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "machine/parts.h"

enum { NAME_BYTES = 16, REQUIRED = 1, CHIP_VERSION = 1, SHAPE_VERSION = 1 };
enum section { CHIP, MEMORY, CPUS, FIRST_PART, SECTIONS = FIRST_PART + PART_COUNT };
#define LEAST_HZ 1000000ull
#define MOST_HZ 100000000000ull

/* Of the configuration: what the guest sees, and how its time passes. */
#define CHIP_FIELDS(X) \
  X(features) X(cfr) X(cfr_present) X(va_bits) X(page_sizes) X(max_tsbs) X(stick_hz) X(tick_hz) X(ra_limit) \
  X(rng_control) X(rng_layout) X(deterministic) X(quantum)

static void save_chip(const s4v_machine *m, struct writer *w) {
#define X(field) put_u64(w, m->config.field);
  CHIP_FIELDS(X)
#undef X
}

static void put_section(const s4v_machine *m, const char *name, u32 version,
                        void (*save)(const s4v_machine *, struct writer *), struct writer *w) {
  struct writer count = writer_counting();
  save(m, &count);
  char padded[NAME_BYTES] = {0};
  memcpy(padded, name, strlen(name));
  put_bytes(w, padded, sizeof padded);
  put_u32(w, version);
  put_u32(w, REQUIRED);
  put_u64(w, count.used);
  save(m, w);
}

static void save_sections(const s4v_machine *m, struct writer *w) {
  put_section(m, "chip", CHIP_VERSION, save_chip, w);
  put_section(m, "memory", SHAPE_VERSION, machine_save_layout, w);
  put_section(m, "cpus", SHAPE_VERSION, parts_save_strand_ids, w);
  for (u32 i = 0; i < PART_COUNT; i++)
    if (parts[i].moves) put_section(m, parts[i].name, parts[i].version, parts[i].save, w);
}

int64_t s4v_moving_size(const s4v_machine *m) {
  struct writer w = writer_counting();
  save_sections(m, &w);
  return (int64_t)w.used;
}

int64_t s4v_moving_save(const s4v_machine *m, void *buf, size_t len) {
  struct writer w = writer_over(buf, len);
  save_sections(m, &w);
  return w.failed ? S4V_EINVAL : (int64_t)w.used;
}

/* ---- loading ---- */

struct loading {
  s4v_machine *machine;
  struct reader section[SECTIONS];
  char *err;
  size_t err_bytes;
};

__attribute__((format(printf, 2, 3))) static bool refuse(const struct loading *l, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(l->err, l->err_bytes, format, args);
  va_end(args);
  return false;
}

static const struct known {
  const char *name;
  u32 version;
} shape[FIRST_PART] = {[CHIP] = {"chip", CHIP_VERSION}, [MEMORY] = {"memory", SHAPE_VERSION}, [CPUS] = {"cpus", SHAPE_VERSION}};

/* A section that this version has; a name of NULL: one that the client takes along. */
static struct known known(u32 i) {
  if (i < FIRST_PART) return shape[i];
  const struct part *p = &parts[i - FIRST_PART];
  return (struct known){p->moves ? p->name : NULL, p->version};
}

static u32 section_find(const char *name) {
  u32 i = CHIP;
  while (i < SECTIONS && (!known(i).name || strcmp(known(i).name, name))) i++;
  return i;
}

/* A name as it may be shown: what is not printable was not written by us. */
static bool plain_name(const char *name) {
  for (; *name; name++)
    if (*name < 'a' || *name > 'z') return false;
  return true;
}

static bool take_section(struct loading *l, struct reader *in) {
  char name[NAME_BYTES + 1] = {0};
  get_bytes(in, name, NAME_BYTES);
  u32 version = get_u32(in), flags = get_u32(in);
  u64 bytes = get_u64(in);
  const u8 *from = bytes <= reader_left(in) ? reader_take(in, (size_t)bytes) : NULL;
  if (!from || !plain_name(name)) return refuse(l, "the state image is damaged: its sections");
  u32 i = section_find(name);
  if (i == SECTIONS) return flags & REQUIRED ? refuse(l, "the state image has a section %s, unknown to this version", name) : true;
  if (version != known(i).version)
    return refuse(l, "the state image has section %s in version %u, and this machine knows version %u", name, version,
                  known(i).version);
  if (l->section[i].data) return refuse(l, "the state image has section %s twice", name);
  l->section[i] = reader_over(from, (size_t)bytes);
  return true;
}

static bool take_sections(struct loading *l, struct reader *in) {
  while (reader_left(in))
    if (!take_section(l, in)) return false;
  for (u32 i = CHIP; i < SECTIONS; i++)
    if (known(i).name && !l->section[i].data) return refuse(l, "the state image has no section %s", known(i).name);
  return !in->failed || refuse(l, "the state image is truncated");
}

/* "vis3 fmaf": as many names as fit. */
static void feature_names(u64 mask, char *out, size_t len) {
  out[0] = 0;
  for (int bit = 0; bit < s4v_feature_count(); bit++) {
    size_t used = strlen(out);
    if (mask >> bit & 1) snprintf(out + used, len - used, "%s%s", used ? " " : "", s4v_feature_name(bit));
  }
}

/* Can this server be what the guest was told? */
static bool chip_fits(const struct loading *l, const s4v_config *c) {
  const s4v_config *ours = &l->machine->server;
  char names[160];
  if (c->deterministic != ours->deterministic)
    return refuse(l, "the guest's time is %s, and this server's is not", c->deterministic ? "virtual" : "real");
  feature_names(c->features & ~ours->features, names, sizeof names);
  if (names[0]) return refuse(l, "the guest may use instructions that the processors here do not have: %s", names);
  if (c->page_sizes & ~ours->page_sizes) return refuse(l, "the guest may use page sizes that the processors here do not have");
  if (c->max_tsbs > ours->max_tsbs) return refuse(l, "the guest may use more TSBs than the processors here have");
  if (c->va_bits > ours->va_bits) return refuse(l, "the guest may use virtual addresses that are wider than here");
  if (c->rng_control && !ours->rng_control) return refuse(l, "the guest controls its random number generator, and may not here");
  return true;
}

static bool memory_below(const s4v_machine *m, u64 limit) {
  ra_t ra;
  pa_t pa;
  u64 bytes;
  for (size_t i = 0; ram_segment(m->domain.env.ram, i, &ra, &bytes, &pa) == 0; i++)
    if (bytes > limit || ra.v > limit - bytes) return false;
  return true;
}

static bool load_chip(struct loading *l) {
  struct reader *in = &l->section[CHIP];
  s4v_machine *m = l->machine;
  s4v_config c = m->config;
  bool wide = false;
#define X(field)                        \
  {                                     \
    u64 v = get_u64(in);                \
    c.field = (__typeof__(c.field))v;   \
    wide |= c.field != v;               \
  }
  CHIP_FIELDS(X)
#undef X
  bool hz = c.tick_hz >= LEAST_HZ && c.tick_hz <= MOST_HZ && c.stick_hz >= LEAST_HZ && c.stick_hz <= MOST_HZ;
  bool odd = c.cfr_present > 1 || c.deterministic > 1 || c.max_tsbs > MAX_TSBS;
  if (wide || odd || !hz || !reader_done(in) || machine_config_error(&c) || !memory_below(m, c.ra_limit))
    return refuse(l, "the state image is damaged: chip");
  if (!chip_fits(l, &c)) return false;
  m->config = c;
  machine_tell_chip(m);
  return true;
}

static bool load_shape(struct loading *l, const struct before *before) {
  if (!machine_same_memory(l->machine, &l->section[MEMORY]) || !reader_done(&l->section[MEMORY]))
    return refuse(l, "the guest's memory is at other real addresses than in the state image");
  u32 n = parts_load_strand_ids(l->machine, before->wanted, &l->section[CPUS]);
  if (!n || !reader_done(&l->section[CPUS])) return refuse(l, "the state image has other virtual CPUs than the guest may have");
  machine_drop_code(l->machine); /* memory was written behind our back */
  return machine_set_strands(l->machine, before->wanted, n) ||
         refuse(l, "the host has not enough memory for the strands of the state image");
}

static bool load_parts(struct loading *l) {
  for (u32 i = 0; i < PART_COUNT; i++) {
    struct reader *in = &l->section[FIRST_PART + i];
    if (!parts[i].moves) continue;
    if (!parts[i].load(l->machine, in) || !reader_done(in)) return refuse(l, "the state image is damaged: %s", parts[i].name);
  }
  return true;
}

int s4v_moving_load(s4v_machine *m, const void *buf, size_t len, char *err, size_t err_bytes) {
  struct loading l = {.machine = m, .err = err, .err_bytes = err_bytes};
  struct reader in = reader_over(buf, len);
  struct before before;
  if (!take_sections(&l, &in)) return S4V_EFORMAT;
  if (!before_take(&before, m)) {
    refuse(&l, "the host has not enough memory to load a state image");
    return S4V_ENOMEM;
  }
  machine_disks_settle(m);
  bool good = load_chip(&l) && load_shape(&l, &before) && load_parts(&l);
  if (!good) before_restore(&before, m);
  before_drop(&before);
  m->host_start_ns = machine_host_ns();
  return good ? S4V_OK : S4V_EFORMAT;
}

void s4v_clock_go(s4v_machine *m, int64_t seconds) {
  m->host_start_ns = machine_host_ns();
  m->domain.tod_offset += (u64)seconds;
}
