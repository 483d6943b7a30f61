/* vdisk_cases.h - one contract of the data path each; the middle of vdisk.c. */

static void transfers_and_their_statuses(void) {
  power_on(0);
  CHECK(request(0, READ, 5, 8192) == 0);
  check_blocks(buffer_of(0), 5, 8192);
  CHECK(request(1, WRITE, 100, 512) == 0);
  CHECK(request(2, READ, 100, 512) == 0);
  for (u64 i = 0; i < 512; i += 8) CHECK(load(buffer_of(2) + i, 8) == load(buffer_of(1) + i, 8));
  CHECK(request(3, FLUSH, 0, 0) == 0 && host_syncs() == 1);
  CHECK(request(4, READ, BLOCKS - 1, 1024) == EIO && request(4, READ, ~(u64)0, 512) == EIO);
  CHECK(request(4, READ, 0, 511) == EINVAL && request(4, READ, 0, 2 << 20) == EINVAL);
  s4v_disk_counters c = count();
  CHECK(c.reads == 2 && c.writes == 1 && c.flushes == 1 && c.errors == 4);
  CHECK(c.read_bytes == 8192 + 512 && c.written_bytes == 512 && c.in_flight == 0 && c.deepest == 1);
  fill_cut(5, READ, 7, 4096, 8);
  CHECK(take(5, 1, 1) == S4V_DISK_ALL);
  s4v_disk_wait(m, CHANNEL);
  CHECK(finish() == 1 && status(5) == 0);
  for (u64 i = 0; i < 8; i++) check_blocks(buffer_of(5) + (7 - i) * 512, 7 + i, 512);
  power_off();
}

/* Short transfers and interrupted calls are gone on with; a file that has become shorter is an error. */
static void transfers_in_pieces(void) {
  power_on(0);
  host.chance = seed;
  host_trouble(1, 0, INT_MAX);
  for (u32 i = 0; i < 40; i++) {
    fill_cut(i, READ, 64 * i, 16384, 4);
    CHECK(take(i, 1, 1) == S4V_DISK_ALL);
  }
  s4v_disk_wait(m, CHANNEL);
  u32 n = finish();
  while (n < 40) n += finish();
  for (u32 i = 0; i < 40; i++)
    for (u64 p = 0; p < 4; p++) check_blocks(buffer_of(i) + (3 - p) * 4096, 64 * i + 8 * p, 4096);
  host_trouble(0, 0, INT_MAX);
  CHECK(ftruncate(disk_fd, 1000) == 0);
  CHECK(request(0, READ, 0, 2048) == EIO && request(0, READ, 0, 512) == 0);
  power_off();
}

static void errors_are_of_one_request(void) {
  static const struct { int error; u32 status; } kind[] = {{EIO, 5}, {ENOSPC, 28}, {EDQUOT, 49}, {EFBIG, 27}, {EOVERFLOW, 5}};
  power_on(0);
  for (u32 i = 0; i < sizeof kind / sizeof *kind; i++) {
    host_trouble(0, kind[i].error, 64 * BLOCK);
    fill(0, WRITE, 0, 512);
    fill(1, WRITE, 64, 512);
    fill(2, READ, 64, 512);
    fill(3, READ, 128, 512);
    CHECK(take(0, 4, 4) == S4V_DISK_ALL);
    s4v_disk_wait(m, CHANNEL);
    CHECK(finish() == 4);
    CHECK(status(0) == 0 && status(1) == kind[i].status && status(2) == kind[i].status && status(3) == 0);
  }
  host_trouble(0, 0, INT_MAX);
  host.sync_error = EIO;
  CHECK(request(0, FLUSH, 0, 0) == EIO);
  host.sync_error = 0;
  CHECK(request(0, FLUSH, 0, 0) == 0);
  power_off();
}

/* A hundred on their way: the guest is not idle, and is woken when they are done. */
static void many_at_once(void) {
  s4v_stop stop;
  power_on(0);
  host_gate(1, ANYWHERE);
  for (u32 i = 0; i < 100; i++) fill(i, READ, i, 512);
  CHECK(take(0, 100, 100) == S4V_DISK_ALL);
  CHECK(finish() == 0 && count().in_flight == 100 && count().deepest == 100);
  CHECK(load(RING, 1) == ACCEPTED);
  CHECK(take(0, 1, 0) == S4V_DISK_NOT_READY);
  store(RING, READY, 1);
  CHECK(take(0, 1, 0) == S4V_DISK_NOT_READY); /* whatever the guest says of it meanwhile */
  set_reg("o5", 0x12); /* CPU_YIELD */
  set_reg("pc", CODE);
  CHECK(s4v_run_for(m, 1000, 1000000, &stop) == S4V_OK && stop.reason == S4V_STOP_TIME);
  pthread_t thread = open_when(1);
  CHECK(s4v_run(m, 1000, &stop) == S4V_OK && stop.reason == S4V_STOP_KICK);
  joined(thread);
  s4v_disk_wait(m, CHANNEL);
  u32 n = finish();
  while (n < 100) n += finish();
  CHECK(count().in_flight == 0);
  for (u32 i = 36; i < 64; i++) check_blocks(buffer_of(i), i, 512); /* the others share their buffers */
  power_off();
}

