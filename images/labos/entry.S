! entry.S - from a trap to C and back.
!
! A trap from the kernel keeps the register windows: it opens one more on the interrupted stack. A trap from a user
! program moves every window of the program to the trap frame, so that the kernel owns all of them and never touches
! user memory on the way in or out.
!
! C always runs at TL 0. That matters: TL 0 -> window spill (TL 1) -> miss on the stack (TL 2) just fits, since 2 is the
! highest level there is. Interrupts are off until C turns them on.
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#ignore
	.register %g7,#ignore

	.text
! %g5 = trap type; on the trap globals. The fault area is read before anything that could miss writes it anew.
	.global trap_entry
trap_entry:
	mov	SCRATCH_CPU_RA, %g1
	ldxa	[%g1] ASI_SCRATCHPAD, %g1
	mov	CPU_FAULT_DFA, %g6
	ldxa	[%g1 + %g6] ASI_REAL, %g6
	mov	CPU_FAULT_DFA - 8, %g7
	ldxa	[%g1 + %g7] ASI_REAL, %g7
	rdpr	%tstate, %g4
	andcc	%g4, TSTATE_PRIV, %g0
	bz,pn	%xcc, user_entry
	 rdpr	%tpc, %g2

kernel_entry:
	rdpr	%tnpc, %g3
	rd	%y, %g1
	wrpr	%g0, 0, %tl			! so that the spill below has two levels
	save	%sp, -(FRAME + TF_BYTES), %sp
	add	%sp, STACK_BIAS + FRAME, %l0
	stx	%g1, [%l0 + TF_Y]
	stx	%g2, [%l0 + TF_TPC]
	stx	%g3, [%l0 + TF_TNPC]
	stx	%g4, [%l0 + TF_TSTATE]
	stx	%g5, [%l0 + TF_TT]
	stx	%g6, [%l0 + TF_FAULT]
	stx	%g7, [%l0 + TF_FAULT_TYPE]
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
	stx	%g6, [%l0 + TF_G + 48]		! this cpu and this thread: seen, never put back
	stx	%g7, [%l0 + TF_G + 56]
	call	trap_kernel
	 mov	%l0, %o0
	ldx	[%l0 + TF_G + 8], %g1
	ldx	[%l0 + TF_G + 16], %g2
	ldx	[%l0 + TF_G + 24], %g3
	ldx	[%l0 + TF_G + 32], %g4
	ldx	[%l0 + TF_G + 40], %g5
	wrpr	%g0, 1, %gl
	ldx	[%l0 + TF_Y], %g1
	wr	%g1, 0, %y
	ldx	[%l0 + TF_TPC], %g2
	ldx	[%l0 + TF_TNPC], %g3
	ldx	[%l0 + TF_TSTATE], %g4
	restore					! may fill: at TL 0, for the same reason
	wrpr	%g0, 1, %tl
	wrpr	%g2, 0, %tpc
	wrpr	%g3, 0, %tnpc
	rdpr	%cwp, %g5			! a switch of threads may have moved the windows
	andn	%g4, 0x1f, %g4
	or	%g4, %g5, %g4
	wrpr	%g4, 0, %tstate
	retry

user_entry:
	mov	SCRATCH_CPU, %g1
	ldxa	[%g1] ASI_SCRATCHPAD, %g1
	ldx	[%g1 + CPU_THREAD], %g2
	ldx	[%g2 + THREAD_FRAME], %g3
	stx	%g5, [%g3 + TF_TT]
	stx	%g6, [%g3 + TF_FAULT]
	stx	%g7, [%g3 + TF_FAULT_TYPE]
	stx	%o0, [%g3 + TF_O + 0]
	stx	%o1, [%g3 + TF_O + 8]
	stx	%o2, [%g3 + TF_O + 16]
	stx	%o3, [%g3 + TF_O + 24]
	stx	%o4, [%g3 + TF_O + 32]
	stx	%o5, [%g3 + TF_O + 40]
	stx	%o6, [%g3 + TF_O + 48]
	stx	%o7, [%g3 + TF_O + 56]
	rdpr	%tpc, %g4
	stx	%g4, [%g3 + TF_TPC]
	rdpr	%tnpc, %g4
	stx	%g4, [%g3 + TF_TNPC]
	rdpr	%tstate, %g4
	stx	%g4, [%g3 + TF_TSTATE]
	rd	%y, %g4
	stx	%g4, [%g3 + TF_Y]
	rd	%fprs, %g4
	stx	%g4, [%g3 + TF_FPRS]
	rdpr	%canrestore, %g4
	stx	%g4, [%g3 + TF_WINDOWS]
	rdpr	%cwp, %g6
	add	%g3, TF_WINDOW, %g5
