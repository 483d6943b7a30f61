/* asi_registers.c - scratchpads, context registers, queue pointers, performance counters (UA2005, chapter 10). */
#include "strand/asi.h"
#include "strand/internal.h"
#include "strand/mmu.h"
#include "strand/share.h"

enum { CONTEXT_MASK = 0x1fff };

static u32 bad_va(struct strand *s, u64 va) { return asi_fault(s, va, FAULT_ASI); }

/* 0x20 and 0x28 belong to the hypervisor. */
static bool scratchpad_open(u64 va) { return va < 0x40 && va != 0x20 && va != 0x28; }

static i32 context_index(u64 va) {
  switch (va) {
  case 0x008: return 0;
  case 0x010: return 1;
  case 0x108: return 2;
  case 0x110: return 3;
  default: return -1;
  }
}

/* 0x3C0 cpu mondo head, 0x3C8 tail, ... 0x3F8 nonresumable tail. */
static bool queue_open(u64 va) { return va >= 0x3c0 && va <= 0x3f8; }

u32 asi_register_load(struct strand *s, u32 kind, u64 va, u64 *value) {
  switch (kind) {
  case ASI_SCRATCHPAD:
    if (!scratchpad_open(va)) return bad_va(s, va);
    *value = s->scratchpad[va >> 3];
    return BODY_OK;
  case ASI_CONTEXT: {
    i32 n = context_index(va);
    if (n < 0) return bad_va(s, va);
    *value = s->context[n];
    return BODY_OK;
  }
  case ASI_QUEUE: {
    if (!queue_open(va)) return bad_va(s, va);
    u32 q = (u32)(va - 0x3c0) >> 4;
    *value = va & 8 ? queue_tail(s, q) : queue_head(s, q);
    return BODY_OK;
  }
  case ASI_PIC:
    if (va >= 0x20) return bad_va(s, va);
    *value = s->pic[va >> 3];
    return BODY_OK;
  default: return bad_va(s, va);
  }
}

static u32 context_store(struct strand *s, u64 va, u64 value) {
  i32 n = context_index(va);
  if (n < 0) return bad_va(s, va);
  s->context[n] = value & CONTEXT_MASK;
  if (n < 2) s->context[n + 2] = value & CONTEXT_MASK;
  mmu_spaces_changed(s);
  strand_mode_changed(s);
  return BODY_NEXT;
}

static u32 queue_store(struct strand *s, u64 va, u64 value) {
  if (!queue_open(va) || (va & 8)) return bad_va(s, va); /* tails are the hypervisor's */
  u32 q = (u32)(va - 0x3c0) >> 4;
  u64 bytes = s->queue_entries[q] * 64;
  queue_set_head(s, q, bytes ? (value & ~63ull) % bytes : 0);
  strand_notice(s);
  s->env->queue_moved(s, q);
  return BODY_NEXT;
}

u32 asi_register_store(struct strand *s, u32 kind, u64 va, u64 value) {
  switch (kind) {
  case ASI_SCRATCHPAD:
    if (!scratchpad_open(va)) return bad_va(s, va);
    s->scratchpad[va >> 3] = value;
    return BODY_OK;
  case ASI_CONTEXT: return context_store(s, va, value);
  case ASI_QUEUE: return queue_store(s, va, value);
  case ASI_PIC:
    if (va >= 0x20) return bad_va(s, va);
    s->pic[va >> 3] = value;
    return BODY_OK;
  default: return bad_va(s, va);
  }
}
