/* engine_lockstep.c - blocks against the stepper: `engine_lockstep SEED COUNT`, or `engine_lockstep find SEED`.
 *
 * Each seed is a random program that runs twice: by decoded blocks with specialised handlers, in stretches of random
 * length, and by the out-of-line body of every instruction, in one stretch. After the same number of instructions both
 * machines must be the same, to the bit. `find` searches for the first instruction after which they are not.
 */
#include "engine_guest.h"

enum { POINTS = 4 };

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

static s4v_stop run_cut(s4v_machine *m, u64 insns, u64 *rng) {
  s4v_stop stop = {0};
  u64 done = 0;
  while (done < insns) {
    u64 cut = one_in(rng, 3) ? 1 + below(rng, 8) : 1 + below(rng, 2000);
    stop = guest_run(m, cut < insns - done ? cut : insns - done);
    done += stop.insns;
    if (stop.reason != S4V_STOP_BUDGET) break;
  }
  stop.insns = done;
  return stop;
}

/* Instructions run, or ~0 where the two differ. `native`: bytes of host code. */
static u64 check(u64 seed, const struct forms *f, u64 *native) {
  struct pair p = pair_new(seed, f);
  u64 rng = ~seed, total = 0;
  bool good = true, more = true;
  for (u32 n = 0; good && more && n < POINTS; n++) {
    u64 insns = 1 + below(&rng, one_in(&rng, 4) ? 20000 : 1500);
    s4v_stop a = run_cut(p.blocks, insns, &rng), b = guest_run(p.steps, insns);
    good = a.reason == b.reason && a.insns == b.insns && a.tt == b.tt && same(&p);
    more = a.reason == S4V_STOP_BUDGET;
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
  printf("native bytes %llu\n", (unsigned long long)native);
  printf("programs %llu instructions %llu wrong %llu\n", (unsigned long long)count, (unsigned long long)insns,
         (unsigned long long)wrong);
  return wrong != 0;
}
