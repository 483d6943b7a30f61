/* trap.c - trap entry, DONE/RETRY, and the choice of disrupting traps (UA2005, chapter 12). */
#include "strand/internal.h"
#include "strand/interp.h"
#include "strand/share.h"
#include "strand/window.h"

/* TSTATE: GL 42:40, CCR 39:32, ASI 31:24, PSTATE 20:8, CWP 4:0. */
static u64 tstate_pack(const struct strand *s) {
  return (u64)s->gl << 40 | (s->ccr & 0xff) << 32 | (u64)s->asi << 24 | (s->pstate & 0x1fff) << 8 | s->cwp;
}

void strand_set_gl(struct strand *s, u32 gl) {
  if (gl == s->gl) return;
  __builtin_memcpy(&s->glob[s->gl * 8u], s->w, 64);
  s->gl = (u8)gl;
  __builtin_memcpy(s->w, &s->glob[gl * 8u], 64);
}

/* Window traps leave CWP where their handler works (V9 7.5.2.2). */
static u32 trap_cwp(const struct strand *s, u32 tt) {
  if (tt >= TT_SPILL_NORMAL && tt < TT_FILL_NORMAL) return (s->cwp + s->cansave + 2u) % NWINDOWS;
  /* RESTORE fills the window below when CANRESTORE is 0; MPMUL and MONTMUL want the first one that is not there */
  if (tt >= TT_FILL_NORMAL && tt < TT_TRAP_INSTRUCTION) return (s->cwp + 2u * NWINDOWS - 1u - s->canrestore) % NWINDOWS;
  if (tt == TT_CLEAN_WINDOW) return (s->cwp + 1u) % NWINDOWS;
  return s->cwp;
}

u32 strand_trap(struct strand *s, u32 tt) {
  if (s->tl >= MAX_TL) {
    s->stop_tt = tt;
    return STOP_WATCHDOG;
  }
  strand_sync(s);
  u64 mask = strand_mask(s);
  u32 old_tl = s->tl, tl = old_tl + 1;
  s->tstate[tl] = tstate_pack(s);
  s->tpc[tl] = s->pc & mask;
  s->tnpc[tl] = s->npc & mask;
  s->tt[tl] = tt;
  s->tl = (u8)tl;
  strand_set_gl(s, s->gl < MAX_GL ? s->gl + 1u : MAX_GL);
  u64 ps = s->pstate & (PSTATE_MM | PSTATE_TLE);
  ps |= PSTATE_PRIV | PSTATE_PEF;
  if (ps & PSTATE_TLE) ps |= PSTATE_CLE;
  s->pstate = ps;
  u32 cwp = trap_cwp(s, tt);
  if (cwp != s->cwp) window_set_cwp(s, cwp);
  s->pc = (s->tba & ~0x7fffull) | (u64)(old_tl > 0) << 14 | (u64)tt << 5;
  s->npc = s->pc + 4;
  strand_mode_changed(s);
  s->traps++;
  if (s->env->observe) s->env->observe(s, OBSERVE_TRAP, tt, s->tpc[tl]);
  return 0;
}

bool trap_codes(u32 ccr, u64 operand[2]) {
  static const u32 words[16][2] = {/* by NZVC, whatever the lower word borrows */
                                   [0] = {4, 1}, [1] = {1, 0xffffffff}, [2] = {0x80000000, 2}, [4] = {0, 0}, [8] = {0xffffffff, 1},
                                   [9] = {1, 4}, [11] = {0x7fffffff, 0x80000000}};
  const u32 *low = words[ccr & 15], *high = words[ccr >> 4 & 15];
  u64 a = (u64)high[0] << 32 | low[0], b = (u64)high[1] << 32 | low[1];
  bool known = cc_compute(a, b, CC_SUB) == ccr;
  operand[0] = known ? a : 0, operand[1] = known ? b : 0;
  return known;
}

