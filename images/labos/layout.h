/* layout.h - numbers that the assembler and C halves of labos share: the address map, registers, structure offsets.
 *
 *   0x0000_0000_0000_2000 - 0x0000_0001_ffff_ffff   user programs (8 GiB), context = number of the process
 *   0x0000_0000_0040_0000 - 0x0000_0000_007f_ffff   the kernel image in context 0: one permanent 4 MiB mapping
 *   0x0000_0000_f000_0000 - 0x0000_0000_ffff_ffff   firmware, until the kernel owns the trap table
 *   0xffff_8000_0000_0000 + RA                      every byte of memory in context 0: the direct map
 */
#ifndef LABOS_LAYOUT_H
#define LABOS_LAYOUT_H

#define PAGE_SHIFT 13
#define PAGE_BYTES 8192
#define KERNEL_BASE 0x400000
#define KERNEL_BYTES 0x400000
#define DIRECT_BASE 0xffff800000000000

#define USER_FIRST 0x2000
#define USER_LIMIT 0x200000000

#define NWINDOWS 8
#define STACK_BIAS 2047
#define FRAME 176 /* smallest V9 stack frame: 16 window registers and 6 argument slots */
#define STACK_BYTES 16384

#endif
