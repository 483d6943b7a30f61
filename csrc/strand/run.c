/* run.c - running a strand: slices, traps, the stepper. */
#include "strand/firmware.h"
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/interp.h"
#include "strand/memory.h"
#include "strand/mmu.h"
#include "strand/share.h"
#include "strand/special.h"
#include "strand/window.h"
#include "util/pages.h"

/* Blocks charge their instructions at their end, so the interpreter stops this many before the budget's end and the
 * stepper does the rest: the count at a stop is exact. */
enum { BIAS = BLOCK_INSNS + 2, LOOKS_PER_CLOCK = 8 };

struct strand *strand_new(struct strand_env *env, u32 id) {
  struct strand *s = pages_new(sizeof *s); /* banks that are never used cost no memory */
  if (!s) return NULL;
  s->env = env;
  s->id = id;
  s->break_pc = TAG_NONE;
  s->resting = 1;
  s->host_rounding = ROUNDING_NOT_OURS;
  s->w = window_base(s, 0);
  for (u32 i = 0; i < TLB_BANKS; i++) s->banks[i].key = TAG_NONE, s->banks[i].touched = ~(u64)0;
  s->bank = s->other = &s->banks[0];
  strand_reset(s);
  return s;
}

void strand_free(struct strand *s) { pages_free(s, sizeof *s); }

void strand_reset(struct strand *s) {
  u32 id = s->id;
  u64 insns = s->insns;
  u8 *from = (u8 *)&s->arch, *to = (u8 *)&s->arch_end;
  __builtin_memset(from, 0, (size_t)(to - from));
  __builtin_memset(s->wglob, 0, sizeof s->wglob);
  s->id = id;
  s->insns = insns;
  s->pstate = PSTATE_PRIV;
  s->pil = 15;
  s->cansave = s->cleanwin = NWINDOWS - 2;
  s->asi = 0x14;
  s->tick_cmpr = s->stick_cmpr = CMPR_DISABLED;
  s->tick_fired = s->stick_fired = 1;
  s->run_state = STRAND_STOPPED;
  s->cc_kind = CC_EXPLICIT;
  s->cc_a = s->cc_b = 0;
  s->fp_last_op = FP_LAST_NONE;
  s->w = window_base(s, 0);
  mmu_demap_all(s, MAP_D | MAP_I);
}

void strand_start(struct strand *s, u64 pc, u64 rtba, u64 arg) {
  strand_reset(s);
  s->pc = pc;
  s->npc = pc + 4;
  s->tba = s->rtba = rtba;
  s->run_state = STRAND_RUNNING;
  reg_set(s, 8, arg);
  strand_mode_changed(s);
}

void strand_sync(struct strand *s) {
  strand_set_ccr(s, strand_ccr(s));
  s->cc_a = s->cc_b = 0;
}

static void set_jump_key(struct strand *s) { s->jump_key = s->bank->epoch << 16 | s->mode; }

void strand_mode_changed(struct strand *s) {
  u32 mode = 0;
  if (s->pstate & PSTATE_AM) mode |= MODE_AM;
  if (s->pstate & PSTATE_CLE) mode |= MODE_CLE;
  if ((s->pstate & PSTATE_PEF) && (s->fprs & FPRS_FEF)) mode |= MODE_FP;
  if (FSR_TEM(s->fsr)) mode |= MODE_STRICT;
  if (strand_priv(s)) mode |= MODE_PRIV;
  if (s->env->tracing || s->env->step_only) mode |= MODE_STEP;
  s->mode = mode;
  u64 key = mmu_implicit_key(s);
  if (s->bank->key != key) {
    struct tlb_bank *from = s->bank;
    s->bank = mmu_bank(s, key);
    s->other = from;
  }
  s->dtlb = s->bank->d;
  set_jump_key(s);
  fpu_set_host_rounding(s);
}

void strand_code_changed(struct strand *s) {
  for (u32 i = 0; i < TLB_BANKS; i++) s->banks[i].epoch = ++s->epoch_stamp;
  set_jump_key(s);
}

void strand_forget_stop(struct strand *s) { s->break_pc = TAG_NONE; }

u64 strand_slice_done(const struct strand *s) { return (u64)(s->slice_ref - s->budget + s->cold_index); }

void strand_deliver(struct strand *s, u32 tt) {
  if (s->firmware) {
    firmware_trap(s, tt);
    return;
  }
  /* a memory error that found no queue for its report cannot be told of */
  bool told = tt != TT_NONRESUMABLE_ERROR || strand_error_queued(s);
  if (!told || !mmu_report(s, tt) || strand_trap(s, tt) == STOP_WATCHDOG) {
    s->stop = STOP_WATCHDOG;
    s->stop_tt = tt;
  }
}

