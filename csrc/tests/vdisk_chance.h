/* vdisk_chance.h - random courses of the data path; the end of vdisk.c. */

/* ---- requests at random against a model of the disk: no two of those on their way touch the same blocks ---- */

enum { CHUNK = 32 }; /* blocks; a request lies in one chunk */

static struct {
  u32 version[BLOCKS];       /* what each block was written as; 0: as at first */
  u8 taken[BLOCKS / CHUNK];  /* chunks on their way */
  struct { int operation; u64 block, blocks; u32 version; int there; } slot[ENTRIES];
  u32 versions, next, left;
} model;

static u64 word_of(u64 block, u32 version, u64 i) { return version ? (u64)version << 40 | block << 16 | i : block << 32 | i; }

static void stress_begin(void) {
  u32 index = model.next % ENTRIES;
  u64 blocks = 1 + below(CHUNK), chunk = below(BLOCKS / CHUNK), block = chunk * CHUNK + below(CHUNK - blocks + 1);
  int operation = below(10) == 0 ? FLUSH : below(2) ? WRITE : READ;
  if (model.slot[index].there || model.left >= 60 || model.taken[chunk]) return;
  for (u32 i = 0; i < ENTRIES; i++) /* buffers are fewer than descriptors */
    if (model.slot[i].there && buffer_of(i) == buffer_of(index)) return;
  model.next++;
  model.left++;
  model.slot[index].there = 1;
  model.slot[index].operation = operation;
  model.slot[index].block = block;
  model.slot[index].blocks = operation == FLUSH ? 0 : blocks;
  model.slot[index].version = ++model.versions;
  if (operation != FLUSH) model.taken[chunk] = 1;
  for (u64 i = 0; operation == WRITE && i < blocks * 64; i++)
    store(buffer_of(index) + 8 * i, word_of(block + i / 64, model.versions, i % 64), 8);
  fill_cut(index, operation, block, model.slot[index].blocks * BLOCK, 1);
  CHECK(take(index, 1, 1) == S4V_DISK_ALL);
}

static void stress_end(void) {
  s4v_disk_answer answer[ENTRIES];
  int64_t n = s4v_disk_finish(m, CHANNEL, answer, below(2) ? ENTRIES : 3);
  for (int64_t k = 0; k < n; k++) {
    u32 index = answer[k].index;
    u64 block = model.slot[index].block;
    CHECK(model.slot[index].there && status(index) == 0 && load(RING + (u64)index * ENTRY, 1) == DONE);
    for (u64 i = 0; model.slot[index].operation == READ && i < model.slot[index].blocks * 64; i++)
      CHECK(load(buffer_of(index) + 8 * i, 8) == word_of(block + i / 64, model.version[block + i / 64], i % 64));
    for (u64 i = 0; model.slot[index].operation == WRITE && i < model.slot[index].blocks; i++)
      model.version[block + i] = model.slot[index].version;
    if (model.slot[index].operation != FLUSH) model.taken[block / CHUNK] = 0;
    model.slot[index].there = 0;
    model.left--;
  }
}

static int stress(u64 rounds) {
  u8 block[BLOCK];
  power_on(0);
  host.chance = seed;
  for (u64 i = 0; i < rounds; i++) {
    host_trouble(below(4) == 0, 0, INT_MAX);
    for (u64 n = below(8); n; n--) stress_begin();
    if (below(8) == 0) s4v_disk_wait(m, CHANNEL);
    stress_end();
  }
  s4v_disk_wait(m, CHANNEL);
  while (model.left) stress_end();
  for (u64 b = 0; b < BLOCKS; b++) {
    CHECK(pread(disk_fd, block, BLOCK, (off_t)(b * BLOCK)) == BLOCK);
    for (u64 i = 0; i < 64; i++) CHECK(get(block + 8 * i, 8) == word_of(b, model.version[b], i));
  }
  printf("requests %u deepest %u\n", model.versions, count().deepest);
  power_off();
  return 0;
}

/* ---- a guest that writes whatever it likes to table, ring and buffers, and a client that goes on ---- */

static u64 any_word(void) {
  static const u64 word[] = {0, 1, 2, 7, 511, 512, 513, 8191, 8192, 1 << 20, 1u << 31, ~0u, (u64)1 << 59, (u64)1 << 60,
                             (u64)1 << 63, ~(u64)0, ~(u64)0 - 511, BLOCKS, BLOCKS - 1};
  return below(3) ? word[below(sizeof word / sizeof *word)] : random_next(&seed) >> below(64);
}

static void spoil_memory(void) {
  u32 index = (u32)below(ENTRIES);
  u64 at = RING + (u64)index * ENTRY;
  switch (below(6)) {
    case 0: store(TABLE + 16 * below(PAGES), any_word(), 8); break;
    case 1: store(TABLE + 16 * below(PAGES), (BASE + below(PAGES) * PAGE) | RIGHTS | below(8), 8); break;
    case 2: store(at + 8 * below(ENTRY / 8), any_word(), 8); break;
    case 3: store(at + below(48), below(256), 1); break;
    case 4: store(at, READY << 8 | 1, 2); break;
    default: fill_cut(index, (int)below(4), below(BLOCKS), below(64) * 256, 1 + below(20)); break;
  }
}

static void any_call(void) {
  char why[200];
  s4v_disk_answer answer[8];
  u32 taken = 0, start = (u32)below(ENTRIES);
  switch (below(16)) {
    case 0: s4v_disk_wait(m, CHANNEL); break;
    case 1: s4v_disk_close(m, CHANNEL); break;
    case 2: open_disk_with((int)below(2), 1 + below(BLOCKS)); break;
    case 3: {
      u64 ra = BUFFERS + below(32) * PAGE;
      if (s4v_memory_remove(m, ra, PAGE, why, sizeof why) == S4V_OK) s4v_memory_add(m, ra, ra, PAGE, why, sizeof why);
      break;
    }
    case 4: case 5: case 6: case 7: s4v_disk_finish(m, CHANNEL, answer, below(9)); break;
    default: s4v_disk_take(m, CHANNEL, start, (u32)(1 + below(ENTRIES)), ++sequence, &taken); break;
  }
}

static int hostile(u64 rounds) {
  power_on(0);
  host.chance = seed;
  for (u64 i = 0; i < rounds; i++) {
    host_trouble(below(2) == 0, below(2) ? EIO : ENOSPC, below(8) ? INT_MAX : (int)(below(BLOCKS) * BLOCK));
    for (u64 n = below(12); n; n--) spoil_memory();
    any_call();
    if (below(200)) continue;
    for (u64 n = 0; n < PAGES; n++) store(TABLE + 16 * n, (BASE + n * PAGE) | RIGHTS, 8); /* and it begins anew */
    host_trouble(0, 0, INT_MAX);
    open_disk();
    CHECK(request((u32)below(ENTRIES), READ, below(BLOCKS), 512) == 0);
  }
  power_off();
  printf("ok\n");
  return 0;
}
