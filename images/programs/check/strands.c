/* strands.c - strands that run beside each other: litmus tests, locks, mondos, CPU_POKE, CPU_STOP, code changed by others. */
#include "strands.h"

enum { BATCH = 256, MOST_MONDO_STRANDS = 8 };
static struct work work = {~0ul, 40, 1};
static u64 players; /* strands of the current test */
static u64 relaxed; /* SB outcomes without MEMBAR that TSO allows and a sequential machine does not show */

/* ---- litmus tests: one instance an index, all strands walk through them side by side ---- */
struct instance {
  volatile u64 x, pad[7], y, more[7];
};
static struct instance inst[BATCH];
static volatile u64 result[4][BATCH];
static struct cell step[4];

/* Near the other strand, but without waiting for it for long. */
static void keep_pace(u64 id, u64 other, u64 k) {
  step[id].v = k;
  for (u32 spins = 0; step[other].v < k && spins < 64; spins++) continue;
}

static void clear_batch(u64 id) {
  strand_barrier(players);
  if (id == 0) {
    memset(inst, 0, sizeof inst);
    for (u32 i = 0; i < 4; i++) step[i].v = 0;
  }
  strand_barrier(players);
}

static void sb(u64 id, int fence) {
  for (u64 round = 0; round < work.rounds; round++) {
    clear_batch(id);
    for (u64 k = 0; k < BATCH; k++) {
      volatile u64 *mine = id ? &inst[k].y : &inst[k].x, *its = id ? &inst[k].x : &inst[k].y;
      keep_pace(id, 1 - id, k);
      *mine = 1;
      if (fence) MEMBAR_STORELOAD;
      result[id][k] = *its;
    }
    strand_barrier(players);
    for (u64 k = 0; id == 0 && k < BATCH; k++) {
      int both = !result[0][k] && !result[1][k];
      if (fence) CHECK(!both);
      relaxed += (u64)both;
    }
  }
}
static void sb_fenced(u64 id) { sb(id, 1); }
static void sb_plain(u64 id) { sb(id, 0); }

static void mp(u64 id) {
  for (u64 round = 0; round < work.rounds; round++) {
    clear_batch(id);
    for (u64 k = 0; k < BATCH; k++) {
      keep_pace(id, 1 - id, k);
      if (id == 0) {
        inst[k].x = ~0ul;
        inst[k].y = 1;
      } else {
        u64 flag = inst[k].y;
        u64 data = inst[k].x;
        CHECK(data == 0 || data == ~0ul); /* never half of a store */
        CHECK(!flag || data);
      }
    }
  }
  strand_barrier(players);
}

static void lb(u64 id) {
  for (u64 round = 0; round < work.rounds; round++) {
    clear_batch(id);
    for (u64 k = 0; k < BATCH; k++) {
      keep_pace(id, 1 - id, k);
      u64 seen = id ? inst[k].y : inst[k].x;
      *(id ? &inst[k].x : &inst[k].y) = 1;
      result[id][k] = seen;
    }
    strand_barrier(players);
    for (u64 k = 0; id == 0 && k < BATCH; k++) CHECK(!(result[0][k] && result[1][k]));
  }
}

static void iriw(u64 id) {
  for (u64 round = 0; round < work.rounds; round++) {
    clear_batch(id);
    for (u64 k = 0; k < BATCH; k++) {
      keep_pace(id, id ^ 1, k);
      if (id < 2) {
        *(id ? &inst[k].y : &inst[k].x) = 1;
        continue;
      }
      u64 first = id == 2 ? inst[k].x : inst[k].y;
      u64 second = id == 2 ? inst[k].y : inst[k].x;
      result[id][k] = first && !second;
    }
    strand_barrier(players);
    for (u64 k = 0; id == 0 && k < BATCH; k++) CHECK(!(result[2][k] && result[3][k]));
  }
}

/* ---- locks ---- */
static struct cell by_cas, tickets, serving, guarded, guarded_too, bytes;
static volatile u8 stub_lock;
static volatile u32 swap_lock;

static void add_under_ticket(u64 n) {
  u64 mine = fetch_add(&tickets.v, 1);
  for (u32 spins = 0; serving.v != mine; spins++)
    if (spins > 100) yield(); /* whoever holds it pokes */
  guarded.v += n;
  serving.v = mine + 1;
  for (u64 id = 0; id < players; id++) call1(CPU_POKE, id);
}

static void locks(u64 id) {
  u64 rng = work.seed + id;
  for (u64 i = 0; i < work.rounds * 8; i++) {
    u64 n = random_next(&rng) & 0xff;
    fetch_add(&by_cas.v, n);
    while (ldstub(&stub_lock)) while (stub_lock) continue;
    guarded_too.v += n;
    stub_lock = 0;
    while (swap32(&swap_lock, 1)) while (swap_lock) continue;
    bytes.v += n;
    swap_lock = 0;
    if (i % 8 == 0) add_under_ticket(n);
  }
}

