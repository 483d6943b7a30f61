/* memory.h - loads, stores and atomics: the exact path behind the engine's inline one.
 *
 * Every function returns 0 or a trap type, with the fault recorded in the strand. All accesses are naturally aligned
 * and at most 64 bytes, so none spans a page.
 */
#ifndef S4V_STRAND_MEMORY_H
#define S4V_STRAND_MEMORY_H
#include "strand/mmu.h"
#include "strand/strand.h"

/* One translated access. */
struct memref {
  u8 *host;
  struct tlb_entry *entry; /* soft TLB entry that may get write permission, or NULL */
  u8 *page, *region, *code;
  u64 va;
  pa_t pa;
  u32 swap;                /* TTE.IE: invert endianness */
};

/* Also BODY_RETRY, before anything has changed: the access meets a watchpoint. */
u32 mem_ref(struct strand *, u64 key, u64 va, u32 bytes, u32 access, struct memref *);
/* After the bytes are in: mark, then code check, then write permission. */
void mem_written(struct strand *, const struct memref *, u32 bytes);

/* `little`: little-endian ASI or PSTATE.CLE. */
u32 mem_read(struct strand *, u64 key, u64 va, u32 bytes, bool little, u32 access, u64 *value);
u32 mem_write(struct strand *, u64 key, u64 va, u32 bytes, bool little, u64 value);

u32 mem_size(u32 type);                                   /* bytes of an enum mem_type */
u32 mem_check_alignment(struct strand *, u64 va, u32 type, bool store);
u64 mem_extend(u32 type, u64 value);                      /* sign or zero extension of a loaded value */
u32 mem_load_to(struct strand *, u32 insn, u32 type, u64 key, u64 va, bool little, u32 access);
u32 mem_store_from(struct strand *, u32 insn, u32 type, u64 key, u64 va, bool little);
u64 mem_address(const struct strand *, u32 insn);         /* rs1 + (rs2 | simm13), masked by PSTATE.AM */
u32 mem_fetch(struct strand *, u64 va, u32 *insn, u64 *ra); /* one instruction word */

/* bodies of the memory rows */
u32 mem_load(struct strand *, u32 insn, u32 type);
u32 mem_store(struct strand *, u32 insn, u32 type);
u32 mem_swap(struct strand *, u32 insn, u32 type);
u32 mem_ldstub(struct strand *, u32 insn, u32 type);
u32 mem_prefetch(struct strand *, u32 insn);
u32 asi_load(struct strand *, u32 insn, u32 type);
u32 asi_store(struct strand *, u32 insn, u32 type);
u32 asi_swap(struct strand *, u32 insn, u32 type);
u32 asi_ldstub(struct strand *, u32 insn, u32 type);
u32 asi_cas(struct strand *, u32 insn, u32 type);
u32 asi_prefetch(struct strand *, u32 insn);
/* shared by plain and alternate-space forms */
u32 mem_swap_at(struct strand *, u32 insn, u64 key, u64 va, bool little);
u32 mem_ldstub_at(struct strand *, u32 insn, u64 key, u64 va);

#endif
