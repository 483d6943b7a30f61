/* mmu.c - translation, banks, demap, fault reports. See mmu.h. */
#include "strand/mmu.h"

#include "mem/pair.h"
#include "strand/firmware.h"
#include "strand/internal.h"
#include "strand/watch.h"

static void bank_clear(struct strand *s, struct tlb_bank *b, u32 flags) {
  for (; (flags & MAP_D) && b->touched; b->touched &= b->touched - 1) {
    struct tlb_entry *e = &b->d[(u32)__builtin_ctzll(b->touched) * TLB_CHUNK];
    for (u32 i = 0; i < TLB_CHUNK; i++) e[i].rtag = e[i].wtag = TAG_NONE;
  }
  if (flags & MAP_I) {
    for (u32 i = 0; i < ITLB_ENTRIES; i++) b->i[i].tag = TAG_NONE;
    b->epoch = ++s->epoch_stamp;
  }
}

void mmu_spaces_changed(struct strand *s) { __builtin_memset(s->space, 0, sizeof s->space); }

struct tlb_bank *mmu_bank(struct strand *s, u64 key) {
  struct tlb_bank *oldest = &s->banks[0];
  if (s->other->key == key) {
    s->other->used = ++s->use_stamp;
    return s->other;
  }
  for (u32 i = 0; i < TLB_BANKS; i++) {
    struct tlb_bank *b = &s->banks[i];
    if (b->key == key) {
      b->used = ++s->use_stamp;
      return b;
    }
    if (b != s->bank && (b->used < oldest->used || oldest == s->bank)) oldest = b;
  }
  bank_clear(s, oldest, MAP_D | MAP_I);
  mmu_spaces_changed(s);
  oldest->key = key;
  oldest->used = ++s->use_stamp;
  return oldest;
}

u64 mmu_implicit_key(const struct strand *s) {
  if (!s->mmu_enabled) return key_real();
  u32 kind = strand_priv(s) ? BANK_PRIV : BANK_USER;
  return s->tl ? bank_key(kind, 0, 0) : bank_key(kind, s->context[0], s->context[2]);
}

u32 mmu_fault(struct strand *s, u32 tt, u64 va, u32 context, u32 type) {
  s->fault_va = va;
  s->fault_context = context;
  s->fault_type = type;
  return tt;
}

static bool map_matches(const u64 *m, u64 va, u32 flag) {
  return (m[2] & flag) && !((m[0] ^ va) >> tte_shift(m[1]));
}

static u64 perm_lookup(const struct strand *s, u64 va, u32 flag) {
  for (u64 i = 0; i < s->perm_count; i++)
    if (map_matches(&s->perm[i * MAP_WORDS], va, flag)) return s->perm[i * MAP_WORDS + 1];
  return 0;
}

static u64 mapped_lookup(const struct strand *s, u64 ctx0, u64 ctx1, u64 va, u32 flag) {
  for (u64 i = 0; i < MAX_MAPPED; i++) {
    const u64 *m = &s->mapped[i * MAP_WORDS];
    u64 ctx = m[2] >> 8;
    if (m[2] && (ctx == ctx0 || ctx == ctx1) && map_matches(m, va, flag)) return m[1];
  }
  return 0;
}

/* One TSB: descriptor words d[0..3] as in guest memory (see mmu.h). Returns the TTE or 0; *bad when the table
 * itself cannot be read. */
static u64 tsb_probe(const struct strand *s, const u64 *d, u64 ctx0, u64 ctx1, u64 va, bool *bad) {
  u32 size_index = (u32)(d[0] >> 48) & 7;
  u64 entries = d[0] & 0xffffffffu;
  i32 ctx_index = (i32)(d[1] >> 32);
  u64 index = (va >> (13 + 3 * size_index)) & (entries - 1);
  u64 pair[2];
  struct ram_ref ref;
  if ((d[2] & 15) || !ram_lookup(s->env->ram, RA(d[2] + index * 16), &ref)) { /* a state image may say anything */
    *bad = true;
    return 0;
  }
  pair_load(ref.host, pair);
  u64 tag = __builtin_bswap64(pair[0]), data = __builtin_bswap64(pair[1]);
  if (!(data & TTE_V) || (tag & 0x0000fc0000000000ull)) return 0;
  u32 size = (u32)data & 15;
  if (size < 8) {
    if (size < size_index) return 0;
    u32 low = tte_shift(data);
    u64 shift = low > 22 ? low - 22 : 0;
    if (((tag & 0x3ffffffffffull) ^ (va >> 22)) >> shift) return 0;
  } else if ((tag & 0x3ffffffffffull) != va >> 22) {
    return 0;
  }
  u64 tag_ctx = tag >> 48;
  bool ours = ctx_index == -1 ? tag_ctx == ctx0 || tag_ctx == ctx1 : tag_ctx == 0;
  return ours ? data : 0;
}

