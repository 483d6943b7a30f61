/* engine_stores.c - dirty marks, one instruction at a time: `engine_stores`.
 *
 * Every encoding with a memory address runs alone, through the stepper and through blocks, with all ASIs where it
 * names one. After a harvest no page is marked; after the instruction exactly the page it wrote is, and the fault area
 * where it trapped. A second time after a harvest it marks again: write permission was taken back. Prints the names
 * of the rows that marked.
 */
#include "engine_guest.h"

enum { PAGE = 8192, ENOUGH_INSNS = 200 };
static u64 pages[MEMORY / PAGE];
static u8 before[IMAGE_BYTES], after[IMAGE_BYTES];

static void set(s4v_machine *m, const char *name, u64 value) { s4v_reg_set(m, 0, s4v_reg_find(name), value); }

static void fail(const char *what, u32 word) {
  char text[128];
  s4v_disasm(word, CODE, text, sizeof text);
  printf("%s: %08x %s\n", what, word, text);
  exit(1);
}

/* The instruction once, followed by enough others that it is not among the last ones of the budget, which the stepper
 * executes whatever the mode; true: the data page was marked. */
static bool once(s4v_machine *m, u32 word, u32 offset) {
  set(m, "tl", 0), set(m, "gl", 0), set(m, "pstate", 0x14), set(m, "fprs", 4), set(m, "asi", 0x80), set(m, "pil", 15);
  set(m, "g5", DATA + 3 * PAGE + 128), set(m, "g6", offset), set(m, "o0", 0x1234), set(m, "d0", 0x1122334455667788), set(m, "cwp", 0);
  set(m, "softint", 0), set(m, "fsr", 0), set(m, "context0", 0), set(m, "context1", 0);
  set(m, "pc", CODE);
  u8 data[PAGE];
  memset(data, 0, sizeof data);
  put64(data + 128, (word >> 19 & 63) == 0x3c ? (u64)offset << 32 : offset); /* equal to %g6: compare-and-swap succeeds */
  s4v_mem_write(m, DATA + 3 * PAGE, data, sizeof data);
  if (s4v_dirty_harvest(m, pages, MEMORY / PAGE) < 0 || s4v_dirty_count(m)) fail("harvest", word);
  s4v_mem_read(m, 0, before, IMAGE_BYTES);
  s4v_stop stop;
  s4v_run(m, ENOUGH_INSNS, &stop);
  if (stop.insns != ENOUGH_INSNS) fail("stopped", word);
  s4v_mem_read(m, 0, after, IMAGE_BYTES);
  int64_t count = s4v_dirty_harvest(m, pages, MEMORY / PAGE);
  bool marked[MEMORY / PAGE] = {false};
  for (int64_t i = 0; i < count; i++) marked[pages[i]] = true;
  for (u32 n = 0; n < MEMORY / PAGE; n++) {
    bool changed = n < IMAGE_BYTES / PAGE && memcmp(before + n * PAGE, after + n * PAGE, PAGE) != 0;
    if (changed && !marked[n]) fail("a store was not marked", word);
    if (marked[n] && n != DATA / PAGE + 3 && n != FAULT_AREA / PAGE) fail("a page too many was marked", word);
  }
  return marked[DATA / PAGE + 3];
}

static bool twice(s4v_machine *m, u32 word, u32 offset) {
  u8 code[12];
  put32(code, word), put32(code + 4, 0x10800000), put32(code + 8, NOP); /* and stay there */
  s4v_mem_write(m, CODE, code, sizeof code);
  bool marks = once(m, word, offset);
  if (once(m, word, offset) != marks) fail("marked once, but not again", word);
  return marks;
}

static s4v_machine *machine_new(bool step) {
  static struct forms none;
  forms_read(&none);
  u64 rng = 1;
  struct guest g = guest_random(&rng);
  g = (struct guest){.strands = 1, .quantum = 1000, .features = ~0ull};
  s4v_machine *m = guest_new(&g, &none, &rng);
  u8 here[8];
  put32(here, 0x10800000), put32(here + 4, NOP);
  s4v_mem_write(m, CODE, here, sizeof here);
  set(m, "tick_cmpr", 1ull << 63), set(m, "stick_cmpr", 1ull << 63);
  guest_run(m, 300); /* the boot code: fault area, registers */
  s4v_step_only(m, step);
  return m;
}

/* Address [%g5 + 8] or [%g5 + %g6]; destination %o0 or %f0. */
static bool row_marks(s4v_machine *m, u32 match, u32 mask) {
  bool immediate = match >> 13 & mask >> 13 & 1, any = false;
  u32 op3 = match >> 19 & 63;
  u32 word = match | (5u << 14 & ~mask) | (8u << 25 & ~mask & (op3 >= 0x20 && op3 < 0x38 ? 0 : ~0u));
  if (immediate) return twice(m, word | (8 & ~mask), 64);
  word |= 6 & ~mask;
  if (!(op3 & 0x10)) return twice(m, word, 64);
  for (u32 asi = 0; asi < 256; asi++) {
    any |= twice(m, word | asi << 5, 64);
    if (asi >= 0xc0 && asi < 0xd0) any |= twice(m, word | asi << 5, 0xff); /* the mask of a partial store */
  }
  return any;
}

int main(void) {
  s4v_machine *machines[2] = {machine_new(false), machine_new(true)};
  for (int row = 0; row < s4v_isa_count(); row++) {
    u32 match, mask, marks = 0;
    for (int form = 0; s4v_isa_match(row, form, &match, &mask) == 0; form++)
      for (u32 n = 0; n < 2 && match >> 30 == 3; n++) marks += row_marks(machines[n], match, mask);
    if (marks) printf("%s\n", s4v_isa_name(row));
  }
  s4v_machine_free(machines[0]);
  s4v_machine_free(machines[1]);
  return 0;
}
