/* user.h - what a user program of labos may use. */
#ifndef LABOS_USER_H
#define LABOS_USER_H
#include "types.h"

#define SYSTEM_CALL(number, name, function) CALL_##name = number,
enum system_calls {
#include "syscalls.def"
};
#undef SYSTEM_CALL

static inline i64 system_call(u64 number, u64 a, u64 b, u64 c) {
  register u64 g1 __asm__("g1") = number;
  register u64 o0 __asm__("o0") = a;
  register u64 o1 __asm__("o1") = b;
  register u64 o2 __asm__("o2") = c;
  __asm__ volatile("ta 0x6d" : "+r"(o0) : "r"(g1), "r"(o1), "r"(o2) : "memory");
  return (i64)o0;
}

static inline void exit(int status) {
  system_call(CALL_exit, (u64)(i64)status, 0, 0);
  __builtin_unreachable();
}
static inline i64 write(const void *text, size_t bytes) { return system_call(CALL_write, (u64)text, bytes, 0); }
static inline i64 getpid(void) { return system_call(CALL_getpid, 0, 0, 0); }
static inline void *sbrk(i64 by) { return (void *)system_call(CALL_sbrk, (u64)by, 0, 0); }
static inline void sleep_ns(u64 ns) { system_call(CALL_sleep, ns, 0, 0); }
static inline u64 time_ns(void) { return (u64)system_call(CALL_time, 0, 0, 0); }
static inline void yield(void) { system_call(CALL_yield, 0, 0, 0); }

void console_write(const void *text, size_t bytes); /* under printf */
int main(const char *arguments);
#endif
