/* asi_vis.c - block loads and stores, partial stores, short FP loads and stores (VIS 1; UA2005, chapter 10). */
#include "strand/asi.h"
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/memory.h"
#include "strand/window.h"

u32 asi_block_load(struct strand *s, u32 insn, u64 key, u64 va, bool little) {
  struct memref ref;
  u32 at = fp_double_index(insn_rd(insn)), tt = mem_ref(s, key, va, 64, ACCESS_LOAD, &ref);
  if (tt) return tt;
  bool raw = little != (ref.swap != 0);
  for (u32 i = 0; i < 8; i++) {
    u64 v;
    __builtin_memcpy(&v, ref.host + 8 * i, 8);
    s->f[at + i] = raw ? v : __builtin_bswap64(v);
  }
  s->fprs |= at < 16 ? FPRS_DL : FPRS_DU;
  return BODY_OK;
}

u32 asi_block_store(struct strand *s, u32 insn, u64 key, u64 va, bool little) {
  struct memref ref;
  u32 at = fp_double_index(insn_rd(insn)), tt = mem_ref(s, key, va, 64, ACCESS_STORE, &ref);
  if (tt) return tt;
  bool raw = little != (ref.swap != 0);
  for (u32 i = 0; i < 8; i++) {
    u64 v = raw ? s->f[at + i] : __builtin_bswap64(s->f[at + i]);
    __builtin_memcpy(ref.host + 8 * i, &v, 8);
  }
  mem_written(s, &ref, 64);
  return BODY_OK;
}

/* STPARTIALF: i must be 0; the mask's bit n is lane n counted from the least significant. */
u32 asi_partial_store(struct strand *s, u32 insn, const struct asi_info *a, u64 key, u64 va) {
  u64 mask = reg_get(s, insn_rs2(insn));
  struct memref ref;
  u32 tt = mem_ref(s, key, va, 8, ACCESS_STORE, &ref);
  if (tt) return tt;
  u64 v = s->f[fp_double_index(insn_rd(insn))];
  bool little = a->little != (ref.swap != 0);
  for (u32 lane = 0; lane < 8u / a->size; lane++) {
    if (!(mask >> lane & 1)) continue;
    for (u32 b = 0; b < a->size; b++) {
      u32 significance = lane * a->size + b; /* 0: least significant byte */
      ref.host[little ? significance : 7 - significance] = (u8)(v >> (8 * significance));
    }
  }
  mem_written(s, &ref, 8);
  return BODY_OK;
}

u32 asi_short_load(struct strand *s, u32 insn, const struct asi_info *a, u64 key, u64 va) {
  u64 v;
  u32 tt = mem_read(s, key, va, a->size, a->little, ACCESS_LOAD, &v);
  if (!tt) fp_write_double(s, insn_rd(insn), v);
  return tt;
}

u32 asi_short_store(struct strand *s, u32 insn, const struct asi_info *a, u64 key, u64 va) {
  u64 v = s->f[fp_double_index(insn_rd(insn))];
  return mem_write(s, key, va, a->size, a->little, v & (a->size == 1 ? 0xff : 0xffff));
}
