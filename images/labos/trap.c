/* trap.c - what a trap means: interrupts, faults of programs, faults of the kernel. */
#include "trap.h"

#include "hyper.h"
#include "kernel.h"
#include "process.h"
#include "scheduler.h"

extern char user_copy_begin[], user_copy_end[], user_copy_failed[];
void trap_kernel(struct trap_frame *frame);
void trap_user(struct trap_frame *frame);
void trap_nested_report(u64 tt, u64 pc, u64 nested, u64 nested_pc) __attribute__((noreturn));

static const struct {
  u16 tt;
  const char *name;
} names[] = {
    {TT_INSTRUCTION_ACCESS, "instruction access exception"}, {TT_INSTRUCTION_MISS, "instruction access MMU miss"},
    {TT_ILLEGAL, "illegal instruction"},   {TT_PRIVILEGED_OPCODE, "privileged opcode"},
    {TT_FP_DISABLED, "fp disabled"},       {0x021, "fp exception ieee 754"},
    {0x022, "fp exception other"},         {0x023, "tag overflow"},
    {0x028, "division by zero"},           {TT_DATA_ACCESS, "data access exception"},
    {TT_DATA_MISS, "data access MMU miss"}, {TT_NOT_ALIGNED, "memory address not aligned"},
    {0x035, "LDDF memory address not aligned"}, {0x036, "STDF memory address not aligned"},
    {TT_PRIVILEGED_ACTION, "privileged action"}, {TT_PROTECTION, "data access protection"},
    {TT_NONRESUMABLE, "nonresumable error"},
};

const char *trap_name(u64 tt) {
  for (u32 i = 0; i < sizeof names / sizeof names[0]; i++)
    if (names[i].tt == tt) return names[i].name;
  return tt >= 0x100 ? "trap instruction" : "trap";
}

/* True: it was one. They come the same from a program and from the kernel. */
static bool interrupt(struct trap_frame *frame) {
  switch (frame->tt) {
  case TT_LEVEL_14:
    cpu_this()->timer_interrupts++;
    timer_interrupt();
    return true;
  case TT_CPU_MONDO: cross_poll(); return true;
  case TT_DEVICE_MONDO: device_mondo_drain(); return true;
  case TT_RESUMABLE: error_queue_drain(true, frame); return true;
  case TT_NONRESUMABLE: error_queue_drain(false, frame); return true;
  default: return false;
  }
}

static bool is_data_fault(u64 tt) {
  return tt == TT_DATA_MISS || tt == TT_DATA_ACCESS || tt == TT_PROTECTION || (tt >= TT_NOT_ALIGNED && tt <= 0x036);
}

static bool in_user_copy(const struct trap_frame *frame) {
  return frame->tpc >= (u64)user_copy_begin && frame->tpc < (u64)user_copy_end;
}

/* The kernel touched a program's memory for it. */
static void user_copy_fault(struct trap_frame *frame) {
  u64 address = frame->fault;
  bool write = frame->tt == TT_PROTECTION;
  if ((frame->tt == TT_DATA_MISS || write) && process_fault(address, write)) return;
  frame->tpc = (u64)user_copy_failed;
  frame->tnpc = frame->tpc + 4;
}

void trap_kernel(struct trap_frame *frame) {
  struct trap_frame *outer = cpu_this()->frame;
  cpu_this()->frame = frame;
  bool was_interrupt = interrupt(frame);
  cpu_this()->frame = outer; /* the same cpu: an interrupt handler does not switch threads */
  if (was_interrupt) {
    if (frame->tstate >> 8 & PSTATE_IE) thread_preempt();
    return;
  }
  if (is_data_fault(frame->tt) && in_user_copy(frame)) {
    user_copy_fault(frame);
    return;
  }
  panic_trap(frame);
}

static void interrupts_allow(void) { WRPR(pstate, RDPR(pstate) | PSTATE_IE); }
static void interrupts_forbid(void) { WRPR(pstate, RDPR(pstate) & ~(u64)PSTATE_IE); }

/* A program's own trap: a system call, a page it may have, its first floating-point instruction; or its end. */
static void user_own(struct trap_frame *frame) {
  switch (frame->tt) {
  case TT_SYSTEM_CALL: system_call(frame); return;
  case TT_DATA_MISS:
    if (process_fault(frame->fault, false)) return;
    break;
  case TT_INSTRUCTION_MISS:
    if (process_fault(frame->tpc, false)) return;
    break;
  case TT_FP_DISABLED:
    if (frame->fprs & FPRS_FEF || !fp_begin()) break;
    frame->fprs = FPRS_FEF;
    return;
  case TT_PRIVILEGED_ACTION:
    if (clock_emulate(frame)) return;
    break;
  default: break;
  }
  process_kill(frame);
}

void trap_user(struct trap_frame *frame) {
  cpu_this()->frame = frame;
  bool was_interrupt = interrupt(frame);
  cpu_this()->frame = NULL;
  if (!was_interrupt) {
    interrupts_allow();
    user_own(frame);
    interrupts_forbid();
  }
  thread_preempt();
  process_check();
}

void trap_nested_report(u64 tt, u64 pc, u64 nested, u64 nested_pc) {
  panic("%s (0x%lx) at pc 0x%lx, and in its handler %s (0x%lx) at pc 0x%lx", trap_name(tt), tt, pc,
        trap_name(nested), nested, nested_pc);
}
