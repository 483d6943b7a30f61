! traps.S - the trap table of a guest program.
!
! The table is built in memory at start (it would be 32 KiB of the same 8 instructions in every ELF file): every entry
! is a copy of trap_stub, then the window entries are put over it, in both halves (TL = 0 and TL > 0).
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#scratch
	.register %g7,#scratch

	.section .noinit,"aw",@nobits
	.balign	64
	.skip	0x2000
fatal_stack_top:

	.text
	.balign	8
trap_stub:
	sethi	%hi(trap_entry), %g1
	jmp	%g1 + %lo(trap_entry)
	 rdpr	%tt, %g2
	.rept	5
	nop
	.endr


	.balign	8
spill_entry:
	stx	%l0, [%sp + STACK_BIAS + 0]
	stx	%l1, [%sp + STACK_BIAS + 8]
	stx	%l2, [%sp + STACK_BIAS + 16]
	stx	%l3, [%sp + STACK_BIAS + 24]
	stx	%l4, [%sp + STACK_BIAS + 32]
	stx	%l5, [%sp + STACK_BIAS + 40]
	stx	%l6, [%sp + STACK_BIAS + 48]
	stx	%l7, [%sp + STACK_BIAS + 56]
	stx	%i0, [%sp + STACK_BIAS + 64]
	stx	%i1, [%sp + STACK_BIAS + 72]
	stx	%i2, [%sp + STACK_BIAS + 80]
	stx	%i3, [%sp + STACK_BIAS + 88]
	stx	%i4, [%sp + STACK_BIAS + 96]
	stx	%i5, [%sp + STACK_BIAS + 104]
	stx	%i6, [%sp + STACK_BIAS + 112]
	stx	%i7, [%sp + STACK_BIAS + 120]
	saved
	retry
	.rept	32 - 18
	nop
	.endr

fill_entry:
	ldx	[%sp + STACK_BIAS + 0], %l0
	ldx	[%sp + STACK_BIAS + 8], %l1
	ldx	[%sp + STACK_BIAS + 16], %l2
	ldx	[%sp + STACK_BIAS + 24], %l3
	ldx	[%sp + STACK_BIAS + 32], %l4
	ldx	[%sp + STACK_BIAS + 40], %l5
	ldx	[%sp + STACK_BIAS + 48], %l6
	ldx	[%sp + STACK_BIAS + 56], %l7
	ldx	[%sp + STACK_BIAS + 64], %i0
	ldx	[%sp + STACK_BIAS + 72], %i1
	ldx	[%sp + STACK_BIAS + 80], %i2
	ldx	[%sp + STACK_BIAS + 88], %i3
	ldx	[%sp + STACK_BIAS + 96], %i4
	ldx	[%sp + STACK_BIAS + 104], %i5
	ldx	[%sp + STACK_BIAS + 112], %i6
	ldx	[%sp + STACK_BIAS + 120], %i7
	restored
	retry
	.rept	32 - 18
	nop
	.endr

clean_entry:
	rdpr	%cleanwin, %l0
	add	%l0, 1, %l0
	wrpr	%l0, 0, %cleanwin
	clr	%l0
	clr	%l1
	clr	%l2
	clr	%l3
	clr	%l4
	clr	%l5
	clr	%l6
	clr	%l7
	clr	%o0
	clr	%o1
	clr	%o2
	clr	%o3
	clr	%o4
	clr	%o5
	clr	%o6
	clr	%o7
	retry
	.rept	32 - 20
	nop
	.endr

	.macro	install tt, template
	set	trap_table + (\tt) * TRAP_ENTRY_BYTES, %o0
	set	\template, %o1
	call	copy_window_entry
	 nop
	.endm

! void trap_table_build(void)
	.global trap_table_build
trap_table_build:
	save	%sp, -FRAME, %sp
	set	trap_table, %o0
	set	TRAP_TABLE_BYTES, %o1
	add	%o0, %o1, %o1
	set	trap_stub, %o2
	ldx	[%o2], %o3
	ldx	[%o2 + 8], %o4
	ldx	[%o2 + 16], %o5
1:	stx	%o3, [%o0]
	stx	%o4, [%o0 + 8]
	stx	%o5, [%o0 + 16]
	stx	%o5, [%o0 + 24]			! both are nop, nop
	flush	%o0
	flush	%o0 + 8
	add	%o0, TRAP_ENTRY_BYTES, %o0
	cmp	%o0, %o1
	blu,pt	%xcc, 1b
	 nop
	install	0x024, clean_entry
	install	0x080, spill_entry		! spill_0_normal
	install	0x0a0, spill_entry		! spill_0_other
	install	0x0c0, fill_entry
	install	0x0e0, fill_entry
	ret
	 restore

