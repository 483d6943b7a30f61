/* codecache.h - decoded code, tied to the physical page it was read from.
 *
 *   store   one per domain: which pages hold decoded code of any strand, and which of their 64-byte granules
 *   cache   the blocks themselves: of one strand that has a host thread, or of all strands that take turns on one
 *
 * While a page is in the store its code byte (mem.h) is set, which keeps every store to it on the slow path. A store
 * into a granule that was decoded makes the blocks it changes stale in all caches at once, and with a translated one those
 * that were translated together with it: their first micro-op says so, so nobody enters them again. Only the owner of a cache
 * unlinks blocks, in codecache_tidy(), where it is inside none. They are freed with their page, for edges and host code
 * of others lead to them; a page with nothing else, or with much of it, goes. docs/internals/threads.md has the argument.
 */
#ifndef S4V_STRAND_CODECACHE_H
#define S4V_STRAND_CODECACHE_H
#include "strand/strand.h"

enum { BLOCK_INSNS = 62, GRANULE_BITS = 6 };

/* One decoded micro-op: interpreter code. The translator works from words, rows and this order. */
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
  u32 heat;           /* times it was entered, while somebody counts */
  u32 waits;          /* times that it was hot and was not translated */
  u32 region;         /* blocks that were translated together have one number; 0: it was not */
  u32 inner;          /* region from whose jumps the block can be entered with registers where they are; 0: none */
  const void *inside; /* then: where */
  const void *native; /* with a translator: host code that goes on from here, see translator.h */
  const void *first;  /* with a translator: the first micro-op's own handler */
  u32 *words; /* instruction words */
  u16 *rows;  /* their rows in the instruction table */
  u8 *side;   /* one byte a micro-op */
  struct uop *ops;
};

enum { PAGE_BUCKETS = 256 };
struct code_page {
  u64 pa;
  u32 stale; /* set by whoever writes to its code; then `entry` is gone */
  u32 ready; /* no strand holds write permission to the page from before it was opened */
  u32 cuts;  /* times that a part of its code has changed */
  u32 live;  /* blocks that are not stale */
  u32 dead;  /* that are, and wait for the page to go */
  u32 is_cut; /* it has stale blocks among the others */
  struct code_entry *entry;
  struct code_page *next, *next_stale, *next_cut;
  struct block *retired;
  struct block *buckets[PAGE_BUCKETS];
};

/* An instruction word, once: another strand may be writing it. */
static inline u32 code_fetch(const u8 *host) {
  return __builtin_bswap32(__atomic_load_n((const u32 *)(const void *)host, __ATOMIC_RELAXED));
}

static inline bool block_is_stale(const struct block *b) { return __atomic_load_n(&b->stale, __ATOMIC_RELAXED) != 0; }

struct translator;

struct codestore *codestore_new(struct strand_env *);
void codestore_free(struct codestore *); /* every cache over it is freed first */
/* Any thread: bytes were written to a page with code. True: decoded code was hit. */
bool codestore_written(struct codestore *, pa_t, u64 bytes);
/* Outside of any run: what has been decoded across a breakpoint's address, in any context, is to be decoded again. */
void codestore_forget_va(struct codestore *, u64 va);

/* `owner`: the strand whose blocks these are; NULL: all strands of the domain, one at a time. */
struct codecache *codecache_new(struct codestore *, struct strand *owner);
void codecache_free(struct codecache *);
struct block *codecache_find(const struct codecache *, pa_t, u64 pc, u32 mode);
/* The page blocks are to be read from. NULL: no memory, or not yet: some strand may still write to it unseen. Then the
 * stepper takes the place of blocks. */
struct code_page *codecache_open(struct codecache *, struct strand *, pa_t, u8 *code_byte);
/* Takes the block, which was decoded from the bytes at `host`. False: they are others by now, and the block is gone. */
bool codecache_insert(struct codecache *, struct code_page *, struct block *, pa_t, const u8 *host);
struct block *block_new(u32 insns, u32 uops);
/* A block of the page, for whoever translates; blocks of a page live and die together. */
struct block *codecache_block(const struct code_page *, u64 pc, u32 mode);
/* With a translator: translates around the block; afterwards its entries are no longer counted. */
void codecache_heat(struct codecache *, struct strand *, struct block *);
/* Gives `count` blocks of one page the host code they have together, unless one has become stale. */
void codecache_adopt(struct codecache *, struct block *const *blocks, const void *const *native, const void *const *inside,
                     u32 count);
u32 codecache_next_region(const struct codecache *); /* the number they will get */
/* Blocks made from now on are counted, and hot ones translated. False: no translator can work here. Outside of any run. */
bool codecache_use(struct codecache *, const struct translator *);
struct translator_counts;
void codecache_count(const struct codecache *, struct translator_counts *, u64 *rows); /* adds to both */
/* These three by the owner, inside no block. */
void codecache_flush(struct codecache *); /* everything */
void codecache_tidy(struct codecache *);  /* unlink and free what is stale */
void codecache_trim(struct codecache *);  /* tidy, and flush what is above the limit */
bool codecache_is_dirty(const struct codecache *); /* something is stale */
void codecache_set_limit(struct codecache *, u64 bytes);
u64 codecache_bytes(const struct codecache *); /* what is stale but not yet freed counts */
bool codecache_is_over(const struct codecache *);

#endif
