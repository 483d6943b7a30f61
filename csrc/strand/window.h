/* window.h - register windows: a ring of 16-register steps, and a pointer from which all registers are reached.
 *
 *   win[]:   |  w7 outs | w7 locals | w6 outs (= w7 ins) | w6 locals | ... | w0 outs | w0 locals | ins of w0 |
 *   index     0          8           16                                    112        120         128..135
 *
 * Window k starts at (7 - k) * 16, so SAVE moves the pointer down by 16. The ins of window 0 are the outs of window 7:
 * one set of registers with two places. Rule: while CWP is 0 the live copy is at 128, else at 0.
 *
 * wglob[] lies beside the ring with the same steps. The pointer w is into wglob: the globals are w[0..7], a cell for
 * writes to %g0 is w[8], and the window is w[WINDOW_AT ...]. So every integer register has one fixed offset from one
 * base, at the price of eight globals copied when the window moves.
 */
#ifndef S4V_STRAND_WINDOW_H
#define S4V_STRAND_WINDOW_H
#include "strand/strand.h"

enum { REG_SINK = 8, WINDOW_AT = (offsetof(struct strand, win) - offsetof(struct strand, wglob)) / 8 };
_Static_assert(WINDOW_AT + 24 <= 256, "a register's offset must fit a micro-op field");

static inline u64 *window_base(struct strand *s, u32 cwp) { return &s->wglob[(NWINDOWS - 1 - cwp) * 16]; }
static inline u32 reg_index(u32 n) { return n < 8 ? n : WINDOW_AT + n - 8; }

static inline void window_set_cwp(struct strand *s, u32 cwp) {
  u64 *from = s->w;
  if (s->cwp == 0) __builtin_memcpy(&s->win[0], &s->win[NWINDOWS * 16], 64);
  s->cwp = (u8)cwp;
  s->w = window_base(s, cwp);
  if (s->w != from) __builtin_memcpy(s->w, from, 64);
  if (cwp == 0) __builtin_memcpy(&s->win[NWINDOWS * 16], &s->win[0], 64);
}

/* Integer register n (0..31) of the current window. */
static inline u64 reg_get(const struct strand *s, u32 n) { return s->w[reg_index(n)]; }
static inline void reg_set(struct strand *s, u32 n, u64 v) {
  if (n != 0) s->w[reg_index(n)] = v;
}
/* Register n (8..31) as seen from the window `back` windows below the current one. */
static inline u64 *window_reg(struct strand *s, u32 back, u32 n) {
  u32 cwp = (s->cwp + NWINDOWS - back) % NWINDOWS;
  if (n >= 24 && cwp == 0 && s->cwp != 0) return &s->win[n - 24];
  if (n < 16 && cwp == NWINDOWS - 1 && s->cwp == 0) return &s->win[NWINDOWS * 16 + n - 8];
  return &s->win[(NWINDOWS - 1 - cwp) * 16 + n - 8];
}

/* Trap type of a SAVE or RESTORE that cannot be done, with CWP moved as the handler expects it (V9 6.3.6). */
static inline u32 window_trap_type(const struct strand *s, u32 normal, u32 other) {
  return s->otherwin ? other + 4u * (s->wstate >> 3 & 7u) : normal + 4u * (s->wstate & 7u);
}

/* window.c: each returns 0 or the trap to take; on 0 the window has moved. */
u32 window_save(struct strand *);
u32 window_restore(struct strand *);
u32 window_flush(struct strand *);

#endif
