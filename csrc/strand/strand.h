/* strand.h - one SPARC V9 strand as a sun4v guest sees it (UA2005..OSA2015, privileged and user mode).
 *
 * Reading order: fields.def (state), window.h, trap.c, mmu.c, memory.c, asi.c, codecache.h, builder.c, interp.c, run.c.
 */
#ifndef S4V_STRAND_STRAND_H
#define S4V_STRAND_STRAND_H
#include "isa/isa.h"
#include "mem/mem.h"
#include "util/types.h"

enum {
  NWINDOWS = 8,
  WINDOW_WORDS = NWINDOWS * 16 + 8,
  MAX_TL = 2, /* MAXPTL of privileged code */
  MAX_GL = 2,
  MAX_TSBS = 4,
  TSB_WORDS = 4,
  MAX_PERM = 8,
  MAX_MAPPED = 64,
  MAP_WORDS = 3,
  STRAND_STATE_VERSION = 4,
};

enum strand_state { STRAND_STOPPED = 1, STRAND_RUNNING = 2, STRAND_ERROR = 3 };

/* Trap types (UA2005, chapter 12). */
enum trap_type {
  TT_NONE = 0,
  TT_INSTRUCTION_ACCESS_EXCEPTION = 0x08,
  TT_INSTRUCTION_ACCESS_MMU_MISS = 0x09,
  TT_ILLEGAL_INSTRUCTION = 0x10,
  TT_PRIVILEGED_OPCODE = 0x11,
  TT_FP_DISABLED = 0x20,
  TT_FP_EXCEPTION_IEEE_754 = 0x21,
  TT_FP_EXCEPTION_OTHER = 0x22,
  TT_TAG_OVERFLOW = 0x23,
  TT_CLEAN_WINDOW = 0x24,
  TT_DIVISION_BY_ZERO = 0x28,
  TT_DATA_ACCESS_EXCEPTION = 0x30,
  TT_DATA_ACCESS_MMU_MISS = 0x31,
  TT_MEM_ADDRESS_NOT_ALIGNED = 0x34,
  TT_LDDF_NOT_ALIGNED = 0x35,
  TT_STDF_NOT_ALIGNED = 0x36,
  TT_PRIVILEGED_ACTION = 0x37,
  TT_INTERRUPT_LEVEL_0 = 0x40,
  TT_FAST_INSTRUCTION_ACCESS_MMU_MISS = 0x64,
  TT_FAST_DATA_ACCESS_MMU_MISS = 0x68,
  TT_FAST_DATA_ACCESS_PROTECTION = 0x6c,
  TT_CPU_MONDO = 0x7c,
  TT_DEV_MONDO = 0x7d,
  TT_RESUMABLE_ERROR = 0x7e,
  TT_NONRESUMABLE_ERROR = 0x7f,
  TT_SPILL_NORMAL = 0x80,
  TT_SPILL_OTHER = 0xa0,
  TT_FILL_NORMAL = 0xc0,
  TT_FILL_OTHER = 0xe0,
  TT_TRAP_INSTRUCTION = 0x100,
};

/* What a body returns: 0, a trap type, or one of these. */
enum body_result {
  BODY_OK = 0,
  BODY_JUMP = 0x1000,  /* pc and npc are set: dispatch anew, instruction completed */
  BODY_STOP = 0x2000,  /* as BODY_JUMP, then leave strand_run: `stop` says why */
  BODY_RETRY = 0x4000, /* leave strand_run without completing the instruction (console full) */
  BODY_NEXT = 0x8000,  /* completed; modes may have changed: go on at npc */
};

enum pstate_bit {
  PSTATE_IE = 1 << 1, PSTATE_PRIV = 1 << 2, PSTATE_AM = 1 << 3, PSTATE_PEF = 1 << 4, PSTATE_MM = 3 << 6,
  PSTATE_TLE = 1 << 8, PSTATE_CLE = 1 << 9, PSTATE_TCT = 1 << 12,
  PSTATE_ALL = PSTATE_IE | PSTATE_PRIV | PSTATE_AM | PSTATE_PEF | PSTATE_MM | PSTATE_TLE | PSTATE_CLE | PSTATE_TCT,
};
enum fprs_bit { FPRS_DL = 1, FPRS_DU = 2, FPRS_FEF = 4 };
enum { SOFTINT_TM = 1, SOFTINT_SM = 1 << 16, SOFTINT_MASK = 0x1ffff };
#define CMPR_DISABLED (1ull << 63)
#define GSR_MASK 0xffffffff0e0000ffull

