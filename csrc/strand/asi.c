/* asi.c - alternate-space loads, stores and atomics (UA2005, chapter 10). */
#include "strand/asi.h"

#include "mem/pair.h"
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/memory.h"
#include "strand/window.h"

u64 asi_key(const struct strand *s, u32 space) {
  if (space == SPACE_REAL || !s->mmu_enabled) return key_real();
  u32 kind = strand_priv(s) ? BANK_PRIV : BANK_USER;
  switch (space) {
  case SPACE_PRIMARY: return bank_key(kind, s->context[0], s->context[2]);
  case SPACE_SECONDARY: return bank_key(kind, s->context[1], s->context[3]);
  case SPACE_USER_PRIMARY: return bank_key(BANK_USER, s->context[0], s->context[2]);
  case SPACE_USER_SECONDARY: return bank_key(BANK_USER, s->context[1], s->context[3]);
  default: return bank_key(kind, 0, 0);
  }
}

/* For translated code: where the space is, once it has a bank. */
static u64 open_space(struct strand *s, u32 space) {
  u64 key = asi_key(s, space);
  struct tlb_bank **at = &s->space[strand_priv(s)][space];
  for (u32 i = 0; !*at && i < TLB_BANKS; i++)
    if (s->banks[i].key == key) *at = &s->banks[i];
  return key;
}

u32 asi_fault(struct strand *s, u64 va, u32 type) {
  return mmu_fault(s, TT_DATA_ACCESS_EXCEPTION, va, (u32)s->context[0], type);
}

static u32 asi_number(const struct strand *s, u32 insn) { return insn_i(insn) ? s->asi : insn >> 5 & 0xff; }

/* Privilege, then existence. */
static u32 asi_open(struct strand *s, u32 asi, u64 va) {
  if (asi < 0x80 && (!strand_priv(s) || asi >= 0x30))
    return mmu_fault(s, TT_PRIVILEGED_ACTION, va, (u32)s->context[0], FAULT_PRIVILEGED_ACTION);
  const struct asi_info *a = &asi_table[asi];
  if (a->kind == ASI_BAD || (a->from_t4 && !s->env->cfr_present)) return asi_fault(s, va, FAULT_ASI);
  if (a->kind == ASI_MONITOR && !(s->env->features >> FEATURE_MWAIT & 1)) return asi_fault(s, va, FAULT_ASI);
  return 0;
}

static u32 unaligned(struct strand *s, u32 tt, u32 space, u64 va) {
  return mmu_fault(s, tt, va, (u32)(asi_key(s, space) >> 2) & 0xffff, FAULT_UNALIGNED);
}

static bool is_twin(const struct asi_info *a, u32 type) {
  return type == MT_PAIR && (a->kind == ASI_QUAD || (a->kind == ASI_TWIN && !a->size));
}

static u32 alignment(const struct asi_info *a, u32 type, bool store) {
  if (!store && is_twin(a, type)) return 16;
  if (type == MT_F64 && a->kind == ASI_BLOCK) return 64;
  return type == MT_F64 && a->kind == ASI_SHORT ? a->size : mem_size(type);
}

/* In the order of UA2005, chapter 12: registers that cannot be named, alignment, privilege, existence. */
static u32 asi_check(struct strand *s, u32 insn, u32 type, u64 va, bool store) {
  u32 asi = asi_number(s, insn), rd = insn_rd(insn);
  const struct asi_info *a = &asi_table[asi];
  if (type == MT_PAIR && (rd & 1)) return TT_ILLEGAL_INSTRUCTION;
  if (type == MT_F64 && a->kind == ASI_BLOCK && (fp_double_index(rd) & 7)) return TT_ILLEGAL_INSTRUCTION;
  if (type == MT_F64 && a->kind == ASI_PARTIAL && store && insn_i(insn)) return TT_ILLEGAL_INSTRUCTION;
  u32 bytes = alignment(a, type, store), tt = TT_MEM_ADDRESS_NOT_ALIGNED;
  if (!(va & (bytes - 1))) return asi_open(s, asi, va);
  if (type == MT_F64 && bytes == 8 && !(va & 3)) tt = store ? TT_STDF_NOT_ALIGNED : TT_LDDF_NOT_ALIGNED;
  return unaligned(s, tt, a->space, va);
}

