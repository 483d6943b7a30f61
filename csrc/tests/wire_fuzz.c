/* wire_fuzz.c one|two SEED ROUNDS: channels between two domains (csrc/hyp/ldc_wire.c), with hostile guests at both ends.
 *
 * Calls with any arguments, queues, tables and packets at random, ends that are plugged in and out; by one thread, or each
 * domain by a thread of its own. What a guest has not exported and not lent to a queue stays as it was; packets come whole, as
 * they were sent, in order; LDC_COPY moves what it says; a session that begins anew works. Prints packets and bytes copied.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>

#include "public.h"

enum {
  MEMORY = 2 << 20, PAGE = 8192, CODE = 0x10000, TABLE = 0x20000, TX = 0x30000, RX = 0x40000, QUEUE = 64, LOCAL = 0x60000,
  LOCAL_BYTES = 0x20000, BASE = 0x100000, PAGES = 32, OUTSIDE = BASE + PAGES * PAGE, CHANNEL = 1, RIGHTS = 0x600,
  TX_QCONF = 0xe0, TX_STATE = 0xe2, TX_TAIL = 0xe3, RX_QCONF = 0xe4, RX_STATE = 0xe6, RX_HEAD = 0xe7, SET_MAP = 0xea, COPY = 0xec,
  OK = 0,
};

struct end {
  s4v_machine *m;
  struct end *other;
  unsigned long long seed;
  u32 side, plugged, tx_tail, sent, seen; /* numbers of packets */
  u64 rounds, packets, copied;
};

static s4v_wire *wire;

static u64 below(struct end *e, u64 n) { return random_next(&e->seed) % n; }

static void store(struct end *e, u64 ra, u64 v) {
  u64 word = __builtin_bswap64(v);
  CHECK(s4v_mem_write(e->m, ra, &word, sizeof word) == S4V_OK);
}

static u64 load(struct end *e, u64 ra) {
  u64 word;
  CHECK(s4v_mem_read(e->m, ra, &word, sizeof word) == S4V_OK);
  return __builtin_bswap64(word);
}

static void set_reg(struct end *e, const char *name, u64 v) { CHECK(s4v_reg_set(e->m, 0, s4v_reg_find(name), v) == S4V_OK); }

static u64 reg(struct end *e, const char *name) {
  u64 v;
  CHECK(s4v_reg_get(e->m, 0, s4v_reg_find(name), &v) == S4V_OK);
  return v;
}

static u64 hcall(struct end *e, u64 function, u64 a, u64 b, u64 c, u64 d) {
  s4v_stop stop;
  set_reg(e, "pc", CODE), set_reg(e, "npc", CODE + 4);
  set_reg(e, "o0", CHANNEL), set_reg(e, "o1", a), set_reg(e, "o2", b), set_reg(e, "o3", c), set_reg(e, "o4", d);
  set_reg(e, "o5", function);
  CHECK(s4v_run_for(e->m, 1, 60000000000u, &stop) == S4V_OK && stop.reason == S4V_STOP_BUDGET);
  return reg(e, "o0");
}

static void map_all(struct end *e) {
  for (u64 i = 0; i < PAGES; i++) store(e, TABLE + 16 * i, (BASE + i * PAGE) | RIGHTS);
}

static void power_on(struct end *e) {
  s4v_config config = {
      .memory_bytes = MEMORY, .strands = 1, .features = ~(u64)0, .cfr_present = 1, .channels = 8, .stick_hz = 1000000000,
      .tick_hz = 3600000000u, .va_bits = 52, .page_sizes = 0x3f, .max_tsbs = 4, .quantum = 1000, .rng_seed = 1, .rng_layout = 1,
  };
  char why[128];
  u64 granted[2];
  e->m = s4v_machine_new(&config, why, sizeof why);
  CHECK(e->m && s4v_ldc_add_wire(e->m, CHANNEL) == S4V_OK && s4v_api_version(e->m, 0x101, 1, 1, 0, granted) == 0);
  store(e, CODE, (u64)0x91d02080 << 32); /* ta 0x80 */
  CHECK(s4v_strand_start(e->m, 0, CODE, 0, 0) == S4V_OK);
  for (u64 at = OUTSIDE; at < MEMORY; at += 8) store(e, at, ~at);
}

static void plug(struct end *e, int in) {
  if (in) CHECK(s4v_wire_plug(e->m, CHANNEL, wire, e->side) == (e->plugged ? S4V_EINVAL : S4V_OK));
  else CHECK(s4v_wire_unplug(e->m, CHANNEL) == S4V_OK);
  e->plugged = in != 0;
}

static void own_side_anew(struct end *e) {
  CHECK(hcall(e, TX_QCONF, 0, 0, 0, 0) == OK); /* what it still had to send would go as soon as it is plugged in */
  if (!e->plugged) plug(e, 1);
  map_all(e);
  CHECK(hcall(e, SET_MAP, TABLE, PAGES, 0, 0) == OK && hcall(e, TX_QCONF, TX, QUEUE, 0, 0) == OK);
  CHECK(hcall(e, RX_QCONF, RX, QUEUE, 0, 0) == OK);
  e->tx_tail = e->seen = 0;
}

/* ---- packets: a number, and words that follow from it ---- */

static u64 word_of(const struct end *from, u32 number, u32 i) { return (u64)number << 32 | (u64)from->side << 16 | i; }

static void send(struct end *e) {
  for (u32 i = 0; i < 8; i++) store(e, TX + e->tx_tail + 8 * i, word_of(e, e->sent + 1, i));
  u32 tail = (e->tx_tail + 64) % (QUEUE * 64);
  if (hcall(e, TX_TAIL, tail, 0, 0, 0) != OK) return;
  e->tx_tail = tail;
  e->sent++;
}

/* What has come since: whole, and each later than the one before. Hostile queues hold what the guest itself has put there. */
static void receive(struct end *e, int fair) {
  if (hcall(e, RX_STATE, 0, 0, 0, 0) != OK) return;
  u64 head = reg(e, "o1"), tail = reg(e, "o2");
  CHECK(head % 64 == 0 && tail % 64 == 0);
  for (; fair && head != tail; head = (head + 64) % (QUEUE * 64)) {
    u32 number = (u32)(load(e, RX + head) >> 32);
    for (u32 i = 0; i < 8; i++) CHECK(load(e, RX + head + 8 * i) == word_of(e->other, number, i));
    CHECK(number > e->seen);
    e->seen = number;
    e->packets++;
  }
  CHECK(hcall(e, RX_HEAD, tail, 0, 0, 0) == OK);
}

static void copy(struct end *e) {
  static const u64 words[] = {0, 1, 7, 8, 8191, 8192, PAGES * PAGE, (u64)1 << 60, (u64)5 << 60, ~(u64)0 - 7, (u64)1 << 63};
  u64 cookie = below(e, 4) ? below(e, PAGES * PAGE) & ~7ull : words[below(e, 11)] + below(e, 64);
  u64 length = below(e, 4) ? 8 * below(e, 3000) : words[below(e, 11)], local = LOCAL + 8 * below(e, 1024);
  if (below(e, 8) == 0) local = below(e, 2) ? ~(u64)0 - 8191 : MEMORY;
  u64 status = hcall(e, COPY, below(e, 2), cookie, local, length), done = reg(e, "o1");
  if (status != OK) return;
  CHECK(done <= length);
  e->copied += done;
}

/* ---- what may come ---- */

static u64 any_word(struct end *e) {
  static const u64 word[] = {0, 1, 2, 63, 64, 128, 4096, 8191, 8192, TABLE, TX, RX, BASE, MEMORY, 1u << 31, ~(u64)0, (u64)1 << 63};
  return below(e, 3) ? word[below(e, sizeof word / sizeof *word)] : random_next(&e->seed) >> below(e, 64);
}

