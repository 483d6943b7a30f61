/* beside.c - strands on threads of their own, through the public interface: `beside MODE ...`.
 *
 * program ELF STRANDS TESTS ROUNDS SEED   check-strands (images/programs/check/strands.c) to its end, in runs cut at random
 *                                         by budget, by time, and by a thread that kicks
 * steady  ELF STRANDS TESTS ROUNDS SEED   the same in one run that nothing disturbs: a lost wake-up stays lost
 * moved   ELF STRANDS TESTS ROUNDS SEED   the same; the state moves to a new machine at random points
 * exact   STRANDS SEED                    budgets are used to the instruction
 * stops   STRANDS SEED                    strands that all stop for the client at once: each stop is told, once
 * idle    STRANDS                         nobody works: run ends at once, or sleeps until kicked or out of time
 * life    STRANDS SEED                    machines made, run, reset and freed in all states
 * come    STRANDS SEED                    strands and memory come and go between runs; a thread looks how busy they are
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <time.h>

#include "engine_choice.h"
#include "public.h"

enum { MEMORY = 16 << 20, WORK = 0x1000, CODE = 0x10000, CODE_BYTES = 0x100 };
#define NEVER (~(u64)0 >> 8)

static u64 rng;
static u64 below(u64 n) {
  unsigned long long state = rng;
  u64 v = random_next(&state) % n;
  rng = state;
  return v;
}

static s4v_machine *machine(u32 strands, int deterministic) {
  s4v_config config = {
      .memory_bytes = MEMORY, .strands = strands, .deterministic = (u32)deterministic, .features = ~(u64)0, .cfr_present = 1,
      .stick_hz = 1000000000, .tick_hz = 3600000000u, .va_bits = 52, .page_sizes = 0x3f, .max_tsbs = 4, .quantum = 1000,
      .rng_seed = 1, .rng_layout = 1,
  };
  char why[128];
  s4v_machine *m = s4v_machine_new(&config, why, sizeof why);
  CHECK(m);
  engine_choose(m);
  return m;
}

/* ---- a thread that kicks ---- */
struct kicker {
  s4v_machine *m;
  pthread_t thread;
  u32 quit;
  u64 pause_ns;
};

static void *kick(void *arg) {
  struct kicker *k = arg;
  struct timespec pause = {0, (long)k->pause_ns};
  while (!__atomic_load_n(&k->quit, __ATOMIC_ACQUIRE)) {
    nanosleep(&pause, NULL);
    s4v_kick(__atomic_load_n(&k->m, __ATOMIC_ACQUIRE));
  }
  return NULL;
}

static void kicker_start(struct kicker *k, s4v_machine *m, u64 pause_ns) {
  *k = (struct kicker){.m = m, .pause_ns = pause_ns};
  CHECK(!pthread_create(&k->thread, NULL, kick, k));
}

static void kicker_end(struct kicker *k) {
  __atomic_store_n(&k->quit, 1, __ATOMIC_RELEASE);
  pthread_join(k->thread, NULL);
}

/* ---- check-strands ---- */
static u64 load_elf(s4v_machine *m, const char *path) {
  static u8 image[1 << 20];
  FILE *f = fopen(path, "rb");
  CHECK(f);
  size_t n = fread(image, 1, sizeof image, f);
  fclose(f);
  CHECK(n > 64 && !memcmp(image, "\177ELF\2\2", 6));
  const u8 *program = image + get(image + 32, 8);
  for (u64 i = 0; i < get(image + 56, 2); i++, program += get(image + 54, 2)) {
    u64 from = get(program + 8, 8), to = get(program + 16, 8), bytes = get(program + 32, 8);
    if (get(program, 4) == 1) CHECK(from + bytes <= n && !s4v_mem_write(m, to, image + from, bytes));
  }
  return get(image + 24, 8);
}

static void put_work(s4v_machine *m, const u64 *words) {
  u8 bytes[24];
  for (u32 i = 0; i < 24; i++) bytes[i] = (u8)(words[i / 8] >> (56 - 8 * (i % 8)));
  CHECK(!s4v_mem_write(m, WORK, bytes, sizeof bytes));
}

