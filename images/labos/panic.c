/* panic.c - the end: of its own will, or because the kernel no longer trusts itself. */
#include "console_raw.h"
#include "debugger.h"
#include "hyper.h"
#include "kernel.h"
#include "process.h"
#include "scheduler.h"

static volatile u32 panicking;

static void stop_others(void) {
  for (u32 id = 0; id < cpu_limit(); id++) {
    struct cpu *cpu = cpu_block(id);
    if (cpu && cpu != cpu_this() && cpu->state != CPU_IS_OFFLINE) hyper(CPU_STOP, id, 0, 0, 0);
  }
}

static void interrupts_off_for_good(void) {
  WRPR(pstate, PSTATE_PRIV | PSTATE_PEF);
  timer_mask();
}

/* The first one to come here; the others wait to be stopped. */
static void panic_begin(void) {
  u32 before = 1;
  interrupts_off_for_good();
  __asm__ volatile("swap [%1], %0" : "+r"(before) : "r"(&panicking) : "memory");
  if (before && panicking == cpu_this()->id + 2) hyper(MACH_SIR, 0, 0, 0, 0); /* a panic in the panic */
  while (before) hyper(CPU_YIELD, 0, 0, 0, 0);
  panicking = (u32)cpu_this()->id + 2;
  stop_others();
  console_alone_begin();
  soft_state_set(SOFT_PANICKING);
  printf("\npanic[cpu%lu]/thread=%s: ", cpu_this()->id, thread_this() ? thread_name() : "none");
}

/* Under the debugger (-k) the person has the last word. */
static void panic_end(struct trap_frame *frame) __attribute__((noreturn));
static void panic_end(struct trap_frame *frame) {
  if (frame) debugger_registers(frame);
  debugger_backtrace(frame);
  if (boot_flag("-k")) debugger_loop(frame);
  printf("rebooting...\n");
  for (;;) hyper(MACH_SIR, 0, 0, 0, 0);
}

void panic(const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  panic_begin();
  printf("%s\n", text);
  panic_end(NULL);
}

void panic_trap(struct trap_frame *frame) {
  panic_begin();
  printf("%s (0x%lx) at pc 0x%lx, address 0x%lx\n", trap_name(frame->tt), frame->tt, frame->tpc, frame->fault);
  panic_end(frame);
}

void system_halt(void) {
  soft_state_set(SOFT_HALTING);
  printf("syncing file systems... done\nProgram terminated\n");
  interrupts_off_for_good();
  stop_others();
  for (;;) hyper(MACH_EXIT, 0, 0, 0, 0);
}

void system_reboot(void) {
  soft_state_set(SOFT_REBOOTING);
  printf("syncing file systems... done\nrebooting...\n");
  interrupts_off_for_good();
  stop_others();
  for (;;) hyper(MACH_SIR, 0, 0, 0, 0);
}
