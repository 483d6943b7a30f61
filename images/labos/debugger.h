/* debugger.h - the kernel debugger. */
#ifndef LABOS_DEBUGGER_H
#define LABOS_DEBUGGER_H
#include "trap.h"

/* The parts, for panic.c. `frame` may be NULL: no trap. */
void debugger_registers(const struct trap_frame *frame);
void debugger_backtrace(const struct trap_frame *frame);
void debugger_loop(const struct trap_frame *frame); /* returns on `go` */
#endif
