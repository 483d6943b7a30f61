/* state.c - the field table at work: save, load, print. */
#include "strand/state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "strand/internal.h"
#include "strand/mmu.h"
#include "strand/watch.h"
#include "strand/window.h"

/* Every byte between the marks belongs to a field of the table. */
#define FIELD(type, name) +sizeof(type)
#define ARRAY(type, name, count) +sizeof(type) * (count)
_Static_assert(offsetof(struct strand, arch_end) - offsetof(struct strand, arch) - sizeof(u64) == 0
#include "strand/fields.def"
               , "fields.def has padding: order the fields by size");
#undef FIELD
#undef ARRAY

/* Every other byte of a strand: made anew from the fields, or alive only while it runs, or saved below by its own
 * code (bank, use_stamp, banks). A new member of struct strand is in fields.def or is put here, with this in mind. */
#define NO_FIELDS(X)                                                                                               \
  X(dtlb) X(cc_a) X(cc_b) X(budget) X(block) X(jump_key) X(cc_kind) X(mode) X(fp_last_op) X(fp_last_a) X(fp_last_b) \
  X(w) X(wglob) X(arch) X(arch_end) X(env) X(code) X(writes_given) X(resting) X(park) X(held) X(bank) X(other)        \
  X(space) X(use_stamp) X(epoch_stamp) X(slice_ref)                                                                  \
  X(break_pc) X(cold_index) X(single) X(attention) X(stop) X(stop_tt) X(host_rounding) X(stop_code) X(fault_va)     \
  X(fault_type) X(fault_context) X(busy_ns) X(busy_since) X(busy_turn) X(over) X(watch_va) X(watch_kind) X(watch_pass) X(traps) X(misses) X(calls) X(jump) X(sites) X(banks)
#define X(name) +sizeof(((struct strand *)0)->name)
_Static_assert(sizeof(struct strand) - (offsetof(struct strand, arch_end) - offsetof(struct strand, arch)) + sizeof(u64) ==
                   0 NO_FIELDS(X), "a member of struct strand is neither in fields.def nor in NO_FIELDS");
#undef X

const struct strand_field strand_fields[] = {
#define FIELD(type, name) {#name, offsetof(struct strand, name), sizeof(type), 1},
#define ARRAY(type, name, count) {#name, offsetof(struct strand, name), sizeof(type), count},
#include "strand/fields.def"
#undef FIELD
#undef ARRAY
};
const u32 strand_field_count = (u32)ARRAY_LEN(strand_fields);

/* The two places of window 0's ins hold the same after this (window.h). */
void strand_normalise(struct strand *s) {
  strand_sync(s);
  if (s->cwp == 0)
    __builtin_memcpy(&s->win[0], &s->win[NWINDOWS * 16], 64);
  else
    __builtin_memcpy(&s->win[NWINDOWS * 16], &s->win[0], 64);
  __builtin_memcpy(&s->glob[s->gl * 8u], s->w, 64);
}

static u64 field_word(const struct strand *s, const struct strand_field *f, u32 i) {
  const u8 *p = (const u8 *)s + f->offset + (size_t)i * f->size;
  switch (f->size) {
  case 1: return *p;
  case 4: return *(const u32 *)(const void *)p;
  default: return *(const u64 *)(const void *)p;
  }
}

static void field_set(struct strand *s, const struct strand_field *f, u32 i, u64 v) {
  u8 *p = (u8 *)s + f->offset + (size_t)i * f->size;
  switch (f->size) {
  case 1: *p = (u8)v; break;
  case 4: *(u32 *)(void *)p = (u32)v; break;
  default: *(u64 *)(void *)p = v; break;
  }
}

