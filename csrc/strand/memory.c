/* memory.c - see memory.h. */
#include "strand/memory.h"

#include "mem/tso.h"
#include "strand/codecache.h"
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/share.h"
#include "strand/watch.h"
#include "strand/window.h"

static u64 swap_bytes(u64 v, u32 bytes) {
  switch (bytes) {
  case 1: return v & 0xff;
  case 2: return __builtin_bswap16((u16)v);
  case 4: return __builtin_bswap32((u32)v);
  default: return __builtin_bswap64(v);
  }
}

/* Host memory in host order; aligned, hence single-copy atomic. */
static u64 host_load(const u8 *p, u32 bytes) {
  switch (bytes) {
  case 1: return TSO_LOAD(u8, p);
  case 2: return TSO_LOAD(u16, p);
  case 4: return TSO_LOAD(u32, p);
  default: return TSO_LOAD(u64, p);
  }
}

static void host_store(u8 *p, u32 bytes, u64 v) {
  switch (bytes) {
  case 1: TSO_STORE(u8, p, v); break;
  case 2: TSO_STORE(u16, p, v); break;
  case 4: TSO_STORE(u32, p, v); break;
  default: TSO_STORE(u64, p, v); break;
  }
}

/* A page's two places. */
static u32 tlb_index(u64 va) { return (u32)(va >> PAGE_BITS) & (TLB_ENTRIES - 1); }
static u32 tlb_other(u32 index) { return index ^ (TLB_ENTRIES / 2); }

static bool has_page(const struct tlb_entry *e, u64 va) { return watch_untag(e->rtag) == (va & PAGE_MASK); }

/* The entry that has the page, or the first place emptied for it: what stood there moves to its other place. */
static struct tlb_entry *tlb_slot(struct tlb_bank *bank, u64 va) {
  u32 index = tlb_index(va);
  struct tlb_entry *first = &bank->d[index], *second = &bank->d[tlb_other(index)];
  if (has_page(first, va)) return first;
  if (has_page(second, va)) return second;
  tlb_touch(bank, index);
  if (first->rtag != TAG_NONE) {
    *second = *first;
    tlb_touch(bank, tlb_other(index));
  }
  first->rtag = first->wtag = TAG_NONE;
  return first;
}

/* A hit in the soft TLB that the access may use. What it may not, the walk decides anew: it names the trap, and finds
 * a permission that a TSB entry has gained since. */
static bool hit_allows(const struct tlb_entry *e, u32 access) {
  if (access == ACCESS_NOFAULT) return !(e->info & TLB_E);
  if (access == ACCESS_ATOMIC && !(e->info & TLB_CP)) return false;
  return access == ACCESS_LOAD || (e->info & TLB_W);
}

/* A precise error at a real address: the report, then the trap. */
static u32 memory_error(struct strand *s, u64 ra) {
  s->env->memory_error(s, ra);
  return TT_NONRESUMABLE_ERROR;
}

/* Whether the access may have what lies there; what it may not, it gets no write permission for later either. */
static u32 check_rights(struct strand *s, u64 key, u64 va, u32 access, u32 rights, u32 *info) {
  u32 ctx = (u32)(key >> 2) & 0xffff;
  bool writes = access == ACCESS_STORE || access == ACCESS_ATOMIC;
  if (!(rights & PLACE_WRITE)) *info &= ~(u32)TLB_W;
  if (writes && !(rights & PLACE_WRITE))
    return mmu_fault(s, TT_FAST_DATA_ACCESS_PROTECTION, va & PAGE_MASK, ctx, FAULT_PROTECTION);
  if (access != ACCESS_STORE && !(rights & PLACE_READ))
    return mmu_fault(s, TT_DATA_ACCESS_EXCEPTION, va, ctx, FAULT_INVALID_RA);
  return 0;
}

/* What the engine's inline path would do: a load, or a store that has the permission, needs nothing but the entry. A page
 * that is watched has another tag. */
