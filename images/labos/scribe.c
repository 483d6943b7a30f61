/* scribe.c - the oracle of a disk: a thread writes numbered blocks at a set rate, and every one can be checked.
 *
 * Write n goes to block n % blocks and fills it with n and a pattern of n. So the number of writes that were acknowledged
 * tells what every block must hold: a write that is lost, torn, doubled late or in a wrong place shows.
 */
#include "pattern.h"
#include "vdisk.h"

enum { WORDS = DISK_BLOCK / 8, TICK_MS = 10, COMPLAINTS = 10, SCRIBE_KEY = 0x736372696265, MOST_BLOCKS = 1 << 20 };
int command_scribe(int argc, char **argv);

static struct {
  struct disk *disk;
  u64 blocks, rate, writes; /* writes: acknowledged */
  u64 started_ns, longest_ns;
  u32 status; /* of the write that failed */
  bool running, stop, paused, writing;
} scribe;
static struct spinlock lock = SPINLOCK("scribe");

static void block_fill(u8 *data, u64 n) {
  for (u64 i = 0; i < WORDS; i++)
    for (u64 k = 0, word = i ? pattern_word(SCRIBE_KEY ^ n, i) : n; k < 8; k++, word >>= 8) data[8 * i + k] = (u8)word;
}

/* One write, unless somebody looks at the disk. false: later, or never more. */
static bool write_one(u8 *data) {
  lock_acquire(&lock);
  bool may = !scribe.paused && !scribe.stop && !scribe.status;
  scribe.writing = may;
  lock_release(&lock);
  if (!may) return false;
  block_fill(data, scribe.writes);
  u64 before = clock_ns();
  u32 status = disk_write(scribe.disk, scribe.writes % scribe.blocks, data, 1);
  u64 took = clock_ns() - before;
  lock_acquire(&lock);
  scribe.writing = false;
  scribe.status = status;
  if (!status) scribe.writes++;
  if (took > scribe.longest_ns) scribe.longest_ns = took;
  lock_release(&lock);
  thread_wakeup(&scribe);
  return !status;
}

static void writer(void *arg) {
  u8 *data = arg;
  while (!scribe.stop) {
    thread_sleep_ns(TICK_MS * NS_PER_MS);
    u64 elapsed = clock_ns() - scribe.started_ns;
    u64 due = elapsed / NS_PER_SECOND * scribe.rate + elapsed % NS_PER_SECOND * scribe.rate / NS_PER_SECOND;
    while (scribe.writes < due && write_one(data)) continue;
  }
  if (scribe.disk->operations >> DISK_FLUSH & 1) disk_request(scribe.disk, DISK_FLUSH, 0, NULL, 0);
  kfree(data, DISK_BLOCK);
  disk_release(scribe.disk);
  lock_acquire(&lock);
  scribe.running = false;
  lock_release(&lock);
  thread_wakeup(&scribe);
}

static int start(struct disk *d, u64 rate, u64 blocks) {
  u8 *data = NULL;
  if (scribe.running)
    printf("scribe: it runs already\n");
  else if (!disk_ready(d))
    printf("%s: no answer from the disk server\n", d->name);
  else if (blocks > d->blocks)
    printf("%s: it has %lu blocks\n", d->name, d->blocks);
  else
    data = kmalloc(DISK_BLOCK);
  if (!data) return 1;
  disk_hold(d);
  scribe.disk = d, scribe.rate = rate, scribe.blocks = blocks;
  scribe.writes = scribe.longest_ns = scribe.status = 0;
  scribe.stop = scribe.paused = scribe.writing = false;
  scribe.started_ns = clock_ns();
  scribe.running = true;
  if (!thread_start("scribe", writer, data)) {
    scribe.running = false;
    disk_release(d);
    kfree(data, DISK_BLOCK);
    return 1;
  }
  printf("scribe: %lu writes/s over %lu blocks of %s\n", rate, blocks, d->name);
  return 0;
}

/* Which write a block must hold the data of; false: it has none yet. */
static bool last_write(u64 block, u64 *n) {
  if (block >= scribe.writes) return false;
  *n = (scribe.writes - 1 - block) / scribe.blocks * scribe.blocks + block;
  return true;
}

static u64 blocks_wrong(u8 *data) {
  u64 wrong = 0, n;
  for (u64 block = 0; block < scribe.blocks && last_write(block, &n); block++) {
    block_fill(data + DISK_BLOCK, n);
    u32 status = disk_read(scribe.disk, block, data, 1);
    if (!status && memcmp(data, data + DISK_BLOCK, DISK_BLOCK) == 0) continue;
    if (wrong++ < COMPLAINTS) printf("scribe: block %lu does not hold write %lu (%u)\n", block, n, status);
  }
  return wrong;
}

static int check(void) {
  u8 *data = scribe.blocks ? kmalloc(2 * DISK_BLOCK) : NULL;
  if (!data) {
    printf("scribe: nothing to check\n");
    return 1;
  }
  lock_acquire(&lock);
  scribe.paused = true;
  while (scribe.writing) thread_sleep(&scribe, &lock);
  lock_release(&lock);
  u64 wrong = blocks_wrong(data);
  printf("scribe: %lu writes, %lu blocks, %lu wrong; longest wait %lu ms", scribe.writes, scribe.blocks, wrong,
         scribe.longest_ns / NS_PER_MS);
  if (scribe.status) printf("; write %lu failed: %u", scribe.writes, scribe.status);
  printf("\n");
  scribe.longest_ns = 0;
  scribe.paused = false;
  kfree(data, 2 * DISK_BLOCK);
  return wrong || scribe.status;
}

static int stop(void) {
  lock_acquire(&lock);
  scribe.stop = true;
  while (scribe.running) thread_sleep(&scribe, &lock);
  lock_release(&lock);
  printf("scribe: stopped after %lu writes\n", scribe.writes);
  return 0;
}

int command_scribe(int argc, char **argv) {
  u64 rate, blocks;
  if (argc == 2 && strcmp(argv[1], "check") == 0) return check();
  if (argc == 2 && strcmp(argv[1], "stop") == 0) return stop();
  if (argc != 4 || !parse_number(argv[2], &rate) || !parse_number(argv[3], &blocks)) return COMMAND_USAGE;
  if (!rate || !blocks || blocks > MOST_BLOCKS) return COMMAND_USAGE;
  struct disk *d = disk_named(argv[1]);
  if (d) return start(d, rate, blocks);
  printf("scribe: %s: no such disk\n", argv[1]);
  return 1;
}