static u64 tsb_lookup(const struct strand *s, u32 class, u64 ctx0, u64 ctx1, u64 va, bool *bad) {
  for (u64 i = 0; i < s->tsb_count[class]; i++) {
    u64 tte = tsb_probe(s, &s->tsb[(class * MAX_TSBS + i) * TSB_WORDS], ctx0, ctx1, va, bad);
    if (tte || *bad) return tte;
  }
  return 0;
}

static u32 access_error(struct strand *s, u32 access, u64 va, u64 ctx, u32 type) {
  u32 tt = access == ACCESS_FETCH ? TT_INSTRUCTION_ACCESS_EXCEPTION : TT_DATA_ACCESS_EXCEPTION;
  return mmu_fault(s, tt, va, (u32)ctx, type);
}

static u32 miss(struct strand *s, u32 access, u64 va, u64 ctx) {
  bool fetch = access == ACCESS_FETCH;
  u64 page = va & PAGE_MASK;
  s->misses++;
  if (s->tsb_count[ctx != 0])
    return mmu_fault(s, fetch ? TT_INSTRUCTION_ACCESS_MMU_MISS : TT_DATA_ACCESS_MMU_MISS, page, (u32)ctx, FAULT_MISS);
  return mmu_fault(s, fetch ? TT_FAST_INSTRUCTION_ACCESS_MMU_MISS : TT_FAST_DATA_ACCESS_MMU_MISS, page, (u32)ctx,
                   FAULT_MISS_FAST);
}

/* Permissions of a found TTE, in the order of UA2005, chapter 12. */
static u32 check_tte(struct strand *s, u64 tte, u32 kind, u64 va, u64 ctx, u32 access) {
  if (tte & 8) return access_error(s, access, va, ctx, FAULT_PAGE_SIZE);
  if (kind == BANK_USER && (tte & TTE_P)) return access_error(s, access, va, ctx, FAULT_PRIVILEGE);
  if (access == ACCESS_FETCH && !(tte & TTE_X)) return access_error(s, access, va, ctx, FAULT_NO_EXECUTE);
  if ((tte & TTE_NFO) && access != ACCESS_NOFAULT) return access_error(s, access, va, ctx, FAULT_NFO);
  if ((tte & TTE_E) && access == ACCESS_NOFAULT) return access_error(s, access, va, ctx, FAULT_SIDE_EFFECT);
  if (access == ACCESS_ATOMIC && !(tte & TTE_CP)) return access_error(s, access, va, ctx, FAULT_ATOMIC_NC);
  if ((access == ACCESS_STORE || access == ACCESS_ATOMIC) && !(tte & TTE_W))
    return mmu_fault(s, TT_FAST_DATA_ACCESS_PROTECTION, va & PAGE_MASK, (u32)ctx, FAULT_PROTECTION);
  return 0;
}

static bool va_in_hole(const struct strand *s, u64 va) {
  u32 up = 64 - s->env->va_bits;
  return up && (u64)((i64)(va << up) >> up) != va;
}

u32 mmu_translate(struct strand *s, u64 key, u64 va, u32 access, struct mapping *out) {
  u32 kind = key & 3;
  if (kind == BANK_REAL) {
    out->ra = va;
    out->info = TLB_W | TLB_X | TLB_CP;
    out->invert_endian = 0;
    return 0;
  }
  u64 ctx0 = key >> 2 & 0xffff, ctx1 = key >> 18 & 0xffff;
  if (va_in_hole(s, va)) return access_error(s, access, va, ctx0, FAULT_VA_RANGE);
  u32 flag = access == ACCESS_FETCH ? MAP_I : MAP_D;
  bool bad = false, from_tsb = false;
  u64 tte = ctx0 == 0 || ctx1 == 0 ? perm_lookup(s, va, flag) : 0;
  if (!tte) tte = mapped_lookup(s, ctx0, ctx1, va, flag);
  if (!tte) {
    tte = tsb_lookup(s, ctx0 != 0, ctx0, ctx1, va, &bad);
    from_tsb = true;
    if (bad) return access_error(s, access, va, ctx0, FAULT_INVALID_TSB_RA);
  }
  if (!tte && s->firmware && kind == BANK_PRIV && ctx0 == 0) tte = firmware_lookup(s, va);
  if (!tte) return miss(s, access, va, ctx0);
  u32 tt = check_tte(s, tte, kind, va, ctx0, access);
  if (tt) return tt;
  u64 offset_mask = (1ull << tte_shift(tte)) - 1;
  out->ra = (tte & TTE_RA_MASK & ~offset_mask) | (va & offset_mask);
  struct ram_ref ref;
  u32 rights;
  if (!mmu_place(s->env, out->ra, &ref, &rights))
    return access_error(s, access, va, ctx0, from_tsb ? FAULT_INVALID_TSB_RA : FAULT_INVALID_RA);
  out->info = (tte & TTE_W ? TLB_W : 0) | (tte & TTE_X ? TLB_X : 0) | (tte & TTE_E ? TLB_E : 0) |
              (tte & TTE_CP ? TLB_CP : 0) | (tte & TTE_NFO ? TLB_IO : 0);
  out->invert_endian = (tte & TTE_IE) != 0;
  return 0;
}

