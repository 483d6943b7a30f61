/* layout.h - numbers that the assembler and C halves of labos share: the address map, the block of a cpu, trap frames.
 *
 *   0x0000_0000_0000_2000 - 0x0000_0001_ffff_ffff   user programs (8 GiB), context = number of the process
 *   0x0000_0000_0040_0000 - 0x0000_0000_007f_ffff   the kernel image in context 0: one permanent 4 MiB mapping
 *   0x0000_0000_f000_0000 - 0x0000_0000_ffff_ffff   firmware in context 0, until the kernel owns the trap table
 *   0xffff_8000_0000_0000 + RA                      every byte of memory in context 0: the direct map
 */
#ifndef LABOS_LAYOUT_H
#define LABOS_LAYOUT_H

#define PAGE_SHIFT 13
#define PAGE_BYTES 8192
#define CHUNK_SHIFT 22 /* memory is taken in pieces of 4 MiB: the page size of the direct map */
#define KERNEL_BASE 0x400000
#define KERNEL_BYTES 0x400000
#define DIRECT_BASE 0xffff800000000000
#define DIRECT_DROP 17 /* bits above the real address in a direct-map address */

#define USER_FIRST 0x2000
#define USER_LIMIT 0x200000000
#define USER_LIMIT_SHIFT 33
#define TABLE_SHIFT 23 /* what one leaf table of 1024 entries covers: 8 MiB */

#define NWINDOWS 8
#define STACK_BIAS 2047
#define FRAME 176 /* smallest V9 stack frame: 16 window registers and 6 argument slots */
#define STACK_BYTES 16384

#define PSTATE_PEF 0x10
#define PSTATE_PRIV 0x04
#define PSTATE_IE 0x02
#define TSTATE_PRIV 0x400 /* PSTATE.PRIV where TSTATE keeps it */
#define WSTATE_KERNEL 0
#define WSTATE_USER 1
#define FPRS_FEF 4

/* Address spaces and what is where in them (UA2005). */
#define ASI_AIUP 0x10 /* as if user, primary context */
#define ASI_AIUS 0x11 /* as if user, secondary context */
#define ASI_REAL 0x14
#define ASI_SCRATCHPAD 0x20
#define ASI_MMU 0x21
#define ASI_QUEUE 0x25
#define QUEUE_NONRESUMABLE_HEAD 0x3f0
#define QUEUE_NONRESUMABLE_TAIL 0x3f8
#define ASI_P 0x80
#define SCRATCH_CPU 0x00    /* this cpu's block, virtual address */
#define SCRATCH_CPU_ID 0x08 /* as firmware leaves it */
#define SCRATCH_CPU_RA 0x10 /* this cpu's block, real address: the fault area is at its start */
#define CONTEXT_PRIMARY 0x08
#define CONTEXT_SECONDARY 0x10

/* TTE: valid 63, RA, side effect 11, cacheable 10, privileged 8, executable 7, writable 6, size 3:0. Bit 9 means
 * different things on different chips and stays 0. */
#define TTE_VALID 0x8000000000000000
#define TTE_RA 0x00ffffffffffe000
#define TTE_CACHED 0x400
#define TTE_PRIV 0x100
#define TTE_EXEC 0x80
#define TTE_WRITE 0x40
#define TTE_8K 0
#define TTE_4M 3

/* The block of a cpu: 64 KiB, aligned. Its first page is struct cpu (percpu.h), whose head assembler code knows. */
#define CPU_FAULT_DFA 0x48
#define CPU_FAULT_DFC 0x50
#define CPU_FAULT_IFA 0x08
#define CPU_FAULT_IFC 0x10
#define CPU_RA 0x80
#define CPU_ID 0x88
#define CPU_IMAGE_RA 0x90
#define CPU_VA 0x98
#define CPU_THREAD 0xa0
#define CPU_TABLE_RA 0xa8
#define CPU_TSB_KERNEL 0xc0 /* descriptors */
#define CPU_TSB_USER 0xe0
#define CPU_BLOCK_ORDER 3
#define CPU_BLOCK_BYTES 0x10000
#define CPU_ERROR_COPY_AT 0x1000 /* nonresumable reports taken from the queue */
#define CPU_KERNEL_TSB_AT 0x2000
#define CPU_USER_TSB_AT 0x4000
#define CPU_MONDO_AT 0x6000
#define CPU_RESUMABLE_AT 0x7000
#define CPU_NONRESUMABLE_AT 0x7800
#define CPU_DEVICE_AT 0x8000
#define CPU_LIST_AT 0xa000
#define CPU_STACK_AT 0xc000
#define CPU_MONDO_ENTRIES 64
#define CPU_DEVICE_ENTRIES 128
#define CPU_ERROR_ENTRIES 32
#define TSB_ENTRIES 512

/* struct thread, its head */
#define THREAD_SP 0
#define THREAD_PC 8
#define THREAD_FRAME 16

/* struct trap_frame */
#define TF_G 0
#define TF_O 64
#define TF_TT 128
#define TF_TPC 136
#define TF_TNPC 144
#define TF_TSTATE 152
#define TF_Y 160
#define TF_CONTEXT 168  /* of a user frame: the process's context */
#define TF_WINDOWS 176  /* of a user frame: how many older windows were in registers */
#define TF_FAULT 184    /* address of the data or instruction fault */
#define TF_FAULT_TYPE 192
#define TF_FPRS 200
#define TF_BYTES 208
#define TF_WINDOW 208   /* user frames only: the windows, youngest first, 128 bytes each */
#define UF_BYTES (TF_BYTES + 7 * 128 + 16)

#endif