static void save_bank(const struct tlb_bank *b, struct writer *out) {
  put_u64(out, b->key);
  put_u64(out, b->used);
  u32 entries = 0, fetches = 0;
  if (b->key == TAG_NONE) return;
  for (u32 i = 0; i < TLB_ENTRIES; i++) entries += b->d[i].rtag != TAG_NONE;
  for (u32 i = 0; i < ITLB_ENTRIES; i++) fetches += b->i[i].tag != TAG_NONE;
  put_u32(out, entries);
  put_u32(out, fetches);
  for (u32 i = 0; i < TLB_ENTRIES; i++) {
    if (b->d[i].rtag == TAG_NONE) continue;
    put_u32(out, i);
    put_u64(out, watch_untag(b->d[i].rtag));
    put_u64(out, b->d[i].info);
  }
  for (u32 i = 0; i < ITLB_ENTRIES; i++) {
    if (b->i[i].tag == TAG_NONE) continue;
    put_u64(out, b->i[i].tag);
    put_u64(out, b->i[i].ra);
  }
}

void strand_save(struct strand *s, struct writer *out) {
  strand_normalise(s);
  put_u32(out, STRAND_STATE_VERSION);
  put_u32(out, strand_field_count);
  for (u32 n = 0; n < strand_field_count; n++)
    for (u32 i = 0; i < strand_fields[n].count; i++) put_u64(out, field_word(s, &strand_fields[n], i));
  put_u64(out, s->use_stamp);
  put_u32(out, (u32)(s->bank - s->banks));
  for (u32 i = 0; i < TLB_BANKS; i++) save_bank(&s->banks[i], out);
}

/* Where an entry's page is, and the tag it gets. While pages of the guest are missing nobody waits for them here: an entry may
 * be of one, so the first access by it takes the slow path, where it is waited for. */
static bool place_entry(const struct strand_env *env, u64 page, u64 ra, struct ram_ref *ref, u64 *tag) {
  u32 rights;
  *tag = watch_tag(env, page);
  if (UNLIKELY(presence_missing(env->ram) != 0) && ram_place(env->ram, RA(ra), ref)) {
    *tag |= TAG_WATCHED;
    return true;
  }
  return mmu_place(env, ra, ref, &rights);
}

/* Addends are host addresses: made anew from the RA. An entry whose RA is not backed is refused. */
static bool load_bank(struct strand *s, struct tlb_bank *b, struct reader *in) {
  b->key = get_u64(in);
  b->used = get_u64(in);
  b->epoch = ++s->epoch_stamp; /* no two banks share what the jump cache knows */
  if (b->key == TAG_NONE) return true;
  for (u32 i = 0; i < TLB_ENTRIES; i++) b->d[i].rtag = b->d[i].wtag = TAG_NONE;
  b->touched = 0;
  for (u32 i = 0; i < ITLB_ENTRIES; i++) b->i[i].tag = TAG_NONE;
  u32 entries = get_u32(in), fetches = get_u32(in);
  if (entries > TLB_ENTRIES || fetches > ITLB_ENTRIES) return false;
  for (u32 n = 0; n < entries; n++) {
    u32 index = get_u32(in);
    u64 page = get_u64(in), info = get_u64(in), tag;
    struct ram_ref ref;
    bool placed = index < TLB_ENTRIES && !((index ^ (page >> PAGE_BITS)) & (TLB_ENTRIES / 2 - 1));
    if (!placed || (page & ~PAGE_MASK) || !place_entry(s->env, page, info & PAGE_MASK, &ref, &tag)) return false;
    tlb_touch(b, index);
    b->d[index] = (struct tlb_entry){.rtag = tag, .wtag = TAG_NONE, .addend = (u64)(uintptr_t)ref.host - page, .info = info};
  }
  for (u32 n = 0; n < fetches; n++) {
    u64 tag = get_u64(in), ra = get_u64(in);
    if ((tag | ra) & ~PAGE_MASK) return false;
    b->i[(tag >> PAGE_BITS) & (ITLB_ENTRIES - 1)] = (struct itlb_entry){tag, ra};
  }
  return true;
}

