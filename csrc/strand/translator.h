/* translator.h - what the engine asks of a translator of hot blocks. csrc/jit has one; the engine runs without.
 *
 * A block's `native` is host code that expects the strand with nothing held elsewhere and goes on from the block's first
 * instruction; where a block has none it is `leave`, which goes on in the interpreter. `enter` is a handler (interp.c) that
 * goes on at the `native` of the strand's block. Every code cache has its own instance: it is used by the cache's owner only.
 */
#ifndef S4V_STRAND_TRANSLATOR_H
#define S4V_STRAND_TRANSLATOR_H
#include "strand/codecache.h"

/* What it did since it was opened, to see what would pay next; `rows`: isa_row_count counters. */
struct translator_counts {
  u64 bytes;                   /* of code now */
  u64 regions, blocks, insns;  /* translated */
  u64 compile_ns;              /* host CPU time of it */
  u64 bodies;                  /* calls of bodies */
  u64 lookups;                 /* blocks looked up by C */
  u64 left;                    /* ways into the interpreter: to a block without host code */
  u64 left_at;                 /* and to what the region could not express */
};

struct translator {
  /* `beside`: other threads may make code stale at any time. NULL: not on this host. */
  void *(*open)(struct codecache *, bool beside);
  void (*close)(void *);
  const void *(*enter)(const void *);
  const void *(*leave)(const void *);
  void (*translate)(void *, struct strand *, struct block *hot);
  void (*reset)(void *); /* all blocks are gone */
  bool (*is_full)(const void *);
  void (*count)(const void *, struct translator_counts *, u64 *rows); /* adds to both; rows: calls of bodies by row */
};

enum { HOT_ENTRIES = 50 }; /* entries of a block after which it is translated, unless the environment says otherwise */

#endif
