/* calls.h - what the parts of the program hcall share: the table of calls, and checks of one call. */
#ifndef CALLS_H
#define CALLS_H
#define CHECK_SHARED
#include "check.h"
#include "probe.h"
#include "table.h"

#define CALL(name, ...) CALL_##name,
enum call { CALLS CALL_COUNT };
#undef CALL

struct call_row {
  const char *name;
  u16 trap, function, group, version, results;
};
extern const struct call_row call_rows[CALL_COUNT];

enum hv_status {
  OK = 0, ENOCPU = 1, ENORADDR = 2, EBADPGSZ = 4, EBADTSB = 5, EINVAL = 6, EBADTRAP = 7, EBADALIGN = 8, EWOULDBLOCK = 9,
  ENOACCESS = 10, EIO = 11, ECPUERROR = 12, ENOTSUPPORTED = 13, ENOMAP = 14, ETOOMANY = 15, ECHANNEL = 16,
};

#define BAD_RA (1ul << 45)     /* backed by nothing on any machine of the tests */
#define ALL_ONES (~0ul)
#define MEMORY_END 0x1000000ul /* the tests give 16 MiB */
enum { ARENA_BYTES = 1 << 19 };
extern u8 arena[ARENA_BYTES]; /* aligned to its size; memory to point hypercalls at */
#define ARENA ((u64)arena)

/* What the harness says about the machine: words of the command line. */
int have(const char *word);
/* A call from TL 0 (and with `both` from TL 1): the status, and that everything else is as it was but for the results. Its
 * registers afterwards: result(). */
void call_check(int line, enum call, u64 status, const u64 arg[5], int both);
u64 result(unsigned n); /* %oN after the last call; 1: the first result */

#define ARGS(...) ((const u64[5]){__VA_ARGS__})
/* TRY: from both levels, so the call must be one that may be made twice. ONCE: from TL 0. */
#define TRY(name, status, ...) call_check(__LINE__, CALL_##name, (status), ARGS(__VA_ARGS__), 1)
#define ONCE(name, status, ...) call_check(__LINE__, CALL_##name, (status), ARGS(__VA_ARGS__), 0)
#define GIVES(n, value) CHECK_EQUAL(result(n), (value))

static inline volatile u64 *word_at(u64 ra) { return (volatile u64 *)ra; }

void check_machine(void);
void check_cpu(void);
void check_mmu(void);
void check_memory(void);
void check_services(void);
void check_interrupts(void);
void check_channels(void);
void check_crypto(void);
void check_trace(void);
#endif
