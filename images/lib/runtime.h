/* runtime.h - what a freestanding guest program may use.
 *
 * The same ELF runs in two environments, told apart at entry (start.S):
 *   ENV_SUN4V  privileged strand, MMU off, console and exit through hypercalls;
 *   ENV_USER   a Linux process (qemu-sparc64, a real kernel), console and exit through system calls.
 */
#ifndef IMAGES_RUNTIME_H
#define IMAGES_RUNTIME_H
#include "types.h"

enum { ENV_SUN4V = 0, ENV_USER = 1 };
extern u64 runtime_env;
extern u64 runtime_arg; /* ENV_SUN4V: %o0 at entry */

int main(void);
void exit(int code) __attribute__((noreturn));  /* MACH_EXIT or exit(2): code is the exit status */
void abort(void) __attribute__((noreturn));     /* exit(134) */

/* Console. console_read gives 0 when no input is waiting (ENV_SUN4V) or at end of file (ENV_USER). */
void console_write(const void *text, size_t bytes);
long console_read(void *buffer, size_t bytes);
#define CONSOLE_HANGUP (-2)

/* A trap as a handler sees it. The interrupted %g1-%g7 and %o0-%o7 may be changed; the interrupted code goes on
 * at tpc. trap_skip() steps over the trapping instruction as DONE does. */
struct trap_frame {
  u64 g[8], o[8];
  u64 tt, tpc, tnpc, tstate, y, tl;
};
typedef void (*trap_handler)(struct trap_frame *);
enum { TRAP_TYPES = 512 };

static inline void trap_skip(struct trap_frame *f) {
  f->tpc = f->tnpc;
  f->tnpc += 4;
}
/* Handler for trap type tt at TL 0 and 1; NULL gives back the default: report, then exit with 0xE0 | TL. */
void trap_handler_set(unsigned tt, trap_handler handler);
/* Put raw code in the trap table itself (8 instructions an entry, 32 for window traps), for TL = 0. */
void trap_entry_patch(unsigned tt, const u32 *code, unsigned instructions);

/* MMU fault status area: type, address and context of the last instruction and data fault. */
struct fault_area {
  u64 ift, ifa, ifc, reserved0[5];
  u64 dft, dfa, dfc, reserved1[5];
};
extern volatile struct fault_area fault_area;
enum { FAULT_PRIVILEGE = 5, FAULT_MISS = 3, FAULT_REAL_ADDRESS = 4, FAULT_VA_HOLE = 9, FAULT_ASI = 10, FAULT_ALIGN = 14 };

#endif
