/* probe.c - how an access finds its entry of the soft TLB: a load by its site, a store by its address.
 *
 * By its site: the strand remembers for each load in the code where the entry was that it found last. That is a guess, and
 * the tag of the entry decides, so nothing has to be told of evictions, demaps or other contexts; but neither the place nor
 * the addend depends on the guest's address, and a load through a table does not wait for two look-ups. What is not there is
 * looked for here, in both places of the page.
 *
 * By the address: sites that find another page almost every time are patched, to a jump to code that computes the place. Only
 * the owner of the code runs it, so it can be written while he is not inside; the processor is serialised before he goes back.
 */
#include "jit/gen.h"

#if defined(__x86_64__)
#include <cpuid.h>
static void serialise(void) {
  u32 a, b, c, d;
  __cpuid(0, a, b, c, d);
}
#else
static void serialise(void) {}
#endif

enum { PROBE_CALL_BYTES = 5, PROBE_NAME_BYTES = 5 };
enum { SCATTERED_INSNS = 64, SCATTERED_TIMES = 24 }; /* so many misses in a row, none that far behind the one before */
_Static_assert(sizeof(struct tlb_entry) == 32 && offsetof(struct tlb_entry, rtag) == 0, "scaled by 32");

static i64 site_disp(u32 site) { return (i64)(offsetof(struct strand, sites) + sizeof(struct access_site) * site); }

static u32 tag_of(bool store) { return store ? offsetof(struct tlb_entry, wtag) : offsetof(struct tlb_entry, rtag); }

static void place_of(struct x86 *x, u8 address) {
  x86_mov(x, W32, RCX, address);
  x86_shift_imm(x, SHIFT_RIGHT, W32, RCX, PAGE_BITS - 5);
  x86_alu_imm(x, ALU_AND, W32, RCX, (TLB_ENTRIES - 1) << 5);
}

/* RCX: offset of the entry in the bank; RDX: the address. Nothing waits for a store: it computes its place, which takes fewer
 * accesses of the host. */
static u32 place_by_site(struct gen *g, bool store, i32 mask) {
  struct jit *j = g->jit;
  if (store || j->sites == ACCESS_SITES) {
    place_of(&g->x, RDX);
    return NO_SITE;
  }
  u32 site = j->sites++;
  j->site[site] = (struct site){.at = g->x.at, .mask = mask};
  x86_load(&g->x, W32, RCX, x86_at(RBP, site_disp(site)));
  return site;
}

void probe_emit(struct gen *g, struct stub *s, u32 bytes, bool store) {
  struct x86 *x = &g->x;
  i32 mask = (i32)(PAGE_MASK | (bytes - 1));
  s->kind = STUB_PROBE;
  s->store = store;
  s->site = place_by_site(g, store, mask);
  x86_alu_imm(x, ALU_AND, W64, RDX, mask);
  x86_alu_load(x, ALU_ADD, W64, RCX, FIELD_AT(dtlb));
  x86_alu_load(x, ALU_CMP, W64, RDX, x86_at(RCX, tag_of(store)));
  x86_jcc(x, CC_NE, &s->from);
  x86_place(x, &s->taken);
  x86_load(x, W64, RCX, x86_at(RCX, offsetof(struct tlb_entry, addend)));
  if (s->site != NO_SITE) g->jit->site[s->site].done = x->at;
}

/* By the address, but with the addend that was right last time: pages that lie side by side in the host have the same. The
 * entry it came from is looked at besides, and again nothing waits for it. Behind all code; the site jumps there. */
static void make_scattered(struct x86 *x, const struct site *s, i64 disp, u32 missed) {
  struct x86_label other = {0}, away = {.at = missed + 1}, back = {.at = s->done + 1};
  place_of(x, RDX);
  x86_alu_imm(x, ALU_AND, W64, RDX, s->mask);
  x86_alu_load(x, ALU_ADD, W64, RCX, FIELD_AT(dtlb));
  x86_alu_load(x, ALU_CMP, W64, RDX, x86_at(RCX, tag_of(false)));
  x86_jcc(x, CC_NE, &away);
  x86_load(x, W64, RDX, x86_at(RBP, disp + (i64)offsetof(struct access_site, addend)));
  x86_alu_load(x, ALU_CMP, W64, RDX, x86_at(RCX, offsetof(struct tlb_entry, addend)));
  x86_jcc(x, CC_NE, &other);
  x86_mov(x, W64, RCX, RDX);
  x86_jmp(x, &back);
  x86_place(x, &other);
  x86_load(x, W64, RCX, x86_at(RCX, offsetof(struct tlb_entry, addend)));
  x86_store(x, W64, x86_at(RBP, disp + (i64)offsetof(struct access_site, addend)), RCX);
  x86_jmp(x, &back);
}

/* From a probe that missed again and again. `disp`: of the site, from the strand; `back`: behind the probe's call, which from
 * now on is one of the plain probe. */
