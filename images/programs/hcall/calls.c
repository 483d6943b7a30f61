/* calls.c - makes every hypercall with good and bad arguments and checks status, results and registers. */
#include "calls.h"
#include "hcall.h"
#include "layout.h"

#define CALL(name, ...) {#name, __VA_ARGS__},
const struct call_row call_rows[CALL_COUNT] = {CALLS};
#undef CALL

int check_failures;
u8 arena[ARENA_BYTES] NOINIT ALIGNED(ARENA_BYTES);
static struct probe probe;
static u32 checks[CALL_COUNT], successes[CALL_COUNT], errors[CALL_COUNT];

enum { FIRMWARE_TRAP = 0xf0, GROUP_NCS = 0x103, GROUP_REBOOT_DATA = 0x110 };

int have(const char *word) {
  const u64 *block = (const u64 *)runtime_arg;
  if (!block) return 0;
  for (u64 i = 0; i < block[0]; i++)
    if (!strcmp((const char *)block[1 + i], word)) return 1;
  return 0;
}

u64 result(unsigned n) { return probe.o[n]; }

static void check_array(int line, const char *call, char letter, const u64 *now, u64 base, unsigned first, unsigned last) {
  for (unsigned n = first; n <= last; n++) {
    u64 was = 0 - (base + n);
    if (now[n] == was) continue;
    check_failures++;
    printf("line %d: %s: %%%c%u was 0x%lx and is 0x%lx\n", line, call, letter, n, was, now[n]);
  }
}

static void check_word(int line, const char *call, const char *what, u64 now, u64 was) {
  if (now == was) return;
  check_failures++;
  printf("line %d: %s: %s is 0x%lx, not 0x%lx\n", line, call, what, now, was);
}

/* Everything that a call must leave alone. `results` registers from %o1 on may hold anything. */
static void check_preserved(int line, const char *call, const struct probe *p, unsigned results, u64 pstate) {
  check_array(line, call, 'g', p->g, PROBE_G, 1, 7);
  check_array(line, call, 'l', p->l, PROBE_L, 0, 6);
  check_array(line, call, 'i', p->i, PROBE_I, 0, 5);
  check_word(line, call, "%l7", p->l[7], p->trap);
  check_word(line, call, "%i6", p->i[6], p->frame[0]);
  check_word(line, call, "%i7", p->i[7], p->frame[1]);
  check_word(line, call, "%o6", p->o[6], p->frame[2]);
  check_word(line, call, "%o7", p->o[7], 0 - (u64)(PROBE_O + 7));
  for (unsigned n = 1 + results; n < 6; n++) {
    if (p->o[n] == p->in[n]) continue;
    check_failures++;
    printf("line %d: %s: %%o%u was 0x%lx and is 0x%lx\n", line, call, n, p->in[n], p->o[n]);
  }
  check_word(line, call, "%y", p->y, PROBE_Y);
  check_word(line, call, "%ccr", p->ccr, PROBE_CCR);
  check_word(line, call, "%asi", p->asi, PROBE_ASI);
  check_word(line, call, "%tl", p->tl_after, p->tl);
  check_word(line, call, "%gl", p->gl, p->tl);
  check_word(line, call, "%pil", p->pil, 15);
  check_word(line, call, "%pstate", p->pstate, pstate);
}

/* One call, whatever it is. */
static u64 raw_call(int line, const char *name, u64 trap, u64 function, const u64 arg[5], unsigned results, u64 tl) {
  probe = (struct probe){.trap = trap, .tl = tl};
  for (unsigned i = 0; i < 5; i++) probe.in[i] = arg[i];
  probe.in[5] = function;
  u64 pstate = RDPR(pstate);
  probe_call(&probe);
  check_preserved(line, name, &probe, results, pstate);
  return probe.o[0];
}

void call_check(int line, enum call call, u64 status, const u64 arg[5], int both) {
  const struct call_row *row = &call_rows[call];
  for (u64 level = both ? 1 : 0; level + 1 > 0; level--) {
    /* trap numbers of their own have no function: whatever %o5 holds stays */
    u64 function = row->trap == HTRAP_FAST || row->trap == HTRAP_CORE ? row->function : 0x1234567;
    /* TTRACE_ADDENTRY's fifth argument and every other's are below %o5 */
    u64 got = raw_call(line, row->name, row->trap, function, arg, row->results, level);
    check_word(line, row->name, "the status", got, status);
    checks[call]++;
    if (status == OK)
      successes[call]++;
    else
      errors[call]++;
    if (level == 0) break;
  }
}

/* -- negotiation */

static int negotiable(u16 group) { return group == GROUP_SOFT_STATE || group >= GROUP_LDOM; }

/* A call of a group that nobody asked for, and one that is not there, change %o0 alone. */
static void check_unknown(void) {
  static const u64 arg[5] = {1, 2, 3, 4, 5};
  for (unsigned call = 0; call < CALL_COUNT; call++) {
    const struct call_row *row = &call_rows[call];
    if (!negotiable(row->group)) continue;
    CHECK_EQUAL(raw_call(__LINE__, row->name, row->trap, row->function, arg, 0, call & 1), EBADTRAP);
  }
  for (u64 function = 0; function < 0x400; function++) {
    int known = 0;
    for (unsigned call = 0; call < CALL_COUNT; call++)
      known |= call_rows[call].trap == HTRAP_FAST && call_rows[call].function == function;
    if (!known) CHECK_EQUAL(raw_call(__LINE__, "?", HTRAP_FAST, function, arg, 0, function & 1), EBADTRAP);
  }
  for (u64 high = 1; high < 1ul << 54; high <<= 7)
    CHECK_EQUAL(raw_call(__LINE__, "?", HTRAP_FAST, high << 9 | 0x16, arg, 0, 0), EBADTRAP);
  for (u64 function = 4; function < 40; function++)
    CHECK_EQUAL(raw_call(__LINE__, "?", HTRAP_CORE, function, arg, 0, function & 1), EBADTRAP);
  for (u64 trap = 0x81; trap < 0xff; trap++)
    if ((trap < 0x83 || trap > 0x85) && trap != FIRMWARE_TRAP)
      CHECK_EQUAL(raw_call(__LINE__, "?", trap, 0x16, arg, 0, trap & 1), EBADTRAP);
}