1:	stx	%l0, [%g5 + 0]			! this window, then the older ones
	stx	%l1, [%g5 + 8]
	stx	%l2, [%g5 + 16]
	stx	%l3, [%g5 + 24]
	stx	%l4, [%g5 + 32]
	stx	%l5, [%g5 + 40]
	stx	%l6, [%g5 + 48]
	stx	%l7, [%g5 + 56]
	stx	%i0, [%g5 + 64]
	stx	%i1, [%g5 + 72]
	stx	%i2, [%g5 + 80]
	stx	%i3, [%g5 + 88]
	stx	%i4, [%g5 + 96]
	stx	%i5, [%g5 + 104]
	stx	%i6, [%g5 + 112]
	stx	%i7, [%g5 + 120]
	sub	%g6, 1, %g6
	and	%g6, NWINDOWS - 1, %g6
	add	%g5, 128, %g5
	subcc	%g4, 1, %g4
	bge,pt	%xcc, 1b
	 wrpr	%g6, 0, %cwp
	wrpr	%g0, NWINDOWS - 2, %cansave
	wrpr	%g0, 0, %canrestore
	wrpr	%g0, 0, %otherwin
	wrpr	%g0, NWINDOWS - 1, %cleanwin
	wrpr	%g0, WSTATE_KERNEL, %wstate
	mov	CONTEXT_PRIMARY, %g4
	stxa	%g0, [%g4] ASI_MMU
	membar	#Sync
	sub	%g3, STACK_BIAS + FRAME, %sp
	clr	%fp
	clr	%i7
	mov	%g3, %l0
	mov	%g1, %l1
	mov	%g2, %l2
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	stx	%g1, [%l0 + TF_G + 8]
	stx	%g2, [%l0 + TF_G + 16]
	stx	%g3, [%l0 + TF_G + 24]
	stx	%g4, [%l0 + TF_G + 32]
	stx	%g5, [%l0 + TF_G + 40]
	stx	%g6, [%l0 + TF_G + 48]
	stx	%g7, [%l0 + TF_G + 56]
	mov	%l1, %g6
	mov	%l2, %g7
	call	trap_user
	 mov	%l0, %o0

! %l0 = frame. Interrupts are off.
user_return:
	wrpr	%g0, 1, %tl
	ldx	[%l0 + TF_G + 8], %g1
	ldx	[%l0 + TF_G + 16], %g2
	ldx	[%l0 + TF_G + 24], %g3
	ldx	[%l0 + TF_G + 32], %g4
	ldx	[%l0 + TF_G + 40], %g5
	ldx	[%l0 + TF_G + 48], %g6
	ldx	[%l0 + TF_G + 56], %g7
	wrpr	%g0, 1, %gl
	mov	%l0, %g3
	ldx	[%g3 + TF_CONTEXT], %g2
	mov	CONTEXT_PRIMARY, %g4
	stxa	%g2, [%g4] ASI_MMU
	membar	#Sync
	ldx	[%g3 + TF_TPC], %g4
	wrpr	%g4, 0, %tpc
	ldx	[%g3 + TF_TNPC], %g4
	wrpr	%g4, 0, %tnpc
	ldx	[%g3 + TF_Y], %g4
	wr	%g4, 0, %y
	ldx	[%g3 + TF_FPRS], %g4
	wr	%g4, 0, %fprs
	ldx	[%g3 + TF_TSTATE], %g6
	wrpr	%g6, 0, %tstate
	ldx	[%g3 + TF_WINDOWS], %g4
	sllx	%g4, 7, %g5
	add	%g3, %g5, %g5
	add	%g5, TF_WINDOW, %g5		! the oldest
	sub	%g6, %g4, %g6
	and	%g6, NWINDOWS - 1, %g6
	wrpr	%g4, 0, %canrestore
	wrpr	%g4, 0, %cleanwin		! what the kernel left in the others must not be seen
	mov	NWINDOWS - 2, %g7
	sub	%g7, %g4, %g7
	wrpr	%g7, 0, %cansave
	wrpr	%g0, WSTATE_USER, %wstate
