/* shell.h - commands. All of them stand in commands.def, one line each. */
#ifndef LABOS_SHELL_H
#define LABOS_SHELL_H
#include "types.h"

struct command {
  const char *name, *usage, *help;
  int (*run)(int argc, char **argv); /* argv[0] is the name; 0: fine; anything else is the status ($?) */
};
enum { COMMAND_USAGE = -1 }; /* a run() that returns it has the shell print the usage line */

/* A number with an optional suffix K M G (1024s). false: not one. */
bool parse_number(const char *text, u64 *value);
/* Run one line. */
int shell_run(char *line);
#endif
