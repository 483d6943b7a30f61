/* translator.h - what the engine asks of a translator of hot blocks. csrc/jit has one; the engine runs without.
 *
 * A block's `native` is host code that expects the strand with nothing held elsewhere and goes on from the block's first
 * instruction; where a block has none it is `leave`, which goes on in the interpreter. `enter` is a handler (interp.c) that
 * goes on at the `native` of the strand's block. Every code cache has its own instance: it is used by the cache's owner only.
 */
#ifndef S4V_STRAND_TRANSLATOR_H
#define S4V_STRAND_TRANSLATOR_H
#include "strand/codecache.h"

struct translator {
  /* `beside`: other threads may make code stale at any time. NULL: not on this host. */
  void *(*open)(struct codecache *, bool beside);
  void (*close)(void *);
  const void *(*enter)(const void *);
  const void *(*leave)(const void *);
  void (*translate)(void *, struct strand *, struct block *hot);
  void (*reset)(void *); /* all blocks are gone */
  bool (*is_full)(const void *);
  u64 (*bytes)(const void *); /* of code now */
};

enum { HOT_ENTRIES = 50 }; /* entries of a block after which it is translated, unless the environment says otherwise */

#endif
