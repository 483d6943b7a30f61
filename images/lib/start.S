! start.S - entry of every guest program.
!
! At entry on a sun4v strand (CPU_START state): PSTATE = PRIV, MMU off so that addresses are real addresses, TL 0, GL 0,
! %o0 = argument, every other register 0. In a Linux process %sp points (with the V9 stack bias) at argc, so
! %sp != 0 tells the two apart with an instruction that is legal in both.
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch

	.section .text.start,"ax"
	.global _start
_start:
	brnz,pn	%sp, start_user
	 mov	%o0, %l7
	wrpr	%g0, PSTATE_PEF | PSTATE_PRIV, %pstate
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	wrpr	%g0, 15, %pil
	wrpr	%g0, NWINDOWS - 2, %cansave
	wrpr	%g0, 0, %canrestore
	wrpr	%g0, 0, %otherwin
	wrpr	%g0, NWINDOWS - 1, %cleanwin
	wrpr	%g0, 0, %wstate
	wr	%g0, ASI_P, %asi
	wr	%g0, FPRS_FEF, %fprs
	set	stack_top - STACK_BIAS - FRAME, %sp
	clr	%fp

	set	__bss_start, %o0
	set	__bss_end, %o1
	cmp	%o0, %o1
1:	bgeu,pn	%xcc, 2f
	 nop
	stx	%g0, [%o0]
	add	%o0, 8, %o0
	ba,pt	%xcc, 1b
	 cmp	%o0, %o1
2:
	set	runtime_arg, %o1
	stx	%l7, [%o1]
	call	trap_table_build
	 nop
	set	trap_table, %o0
	wrpr	%o0, 0, %tba
	call	hypervisor_open
	 nop
	clr	%o0			! no arguments
	call	main
	 clr	%o1
	call	exit
	 nop

start_user:
	sub	%sp, FRAME, %sp
	clr	%fp
	mov	1, %o1
	set	runtime_env, %o0
	stx	%o1, [%o0]
	clr	%o0			! no arguments
	call	main
	 clr	%o1
	call	exit
	 nop

	.section .noinit,"aw",@nobits
	.balign	64
	.skip	STACK_BYTES
stack_top:
