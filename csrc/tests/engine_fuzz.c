/* engine_fuzz.c - hostile code, for a run under sanitizers: `engine_fuzz flow|single|calls SEED COUNT`.
 *
 * flow    programs of random words, run as they go, strands in turns (COUNT programs)
 * single  every word of such a program alone, in a mode chosen at random (COUNT words)
 * calls   hypercalls with random trap numbers, functions and arguments (COUNT calls)
 *
 * Nothing is compared: no access outside, no undefined behaviour, no call that does not come back, is the result.
 */
#include "engine_guest.h"

static struct forms forms;

static void set(s4v_machine *m, const char *name, u64 value) { s4v_reg_set(m, 0, s4v_reg_find(name), value); }

static struct guest wild_guest(u64 *rng) {
  struct guest g = guest_random(rng);
  g.strands = 1 + below(rng, 3);
  g.wild = true;
  return g;
}

static u64 flow(u64 seed, u64 count) {
  u64 insns = 0;
  for (u64 n = 0; n < count; n++) {
    u64 rng = seed + n;
    struct guest g = wild_guest(&rng);
    s4v_machine *m = guest_new(&g, &forms, &rng);
    if (one_in(&rng, 2)) s4v_code_limit(m, 1 << (10 + below(&rng, 12)));
    if (one_in(&rng, 8)) s4v_trace_enable(m, 1);
    for (u32 i = 0; i < 4; i++) s4v_breakpoint_add(m, CODE + 4 * below(&rng, CODE_WORDS));
    for (u32 i = 0; i < 24; i++) {
      insns += guest_run(m, 1 + below(&rng, 4000)).insns;
      char line[4096];
      while (s4v_trace_read(m, line, sizeof line)) continue;
      if (one_in(&rng, 2)) s4v_strand_start(m, below(&rng, g.strands), CODE + 4 * below(&rng, CODE_WORDS), 0, 0);
      if (one_in(&rng, 8)) set(m, "pstate", below(&rng, 0x2000) & 0x13de);
    }
    s4v_machine_free(m);
  }
  return insns;
}

static void random_mode(s4v_machine *m, u64 *rng, bool mmu) {
  static const char *const windows[] = {"cansave", "canrestore", "otherwin", "cleanwin", "wstate", "cwp"};
  set(m, "pstate", below(rng, 0x2000) & 0x13de);
  set(m, "tl", below(rng, 3));
  set(m, "gl", below(rng, 3));
  set(m, "fprs", below(rng, 8));
  set(m, "asi", one_in(rng, 2) ? 0x80 : below(rng, 256));
  set(m, "mmu_enabled", mmu && one_in(rng, 2));
  set(m, "context0", one_in(rng, 4) ? below(rng, 0x2000) : 0);
  for (u32 i = 0; i < 6; i++)
    if (one_in(rng, 3)) set(m, windows[i], below(rng, 8));
  set(m, "g5", one_in(rng, 8) ? next_random(rng) : one_in(rng, 2) ? DATA : ALIAS);
  set(m, "g6", one_in(rng, 8) ? next_random(rng) : below(rng, 64) * 8);
  set(m, "g7", CODE);
}

static u64 single(u64 seed, u64 count) {
  u64 done = 0, insns = 0;
  while (done < count) {
    u64 rng = seed + done;
    struct guest g = wild_guest(&rng);
    s4v_machine *m = guest_new(&g, &forms, &rng);
    s4v_stop stop;
    guest_run(m, 400); /* past the boot code */
    for (u32 n = 0; n < CODE_WORDS && done < count; n++, done++) {
      if (s4v_strand_state(m, 0) != 2) s4v_strand_start(m, 0, CODE, 0, 0);
      if (n % 4 == 0) random_mode(m, &rng, g.mmu);
      set(m, "pc", CODE + 4 * n);
      if (one_in(&rng, 4)) set(m, "npc", CODE + 4 * below(&rng, CODE_WORDS));
      s4v_strand_run(m, 0, one_in(&rng, 4) ? 100 : 1, &stop);
      insns += stop.insns;
      if (stop.reason == S4V_STOP_CONSOLE) guest_run(m, 1);
    }
    s4v_machine_free(m);
  }
  return insns;
}