! Copy 128 bytes from %o1 to %o0 and to the TL > 0 half.
copy_window_entry:
	set	TRAP_TABLE_BYTES / 2, %o4
	mov	0, %o2
1:	ldx	[%o1 + %o2], %o3
	stx	%o3, [%o0 + %o2]
	flush	%o0 + %o2
	add	%o0, %o4, %o5
	stx	%o3, [%o5 + %o2]
	flush	%o5 + %o2
	add	%o2, 8, %o2
	cmp	%o2, 128
	blu,pt	%xcc, 1b
	 nop
	retl
	 nop

! Every trap without an entry of its own comes here, on the trap globals, with %g2 = %tt. A handler in trap_handlers
! is called at TL 1 on the interrupted stack; spills and fills below it go through the TL > 0 half.
trap_entry:
	rdpr	%tl, %g3
	cmp	%g3, 1
	bne,pn	%xcc, trap_die
	 sllx	%g2, 3, %g5
	set	trap_handlers, %g4
	ldx	[%g4 + %g5], %g4
	brz,pn	%g4, trap_die
	 nop
	save	%sp, -(FRAME + TF_BYTES), %sp
	add	%sp, STACK_BIAS + FRAME, %l0
	mov	%g4, %l2
	stx	%g2, [%l0 + TF_TT]
	stx	%g3, [%l0 + TF_TL]
	rdpr	%tpc, %l1
	stx	%l1, [%l0 + TF_TPC]
	rdpr	%tnpc, %l1
	stx	%l1, [%l0 + TF_TNPC]
	rdpr	%tstate, %l1
	stx	%l1, [%l0 + TF_TSTATE]
	rd	%y, %l1
	stx	%l1, [%l0 + TF_Y]
	stx	%i0, [%l0 + TF_O + 0]
	stx	%i1, [%l0 + TF_O + 8]
	stx	%i2, [%l0 + TF_O + 16]
	stx	%i3, [%l0 + TF_O + 24]
	stx	%i4, [%l0 + TF_O + 32]
	stx	%i5, [%l0 + TF_O + 40]
	stx	%i6, [%l0 + TF_O + 48]
	stx	%i7, [%l0 + TF_O + 56]
	wrpr	%g0, 0, %gl
	stx	%g1, [%l0 + TF_G + 8]
	stx	%g2, [%l0 + TF_G + 16]
	stx	%g3, [%l0 + TF_G + 24]
	stx	%g4, [%l0 + TF_G + 32]
	stx	%g5, [%l0 + TF_G + 40]
	stx	%g6, [%l0 + TF_G + 48]
	stx	%g7, [%l0 + TF_G + 56]
	wrpr	%g0, 1, %gl
	jmpl	%l2, %o7
	 mov	%l0, %o0
	wrpr	%g0, 0, %gl
	ldx	[%l0 + TF_G + 8], %g1
	ldx	[%l0 + TF_G + 16], %g2
	ldx	[%l0 + TF_G + 24], %g3
	ldx	[%l0 + TF_G + 32], %g4
	ldx	[%l0 + TF_G + 40], %g5
	ldx	[%l0 + TF_G + 48], %g6
	ldx	[%l0 + TF_G + 56], %g7
	wrpr	%g0, 1, %gl
	ldx	[%l0 + TF_TPC], %l1
	wrpr	%l1, 0, %tpc
	ldx	[%l0 + TF_TNPC], %l1
	wrpr	%l1, 0, %tnpc
	ldx	[%l0 + TF_TSTATE], %l1
	wrpr	%l1, 0, %tstate
	ldx	[%l0 + TF_Y], %l1
	wr	%l1, 0, %y
	ldx	[%l0 + TF_O + 0], %i0
	ldx	[%l0 + TF_O + 8], %i1
	ldx	[%l0 + TF_O + 16], %i2
	ldx	[%l0 + TF_O + 24], %i3
	ldx	[%l0 + TF_O + 32], %i4
	ldx	[%l0 + TF_O + 40], %i5
	ldx	[%l0 + TF_O + 48], %i6
	ldx	[%l0 + TF_O + 56], %i7
	restore
	retry

! No handler, or a trap inside a trap: report and end. Windows and stack may be anything, so start afresh.
trap_die:
	rdpr	%tpc, %l1
	rdpr	%tl, %l2
	mov	%g2, %l0
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	wrpr	%g0, NWINDOWS - 2, %cansave
	wrpr	%g0, 0, %canrestore
	wrpr	%g0, 0, %otherwin
	wrpr	%g0, NWINDOWS - 1, %cleanwin
	wrpr	%g0, 0, %wstate
	set	fatal_stack_top - STACK_BIAS - FRAME, %sp
	mov	%l0, %o0
	mov	%l1, %o1
	call	trap_report
	 mov	%l2, %o2
