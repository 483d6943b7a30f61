/* gen.h - what the emitters of a region share.
 *
 *   RBP  the strand      RBX  the window pointer (window.h)      R15  what is left of the stretch (budget)
 *   RAX RCX RDX  scratch      the others: guest registers
 *
 * Condition codes are as in the interpreter: cc_a, cc_b, cc_kind of the strand are always up to date. Besides, while the kind
 * is known, `cc` says in which host registers the operands still are.
 */
#ifndef S4V_JIT_GEN_H
#define S4V_JIT_GEN_H
#include "jit/codemem.h"
#include "jit/region.h"
#include "jit/span.h"
#include "jit/x86.h"
#include "strand/strand.h"
#include "strand/translator.h"
#include "strand/window.h"

/* Places all translations share, made once. */
struct thunks {
  struct x86_label enter;    /* a handler of the interpreter: on to the strand's block */
  struct x86_label leave;    /* RSI: block; to the interpreter at its first micro-op */
  struct x86_label leave_at; /* RSI: micro-op of the strand's block; R9: its handler */
  struct x86_label dispatch; /* pc and npc are in the strand: on to the block there, or to the run loop */
  struct x86_label go;       /* RAX: block, or 0: to the run loop; the rest is in the strand */
  struct x86_label expire;   /* RAX: target; the stretch is over */
  struct x86_label expire_jump; /* the same, target in npc */
  struct x86_label miss;     /* RAX: target, not in the jump cache */
  struct x86_label seam_save, seam_restore; /* called: the window moves, by C; RAX stays */
  struct x86_label tick, stick; /* called. RAX: index of the instruction, then the register's value; all others stay */
  /* traps.c; all is in the strand. A trap: RSI TPC, RDI TNPC; RAX its type, or the one of a window. DONE and RETRY: above TL 0. */
  struct x86_label trap, spill, fill, done, retry;
  struct x86_label probe, probe_plain[2]; /* called. By the site, of a load; by the address, of a load and a store: probe.c */
  struct x86_label body;     /* called. RAX: block, RSI: micro-op; comes back only when its instruction is done */
  struct x86_label call;     /* the same for a hypercall, where all registers but those in the strand may be others */
};

/* The operands of a subtraction that leaves these codes, by CCR; kind CC_EXPLICIT: none is known. */
struct saved_codes {
  u64 operand[256][2];
  u32 kind[256];
};

/* One load in the code: offsets of where it finds its place in the soft TLB, and of where it has the addend. */
struct site {
  u32 at, done;
  i32 mask; /* of the address, for the tag */
};

struct gen;
struct jit {
  struct codemem mem;
  struct codecache *cache;
  struct thunks thunks;
  struct saved_codes codes;
  struct region region;
  u32 used, start; /* bytes of code; where translations begin */
  u32 full;
  bool beside;
  struct translator_counts counts;
  u64 *bodies; /* by row */
  u32 sites;   /* of the accesses in the code, up to ACCESS_SITES */
  struct site site[ACCESS_SITES];
  struct op *ops;
  struct gen *gen;
};

enum { OPERAND_STRAND = NO_REG, OPERAND_IMM = 0xfe, KIND_UNKNOWN = 3 };
struct cc_state {
  u8 kind;    /* enum cc_kind, SUB or ADD; KIND_UNKNOWN */
  u8 a, b;    /* host register, OPERAND_STRAND, OPERAND_IMM */
  i32 imm;
  u32 guests; /* registers a and b are those of */
};

enum stub_kind { STUB_BODY, STUB_PROBE, STUB_EXPIRE, STUB_WAY, STUB_CC, STUB_LEAVE, STUB_SEAM,
                 STUB_EXPIRE_JUMP, STUB_MISS, STUB_OUT, STUB_COLD, STUB_TRAP };
struct stub {
  u8 kind, cond;
  bool xcc, sense, save, store, leads;
  u8 asi;                 /* of STUB_COLD, with the kind in `cond`: what is known where it begins */
  struct x86_label from, back, taken;
  struct x86_label *cold; /* where to go on instead of `back`; of a probe that leads a span, instead of its body */
  u32 dirty, reload;
  const struct node *node;
  u32 site;     /* of STUB_PROBE */
  u32 uop, way; /* of STUB_CC: way is the stub to go to when the condition is `sense` */
  u32 tt;       /* of STUB_TRAP */
  u64 target;
};
enum { MAX_STUBS = 4096, NO_SITE = ACCESS_SITES };
enum { FRAME_BYTES = 8 + 8 * SPAN_SLOTS }; /* of translated code, with RSP: the addends of open spans */

struct gen {
  struct x86 x;
  struct jit *jit;
  struct region *r;
  struct node *node; /* being emitted */
  struct flow flow;
  u32 index;         /* of the instruction */
  u32 dirty;
  u32 live;          /* after the instruction */
  struct cc_state cc;
  u8 fprs;           /* bits known to be set */
  u8 asi_now, asi;   /* %asi of the strand while it translates; what it will be here, as a guess */
  struct spans spans;
  struct x86_label cold[REGION_BLOCKS][BLOCK_INSNS + 2];
  u32 stub_count;
  struct stub stub[MAX_STUBS];
};