/* Mode bits a decoded block depends on. */
enum strand_mode {
  MODE_AM = 1, MODE_CLE = 2, MODE_FP = 4, MODE_STRICT = 8, MODE_PRIV = 16, MODE_STEP = 32,
};

/* Lazy condition codes: how (cc_a, cc_b) are to be read. */
enum cc_kind { CC_SUB = 0, CC_ADD = 1, CC_EXPLICIT = 2 };

/* A page of code that pushes another out of its place for fetches empties the jump cache (mem_fetch()): there is a place
 * for every page of 16 MiB, more than a Linux kernel's text. */
enum { TLB_ENTRIES = 2048, TLB_CHUNK = TLB_ENTRIES / 64, TLB_BANKS = 8, ITLB_ENTRIES = 2048 };
enum { JUMP_CACHE = 1 << 16, JUMP_MODE_SHIFT = 9 };
#define TAG_NONE (~(u64)0)

/* Soft TLB entry. wtag is set only while the page is marked dirty and holds no decoded code. */
struct tlb_entry {
  u64 rtag, wtag; /* page VA, or TAG_NONE; watch_tag() of a page that is watched */
  u64 addend;     /* host address - VA */
  u64 info;       /* RA of the page | enum tlb_info */
};
enum tlb_info { TLB_W = 1, TLB_E = 2, TLB_X = 4, TLB_CP = 8, TLB_IO = 16 };

struct itlb_entry {
  u64 tag; /* page VA, or TAG_NONE */
  u64 ra;  /* RA of the page */
};

/* One address space's translations: a context, or real addresses. Selecting another is a pointer change. */
enum bank_kind { BANK_USER = 0, BANK_PRIV = 1, BANK_REAL = 2 };
struct tlb_bank {
  u64 key;   /* bank_key(), TAG_NONE: free */
  u64 used;  /* LRU stamp */
  u64 epoch; /* changes whenever a fetch translation may have gone */
  u64 touched; /* a bit for TLB_CHUNK entries of d: the others are empty */
  struct tlb_entry d[TLB_ENTRIES];
  struct itlb_entry i[ITLB_ENTRIES];
};

struct block;
struct codestore;
struct codecache;
struct firmware_maps;
struct ram_ref;
struct strand;
struct watchpoint;

enum { SPACES = 6 }; /* enum asi_space */
/* Where an access of translated code found its entry last; a guess (jit/probe.c). */
struct access_site {
  u32 offset;     /* in the bank, bytes: always one of an entry */
  u32 last, near; /* when it missed last, in what was left of the stretch; misses since that came soon after another */
  u32 spare;
  u64 addend;     /* of the entry it found last, where it finds another each time */
};
enum { ACCESS_SITES = 8192 };

struct jump_entry {
  u64 pc, key;
  struct block *block;
};

