/* runtime.c - console, exit and trap handlers of a guest program, in both environments of runtime.h. */
#include "runtime.h"
#include "hcall.h"
#include "layout.h"

u64 runtime_env;
u64 runtime_arg;
volatile struct fault_area fault_area ALIGNED(64);
trap_handler trap_handlers[TRAP_TYPES];
extern u32 trap_table[];
void hypervisor_open(void);
void trap_report(u64 tt, u64 tpc, u64 tl) __attribute__((noreturn));

enum { LINUX_EXIT_GROUP = 188, LINUX_READ = 3, LINUX_WRITE = 4 };

static i64 linux_call(u64 number, u64 a, u64 b, u64 c) {
  register u64 g1 __asm__("g1") = number;
  register u64 o0 __asm__("o0") = a;
  register u64 o1 __asm__("o1") = b;
  register u64 o2 __asm__("o2") = c;
  u64 failed;
  __asm__ volatile("ta 0x6d\n\tmov 0, %1\n\tmovcs %%xcc, 1, %1"
                   : "+r"(o0), "=&r"(failed), "+r"(o1), "+r"(o2), "+r"(g1)
                   :
                   : "memory", "cc", "o3", "o4", "o5", "o7");
  return failed ? -1 : (i64)o0;
}

/* CONS_WRITE belongs to CORE 1.1; both groups must be asked for before their calls work. Without a fault area the
 * hypervisor cannot report a misaligned access or an MMU miss, and ends the program. */
void hypervisor_open(void) {
  struct hcall sun4v = {{GROUP_SUN4V, 1, 0}};
  struct hcall core = {{GROUP_CORE, 1, 1}};
  struct hcall area = {{(u64)&fault_area}};
  hcall_core(API_SET_VERSION, &sun4v);
  hcall_core(API_SET_VERSION, &core);
  hcall_fast(MMU_FAULT_AREA_CONF, &area);
}

void console_write(const void *text, size_t bytes) {
  const u8 *p = text;
  while (bytes > 0) {
    size_t done = 0;
    if (runtime_env == ENV_USER) {
      i64 n = linux_call(LINUX_WRITE, 1, (u64)p, bytes);
      if (n <= 0) return;
      done = (size_t)n;
    } else {
      struct hcall h = {{(u64)p, bytes}};
      u64 status = hcall_fast(CONS_WRITE, &h);
      if (status == EOK)
        done = h.arg[1];
      else if (status != EWOULDBLOCK)
        return;
    }
    p += done;
    bytes -= done;
  }
}

long console_read(void *buffer, size_t bytes) {
  if (runtime_env == ENV_USER) return linux_call(LINUX_READ, 0, (u64)buffer, bytes);
  struct hcall h = {{(u64)buffer, bytes}};
  return hcall_fast(CONS_READ, &h) == EOK ? (i64)h.arg[1] : 0;
}

void exit(int code) {
  struct hcall h = {{(u64)code & 0xff}};
  if (runtime_env == ENV_USER)
    for (;;) linux_call(LINUX_EXIT_GROUP, (u64)code & 0xff, 0, 0);
  for (;;) hcall_fast(MACH_EXIT, &h);
}

void abort(void) { exit(134); }

void trap_handler_set(unsigned tt, trap_handler handler) { trap_handlers[tt] = handler; }

void trap_entry_patch(unsigned tt, const u32 *code, unsigned instructions) {
  volatile u32 *entry = trap_table + tt * (TRAP_ENTRY_BYTES / 4);
  for (unsigned i = 0; i < instructions; i++) {
    entry[i] = code[i];
    __asm__ volatile("flush %0" : : "r"(entry + i) : "memory");
  }
}

void trap_report(u64 tt, u64 tpc, u64 tl) {
  static int reporting;
  if (!reporting) {
    reporting = 1;
    printf("trap 0x%03lx at pc 0x%lx, TL %lu\n", tt, tpc, tl);
  }
  exit((int)(0xe0 | tl));
}
