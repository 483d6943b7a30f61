! note.S - the ELF note by which `sun4v run` knows that this program wants OpenBoot under it.
	.section .note.sun4v,"a",@note
	.balign	4
	.word	1f - 0f, 3f - 2f, 1
0:	.asciz	"sun4v"
1:	.balign	4
2:	.asciz	"openboot"
3:	.balign	4
