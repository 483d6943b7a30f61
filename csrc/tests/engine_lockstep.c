/* engine_lockstep.c - blocks against the stepper: `engine_lockstep SEED COUNT`, or `engine_lockstep find SEED`.
 *
 * With SUN4V_DEBUGGED in the environment a debugger is at the machine of blocks all along: break- and watchpoints come and
 * go, single steps, memory looked at by virtual address. The other machine knows nothing of it.
 *
 * With SUN4V_DISTURBED both machines are disturbed in the same way at many random counts, in the midst of whatever they do:
 * translations of the soft TLB go, interrupts and errors are injected, timers are set, and the host takes the machine of
 * blocks its write permissions, which is nobody's business but its own.
 *
 * Each seed is a random program that runs twice: by decoded blocks with specialised handlers, in stretches of random
 * length, and by the out-of-line body of every instruction, in one stretch. After the same number of instructions both
 * machines must be the same, to the bit. `find` searches for the first instruction after which they are not.
 */
#include "engine_guest.h"

enum { POINTS = 4, DISTURBANCES = 60 };

struct pair {
  s4v_machine *blocks, *steps;
};

static struct pair pair_new(u64 seed, const struct forms *f) {
  struct pair p;
  for (u32 n = 0; n < 2; n++) {
    u64 rng = seed;
    struct guest g = guest_random(&rng);
    g.dense = seed & 1;
    s4v_machine *m = guest_new(&g, f, &rng);
    s4v_step_only(m, n == 1);
    *(n ? &p.steps : &p.blocks) = m;
  }
  return p;
}

static void pair_free(struct pair *p) {
  s4v_machine_free(p->blocks);
  s4v_machine_free(p->steps);
}

static bool same(struct pair *p) {
  u8 a[32], b[32];
  s4v_digest(p->blocks, a);
  s4v_digest(p->steps, b);
  return memcmp(a, b, 32) == 0 && s4v_insns(p->blocks) == s4v_insns(p->steps);
}

static u64 met; /* break- and watchpoints */

static u64 some_address(u64 *rng) {
  static const u64 base[] = {DATA, CODE, ALIAS, ALIAS + DATA_BYTES, SPILL_STACK};
  return base[below(rng, 5)] + below(rng, one_in(rng, 2) ? 512 : 0x4000);
}

/* Another set of points, and a look at memory. */
static void debug_some(s4v_machine *m, u64 *rng) {
  static u64 points[16][2];
  static u32 count;
  static s4v_machine *of;
  u8 bytes[300];
  for (u32 i = 0; of == m && i < count; i++) {
    if (!points[i][1]) s4v_breakpoint_remove(m, points[i][0]);
    else s4v_watchpoint_remove(m, points[i][0], points[i][1] >> 8, points[i][1] & 3);
  }
  of = m;
  count = below(rng, 4) ? below(rng, 16) : 0;
  for (u32 i = 0; i < count; i++) {
    bool watch = one_in(rng, 2);
    points[i][0] = watch ? some_address(rng) : some_address(rng) & ~3ull;
    points[i][1] = watch ? (u64)(1 + below(rng, 40)) << 8 | (1 + below(rng, 3)) : 0;
    if (!watch) s4v_breakpoint_add(m, points[i][0]);
    else s4v_watchpoint_add(m, points[i][0], points[i][1] >> 8, points[i][1] & 3);
  }
  s4v_va_read(m, 0, some_address(rng), bytes, below(rng, sizeof bytes));
}

static s4v_stop step_some(s4v_machine *m, u64 insns, u32 steps) {
  s4v_stop stop = {.reason = S4V_STOP_STEP};
  u64 done = 0;
  for (; steps && done < insns && (stop.reason == S4V_STOP_STEP || stop.reason == S4V_STOP_WATCHPOINT); steps--) {
    s4v_step(m, S4V_STRAND_ANY, &stop);
    done += stop.insns;
  }
  stop.insns = done;
  return stop;
}

static bool goes_on(s4v_stop stop) {
  bool point = stop.reason == S4V_STOP_BREAKPOINT || stop.reason == S4V_STOP_WATCHPOINT;
  met += point;
  return point || stop.reason == S4V_STOP_BUDGET || stop.reason == S4V_STOP_STEP;
}

static s4v_stop run_cut(s4v_machine *m, u64 insns, u64 *rng) {
  s4v_stop stop = {0};
  u64 done = 0;
  bool debugged = getenv("SUN4V_DEBUGGED");
  while (done < insns) {
    if (debugged) debug_some(m, rng);
    u64 cut = one_in(rng, 3) ? 1 + below(rng, 8) : 1 + below(rng, 2000);
    cut = cut < insns - done ? cut : insns - done;
    bool steps = debugged && one_in(rng, 4);
    stop = steps ? step_some(m, cut, below(rng, 8)) : guest_run(m, cut);
    done += stop.insns;
    if (!goes_on(stop) && !(steps && (stop.reason == S4V_STOP_IDLE || stop.reason == S4V_STOP_CONSOLE))) break;
  }
  if (goes_on(stop)) stop.reason = S4V_STOP_BUDGET;
  stop.insns = done;
  return stop;
}

static void set_reg(s4v_machine *m, u32 strand, const char *name, u64 v) { s4v_reg_set(m, strand, s4v_reg_find(name), v); }

