/* commands.h - the shell's table and its functions. */
#ifndef LABOS_COMMANDS_H
#define LABOS_COMMANDS_H
#include "shell.h"

#define COMMAND(name, function, usage, help) int function(int argc, char **argv);
#include "commands.def"
#undef COMMAND

extern const struct command commands[];
extern const u32 command_count;
const struct command *command_find(const char *name);
int shell_status(void);
#endif
