/* vdisk_lane.h - plain requests that the core serves inside the guest's call; part of vdisk.c. */

enum { TX = 0x140000, RX = 0x150000, QUEUE = 16, IDENT = 7, SESSION = 0x55, TX_TAIL = 0xe3, RX_STATE = 0xe6, RX_HEAD = 0xe7 };

static u32 tx_tail, sent_packets, answered; /* numbers of packets: the last one sent, the last one that came */
static u64 rx_entries;

static s4v_stop hcall(u64 function, u64 a, u64 b) {
  s4v_stop stop;
  set_reg("pc", CODE);
  set_reg("npc", CODE + 4);
  set_reg("o0", CHANNEL);
  set_reg("o1", a);
  set_reg("o2", b);
  set_reg("o5", function);
  CHECK(s4v_run(m, 1, &stop) == S4V_OK);
  return stop;
}

static u64 reg(const char *name) {
  u64 v = 0;
  CHECK(s4v_reg_get(m, 0, s4v_reg_find(name), &v) == S4V_OK);
  return v;
}

static void lend(u32 received, u32 sent) {
  s4v_disk_link link = {.ident = IDENT, .session = SESSION, .received = received, .sent = sent};
  CHECK(s4v_disk_lend(m, CHANNEL, &link) == S4V_OK && s4v_disk_lent(m, CHANNEL));
  sent_packets = received;
  answered = sent;
}

/* A machine whose channel is up, with queues of `entries` packets; with two strands, on threads of their own. */
static void lane_on(u32 strands, u64 entries) {
  strand_count = strands;
  power_on(0);
  strand_count = 1;
  CHECK(s4v_ldc_up(m, CHANNEL, 1) == S4V_OK);
  CHECK(hcall(0xe0, TX, QUEUE).reason == S4V_STOP_BUDGET && reg("o0") == 0);
  CHECK(hcall(0xe4, RX, entries).reason == S4V_STOP_CHANNEL && reg("o0") == 0);
  tx_tail = 0;
  rx_entries = entries;
  lend(10, 20);
}

/* Puts a message about a descriptor at the queue's tail; the call that hands it over comes later. */
static void put_message(u32 index, u32 packet) {
  u8 p[64] = {2, 1, 0, 0xf8};
  put(p + 4, packet, 4);
  p[8] = 2, p[9] = 1;
  put(p + 10, 0x42, 2);
  put(p + 12, SESSION, 4);
  put(p + 16, 1000 + index, 8);
  put(p + 24, IDENT, 8);
  put(p + 32, index, 4);
  put(p + 36, index, 4);
  p[40] = 1;
  CHECK(s4v_mem_write(m, TX + tx_tail, p, sizeof p) == S4V_OK);
  tx_tail = (tx_tail + 64) % (QUEUE * 64);
}

static s4v_stop send_message(u32 index) {
  put_message(index, ++sent_packets);
  return hcall(TX_TAIL, tx_tail, 0);
}

/* Answers that wait; they are taken, and are about these descriptors. */
static u32 answers(u32 *index) {
  u8 p[64];
  u32 n = 0;
  hcall(RX_STATE, 0, 0);
  u64 head = reg("o1"), tail = reg("o2"), size = rx_entries * 64;
  for (; head != tail; head = (head + 64) % size) {
    CHECK(s4v_mem_read(m, RX + head, p, sizeof p) == S4V_OK);
    CHECK(get(p + 4, 4) == ++answered);
    CHECK(p[0] == 2 && p[1] == 1 && p[3] == 0xf8 && p[8] == 2 && p[9] == 2 && get(p + 10, 2) == 0x42);
    CHECK(get(p + 12, 4) == SESSION && get(p + 24, 8) == IDENT && get(p + 32, 4) == get(p + 36, 4) && p[40] == 1);
    index[n] = (u32)get(p + 32, 4);
    CHECK(get(p + 16, 8) == 1000 + index[n]);
    CHECK(load(RING + (u64)index[n++] * ENTRY, 1) == DONE);
  }
  CHECK(hcall(RX_HEAD, head, 0).reason == S4V_STOP_BUDGET);
  return n;
}

static void requests_without_a_stop(u32 strands) {
  u32 index[ENTRIES];
  s4v_disk_link link;
  lane_on(strands, QUEUE);
  for (u32 i = 0; i < 40; i++) {
    fill(i, i % 3 ? READ : WRITE, 10 * i, 512);
    CHECK(send_message(i).reason == S4V_STOP_BUDGET && reg("o0") == 0);
    while (answers(index) == 0) s4v_disk_wait(m, CHANNEL);
    CHECK(index[0] == i && status(i) == 0);
  }
  fill(0, READ, BLOCKS, 512);
  CHECK(send_message(0).reason == S4V_STOP_BUDGET && answers(index) == 1 && status(0) == EIO);
  CHECK(s4v_disk_take_back(m, CHANNEL, &link) == S4V_OK && link.received == 10 + 41 && link.sent == 20 + 41);
  CHECK(!s4v_disk_lent(m, CHANNEL));
  fill(0, READ, 0, 512);
  CHECK(send_message(0).reason == S4V_STOP_CHANNEL && load(RING, 1) == READY);
  power_off();
}