/* Asks for a version and reads it back; the highest minor comes for a higher one. */
static void check_group(u64 group, u64 major, u64 minor) {
  ONCE(API_GET_VERSION, group == 0 || group == 1 ? OK : EINVAL, group);
  TRY(API_SET_VERSION, ENOTSUPPORTED, group, 9, 0);
  GIVES(1, 0);
  TRY(API_SET_VERSION, OK, group, major, 999);
  GIVES(1, minor);
  TRY(API_GET_VERSION, OK, group);
  GIVES(1, major);
  GIVES(2, minor);
}

static void check_versions(void) {
  TRY(API_SET_VERSION, EINVAL, 0x777, 1, 0);
  TRY(API_SET_VERSION, EINVAL, ALL_ONES, 1, 0);
  TRY(API_GET_VERSION, EINVAL, 0x777);
  TRY(API_SET_VERSION, OK, GROUP_CORE, 1, 0);
  TRY(CONS_READ, EBADTRAP, ARENA, 8); /* needs minor 1 */
  check_group(0, 1, 0);
  check_group(GROUP_CORE, 1, 6);
  check_group(GROUP_INTR, 1, 0);
  check_group(GROUP_SOFT_STATE, 1, 0);
  check_group(GROUP_REBOOT_DATA, 1, 0);
  TRY(API_SET_VERSION, OK, GROUP_LDOM, 1, 0);
  GIVES(1, 0);
  TRY(LDC_MAPIN, EBADTRAP, 0, 0);
  TRY(API_SET_VERSION, OK, GROUP_LDOM, 0, 0);
  check_group(GROUP_LDOM, 1, 1);
  TRY(API_SET_VERSION, OK, GROUP_RNG, 1, 0);
  TRY(API_SET_VERSION, OK, GROUP_RNG, 0, 5);
  TRY(API_GET_VERSION, EINVAL, GROUP_RNG);
  check_group(GROUP_RNG, 2, 0);
  if (!have("ncs")) {
    TRY(API_SET_VERSION, EINVAL, GROUP_NCS, 2, 0);
    return;
  }
  TRY(API_SET_VERSION, OK, GROUP_NCS, 1, 7);
  GIVES(1, 0);
  TRY(API_SET_VERSION, OK, GROUP_NCS, 0, 0);
  check_group(GROUP_NCS, 2, 1);
}

/* -- what is left */

/* Calls that end the program are the last things the phases of that name do; the harness sees how it ended. */
static void end_as_told(void) {
  static const u64 code[5] = {77};
  if (have("exit")) raw_call(__LINE__, "MACH_EXIT", HTRAP_FAST, 0x00, code, 0, 0);
  if (have("api_exit")) raw_call(__LINE__, "API_EXIT", HTRAP_CORE, 0x02, code, 0, 0);
  if (have("sir")) raw_call(__LINE__, "MACH_SIR", HTRAP_FAST, 0x02, code, 0, 0);
}

/* Errors that a call can have, by the reference: those without are listed. */
static int cannot_fail(unsigned call) {
  switch (call) {
  case CALL_CPU_YIELD: case CALL_CPU_MYID: case CALL_CPU_GET_RTBA: case CALL_MMU_FAULT_AREA_INFO: case CALL_TOD_GET:
  case CALL_TOD_SET: case CALL_TTRACE_BUF_INFO: case CALL_DUMP_BUF_INFO: case CALL_MACH_EXIT: case CALL_MACH_SIR:
  case CALL_API_EXIT: case CALL_MACH_SUSPEND: case CALL_RNG_GET_DIAG_CONTROL:
    return 1;
  default:
    return 0;
  }
}

static int not_here(unsigned call) {
  if (call_rows[call].group == GROUP_NCS && !have("ncs")) return 1;
  if (call == CALL_NCS_ULQCONF) return 1; /* never succeeds */
  if (call >= CALL_RNG_GET_DIAG_CONTROL && call <= CALL_RNG_DATA_READ_DIAG) return !have("control");
  return call == CALL_MACH_EXIT || call == CALL_API_EXIT || call == CALL_MACH_SIR;
}

/* The table is the hypervisor's: a call without a check here is a failure. */
static void check_all_made(void) {
  u32 total = 0;
  for (unsigned call = 0; call < CALL_COUNT; call++) {
    total += checks[call];
    if (!successes[call] && !not_here(call)) {
      check_failures++;
      printf("%s: never made with success\n", call_rows[call].name);
    }
    if (!errors[call] && !cannot_fail(call) && call_rows[call].group != GROUP_NCS) {
      check_failures++;
      printf("%s: never made with an error\n", call_rows[call].name);
    }
    if (checks[call]) printf("call %s %u\n", call_rows[call].name, checks[call]);
  }
  printf("%u calls checked\n", total);
}

int main(void) {
  end_as_told();
  check_unknown();
  check_versions();
  check_machine();
  check_cpu();
  check_mmu();
  check_memory();
  check_services();
  check_interrupts();
  check_channels();
  check_crypto();
  check_trace();
  check_all_made();
  return check_result("hcall");
}
