/* crypto.c */
#include "commands.h"
int command_crypto(int argc, char **argv) { (void)argc; (void)argv; return 0; }
