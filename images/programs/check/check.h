/* check.h - counting checks, and traps that are expected. */
#ifndef CHECK_H
#define CHECK_H
#include "runtime.h"

#ifdef CHECK_SHARED /* a program of several parts: one of them defines it */
extern int check_failures;
#else
static int check_failures;
#endif
static struct trap_frame trap_last; /* of the last expected trap */
static u64 traps_taken;

static inline void check_(int ok, int line, const char *what) {
  if (ok) return;
  check_failures++;
  printf("line %d: %s\n", line, what);
}
#define CHECK(what) check_((what), __LINE__, #what)
#define CHECK_EQUAL(a, b)                                                        \
  do {                                                                           \
    u64 a_ = (u64)(a), b_ = (u64)(b);                                            \
    check_(a_ == b_, __LINE__, #a " == " #b);                                    \
    if (a_ != b_) printf("  0x%lx, not 0x%lx\n", a_, b_);                        \
  } while (0)

/* Handler that notes the trap and steps over the instruction. */
static inline void trap_note(struct trap_frame *f) {
  trap_last = *f;
  traps_taken++;
  trap_skip(f);
}

/* The statement traps once, with this type, and goes on behind the instruction. */
#define CHECK_TRAP(type, statement)         \
  do {                                      \
    u64 before_ = traps_taken;              \
    trap_handler_set((type), trap_note);    \
    statement;                              \
    trap_handler_set((type), NULL);         \
    CHECK_EQUAL(traps_taken - before_, 1);  \
    CHECK_EQUAL(trap_last.tt, (type));      \
  } while (0)

static inline int check_result(const char *name) {
  printf("%s: %s\n", name, check_failures ? "FAILED" : "ok");
  return check_failures != 0;
}
#endif