static s4v_machine *moved(s4v_machine *m, u32 strands) {
  char why[128];
  int64_t bytes = s4v_state_size(m);
  u8 *image = malloc((size_t)bytes), before[32], after[32];
  CHECK(image && s4v_state_save(m, image, (size_t)bytes) == bytes);
  s4v_digest(m, before);
  s4v_machine *to = machine(strands, 0);
  CHECK(!s4v_state_load(to, image, (size_t)bytes, why, sizeof why));
  s4v_digest(to, after);
  CHECK(!memcmp(before, after, sizeof before));
  free(image);
  return to;
}

static void drain(s4v_machine *m) {
  char text[4096];
  for (size_t n; (n = s4v_console_read(m, text, sizeof text));) fwrite(text, 1, n, stdout);
}

enum { CUT = 1, MOVE = 2 };
static int program(char **arg, int how) {
  u32 strands = (u32)strtoul(arg[1], NULL, 0);
  u64 work[3] = {strtoull(arg[2], NULL, 0), strtoull(arg[3], NULL, 0), strtoull(arg[4], NULL, 0)}, insns = 0;
  s4v_machine *m = machine(strands, 0);
  rng = work[2];
  u64 entry = load_elf(m, arg[0]);
  put_work(m, work);
  CHECK(!s4v_strand_start(m, 0, entry, 0, WORK));
  struct kicker k;
  if (how) kicker_start(&k, m, 300000);
  s4v_stop stop;
  for (;;) {
    u64 budget = how && below(4) ? 1 + below(3000000) : NEVER, ns = how && below(2) ? 1 + below(3000000) : 0;
    CHECK(!s4v_run_for(m, budget, ns, &stop) && stop.insns <= budget);
    insns += stop.insns;
    CHECK(s4v_insns(m) == insns);
    drain(m);
    if (stop.reason == S4V_STOP_EXIT) break;
    CHECK(stop.reason == S4V_STOP_BUDGET || stop.reason == S4V_STOP_KICK || stop.reason == S4V_STOP_TIME);
    if (how != MOVE || below(8)) continue;
    s4v_machine *to = moved(m, strands);
    kicker_end(&k);
    s4v_machine_free(m);
    m = to;
    kicker_start(&k, m, 300000);
  }
  if (how) kicker_end(&k);
  s4v_machine_free(m);
  CHECK(stop.code == 0);
  return 0;
}

/* ---- small programs ---- */
static void put_code(s4v_machine *m, u64 at, const u32 *words, u32 n) {
  u8 bytes[CODE_BYTES];
  for (u32 i = 0; i < n * 4; i++) bytes[i] = (u8)(words[i / 4] >> (24 - 8 * (i % 4)));
  CHECK(n * 4 <= CODE_BYTES && !s4v_mem_write(m, at, bytes, n * 4));
}

static void start_all(s4v_machine *m, u32 strands, const u32 *words, u32 n) {
  for (u32 i = 0; i < strands; i++) {
    put_code(m, CODE + i * CODE_BYTES, words, n);
    CHECK(!s4v_strand_start(m, i, CODE + i * CODE_BYTES, 0, i));
  }
}

static u64 reg(s4v_machine *m, u32 strand, const char *name) {
  u64 v = 0;
  CHECK(!s4v_reg_get(m, strand, s4v_reg_find(name), &v));
  return v;
}

/* inc %g1; ba .-1; nop */
static const u32 counting[] = {0x82006001, 0x10bfffff, 0x01000000};

/* mov 0x12, %o5 (CPU_YIELD); ta 0x80; inc %g1; ba .-3; nop */
static const u32 yielding[] = {0x9a102012, 0x91d02080, 0x82006001, 0x10bffffd, 0x01000000};

