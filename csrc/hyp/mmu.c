/* mmu.c - MMU_* calls (UltraSPARC VM Specification 3.0). All act on the calling strand only. */
#include "strand/mmu.h"

#include "hyp/calls.h"
#include "hyp/hyp.h"

enum { CONTEXT_LIMIT = 0x2000 };

static bool flags_valid(u64 flags) { return flags >= 1 && flags <= 3; }

/* A TTE somebody wants mapped: known page size, valid, backed RA. Bits below the page size are ignored. */
static u32 check_tte(const struct strand *s, u64 tte) {
  u32 size = tte & 15;
  if (!(tte & TTE_V)) return HV_EINVAL;
  if (size > 7 || !(s->env->page_sizes >> size & 1)) return HV_EBADPGSZ;
  u64 bytes = 1ull << tte_shift(tte);
  struct ram_ref ref;
  u32 rights;
  return mmu_place(s->env, tte & TTE_RA_MASK & ~(bytes - 1), &ref, &rights) ? HV_EOK : HV_ENORADDR;
}

u32 hc_mmu_map_addr(struct strand *s, struct domain *d) {
  u64 va = hv_arg(s, 0), ctx = hv_arg(s, 1), tte = hv_arg(s, 2), flags = hv_arg(s, 3);
  (void)d;
  if (!flags_valid(flags) || ctx >= CONTEXT_LIMIT) return hc_status(s, HV_EINVAL);
  u32 status = check_tte(s, tte);
  if (!status) mmu_map(s, va, ctx, tte, (u32)flags);
  return hc_status(s, status);
}

u32 hc_mmu_unmap_addr(struct strand *s, struct domain *d) {
  u64 va = hv_arg(s, 0), ctx = hv_arg(s, 1), flags = hv_arg(s, 2);
  (void)d;
  if (!flags_valid(flags) || ctx >= CONTEXT_LIMIT) return hc_status(s, HV_EINVAL);
  mmu_demap_page(s, va, ctx, (u32)flags);
  return hc_status(s, HV_EOK);
}

/* Descriptor words as in guest memory: {pgsz index, associativity, entries}, {context index, mask}, base, reserved. */
static u32 check_descriptor(const struct strand *s, const u64 *w) {
  u32 index = (u32)(w[0] >> 48), associativity = (u32)(w[0] >> 32) & 0xffff, mask = (u32)w[1];
  u64 entries = w[0] & 0xffffffffu;
  i32 ctx_index = (i32)(w[1] >> 32);
  if (associativity != 1 || entries < 512 || entries > (1u << 24) || (entries & (entries - 1))) return HV_EBADTSB;
  if (index > 7 || mask == 0 || (mask & ~s->env->page_sizes)) return HV_EBADPGSZ;
  if (index != (u32)__builtin_ctz(mask) || ctx_index < -1 || ctx_index > 1) return HV_EINVAL;
  if (w[2] & (entries * 16 - 1)) return HV_EBADALIGN;
  return ram_backed(s->env->ram, RA(w[2]), entries * 16) ? HV_EOK : HV_ENORADDR;
}

static u32 tsb_configure(struct strand *s, u32 class) {
  u64 n = hv_arg(s, 0), ra = hv_arg(s, 1), words[MAX_TSBS * TSB_WORDS];
  if (n > s->env->max_tsbs || n > MAX_TSBS) return HV_EINVAL;
  if (n && (ra & 7)) return HV_EBADALIGN;
  if (n && !ram_read(s->env->ram, RA(ra), words, n * TSB_WORDS * 8)) return HV_ENORADDR;
  for (u64 i = 0; i < n * TSB_WORDS; i++) words[i] = __builtin_bswap64(words[i]);
  for (u64 i = 0; i < n; i++) {
    u32 status = check_descriptor(s, &words[i * TSB_WORDS]);
    if (status) return status;
  }
  __builtin_memcpy(&s->tsb[class * MAX_TSBS * TSB_WORDS], words, n * TSB_WORDS * 8);
  s->tsb_count[class] = n;
  return HV_EOK;
}

u32 hc_mmu_tsb_ctx0(struct strand *s, struct domain *d) { (void)d; return hc_status(s, tsb_configure(s, 0)); }
u32 hc_mmu_tsb_ctxnon0(struct strand *s, struct domain *d) { (void)d; return hc_status(s, tsb_configure(s, 1)); }

static u32 tsb_info(struct strand *s, u32 class) {
  u64 max = hv_arg(s, 0), ra = hv_arg(s, 1), n = s->tsb_count[class], words[MAX_TSBS * TSB_WORDS];
  if (max < n) return HV_EINVAL;
  if (ra & 7) return HV_EBADALIGN;
  for (u64 i = 0; i < n * TSB_WORDS; i++) words[i] = __builtin_bswap64(s->tsb[class * MAX_TSBS * TSB_WORDS + i]);
  if (n && !ram_write(s->env->ram, RA(ra), words, n * TSB_WORDS * 8)) return HV_ENORADDR;
  hv_ret(s, 1, n);
  return HV_EOK;
}

u32 hc_mmu_tsb_ctx0_info(struct strand *s, struct domain *d) { (void)d; return hc_status(s, tsb_info(s, 0)); }
u32 hc_mmu_tsb_ctxnon0_info(struct strand *s, struct domain *d) { (void)d; return hc_status(s, tsb_info(s, 1)); }

