/* fib.h - the recursion of the two call benchmarks. */
#ifndef BENCH_FIB_H
#define BENCH_FIB_H
#include "bench.h"

static NOINLINE u64 fib(u64 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
#endif
