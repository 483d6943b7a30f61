! crypto_insn.S - ciphers and hashes by the instructions of the T4 and later. Only called where the machine description
! offers them; the caller owns the floating-point registers. Blocks and states are 8-byte aligned.
	.text

! void sha1_insn(u32 state[5], const u8 block[64]) and its like: state in %f0.., block in %f8..%f22.
	.macro	hash_function name, instruction, words
	.global	\name
\name:
	.irp	n, 0,1,2,3,4,5,6,7
	.if	\n < \words
	ld	[%o0 + \n * 4], %f\n
	.endif
	.endr
	ldd	[%o1 + 0], %f8
	ldd	[%o1 + 8], %f10
	ldd	[%o1 + 16], %f12
	ldd	[%o1 + 24], %f14
	ldd	[%o1 + 32], %f16
	ldd	[%o1 + 40], %f18
	ldd	[%o1 + 48], %f20
	ldd	[%o1 + 56], %f22
	\instruction
	.irp	n, 0,1,2,3,4,5,6,7
	.if	\n < \words
	st	%f\n, [%o0 + \n * 4]
	.endif
	.endr
	retl
	 nop
	.endm

	hash_function md5_insn, md5, 4
	hash_function sha1_insn, sha1, 5
	hash_function sha256_insn, sha256, 8

! void sha512_insn(u64 state[8], const u8 block[128]): state in %f0..%f14, block in %f16..%f46.
	.global	sha512_insn
sha512_insn:
	.irp	n, 0,2,4,6,8,10,12,14
	ldd	[%o0 + \n * 4], %f\n
	.endr
	.irp	n, 16,18,20,22,24,26,28,30,32,34,36,38,40,42,44,46
	ldd	[%o1 + (\n - 16) * 4], %f\n
	.endr
	sha512
	.irp	n, 0,2,4,6,8,10,12,14
	std	%f\n, [%o0 + \n * 4]
	.endr
	retl
	 nop

! void crc32c_insn(u32 *crc, const u8 *data, u64 doublewords): *crc byte-swapped, as the instruction has it.
	.global	crc32c_insn
crc32c_insn:
	ld	[%o0], %f1
1:	ldd	[%o1], %f2
	crc32c	%f0, %f2, %f0
	subcc	%o2, 1, %o2
	bne,pt	%xcc, 1b
	 add	%o1, 8, %o1
	retl
	 st	%f1, [%o0]

! void aes128_expand_insn(const u8 key[16], u64 schedule[22]).
	.macro	expand round
	aes_kexpand1 %f0, %f2, \round, %f4
	aes_kexpand2 %f2, %f4, %f6
	std	%f4, [%o1 + 16 * (\round + 1)]
	std	%f6, [%o1 + 16 * (\round + 1) + 8]
	fmovd	%f4, %f0
	fmovd	%f6, %f2
	.endm

	.global	aes128_expand_insn
aes128_expand_insn:
	ldd	[%o0], %f0
	ldd	[%o0 + 8], %f2
	std	%f0, [%o1]
	std	%f2, [%o1 + 8]
	.irp	round, 0,1,2,3,4,5,6,7,8,9
	expand	\round
	.endr
	retl
	 nop

! void aes128_encrypt_insn(const u64 schedule[22], u8 block[16]), and decrypt: the state in %f0, %f2.
	.macro	aes_round key, first, second
	ldd	[%o0 + 16 * \key], %f8
	ldd	[%o0 + 16 * \key + 8], %f10
	\first	%f8, %f0, %f2, %f4
	\second	%f10, %f0, %f2, %f6
	fmovd	%f4, %f0
	fmovd	%f6, %f2
	.endm

	.macro	aes_add_key key
	ldd	[%o0 + 16 * \key], %f8
	ldd	[%o0 + 16 * \key + 8], %f10
	fxor	%f0, %f8, %f0
	fxor	%f2, %f10, %f2
	.endm

	.global	aes128_encrypt_insn
aes128_encrypt_insn:
	ldd	[%o1], %f0
	ldd	[%o1 + 8], %f2
	aes_add_key 0
	.irp	round, 1,2,3,4,5,6,7,8,9
	aes_round \round, aes_eround01, aes_eround23
	.endr
	aes_round 10, aes_eround01_l, aes_eround23_l
	std	%f0, [%o1]
	retl
	 std	%f2, [%o1 + 8]

	.global	aes128_decrypt_insn
aes128_decrypt_insn:
	ldd	[%o1], %f0
	ldd	[%o1 + 8], %f2
	aes_add_key 10
	.irp	round, 9,8,7,6,5,4,3,2,1
	aes_round \round, aes_dround01, aes_dround23
	.endr
	aes_round 0, aes_dround01_l, aes_dround23_l
	std	%f0, [%o1]
	retl
	 std	%f2, [%o1 + 8]
