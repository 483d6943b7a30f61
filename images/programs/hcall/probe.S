! probe.S - one hypercall with known values in every register, and what all of them held afterwards.
#include "layout.h"
#include "probe.h"
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#scratch
	.register %g7,#scratch

	.bss
	.balign	8
probe_current:
	.skip	8

	.text
! void probe_call(struct probe *)
	.global probe_call, probe_return
probe_call:
	save	%sp, -FRAME, %sp
	set	probe_current, %l0
	stx	%i0, [%l0]
	stx	%g2, [%i0 + PROBE_KEPT + 0]
	stx	%g3, [%i0 + PROBE_KEPT + 8]
	stx	%g4, [%i0 + PROBE_KEPT + 16]
	stx	%g6, [%i0 + PROBE_KEPT + 24]
	stx	%g7, [%i0 + PROBE_KEPT + 32]
	stx	%i6, [%i0 + PROBE_FRAME + 0]
	stx	%i7, [%i0 + PROBE_FRAME + 8]
	stx	%sp, [%i0 + PROBE_FRAME + 16]
	ldx	[%i0 + PROBE_TL], %l1
	brz,pt	%l1, 1f
	 nop
	wrpr	%g0, 1, %tl
	wrpr	%g0, 1, %gl
1:	wr	%g0, PROBE_Y, %y
	wr	%g0, PROBE_CCR, %ccr
	wr	%g0, PROBE_ASI, %asi
	ldx	[%i0 + 0], %o0
	ldx	[%i0 + 8], %o1
	ldx	[%i0 + 16], %o2
	ldx	[%i0 + 24], %o3
	ldx	[%i0 + 32], %o4
	ldx	[%i0 + 40], %o5
	ldx	[%i0 + PROBE_TRAP], %l7
	sub	%g0, PROBE_G + 1, %g1
	sub	%g0, PROBE_G + 2, %g2
	sub	%g0, PROBE_G + 3, %g3
	sub	%g0, PROBE_G + 4, %g4
	sub	%g0, PROBE_G + 5, %g5
	sub	%g0, PROBE_G + 6, %g6
	sub	%g0, PROBE_G + 7, %g7
	sub	%g0, PROBE_L + 0, %l0
	sub	%g0, PROBE_L + 1, %l1
	sub	%g0, PROBE_L + 2, %l2
	sub	%g0, PROBE_L + 3, %l3
	sub	%g0, PROBE_L + 4, %l4
	sub	%g0, PROBE_L + 5, %l5
	sub	%g0, PROBE_L + 6, %l6
	sub	%g0, PROBE_I + 0, %i0
	sub	%g0, PROBE_I + 1, %i1
	sub	%g0, PROBE_I + 2, %i2
	sub	%g0, PROBE_I + 3, %i3
	sub	%g0, PROBE_I + 4, %i4
	sub	%g0, PROBE_I + 5, %i5
	sub	%g0, PROBE_O + 7, %o7
	ta	%l7
probe_return:
	stx	%g1, [%sp + STACK_BIAS + 128]
	set	probe_current, %g1
	ldx	[%g1], %g1
	stx	%g2, [%g1 + PROBE_OUT_G + 16]
	stx	%g3, [%g1 + PROBE_OUT_G + 24]
	stx	%g4, [%g1 + PROBE_OUT_G + 32]
	stx	%g5, [%g1 + PROBE_OUT_G + 40]
	stx	%g6, [%g1 + PROBE_OUT_G + 48]
	stx	%g7, [%g1 + PROBE_OUT_G + 56]
	ldx	[%sp + STACK_BIAS + 128], %g2
	stx	%g2, [%g1 + PROBE_OUT_G + 8]
	stx	%o0, [%g1 + PROBE_OUT_O + 0]
	stx	%o1, [%g1 + PROBE_OUT_O + 8]
	stx	%o2, [%g1 + PROBE_OUT_O + 16]
	stx	%o3, [%g1 + PROBE_OUT_O + 24]
	stx	%o4, [%g1 + PROBE_OUT_O + 32]
	stx	%o5, [%g1 + PROBE_OUT_O + 40]
	stx	%o6, [%g1 + PROBE_OUT_O + 48]
	stx	%o7, [%g1 + PROBE_OUT_O + 56]
	stx	%l0, [%g1 + PROBE_OUT_L + 0]
	stx	%l1, [%g1 + PROBE_OUT_L + 8]
	stx	%l2, [%g1 + PROBE_OUT_L + 16]
	stx	%l3, [%g1 + PROBE_OUT_L + 24]
	stx	%l4, [%g1 + PROBE_OUT_L + 32]
	stx	%l5, [%g1 + PROBE_OUT_L + 40]
	stx	%l6, [%g1 + PROBE_OUT_L + 48]
	stx	%l7, [%g1 + PROBE_OUT_L + 56]
	stx	%i0, [%g1 + PROBE_OUT_I + 0]
	stx	%i1, [%g1 + PROBE_OUT_I + 8]
	stx	%i2, [%g1 + PROBE_OUT_I + 16]
	stx	%i3, [%g1 + PROBE_OUT_I + 24]
	stx	%i4, [%g1 + PROBE_OUT_I + 32]
	stx	%i5, [%g1 + PROBE_OUT_I + 40]
	stx	%i6, [%g1 + PROBE_OUT_I + 48]
	stx	%i7, [%g1 + PROBE_OUT_I + 56]
	rd	%y, %l0
	stx	%l0, [%g1 + PROBE_STATE + 0]
	rd	%ccr, %l0
	stx	%l0, [%g1 + PROBE_STATE + 8]
	rd	%asi, %l0
	stx	%l0, [%g1 + PROBE_STATE + 16]
	rdpr	%pstate, %l0
	stx	%l0, [%g1 + PROBE_STATE + 24]
	rdpr	%tl, %l0
	stx	%l0, [%g1 + PROBE_STATE + 32]
	rdpr	%gl, %l0
	stx	%l0, [%g1 + PROBE_STATE + 40]
	rdpr	%pil, %l0
	stx	%l0, [%g1 + PROBE_STATE + 48]
	rd	%fprs, %l0
	stx	%l0, [%g1 + PROBE_STATE + 56]
	mov	%g1, %l0
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	wr	%g0, ASI_P, %asi
	ldx	[%l0 + PROBE_KEPT + 0], %g2
	ldx	[%l0 + PROBE_KEPT + 8], %g3
	ldx	[%l0 + PROBE_KEPT + 16], %g4
	ldx	[%l0 + PROBE_KEPT + 24], %g6
	ldx	[%l0 + PROBE_KEPT + 32], %g7
	ret
	 restore

! A second strand: its queue for CPU mondos at %o0, then it sleeps again and again.
	.global second_strand
second_strand:
	wrpr	%g0, PSTATE_PRIV, %pstate
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	mov	%o0, %o1
	mov	0x3c, %o0
	mov	4, %o2
	mov	0x14, %o5			! CPU_QCONF
	ta	0x80
1:	mov	0x12, %o5			! CPU_YIELD
	ta	0x80
	ba,pt	%xcc, 1b
	 nop
