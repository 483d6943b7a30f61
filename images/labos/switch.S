! switch.S - from one thread's stack to another's, and the floating-point registers that go with a thread.
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#ignore
	.register %g7,#ignore

	.text
! void thread_switch(struct thread *from, struct thread *to): all windows of `from` go to its stack; `to` comes back
! where it called, by a fill from its own. Interrupts are off.
	.global thread_switch
thread_switch:
	save	%sp, -FRAME, %sp
	flushw
	stx	%i6, [%i0 + THREAD_SP]
	stx	%i7, [%i0 + THREAD_PC]
	ldx	[%i1 + THREAD_SP], %i6
	ldx	[%i1 + THREAD_PC], %i7
	mov	%i1, %g7
	ret
	 restore

! A new thread's first return leads here; its stack was made with %l0 = function, %l1 = argument.
	.global thread_begin
thread_begin:
	call	thread_first
	 nop
	call	%l0
	 mov	%l1, %o0
	call	thread_exit
	 nop

! void windows_flush(void): the callers' windows are on the stack, where C can read them.
	.global windows_flush
windows_flush:
	retl
	 flushw

! void fp_save(u64 *to), void fp_load(const u64 *from): 32 doubles, FSR, GSR.
	.global fp_save
fp_save:
	.irp	n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40,42,44,46,48,50,52,54,56,58,60,62
	std	%f\n, [%o0 + \n * 4]
	.endr
	rd	%gsr, %o1
	stx	%o1, [%o0 + 264]
	retl
	 stx	%fsr, [%o0 + 256]

	.global fp_load
fp_load:
	.irp	n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,32,34,36,38,40,42,44,46,48,50,52,54,56,58,60,62
	ldd	[%o0 + \n * 4], %f\n
	.endr
	ldx	[%o0 + 264], %o1
	wr	%o1, 0, %gsr
	retl
	 ldx	[%o0 + 256], %fsr

! long user_copy_in(void *to, u64 from, u64 bytes), long user_copy_out(u64 to, const void *from, u64 bytes): 0, or -1
! when the user's side faults; trap.c sends a fault between user_copy_begin and user_copy_end to user_copy_failed.
	.global user_copy_begin, user_copy_end, user_copy_failed
user_copy_begin:
	.global user_copy_in
user_copy_in:
	brz,pn	%o2, 2f
	 clr	%o3
1:	lduba	[%o1 + %o3] ASI_AIUS, %o4
	stb	%o4, [%o0 + %o3]
	add	%o3, 1, %o3
	cmp	%o3, %o2
	blu,pt	%xcc, 1b
	 nop
2:	retl
	 clr	%o0
	.global user_copy_out
user_copy_out:
	brz,pn	%o2, 2f
	 clr	%o3
1:	ldub	[%o1 + %o3], %o4
	stba	%o4, [%o0 + %o3] ASI_AIUS
	add	%o3, 1, %o3
	cmp	%o3, %o2
	blu,pt	%xcc, 1b
	 nop
2:	retl
	 clr	%o0
user_copy_end:
user_copy_failed:
	retl
	 mov	-1, %o0
