/* start.S - a.out header as OpenBoot looks for it, then the entry at 0x4000: the client interface is in %o4. */
	.section .header, "a"
	.word	0x01030107		/* a.out, SPARC, statically linked */
	.word	bootblk_bytes, 0, bootblk_bss, 0, 0x4000, 0, 0
	.section .text.start, "ax"
	.global	_start
_start:
	ba,pt	%xcc, bootblk_main
	 mov	%o4, %o0
	.section .note.GNU-stack, "", @progbits