static bool quick_ref(const struct tlb_bank *bank, u64 va, u32 access, struct memref *out) {
  const struct tlb_entry *e = &bank->d[tlb_index(va)];
  u64 page = va & PAGE_MASK;
  if (access > ACCESS_STORE) return false;
  if ((access == ACCESS_STORE ? e->wtag : e->rtag) != page) e = &bank->d[tlb_other(tlb_index(va))];
  if ((access == ACCESS_STORE ? e->wtag : e->rtag) != page) return false;
  *out = (struct memref){.host = (u8 *)(uintptr_t)(e->addend + va), .va = va};
  return true;
}

u32 mem_ref(struct strand *s, u64 key, u64 va, u32 bytes, u32 access, struct memref *out) {
  if (UNLIKELY(s->env->watch_count != 0) && watch_meets(s, key, va, bytes, access)) return BODY_RETRY;
  struct tlb_bank *bank = s->bank->key == key ? s->bank : mmu_bank(s, key);
  if (quick_ref(bank, va, access, out)) return 0;
  struct tlb_entry *e = tlb_slot(bank, va);
  struct mapping m = {.ra = (e->info & PAGE_MASK) | (va & ~PAGE_MASK)};
  struct ram_ref ref;
  u32 rights, bad = POISON_NONE;
  bool hit = has_page(e, va) && hit_allows(e, access);
  u32 tt = hit ? 0 : mmu_translate(s, key, va, access, &m);
  if (tt) return tt;
  if (!mmu_place(s->env, m.ra, &ref, &rights))
    return mmu_fault(s, TT_DATA_ACCESS_EXCEPTION, va, (u32)(key >> 2) & 0xffff, FAULT_INVALID_RA);
  if (!hit && (tt = check_rights(s, key, va, access, rights, &m.info))) return tt;
  if (s->env->poison_count) bad = s->env->poisoned(s->env->machine, m.ra);
  if (bad == POISON_LINE_HIT && access != ACCESS_STORE) return memory_error(s, m.ra);
  /* not every access may pass: never by the soft TLB */
  bool exact = m.invert_endian || (m.info & TLB_IO) || bad || !(rights & PLACE_READ);
  if (hit && !exact) e->rtag = watch_tag(s->env, va & PAGE_MASK); /* its page may have been missing when it was loaded */
  if (!hit && !exact)
    *e = (struct tlb_entry){.rtag = watch_tag(s->env, va & PAGE_MASK), .wtag = TAG_NONE, .addend = (u64)(uintptr_t)ref.host - va,
                            .info = (m.ra & PAGE_MASK) | m.info};
  *out = (struct memref){.host = ref.host, .entry = exact ? NULL : e, .page = ref.page, .region = ref.region,
                         .code = ref.code, .va = va, .pa = ref.pa, .swap = m.invert_endian};
  return 0;
}

void mem_written(struct strand *s, const struct memref *ref, u32 bytes) {
  if (!ref->page) return; /* quick_ref(): marked, and no code */
#ifndef S4V_COST_NO_DIRTY /* a build without marks measures what they cost (tests/benchmarks/cost.py) */
  if (UNLIKELY(strand_dirty_limited(s)) && __atomic_load_n(ref->page, __ATOMIC_RELAXED) == 0) strand_count_dirty(s);
  ram_mark(ref->page, ref->region);
#endif
  if (__atomic_load_n(ref->code, __ATOMIC_RELAXED)) {
    if (codestore_written(s->env->store, ref->pa, bytes)) strand_notice(s);
  } else if (ref->entry && (ref->entry->info & TLB_W) && !(ref->entry->rtag & TAG_WATCHED)) {
    ref->entry->wtag = ref->va & PAGE_MASK;
  }
}

u32 mem_read(struct strand *s, u64 key, u64 va, u32 bytes, bool little, u32 access, u64 *value) {
  struct memref ref;
  u32 tt = mem_ref(s, key, va, bytes, access, &ref);
  if (tt) return tt;
  u64 raw = host_load(ref.host, bytes);
  *value = little != (ref.swap != 0) ? raw : swap_bytes(raw, bytes);
  return 0;
}

