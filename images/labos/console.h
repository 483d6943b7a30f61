/* console.h - what the kernel says and hears. */
#ifndef LABOS_CONSOLE_H
#define LABOS_CONSOLE_H
#include "types.h"

/* Any context; one call is never torn apart by another cpu's. "\n" is sent as CR LF. printf() of types.h uses it. */
void console_write(const void *text, size_t bytes);
/* The line the person typed, without its newline; sleeps. -1: hung up. One reader at a time: the shell, or the
 * program it runs. */
int console_read_line(char *line, size_t bytes);
/* Has ^C been typed since the last call? For commands that take long (ping). */
bool console_interrupted(void);
#endif
