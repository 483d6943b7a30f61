! sequence_driver.S - runs one random instruction sequence from a full register state and stores the state it leaves.
!
! Offsets are those of struct state in sequence_driver.c. %g5 = middle of the scratch buffer, %g6 = loop counter of the
! sequence, %g7 = struct state; a sequence writes none of %g5, %g7, %sp, %fp. It ends with a jump to st_exit.
#define ST_REG 0
#define ST_Y 256
#define ST_CCR 264
#define ST_ASI 272
#define ST_GSR 280
#define ST_FSR 288
#define ST_FPRS 296
#define ST_D 304
#define ST_CODE 560
#define ST_EXIT 568
#define ST_SCRATCH 576
#define ST_SAVED 584
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#scratch
	.register %g7,#scratch

	.macro	double_all op, n=0
	.irp	k,0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40,42,44,46,48,50,52,54,56,58,60,62
	\op	\k
	.endr
	.endm
	.macro	load_double k
	ldd	[%g7 + ST_D + 4 * \k], %f\k
	.endm
	.macro	store_double k
	std	%f\k, [%g7 + ST_D + 4 * \k]
	.endm
	.macro	load_reg reg, n
	ldx	[%g7 + ST_REG + 8 * \n], \reg
	.endm
	.macro	store_reg reg, n
	stx	\reg, [%g7 + ST_REG + 8 * \n]
	.endm
	.macro	each_register op
	\op	%o0, 8
	\op	%o1, 9
	\op	%o2, 10
	\op	%o3, 11
	\op	%o4, 12
	\op	%o5, 13
	\op	%o7, 15
	\op	%l0, 16
	\op	%l1, 17
	\op	%l2, 18
	\op	%l3, 19
	\op	%l4, 20
	\op	%l5, 21
	\op	%l6, 22
	\op	%l7, 23
	\op	%i0, 24
	\op	%i1, 25
	\op	%i2, 26
	\op	%i3, 27
	\op	%i4, 28
	\op	%i5, 29
	\op	%i7, 31
	\op	%g1, 1
	\op	%g2, 2
	\op	%g3, 3
	\op	%g4, 4
	.endm

	.text
	.global sequence_run
! void sequence_run(struct state *)
sequence_run:
	save	%sp, -176, %sp
	stx	%i7, [%i0 + ST_SAVED]
	stx	%g6, [%i0 + ST_SAVED + 8]
	stx	%g7, [%i0 + ST_SAVED + 16]
	mov	%i0, %g7
	set	finish, %g1
	stx	%g1, [%g7 + ST_EXIT]
	double_all load_double
	ldx	[%g7 + ST_FSR], %fsr
	ldx	[%g7 + ST_GSR], %g1
	wr	%g1, 0, %gsr
	ldx	[%g7 + ST_Y], %g1
	wr	%g1, 0, %y
	ldx	[%g7 + ST_ASI], %g1
	wr	%g1, 0, %asi
	wr	%g0, 4, %fprs
	ldx	[%g7 + ST_SCRATCH], %g5
	ldx	[%g7 + ST_CODE], %g6
	each_register load_reg
	ldx	[%g7 + ST_CCR], %g1
	wr	%g1, 0, %ccr
	jmpl	%g6, %g0
	 ldx	[%g7 + ST_REG + 8], %g1
finish:
	each_register store_reg
	rd	%ccr, %g1
	stx	%g1, [%g7 + ST_CCR]
	rd	%y, %g1
	stx	%g1, [%g7 + ST_Y]
	rd	%asi, %g1
	stx	%g1, [%g7 + ST_ASI]
	wr	%g0, 0x80, %asi
	rd	%fprs, %g1
	stx	%g1, [%g7 + ST_FPRS]
	rd	%gsr, %g1
	stx	%g1, [%g7 + ST_GSR]
	stx	%fsr, [%g7 + ST_FSR]
	double_all store_double
	stx	%g0, [%g7 + ST_SAVED + 24]
	ldx	[%g7 + ST_SAVED + 24], %fsr
	ldx	[%g7 + ST_SAVED], %i7
	mov	%g7, %g1
	ldx	[%g1 + ST_SAVED + 8], %g6
	ldx	[%g1 + ST_SAVED + 16], %g7
	ret
	 restore

	.section .text.batch,"ax"
	.global batch
	.balign	64
batch:
	.incbin	"batch.bin"
	.balign	8
