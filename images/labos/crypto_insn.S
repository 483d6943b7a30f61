! crypto_insn.S