static void advance(struct strand *s) {
  u64 mask = strand_mask(s);
  s->pc = s->npc & mask;
  s->npc = (s->npc + 4) & mask;
}

void strand_skip(struct strand *s) {
  advance(s);
  s->insns++;
}

void strand_finish(struct strand *s, u32 result, u32 completed) {
  s->budget -= completed;
  switch (result) {
  case BODY_OK:
  case BODY_NEXT:
    s->budget--;
    advance(s);
    return;
  case BODY_JUMP: s->budget--; return;
  case BODY_STOP: /* the hypercall set `stop` */
    s->budget--;
    advance(s);
    return;
  case BODY_RETRY: return;
  default:
    if (result >= TT_TRAP_INSTRUCTION) s->budget--; /* Tcc did its work */
    strand_deliver(s, result);
  }
}

struct block *strand_lookup(struct strand *s) {
  struct jump_entry *j = &s->jump[jump_index(s->pc, s->mode)];
  if (j->pc == s->pc && j->key == s->jump_key && !block_is_stale(j->block)) return j->block;
  u32 insn;
  u64 ra;
  u32 tt = mem_fetch(s, s->pc, &insn, &ra);
  if (tt) {
    strand_deliver(s, tt);
    return NULL;
  }
  struct ram_ref ref;
  u32 rights;
  if (s->single || !mmu_place(s->env, ra, &ref, &rights)) return NULL;
  struct block *b = codecache_find(s->code, ref.pa, s->pc, s->mode);
  if (!b) {
    b = builder_build(s, s->pc, ra);
    if (codecache_is_over(s->code)) strand_notice(s); /* leave the blocks, so that they can go */
  }
  if (!b) {
    s->single = 1; /* no memory for a block, or its words are being written: the stepper needs neither */
    return NULL;
  }
  *j = (struct jump_entry){.pc = s->pc, .key = s->jump_key, .block = b};
  return b;
}

/* One instruction by its body, whatever PC and NPC are. */
static void step(struct strand *s) {
  u32 insn = 0, row = ISA_ILLEGAL;
  u64 ra;
  u32 result = mem_fetch(s, s->pc, &insn, &ra);
  s->single = 0;
  if (!result) {
    row = isa_decode(insn);
    result = builder_check(s, row, s->mode);
  }
  if (!result) {
    if (s->env->tracing) s->env->trace(s, insn);
    u32 class = isa_rows[row].class;
    result = class >= ISA_BRANCH && class <= ISA_CBCOND ? cti_step(s, insn, row) : isa_body[row](s, insn);
  }
  strand_finish(s, result, 0);
}

/* Where the last run was ended: a breakpoint that has been reported does not stop again; what is watched does, unless it
 * was that. */
struct past {
  u64 pc; /* TAG_NONE: nowhere */
  u32 kind; /* of what was watched; 0: it was a breakpoint */
};
static const struct past NOWHERE = {TAG_NONE, 0};

/* The same where a breakpoint has been reported; with `watch` what is watched is not to be heard of either. */
static void step_past(struct strand *s, bool watch) {
  s->watch_pass = watch;
  step(s);
  s->watch_pass = 0;
}

/* Timers, what other strands want, then the disrupting trap of highest priority. The notice is taken down before
 * what it may stand for is looked at: one that comes meanwhile stays up. */
static void look_around(struct strand *s) {
  strand_check_timers(s);
  __atomic_exchange_n(&s->attention, 0, __ATOMIC_SEQ_CST);
  strand_give_writes(s);
  codecache_tidy(s->code);
  u32 tt = strand_pending(s);
  if (tt && !s->firmware) strand_deliver(s, tt);
}

/* Returns the instructions until the next look is due. */
static u64 attend(struct strand *s, u64 left) {
  look_around(s);
  u64 ticks = strand_timer_insns(s, s->env->tick_now(s, strand_slice_done(s)));
  if (ticks == ~(u64)0) return left;
  u64 insns = s->env->insns_until(s, ticks);
  if (insns == 0) insns = 1;
  return insns < left ? insns : left;
}