/* LDTXA: 16 bytes at once into rd and rd+1. */
static u32 twin_load(struct strand *s, u32 insn, u64 key, u64 va, bool little) {
  u32 rd = insn_rd(insn);
  struct memref ref;
  u32 tt = mem_ref(s, key, va, 16, ACCESS_LOAD, &ref);
  if (tt) return tt;
  u64 words[2];
  pair_load(ref.host, words);
  bool raw = little != (ref.swap != 0);
  reg_set(s, rd, raw ? words[0] : __builtin_bswap64(words[0]));
  reg_set(s, rd + 1, raw ? words[1] : __builtin_bswap64(words[1]));
  return BODY_OK;
}

/* A block-init store to the start of a 64-byte line clears the rest of the line. */
static u32 init_store(struct strand *s, u32 insn, u32 type, u64 key, u64 va, bool little) {
  if ((va & 63) < 8) {
    struct memref ref;
    u32 tt = mem_ref(s, key, va & ~63ull, 64, ACCESS_STORE, &ref);
    if (tt) return tt;
    __builtin_memset(ref.host, 0, 64);
    mem_written(s, &ref, 64);
  }
  return mem_store_from(s, insn, type, key, va, little);
}

static u32 load_fp_forms(struct strand *s, u32 insn, const struct asi_info *a, u64 key, u64 va) {
  if (a->kind == ASI_BLOCK && a->size != 64) return asi_block_load(s, insn, key, va, a->little);
  if (a->kind == ASI_SHORT) return asi_short_load(s, insn, a, key, va);
  return asi_fault(s, va, FAULT_ASI);
}

u32 asi_load(struct strand *s, u32 insn, u32 type) {
  u64 va = mem_address(s, insn), value = 0;
  u32 tt = asi_check(s, insn, type, va, false);
  if (tt) return tt;
  const struct asi_info *a = &asi_table[asi_number(s, insn)];
  u64 key = open_space(s, a->space);
  switch (a->kind) {
  case ASI_MEMORY:
  case ASI_MONITOR: return mem_load_to(s, insn, type, key, va, a->little, ACCESS_LOAD);
  case ASI_NOFAULT: return mem_load_to(s, insn, type, key, va, a->little, ACCESS_NOFAULT);
  case ASI_TWIN:
  case ASI_QUAD:
    return is_twin(a, type) ? twin_load(s, insn, key, va, a->little) : asi_fault(s, va, FAULT_ASI);
  case ASI_BLOCK: case ASI_PARTIAL: case ASI_SHORT:
    return type == MT_F64 ? load_fp_forms(s, insn, a, key, va) : asi_fault(s, va, FAULT_ASI);
  default: break;
  }
  if (type != MT_U64) return asi_fault(s, va, FAULT_ASI);
  tt = asi_register_load(s, a->kind, va, &value);
  if (!tt) reg_set(s, insn_rd(insn), value);
  return tt;
}

static u32 store_fp_forms(struct strand *s, u32 insn, const struct asi_info *a, u64 key, u64 va) {
  if (a->kind == ASI_BLOCK && a->size != 64) return asi_block_store(s, insn, key, va, a->little);
  if (a->kind == ASI_PARTIAL) return asi_partial_store(s, insn, a, key, va);
  if (a->kind == ASI_SHORT) return asi_short_store(s, insn, a, key, va);
  return asi_fault(s, va, FAULT_ASI);
}