static int exact(u32 strands) {
  s4v_machine *m = machine(strands, 0);
  u64 all = 0, each = 0;
  start_all(m, strands, counting, 3);
  put_code(m, CODE + (strands - 1) * CODE_BYTES, yielding, 5); /* the last one waits, and gives back its share */
  for (u32 i = 0; i < 300; i++) {
    s4v_console_break(m); /* wakes it */
    u64 budget = below(3) ? 1 + below(200) : 1 + below(300000);
    s4v_stop stop;
    CHECK(!s4v_run(m, budget, &stop));
    CHECK(stop.reason == S4V_STOP_BUDGET && stop.insns == budget);
    all += budget;
  }
  for (u32 i = 0; i < strands; i++) each += s4v_strand_insns(m, i);
  CHECK(s4v_insns(m) == all && each == all);
  for (u32 i = 0; i < strands - 1; i++) { /* three instructions a round */
    u64 n = s4v_strand_insns(m, i), rounds = reg(m, i, "g1");
    CHECK(rounds == (n + 2) / 3);
  }
  s4v_machine_free(m);
  return 0;
}

/* inc %g1; mov 2, %o5 (MACH_SIR); ta 0x80; ba .-3; nop: each round is a stop for the client. */
static const u32 restarting[] = {0x82006001, 0x9a102002, 0x91d02080, 0x10bffffd, 0x01000000};

static int stops(u32 strands) {
  s4v_machine *m = machine(strands, 0);
  u64 told[64] = {0};
  start_all(m, strands, restarting, 5);
  for (u32 i = 0; i < 4000; i++) {
    s4v_stop stop;
    CHECK(!s4v_run(m, NEVER, &stop));
    CHECK(stop.reason == S4V_STOP_RESET && stop.strand < strands);
    told[stop.strand]++;
  }
  for (u32 i = 0; i < strands; i++) { /* %g1 counts rounds begun: one more where the stop is still to come */
    u64 begun = reg(m, i, "g1");
    CHECK(begun == told[i] || begun == told[i] + 1);
  }
  s4v_machine_free(m);
  return 0;
}

static int idle(u32 strands) {
  s4v_machine *m = machine(strands, 0);
  s4v_stop stop;
  start_all(m, strands, yielding, 5);
  CHECK(!s4v_run(m, NEVER, &stop) && stop.reason == S4V_STOP_IDLE && stop.insns == 2 * strands);
  for (u32 i = 0; i < strands; i++) /* an hour from now: a time to wait for */
    CHECK(!s4v_reg_set(m, i, s4v_reg_find("stick_cmpr"), reg(m, i, "stick") + 3600000000000u));
  CHECK(!s4v_run_for(m, NEVER, 2000000, &stop) && stop.reason == S4V_STOP_TIME && stop.insns == 0);
  struct kicker k;
  kicker_start(&k, m, 1000000);
  for (u32 i = 0; i < 20; i++) CHECK(!s4v_run(m, NEVER, &stop) && stop.reason == S4V_STOP_KICK && stop.insns == 0);
  kicker_end(&k);
  for (u32 i = 0; i < strands; i++) /* now */
    CHECK(!s4v_reg_set(m, i, s4v_reg_find("stick_cmpr"), reg(m, i, "stick")));
  for (u32 awake = 0; awake < strands;) { /* a match ends CPU_YIELD until SOFTINT is cleared */
    CHECK(!s4v_run_for(m, NEVER, 1000000, &stop));
    for (u32 i = awake = 0; i < strands; i++) awake += reg(m, i, "softint") == 1 << 16 && reg(m, i, "g1") >= 1;
  }
  for (u32 i = 0; i < strands; i++) CHECK(!s4v_reg_set(m, i, s4v_reg_find("softint"), 0));
  CHECK(!s4v_run(m, NEVER, &stop) && stop.reason == S4V_STOP_IDLE);
  CHECK(s4v_console_feed(m, "x", 1) == 1); /* wakes everybody */
  u64 before = s4v_insns(m);
  CHECK(!s4v_run(m, NEVER, &stop) && stop.reason == S4V_STOP_IDLE && s4v_insns(m) >= before + 4 * strands);
  s4v_machine_free(m);
  return 0;
}