#define FIELD_AT(member) x86_at(RBP, offsetof(struct strand, member))
static inline struct x86_mem guest_at(u32 reg) { return x86_at(RBX, 8 * (i64)reg_index(reg)); }

/* gen.c */
u8 gen_source(struct gen *, u32 reg, u8 scratch);       /* host register with the value; `scratch` if it had to be loaded */
void gen_load(struct gen *, u32 reg, u8 into);
u8 gen_target(struct gen *, u32 reg, u8 scratch);       /* where to compute it */
void gen_set(struct gen *, u32 reg, u8 from);           /* after gen_target(), or from anywhere */
void gen_write_back(struct gen *, u32 mask);
void gen_reload(struct gen *, u32 mask);
void gen_forget_cc(struct gen *);
void gen_forget_scratch(struct gen *); /* those of them that were in RAX and RCX */
u32 gen_caller_saved(const struct gen *); /* guest registers in host registers that a call does not keep */
void gen_at_uop(struct gen *, const struct node *, u32 uop); /* RAX, RSI for thunks */
void gen_leave_at(struct gen *, const struct node *, u32 uop); /* the interpreter goes on there; all is written back */
struct stub *gen_stub(struct gen *, u32 kind);
/* A stub that runs the instruction's body, for slow paths: comes back to `back` with all that is live, and `reg`. */
struct stub *gen_body_stub(struct gen *, u32 uop, u32 reg);
void gen_body(struct gen *, u32 uop);                   /* the body, always */
/* The trap of a micro-op, which does not come back; TT_SPILL_NORMAL and TT_FILL_NORMAL: the one that WSTATE asks for. */
void gen_trap(struct gen *, const struct node *, u32 uop, u32 tt);
struct stub *gen_trap_stub(struct gen *, u32 uop, u32 tt);
void gen_hypercall(struct gen *, u32 uop);              /* the body of Tcc, always */
void gen_stubs(struct gen *);

/* emit_int.c, emit_mem.c, emit_fp.c: one instruction */
void emit_integer(struct gen *, struct op, u32 insn, u32 uop);
void emit_memory(struct gen *, struct op, u32 insn, u32 uop);
void emit_fp(struct gen *, struct op, u32 insn, u32 row, u32 uop);
void emit_address(struct gen *, u32 insn);              /* of a load or store, to RAX */
void emit_loaded(struct gen *, u32 type, u32 rd, struct x86_mem); /* a big-endian value of MT_..., into the register */
u32 emit_type_bytes(u32 type);                          /* of MT_... */
/* emit_system.c, emit_space.c */
void emit_system(struct gen *, struct op, u32 insn, u32 index, u32 uop);
void emit_align(struct gen *, u32 insn); /* emit_vis.c */
void emit_space(struct gen *, struct op, u32 insn, u32 uop);
void gen_mark_fp(struct gen *, u32 field, bool dbl);    /* FPRS: the register was written */
void emit_window(struct gen *, bool save, u32 uop, struct stub *slow); /* RAX stays */
i32 emit_immediate(u32 insn, u32 kind); /* enum isa_imm */
void second_into(struct gen *, u32 insn, u8 into, u32 bits);        /* operand 2; its immediate has so many bits */
void emit_moved(struct gen *, u32 insn, u32 cond, u8 value);        /* to rd, where the host's condition holds; RDX goes */
/* emit_arith.c */
void emit_divide32(struct gen *, struct op, u32 insn, u32 uop);
void emit_carry(struct gen *, struct op, u32 insn);
void emit_movfcc(struct gen *, u32 insn);
void emit_count(struct gen *, struct op, u32 insn);
/* `codes`: what is there, and behind it NZVC of the host's flags. `flag` is below 256, and goes. */
void emit_nzvc(struct x86 *, u8 codes, u8 flag);

/* probe.c */
/* RDX: the address, which goes; RCX: the addend of its page. The stub becomes the slow path. */
void probe_emit(struct gen *, struct stub *, u32 bytes, bool store);
void probe_call(struct gen *, u32 site, bool store, struct x86_label *taken);
void probes_make(struct x86 *, struct jit *);

/* emit_end.c */
void emit_end(struct gen *, struct node **next);
void emit_way(struct gen *, const struct node *, u32 way, struct node **next);
u32 emit_condition(struct gen *, u32 cond, bool xcc); /* after it flags hold: enum x86_cond; kind is known */
extern const u8 emit_cond[16];
u32 emit_fcc(struct gen *, u32 fcc, u32 cond); /* the same of a floating-point condition. RAX, RDX go */

/* translate.c */
void emit_instruction(struct gen *, u32 index, u32 uop);
void emit_cold(struct gen *, struct stub *);
/* thunks.c, traps.c */
void thunks_make(struct jit *);
void traps_make(struct x86 *, struct jit *);

#endif