u32 asi_store(struct strand *s, u32 insn, u32 type) {
  const struct asi_info *a = &asi_table[asi_number(s, insn)];
  /* a partial store's second field is its mask, not part of the address */
  bool partial = a->kind == ASI_PARTIAL && type == MT_F64;
  u64 va = partial ? reg_get(s, insn_rs1(insn)) & strand_mask(s) : mem_address(s, insn);
  u32 tt = asi_check(s, insn, type, va, true);
  if (tt) return tt;
  u64 key = open_space(s, a->space);
  switch (a->kind) {
  case ASI_MEMORY: return mem_store_from(s, insn, type, key, va, a->little);
  case ASI_TWIN:
    if (type == MT_F32 || type == MT_F64) return asi_fault(s, va, FAULT_ASI);
    return init_store(s, insn, type, key, va, a->little);
  case ASI_BLOCK: case ASI_PARTIAL: case ASI_SHORT:
    return type == MT_F64 ? store_fp_forms(s, insn, a, key, va) : asi_fault(s, va, FAULT_ASI);
  case ASI_NOFAULT: case ASI_QUAD: return asi_fault(s, va, FAULT_ASI);
  default: break;
  }
  if (type != MT_U64) return asi_fault(s, va, FAULT_ASI);
  return asi_register_store(s, a->kind, va, reg_get(s, insn_rd(insn)));
}

/* Atomics: ordinary memory and real addresses of memory only. */
static u32 atomic_open(struct strand *s, u32 insn, u64 va, const struct asi_info **a) {
  u32 asi = asi_number(s, insn), tt = asi_open(s, asi, va);
  *a = &asi_table[asi];
  if (!tt && (*a)->kind != ASI_MEMORY) tt = asi_fault(s, va, FAULT_ASI);
  if (!tt && (*a)->io) tt = asi_fault(s, va, FAULT_ATOMIC_NC);
  return tt;
}

u32 asi_swap(struct strand *s, u32 insn, u32 type) {
  const struct asi_info *a;
  u64 va = mem_address(s, insn);
  (void)type;
  if (va & 3) return unaligned(s, TT_MEM_ADDRESS_NOT_ALIGNED, asi_table[asi_number(s, insn)].space, va);
  u32 tt = atomic_open(s, insn, va, &a);
  return tt ? tt : mem_swap_at(s, insn, asi_key(s, a->space), va, a->little);
}

u32 asi_ldstub(struct strand *s, u32 insn, u32 type) {
  const struct asi_info *a;
  u64 va = mem_address(s, insn);
  (void)type;
  u32 tt = atomic_open(s, insn, va, &a);
  return tt ? tt : mem_ldstub_at(s, insn, asi_key(s, a->space), va);
}

u32 asi_cas(struct strand *s, u32 insn, u32 type) {
  const struct asi_info *a;
  u64 va = reg_get(s, insn_rs1(insn)) & strand_mask(s);
  if (va & (mem_size(type) - 1))
    return unaligned(s, TT_MEM_ADDRESS_NOT_ALIGNED, asi_table[asi_number(s, insn)].space, va);
  u32 tt = atomic_open(s, insn, va, &a);
  struct memref ref;
  if (!tt) tt = mem_ref(s, open_space(s, a->space), va, mem_size(type), ACCESS_ATOMIC, &ref);
  if (tt) return tt;
  bool raw = a->little != (ref.swap != 0);
  u64 compare = reg_get(s, insn_rs2(insn)), set = reg_get(s, insn_rd(insn)), old;
  if (type == MT_U32) {
    u32 expect = raw ? (u32)compare : __builtin_bswap32((u32)compare);
    __atomic_compare_exchange_n((u32 *)(void *)ref.host, &expect, raw ? (u32)set : __builtin_bswap32((u32)set), false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    old = raw ? expect : __builtin_bswap32(expect);
  } else {
    u64 expect = raw ? compare : __builtin_bswap64(compare);
    __atomic_compare_exchange_n((u64 *)(void *)ref.host, &expect, raw ? set : __builtin_bswap64(set), false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    old = raw ? expect : __builtin_bswap64(expect);
  }
  if (old == (type == MT_U32 ? (u32)compare : compare)) mem_written(s, &ref, mem_size(type));
  reg_set(s, insn_rd(insn), old);
  return BODY_OK;
}

u32 asi_prefetch(struct strand *s, u32 insn) {
  u32 asi = asi_number(s, insn), tt = mem_prefetch(s, insn);
  if (!tt && asi < 0x80 && !strand_priv(s))
    tt = mmu_fault(s, TT_PRIVILEGED_ACTION, mem_address(s, insn), (u32)s->context[0], FAULT_PRIVILEGED_ACTION);
  return tt;
}