/* What the machine around a strand offers it. One per domain. */
struct strand_env {
  struct ram *ram;
  struct codestore *store; /* pages with decoded code */
  struct strand **strands; /* of the domain */
  u32 strand_count;
  u64 write_epoch;         /* requests for write permissions so far, see share.h */
  u64 dirty_cost_ns;       /* host time that each page takes to become dirty; 0: no limit. Set by any thread */
  u64 dirty_paid_ns;       /* host time at which all those that are have taken theirs */
  u64 features; /* instruction feature bits of the strand's chip and cpu-arch */
  u64 cfr;
  u32 cfr_present;
  u32 va_bits, page_sizes, max_tsbs;
  u64 stick_hz, tick_hz;
  u64 stick_part, tick_part; /* the same, without their common factor */
  const u32 *called; /* real time: not 0 where strands that take turns shall come back soon; NULL: nobody calls */
  /* Tcc >= 0x80 from privileged mode: the hypercall. Returns enum body_result. */
  u32 (*hypercall)(struct strand *, u32 trap_number);
  /* Real addresses beyond memory (hyp/ldc_mapin.c): from mapped_first on, in places of mapped_stride bytes. */
  u64 mapped_first, mapped_stride;
  bool (*mapped)(void *machine, u64 ra, struct ram_ref *, u32 *rights);
  /* Memory with errors (hyp/poison.h); poison_count 0: none. */
  u32 poison_count;
  u32 (*poisoned)(void *machine, u64 ra);               /* enum poison_look */
  void (*memory_error)(struct strand *, u64 ra);
  void (*queue_moved)(struct strand *, u32 queue);      /* the guest moved a queue's head: there may be room */
  u64 (*tick_now)(struct strand *, u64 insns_in_slice); /* TICK counter value */
  u64 (*insns_until)(struct strand *, u64 ticks);       /* instructions until TICK has advanced so far */
  void (*trace)(struct strand *, u32 insn);             /* before each instruction, while `tracing` */
  u32 tracing;
  u32 step_only; /* no blocks: every instruction by the stepper */
  u32 hot_entries; /* of a block, after which it is translated, where there is a translator */
  u32 breakpoint_count;
  const u64 *breakpoints;
  u32 watch_count; /* watch.h */
  const struct watchpoint *watches;
  const struct firmware_maps *firmware_maps;
  void (*observe)(struct strand *, u32 kind, u32 number, u64 value); /* NULL: nobody looks (machine/observe.c) */
  void *machine;
};
enum observed { OBSERVE_TRAP = 1, OBSERVE_HCALL = 2, OBSERVE_RUN = 3 };

enum strand_stop {
  STOP_NONE = 0, STOP_EXIT, STOP_WATCHDOG, STOP_CONSOLE, STOP_YIELD, STOP_BREAKPOINT, STOP_RESET, STOP_EVENT,
  STOP_SUSPEND, STOP_CHANNEL, STOP_FIRMWARE, STOP_WATCH,
  STOP_PARK, /* no stop for anybody: the strand is wanted at rest */
};

/* Where the jump cache has a block: kernels run the same code with the FPU on and off, hence the mode. */
static inline u32 jump_index(u64 pc, u32 mode) { return ((u32)(pc >> 2) ^ mode << JUMP_MODE_SHIFT) & (JUMP_CACHE - 1); }

struct strand {
  /* hot, reached by scaled 8-bit index from the strand pointer */
  struct tlb_entry *dtlb;
  u64 cc_a, cc_b;
  i64 budget;
  struct block *block;
  u64 jump_key;
  u32 cc_kind, mode;
  u64 fp_last_op, fp_last_a, fp_last_b; /* last fast FPop, for cexc */
  u64 *w;   /* current window: base of all 32 integer registers, see window.h */
  u64 wglob[WINDOW_WORDS]; /* globals beside the ring of windows */
  u64 arch; /* start of the architectural part (offset mark) */
#define FIELD(type, name) type name;
#define ARRAY(type, name, count) type name[count];
#include "strand/fields.def"
#undef FIELD
#undef ARRAY
  u64 arch_end;

  struct strand_env *env;
  struct codecache *code;
  u64 writes_given; /* epoch up to which write permissions were given back, see share.h */
  struct tlb_bank *bank; /* of implicit accesses: dtlb == bank->d */
  struct tlb_bank *other; /* the one before: traps go to and fro */
  struct tlb_bank *space[2][SPACES]; /* by privilege: where accesses by ASI were translated last; NULL: look (asi.h) */
  u64 use_stamp, epoch_stamp;
  i64 slice_ref;    /* instructions done in the slice = slice_ref - budget + cold_index */
  u64 break_pc;     /* of the break- or watchpoint that ended the last run, TAG_NONE: none; the next run goes on past it */
  u32 cold_index;   /* while a body runs out of line: its index in the block */
  u32 single;       /* the next instruction goes through the stepper */
  u32 attention;    /* something may be pending: look before going on; set by any thread */
  u32 resting;      /* 1: outside of strand_run() */
  u32 park;         /* another thread wants the strand at rest */
  u32 stop;         /* enum strand_stop */
  u32 stop_tt;
  u32 host_rounding; /* rounding mode the host FPU is in, FSR encoding */
  u64 stop_code;
  u64 fault_va;     /* of the memory access that returned a trap */
  u32 fault_type, fault_context;
  u64 busy_ns;      /* host time at work, see machine/strands.c */
  u64 busy_since;   /* now at work, since then; 0: it is not */
  u32 busy_turn;    /* odd: the two are being written */
  u32 over;         /* it has made more pages dirty than the limit allows: to rest for a while (share.h) */
  u64 held;         /* it does not run, and its guest cannot tell why (s4v_strand_hold); not part of the state */
  u64 watch_va;     /* what was watched there was met last */
  u32 watch_kind;   /* and how, 0: not yet, in a run or step */
  u32 watch_pass;   /* what is watched stops nothing now */
  u64 traps, misses, calls; /* taken, of the MMU, hypercalls; since it was made, not part of the state */
  struct jump_entry jump[JUMP_CACHE];
  struct access_site sites[ACCESS_SITES];
  struct tlb_bank banks[TLB_BANKS];
};