1:	wrpr	%g6, 0, %cwp
	ldx	[%g5 + 0], %l0
	ldx	[%g5 + 8], %l1
	ldx	[%g5 + 16], %l2
	ldx	[%g5 + 24], %l3
	ldx	[%g5 + 32], %l4
	ldx	[%g5 + 40], %l5
	ldx	[%g5 + 48], %l6
	ldx	[%g5 + 56], %l7
	ldx	[%g5 + 64], %i0
	ldx	[%g5 + 72], %i1
	ldx	[%g5 + 80], %i2
	ldx	[%g5 + 88], %i3
	ldx	[%g5 + 96], %i4
	ldx	[%g5 + 104], %i5
	ldx	[%g5 + 112], %i6
	ldx	[%g5 + 120], %i7
	sub	%g5, 128, %g5
	add	%g6, 1, %g6
	and	%g6, NWINDOWS - 1, %g6
	subcc	%g4, 1, %g4
	bge,pt	%xcc, 1b
	 nop
	ldx	[%g3 + TF_O + 0], %o0
	ldx	[%g3 + TF_O + 8], %o1
	ldx	[%g3 + TF_O + 16], %o2
	ldx	[%g3 + TF_O + 24], %o3
	ldx	[%g3 + TF_O + 32], %o4
	ldx	[%g3 + TF_O + 40], %o5
	ldx	[%g3 + TF_O + 48], %o6
	ldx	[%g3 + TF_O + 56], %o7
	retry

! void user_enter(struct trap_frame *frame): a process begins.
	.global user_enter
user_enter:
	ba,pt	%xcc, user_return
	 mov	%o0, %l0

! A nonresumable error cannot be held back, and comes again at every instruction at TL 0 while its report is in the
! queue. So the reports are copied, by real addresses, before TL is lowered; errors.c reads the copies.
	.global nonresumable
nonresumable:
	mov	SCRATCH_CPU_RA, %g1
	ldxa	[%g1] ASI_SCRATCHPAD, %g1
	set	CPU_NONRESUMABLE_AT, %g2
	add	%g1, %g2, %g2
	set	CPU_ERROR_COPY_AT, %g3
	add	%g1, %g3, %g3
	mov	QUEUE_NONRESUMABLE_HEAD, %g4
	mov	QUEUE_NONRESUMABLE_TAIL, %g1
1:	ldxa	[%g4] ASI_QUEUE, %g6
	ldxa	[%g1] ASI_QUEUE, %g7
	cmp	%g6, %g7
	be,pn	%xcc, trap_entry
	 nop
2:	ldxa	[%g2 + %g6] ASI_REAL, %g7
	stxa	%g7, [%g3 + %g6] ASI_REAL
	add	%g6, 8, %g6
	andcc	%g6, 63, %g0
	bne,pt	%xcc, 2b
	 nop
	and	%g6, CPU_ERROR_ENTRIES * 64 - 1, %g6
	stxa	%g6, [%g4] ASI_QUEUE
	ba,pt	%xcc, 1b
	 membar	#Sync

! A trap while a trap was being served. %g5 = its type. A user's spill or fill that finds no page, or a stack that is
! none, is put back to the SAVE or RESTORE that wanted it, and is then a fault of that instruction. Anything else
! is the end.
	.global trap_nested
trap_nested:
	rdpr	%tpc, %g6
	rdpr	%tl, %g7
	wrpr	%g0, 1, %tl
	rdpr	%tt, %g4
	andn	%g4, 0x43, %g4			! 084 to 087, 0c4 to 0c7
	cmp	%g4, 0x84
	bne,pn	%xcc, trap_die
	 rdpr	%tstate, %g4
	and	%g4, NWINDOWS - 1, %g4
	ba,pt	%xcc, trap_entry
	 wrpr	%g4, 0, %cwp

trap_die:
	rdpr	%tt, %l0
	rdpr	%tpc, %l1
	mov	%g5, %l2
	mov	%g6, %l3
	wrpr	%g0, 0, %tl
	mov	SCRATCH_CPU, %l4
	ldxa	[%l4] ASI_SCRATCHPAD, %l4
	ldx	[%l4 + CPU_THREAD], %l5
	wrpr	%g0, 0, %gl
	mov	%l4, %g6
	mov	%l5, %g7
	wrpr	%g0, NWINDOWS - 2, %cansave
	wrpr	%g0, 0, %canrestore
	wrpr	%g0, 0, %otherwin
	wrpr	%g0, NWINDOWS - 1, %cleanwin
	wrpr	%g0, WSTATE_KERNEL, %wstate
	set	die_stack_top - STACK_BIAS - FRAME, %sp
	clr	%fp
	clr	%i7
	mov	%l0, %o0
	mov	%l1, %o1
	mov	%l2, %o2
	call	trap_nested_report		! (type, pc, nested type, nested pc)
	 mov	%l3, %o3
	illtrap	0

	.section .noinit,"aw",@nobits
	.balign	64
	.skip	PAGE_BYTES
die_stack_top:
