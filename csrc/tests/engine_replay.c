/* engine_replay.c - the same machine twice: `engine_replay cuts|restore|mutate|moved|hostile|harvest SEED COUNT`, `save|resume SEED FILE`.
 *
 * cuts     up to 16 strands, one machine run in one piece, the other cut at random: equal after N instructions
 * restore  saved at random points and loaded into a new machine: both go on to be equal
 * mutate   damaged state images are refused or loaded, never worse; the machine takes a good image afterwards
 * moved, hostile   as restore and mutate, with the state without memory, and to a machine of another server
 * harvest  a copy of memory kept up from harvested pages alone is the memory
 * save, resume   write a state and the digest some way on; a new process continues from it to the same digest
 */
#include "engine_guest.h"

static struct forms forms;

static void digest_text(s4v_machine *m, char text[65]) {
  u8 d[32];
  s4v_digest(m, d);
  for (u32 i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", d[i]);
}
static bool same(s4v_machine *a, s4v_machine *b) {
  char x[65], y[65];
  digest_text(a, x), digest_text(b, y);
  return strcmp(x, y) == 0;
}

static struct guest many_strands(u64 *rng) {
  struct guest g = guest_random(rng);
  g.strands = 1 + below(rng, 16);
  return g;
}

static s4v_stop run_cut(s4v_machine *m, u64 insns, u64 *rng) {
  s4v_stop stop = {0};
  u64 done = 0;
  while (done < insns) {
    u64 cut = one_in(rng, 2) ? 1 + below(rng, 5) : 1 + below(rng, 3000);
    stop = guest_run(m, cut < insns - done ? cut : insns - done);
    done += stop.insns;
    if (stop.reason != S4V_STOP_BUDGET) break;
  }
  stop.insns = done;
  return stop;
}

static bool cuts(u64 seed, u64 *insns) {
  u64 rng = seed, again = seed, chance = ~seed;
  struct guest g = many_strands(&rng);
  many_strands(&again);
  s4v_machine *a = guest_new(&g, &forms, &rng), *b = guest_new(&g, &forms, &again);
  bool good = true, more = true;
  for (u32 n = 0; good && more && n < 3; n++) {
    u64 budget = 1 + below(&chance, 30000);
    s4v_stop x = guest_run(a, budget), y = run_cut(b, budget, &chance);
    good = x.reason == y.reason && x.insns == y.insns && same(a, b);
    more = x.reason == S4V_STOP_BUDGET;
    *insns += x.insns;
  }
  s4v_machine_free(a);
  s4v_machine_free(b);
  return good;
}

/* A kind of state image. */
struct kind {
  int64_t (*size)(const s4v_machine *);
  int64_t (*save)(const s4v_machine *, void *, size_t);
  int (*load)(s4v_machine *, const void *, size_t, char *, size_t);
  bool moves; /* memory goes by itself, and the target is a machine of another server */
};
static const struct kind whole = {s4v_state_size, s4v_state_save, s4v_state_load, false};
static const struct kind moving = {s4v_moving_size, s4v_moving_save, s4v_moving_load, true};

static u8 *saved(const struct kind *k, s4v_machine *m, size_t *bytes) {
  *bytes = (size_t)k->size(m);
  u8 *image = malloc(*bytes);
  if (!image || k->save(m, image, *bytes) != (int64_t)*bytes) abort();
  return image;
}

static s4v_machine *empty_machine(const struct kind *k, const struct guest *g) {
  char why[128];
  s4v_config config = guest_config(g);
  if (k->moves) {
    config.memory_bytes = 0;
    config.features = ~0ull;
    config.cfr = 0xfff000;
    config.stick_hz = config.tick_hz = 1650000000;
    config.ra_limit = (u64)1 << 50;
    config.rng_layout = 2;
    config.quantum = g->quantum + 1;
  }
  s4v_machine *m = s4v_machine_new(&config, why, sizeof why);
  if (!m) abort();
  for (u64 ra = 0; k->moves && ra < MEMORY; ra += MEMORY / 4)
    if (s4v_memory_add(m, ra, (u64)1 << 40 | ((ra + MEMORY / 2) % MEMORY) << 1, MEMORY / 4, why, sizeof why)) abort();
  return m;
}

/* Memory, where the image has none. */
static void memory_goes(const struct kind *k, const s4v_machine *from, s4v_machine *to) {
  static u8 memory[MEMORY];
  if (!k->moves) return;
  if (s4v_mem_read(from, 0, memory, MEMORY) || s4v_mem_write(to, 0, memory, MEMORY)) abort();
}

static bool restored(const struct kind *k, u64 seed, u64 *insns) {
  u64 rng = seed, chance = ~seed;
  struct guest g = many_strands(&rng);
  s4v_machine *m = guest_new(&g, &forms, &rng);
  char why[128];
  bool good = true;
  for (u32 n = 0; good && n < 3; n++) {
    *insns += guest_run(m, 1 + below(&chance, one_in(&chance, 2) ? 400 : 8000)).insns;
    size_t bytes;
    u8 *image = saved(k, m, &bytes);
    s4v_machine *copy = empty_machine(k, &g);
    if (one_in(&chance, 3)) guest_run(copy, 10);
    memory_goes(k, m, copy);
    good = k->load(copy, image, bytes, why, sizeof why) == 0 && same(m, copy);
    u64 budget = 1 + below(&chance, 3000);
    s4v_stop x = run_cut(m, budget, &chance), y = run_cut(copy, budget, &chance);
    good = good && x.reason == y.reason && x.insns == y.insns && same(m, copy);
    free(image);
    s4v_machine_free(copy);
  }
  s4v_machine_free(m);
  return good;
}

static bool restore(u64 seed, u64 *insns) { return restored(&whole, seed, insns); }
static bool moved(u64 seed, u64 *insns) { return restored(&moving, seed, insns); }

static void damage(u8 *image, size_t *bytes, u64 *rng) {
  size_t at = one_in(rng, 2) ? next_random(rng) % *bytes : next_random(rng) % 12000 % *bytes;
  static const u8 marks[] = {0, 1, 0x7f, 0x80, 0xff};
  switch (below(rng, 6)) {
  case 0: *bytes = next_random(rng) % (*bytes + 1); break;
  case 1: image[at] ^= (u8)(1u << below(rng, 8)); break;
  case 2: memset(image + at, marks[below(rng, 5)], *bytes - at < 8 ? *bytes - at : 8); break;
  case 3: memset(image + at, (int)next_random(rng), (*bytes - at) % 64); break;
  case 4: memmove(image + at, image + at / 2, (*bytes - at) % 4096); break;
  default: image[at] = (u8)next_random(rng);
  }
}

static bool mutated(const struct kind *k, u64 seed, u64 *loaded) {
  u64 rng = seed, chance = ~seed;
  struct guest g = many_strands(&rng);
  if (g.strands > 2) g.strands = 2;
  s4v_machine *m = guest_new(&g, &forms, &rng), *victim = empty_machine(k, &g);
  guest_run(m, 1 + below(&chance, 4000));
  size_t bytes;
  u8 *image = saved(k, m, &bytes), *broken = malloc(bytes);
  char why[256];
  bool good = true;
  for (u32 n = 0; good && n < 12; n++) {
    size_t length = bytes;
    memcpy(broken, image, bytes);
    for (u32 times = 1 + below(&chance, 3); times-- > 0 && length;) damage(broken, &length, &chance);
    u8 *exact = malloc(length ? length : 1); /* of its own size, so that a read past the end is seen */
    memcpy(exact, broken, length);
    memory_goes(k, m, victim);
    if (k->load(victim, exact, length, why, sizeof why) == 0) ++*loaded;
    free(exact);
    run_cut(victim, 2000, &chance);
    memory_goes(k, m, victim);
    good = k->load(victim, image, bytes, why, sizeof why) == 0 && same(m, victim);
  }
  free(image);
  free(broken);
  s4v_machine_free(m);
  s4v_machine_free(victim);
  return good;
}

static bool mutate(u64 seed, u64 *loaded) { return mutated(&whole, seed, loaded); }
static bool hostile(u64 seed, u64 *loaded) { return mutated(&moving, seed, loaded); }

static bool harvest(u64 seed, u64 *pages) {
  static u8 shadow[MEMORY], memory[MEMORY];
  static u64 list[MEMORY / 8192];
  u64 rng = seed, chance = ~seed;
  struct guest g = many_strands(&rng);
  s4v_machine *m = guest_new(&g, &forms, &rng);
  bool good = true;
  memset(shadow, 0, sizeof shadow);
  for (u32 n = 0; good && n < 8; n++) {
    int64_t count = s4v_dirty_harvest(m, list, MEMORY / 8192);
    good = count >= 0;
    for (int64_t i = 0; i < count; i++)
      if (s4v_mem_read(m, list[i] * 8192, shadow + list[i] * 8192, 8192)) abort();
    *pages += (u64)count;
    if (s4v_mem_read(m, 0, memory, MEMORY)) abort();
    good = good && memcmp(shadow, memory, MEMORY) == 0;
    run_cut(m, 1 + below(&chance, one_in(&chance, 3) ? 20 : 3000), &chance);
  }
  s4v_machine_free(m);
  return good;
}

enum { SAVE_AFTER = 3000, RESUME_FOR = 20000 };

/* Line 1 of the output: the digest after RESUME_FOR instructions more. */
static int save_or_resume(bool save, u64 seed, const char *path) {
  u64 rng = seed;
  struct guest g = many_strands(&rng);
  s4v_machine *m = save ? guest_new(&g, &forms, &rng) : empty_machine(&whole, &g);
  char text[65], why[128];
  FILE *file = fopen(path, save ? "wb" : "rb");
  static u8 image[16 << 20];
  if (!file) return 2;
  if (save) {
    guest_run(m, SAVE_AFTER);
    size_t bytes;
    u8 *state = saved(&whole, m, &bytes);
    fwrite(state, 1, bytes, file);
    free(state);
  } else {
    size_t bytes = fread(image, 1, sizeof image, file);
    if (s4v_state_load(m, image, bytes, why, sizeof why)) return printf("%s\n", why), 1;
  }
  fclose(file);
  guest_run(m, RESUME_FOR);
  digest_text(m, text);
  printf("%s\n", text);
  s4v_machine_free(m);
  return 0;
}

int main(int argc, char **argv) {
  static const struct { const char *name; bool (*test)(u64, u64 *); } tests[] = {
      {"cuts", cuts}, {"restore", restore}, {"mutate", mutate}, {"moved", moved}, {"hostile", hostile},
      {"harvest", harvest}};
  if (argc != 4) return 2;
  forms_read(&forms);
  u64 seed = strtoull(argv[2], NULL, 0), wrong = 0, work = 0;
  if (strcmp(argv[1], "save") == 0) return save_or_resume(true, seed, argv[3]);
  if (strcmp(argv[1], "resume") == 0) return save_or_resume(false, seed, argv[3]);
  u64 count = strtoull(argv[3], NULL, 0);
  for (u32 t = 0; t < sizeof tests / sizeof tests[0]; t++) {
    if (strcmp(argv[1], tests[t].name)) continue;
    for (u64 n = 0; n < count && wrong < 10; n++) {
      if (tests[t].test((seed << 32) + n, &work)) continue;
      printf("seed %#llx differs\n", (unsigned long long)((seed << 32) + n));
      wrong++;
    }
    printf("machines %llu work %llu wrong %llu\n", (unsigned long long)count, (unsigned long long)work,
           (unsigned long long)wrong);
    return wrong != 0;
  }
  return 2;
}
