/* firmware.c - see firmware.h. */
#include "strand/firmware.h"

#include "strand/memory.h"
#include "strand/window.h"

enum { STACK_BIAS = 2047, SCRATCHPAD_CPUID = 1 };

u64 firmware_lookup(const struct strand *s, u64 va) {
  const struct firmware_maps *maps = s->env->firmware_maps;
  for (u32 i = 0; i < maps->count; i++) {
    const struct firmware_map *m = &maps->map[i];
    if (va < m->va || va - m->va >= m->bytes) continue;
    u64 ra = m->ra + ((va - m->va) & PAGE_MASK);
    return TTE_V | (ra & TTE_RA_MASK) | TTE_P | TTE_CP | TTE_W | TTE_X;
  }
  return 0;
}

static u64 nucleus_key(const struct strand *s) { return s->mmu_enabled ? bank_key(BANK_PRIV, 0, 0) : key_real(); }

/* The 16 registers of the current window and its stack's save area. 0, or the trap that stands in the way. */
static u32 move_frame(struct strand *s, bool store) {
  u64 key = nucleus_key(s), at = reg_get(s, 14) + STACK_BIAS;
  u32 tt = 0, pass = s->watch_pass;
  if (at & 7) return mmu_fault(s, TT_MEM_ADDRESS_NOT_ALIGNED, at, 0, FAULT_UNALIGNED);
  s->watch_pass = 1; /* no instruction of the guest's that could stop before it */
  for (u32 n = 0; !tt && n < 16; n++) {
    u64 v = reg_get(s, 16 + n);
    tt = store ? mem_write(s, key, at + 8 * n, 8, false, v) : mem_read(s, key, at + 8 * n, 8, false, ACCESS_LOAD, &v);
    if (!tt && !store) reg_set(s, 16 + n, v);
  }
  s->watch_pass = pass;
  return tt;
}

/* What the handlers of spill_0_normal and fill_0_normal do (V9 appendix H.2), without a trap. */
static u32 window_move(struct strand *s, bool spill) {
  u32 cwp = s->cwp;
  window_set_cwp(s, spill ? (cwp + s->cansave + 2u) % NWINDOWS : (cwp + NWINDOWS - 1u) % NWINDOWS);
  u32 tt = move_frame(s, spill);
  window_set_cwp(s, cwp);
  if (tt) return tt;
  u8 *from = spill ? &s->canrestore : &s->cansave, *to = spill ? &s->cansave : &s->canrestore;
  if (s->otherwin && spill) from = &s->otherwin;
  *from = (u8)((*from - 1u) & 7u);
  *to = (u8)((*to + 1u) & 7u);
  return 0;
}

static u32 clean(struct strand *s) {
  u32 cwp = s->cwp;
  window_set_cwp(s, (cwp + 1u) % NWINDOWS);
  for (u32 n = 8; n < 24; n++) reg_set(s, n, 0);
  window_set_cwp(s, cwp);
  s->cleanwin = (u8)((s->cleanwin + 1u) & 7u);
  return 0;
}

void firmware_trap(struct strand *s, u32 tt) {
  u32 left = tt;
  if (tt == TT_CLEAN_WINDOW)
    left = clean(s);
  else if (tt >= TT_SPILL_NORMAL && tt < TT_TRAP_INSTRUCTION)
    left = window_move(s, tt < TT_FILL_NORMAL);
  if (!left) return;
  s->stop = STOP_FIRMWARE;
  s->stop_tt = left;
}

void firmware_start(struct strand *s, u64 pc, u64 sp, u64 arg, u64 cif) {
  strand_start(s, pc, 0, arg);
  s->firmware = 1;
  s->mmu_enabled = 1;
  mmu_spaces_changed(s);
  s->pstate = PSTATE_PRIV | PSTATE_PEF;
  s->cleanwin = NWINDOWS - 1;
  s->scratchpad[SCRATCHPAD_CPUID] = s->id;
  reg_set(s, 12, cif);
  reg_set(s, 14, sp);
  strand_mode_changed(s);
}

void firmware_release(struct strand *s, u64 tba, u64 fault_area) {
  s->tba = tba & ~0x7fffull;
  s->fault_area = fault_area;
  s->pil = 15;
  s->softint = 0;
  s->stick_cmpr = CMPR_DISABLED;
  s->stick_fired = 1;
  s->firmware = 0;
  mmu_demap_all(s, MAP_D | MAP_I); /* what came from the firmware's list */
}
