/* asi.h - address space identifiers of sun4v (UA2005, chapter 10). */
#ifndef S4V_STRAND_ASI_H
#define S4V_STRAND_ASI_H
#include "strand/strand.h"

enum asi_kind {
  ASI_BAD = 0,
  ASI_MEMORY,     /* ordinary translated memory */
  ASI_NOFAULT,    /* loads only */
  ASI_MONITOR,    /* loads that MWAIT watches, M7 and later; nothing is watched: MWAIT ends at once */
  ASI_TWIN,       /* LDTXA; block-init store */
  ASI_QUAD,       /* LDTXA only */
  ASI_BLOCK,      /* 64-byte LDDFA, STDFA */
  ASI_PARTIAL,    /* VIS partial store */
  ASI_SHORT,      /* VIS short FP load and store */
  ASI_SCRATCHPAD,
  ASI_CONTEXT,
  ASI_QUEUE,
  ASI_PIC,
};
enum asi_space { SPACE_PRIMARY, SPACE_SECONDARY, SPACE_NUCLEUS, SPACE_USER_PRIMARY, SPACE_USER_SECONDARY, SPACE_REAL };

struct asi_info {
  u8 kind;    /* enum asi_kind */
  u8 space;   /* enum asi_space */
  u8 little;
  u8 size;    /* lane or access bytes of PARTIAL and SHORT */
  u8 from_t4; /* first in the T4 */
  u8 io;      /* real addresses of devices: no atomics */
};

extern const struct asi_info asi_table[256];
_Static_assert(SPACE_REAL + 1 == SPACES, "struct strand has a bank for each");
u64 asi_key(const struct strand *, u32 space); /* translation bank of a space */

/* asi_registers.c: the internal ASIs; 64-bit accesses only. */
u32 asi_register_load(struct strand *, u32 kind, u64 va, u64 *value);
u32 asi_register_store(struct strand *, u32 kind, u64 va, u64 value);

/* asi_vis.c: block, partial and short forms on FP registers; registers and alignment have been checked. */
u32 asi_block_load(struct strand *, u32 insn, u64 key, u64 va, bool little);
u32 asi_block_store(struct strand *, u32 insn, u64 key, u64 va, bool little);
u32 asi_partial_store(struct strand *, u32 insn, const struct asi_info *, u64 key, u64 va);
u32 asi_short_load(struct strand *, u32 insn, const struct asi_info *, u64 key, u64 va);
u32 asi_short_store(struct strand *, u32 insn, const struct asi_info *, u64 key, u64 va);
u32 asi_fault(struct strand *, u64 va, u32 type);

#endif