u32 strand_done(struct strand *s, bool retry) {
  if (s->tl == 0) return TT_ILLEGAL_INSTRUCTION;
  u32 tl = s->tl;
  u64 ts = s->tstate[tl];
  if (retry) {
    s->pc = s->tpc[tl];
    s->npc = s->tnpc[tl];
  } else {
    s->pc = s->tnpc[tl];
    s->npc = s->tnpc[tl] + 4;
  }
  u32 gl = ts >> 40 & 7;
  strand_set_gl(s, gl > MAX_GL ? MAX_GL : gl);
  s->ccr = ts >> 32 & 0xff;
  u64 operand[2];
  s->cc_kind = trap_codes((u32)s->ccr, operand) ? CC_SUB : CC_EXPLICIT;
  s->cc_a = operand[0], s->cc_b = operand[1];
  s->asi = ts >> 24 & 0xff;
  s->pstate = ts >> 8 & PSTATE_ALL;
  if (s->pstate & PSTATE_AM) { /* the addresses may come from WRPR */
    s->pc = (u32)s->pc;
    s->npc = (u32)s->npc;
  }
  if ((ts & 7) != s->cwp) window_set_cwp(s, ts & 7);
  s->tl = (u8)(tl - 1);
  if (s->pstate & PSTATE_AM) s->pc = (u32)s->pc, s->npc = (u32)s->npc;
  strand_mode_changed(s);
  if (strand_pending(s)) strand_notice(s); /* what was masked until now */
  return BODY_JUMP;
}

/* SOFTINT level 14 has three sources: bit 14, TICK match (bit 0), STICK match (bit 16). */
static u32 softint_levels(const struct strand *s) {
  u32 levels = (u32)s->softint & 0xfffeu;
  if (s->softint & (SOFTINT_TM | SOFTINT_SM)) levels |= 1u << 14;
  return levels;
}

static bool queue_pending(const struct strand *s, u32 q) { return queue_head(s, q) != queue_tail(s, q); }

bool strand_error_queued(const struct strand *s) { return queue_pending(s, 3); }

u32 strand_pending(const struct strand *s) {
  /* Not maskable, but level-triggered: its own handler must not be interrupted by it, so only at TL 0. */
  if (queue_pending(s, 3) && s->tl == 0) return TT_NONRESUMABLE_ERROR;
  if (!(s->pstate & PSTATE_IE)) return 0;
  u32 levels = softint_levels(s) >> (s->pil + 1u) << (s->pil + 1u);
  if (levels) return TT_INTERRUPT_LEVEL_0 + 31u - (u32)__builtin_clz(levels);
  for (u32 q = 0; q < 3; q++)
    if (queue_pending(s, q)) return TT_CPU_MONDO + q;
  return 0;
}

bool strand_wakeable(const struct strand *s) {
  for (u32 q = 0; q < 4; q++)
    if (queue_pending(s, q)) return true;
  /* a timer's match ends the wait under any PIL */
  return (softint_levels(s) >> (s->pil + 1u)) != 0 || (s->softint & (SOFTINT_TM | SOFTINT_SM)) || s->poked;
}

static bool compare_passed(u64 cmpr, u64 now) { return !(cmpr & CMPR_DISABLED) && (i64)(now - cmpr) >= 0; }

u64 strand_stick_of_tick(const struct strand *s, u64 tick) {
  u64 up = s->env->stick_part, down = s->env->tick_part, product;
  if (!__builtin_mul_overflow(tick, up, &product)) return product / down; /* for years, and much cheaper */
  return (u64)((u128)tick * up / down);
}

void strand_check_timers(struct strand *s) {
  if (s->tick_fired && s->stick_fired) return;
  u64 tick = s->env->tick_now(s, strand_slice_done(s));
  if (!s->tick_fired && compare_passed(s->tick_cmpr, tick)) {
    s->tick_fired = 1;
    s->softint |= SOFTINT_TM;
    strand_notice(s);
  }
  if (!s->stick_fired && compare_passed(s->stick_cmpr, strand_stick_of_tick(s, tick))) {
    s->stick_fired = 1;
    s->softint |= SOFTINT_SM;
    strand_notice(s);
  }
}

u64 strand_timer_insns(const struct strand *s, u64 now_tick) {
  u64 best = ~(u64)0;
  if (!s->tick_fired && !(s->tick_cmpr & CMPR_DISABLED))
    best = s->tick_cmpr > now_tick ? s->tick_cmpr - now_tick : 0;
  if (!s->stick_fired && !(s->stick_cmpr & CMPR_DISABLED)) {
    /* smallest tick with tick * stick_hz / tick_hz >= cmpr */
    u128 num = (u128)s->stick_cmpr * s->env->tick_hz + s->env->stick_hz - 1;
    u64 at = (u64)(num / s->env->stick_hz);
    u64 left = at > now_tick ? at - now_tick : 0;
    if (left < best) best = left;
  }
  return best;
}