/* Runs `insns` instructions with no event due among them. */
static void run_stretch(struct strand *s, u64 end) {
  i64 ref = (i64)end - BIAS, delta = ref - s->slice_ref;
  s->slice_ref = ref;
  s->budget += delta;
  while (!s->stop && !strand_noticed(s)) {
    if (s->budget >= 0 && !s->single && s->npc == s->pc + 4 && !(s->mode & MODE_STEP)) {
      interp_enter(s);
      if (s->mode & MODE_AM) s->npc = (u32)s->npc; /* an edge to the last word below 4 GiB */
      continue;
    }
    if (s->budget + BIAS <= 0) return;
    if (builder_breakpoint(s, s->pc)) {
      s->stop = STOP_BREAKPOINT;
      return;
    }
    step(s);
  }
}

/* About `n` instructions: what costs nothing to stop at. */
static void run_look(struct strand *s, i64 n) {
  s->slice_ref += n - s->budget;
  s->budget = n;
  while (!s->stop && !strand_noticed(s) && s->budget >= 0) {
    if (!s->single && s->npc == s->pc + 4 && !(s->mode & MODE_STEP)) {
      interp_enter(s);
      if (s->mode & MODE_AM) s->npc = (u32)s->npc;
      continue;
    }
    if (builder_breakpoint(s, s->pc)) {
      s->stop = STOP_BREAKPOINT;
      return;
    }
    step(s);
  }
}

static struct past begin(struct strand *s) {
  struct past past = {s->break_pc, s->watch_kind};
  __atomic_store_n(&s->resting, 0, __ATOMIC_SEQ_CST);
  strand_give_writes(s);
  codecache_trim(s->code);
  fpu_enter(s);
  mmu_spaces_changed(s);
  strand_mode_changed(s);
  s->stop = STOP_NONE;
  s->single = s->over = 0;
  s->watch_kind = 0;
  s->cold_index = 0;
  s->slice_ref = s->budget = 0;
  s->break_pc = TAG_NONE;
  strand_notice(s);
  return past;
}

/* `past`: where the last run ended, if this one has not gone past it; then the next one will. */
static u32 end(struct strand *s, struct past past) {
  if (s->stop == STOP_BREAKPOINT || s->stop == STOP_WATCH) s->break_pc = s->pc;
  if (s->stop == STOP_BREAKPOINT) s->watch_kind = 0;
  if (!s->stop && past.pc == s->pc) s->break_pc = past.pc, s->watch_kind = past.kind;
  __atomic_store_n(&s->insns, s->insns + strand_slice_done(s), __ATOMIC_RELAXED); /* s4v_strand_busy() may be looking */
  s->slice_ref = s->budget = 0;
  fpu_leave(s);
  strand_sync(s);
  __atomic_store_n(&s->resting, 1, __ATOMIC_RELEASE);
  return s->stop;
}

static bool is_called(const struct strand *s) {
  const u32 *called = s->env->called;
  return called && __atomic_load_n(called, __ATOMIC_RELAXED) != 0;
}

u32 strand_run(struct strand *s, u64 insns) {
  if (insns > (u64)1 << 60) insns = (u64)1 << 60;
  struct past past = begin(s);
  while (!s->stop && strand_slice_done(s) < insns) {
    u64 stretch = attend(s, insns - strand_slice_done(s));
    if (s->stop) break;
    u64 until = strand_slice_done(s) + stretch;
    if (past.pc == s->pc) step_past(s, past.kind != 0); /* reported by the last run */
    past.pc = TAG_NONE;
    run_stretch(s, until);
    if (s->over || is_called(s)) break;
    if (codecache_is_over(s->code)) codecache_trim(s->code);
  }
  return end(s, past);
}

u32 strand_step(struct strand *s) {
  begin(s);
  u64 pc = s->pc, level = s->tl;
  look_around(s);
  if (!s->stop && s->pc == pc && s->tl == level) step_past(s, true);
  if (s->mode & MODE_AM) s->npc = (u32)s->npc;
  return end(s, NOWHERE);
}

u32 strand_run_beside(struct strand *s, u64 insns) {
  struct past past = begin(s);
  for (u32 looks = 0; !s->stop && strand_slice_done(s) < insns; looks++) {
    if (looks % LOOKS_PER_CLOCK == 0 || strand_noticed(s)) look_around(s);
    if (s->stop || __atomic_load_n(&s->park, __ATOMIC_ACQUIRE)) break;
    if (past.pc == s->pc) step_past(s, past.kind != 0);
    past.pc = TAG_NONE;
    u64 left = insns - strand_slice_done(s);
    if (left > LOOK_INSNS + BIAS)
      run_look(s, LOOK_INSNS);
    else
      run_stretch(s, strand_slice_done(s) + left);
    if (s->over) break;
    if (codecache_is_over(s->code)) codecache_trim(s->code);
  }
  return end(s, past);
}