/* A flush waits for writes before it, and for nothing else. */
static void flush_is_a_barrier(void) {
  power_on(0);
  host_gate(1, 0);
  fill(0, WRITE, 0, 512);
  fill(1, FLUSH, 0, 0);
  fill(2, WRITE, 64, 512);
  fill(3, READ, 128, 512);
  CHECK(take(0, 4, 4) == S4V_DISK_ALL);
  host_await(1);
  u32 n = 0;
  while (n < 2) n += finish(); /* the later write, and the read */
  CHECK(load(RING, 1) == ACCEPTED && load(RING + ENTRY, 1) == ACCEPTED && host_syncs() == 0);
  host_gate(0, 0);
  s4v_disk_wait(m, CHANNEL);
  CHECK(finish() == 2 && status(0) == 0 && status(1) == 0 && host_syncs() == 1);
  open_disk_with(1, BLOCKS);
  CHECK(request(0, WRITE, 0, 512) == 0 && host_syncs() == 2);
  power_off();
}

/* Linux comes round to a descriptor that is not done where later ones are acknowledged without end. */
static void answers_do_not_run_away(void) {
  power_on(0);
  host_gate(1, 7 * BLOCK);
  for (u32 i = 0; i < 100; i++) fill(i, READ, i == 0 ? 7 : 1000 + i, 512);
  CHECK(take(0, 100, 100) == S4V_DISK_ALL);
  host_await(1);
  u32 n = 0, most = ENTRIES / 8 + 8;
  while (n < most) n += finish();
  CHECK(finish() == 0 && n == most && load(RING + (u64)(most + 1) * ENTRY, 1) == ACCEPTED);
  host_gate(0, 0);
  s4v_disk_wait(m, CHANNEL);
  CHECK(finish() == 100 - most && status(0) == 0);
  power_off();
}

/* The session ends: what no thread has begun is never done; after that nothing of it moves. */
static void forgotten_in_flight(int free_it) {
  power_on(0);
  host_gate(1, ANYWHERE);
  for (u32 i = 0; i < 100; i++) fill(i, i % 2 ? READ : WRITE, i, 512);
  CHECK(take(0, 100, 100) == S4V_DISK_ALL);
  host_await(8);
  pthread_t thread = open_when_asleep();
  if (free_it) {
    power_off();
    joined(thread);
    CHECK(host.transfers == 8);
    return;
  }
  s4v_disk_close(m, CHANNEL);
  joined(thread);
  int before = host.transfers;
  CHECK(count().in_flight == 0 && before == 8); /* workers there are */
  CHECK(s4v_disk_finish(m, CHANNEL, NULL, 0) == 0);
  CHECK(load(RING, 1) == ACCEPTED);
  open_disk();
  for (u32 i = 0; i < ENTRIES; i++) CHECK(request(i, READ, i, 512) == 0);
  power_off();
}

/* Memory that is to go waits for the bytes on their way to it; what was not in it is answered. */
static void memory_goes_in_flight(void) {
  char why[200];
  power_on(0);
  host_gate(1, ANYWHERE);
  fill(0, READ, 0, 65536);
  fill(1, WRITE, 200, 65536);
  CHECK(take(0, 2, 2) == S4V_DISK_ALL);
  host_await(2);
  pthread_t thread = open_when_asleep();
  CHECK(s4v_memory_remove(m, buffer_of(0), BUFFER, why, sizeof why) == S4V_OK);
  CHECK(host_waiting() == 0);
  joined(thread);
  CHECK(finish() == 2 && status(0) == 0 && status(1) == 0);
  CHECK(s4v_mem_ptr(m, buffer_of(0), 8) == NULL);
  CHECK(request(0, READ, 0, 512) == EIO);
  CHECK(request(1, READ, 0, 512) == 0);
  CHECK(s4v_memory_remove(m, RING, PAGE, why, sizeof why) == S4V_OK);
  s4v_disk_answer answer;
  u32 taken;
  CHECK(s4v_disk_take(m, CHANNEL, 0, 1, 0, &taken) == S4V_EFAULT);
  CHECK(s4v_disk_finish(m, CHANNEL, &answer, 1) == 0);
  power_off();
}