u32 mem_write(struct strand *s, u64 key, u64 va, u32 bytes, bool little, u64 value) {
  struct memref ref;
  u32 tt = mem_ref(s, key, va, bytes, ACCESS_STORE, &ref);
  if (tt) return tt;
  host_store(ref.host, bytes, little != (ref.swap != 0) ? value : swap_bytes(value, bytes));
  mem_written(s, &ref, bytes);
  return 0;
}

u32 mem_size(u32 type) {
  static const u8 size[] = {1, 2, 4, 8, 1, 2, 4, 4, 8, 8, 4, 8, 8};
  return size[type];
}

u32 mem_check_alignment(struct strand *s, u64 va, u32 type, bool store) {
  u32 bytes = mem_size(type);
  if (!(va & (bytes - 1))) return 0;
  u32 tt = TT_MEM_ADDRESS_NOT_ALIGNED;
  if (type == MT_F64 && !(va & 3)) tt = store ? TT_STDF_NOT_ALIGNED : TT_LDDF_NOT_ALIGNED;
  return mmu_fault(s, tt, va, s->tl ? 0 : (u32)s->context[0], FAULT_UNALIGNED);
}

u64 mem_extend(u32 type, u64 v) {
  switch (type) {
  case MT_I8: return (u64)(i64)(i8)v;
  case MT_I16: return (u64)(i64)(i16)v;
  case MT_I32: return (u64)(i64)(i32)v;
  default: return v;
  }
}

u64 mem_address(const struct strand *s, u32 insn) {
  u64 va = reg_get(s, insn_rs1(insn)) + (insn_i(insn) ? (u64)insn_simm(insn, 13) : reg_get(s, insn_rs2(insn)));
  return va & strand_mask(s);
}

/* Two 32-bit words of LDD and STD: each word is swapped on its own in little-endian spaces (V9 A.26). */
static u64 pair_order(u64 v, bool little) { return little ? v << 32 | v >> 32 : v; }

u32 mem_load_to(struct strand *s, u32 insn, u32 type, u64 key, u64 va, bool little, u32 access) {
  u32 rd = insn_rd(insn);
  if (type == MT_PAIR && (rd & 1)) return TT_ILLEGAL_INSTRUCTION;
  u32 tt = mem_check_alignment(s, va, type, false);
  if (tt) return tt;
  u64 v;
  tt = mem_read(s, key, va, mem_size(type), little, access, &v);
  if (tt) return tt;
  switch (type) {
  case MT_F32: fp_write_single(s, rd, (u32)v); break;
  case MT_F64: fp_write_double(s, rd, v); break;
  case MT_PAIR:
    v = pair_order(v, little);
    reg_set(s, rd, v >> 32);
    reg_set(s, rd + 1, (u32)v);
    break;
  case MT_FSR32: fpu_write_fsr(s, v, false, false); break;
  case MT_FSR64: fpu_write_fsr(s, v, true, false); break;
  case MT_EFSR64: fpu_write_fsr(s, v, true, true); break;
  default: reg_set(s, rd, mem_extend(type, v)); return BODY_OK;
  }
  if (type < MT_FSR32) return BODY_OK;
  strand_mode_changed(s);
  return BODY_NEXT;
}

u32 mem_store_from(struct strand *s, u32 insn, u32 type, u64 key, u64 va, bool little) {
  u32 rd = insn_rd(insn);
  if (type == MT_PAIR && (rd & 1)) return TT_ILLEGAL_INSTRUCTION;
  u32 tt = mem_check_alignment(s, va, type, true);
  if (tt) return tt;
  u64 v;
  switch (type) {
  case MT_F32: v = fp_single(s, rd); break;
  case MT_F64: v = s->f[fp_double_index(rd)]; break;
  case MT_PAIR: v = pair_order(reg_get(s, rd) << 32 | (u32)reg_get(s, rd + 1), little); break;
  case MT_FSR32: case MT_FSR64: v = fpu_read_fsr(s); break;
  default: v = reg_get(s, rd); break;
  }
  tt = mem_write(s, key, va, mem_size(type), little, v);
  if (!tt && (type == MT_FSR32 || type == MT_FSR64)) s->fsr &= ~(7ull << 14); /* ftt is cleared once stored */
  return tt;
}

