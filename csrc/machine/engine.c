/* engine.c - which engine executes a machine's code, and what the translator has done. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit/jit.h"
#include "machine/machine.h"
#include "strand/codecache.h"
#include "strand/interp.h"

bool machine_use_translator(s4v_machine *m, struct codecache *cache) {
  errno = 0;
  if (codecache_use(cache, m->translator)) return true;
  m->engine_errno = INTERP_CAN_ENTER_NATIVE ? errno : 0;
  m->engine_why = INTERP_CAN_ENTER_NATIVE ? "the host gives no executable memory"
                                          : "this core was built without tail calls, which translated code needs";
  return false;
}

int s4v_engine_set(s4v_machine *m, int engine, uint32_t hot_entries) {
  const char *lacks = NULL;
  if (engine != S4V_ENGINE_INTERPRETER && engine != S4V_ENGINE_TRANSLATOR) return S4V_EINVAL;
  m->translator = engine == S4V_ENGINE_TRANSLATOR ? jit_translator(&lacks) : NULL;
  m->domain.env.hot_entries = hot_entries ? hot_entries : HOT_ENTRIES;
  m->engine_why = lacks;
  m->engine_errno = 0;
  bool good = !lacks;
  for (u32 i = 0; good && i < m->cache_room; i++)
    if (m->caches[i]) good = machine_use_translator(m, m->caches[i]);
  if (good) return S4V_OK;
  m->translator = NULL;
  for (u32 i = 0; i < m->cache_room; i++)
    if (m->caches[i]) codecache_use(m->caches[i], NULL);
  return S4V_ENOENT;
}

int s4v_engine(const s4v_machine *m, char *why, size_t size) {
  bool host = m->engine_why && m->engine_errno;
  snprintf(why, size, "%s%s%s", m->engine_why ? m->engine_why : "", host ? ": " : "", host ? strerror(m->engine_errno) : "");
  return m->translator ? S4V_ENGINE_TRANSLATOR : S4V_ENGINE_INTERPRETER;
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
