/* fuzz.c - random hypercalls with random and edge arguments; words of the command line: seed, number of calls. */
#include "hcall.h"
#include "runtime.h"
#include "table.h"

#define CALL(name, ...) {__VA_ARGS__},
static const struct {
  u16 trap, function, group, version, results;
} calls[] = {CALLS};
#undef CALL

enum { CALL_COUNT = sizeof calls / sizeof calls[0], RENEW = 64, DONE = 0x55, FIRST_PAGE_BITS = 22 };
#define PROGRESS ((volatile u64 *)0x10000) /* where the harness looks how far we are */
#define REGION 0x800000ul                  /* memory to point at: 8 to 16 MiB */
#define REGION_BYTES 0x800000ul
#define TTE (1ul << 63 | 1ul << 10 | 1ul << 8 | 1ul << 7 | 1ul << 6 | 3ul)

static u64 state;

/* xorshift64* */
static u64 draw(void) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1dul;
}

static u64 below(u64 n) { return (draw() >> 11) % n; }

static u64 number(const char *text) {
  u64 n = 0;
  while (*text >= '0' && *text <= '9') n = n * 10 + (u64)(*text++ - '0');
  return n;
}

static const u64 edges[] = {
  0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 32, 63, 64, 65, 128, 255, 256, 448, 511, 512, 513, 768, 2047, 2048, 4079, 4080, 8191,
  8192, 16384, 65536, 0x3c, 0x3d, 0x3e, 0x3f, 0x100, 0x101, 0x102, 0x103, 0x104, 0x110, 0x111, 0x120, 0x180, 0x200, 0x205,
  0x864, 0x10a72, 0xffff, 0x10000, 0xffffff, 0x1000000 - 8, 0x1000000 - 64, 0x1000000 - 8192, 0x1000000, 1ul << 31,
  1ul << 32, 1ul << 38, (1ul << 38) + (1ul << 28), (1ul << 38) + (1ul << 31), 1ul << 45, 1ul << 46, (1ul << 60) - 8,
  1ul << 60, 3ul << 60, 1ul << 61, 1ul << 63, -64ul, -8192ul, -8ul, -2ul, -1ul,
};

static u64 address(void) {
  u64 shift = below(14);
  return REGION + (below(REGION_BYTES) & ~((1ul << shift) - 1));
}

static u64 argument(void) {
  switch (below(16)) {
  case 0: case 1: case 2: case 3: case 4: return address();
  case 5: case 6: case 7: case 8: return edges[below(sizeof edges / sizeof edges[0])];
  case 9: case 10: case 11: case 12: return below(9);
  case 13: return 1ul << below(64);
  case 14: return edges[below(sizeof edges / sizeof edges[0])] + below(129) - 64;
  default: return draw() >> below(64);
  }
}

/* What hypercalls read from memory: descriptors, lists, tables, sometimes of sense. */
static u64 content(void) {
  switch (below(12)) {
  case 0: return address();
  case 1: return address() | 0x630 | (below(8) == 0 ? below(8) : 0);                     /* an entry of a map table */
  case 2: return 0x41ul << 56 | 7ul << 53 | below(32) << 32 | below(64) << 16 | below(600); /* a control word */
  case 3: return 0x40ul << 56 | 7ul << 53 | below(32) << 24 | (below(600) & ~15ul) | 15;
  case 4: return below(5) << 8 | below(8);                                                /* an operation of the MAU */
  case 5: return 1ul << 32 | 512ul << below(4);                                           /* of a TSB descriptor */
  case 6: return below(256);
  case 7: return draw() & 0x0101010101010101ul;
  default: return draw() >> below(64);
  }
}

static void scribble(void) {
  volatile u64 *at = (volatile u64 *)(address() & ~63ul);
  for (u64 n = below(64); n > 0 && (u64)at < REGION + REGION_BYTES; n--) *at++ = content();
}

/* Groups come back after API_SET_VERSION has let them go; so do the mappings that MMU_ENABLE needs. */
static void renew(void) {
  static const u16 groups[] = {0, 1, 2, 3, 0x101, 0x110};
  for (unsigned i = 0; i < sizeof groups / sizeof groups[0]; i++) {
    struct hcall h = {{groups[i], 1, 9}};
    hcall_core(API_SET_VERSION, &h);
  }
  for (u64 group = 0x103; group <= 0x104; group++) {
    struct hcall h = {{group, 1 + below(2), 9}};
    hcall_core(API_SET_VERSION, &h);
  }
  for (u64 page = 0; page < 4; page++) {
    struct hcall h = {{page << FIRST_PAGE_BITS, 0, TTE | page << FIRST_PAGE_BITS, 3}};
    hcall_fast(MMU_MAP_PERM_ADDR, &h);
  }
  struct hcall area = {{(u64)&fault_area}};
  hcall_fast(MMU_FAULT_AREA_CONF, &area);
}

/* Any trap number above 0x7f. */
static void any_call(u64 trap, u64 function, const u64 arg[5]) {
  register u64 o0 __asm__("o0") = arg[0];
  register u64 o1 __asm__("o1") = arg[1];
  register u64 o2 __asm__("o2") = arg[2];
  register u64 o3 __asm__("o3") = arg[3];
  register u64 o4 __asm__("o4") = arg[4];
  register u64 o5 __asm__("o5") = function;
  __asm__ volatile("ta %6" : "+r"(o0), "+r"(o1), "+r"(o2), "+r"(o3), "+r"(o4), "+r"(o5) : "r"(trap) : "memory");
}

static void one_call(void) {
  u64 row = below(CALL_COUNT), trap = calls[row].trap, function = calls[row].function, arg[5];
  for (unsigned i = 0; i < 5; i++) arg[i] = argument();
  if (below(200) == 0) function = argument();
  if (below(400) == 0) trap = 0x80 + below(128);
  if (calls[row].group == 0x101 && below(2)) arg[0] = below(4);
  if (calls[row].group == 0x103 && below(2)) arg[0] = below(2) ? 1 + below(2) : below(2) ? 0x864 : 0x10a72;
  if (calls[row].group == 0x002 && below(2)) arg[0] = below(2) ? 0x111 : 0x200, arg[1] = below(8);
  if (function == 0x181 && below(4)) return; /* MACH_SUSPEND, and what ends the program, more rarely than the rest */
  if ((trap == HTRAP_FAST || trap == HTRAP_CORE) && function <= 2 && function != 1 && below(64)) return;
  if (trap == HTRAP_FAST && function == MMU_ENABLE && below(16)) return;
  PROGRESS[1] = trap << 32 | (function & 0xffffffff); /* for whoever looks into a failure */
  any_call(trap, function, arg);
}

/* A trap of ours is the end of this run: the harness starts the next one. */
int main(void) {
  const u64 *block = (const u64 *)runtime_arg;
  u64 count = number((const char *)block[3]);
  state = number((const char *)block[2]) * 0x9e3779b97f4a7c15ul + 1;
  for (u64 done = 0; done < count; done++) {
    if (done % RENEW == 0) renew();
    if (below(4) == 0) scribble();
    one_call();
    PROGRESS[0] = done + 1;
  }
  exit(DONE);
}
