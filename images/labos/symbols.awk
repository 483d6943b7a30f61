# symbols.awk - from `nm -n` of the kernel to a table of its functions, which the debugger names addresses with (symbols.h).
# The table is data behind everything else, so that it moves no function: the kernel is linked twice.
BEGIN {
  print "\t.section .symbols,\"aw\"\n\t.balign 4\n\t.global symbols, symbol_names, symbol_count\nsymbols:"
}
$2 ~ /^[tT]$/ && $3 !~ /^trap_table/ {
  printf "\t.word 0x%s, %d\n", substr($1, length($1) - 7), at
  names = names sprintf("\t.asciz \"%s\"\n", $3)
  at += length($3) + 1
  count++
}
END { printf "symbol_names:\n%s\t.balign 4\nsymbol_count:\n\t.word %d\n", names, count }
