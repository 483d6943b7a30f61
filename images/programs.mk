# The programs of images/: demos, checks of the machine (programs/check), benchmarks (programs/bench).
DEMOS = hello echo
CHECKS =
BENCHES =
