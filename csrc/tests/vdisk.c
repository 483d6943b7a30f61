/* vdisk.c - the data path of virtual disks through the public interface: `vdisk cases | lane | stress SEED ROUNDS |
 * hostile SEED ROUNDS`. What a guest does is written to its memory by hand; what the host does is vdisk_host.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vdisk_host.h"

#include <sched.h>
#include <stdlib.h>

#include "public.h"

enum {
  MEMORY = 16 << 20, PAGE = 8192, CODE = 0x10000, TABLE = 0x100000, PAGES = 1024, BASE = 0x200000, RING = BASE,
  BUFFERS = BASE + 0x100000, BUFFER = 0x10000, ENTRIES = 128, ENTRY = 48 + 16 * 24, CHANNEL = 1, BLOCKS = 8192, BLOCK = 512,
  READ = 1, WRITE = 2, FLUSH = 3, READY = 2, ACCEPTED = 3, DONE = 4, WHOLE = 255, RIGHTS = 0x600,
};

static s4v_machine *m;
static int disk_fd = -1;
static u32 strand_count = 1;
static u64 sequence;
static unsigned long long seed;

static u64 below(u64 n) { return random_next(&seed) % n; }

static void store(u64 ra, u64 v, int bytes) {
  u8 word[8];
  put(word, v, bytes);
  CHECK(s4v_mem_write(m, ra, word, (size_t)bytes) == S4V_OK);
}

static u64 load(u64 ra, int bytes) {
  u8 word[8];
  CHECK(s4v_mem_read(m, ra, word, (size_t)bytes) == S4V_OK);
  return get(word, bytes);
}

/* ---- a machine, its map table, its disk ---- */

static void set_reg(const char *name, u64 v) { CHECK(s4v_reg_set(m, 0, s4v_reg_find(name), v) == S4V_OK); }

static void map_table(void) {
  s4v_stop stop;
  u64 granted[2];
  CHECK(s4v_api_version(m, 0x101, 1, 1, 0, granted) == 0); /* the group of channels */
  store(CODE, 0x91d02080, 4); /* ta 0x80 */
  CHECK(s4v_strand_start(m, 0, CODE, 0, 0) == S4V_OK);
  set_reg("o0", CHANNEL);
  set_reg("o1", TABLE);
  set_reg("o2", PAGES);
  set_reg("o5", 0xea);
  CHECK(s4v_strand_run(m, 0, 1, &stop) == S4V_OK);
  u64 status;
  CHECK(s4v_reg_get(m, 0, s4v_reg_find("o0"), &status) == S4V_OK && status == 0);
  for (u64 i = 0; i < PAGES; i++) store(TABLE + 16 * i, (BASE + i * PAGE) | RIGHTS, 8);
}

static void open_disk_with(int stable, u64 blocks) {
  s4v_disk_file file = {.fd = disk_fd, .most_blocks = 2048, .blocks = blocks, .stable = (u8)stable};
  s4v_disk_ring ring = {.entries = ENTRIES, .entry_bytes = ENTRY, .cookies = 2};
  for (u32 i = 1; i < 256; i++) file.status[i] = i == EDQUOT ? 49 : i <= 34 ? (u8)i : EIO;
  ring.address[0] = 0, ring.bytes[0] = 3 * PAGE; /* the ring, in two pieces */
  ring.address[1] = 3 * PAGE, ring.bytes[1] = 0x100000 - 3 * PAGE;
  CHECK(s4v_disk_open(m, CHANNEL, &file, &ring) == S4V_OK);
}

static void open_disk(void) { open_disk_with(0, BLOCKS); }

static void power_on(int deterministic) {
  s4v_config config = {
      .memory_bytes = MEMORY, .strands = strand_count, .deterministic = (u32)deterministic, .features = ~(u64)0, .cfr_present = 1,
      .channels = 8, .stick_hz = 1000000000, .tick_hz = 3600000000u, .va_bits = 52, .page_sizes = 0x3f, .max_tsbs = 4,
      .quantum = 1000, .rng_seed = 1, .rng_layout = 1,
  };
  char why[128];
  m = s4v_machine_new(&config, why, sizeof why);
  CHECK(m);
  CHECK(s4v_ldc_add(m, CHANNEL) == S4V_OK);
  map_table();
  u8 block[BLOCK];
  CHECK(ftruncate(disk_fd, 0) == 0 && ftruncate(disk_fd, (off_t)BLOCKS * BLOCK) == 0);
  for (u64 b = 0; b < BLOCKS; b++) {
    for (u64 i = 0; i < BLOCK / 8; i++) put(block + 8 * i, b << 32 | i, 8);
    CHECK(pwrite(disk_fd, block, BLOCK, (off_t)(b * BLOCK)) == BLOCK);
  }
  host.transfers = host.syncs = 0;
  open_disk();
}

