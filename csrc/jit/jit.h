/* jit.h - the translator: regions of hot blocks become x86-64 code. docs/internals/translator.md. */
#ifndef S4V_JIT_JIT_H
#define S4V_JIT_JIT_H
#include "strand/translator.h"

/* NULL where the host is not an x86-64 with what the code needs (x86.h); `lacks` then says what is not there. */
const struct translator *jit_translator(const char **lacks);

#endif