/* Queues and tables where the guest may have them: nothing is said of what comes into them. */
static void hostile_call(struct end *e) {
  static const u64 places[] = {TX, RX, TABLE, LOCAL, BASE};
  u64 place = places[below(e, 5)], entries = (u64)1 << below(e, 7);
  switch (below(e, 8)) {
    case 0: hcall(e, TX_QCONF, place, entries, 0, 0); break;
    case 1: hcall(e, RX_QCONF, place == TABLE ? RX : place, entries, 0, 0); break;
    case 2: hcall(e, SET_MAP, TABLE | (below(e, 4) ? 0 : 8 | any_word(e)), below(e, 2) ? entries : any_word(e), 0, 0); break;
    case 3: hcall(e, TX_TAIL, any_word(e), 0, 0, 0); break;
    case 4: hcall(e, RX_HEAD, any_word(e), 0, 0, 0); break;
    case 5: store(e, TABLE + 16 * below(e, PAGES), any_word(e) & ~((u64)0x7f0)); break;
    case 6: store(e, TABLE + 16 * below(e, PAGES), (BASE + below(e, PAGES) * PAGE) | below(e, 8) << 9 | below(e, 8)); break;
    default: hcall(e, TX_STATE, 0, 0, 0, 0); break;
  }
}

static void some_moves(struct end *e, int fair) {
  for (u64 n = below(e, 8); n; n--) {
    if (!fair && below(e, 3) == 0) hostile_call(e);
    else if (below(e, 3) == 0) copy(e);
    else if (below(e, 2)) send(e);
    else receive(e, fair);
  }
  if (below(e, 40) == 0) {
    plug(e, 0);
    if (fair) own_side_anew(e);
    else if (below(e, 2)) plug(e, 1);
  }
}

/* Both ends from the beginning: packets and a copy go through, in both directions. */
static void it_works(struct end *e) {
  struct end *both[2] = {e, e->other};
  for (u32 i = 0; i < 2; i++) plug(both[i], 0);
  for (u32 i = 0; i < 2; i++) own_side_anew(both[i]);
  for (u32 i = 0; i < 2; i++) {
    struct end *from = both[i], *to = from->other;
    receive(to, 1);
    u32 before = to->seen;
    for (u32 n = 0; n < 5; n++) send(from);
    receive(to, 1);
    CHECK(to->seen == from->sent && to->seen - before >= 5);
    store(to, BASE + 3 * PAGE + 8, from->sent);
    CHECK(hcall(from, COPY, 0, 3 * PAGE + 8, LOCAL, 8) == OK && reg(from, "o1") == 8 && load(from, LOCAL) == from->sent);
    store(from, LOCAL, 77);
    CHECK(hcall(from, COPY, 1, 3 * PAGE, LOCAL, 8) == OK && load(to, BASE + 3 * PAGE) == 77);
  }
}

static void *runs(void *arg) {
  struct end *e = arg;
  for (u64 i = 0; i < e->rounds; i++) {
    if (i % 64 == 0) own_side_anew(e);
    some_moves(e, 0);
  }
  return NULL;
}

static void fair_and_foul(struct end *ends, u64 rounds) {
  for (u64 i = 0; i < rounds; i++) {
    if (i % 64 == 0) it_works(&ends[0]);
    for (u32 n = 0; n < 2; n++) some_moves(&ends[n], i % 64 < 32);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  static struct end ends[2];
  pthread_t thread[2];
  CHECK((wire = s4v_wire_new()));
  for (u32 i = 0; i < 2; i++) {
    ends[i] = (struct end){.side = i, .other = &ends[!i], .seed = strtoull(argv[2], NULL, 0) * 2 + i, .rounds = strtoull(argv[3], NULL, 0)};
    power_on(&ends[i]);
  }
  if (!strcmp(argv[1], "one")) {
    fair_and_foul(ends, ends[0].rounds);
  } else {
    for (u32 i = 0; i < 2; i++) CHECK(!pthread_create(&thread[i], NULL, runs, &ends[i]));
    for (u32 i = 0; i < 2; i++) CHECK(!pthread_join(thread[i], NULL));
  }
  it_works(&ends[0]);
  for (u32 i = 0; i < 2; i++) {
    for (u64 at = OUTSIDE; at < MEMORY; at += 8) CHECK(load(&ends[i], at) == ~at);
    CHECK(load(&ends[i], CODE) == (u64)0x91d02080 << 32);
  }
  printf("packets %llu copied %llu\n", (unsigned long long)(ends[0].packets + ends[1].packets),
         (unsigned long long)(ends[0].copied + ends[1].copied));
  for (u32 i = 0; i < 2; i++) s4v_machine_free(ends[i].m);
  s4v_wire_release(wire);
  return 0;
}