static int life(u32 strands) {
  for (u32 i = 0; i < 40; i++) {
    s4v_machine *m = machine(strands, 0);
    s4v_stop stop;
    const u32 *codes[] = {counting, restarting, yielding};
    u32 which = (u32)below(3), sizes[] = {3, 5, 5};
    start_all(m, strands, codes[which], sizes[which]);
    for (u64 n = below(4); n; n--) CHECK(!s4v_run_for(m, 1 + below(100000), 1 + below(1000000), &stop));
    if (below(2)) {
      s4v_reset(m);
      CHECK(!s4v_run(m, 1000, &stop) && stop.reason == S4V_STOP_IDLE && stop.insns == 0);
      start_all(m, strands, counting, 3);
      CHECK(!s4v_run(m, 1000, &stop) && stop.insns == 1000);
    }
    if (below(2)) CHECK(!s4v_strand_run(m, (u32)below(strands), 100, &stop));
    if (below(2)) s4v_breakpoint_add(m, CODE + 4);
    CHECK(!s4v_run(m, below(1000), &stop));
    s4v_machine_free(m);
  }
  return 0;
}

/* A thread that looks all the time; what it sees of a strand never becomes less while the strand stays. */
struct watcher {
  s4v_machine *m;
  u32 strands, quit;
};

static void *watch(void *arg) {
  struct watcher *w = arg;
  u64 sum = 0;
  while (!__atomic_load_n(&w->quit, __ATOMIC_ACQUIRE)) {
    u64 first = s4v_strand_busy(w->m, 0), second = s4v_strand_busy(w->m, 0);
    CHECK(second >= first); /* strand 0 stays */
    for (u32 i = 0; i < w->strands; i++) sum += s4v_strand_busy(w->m, i);
  }
  CHECK(sum > 0);
  return NULL;
}

static u32 change_strands(s4v_machine *m, u32 most, u32 mask) {
  u32 id = 1 + (u32)below(most - 1);
  if (!(mask >> id & 1)) {
    CHECK(!s4v_strands_add(m, &id, 1) && s4v_strands_add(m, &id, 1) == S4V_EINVAL && s4v_strand_busy(m, id) == 0);
    CHECK(!s4v_strand_start(m, id, CODE, 0, 0));
  } else {
    CHECK(s4v_strands_remove(m, &id, 1) == S4V_EBUSY);
    CHECK(!s4v_firmware_stop(m, id) && !s4v_strands_remove(m, &id, 1) && s4v_strands_remove(m, &id, 1) == S4V_ENOENT);
    CHECK(s4v_strand_state(m, id) == S4V_ENOENT && s4v_strand_busy(m, id) == 0);
  }
  return mask ^ 1u << id;
}

static int come(u32 most) {
  const u64 at = (u64)1 << 32, bytes = 64 << 13;
  s4v_config config;
  char why[128];
  s4v_machine *m = machine(most, 0);
  s4v_machine_config(m, &config);
  s4v_machine_free(m);
  config.max_strands = most;
  config.strands = 1;
  CHECK((m = s4v_machine_new(&config, why, sizeof why)));
  struct watcher w = {.m = m, .strands = most};
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, watch, &w));
  start_all(m, 1, counting, 3);
  int there = 0;
  u32 mask = 1;
  for (u32 i = 0; i < 300; i++) {
    s4v_stop stop;
    u32 ids[32];
    mask = change_strands(m, most, mask);
    CHECK(s4v_strands(m, ids, 32) == (u32)__builtin_popcount(mask));
    there = !there;
    CHECK(!(there ? s4v_memory_add(m, at, at, bytes, why, sizeof why) : s4v_memory_remove(m, at, bytes, why, sizeof why)));
    CHECK(!s4v_run(m, 1 + below(200000), &stop) && stop.reason == S4V_STOP_BUDGET);
  }
  __atomic_store_n(&w.quit, 1, __ATOMIC_RELEASE);
  pthread_join(thread, NULL);
  s4v_machine_free(m);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 7 && !strcmp(argv[1], "program")) return program(argv + 2, CUT);
  if (argc == 7 && !strcmp(argv[1], "steady")) return program(argv + 2, 0);
  if (argc == 7 && !strcmp(argv[1], "moved")) return program(argv + 2, MOVE);
  if (argc < 3) return 2;
  u32 strands = (u32)strtoul(argv[2], NULL, 0);
  rng = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
  if (!strcmp(argv[1], "exact")) return exact(strands);
  if (!strcmp(argv[1], "stops")) return stops(strands);
  if (!strcmp(argv[1], "idle")) return idle(strands);
  if (!strcmp(argv[1], "life")) return life(strands);
  if (!strcmp(argv[1], "come")) return come(strands);
  return 2;
}
