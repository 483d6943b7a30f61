! many_strands.S - a guest of as many strands as `strands` says. Each makes `rounds` rounds: it counts in `shared` by CASX and
! in a line of its own, and every 8th round sends the next strand a mondo; the handler counts what came. When all have ended
! and every mondo that was sent has come, strand 0 ends the machine (MACH_EXIT 0).
!
! MMU off, no stack, windows untouched. A strand's line of 64 bytes: rounds done, mondos sent, mondos received, sum of them.
#define FAST 0x80
#define ASI_QUEUE 0x25
#define ASI_SCRATCHPAD 0x20
#define QUEUE_HEAD 0x3c0
#define QUEUE_TAIL 0x3c8
#define ENTRIES 16
#define MACH_EXIT 0
#define CPU_START 0x10
#define CPU_YIELD 0x12
#define CPU_QCONF 0x14
#define CPU_MONDO_SEND 0x42
#define PSTATE_PRIV_IE 6
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#scratch
	.register %g7,#scratch
	.text
	.global _start, counted, watched, sent, handler, finished_all, never
_start:					! %o0: the strand's number
	mov	%o0, %l7
	set	table, %l0
	wrpr	%l0, 0, %tba
	wrpr	%g0, 0, %pil
	sllx	%l7, 6, %l0
	set	lines, %l6
	add	%l6, %l0, %l6		! %l6: its line
	stxa	%l6, [%g0] ASI_SCRATCHPAD
	sllx	%l7, 10, %o1
	set	queues, %l0
	add	%o1, %l0, %o1
	mov	0x3c, %o0
	mov	ENTRIES, %o2
	mov	CPU_QCONF, %o5
	ta	FAST
	brnz,pn	%o0, never
	 set	strands, %l0
	ldx	[%l0], %i5		! %i5: how many strands
	brnz,pt	%l7, begin
	 mov	1, %l1
1:	cmp	%l1, %i5		! strand 0 starts the others
	bgeu,pn	%xcc, begin
	 mov	%l1, %o0
	set	_start, %o1
	set	table, %o2
	mov	%l1, %o3
	mov	CPU_START, %o5
	ta	FAST
	brnz,pn	%o0, never
	 nop
	ba,pt	%xcc, 1b
	 inc	%l1

begin:
	sllx	%l7, 6, %l0
	set	mondos, %l4
	add	%l4, %l0, %l4		! %l4: what it sends
	add	%l7, 1, %l1
	stx	%l1, [%l4]
	set	lists, %l5
	add	%l5, %l0, %l5		! %l5: to whom
	cmp	%l1, %i5
	move	%xcc, %g0, %l1
	sth	%l1, [%l5]
	mov	%l1, %i4
	set	rounds, %l0
	ldx	[%l0], %l2		! %l2: rounds to do
	set	shared, %l3
	clr	%i0			! %i0: done
	clr	%i1			! %i1: sent
	wrpr	%g0, PSTATE_PRIV_IE, %pstate
again:	ldx	[%l3], %g1
2:	add	%g1, 1, %g2
watched:
	casx	[%l3], %g1, %g2
	cmp	%g1, %g2
	bne,a,pn %xcc, 2b
	 mov	%g2, %g1
	inc	%i0
counted:
	stx	%i0, [%l6]
	andcc	%i0, 7, %g0
	bne,pt	%xcc, next
	 nop
	sth	%i4, [%l5]
	mov	1, %o0
	mov	%l5, %o1
	mov	%l4, %o2
	mov	CPU_MONDO_SEND, %o5
	ta	FAST
	brnz,pn	%o0, next		! its queue is full, or it is not there yet: not sent
	 nop
sent:	inc	%i1
	stx	%i1, [%l6 + 8]
next:	cmp	%i0, %l2
	blu,pt	%xcc, again
	 nop
	set	finished, %l3
	ldx	[%l3], %g1
3:	add	%g1, 1, %g2
	casx	[%l3], %g1, %g2
	cmp	%g1, %g2
	bne,a,pn %xcc, 3b
	 mov	%g2, %g1
	brz,pn	%l7, finished_all
	 nop
4:	mov	CPU_YIELD, %o5
	ta	FAST
	ba,a,pt	%xcc, 4b
	 nop

finished_all:				! strand 0 waits for all, and for all that is under way
	ldx	[%l3], %g1
	cmp	%g1, %i5
	bne,pt	%xcc, finished_all
	 nop
	set	lines, %l0
	clr	%g1
	clr	%g2
	mov	%i5, %g3
5:	ldx	[%l0 + 8], %g4
	ldx	[%l0 + 16], %g5
	add	%g1, %g4, %g1
	add	%g2, %g5, %g2
	deccc	%g3
	bne,pt	%xcc, 5b
	 add	%l0, 64, %l0
	cmp	%g1, %g2
	bne,pt	%xcc, finished_all
	 nop
	clr	%o0
6:	mov	MACH_EXIT, %o5
	ta	FAST
never:	mov	1, %o0			! what must not happen
	ba,a,pt	%xcc, 6b
	 nop

! The mondo handler, with registers of its own (GL 1).
handler:
	ldxa	[%g0] ASI_SCRATCHPAD, %g1
	mov	QUEUE_HEAD, %g2
	mov	QUEUE_TAIL, %g3
	ldxa	[%g2] ASI_QUEUE, %g4
7:	ldxa	[%g3] ASI_QUEUE, %g5
	cmp	%g4, %g5
	be,pn	%xcc, 8f
	 set	queues, %g6
	set	lines, %g7
	sub	%g1, %g7, %g7
	sllx	%g7, 4, %g7
	add	%g6, %g7, %g6
	ldx	[%g6 + %g4], %g6	! the first word of the mondo: its sender's number, and one
	ldx	[%g1 + 24], %g7
	add	%g7, %g6, %g7
	stx	%g7, [%g1 + 24]
	add	%g4, 64, %g4
	and	%g4, ENTRIES * 64 - 1, %g4
	stxa	%g4, [%g2] ASI_QUEUE
	ldx	[%g1 + 16], %g7
	inc	%g7
	ba,pt	%xcc, 7b
	 stx	%g7, [%g1 + 16]
8:	retry

	.align	0x8000			! traps that are not expected end the machine
table:
	.rept	0x7c
	ba,a,pt	%xcc, never
	.align	32
	.endr
	ba,a,pt	%xcc, handler		! 0x7c: cpu_mondo
	.align	32
	.rept	0x400 - 0x7d
	ba,a,pt	%xcc, never
	.align	32
	.endr

	.data
	.align	8
	.global	strands, rounds, finished, shared, lines
strands: .quad	1
rounds:	.quad	1
	.align	64
finished: .quad	0
	.align	64
shared:	.quad	0
	.bss
	.align	8192
lines:	.skip	256 * 64
mondos:	.skip	256 * 64
lists:	.skip	256 * 64
	.align	1024
queues:	.skip	256 * 1024
