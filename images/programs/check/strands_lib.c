/* strands_lib.c - see strands.h. */
#include "strands.h"

enum { STRAND_STACK = 8192 };
extern u32 trap_table[];
extern char strand_entry[];
u64 strand_count, strands_failed;
u8 strand_stacks[MOST_STRANDS * STRAND_STACK] NOINIT ALIGNED(64);
static struct cell arrived, generation, working;
static strand_job current;

/* As start.S does it; %o0 is the strand's number. */
__asm__(
    ".text\n"
    ".global strand_entry\n"
    "strand_entry:\n"
    "  wrpr %g0, 0x14, %pstate\n"
    "  wrpr %g0, 6, %cansave\n"
    "  wrpr %g0, 0, %canrestore\n"
    "  wrpr %g0, 0, %otherwin\n"
    "  wrpr %g0, 7, %cleanwin\n"
    "  wrpr %g0, 0, %wstate\n"
    "  wr %g0, 0x80, %asi\n"
    "  wr %g0, 4, %fprs\n"
    "  add %o0, 1, %l0\n"
    "  sllx %l0, 13, %l0\n"
    "  set strand_stacks - 2047 - 176, %l1\n"
    "  add %l0, %l1, %sp\n"
    "  call strand_work\n"
    "  clr %fp\n"
    "1: ba,pt %xcc, 1b\n"
    "  nop\n");

void strands_open(void) {
  struct hcall core = {{GROUP_CORE, 1, 6}};
  hcall_core(API_SET_VERSION, &core);
  for (strand_count = 0; strand_count < MOST_STRANDS; strand_count++)
    if (call1(CPU_STATE, strand_count) != EOK) break;
}

void strand_work(u64 id) {
  current(id);
  fetch_add(&working.v, (u64)-1);
  for (;;) yield(); /* until strand 0 stops it */
}

u64 strand_start(u64 id, strand_job job) {
  struct hcall h = {{id, (u64)strand_entry, (u64)trap_table, id}};
  current = job;
  return hcall_fast(CPU_START, &h);
}

void strands_run(u64 n, strand_job job) {
  working.v = n - 1;
  for (u64 id = 1; id < n; id++) strands_failed += strand_start(id, job) != EOK;
  job(0);
  while (working.v) continue;
  for (u64 id = 1; id < n; id++) strands_failed += call1(CPU_STOP, id) != EOK;
}

void strand_barrier(u64 n) {
  u64 now = generation.v;
  if (fetch_add(&arrived.v, 1) + 1 == n) {
    arrived.v = 0;
    COMPILER;
    generation.v = now + 1;
    return;
  }
  while (generation.v == now) continue;
}
