! miss.S - translations that are in no TSB.
!
! The hypervisor walks this cpu's two TSBs (the kernel's for context 0, the users' for all others) and traps here when
! it finds nothing. Context 0 has one rule, the direct map; a user's page is looked up in the process's two-level
! table. Both write the TSB entry and try again. Nothing here uses a virtual address, so a miss can be served at any
! trap level: in the middle of a window spill, with the trap globals of that level.
!
! At entry: %g1 = SCRATCH_CPU_RA (an offset, set in the table).
#include "layout.h"
	.register %g2,#scratch
	.register %g3,#scratch
	.register %g6,#ignore
	.register %g7,#ignore

	.text
	.global miss_data
miss_data:
	ldxa	[%g1] ASI_SCRATCHPAD, %g1	! the fault area is where the cpu's block begins
	mov	CPU_FAULT_DFA, %g2
	ldxa	[%g1 + %g2] ASI_REAL, %g2	! address
	mov	CPU_FAULT_DFC, %g3
	ldxa	[%g1 + %g3] ASI_REAL, %g3	! context
	brnz,pn	%g3, miss_user
	 srlx	%g2, CHUNK_SHIFT, %g4		! tag of context 0

! The direct map: real address = address without its top bits, in pages of 4 MiB.
	brgez,pn %g2, miss_fault
	 sllx	%g4, CHUNK_SHIFT + DIRECT_DROP, %g5
	srlx	%g5, DIRECT_DROP, %g5
	mov	1, %g6
	sllx	%g6, 63, %g6
	or	%g6, TTE_CACHED | TTE_PRIV | TTE_WRITE | TTE_4M, %g6
	or	%g5, %g6, %g5
	and	%g4, TSB_ENTRIES - 1, %g6
	sllx	%g6, 4, %g6
	set	CPU_KERNEL_TSB_AT, %g7
	add	%g6, %g7, %g6
	add	%g1, %g6, %g6
	stxa	%g4, [%g6] ASI_REAL
	add	%g6, 8, %g6
	stxa	%g5, [%g6] ASI_REAL
	retry

	.global miss_instruction
miss_instruction:
	ldxa	[%g1] ASI_SCRATCHPAD, %g1
	mov	CPU_FAULT_IFA, %g2
	ldxa	[%g1 + %g2] ASI_REAL, %g2
	mov	CPU_FAULT_IFC, %g3
	ldxa	[%g1 + %g3] ASI_REAL, %g3
	brz,pn	%g3, miss_fault			! the kernel's code is mapped for good
	 nop

! A user's page: %g1 = cpu RA, %g2 = address, %g3 = context.
miss_user:
	srlx	%g2, USER_LIMIT_SHIFT, %g4
	brnz,pn	%g4, miss_fault
	 mov	CPU_TABLE_RA, %g4
	ldxa	[%g1 + %g4] ASI_REAL, %g4	! root of the page table
	brz,pn	%g4, miss_fault
	 srlx	%g2, TABLE_SHIFT, %g5
	sllx	%g5, 3, %g5
	ldxa	[%g4 + %g5] ASI_REAL, %g4	! leaf table
	brz,pn	%g4, miss_fault
	 sllx	%g2, 64 - TABLE_SHIFT, %g5
	srlx	%g5, 64 - TABLE_SHIFT + PAGE_SHIFT, %g5
	sllx	%g5, 3, %g6
	ldxa	[%g4 + %g6] ASI_REAL, %g4	! entry: a TTE
	brgez,pn %g4, miss_fault
	 and	%g5, TSB_ENTRIES - 1, %g5
	sllx	%g5, 4, %g5
	set	CPU_USER_TSB_AT, %g7
	add	%g5, %g7, %g5
	add	%g1, %g5, %g5
	sllx	%g3, 48, %g3
	srlx	%g2, 22, %g2
	or	%g3, %g2, %g3
	stxa	%g3, [%g5] ASI_REAL
	add	%g5, 8, %g5
	stxa	%g4, [%g5] ASI_REAL
	retry

! No translation: the fault is C's, by the ordinary way in.
miss_fault:
	rdpr	%tl, %g4
	cmp	%g4, 1
	bne,pn	%xcc, trap_nested
	 rdpr	%tt, %g5
	ba,a,pt	%xcc, trap_entry
	 nop