/* CPU lists (arguments 0 and 1) are not supported: demaps act on the caller. */
static u32 demap_check(const struct strand *s, u64 flags, u64 ctx) {
  if (hv_arg(s, 0) || hv_arg(s, 1)) return HV_ENOTSUPPORTED;
  return flags_valid(flags) && ctx < CONTEXT_LIMIT ? HV_EOK : HV_EINVAL;
}

u32 hc_mmu_demap_page(struct strand *s, struct domain *d) {
  u64 va = hv_arg(s, 2), ctx = hv_arg(s, 3), flags = hv_arg(s, 4);
  (void)d;
  u32 status = demap_check(s, flags, ctx);
  if (!status) mmu_demap_page(s, va, ctx, (u32)flags);
  return hc_status(s, status);
}

u32 hc_mmu_demap_ctx(struct strand *s, struct domain *d) {
  u64 ctx = hv_arg(s, 2), flags = hv_arg(s, 3);
  (void)d;
  u32 status = demap_check(s, flags, ctx);
  if (!status) mmu_demap_context(s, ctx, (u32)flags);
  return hc_status(s, status);
}

u32 hc_mmu_demap_all(struct strand *s, struct domain *d) {
  u64 flags = hv_arg(s, 2);
  (void)d;
  u32 status = demap_check(s, flags, 0);
  if (!status) mmu_demap_all(s, (u32)flags);
  return hc_status(s, status);
}

/* The permanent mapping that shares an address with a page; an 8 KiB page: the one that covers va. */
static u64 *perm_find(struct strand *s, u64 va, u64 tte) {
  for (u64 i = 0; i < s->perm_count; i++)
    if (map_overlaps(&s->perm[i * MAP_WORDS], va, tte)) return &s->perm[i * MAP_WORDS];
  return NULL;
}

u32 hc_mmu_map_perm_addr(struct strand *s, struct domain *d) {
  u64 va = hv_arg(s, 0), tte = hv_arg(s, 2), flags = hv_arg(s, 3);
  (void)d;
  if (hv_arg(s, 1) || !flags_valid(flags)) return hc_status(s, HV_EINVAL);
  u32 status = check_tte(s, tte);
  if (status) return hc_status(s, status);
  u64 *m = perm_find(s, va, tte);
  if (m) { /* the same mapping for the other of D and I joins it */
    if (m[1] != tte || (m[2] & flags)) return hc_status(s, HV_EINVAL);
    mmu_demap_page(s, va, 0, (u32)flags);
    m[2] |= flags;
    return hc_status(s, HV_EOK);
  }
  if (s->perm_count >= MAX_PERM) return hc_status(s, HV_ETOOMANY);
  mmu_demap_page(s, va, 0, (u32)flags);
  m = &s->perm[s->perm_count++ * MAP_WORDS];
  m[0] = va & ~((1ull << tte_shift(tte)) - 1);
  m[1] = tte;
  m[2] = flags;
  return hc_status(s, HV_EOK);
}

u32 hc_mmu_unmap_perm_addr(struct strand *s, struct domain *d) {
  u64 va = hv_arg(s, 0), flags = hv_arg(s, 2);
  (void)d;
  if (hv_arg(s, 1) || !flags_valid(flags)) return hc_status(s, HV_EINVAL);
  u64 *m = perm_find(s, va, 0);
  if (!m || !(m[2] & flags)) return hc_status(s, HV_ENOMAP);
  m[2] &= ~flags;
  if (!m[2]) {
    u64 *last = &s->perm[--s->perm_count * MAP_WORDS];
    __builtin_memmove(m, last, MAP_WORDS * 8);
    __builtin_memset(last, 0, MAP_WORDS * 8);
  }
  mmu_demap_page(s, va, 0, (u32)flags);
  return hc_status(s, HV_EOK);
}

u32 hc_mmu_fault_area_conf(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0);
  (void)d;
  if (ra & 63) return hc_status(s, HV_EBADALIGN);
  if (!ra || !ram_backed(s->env->ram, RA(ra), 128)) return hc_status(s, HV_ENORADDR);
  hv_ret(s, 1, s->fault_area);
  s->fault_area = ra;
  return hc_status(s, HV_EOK);
}

u32 hc_mmu_fault_area_info(struct strand *s, struct domain *d) {
  (void)d;
  hv_ret(s, 1, s->fault_area);
  return hc_status(s, HV_EOK);
}

u32 hc_mmu_enable(struct strand *s, struct domain *d) {
  u64 flag = hv_arg(s, 0), target = hv_arg(s, 1);
  (void)d;
  if (flag > 1 || flag == s->mmu_enabled) return hc_status(s, HV_EINVAL);
  if (target & 3) return hc_status(s, HV_EBADALIGN);
  if (!flag && !ram_backed(s->env->ram, RA(target), 4)) return hc_status(s, HV_ENORADDR);
  s->mmu_enabled = flag;
  mmu_spaces_changed(s);
  s->pc = target;
  s->npc = target + 4;
  hv_ret(s, 0, HV_EOK);
  strand_mode_changed(s);
  return BODY_JUMP;
}
