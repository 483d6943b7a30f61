! niagara_reset.S - reset image for QEMU's `niagara` machine: just enough hypervisor to run a guest program of ours.
!
! It stands where the machine expects its firmware. It puts the strand in the state `sun4v run` starts a program in
! (privileged, MMU off, registers zero) and serves the hypercalls the runtime uses: API_SET_VERSION, CONS_PUTCHAR,
! CONS_WRITE, MACH_EXIT. Lines on the serial port that begin with byte 1 are for the harness: "S" before the first
! guest instruction, "E<hex>" with the exit code, "T<hex>" with the type of a trap nobody serves.
!
! Map (offsets from the start of the PROM): 0x0000 reset vectors and code, 0x4000 hyperprivileged trap table.
#include "hcall.h"
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#scratch
	.register %g7,#scratch
#ifndef ENTRY
#define ENTRY 0x100000
#endif
#define UART_HIGH 0x1f1			/* UART at 0x1f1 << 28 */

	.macro	uart reg
	mov	UART_HIGH, \reg
	sllx	\reg, 28, \reg
	.endm

	.text
	.global _start
_start:
	.rept	64			! every reset vector falls through to boot
	nop
	.endr
boot:
	rd	%pc, %g1
	set	boot - _start, %g2
	sub	%g1, %g2, %g1		! start of the PROM
	set	0x4000, %g2
	add	%g1, %g2, %g2
	wrhpr	%g2, 0, %htba
	wrpr	%g0, PSTATE_PRIV, %pstate
	wrpr	%g0, 0, %tl
	wrpr	%g0, 0, %gl
	wrpr	%g0, 0, %cwp
	wrpr	%g0, NWINDOWS - 2, %cansave
	wrpr	%g0, 0, %canrestore
	wrpr	%g0, NWINDOWS - 1, %cleanwin
	wrpr	%g0, 0, %otherwin
	wrpr	%g0, 0, %wstate
	uart	%g1
	mov	1, %g2
	stb	%g2, [%g1]
	mov	'S', %g2
	stb	%g2, [%g1]
	mov	'\n', %g2
	stb	%g2, [%g1]
	clr	%sp
	clr	%o0
	set	ENTRY, %g1
	jmp	%g1
	 wrhpr	%g0, 0, %hpstate	! leave hyperprivileged mode

! Hypercalls arrive on fresh globals (GL + 1); all other registers are the guest's.
fast:
	cmp	%o5, CONS_WRITE
	be,pn	%icc, cons_write
	 cmp	%o5, CONS_PUTCHAR
	be,pn	%icc, cons_putchar
	 cmp	%o5, MACH_EXIT
	be,pn	%icc, mach_exit
	 nop
	mov	EBADTRAP, %o0
	done
core:
	mov	EOK, %o0		! API_SET_VERSION grants what is asked
	mov	%o2, %o1
	done
cons_putchar:
	uart	%g2
	stb	%o0, [%g2]
	mov	EOK, %o0
	done
cons_write:
	uart	%g2
	mov	%o0, %g3
	mov	%o1, %g4
1:	brz,pn	%g4, 2f
	 nop
	ldub	[%g3], %g5
	stb	%g5, [%g2]
	sub	%g4, 1, %g4
	ba,pt	%xcc, 1b
	 add	%g3, 1, %g3
2:	mov	EOK, %o0
	done
mach_exit:
	mov	'E', %g4
	mov	%o0, %g3
report:					! byte 1, %g4, %g3 in hexadecimal, newline; then stop
	uart	%g2
	mov	1, %g5
	stb	%g5, [%g2]
	stb	%g4, [%g2]
	mov	60, %g6
1:	srlx	%g3, %g6, %g5
	and	%g5, 15, %g5
	cmp	%g5, 10
	bl,pt	%icc, 2f
	 add	%g5, '0', %g5
	add	%g5, 'a' - '0' - 10, %g5
2:	stb	%g5, [%g2]
	subcc	%g6, 4, %g6
	bge,pt	%icc, 1b
	 nop
	mov	'\n', %g5
	stb	%g5, [%g2]
3:	ba,pt	%xcc, 3b
	 nop
unserved:
	rdpr	%tt, %g3
	ba,pt	%xcc, report
	 mov	'T', %g4

	.org	0x4000			! entry n at 0x4000 + 32 n
	.rept	HTRAP_FAST + 0x100
	ba,pt	%xcc, unserved
	 nop
	.skip	24
	.endr
	ba,pt	%xcc, fast		! 0x180: trap 0x80
	 nop
	.skip	24
	.rept	0x1ff - 0x181
	ba,pt	%xcc, unserved
	 nop
	.skip	24
	.endr
	ba,pt	%xcc, core		! 0x1ff: trap 0xff
	 nop
	.skip	24