static void check_locks(void) {
  u64 all = 0, eighth = 0;
  for (u64 id = 0; id < players; id++) {
    u64 rng = work.seed + id;
    for (u64 i = 0; i < work.rounds * 8; i++) {
      u64 n = random_next(&rng) & 0xff;
      all += n;
      if (i % 8 == 0) eighth += n;
    }
  }
  CHECK_EQUAL(by_cas.v, all);
  CHECK_EQUAL(guarded_too.v, all);
  CHECK_EQUAL(bytes.v, all);
  CHECK_EQUAL(guarded.v, eighth);
}

/* ---- mondos: everybody to everybody, none lost, none twice ---- */
static u8 queues[MOST_STRANDS][QUEUE_BYTES] ALIGNED(QUEUE_BYTES);
static u64 mondo[MOST_STRANDS][8] ALIGNED(64);
static volatile u16 targets[MOST_STRANDS][4];
static struct cell sent_sum, got_sum, sent_count, got_count, sending;

static void open_queue(u64 id) {
  struct hcall h = {{0x3c, (u64)queues[id], QUEUE_ENTRIES}};
  CHECK_EQUAL(hcall_fast(CPU_QCONF, &h), EOK);
}

static void take_mondos(u64 id) {
  u64 head = queue_read(0x3c0), tail = queue_read(0x3c8);
  while (head != tail) {
    const volatile u64 *entry = (const volatile u64 *)&queues[id][head];
    CHECK_EQUAL(entry[7], entry[0] ^ entry[1]); /* whole */
    fetch_add(&got_sum.v, entry[0]);
    fetch_add(&got_count.v, 1);
    head = (head + 64) % QUEUE_BYTES;
    queue_write(0x3c0, head);
  }
}

static void send_mondo(u64 id, u64 to, u64 value) {
  mondo[id][0] = value;
  mondo[id][1] = id;
  mondo[id][7] = value ^ id;
  targets[id][0] = (u16)to;
  for (;;) {
    struct hcall h = {{1, (u64)targets[id], (u64)mondo[id]}};
    u64 status = hcall_fast(CPU_MONDO_SEND, &h);
    if (status == EOK) break;
    CHECK_EQUAL(status, EWOULDBLOCK); /* its queue is full; so may ours be */
    take_mondos(id);
  }
  fetch_add(&sent_sum.v, value);
  fetch_add(&sent_count.v, 1);
}

static void mondos(u64 id) {
  u64 rng = work.seed ^ id << 8;
  open_queue(id);
  strand_barrier(players);
  for (u64 i = 0; i < work.rounds * 4; i++) {
    u64 value = random_next(&rng) >> 8, to = value % players;
    if (to != id) send_mondo(id, to, value);
    if (i % 4 == id % 4) take_mondos(id);
  }
  fetch_add(&sending.v, (u64)-1);
  while (sending.v || got_count.v != sent_count.v) take_mondos(id);
}

/* ---- interrupts reach a strand in the tightest loop ---- */
static struct cell interrupted, spinning;
extern const u32 mondo_handler[];

/* Head of queue 0x3c = tail, and into the cell that scratchpad 0 points to. */
__asm__(
    ".text\n"
    ".register %g2, #scratch\n"
    ".global mondo_handler\n"
    "mondo_handler:\n"
    "  mov 0x3c8, %g1\n"
    "  ldxa [%g1] 0x25, %g2\n"
    "  mov 0x3c0, %g1\n"
    "  stxa %g2, [%g1] 0x25\n"
    "  ldxa [%g0] 0x20, %g1\n"
    "  stx %g2, [%g1]\n"
    "  retry\n");

static void spin(u64 id) {
  open_queue(id);
  spinning.v = 1;
  __asm__ volatile("stxa %0, [%%g0] 0x20\n\twrpr %%g0, 0, %%pil\n\twrpr %%g0, 0x16, %%pstate\n"
                   "1: ba,pt %%xcc, 1b\n\tnop" : : "r"(&interrupted.v) : "memory");
}

static void interrupts(void) {
  trap_entry_patch(0x7c, mondo_handler, 7);
  CHECK_EQUAL(strand_start(1, spin), EOK);
  while (!spinning.v) continue;
  for (u64 i = 1; i <= work.rounds; i++) {
    send_mondo(0, 1, i);
    while (interrupted.v != i * 64 % QUEUE_BYTES) continue;
  }
  CHECK_EQUAL(call1(CPU_STOP, 1), EOK);
}

/* ---- CPU_YIELD and CPU_POKE: no wake-up is lost ---- */
static struct cell ball[MOST_STRANDS / 2];

static void pingpong(u64 id) {
  u64 other = id ^ 1;
  if (other >= players) return;
  for (u64 i = 0; i < work.rounds * 4; i++) {
    volatile u64 *cell = &ball[id / 2].v;
    while ((*cell & 1) != (id & 1)) yield();
    *cell = *cell + 1;
    call1(CPU_POKE, other);
  }
}

/* ---- CPU_STOP of strands at work ---- */
static struct cell count[MOST_STRANDS];
extern char strand_entry[];
extern u32 trap_table[];

