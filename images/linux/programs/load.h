/* load.h - what the parts of the `load` program share. Each part checks itself and prints one line that says ok. */
#ifndef LOAD_H
#define LOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;
typedef int64_t i64;
typedef uint32_t u32;

/* Ends the program with status 1 and a line that says where, what and errno. */
void fail(const char *file, int line, const char *what) __attribute__((noreturn));
#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))

/* The argument at ``index`` as a number, or a default. */
long argument(int argc, char **argv, int index, long otherwise);

/* xorshift64*: the same numbers on every machine. */
u64 chance(u64 *state);

/* Folds a value into a running checksum (FNV-1a over its eight bytes, lowest first). */
u64 fold(u64 sum, u64 value);
#define FOLD_START 0xcbf29ce484222325u

/* Waits for a child that must have exited normally; returns its status. */
int reap(int pid);

/* CLOCK_MONOTONIC in nanoseconds. */
i64 now_ns(void);

/* Forks; in the child calls work(index) and exits with what it returns. */
int spawn(int (*work)(long), long index);

typedef int part_main(int argc, char **argv);
part_main forks_main, signals_main, faults_main, fp_main, threads_main, dirty_main, timers_main, altstack_main,
    maps_main, contexts_main, pingpong_main, sockets_main, cpus_main, hwcaps_main, sums_main,
    blockio_main, netload_main, units_main;

#endif