/* The guest's map table changes while a request is on its way: it was checked, and that is all. */
static void table_changes_in_flight(void) {
  power_on(0);
  host_gate(1, ANYWHERE);
  fill(0, READ, 9, 512);
  CHECK(take(0, 1, 1) == S4V_DISK_ALL);
  u64 entry = TABLE + 16 * (cookie_of(buffer_of(0)) / PAGE);
  store(entry, 0, 8);
  host_gate(0, 0);
  s4v_disk_wait(m, CHANNEL);
  CHECK(finish() == 1 && status(0) == 0);
  check_blocks(buffer_of(0), 9, 512);
  CHECK(request(0, READ, 9, 512) == EIO);
  store(entry, buffer_of(0) | 0x200, 8);
  CHECK(request(0, READ, 9, 512) == EIO && request(0, WRITE, 9, 512) == 0);
  store(entry, buffer_of(0) | 0x400, 8);
  CHECK(request(0, READ, 9, 512) == 0 && request(0, WRITE, 9, 512) == EIO);
  store(TABLE, 0, 8); /* the ring itself */
  u32 taken;
  CHECK(s4v_disk_take(m, CHANNEL, 0, 1, 0, &taken) == S4V_EFAULT);
  power_off();
}

static int dirty(u64 ra) {
  static u64 pages[MEMORY / PAGE];
  int64_t n = s4v_dirty_harvest(m, pages, MEMORY / PAGE);
  CHECK(n >= 0);
  for (int64_t i = 0; i < n; i++)
    if (pages[i] == ra / PAGE) return 1;
  return 0;
}

/* Bytes come before their marks, however late, and before the guest hears of them. */
static void marks_come_after_the_bytes(void) {
  power_on(0);
  dirty(0);
  host_gate(1, ANYWHERE);
  fill(0, READ, 3, 512);
  CHECK(take(0, 1, 1) == S4V_DISK_ALL);
  CHECK(!dirty(buffer_of(0)));
  host_gate(0, 0);
  s4v_disk_wait(m, CHANNEL);
  check_blocks(buffer_of(0), 3, 512);
  dirty(0); /* a round of a migration just now */
  CHECK(finish() == 1);
  CHECK(dirty(buffer_of(0)) && !dirty(buffer_of(0)));
  power_off();
}

static void at_once_and_in_order(void) {
  s4v_disk_answer answer[ENTRIES];
  power_on(1);
  for (u32 i = 0; i < 50; i++) fill(i, i % 5 == 4 ? FLUSH : i % 2 ? WRITE : READ, i, i % 5 == 4 ? 0 : 512);
  CHECK(take(0, 50, 50) == S4V_DISK_ALL);
  CHECK(s4v_disk_finish(m, CHANNEL, answer, ENTRIES) == 50);
  for (u32 i = 0; i < 50; i++) CHECK(answer[i].index == i && answer[i].sequence == sequence && status(i) == 0);
  CHECK(host_syncs() == 10);
  power_off();
}

static void what_is_for_the_client(void) {
  power_on(0);
  fill(0, READ, 0, 512);
  fill(1, 8, 0, 24); /* GET_GEOMETRY */
  fill(2, READ, 0, 512);
  CHECK(take(0, 3, 1) == S4V_DISK_CLIENT);
  s4v_disk_wait(m, CHANNEL);
  CHECK(finish() == 1 && load(RING + ENTRY, 1) == READY);
  store(RING + 2 * ENTRY + 17, 3, 1); /* a slice */
  CHECK(take(2, 1, 0) == S4V_DISK_CLIENT);
  s4v_disk_file file = {.fd = -1};
  s4v_disk_ring ring = {.entries = 0};
  CHECK(s4v_disk_open(m, CHANNEL, &file, &ring) == S4V_EINVAL && s4v_disk_open(m, 3, &file, &ring) == S4V_ENOENT);
  CHECK(s4v_ldc_remove(m, CHANNEL) == S4V_OK);
  u32 taken;
  CHECK(s4v_disk_take(m, CHANNEL, 0, 1, 0, &taken) == S4V_ENOENT);
  power_off();
}

static int cases(void) {
  transfers_and_their_statuses();
  transfers_in_pieces();
  errors_are_of_one_request();
  many_at_once();
  flush_is_a_barrier();
  answers_do_not_run_away();
  forgotten_in_flight(0);
  forgotten_in_flight(1);
  memory_goes_in_flight();
  table_changes_in_flight();
  marks_come_after_the_bytes();
  at_once_and_in_order();
  what_is_for_the_client();
  printf("ok\n");
  return 0;
}