static bool implicit_little(const struct strand *s) { return (s->pstate & PSTATE_CLE) != 0; }

u32 mem_load(struct strand *s, u32 insn, u32 type) {
  return mem_load_to(s, insn, type, s->bank->key, mem_address(s, insn), implicit_little(s), ACCESS_LOAD);
}

u32 mem_store(struct strand *s, u32 insn, u32 type) {
  return mem_store_from(s, insn, type, s->bank->key, mem_address(s, insn), implicit_little(s));
}

u32 mem_swap_at(struct strand *s, u32 insn, u64 key, u64 va, bool little) {
  struct memref ref;
  u32 tt = mem_check_alignment(s, va, MT_U32, true);
  if (!tt) tt = mem_ref(s, key, va, 4, ACCESS_ATOMIC, &ref);
  if (tt) return tt;
  bool plain = little != (ref.swap != 0);
  u32 v = (u32)reg_get(s, insn_rd(insn));
  u32 old = __atomic_exchange_n((u32 *)(void *)ref.host, plain ? v : __builtin_bswap32(v), __ATOMIC_SEQ_CST);
  mem_written(s, &ref, 4);
  reg_set(s, insn_rd(insn), plain ? old : __builtin_bswap32(old));
  return BODY_OK;
}

u32 mem_ldstub_at(struct strand *s, u32 insn, u64 key, u64 va) {
  struct memref ref;
  u32 tt = mem_ref(s, key, va, 1, ACCESS_ATOMIC, &ref);
  if (tt) return tt;
  u8 old = __atomic_exchange_n(ref.host, (u8)0xff, __ATOMIC_SEQ_CST);
  mem_written(s, &ref, 1);
  reg_set(s, insn_rd(insn), old);
  return BODY_OK;
}

u32 mem_swap(struct strand *s, u32 insn, u32 type) {
  (void)type;
  return mem_swap_at(s, insn, s->bank->key, mem_address(s, insn), implicit_little(s));
}

u32 mem_ldstub(struct strand *s, u32 insn, u32 type) {
  (void)type;
  return mem_ldstub_at(s, insn, s->bank->key, mem_address(s, insn));
}

/* Hints have no effect; fcn 5..15 are reserved (V9 A.42). */
u32 mem_prefetch(struct strand *s, u32 insn) {
  (void)s;
  u32 fcn = insn_rd(insn);
  return fcn >= 5 && fcn <= 15 ? TT_ILLEGAL_INSTRUCTION : BODY_OK;
}

u32 mem_fetch(struct strand *s, u64 va, u32 *insn, u64 *ra) {
  struct tlb_bank *bank = s->bank;
  struct itlb_entry *e = &bank->i[(va >> PAGE_BITS) & (ITLB_ENTRIES - 1)];
  if (e->tag != (va & PAGE_MASK)) {
    struct mapping m;
    u32 tt = mmu_translate(s, bank->key, va, ACCESS_FETCH, &m);
    if (tt) return tt;
    if (e->tag != TAG_NONE) { /* what the jump cache knows of the page that goes is no longer backed */
      bank->epoch = ++s->epoch_stamp;
      strand_mode_changed(s);
    }
    e->tag = va & PAGE_MASK;
    e->ra = m.ra & PAGE_MASK;
  }
  struct ram_ref ref;
  u32 rights;
  *ra = e->ra | (va & ~PAGE_MASK);
  if (!mmu_place(s->env, *ra, &ref, &rights) || ref.bytes < 4 || !(rights & PLACE_EXECUTE))
    return mmu_fault(s, TT_INSTRUCTION_ACCESS_EXCEPTION, va, 0, FAULT_INVALID_RA);
  if (s->env->poison_count) {
    u32 bad = s->env->poisoned(s->env->machine, *ra);
    if (bad == POISON_LINE_HIT) return memory_error(s, *ra);
    s->single |= bad; /* the page is not decoded: its words are looked at one by one */
  }
  *insn = code_fetch(ref.host);
  return 0;
}