static bool bank_look(const struct tlb_bank *b, u64 va, u64 *ra) {
  u64 page = va & PAGE_MASK;
  u32 index = (u32)(va >> PAGE_BITS);
  const struct itlb_entry *i = &b->i[index & (ITLB_ENTRIES - 1)];
  for (u32 n = 0; n < 2; n++) {
    const struct tlb_entry *e = &b->d[(index ^ n * TLB_ENTRIES / 2) & (TLB_ENTRIES - 1)];
    if (watch_untag(e->rtag) != page) continue;
    *ra = (e->info & PAGE_MASK) | (va & ~PAGE_MASK);
    return true;
  }
  *ra = i->ra | (va & ~PAGE_MASK);
  return i->tag == page;
}

bool mmu_look_like(const struct strand *s, u64 key, u64 va, u64 *ra) {
  for (u32 i = 0; i < TLB_BANKS; i++) {
    const struct tlb_bank *b = &s->banks[i];
    bool same = b->key != TAG_NONE && (b->key & 3) != BANK_REAL && (b->key | 3) == (key | 3);
    if ((same || b->key == key) && bank_look(b, va, ra)) return true;
  }
  return false;
}

bool mmu_look(struct strand *s, u64 key, u64 va, u64 *ra) {
  u64 fault_va = s->fault_va;
  u32 type = s->fault_type, context = s->fault_context;
  struct mapping m;
  if (key != key_real() && mmu_look_like(s, key, va, ra)) return true;
  if (key != key_real()) key = (key & ~3ull) | BANK_PRIV;
  bool found = !mmu_translate(s, key, va, ACCESS_LOAD, &m) || !mmu_translate(s, key, va, ACCESS_FETCH, &m);
  if (found) *ra = m.ra;
  s->fault_va = fault_va;
  s->fault_type = type;
  s->fault_context = context;
  return found;
}

static void report(struct strand *s, u64 at, u64 type, u64 va, u64 ctx) {
  u64 words[3] = {__builtin_bswap64(type), __builtin_bswap64(va), __builtin_bswap64(ctx)};
  ram_write(s->env->ram, RA(s->fault_area + at), words, sizeof words);
}

bool mmu_report(struct strand *s, u32 tt) {
  bool instruction = false;
  switch (tt) {
  case TT_INSTRUCTION_ACCESS_EXCEPTION: case TT_INSTRUCTION_ACCESS_MMU_MISS:
  case TT_FAST_INSTRUCTION_ACCESS_MMU_MISS: instruction = true; break;
  case TT_DATA_ACCESS_EXCEPTION: case TT_DATA_ACCESS_MMU_MISS: case TT_MEM_ADDRESS_NOT_ALIGNED:
  case TT_LDDF_NOT_ALIGNED: case TT_STDF_NOT_ALIGNED: case TT_PRIVILEGED_ACTION:
  case TT_FAST_DATA_ACCESS_MMU_MISS: case TT_FAST_DATA_ACCESS_PROTECTION: break;
  default: return true;
  }
  if (!s->fault_area) return false;
  report(s, instruction ? 0x00 : 0x40, s->fault_type, s->fault_va, s->fault_context);
  return true;
}

static u64 key_ctx0(u64 key) { return key >> 2 & 0xffff; }
static u64 key_ctx1(u64 key) { return key >> 18 & 0xffff; }

static bool bank_has_context(const struct tlb_bank *b, u64 ctx) {
  return b->key != TAG_NONE && (b->key & 3) != BANK_REAL && (key_ctx0(b->key) == ctx || key_ctx1(b->key) == ctx);
}

