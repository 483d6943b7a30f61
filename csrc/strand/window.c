/* window.c - SAVE, RESTORE, FLUSHW and their traps (SPARC V9 6.3.6, 7.5.2). */
#include "strand/window.h"

#include "strand/internal.h"

u32 window_save(struct strand *s) {
  if (s->cansave == 0) return window_trap_type(s, TT_SPILL_NORMAL, TT_SPILL_OTHER);
  if (s->cleanwin == s->canrestore) return TT_CLEAN_WINDOW;
  window_set_cwp(s, (s->cwp + 1u) % NWINDOWS);
  s->cansave--;
  s->canrestore = (s->canrestore + 1u) & 7u; /* three bits, whatever the guest has written to them */
  return 0;
}

u32 window_restore(struct strand *s) {
  if (s->canrestore == 0) return window_trap_type(s, TT_FILL_NORMAL, TT_FILL_OTHER);
  window_set_cwp(s, (s->cwp + NWINDOWS - 1u) % NWINDOWS);
  s->cansave = (s->cansave + 1u) & 7u;
  s->canrestore--;
  return 0;
}

u32 window_flush(struct strand *s) {
  return s->cansave == NWINDOWS - 2 ? 0 : window_trap_type(s, TT_SPILL_NORMAL, TT_SPILL_OTHER);
}
