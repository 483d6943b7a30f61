/* console_raw.h - the console when nothing else moves. */
#ifndef LABOS_CONSOLE_RAW_H
#define LABOS_CONSOLE_RAW_H
#include "types.h"

enum { KEY_BREAK = -1, KEY_HANGUP = -2 };
#define CONSOLE_BREAK (~0ul)
#define CONSOLE_HUP (~0ul - 1)

void console_init(void);
/* Between the two, by who has stopped the other cpus and interrupts: no locks, and input is polled. */
void console_alone_begin(void);
void console_alone_end(void);
int console_poll_key(void);           /* waits for a byte, KEY_BREAK or KEY_HANGUP */
void debugger_enter(const char *why); /* from an interrupt; returns on `go` */
#endif
