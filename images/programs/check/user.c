/* user.c - nonprivileged mode: what a user program may not do, and Tcc numbers seen from there. */
#include "check.h"

static u64 finished;

/* Software trap 0x7e takes the program back to privileged mode behind the instruction. */
static void enter_privileged(struct trap_frame *f) {
  f->tstate |= 4ul << 8;
  trap_skip(f);
  finished++;
}

static void leave_privileged(void) { WRPR(pstate, RDPR(pstate) & ~4ul); }

/* One instruction in user mode, which must trap with this type. */
#define CHECK_USER_TRAP(type, instruction)                                    \
  do {                                                                        \
    u64 before_ = traps_taken;                                                \
    trap_handler_set((type), trap_note);                                      \
    leave_privileged();                                                       \
    __asm__ volatile(instruction : : "r"(&finished) : "memory", "g1", "cc"); \
    __asm__ volatile("ta 0x7e" : : : "memory");                               \
    trap_handler_set((type), NULL);                                           \
    CHECK_EQUAL(traps_taken - before_, 1);                                    \
    CHECK_EQUAL(trap_last.tt, (type));                                        \
    CHECK_EQUAL(trap_last.tstate >> 8 & 4, 0);                                \
  } while (0)

int main(void) {
  trap_handler_set(0x17e, enter_privileged);
  CHECK_USER_TRAP(0x011, "rdpr %%pil, %%g1");
  CHECK_USER_TRAP(0x011, "wrpr %%g0, 0, %%pil");
  CHECK_USER_TRAP(0x011, "done");
  CHECK_USER_TRAP(0x011, "saved");
  CHECK_USER_TRAP(0x011, "rd %%asr22, %%g1");
  CHECK_USER_TRAP(0x037, "ldxa [%0] 0x14, %%g1");
  CHECK_USER_TRAP(0x037, "stxa %%g0, [%%g0] 0x20");
  CHECK_USER_TRAP(0x010, "illtrap 0");
  CHECK_USER_TRAP(0x100, "ta 0x80"); /* bit 7 is masked: no hypercall */
  CHECK_USER_TRAP(0x105, "ta 0x85");
  CHECK_EQUAL(finished, 10);
  CHECK_EQUAL(RDPR(pstate) & 4, 4);
  return check_result("user");
}