/* Values that index something must be in range before anything runs. */
static bool plausible(const struct strand *s) {
  return s->cwp < NWINDOWS && s->gl <= MAX_GL && s->tl <= MAX_TL && s->glob[0] == 0 && s->glob[8] == 0 && s->glob[16] == 0 && s->perm_count <= MAX_PERM &&
         s->mapped_next < MAX_MAPPED && s->tsb_count[0] <= MAX_TSBS && s->tsb_count[1] <= MAX_TSBS && s->pil < 16 &&
         !((s->pc | s->npc) & 3) && s->cansave < 8 && s->canrestore < 8 && s->cleanwin < 8 && s->otherwin < 8 &&
         (s->trace_entries == 0 || (s->trace_entries <= (u64)1 << 20 && s->trace_next < s->trace_entries * 64)) &&
         s->run_state >= STRAND_STOPPED && s->run_state <= STRAND_ERROR;
}

bool strand_load(struct strand *s, struct reader *in) {
  u32 id = s->id;
  if (get_u32(in) != STRAND_STATE_VERSION || get_u32(in) != strand_field_count) return false;
  strand_reset(s);
  for (u32 n = 0; n < strand_field_count; n++)
    for (u32 i = 0; i < strand_fields[n].count; i++) field_set(s, &strand_fields[n], i, get_u64(in));
  u64 stamp = get_u64(in);
  u32 current = get_u32(in);
  bool good = !in->failed && plausible(s) && s->id == id && current < TLB_BANKS;
  for (u32 i = 0; good && i < TLB_BANKS; i++) good = load_bank(s, &s->banks[i], in);
  if (!good || !!in->failed) {
    s->id = id;
    strand_reset(s);
    return false;
  }
  s->use_stamp = stamp;
  s->bank = &s->banks[current];
  s->cc_kind = CC_EXPLICIT;
  s->w = window_base(s, s->cwp);
  __builtin_memcpy(s->w, &s->glob[s->gl * 8u], 64);
  strand_mode_changed(s);
  return true;
}

struct text {
  char *buf;
  size_t at, len;
};

__attribute__((format(printf, 2, 3))) static void out(struct text *t, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(t->buf + t->at, t->len - t->at, format, args);
  va_end(args);
  if (n > 0) t->at = (size_t)n < t->len - t->at ? t->at + (size_t)n : t->len - 1;
}

static void print_traps(const struct strand *s, struct text *t) {
  for (u32 tl = 1; tl <= s->tl; tl++)
    out(t, "tl %u: tt %03" PRIx64 "  tpc %016" PRIx64 "  tnpc %016" PRIx64 "  tstate %011" PRIx64 "\n", tl, s->tt[tl],
        s->tpc[tl], s->tnpc[tl], s->tstate[tl]);
}

void strand_print(const struct strand *s, char *buf, size_t len) {
  struct text t = {buf, 0, len};
  if (!len) return;
  buf[0] = 0;
  out(&t, "strand %u  pc %016" PRIx64 "  npc %016" PRIx64 "\n", s->id, s->pc, s->npc);
  for (u32 n = 0; n < 32; n++)
    out(&t, "%%%c%u %016" PRIx64 "%s", "goli"[n >> 3], n & 7, reg_get(s, n), n % 4 == 3 ? "\n" : "  ");
  out(&t, "pstate %03" PRIx64 "  tl %u  gl %u  pil %u  ccr %02x  asi %02x  fprs %u  y %08" PRIx64 "\n", s->pstate, s->tl,
      s->gl, s->pil, strand_ccr(s), s->asi, s->fprs, s->y);
  out(&t, "cwp %u  cansave %u  canrestore %u  otherwin %u  cleanwin %u  wstate %02x\n", s->cwp, s->cansave,
      s->canrestore, s->otherwin, s->cleanwin, s->wstate);
  out(&t, "tba %016" PRIx64 "  fsr %016" PRIx64 "  gsr %016" PRIx64 "  softint %05" PRIx64 "\n", s->tba, s->fsr, s->gsr,
      s->softint);
  print_traps(s, &t);
  out(&t, "mmu %s  contexts %" PRIx64 "/%" PRIx64 "  fault area %" PRIx64 "\n", s->mmu_enabled ? "on" : "off",
      s->context[0], s->context[1], s->fault_area);
}
