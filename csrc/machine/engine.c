/* engine.c - which engine executes a machine's code, and what the translator has done. */
#include <stdlib.h>

#include "jit/jit.h"
#include "machine/machine.h"
#include "strand/codecache.h"

int s4v_engine_set(s4v_machine *m, int engine, uint32_t hot_entries) {
  const struct translator *t = engine == S4V_ENGINE_TRANSLATOR ? jit_translator() : NULL;
  if (engine != S4V_ENGINE_INTERPRETER && !t) return -1;
  m->domain.env.hot_entries = hot_entries ? hot_entries : HOT_ENTRIES;
  m->translator = t;
  bool good = true;
  for (u32 i = 0; i < m->cache_room; i++)
    if (m->caches[i]) good &= codecache_use(m->caches[i], t);
  if (good) return 0;
  m->translator = NULL;
  for (u32 i = 0; i < m->cache_room; i++)
    if (m->caches[i]) codecache_use(m->caches[i], NULL);
  return -1;
}

static struct translator_counts count(const s4v_machine *m, u64 *rows) {
  struct translator_counts c = {0};
  for (u32 i = 0; i < m->cache_room; i++)
    if (m->caches[i]) codecache_count(m->caches[i], &c, rows);
  return c;
}

u64 s4v_native_bytes(const s4v_machine *m) { return count(m, NULL).bytes; }

void s4v_engine_count(const s4v_machine *m, s4v_engine_counts *out, uint64_t *rows) {
  for (u32 row = 0; rows && row < isa_row_count; row++) rows[row] = 0;
  struct translator_counts c = count(m, rows);
  *out = (s4v_engine_counts){.native_bytes = c.bytes, .regions = c.regions, .blocks = c.blocks, .insns = c.insns,
                             .compile_ns = c.compile_ns, .bodies = c.bodies, .lookups = c.lookups, .left = c.left,
                             .left_at = c.left_at};
}