static void mapped_drop(u64 *m, u32 flags) {
  m[2] &= ~(u64)flags;
  if (!(m[2] & (MAP_D | MAP_I))) m[0] = m[1] = m[2] = 0;
}

/* A large page leaves many 8 KiB pieces in a bank, so a demapped page empties the context's banks: cheap (for data as
 * much as was used since, 32 KiB for fetches) and never stale. */
void mmu_demap_page(struct strand *s, u64 va, u64 context, u32 flags) {
  for (u32 i = 0; i < MAX_MAPPED; i++) {
    u64 *m = &s->mapped[i * MAP_WORDS];
    if (m[2] && m[2] >> 8 == context && map_matches(m, va, MAP_D | MAP_I)) mapped_drop(m, flags);
  }
  for (u32 i = 0; i < TLB_BANKS; i++)
    if (bank_has_context(&s->banks[i], context)) bank_clear(s, &s->banks[i], flags);
  strand_mode_changed(s);
}

void mmu_demap_context(struct strand *s, u64 context, u32 flags) {
  for (u32 i = 0; i < MAX_MAPPED; i++) {
    u64 *m = &s->mapped[i * MAP_WORDS];
    if (m[2] && m[2] >> 8 == context) mapped_drop(m, flags);
  }
  for (u32 i = 0; i < TLB_BANKS; i++)
    if (bank_has_context(&s->banks[i], context)) bank_clear(s, &s->banks[i], flags);
  strand_mode_changed(s);
}

void mmu_demap_all(struct strand *s, u32 flags) {
  for (u32 i = 0; i < MAX_MAPPED; i++)
    if (s->mapped[i * MAP_WORDS + 2]) mapped_drop(&s->mapped[i * MAP_WORDS], flags);
  for (u32 i = 0; i < TLB_BANKS; i++)
    if (s->banks[i].key != TAG_NONE) bank_clear(s, &s->banks[i], flags);
  strand_mode_changed(s);
}

/* An address has one translation: what the new page overlaps goes. */
void mmu_map(struct strand *s, u64 va, u64 context, u64 tte, u32 flags) {
  for (u32 i = 0; i < MAX_MAPPED; i++) {
    u64 *old = &s->mapped[i * MAP_WORDS];
    if (old[2] && old[2] >> 8 == context && map_overlaps(old, va, tte)) mapped_drop(old, flags);
  }
  mmu_demap_page(s, va, context, flags);
  u64 *m = &s->mapped[s->mapped_next * MAP_WORDS];
  if (m[2]) mmu_demap_page(s, m[0], m[2] >> 8, MAP_D | MAP_I); /* the oldest entry makes room */
  m[0] = va & PAGE_MASK;
  m[1] = tte;
  m[2] = flags | context << 8;
  s->mapped_next = (s->mapped_next + 1) % MAX_MAPPED;
}

void mmu_forget(struct strand *s) {
  for (u32 i = 0; i < TLB_BANKS; i++)
    if (s->banks[i].key != TAG_NONE) bank_clear(s, &s->banks[i], MAP_D | MAP_I);
  strand_mode_changed(s);
}

void mmu_forget_some(struct strand *s, u64 mask) {
  for (u32 n = 0; n < TLB_BANKS; n++) {
    struct tlb_bank *b = &s->banks[n];
    if (b->key == TAG_NONE) continue;
    for (u32 i = 0; i < TLB_ENTRIES; i++)
      if (mask >> (i & 63) & 1) b->d[i].rtag = b->d[i].wtag = TAG_NONE;
    for (u32 i = 0; i < ITLB_ENTRIES; i++)
      if (mask >> (i & 63) & 1) b->i[i].tag = TAG_NONE;
    b->epoch = ++s->epoch_stamp;
  }
  strand_mode_changed(s);
}

bool mmu_place(const struct strand_env *env, u64 ra, struct ram_ref *ref, u32 *rights) {
  *rights = PLACE_READ | PLACE_WRITE | PLACE_EXECUTE;
  if (ram_lookup(env->ram, RA(ra), ref)) return true;
  return env->mapped && ra >= env->mapped_first && env->mapped(env->machine, ra, ref, rights);
}

void mmu_drop_writes(struct strand *s) {
  for (u32 n = 0; n < TLB_BANKS; n++) {
    struct tlb_bank *b = &s->banks[n];
    for (u64 left = b->key == TAG_NONE ? 0 : b->touched; left; left &= left - 1) {
      struct tlb_entry *e = &b->d[(u32)__builtin_ctzll(left) * TLB_CHUNK];
      for (u32 i = 0; i < TLB_CHUNK; i++) e[i].wtag = TAG_NONE;
    }
  }
}