static u64 argument(u64 *rng) {
  static const u64 corners[] = {0, 1, 2, 3, 64, 512, 8192, DATA, TSB, TSB_DESCRIPTOR, QUEUES, MONDO_LIST, MONDO_DATA, CODE,
                                MEMORY - 64, MEMORY, ~0ull, 1ull << 63, 1ull << 63 | 0x5c3, 0x3c, 0x3f, ALIAS};
  switch (below(rng, 4)) {
  case 0: return below(rng, 32);
  case 1: return next_random(rng) & (MEMORY - 1) & (one_in(rng, 2) ? ~8191ull : ~0ull);
  case 2: return next_random(rng);
  default: return corners[below(rng, sizeof corners / sizeof corners[0])];
  }
}

static u64 calls(u64 seed, u64 count) {
  static const u8 traps[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x83, 0x84, 0x85, 0xff, 0x81, 0xc0};
  static const u16 functions[] = {0x02, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x20, 0x21, 0x22, 0x23,
                                 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x31, 0x32, 0x42, 0x50, 0x51, 0x60, 0x61,
                                 0x62, 0x63, 0x05, 0x70, 0x71, 0x171, 0x172, 0x131, 0x132, 0x133, 0x134, 0x181, 0x182,
                                 0x183, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac,
                                 0xad, 0xae, 0x00, 0x01};
  u64 rng = seed, ok = 0;
  s4v_machine *m = NULL;
  u8 code[8];
  s4v_stop stop;
  for (u64 n = 0; n < count; n++) {
    if (n % 5000 == 0) {
      struct guest g = guest_random(&rng);
      g.strands = 1 + below(&rng, 4);
      if (m) s4v_machine_free(m);
      m = guest_new(&g, &forms, &rng);
      guest_run(m, 400);
    }
    if (s4v_strand_state(m, 0) != 2 || n % 50 == 0) s4v_strand_start(m, 0, CODE, 0, 0);
    put32(code, TA | traps[below(&rng, sizeof traps)]);
    put32(code + 4, NOP);
    s4v_mem_write(m, CODE, code, sizeof code);
    char name[3] = "o0";
    for (name[1] = '0'; name[1] < '5'; name[1]++) set(m, name, argument(&rng));
    if (one_in(&rng, 3)) set(m, "o0", 0), set(m, "o1", 0); /* CPU lists are not supported */
    set(m, "o5", one_in(&rng, 32) ? next_random(&rng) : one_in(&rng, 16) ? below(&rng, 0x200) : functions[below(&rng, sizeof functions / sizeof functions[0])]);
    set(m, "mmu_enabled", 0);
    set(m, "tl", 0);
    set(m, "pstate", 4);
    set(m, "pc", CODE);
    u8 input[16] = {0};
    if (one_in(&rng, 8)) s4v_console_feed(m, input, below(&rng, 16));
    s4v_strand_run(m, 0, 1, &stop);
    if (stop.reason == S4V_STOP_CONSOLE) while (s4v_console_read(m, (u8[4096]){0}, 4096)) continue;
    u64 status = 1;
    s4v_reg_get(m, 0, s4v_reg_find("o0"), &status);
    ok += stop.insns == 1 && status == 0;
    if (one_in(&rng, 64)) guest_run(m, 200);
  }
  if (m) s4v_machine_free(m);
  return ok;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  forms_read(&forms);
  u64 seed = strtoull(argv[2], NULL, 0) << 32, count = strtoull(argv[3], NULL, 0);
  u64 (*test)(u64, u64) = argv[1][0] == 'f' ? flow : argv[1][0] == 's' ? single : calls;
  printf("count %llu done %llu\n", (unsigned long long)count, (unsigned long long)test(seed, count));
  return 0;
}