static void power_off(void) {
  s4v_machine_free(m);
  m = NULL;
}

/* ---- requests ---- */

static u64 buffer_of(u32 index) { return BUFFERS + (u64)index % 64 * BUFFER; }
static u64 cookie_of(u64 ra) { return ra - BASE; }

/* With its buffer in `pieces` cookies, last first in memory. */
static void fill_cut(u32 index, int operation, u64 block, u64 bytes, u64 pieces) {
  u64 at = RING + (u64)index * ENTRY, each = bytes / pieces;
  store(at, 1, 2); /* free, acknowledge */
  store(at + 16, (u64)operation << 8 | WHOLE, 2);
  store(at + 20, 0xffffffff, 4);
  store(at + 24, block, 8);
  store(at + 32, bytes, 8);
  store(at + 40, pieces, 4);
  for (u64 i = 0; i < pieces; i++) {
    store(at + 48 + 16 * i, cookie_of(buffer_of(index)) + (pieces - 1 - i) * each, 8);
    store(at + 56 + 16 * i, each, 8);
  }
  store(at, READY << 8 | 1, 2);
}

static void fill(u32 index, int operation, u64 block, u64 bytes) { fill_cut(index, operation, block, bytes, 1); }

static int take(u32 start, u32 count, u32 expected) {
  u32 taken = 0;
  int stop = s4v_disk_take(m, CHANNEL, start, count, ++sequence, &taken);
  CHECK(taken == expected);
  return stop;
}

static u32 finish(void) {
  s4v_disk_answer answer[ENTRIES];
  int64_t n = s4v_disk_finish(m, CHANNEL, answer, ENTRIES);
  CHECK(n >= 0);
  for (int64_t i = 0; i < n; i++) CHECK(load(RING + (u64)answer[i].index * ENTRY, 1) == DONE);
  return (u32)n;
}

static u32 status(u32 index) { return (u32)load(RING + (u64)index * ENTRY + 20, 4); }

static s4v_disk_counters count(void) {
  s4v_disk_counters c;
  CHECK(s4v_disk_count(m, CHANNEL, &c) == S4V_OK);
  return c;
}

/* One request from beginning to end; its status. */
static u32 request(u32 index, int operation, u64 block, u64 bytes) {
  fill(index, operation, block, bytes);
  CHECK(take(index, 1, 1) == S4V_DISK_ALL);
  s4v_disk_wait(m, CHANNEL);
  CHECK(finish() == 1);
  return status(index);
}

static void check_blocks(u64 ra, u64 block, u64 bytes) {
  for (u64 i = 0; i < bytes / 8; i++) CHECK(load(ra + 8 * i, 8) == ((block + i / 64) << 32 | i % 64));
}

static void *opener(void *waiting) {
  host_await((int)(intptr_t)waiting);
  host_gate(0, ANYWHERE);
  return NULL;
}

/* Opens the gate when the first thread of the program sleeps: it is the one that waits for what is in flight. */
static void *waker(void *unused) {
  char path[64], text[256];
  (void)unused;
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
  for (;;) {
    FILE *file = fopen(path, "r");
    CHECK(file && fgets(text, sizeof text, file) && strrchr(text, ')'));
    fclose(file);
    if (strncmp(strrchr(text, ')'), ") S", 3) == 0) break;
    sched_yield();
  }
  host_gate(0, ANYWHERE);
  return NULL;
}

/* The gate opens once so many are at it. */
static pthread_t open_when(int waiting) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, opener, (void *)(intptr_t)waiting) == 0);
  return thread;
}

static pthread_t open_when_asleep(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, waker, NULL) == 0);
  return thread;
}

static void joined(pthread_t thread) { CHECK(pthread_join(thread, NULL) == 0); }

#include "vdisk_cases.h"
#include "vdisk_chance.h"
#include "vdisk_lane.h"

int main(int argc, char **argv) {
  char name[] = "/tmp/s4v-vdisk-XXXXXX";
  disk_fd = mkstemp(name);
  CHECK(disk_fd >= 0 && unlink(name) == 0 && argc >= 2);
  seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
  u64 rounds = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
  if (strcmp(argv[1], "cases") == 0) return cases();
  if (strcmp(argv[1], "lane") == 0) return lane();
  if (strcmp(argv[1], "stress") == 0) return stress(rounds);
  if (strcmp(argv[1], "hostile") == 0) return hostile(rounds);
  return 2;
}