static void site_is_scattered(struct jit *j, struct strand *s, u64 disp, const u8 *back) {
  u32 n = (u32)((disp - offsetof(struct strand, sites)) / sizeof(struct access_site));
  const struct site *site = &j->site[n];
  struct x86 x = {.start = j->mem.write, .at = (u32)(back - (const u8 *)j->mem.execute) - PROBE_CALL_BYTES, .size = j->mem.size};
  u32 missed = x.at - PROBE_NAME_BYTES;
  x86_call(&x, &j->thunks.probe_plain[0]);
  struct x86_label far = {.at = j->used + 1};
  x.at = j->used;
  make_scattered(&x, site, (i64)disp, missed);
  if (x.full) return;
  j->used = (x.at + 15) & ~15u;
  x.at = site->at;
  x86_jmp(&x, &far);
  s->sites[n] = (struct access_site){0};
  serialise();
}

/* ---- the thunks ---- */

/* RDX: the tag that is wanted; RDI: the bank. Jumps to `out` unless the page is there; RCX: offset of its entry. */
static void make_search(struct x86 *x, u32 tag, struct x86_label *out) {
  struct x86_label found = {0};
  struct x86_mem entry = {RDI, RCX, 0, (i32)tag};
  place_of(x, RDX);
  x86_load(x, W64, RDI, FIELD_AT(dtlb));
  x86_alu_load(x, ALU_CMP, W64, RDX, entry);
  x86_jcc(x, CC_E, &found);
  x86_alu_imm(x, ALU_XOR, W32, RCX, TLB_ENTRIES / 2 << 5);
  x86_alu_load(x, ALU_CMP, W64, RDX, entry);
  x86_jcc(x, CC_NE, out);
  x86_place(x, &found);
}

static void make_plain(struct x86 *x, struct x86_label *label, u32 tag) {
  struct x86_label out = {0};
  x86_place(x, label);
  x86_push(x, RDI);
  make_search(x, tag, &out);
  x86_alu(x, ALU_ADD, W64, RCX, RDI);
  x86_alu(x, ALU_CMP, W32, RCX, RCX);
  x86_place(x, &out);
  x86_pop(x, RDI);
  x86_ret(x);
}

static void make_report(struct x86 *x, struct jit *j) {
  static const u8 kept[] = {RAX, RCX, R8, R9, R10, R11, RDI, RSI};
  for (u32 i = 0; i < ARRAY_LEN(kept); i++) x86_push(x, kept[i]);
  x86_load(x, W64, RCX, x86_at(RSP, 8 * (ARRAY_LEN(kept) + 2)));
  x86_mov(x, W64, RDX, RSI);
  x86_mov(x, W64, RSI, RBP);
  x86_mov_imm(x, RDI, (u64)(uintptr_t)j);
  x86_mov_imm(x, RAX, (u64)(uintptr_t)site_is_scattered);
  x86_alu_imm(x, ALU_SUB, W64, RSP, 8);
  x86_call_reg(x, RAX);
  x86_alu_imm(x, ALU_ADD, W64, RSP, 8);
  for (u32 i = ARRAY_LEN(kept); i-- > 0;) x86_pop(x, kept[i]);
}

/* RCX: displacement of the site. */
static void make_probe(struct x86 *x, struct jit *j) {
  struct x86_label out = {0}, sparse = {0}, end = {0};
  x86_place(x, &j->thunks.probe);
  x86_push(x, RDI);
  x86_push(x, RSI);
  x86_mov(x, W32, RSI, RCX);
  make_search(x, tag_of(false), &out);
  struct x86_mem offset = {RBP, RSI, 0, offsetof(struct access_site, offset)};
  struct x86_mem last = {RBP, RSI, 0, offsetof(struct access_site, last)};
  struct x86_mem near = {RBP, RSI, 0, offsetof(struct access_site, near)};
  x86_store(x, W32, offset, RCX);
  x86_load(x, W32, RDX, last);
  x86_store(x, W32, last, R15);
  x86_alu(x, ALU_SUB, W32, RDX, R15);
  x86_alu_imm(x, ALU_CMP, W32, RDX, SCATTERED_INSNS);
  x86_jcc(x, CC_A, &sparse);
  x86_alu_mem_imm(x, ALU_ADD, W32, near, 1);
  x86_alu_mem_imm(x, ALU_CMP, W32, near, SCATTERED_TIMES);
  x86_jcc(x, CC_B, &end);
  make_report(x, j);
  x86_jmp(x, &end);
  x86_place(x, &sparse);
  x86_store_imm(x, W32, near, 0);
  x86_place(x, &end);
  x86_alu(x, ALU_ADD, W64, RCX, RDI);
  x86_alu(x, ALU_CMP, W32, RCX, RCX);
  x86_place(x, &out);
  x86_pop(x, RSI);
  x86_pop(x, RDI);
  x86_ret(x);
}

void probes_make(struct x86 *x, struct jit *j) {
  make_probe(x, j);
  for (u32 store = 0; store < 2; store++) make_plain(x, &j->thunks.probe_plain[store], tag_of(store));
}

/* In a stub: on to `taken` with RCX the entry that has the tag in RDX, or behind. */
void probe_call(struct gen *g, u32 site, bool store, struct x86_label *taken) {
  struct x86 *x = &g->x;
  if (site == NO_SITE) {
    x86_call(x, &g->jit->thunks.probe_plain[store]);
  } else {
    x86_mov_imm(x, RCX, (u64)site_disp(site));
    x86_call(x, &g->jit->thunks.probe);
  }
  x86_jcc(x, CC_E, taken);
}
