/* disasm.h - one instruction word as assembler text. */
#ifndef S4V_ISA_DISASM_H
#define S4V_ISA_DISASM_H
#include "util/types.h"

/* Write the text of `insn` at virtual address `pc` into buf, always terminated, cut at len - 1 bytes. A word that is in
 * no row gives ".word 0x........". Synthetic instructions are spelled as GNU objdump does; branch targets are
 * absolute. Returns the length of the whole text. */
int isa_disasm(u32 insn, u64 pc, char *buf, size_t len);

#endif