_Static_assert(offsetof(struct strand, f) + 32 * 8 <= 256 * 8, "FP registers must be in reach of a micro-op index");

static inline void tlb_touch(struct tlb_bank *b, u32 index) { b->touched |= 1ull << (index / TLB_CHUNK); }

static inline bool strand_stop_is_for_client(u32 why) {
  return why != STOP_NONE && why != STOP_YIELD && why != STOP_EVENT && why != STOP_PARK;
}
static inline u32 strand_priv(const struct strand *s) { return (s->pstate & PSTATE_PRIV) != 0; }
/* What PSTATE.AM leaves of an address, of PC and NPC too. */
static inline u64 strand_mask(const struct strand *s) { return s->pstate & PSTATE_AM ? 0xffffffffu : ~(u64)0; }

/* run.c */
struct strand *strand_new(struct strand_env *, u32 id);
void strand_free(struct strand *);
void strand_reset(struct strand *);                                          /* as CPU_START leaves it */
void strand_start(struct strand *, u64 pc, u64 rtba, u64 arg);
/* Runs at most `insns` more instructions (exact). Returns enum strand_stop; STOP_NONE: budget used, or, in real time, `over`. */
u32 strand_run(struct strand *, u64 insns);
/* The same on a thread beside other strands': looks every LOOK_INSNS instructions what they want (share.h), and may come
 * back early, with STOP_NONE, when `park` is set. */
u32 strand_run_beside(struct strand *, u64 insns);
/* What the strand would do next and nothing more: take a trap that is pending, or execute one instruction, which counts or
 * traps. Break- and watchpoints stop nothing; `watch_kind` says what the instruction has met. */
u32 strand_step(struct strand *);
void strand_forget_stop(struct strand *); /* nobody was told of the last run's breakpoint: it is to come again */
u64 strand_slice_done(const struct strand *);                                /* instructions so far in this slice */
void strand_mode_changed(struct strand *);                                   /* after pstate, fprs, fsr, tl, context, mmu */
void strand_sync(struct strand *);                                           /* lazy state -> fields */
void strand_skip(struct strand *);                                           /* past one instruction, which counts */
void strand_code_changed(struct strand *);                                   /* decoded code went away */

/* trap.c */
u32 strand_trap(struct strand *, u32 tt);     /* enter the trap handler; STOP_WATCHDOG at MAXTL, else 0 */
void strand_deliver(struct strand *, u32 tt); /* fault report and trap; stops the strand where neither is possible */
u32 strand_done(struct strand *, bool retry); /* DONE, RETRY */
u32 strand_pending(const struct strand *);    /* trap type of the disrupting trap to take now, or 0 */
bool strand_error_queued(const struct strand *); /* is there a non-resumable error report */
bool strand_wakeable(const struct strand *);  /* would CPU_YIELD return */
void strand_set_gl(struct strand *, u32 gl);
void strand_check_timers(struct strand *);    /* sets SOFTINT bits for passed compare registers */
u64 strand_timer_insns(const struct strand *, u64 now_tick); /* ticks to the next match, ~0: none */

/* state.c */
void strand_print(const struct strand *, char *buf, size_t len);

#endif
