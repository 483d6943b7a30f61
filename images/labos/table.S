! table.S - the trap table: 512 entries of 8 instructions for traps at TL 0, then 512 for traps at a higher level.
!
!                      TL 0                       TL 1
!   0x024              clean_window               clean_window
!   0x009, 0x031       miss (miss.S)              miss
!   0x07f              nonresumable (entry.S)     trap_nested
!   0x080, 0x0c0       kernel spill and fill      the same, for the kernel's trap code
!   0x084, 0x0c4       user spill and fill        -
!   all others         trap_entry (entry.S)       trap_nested
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch

! An entry of its own, in place: `at` pads up to the trap type's slot with the half's default.
	.macro	default label
	rdpr	%tt, %g5
	ba,pt	%xcc, \label
	 nop
	.rept	5
	nop
	.endr
	.endm

	.macro	defaults first, last, label
	.rept	\last - \first + 1
	default	\label
	.endr
	.endm

	.macro	miss label
	ba,pt	%xcc, \label
	 mov	SCRATCH_CPU_RA, %g1
	.rept	6
	nop
	.endr
	.endm

	.macro	clean_window
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
	.endm

! A window to or from its place on the stack; the kernel's own, or a user's as the user would do it.
	.macro	spill_kernel
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
	.endm

	.macro	fill_kernel
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
	.endm

	.macro	spill_user
	wr	%g0, ASI_AIUP, %asi
	stxa	%l0, [%sp + STACK_BIAS + 0] %asi
	stxa	%l1, [%sp + STACK_BIAS + 8] %asi
	stxa	%l2, [%sp + STACK_BIAS + 16] %asi
	stxa	%l3, [%sp + STACK_BIAS + 24] %asi
	stxa	%l4, [%sp + STACK_BIAS + 32] %asi
	stxa	%l5, [%sp + STACK_BIAS + 40] %asi
	stxa	%l6, [%sp + STACK_BIAS + 48] %asi
	stxa	%l7, [%sp + STACK_BIAS + 56] %asi
	stxa	%i0, [%sp + STACK_BIAS + 64] %asi
	stxa	%i1, [%sp + STACK_BIAS + 72] %asi
	stxa	%i2, [%sp + STACK_BIAS + 80] %asi
	stxa	%i3, [%sp + STACK_BIAS + 88] %asi
	stxa	%i4, [%sp + STACK_BIAS + 96] %asi
	stxa	%i5, [%sp + STACK_BIAS + 104] %asi
	stxa	%i6, [%sp + STACK_BIAS + 112] %asi
	stxa	%i7, [%sp + STACK_BIAS + 120] %asi
	saved
	retry					! the trap state brings %asi back
	.rept	32 - 19
	nop
	.endr
	.endm

	.macro	fill_user
	wr	%g0, ASI_AIUP, %asi
	ldxa	[%sp + STACK_BIAS + 0] %asi, %l0
	ldxa	[%sp + STACK_BIAS + 8] %asi, %l1
	ldxa	[%sp + STACK_BIAS + 16] %asi, %l2
	ldxa	[%sp + STACK_BIAS + 24] %asi, %l3
	ldxa	[%sp + STACK_BIAS + 32] %asi, %l4
	ldxa	[%sp + STACK_BIAS + 40] %asi, %l5
	ldxa	[%sp + STACK_BIAS + 48] %asi, %l6
	ldxa	[%sp + STACK_BIAS + 56] %asi, %l7
	ldxa	[%sp + STACK_BIAS + 64] %asi, %i0
	ldxa	[%sp + STACK_BIAS + 72] %asi, %i1
	ldxa	[%sp + STACK_BIAS + 80] %asi, %i2
	ldxa	[%sp + STACK_BIAS + 88] %asi, %i3
	ldxa	[%sp + STACK_BIAS + 96] %asi, %i4
	ldxa	[%sp + STACK_BIAS + 104] %asi, %i5
	ldxa	[%sp + STACK_BIAS + 112] %asi, %i6
	ldxa	[%sp + STACK_BIAS + 120] %asi, %i7
	restored
	retry
	.rept	32 - 19
	nop
	.endr
	.endm

	.section .table,"ax"
	.balign	0x8000
	.global trap_table
trap_table:
	defaults 0x000, 0x008, trap_entry
	miss	miss_instruction		! 0x009
	defaults 0x00a, 0x023, trap_entry
	clean_window				! 0x024
	defaults 0x028, 0x030, trap_entry
	miss	miss_data			! 0x031
	defaults 0x032, 0x07e, trap_entry
	default	nonresumable			! 0x07f
	spill_kernel				! 0x080
	spill_user				! 0x084
	defaults 0x088, 0x0bf, trap_entry
	fill_kernel				! 0x0c0
	fill_user				! 0x0c4
	defaults 0x0c8, 0x1ff, trap_entry

	.global trap_table_nested
trap_table_nested:				! labos.ld checks that it is 0x4000 behind
	defaults 0x000, 0x008, trap_nested
	miss	miss_instruction		! 0x009
	defaults 0x00a, 0x023, trap_nested
	clean_window				! 0x024
	defaults 0x028, 0x030, trap_nested
	miss	miss_data			! 0x031
	defaults 0x032, 0x07f, trap_nested
	spill_kernel				! 0x080
	defaults 0x084, 0x0bf, trap_nested
	fill_kernel				! 0x0c0
	defaults 0x0c4, 0x1ff, trap_nested
