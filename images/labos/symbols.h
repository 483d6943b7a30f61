/* symbols.h - names of the kernel's functions, made when it is linked (symbols.awk). */
#ifndef LABOS_SYMBOLS_H
#define LABOS_SYMBOLS_H
#include "types.h"

struct symbol {
  u32 address, name; /* of the function, by address; where in symbol_names */
};
extern const struct symbol symbols[];
extern const char symbol_names[];
extern const u32 symbol_count;
#endif
