! start.S - the first instructions of every cpu.
!
! The boot cpu comes here in one of two states:
!   under firmware   MMU on, the image mapped where it is linked, %o4 = client interface handler
!   bare             MMU off, so that addresses are real addresses; %o4 = 0, %o0 = argument block or 0
! Other cpus are started by us with CPU_START: MMU off, %o0 = real address of their block.
#include "hcall.h"
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#ignore
	.register %g7,#ignore

	.macro	windows_reset
	wrpr	%g0, NWINDOWS - 2, %cansave
	wrpr	%g0, 0, %canrestore
	wrpr	%g0, 0, %otherwin
	wrpr	%g0, NWINDOWS - 1, %cleanwin
	wrpr	%g0, WSTATE_KERNEL, %wstate
	.endm

	.macro	fast_call function
	mov	\function, %o5
	ta	HTRAP_FAST
	.endm

	.section .text.start,"ax"
	.global _start
_start:
	wrpr	%g0, PSTATE_PRIV, %pstate
	wrpr	%g0, 15, %pil
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	windows_reset
	mov	%o0, %l0			! argument block
	mov	1, %l4				! the boot cpu
	brz,pt	%o4, 1f
	 mov	%o4, %l1			! client interface handler
	set	boot_block + CPU_BLOCK_BYTES - STACK_BIAS - FRAME, %sp
	clr	%fp
	call	firmware_open			! the firmware's trap table serves it
	 mov	%l1, %o0
	ba,pt	%xcc, 2f
	 mov	%o0, %l2			! real address of the image
1:	rd	%pc, %l2
	srlx	%l2, CHUNK_SHIFT, %l2
	sllx	%l2, CHUNK_SHIFT, %l2
2:	set	boot_block - KERNEL_BASE, %l3
	ba,pt	%xcc, cpu_map
	 add	%l2, %l3, %l3			! real address of the boot cpu's block

	.global cpu_entry
cpu_entry:
	wrpr	%g0, PSTATE_PRIV, %pstate
	wrpr	%g0, 15, %pil
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	windows_reset
	mov	%o0, %l3
	clr	%l0
	clr	%l1
	clr	%l4
	ldx	[%l3 + CPU_IMAGE_RA], %l2

! %l2 = real address of the image, %l3 = real address of the cpu's block, %l1 != 0: the MMU is on.
cpu_map:
	set	KERNEL_BASE, %o0
	clr	%o1
	mov	1, %o2
	sllx	%o2, 63, %o2
	or	%o2, TTE_CACHED | TTE_PRIV | TTE_EXEC | TTE_WRITE | TTE_4M, %o2
	or	%o2, %l2, %o2
	mov	3, %o3				! for data and instructions
	fast_call MMU_MAP_PERM_ADDR
	brnz,a,pt %l1, 1f
	 mov	%l1, %o0
	mov	%l3, %o0
	fast_call MMU_FAULT_AREA_CONF
	mov	1, %o0
	set	cpu_mapped, %o1
	fast_call MMU_ENABLE
	illtrap	0
1:	set	trap_table, %o1
	call	firmware_close			! the firmware hands over the trap table
	 mov	%l3, %o2

cpu_mapped:
	set	trap_table, %o1
	wrpr	%o1, 0, %tba
	mov	CONTEXT_PRIMARY, %o1
	stxa	%g0, [%o1] ASI_MMU
	mov	CONTEXT_SECONDARY, %o1
	stxa	%g0, [%o1] ASI_MMU
	wr	%g0, ASI_P, %asi
	wr	%g0, 0, %fprs
	mov	SCRATCH_CPU_RA, %o1
	stxa	%l3, [%o1] ASI_SCRATCHPAD
	fast_call CPU_MYID
	mov	SCRATCH_CPU_ID, %o2
	stxa	%o1, [%o2] ASI_SCRATCHPAD
	brz,pt	%l4, 1f
	 mov	SCRATCH_CPU, %o1
	set	boot_block, %g6
	stxa	%g6, [%o1] ASI_SCRATCHPAD
	set	boot_block + CPU_BLOCK_BYTES - STACK_BIAS - FRAME, %sp
	clr	%fp
	mov	%l2, %o0
	mov	%l0, %o1
	call	kernel_boot			! kernel_boot(image RA, argument block, firmware?)
	 mov	%l1, %o2
	illtrap	0

! A cpu that we started: its block and stack are in the direct map, which its own TSB serves.
1:	mov	CPU_VA, %o2
	ldxa	[%l3 + %o2] ASI_REAL, %g6
	stxa	%g6, [%o1] ASI_SCRATCHPAD
	mov	1, %o0
	add	%l3, CPU_TSB_KERNEL, %o1
	fast_call MMU_TSB_CTX0
	set	CPU_BLOCK_BYTES - STACK_BIAS - FRAME, %sp
	add	%g6, %sp, %sp
	clr	%fp
	call	cpu_main			! cpu_main(this cpu)
	 mov	%g6, %o0
	illtrap	0