static void disturb(s4v_machine *m, u64 rng, bool blocks) {
  s4v_config config;
  s4v_machine_config(m, &config);
  u32 strand = below(&rng, config.strands), what = below(&rng, 8);
  u64 bits = next_random(&rng) & (one_in(&rng, 2) ? ~0ull : next_random(&rng)), tick, handle;
  s4v_reg_get(m, strand, s4v_reg_find("tick"), &tick);
  s4v_error error = {.desc = bits & 1 ? 1 : 2, .attr = 1, .ra = ~0ull};
  if (what < 5) s4v_forget_translations(m, bits);
  if (what == 3) set_reg(m, strand, "softint", bits & 0x1ffff);
  if (what == 4) set_reg(m, strand, "pil", bits & 15);
  if (what == 5) set_reg(m, strand, "tick_cmpr", tick + (bits & 0x3ff));
  if (what == 6) s4v_error_report(m, strand, bits & 1, &error, &handle);
  if (what == 7) set_reg(m, strand, "cleanwin", bits & 7);
  if (blocks && one_in(&rng, 2)) s4v_dirty_barrier(m);
}

/* Instructions run, or ~0 where the two differ. `native`: bytes of host code. */
static u64 check(u64 seed, const struct forms *f, u64 *native) {
  struct pair p = pair_new(seed, f);
  u64 rng = ~seed, total = 0;
  bool good = true, more = true;
  bool disturbed = getenv("SUN4V_DISTURBED");
  for (u32 n = 0; good && more && n < (disturbed ? DISTURBANCES : POINTS); n++) {
    u64 insns = 1 + below(&rng, disturbed ? 300 : one_in(&rng, 4) ? 20000 : 1500), how = next_random(&rng);
    if (disturbed) disturb(p.blocks, how, true), disturb(p.steps, how, false);
    s4v_stop a = run_cut(p.blocks, insns, &rng), b = guest_run(p.steps, insns);
    more = a.reason == S4V_STOP_BUDGET;
    bool look = !disturbed || !more || n % 10 == 9; /* what has once become different stays so */
    good = a.reason == b.reason && a.insns == b.insns && a.tt == b.tt && (!look || same(&p));
    total += a.insns;
  }
  *native += s4v_native_bytes(p.blocks);
  pair_free(&p);
  return good ? total : ~(u64)0;
}

static bool differs_after(u64 seed, u64 insns, const struct forms *f, bool print) {
  struct pair p = pair_new(seed, f);
  s4v_stop a = guest_run(p.blocks, insns), b = guest_run(p.steps, insns);
  bool differ = a.reason != b.reason || a.insns != b.insns || a.tt != b.tt || !same(&p);
  char text[8192];
  for (u32 n = 0; print && n < 2; n++) {
    s4v_strand_print(n ? p.steps : p.blocks, 0, text, sizeof text);
    printf("---- %s after %llu, stop %d tt %x\n%s", n ? "steps" : "blocks", (unsigned long long)(n ? b : a).insns,
           (n ? b : a).reason, (n ? b : a).tt, text);
  }
  if (print && differ) {
    static u8 x[MEMORY], y[MEMORY];
    s4v_mem_read(p.blocks, 0, x, MEMORY), s4v_mem_read(p.steps, 0, y, MEMORY);
    for (u32 n = 0; n < MEMORY; n++)
      if (x[n] != y[n]) printf("memory %x: %02x %02x\n", n, x[n], y[n]);
  }
  pair_free(&p);
  return differ;
}

static int find(u64 seed, const struct forms *f) {
  u64 good = 0, bad = 100000;
  if (!differs_after(seed, bad, f, false)) return printf("no difference without cuts\n"), 0;
  while (bad - good > 1) {
    u64 middle = (good + bad) / 2;
    if (differs_after(seed, middle, f, false)) bad = middle;
    else good = middle;
  }
  struct pair p = pair_new(seed, f);
  guest_run(p.steps, good);
  u64 pc = 0;
  s4v_reg_get(p.steps, 0, s4v_reg_find("pc"), &pc);
  s4v_trace_enable(p.steps, 1);
  s4v_stop stop;
  char line[512] = "";
  s4v_run(p.steps, 1, &stop);
  line[s4v_trace_read(p.steps, line, sizeof line - 1)] = 0;
  printf("first difference after instruction %llu:\n%s", (unsigned long long)bad, line);
  pair_free(&p);
  differs_after(seed, bad, f, true);
  return 1;
}

int main(int argc, char **argv) {
  static struct forms f;
  if (argc != 3) return 2;
  forms_read(&f);
  if (strcmp(argv[1], "find") == 0) return find(strtoull(argv[2], NULL, 0), &f);
  u64 seed = strtoull(argv[1], NULL, 0) << 32, count = strtoull(argv[2], NULL, 0), insns = 0, wrong = 0, native = 0;
  for (u64 n = 0; n < count; n++) {
    u64 one = check(seed + n, &f, &native);
    if (one == ~(u64)0) printf("seed %#llx differs\n", (unsigned long long)(seed + n)), wrong++;
    else insns += one;
    if (wrong >= 10) break;
  }
  if (met) printf("points met %llu\n", (unsigned long long)met);
  printf("native bytes %llu\n", (unsigned long long)native);
  printf("programs %llu instructions %llu wrong %llu\n", (unsigned long long)count, (unsigned long long)insns,
         (unsigned long long)wrong);
  return wrong != 0;
}
