# The programs of images/: demos, checks of the machine (programs/check), benchmarks (programs/bench), hypercalls
# (programs/hcall: hcall-calls and hcall-vio from several parts).
DEMOS = hello echo
CHECKS = $(addprefix check-,windows traps smc clock user mmu smp strands watchdog nohandler)
BENCHES = $(addprefix bench-,sieve crc matmul sha qsort fib bytecode str hash \
  dhry mark bigsieve sha256 memcpy memset loop64 nbody chase traps calls)
HCALLS = $(addprefix hcall-,calls fuzz vio)
HCALL_PARTS = calls core devices probe
