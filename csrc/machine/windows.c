/* windows.c - the windows of callers that are still in the register file, for a debugger. */
#include "machine/machine.h"
#include "strand/window.h"

enum { FIRST = 16, COUNT = 16 }; /* %l0..%l7, %i0..%i7 */

/* A strand with that many windows below the current one, or NULL. */
static struct strand *holder(const s4v_machine *m, u32 strand, u32 depth) {
  struct strand *s = hyp_strand(&m->domain, strand);
  return s && depth < s->canrestore && depth < NWINDOWS - 1 ? s : NULL;
}

int s4v_window_get(const s4v_machine *m, uint32_t strand, uint32_t depth, uint64_t out[16]) {
  struct strand *s = holder(m, strand, depth);
  if (!s) return S4V_ENOENT;
  for (u32 i = 0; i < COUNT; i++) out[i] = *window_reg(s, depth + 1, FIRST + i);
  return S4V_OK;
}

int s4v_window_set(s4v_machine *m, uint32_t strand, uint32_t depth, const uint64_t values[16]) {
  struct strand *s = holder(m, strand, depth);
  if (!s) return S4V_ENOENT;
  for (u32 i = 0; i < COUNT; i++) *window_reg(s, depth + 1, FIRST + i) = values[i];
  return S4V_OK;
}
