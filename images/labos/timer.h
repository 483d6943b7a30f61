/* timer.h - the clock, and functions to be called at a time. */
#ifndef LABOS_TIMER_H
#define LABOS_TIMER_H
#include "types.h"

#define NS_PER_SECOND 1000000000ul
#define NS_PER_MS 1000000ul

/* Nanoseconds since boot: never goes back. Time that the domain spends suspended does not pass. */
u64 clock_ns(void);
/* Nanoseconds since 1970 UTC, as the kernel believes: read from TOD at boot and run on with clock_ns(). */
u64 clock_wall_ns(void);
/* What an NTP client does: move the wall clock by so much; TOD is set too. */
void clock_wall_adjust(i64 by_ns);
u64 clock_stick_hz(void);

struct timer {
  u64 deadline_ns; /* on the clock_ns() scale */
  void (*function)(void *arg); /* runs with interrupts off on some cpu; must not sleep */
  void *arg;
  struct timer *next; /* timer.c's own, from here on */
  struct cpu *cpu;    /* armed on its list */
  struct cpu *volatile running_on;
};
/* Arm, or arm anew. The timer is the caller's memory; fill function and arg first. */
void timer_start(struct timer *timer, u64 deadline_ns);
void timer_stop(struct timer *timer); /* when it returns the function is not running on another cpu */
#endif
