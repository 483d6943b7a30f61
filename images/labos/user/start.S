! start.S - how a user program begins: the header the kernel reads, then main(arguments) and exit.
	.section .text.start,"ax"
	.xword	_start
	.xword	__code_end
	.xword	__file_end
	.xword	__memory_end
	.global _start
_start:
	clr	%fp
	call	main
	 nop
	mov	1, %g1			! exit, with main's result
	ta	0x6d
	.global console_write
console_write:
	mov	2, %g1			! write
	ta	0x6d
	retl
	 nop
