! programs.S - the user programs, as flat images, and their table.
	.macro	program name
	.section .rodata
	.balign	8
\name\()_begin:
	.incbin	"\name\().bin"
\name\()_end:
	.balign	8
\name\()_text:
	.asciz	"\name"
	.section .rodata.programs,"a"
	.xword	\name\()_text, \name\()_begin, \name\()_end
	.endm

	.section .rodata.programs,"a"
	.balign	8
	.global programs
programs:
	program check
	program clock
	program crash
	program hello
	program hold
	program spin
	.section .rodata.programs,"a"
programs_end:
	.section .rodata
	.balign	4
	.global program_count
program_count:
	.word	(programs_end - programs) / 24