static void count_up(u64 id) {
  for (;;) count[id].v++;
}

static void start_and_stop(void) {
  u64 rng = work.seed;
  for (u64 i = 0; i < work.rounds; i++) {
    u64 id = 1 + random_next(&rng) % (players - 1), before = count[id].v;
    struct hcall state = {{id}};
    CHECK_EQUAL(strand_start(id, count_up), EOK);
    while (i % 2 && count[id].v == before) continue;
    CHECK_EQUAL(call1(CPU_STOP, id), EOK);
    CHECK_EQUAL(hcall_fast(CPU_STATE, &state), EOK);
    CHECK_EQUAL(state.arg[1], 1);
    u64 at = count[id].v;
    for (u32 look = 0; look < 200; look++) CHECK_EQUAL(count[id].v, at);
  }
}

/* Everybody stops and starts everybody else, and is stopped anywhere, in the middle of these calls too. Strand 0 alone
 * is left alone, and sees at the end that all can still be stopped. */
static void stop_others(u64 id) {
  u64 rng = work.seed ^ id << 16 ^ count[id].v++;
  for (;;) {
    u64 other = 1 + random_next(&rng) % (players - 1);
    struct hcall h = {{other, (u64)strand_entry, (u64)trap_table, other}};
    if (random_next(&rng) & 1)
      call1(CPU_STOP, other);
    else
      hcall_fast(CPU_START, &h);
    count[id].v++;
  }
}

static void stop_storm(void) {
  u64 until = work.rounds * 4;
  for (u64 id = 1; id < players; id++) count[id].v = 0, strand_start(id, stop_others);
  for (u64 id = 1; id < players; id++) {
    while (count[id].v < until) {
      struct hcall h = {{id, (u64)strand_entry, (u64)trap_table, id}};
      hcall_fast(CPU_START, &h); /* EINVAL where it runs */
    }
  }
  for (u32 quiet = 0; quiet < 2;) { /* one that runs may have started one that was found stopped */
    quiet++;
    for (u64 id = 1; id < players; id++)
      if (call1(CPU_STOP, id) == EOK) quiet = 0;
  }
}

/* ---- code that another strand writes ---- */
static u32 patched[2048] ALIGNED(8192); /* a page of its own */
static struct cell version, seen[MOST_STRANDS];

/* mov v, %o0 in two instructions, so that all versions differ; at one of 16 places of the page. */
static void write_code(u64 v, int flush) {
  volatile u32 *at = &patched[(v & 15) * 128];
  at[0] = 0x11000000 | (u32)(v >> 10 & 0x3fffff);
  at[1] = 0x81c3e008;
  at[2] = 0x90122000 | (u32)(v & 0x3ff);
  if (flush) __asm__ volatile("flush %0\n\tflush %0 + 8" : : "r"(at) : "memory");
}

static void changed_code(u64 id) {
  for (u64 v = 16; v < 16 + work.rounds * 8; v++) {
    if (id == 0) {
      write_code(v, v & 64);
      version.v = v;
      for (u64 other = 1; other < players; other++)
        while (seen[other].v < v) continue;
      continue;
    }
    while (version.v < v) continue;
    u64 (*code)(void) = (u64(*)(void))(u64)&patched[(v & 15) * 128];
    CHECK_EQUAL(code(), v);
    seen[id].v = v;
  }
}

/* ---- */
static u64 at_most(u64 n) { return strand_count < n ? strand_count : n; }

static void run_test(u64 bit, u64 n, strand_job job, void (*after)(void)) {
  if (!(work.tests >> bit & 1) || n < 2) return;
  players = n;
  if (job) strands_run(n, job);
  if (after) after();
}

static void check_mondos(void) {
  CHECK_EQUAL(got_count.v, sent_count.v);
  CHECK_EQUAL(got_sum.v, sent_sum.v);
}

int main(void) {
  if (runtime_arg) work = *(const struct work *)runtime_arg;
  strands_open();
  run_test(0, 2, sb_fenced, NULL);
  u64 with_fence = relaxed;
  CHECK_EQUAL(with_fence, 0);
  run_test(1, 2, sb_plain, NULL);
  run_test(2, 2, mp, NULL);
  run_test(3, 2, lb, NULL);
  if (strand_count >= 4) run_test(4, 4, iriw, NULL);
  run_test(5, at_most(8), locks, check_locks);
  sending.v = at_most(MOST_MONDO_STRANDS);
  run_test(6, at_most(MOST_MONDO_STRANDS), mondos, check_mondos);
  run_test(7, at_most(8), pingpong, NULL);
  run_test(8, at_most(8), changed_code, NULL);
  run_test(9, 2, NULL, interrupts);
  run_test(10, at_most(8), NULL, start_and_stop);
  run_test(11, at_most(8), NULL, stop_storm);
  if (runtime_arg) printf("relaxed %lu\n", relaxed);
  CHECK_EQUAL(strands_failed, 0);
  return check_result("strands");
}