/* What a worker has done is answered while the guest runs, or waits. */
static void answers_that_come_later(u32 strands) {
  u32 index[ENTRIES], n = 0;
  s4v_stop stop;
  lane_on(strands, QUEUE);
  host_gate(1, ANYWHERE);
  for (u32 i = 0; i < 10; i++) {
    fill(i, READ, i, 512);
    CHECK(send_message(i).reason == S4V_STOP_BUDGET);
  }
  CHECK(answers(index) == 0 && count().in_flight == 10);
  pthread_t thread = open_when(8);
  store(CODE + 8, 0x10800000, 4); /* ba . */
  store(CODE + 12, 0x01000000, 4);
  set_reg("pc", CODE + 8);
  set_reg("npc", CODE + 12);
  while (count().in_flight) CHECK(s4v_run_for(m, 1 << 20, 1000000, &stop) == S4V_OK && stop.reason != S4V_STOP_KICK);
  joined(thread);
  while (n < 10) n += answers(index);
  for (u32 i = 0; i < 10; i++) check_blocks(buffer_of(i), i, 512);
  power_off();
}

/* A guest that makes no room gets no more answers, and the rest when it does. */
static void answers_wait_for_room(u32 strands) {
  u32 index[ENTRIES], n = 0;
  lane_on(strands, 4);
  host_gate(1, ANYWHERE);
  for (u32 i = 0; i < 12; i++) {
    fill(i, READ, i, 512);
    CHECK(send_message(i).reason == S4V_STOP_BUDGET);
  }
  host_gate(0, ANYWHERE);
  s4v_disk_wait(m, CHANNEL);
  for (u32 turn = 0; turn < 4; turn++) {
    u32 more = answers(index);
    CHECK(more == 3);
    n += more;
  }
  CHECK(n == 12 && answers(index) == 0 && count().in_flight == 0);
  power_off();
}

/* Everything that is not plain stays in the queue for the client, behind what was served. */
static void packets_for_the_client(u32 strands) {
  u32 index[ENTRIES];
  u8 packet[64];
  s4v_disk_link link;
  for (u32 kind = 0; kind < 6; kind++) {
    lane_on(strands, QUEUE);
    fill(0, READ, 0, 512);
    fill(1, kind == 0 ? 6 : READ, 0, 512); /* GET_VTOC */
    put_message(0, 11);
    put_message(1, kind == 1 ? 13 : 12);
    u64 at = TX + 64;
    if (kind == 2) store(at + 9, 4, 1);        /* NACK */
    if (kind == 3) store(at + 24, IDENT + 1, 8);
    if (kind == 4) store(at + 36, 2, 4);       /* two descriptors */
    if (kind == 5) store(at + 3, 0x78, 1);     /* a fragment */
    CHECK(hcall(TX_TAIL, tx_tail, 0).reason == S4V_STOP_CHANNEL);
    CHECK(s4v_disk_take_back(m, CHANNEL, &link) == S4V_OK && link.received == 11 && link.sent == 21);
    CHECK(s4v_ldc_receive(m, CHANNEL, packet, 1) == 1 && get(packet + 4, 4) == (kind == 1 ? 13 : 12));
    CHECK(answers(index) == 1 && index[0] == 0 && load(RING + ENTRY, 1) == READY);
    power_off();
  }
}

static void a_ring_that_goes(u32 strands) {
  u8 packet[64];
  s4v_disk_answer answer;
  s4v_disk_link link;
  lane_on(strands, QUEUE);
  host_gate(1, ANYWHERE);
  fill(0, READ, 0, 512);
  CHECK(send_message(0).reason == S4V_STOP_BUDGET);
  store(TABLE, 0, 8);
  host_gate(0, ANYWHERE);
  s4v_disk_wait(m, CHANNEL);
  CHECK(hcall(RX_STATE, 0, 0).reason == S4V_STOP_KICK && !s4v_disk_lent(m, CHANNEL));
  put_message(1, ++sent_packets);
  CHECK(hcall(TX_TAIL, tx_tail, 0).reason == S4V_STOP_CHANNEL);
  CHECK(s4v_ldc_receive(m, CHANNEL, packet, 1) == 1);
  CHECK(s4v_disk_take_back(m, CHANNEL, &link) == S4V_OK && link.broken);
  CHECK(s4v_disk_finish(m, CHANNEL, &answer, 1) == 0 && count().in_flight == 0);
  power_off();
}

static int lane(void) {
  for (u32 strands = 1; strands <= 2; strands++) {
    requests_without_a_stop(strands);
    answers_that_come_later(strands);
    answers_wait_for_room(strands);
    packets_for_the_client(strands);
    a_ring_that_goes(strands);
  }
  printf("ok\n");
  return 0;
}
