/* trap.h - a trap as C sees it. */
#ifndef LABOS_TRAP_H
#define LABOS_TRAP_H
#include "layout.h"
#include "types.h"

struct trap_frame {
  u64 g[8], o[8];
  u64 tt, tpc, tnpc, tstate, y;
  u64 context, windows;
  u64 fault, fault_type; /* MMU fault status area, data side */
  u64 fprs;
};
_Static_assert(sizeof(struct trap_frame) == TF_BYTES, "layout.h");
_Static_assert(offsetof(struct trap_frame, context) == TF_CONTEXT, "layout.h");
_Static_assert(offsetof(struct trap_frame, fprs) == TF_FPRS, "layout.h");

enum {
  TT_INSTRUCTION_ACCESS = 0x008, TT_INSTRUCTION_MISS = 0x009, TT_ILLEGAL = 0x010, TT_PRIVILEGED_OPCODE = 0x011,
  TT_FP_DISABLED = 0x020, TT_DATA_ACCESS = 0x030, TT_DATA_MISS = 0x031, TT_NOT_ALIGNED = 0x034,
  TT_PRIVILEGED_ACTION = 0x037, TT_LEVEL_14 = 0x04e, TT_PROTECTION = 0x06c, TT_CPU_MONDO = 0x07c,
  TT_DEVICE_MONDO = 0x07d, TT_RESUMABLE = 0x07e, TT_NONRESUMABLE = 0x07f, TT_SYSTEM_CALL = 0x16d,
};

const char *trap_name(u64 tt);
/* Step over the trapping instruction. */
static inline void trap_skip(struct trap_frame *f) {
  f->tpc = f->tnpc;
  f->tnpc += 4;
}

void device_mondo_drain(void);
void interrupts_retarget(u32 from, u32 to);
void interrupt_poll_begin(u64 devhandle, u64 devino);
void interrupt_poll(void);
void interrupt_poll_end(u64 devhandle, u64 devino);
void error_queue_drain(bool resumable, struct trap_frame *frame);
long user_copy_in(void *to, u64 from, u64 bytes);
long user_copy_out(u64 to, const void *from, u64 bytes);
void user_enter(struct trap_frame *frame) __attribute__((noreturn));
void windows_flush(void);
#endif
