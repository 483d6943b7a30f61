/* layout.h - numbers that the assembler and C halves of the runtime share. */
#ifndef IMAGES_LAYOUT_H
#define IMAGES_LAYOUT_H

#define NWINDOWS 8
#define STACK_BYTES 0x100000
#define STACK_BIAS 2047
#define FRAME 176 /* smallest V9 stack frame: 16 window registers and 6 argument slots */

#define PSTATE_PEF 0x10
#define PSTATE_PRIV 0x04
#define PSTATE_IE 0x02
#define FPRS_FEF 4
#define ASI_P 0x80 /* primary address space */

#define TRAP_ENTRY_BYTES 32
#define TRAP_TABLE_BYTES 0x8000 /* 512 entries for TL = 0, then 512 for TL > 0 */

/* struct trap_frame of runtime.h */
#define TF_G 0
#define TF_O 64
#define TF_TT 128
#define TF_TPC 136
#define TF_TNPC 144
#define TF_TSTATE 152
#define TF_Y 160
#define TF_TL 168
#define TF_BYTES 176
#endif
