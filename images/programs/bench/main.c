/* main.c - entry of every benchmark: runs the workload, prints its name and checksum. */
#include "bench.h"

int main(void) {
  u64 sum = bench(bench_param.work);
  printf("%s %016lx\n", bench_name, sum);
  return 0;
}
