/* codecache.h - decoded code, tied to the physical page it was read from.
 *
 * One cache per domain. A page with decoded blocks has its code byte set (mem.h), which keeps every store to it on the
 * slow path; a store into a 64-byte granule that was decoded makes all blocks of the page stale. A stale block is
 * never entered again (its first micro-op says so, and the jump caches' keys change); it is freed when no strand can
 * be inside one, at the start of a slice.
 */
#ifndef S4V_STRAND_CODECACHE_H
#define S4V_STRAND_CODECACHE_H
#include "strand/strand.h"

enum { BLOCK_INSNS = 62, GRANULE_BITS = 6 };

/* One decoded micro-op: interpreter code now, the translator's IR later. */
struct uop {
  const void *h; /* handler */
  u8 rd, rs1, rs2, x;
  i32 imm;
};
/* A control-flow edge, two micro-ops wide: how many instructions were executed on it, and where it leads. */
struct edge {
  const void *h;
  u32 insns;
  u32 spare;
  u64 target;
  struct block *block; /* set when linked: same page only */
};
_Static_assert(sizeof(struct uop) == 16 && sizeof(struct edge) == 32, "layout the handlers rely on");

/* Where a micro-op's NPC comes from, in bits 7:6 of its side byte; bits 5:0: index of its instruction in the block. */
enum { NPC_NEXT = 0, NPC_TARGET = 1 << 6, NPC_DYNAMIC = 2 << 6, NPC_KIND = 3 << 6, SIDE_INDEX = 63 };

struct block {
  u64 pc;     /* VA of the first instruction */
  u64 target; /* of the branch at the end, NPC of a taken delay slot */
  struct code_page *page;
  struct block *next; /* same bucket */
  u32 mode;           /* enum strand_mode the code was decoded for */
  u32 stale;
  u32 insns;
  u32 uop_count;
  u32 *words; /* instruction words */
  u16 *rows;  /* their rows in the instruction table */
  u8 *side;   /* one byte a micro-op */
  struct uop *ops;
};

enum { PAGE_BUCKETS = 64 };
struct code_page {
  u64 pa;
  u8 *code_byte;
  u64 granules[2];
  struct code_page *next;
  struct block *buckets[PAGE_BUCKETS];
};

struct codecache *codecache_new(void (*changed)(void *), void *ctx);
void codecache_free(struct codecache *);
struct block *codecache_find(const struct codecache *, pa_t, u64 pc, u32 mode);
/* Takes the block. 1: the page had no code before, write permissions to it must go; 0: it had; -1: the host has no
 * memory, and the block is gone. */
i32 codecache_insert(struct codecache *, struct block *, pa_t, u8 *code_byte);
struct block *block_new(u32 insns, u32 uops);
/* Bytes were written to a page with code: true if decoded code was hit (all blocks of the page are stale now). */
bool codecache_written(struct codecache *, pa_t, u64 bytes);
void codecache_flush(struct codecache *);  /* everything */
void codecache_reap(struct codecache *);   /* free what is stale; no strand may be inside a block */
void codecache_trim(struct codecache *);   /* reap, and flush what is above the limit; as codecache_reap */
void codecache_set_limit(struct codecache *, u64 bytes);
u64 codecache_bytes(const struct codecache *); /* what is stale but not yet freed counts */
bool codecache_is_over(const struct codecache *);

#endif
