/* parts.c - see parts.h. */
#include "machine/parts.h"

#include <stdlib.h>

#include "strand/state.h"

#define CLOCK_FIELDS(X) \
  X(tick_base) X(tick_fraction) X(unit) X(turn) X(turn_left) X(insns) X(domain.tod_offset) X(domain.exit_code) \
  X(domain.console_event)

static void save_clock(const s4v_machine *m, struct writer *w) {
#define X(field) put_u64(w, m->field);
  CLOCK_FIELDS(X)
#undef X
}

static bool load_clock(s4v_machine *m, struct reader *in) {
#define X(field) m->field = (__typeof__(m->field))get_u64(in);
  CLOCK_FIELDS(X)
#undef X
  return !in->failed && m->unit >= 1 && m->unit <= TICK_UNIT && m->turn < m->domain.strand_count &&
         m->tick_fraction < TICK_UNIT;
}

static void save_hypervisor(const s4v_machine *m, struct writer *w) { hyp_save(&m->domain, w); }
static bool load_hypervisor(s4v_machine *m, struct reader *in) { return hyp_load(&m->domain, in); }

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

static void save_console(const s4v_machine *m, struct writer *w) {
  save_ring(&m->domain.input, w);
  save_ring(&m->domain.output, w);
}

static bool load_console(s4v_machine *m, struct reader *in) {
  return load_ring(&m->domain.input, in) && load_ring(&m->domain.output, in);
}

static void save_description(const s4v_machine *m, struct writer *w) { blob_save(&m->domain.md, w); }
static bool load_description(s4v_machine *m, struct reader *in) { return blob_load(&m->domain.md, in) && !in->failed; }
static void save_client(const s4v_machine *m, struct writer *w) { blob_save(&m->domain.client, w); }
static bool load_client(s4v_machine *m, struct reader *in) { return blob_load(&m->domain.client, in) && !in->failed; }

static void save_strands(const s4v_machine *m, struct writer *w) {
  for (u32 i = 0; i < m->domain.strand_count; i++) strand_save(m->domain.strands[i], w);
}

static bool load_strands(s4v_machine *m, struct reader *in) {
  for (u32 i = 0; i < m->domain.strand_count; i++)
    if (!strand_load(m->domain.strands[i], in)) return false;
  return !in->failed;
}

const struct part parts[PART_COUNT] = {
    {"clock", 1, true, save_clock, load_clock},
    {"hypervisor", 1, true, save_hypervisor, load_hypervisor},
    {"console", 1, true, save_console, load_console},
    {"description", 1, true, save_description, load_description},
    {"client", 1, false, save_client, load_client},
    {"strands", STRAND_STATE_VERSION, true, save_strands, load_strands},
};

void parts_save_strand_ids(const s4v_machine *m, struct writer *w) {
  put_u32(w, m->domain.strand_count);
  for (u32 i = 0; i < m->domain.strand_count; i++) put_u32(w, m->domain.strands[i]->id);
}

u32 parts_load_strand_ids(const s4v_machine *m, uint32_t *ids, struct reader *in) {
  u32 n = get_u32(in);
  if (in->failed || n > m->domain.max_strands) return 0;
  for (u32 i = 0; i < n; i++) {
    ids[i] = get_u32(in);
    if (in->failed || ids[i] >= m->domain.max_strands || (i && ids[i] <= ids[i - 1])) return 0;
  }
  return n;
}

bool before_take(struct before *b, const s4v_machine *m) {
  *b = (struct before){.config = m->config, .ncs = m->domain.ncs};
  b->strands = calloc(2 * (size_t)m->domain.max_strands, sizeof *b->strands);
  if (!b->strands) return false;
  b->wanted = b->strands + m->domain.max_strands;
  b->strand_count = s4v_strands(m, b->strands, m->domain.max_strands);
  return true;
}

void before_drop(struct before *b) { free(b->strands); }

void before_restore(const struct before *b, s4v_machine *m) {
  m->config = b->config;
  machine_tell_chip(m);
  machine_set_strands(m, b->strands, b->strand_count); /* they have been there: their memory still is */
  for (u32 i = 0; i < m->domain.strand_count; i++) strand_reset(m->domain.strands[i]);
  m->tick_fraction = m->turn = 0;
  hyp_init(&m->domain, m->config.rng_seed);
  for (u32 i = 0; i < b->ncs.count; i++) {
    const struct ncs_unit *u = &b->ncs.unit[i];
    u32 cpus[NCS_CPUS];
    for (u32 n = 0; n < u->cpu_count; n++) cpus[n] = u->cpu[n];
    ncs_add(&m->domain, u->kind, u->ino, cpus, u->cpu_count);
  }
  m->domain.input.count = m->domain.output.count = 0;
  machine_new_turn(m);
}
