/* net_fuzz.c - virtual networks in C (csrc/vio/vnet.c, netport.c) against a hostile guest and a busy client.
 *
 *   net_fuzz guest SEED ROUNDS   rings, map tables, queues, descriptors and messages at random; the client lends, takes back,
 *                                serves and closes in any order. What the guest has not exported stays as it was; frames for
 *                                the client have lengths that can be; a session that begins anew works. Prints what passed.
 *   net_fuzz ports SEED ROUNDS   ports against a model: order, room, flows, counters, ports that go while flows lead to them
 *   net_fuzz threads SEED ROUNDS two threads put, take, list, count and forget at one port; nothing is lost or made up
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>

#include "public.h"

enum {
  MEMORY = 4 << 20, PAGE = 8192, CODE = 0x10000, TABLE = 0x20000, TX = 0x30000, RX = 0x38000, QUEUE = 16, PAGES = 64,
  BASE = 0x100000, OUTSIDE = BASE + PAGES * PAGE, RING = BASE, ENTRIES = 64, ENTRY = 16 + 16 * 4, BUFFERS = BASE + 2 * PAGE,
  BUFFER = 2048, CHANNEL = 1, MTU = 1514, SLOT = 2048, OUR_ENTRIES = 128, IDENT = 7, OUR_IDENT = 9, SESSION = 0x55,
  RIGHTS = 0x600, FRAME_LEAST = 14, FRAME_MOST = 16022, LIST = 64 << 10, PORTS = 4,
};

static unsigned long long seed;
static u64 below(u64 n) { return random_next(&seed) % n; }

/* ---- a guest ---- */

static s4v_machine *m;
static s4v_netport *port, *other;
static u32 packet_number, tx_tail;
static u64 passed, for_client, told;

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

static void set_reg(const char *name, u64 v) { CHECK(s4v_reg_set(m, 0, s4v_reg_find(name), v) == S4V_OK); }

static u64 hcall(u64 function, u64 a, u64 b) {
  s4v_stop stop;
  u64 status;
  set_reg("pc", CODE), set_reg("npc", CODE + 4);
  set_reg("o0", CHANNEL), set_reg("o1", a), set_reg("o2", b), set_reg("o5", function);
  CHECK(s4v_run(m, 1, &stop) == S4V_OK);
  CHECK(s4v_reg_get(m, 0, s4v_reg_find("o0"), &status) == S4V_OK);
  return status;
}

static void map_all(void) {
  for (u64 i = 0; i < PAGES; i++) store(TABLE + 16 * i, (BASE + i * PAGE) | RIGHTS, 8);
}

static void power_on(void) {
  s4v_config config = {
      .memory_bytes = MEMORY, .strands = 1, .features = ~(u64)0, .cfr_present = 1, .channels = 8, .stick_hz = 1000000000,
      .tick_hz = 3600000000u, .va_bits = 52, .page_sizes = 0x3f, .max_tsbs = 4, .quantum = 1000, .rng_seed = 1, .rng_layout = 1,
  };
  char why[128];
  u64 granted[2];
  m = s4v_machine_new(&config, why, sizeof why);
  CHECK(m && s4v_ldc_add(m, CHANNEL) == S4V_OK && s4v_api_version(m, 0x101, 1, 1, 0, granted) == 0);
  store(CODE, 0x91d02080, 4); /* ta 0x80 */
  CHECK(s4v_strand_start(m, 0, CODE, 0, 0) == S4V_OK);
  CHECK(s4v_ldc_export(m, CHANNEL, PAGE + OUR_ENTRIES * SLOT) == S4V_OK && s4v_ldc_up(m, CHANNEL, 1) == S4V_OK);
  for (u64 at = OUTSIDE; at < MEMORY; at += 8) store(at, ~at, 8);
}

/* ---- the client ---- */

static void lend(u32 entry_bytes, u32 entries, u32 cookies, u32 mtu, u32 next) {
  s4v_disk_ring ring = {.entries = entries, .entry_bytes = entry_bytes, .cookies = cookies};
  s4v_net_lane lane = {.ident = IDENT, .out_ident = OUR_IDENT, .sequence = 1, .session = SESSION, .received = packet_number,
                       .mtu = mtu, .slot_bytes = SLOT, .next = next, .first = next};
  for (u32 i = 0; i < cookies && i < 24; i++) ring.address[i] = i * PAGE, ring.bytes[i] = PAGE;
  int status = s4v_net_lend(m, CHANNEL, port, &ring, &lane);
  CHECK(status == S4V_OK || status == S4V_EINVAL);
}

/* Of the frames of this number, as fill() makes them. */
static void flow(u64 number, u32 most) {
  u8 addresses[12] = {0, 0x14, 0, (u8)(number & 3), 0x4f, 0xf8};
  put(addresses + 6, 0x10000 | number, 6);
  s4v_netport_flow(port, s4v_netport_generation(port), addresses, most, other);
}

static void start_anew(void) {
  s4v_net_lane lane;
  u8 packets[64 * QUEUE];
  s4v_net_take_back(m, CHANNEL, &lane);
  map_all();
  CHECK(hcall(0xea, TABLE, PAGES) == 0 && hcall(0xe0, TX, QUEUE) == 0 && hcall(0xe4, RX, QUEUE) == 0);
  while (s4v_ldc_receive(m, CHANNEL, packets, QUEUE) > 0) continue;
  tx_tail = packet_number = 0;
  lend(ENTRY, ENTRIES, 1, MTU, 0);
  CHECK(s4v_net_lent(m, CHANNEL));
  for (u64 number = 0; number < 6; number++) flow(number, FRAME_MOST);
}

/* Frames that have no flow. Their order is not looked at here: hostile ones have no number. */
static void take_frames(void) {
  static u8 list[LIST];
  size_t room = below(2) ? LIST : 16026;
  int64_t bytes = s4v_net_frames(m, CHANNEL, list, room);
  CHECK(bytes >= 0 && (size_t)bytes <= room);
  for (int64_t at = 0; at < bytes;) {
    u32 length;
    memcpy(&length, list + at, sizeof length);
    CHECK(length >= FRAME_LEAST && length <= FRAME_MOST);
    at += (int64_t)(sizeof length + length);
    CHECK(at <= bytes);
    for_client++;
  }
}

/* ---- what a guest does ---- */

static void fill(u32 index, u64 bytes, u64 pieces, u64 number) {
  u64 at = RING + (u64)index * ENTRY, buffer = BUFFERS + (u64)(index % 32) * BUFFER, each = (bytes + 6 + 7) / 8 * 8;
  store(at, 2 << 8, 2); /* ready */
  store(at + 8, bytes, 4);
  store(at + 12, pieces, 4);
  for (u64 i = 0; i < pieces && i < 4; i++) {
    store(at + 16 + 16 * i, buffer - BASE + i * (each / pieces), 8);
    store(at + 24 + 16 * i, i + 1 < pieces ? each / pieces : each - i * (each / pieces), 8);
  }
  store(buffer + 6, 0x0014 << 16 | (u64)(number & 3), 4); /* of eight destinations some have a flow */
  store(buffer + 10, 0x4ff8000000010000 | number, 8);
}

static void put_packet(u64 type, u64 index, u64 ident, u64 end, u64 state) {
  u8 p[64] = {2, 1, 0, 0xf8};
  put(p + 4, ++packet_number, 4);
  p[8] = 2, p[9] = (u8)type;
  put(p + 10, 0x42, 2);
  put(p + 12, SESSION, 4);
  put(p + 24, ident, 8);
  put(p + 32, index, 4);
  put(p + 36, end, 4);
  p[40] = (u8)state;
  if (below(16) == 0) p[below(64)] ^= (u8)(1u << below(8));
  CHECK(s4v_mem_write(m, TX + tx_tail, p, sizeof p) == S4V_OK);
  tx_tail = (tx_tail + 64) % (QUEUE * 64);
}

static u64 any_word(void) {
  static const u64 word[] = {0, 1, 2, 13, 14, 60, 63, 64, 127, 128, 1514, 1515, 8191, 8192, 16022, 16023, 1u << 31, ~0u,
                             (u64)1 << 59, (u64)1 << 60, (u64)1 << 63, ~(u64)0, ~(u64)0 - 7};
  return below(3) ? word[below(sizeof word / sizeof *word)] : random_next(&seed) >> below(64);
}

static void spoil(void) {
  u64 at = RING + below(ENTRIES) * ENTRY;
  switch (below(8)) {
    case 0: store(TABLE + 16 * below(PAGES), any_word(), 8); break;
    case 1: store(TABLE + 16 * below(PAGES), (BASE + below(PAGES) * PAGE) | RIGHTS | below(8), 8); break;
    case 2: store(at + 8 * below(ENTRY / 8), any_word(), 8); break;
    case 3: store(at + 8, any_word(), 4); break;
    case 4: store(at, 2 << 8, 2); break;
    case 5: store(TX + 8 * below(QUEUE * 8), any_word(), 8); break;
    default: fill((u32)below(ENTRIES), FRAME_LEAST + below(1600), 1 + below(5), below(8)); break;
  }
}

static void guest_moves(void) {
  u32 index = (u32)below(ENTRIES);
  switch (below(12)) {
    case 0: hcall(0xe7, any_word(), 0); break;
    case 1: hcall(0xe3, any_word(), 0); tx_tail = 0; break;
    case 2: hcall(below(2) ? 0xe0 : 0xe4, below(2) ? TX : RX, (u64)2 << below(6)); break;
    case 3: put_packet(2, below(130), below(2) ? OUR_IDENT : any_word(), below(2) ? below(130) : any_word(), below(3)); break;
    default:
      for (u64 n = below(8); n; n--) fill((index + (u32)n - 1) % ENTRIES, FRAME_LEAST + below(1500), 1 + below(4), below(8));
      put_packet(1, below(8) ? index : any_word(), below(8) ? IDENT : any_word(), ~0u, 1);
      break;
  }
  hcall(0xe3, tx_tail, 0);
  if (hcall(0xe6, 0, 0) != 0) return;
  u64 tail;
  CHECK(s4v_reg_get(m, 0, s4v_reg_find("o2"), &tail) == S4V_OK);
  hcall(0xe7, tail, 0);
}

static void client_moves(void) {
  static u8 frame[FRAME_MOST];
  s4v_net_lane lane;
  s4v_net_counters c;
  switch (below(12)) {
    case 0: s4v_net_serve(m, CHANNEL, (int)below(2)); break;
    case 1:
      if (s4v_net_take_back(m, CHANNEL, &lane) == S4V_OK) CHECK(lane.next < OUR_ENTRIES && lane.first < OUR_ENTRIES);
      break;
    case 2: lend((u32)(below(3) ? ENTRY : any_word()), (u32)(below(3) ? ENTRIES : any_word()), (u32)below(27),
                 (u32)(below(3) ? MTU : any_word()), (u32)(below(3) ? below(OUR_ENTRIES) : any_word())); break;
    case 3: s4v_netport_forget(port); break;
    case 4: s4v_netport_clear(other); break;
    case 5: s4v_netport_counted(port, &c); passed += c.in_frames; break;
    case 6: flow(below(8), (u32)below(2000)); break;
    case 7: s4v_netport_close(other); CHECK((other = s4v_netport_new())); break;
    default:
      put(frame, random_next(&seed), 8);
      told += s4v_netport_put(port, frame, below(8) ? FRAME_LEAST + below(1500) : below(FRAME_MOST + 1), (int)below(2), 64) == 2;
      break;
  }
  take_frames();
}

/* Frames to the client and back, one each, in a session that is new. */
static void it_works(void) {
  static u8 list[LIST];
  u32 length;
  start_anew();
  while (s4v_net_frames(m, CHANNEL, list, LIST) > 0) continue;
  s4v_netport_forget(port);
  s4v_netport_clear(port);
  fill(5, 100, 2, 3);
  store(RING + 6 * ENTRY, 0, 1); /* nothing behind it */
  u8 p[64] = {2, 1, 0, 0xf8};
  put(p + 4, ++packet_number, 4);
  p[8] = 2, p[9] = 1;
  put(p + 10, 0x42, 2), put(p + 12, SESSION, 4), put(p + 24, IDENT, 8), put(p + 32, 5, 4), put(p + 36, ~0u, 4), p[40] = 1;
  CHECK(s4v_mem_write(m, TX + tx_tail, p, sizeof p) == S4V_OK);
  CHECK(hcall(0xe3, tx_tail = (tx_tail + 64) % (QUEUE * 64), 0) == 0);
  CHECK(s4v_net_frames(m, CHANNEL, list, LIST) == 104);
  memcpy(&length, list, sizeof length);
  CHECK(length == 100 && get(list + 4, 4) == (0x0014 << 16 | 3));
  CHECK(load(RING + 5 * ENTRY, 1) == 4); /* done */
}

static int guest(u64 rounds) {
  power_on();
  CHECK((port = s4v_netport_new()) && (other = s4v_netport_new()));
  start_anew();
  for (u64 i = 0; i < rounds; i++) {
    for (u64 n = below(6); n; n--) spoil();
    guest_moves();
    client_moves();
    if (below(64) == 0) it_works();
    if (below(16) == 0) start_anew();
  }
  it_works();
  for (u64 at = OUTSIDE; at < MEMORY; at += 8) CHECK(load(at, 8) == ~at);
  s4v_netport_close(other);
  s4v_netport_close(port);
  s4v_machine_free(m);
  printf("passed %llu client %llu told %llu\n", (unsigned long long)passed, (unsigned long long)for_client,
         (unsigned long long)told);
  return 0;
}

/* ---- ports against a model ---- */

struct model { u32 number[1024], count; };

static u32 length_of(u32 number) { return 4 + number % 5 * 100; }

static void model_put(struct model *q, u32 number, int front) {
  memmove(q->number + (front ? 1 : 0), q->number, front ? q->count * sizeof *q->number : 0);
  q->number[front ? 0 : q->count] = number;
  q->count++;
}

static u32 model_take(struct model *q) {
  u32 number = q->number[0];
  memmove(q->number, q->number + 1, --q->count * sizeof *q->number);
  return number;
}

static int ports(u64 rounds) {
  static struct model model[PORTS];
  static u8 frame[FRAME_MOST], list[1 << 20];
  s4v_netport *p[PORTS];
  u32 numbers = 0;
  u64 taken = 0;
  for (u32 i = 0; i < PORTS; i++) CHECK((p[i] = s4v_netport_new()));
  for (u64 i = 0; i < rounds; i++) {
    u32 n = (u32)below(PORTS), most = (u32)below(65);
    struct model *q = &model[n];
    int front = below(4) == 0;
    switch (below(16)) {
      case 0: s4v_netport_clear(p[n]); q->count = 0; break;
      case 1: s4v_netport_close(p[n]); CHECK((p[n] = s4v_netport_new())); q->count = 0; break;
      case 2: s4v_netport_forget(p[n]); break;
      case 3: s4v_netport_flow(p[n], below(3), frame, 64, p[below(PORTS)]); break;
      case 4: CHECK(s4v_netport_put(p[n], frame, FRAME_MOST + 1 + below(1000), 0, 64) == S4V_EINVAL); break;
      case 5: CHECK(s4v_netport_take(p[n], frame, FRAME_MOST - 1) == S4V_EINVAL); break;
      case 6: {
        size_t room = below(2) ? sizeof list : below(600), wanted = s4v_netport_list(p[n], list, room), at = 0;
        for (u32 k = 0; k < q->count; k++) {
          u32 bytes, number;
          if (at + 4 + length_of(q->number[k]) > room) break;
          memcpy(&bytes, list + at, 4), memcpy(&number, list + at + 4, 4);
          CHECK(number == q->number[k] && bytes == length_of(number));
          at += 4 + bytes;
        }
        CHECK(wanted >= at && (room < sizeof list || wanted == at));
        break;
      }
      case 7: case 8: case 9: case 10: {
        u32 number;
        int64_t bytes = s4v_netport_take(p[n], frame, FRAME_MOST);
        CHECK((bytes == S4V_ENOENT) == !q->count);
        if (bytes == S4V_ENOENT) break;
        memcpy(&number, frame, 4);
        CHECK(number == model_take(q) && bytes == length_of(number));
        taken++;
        break;
      }
      default:
        memcpy(frame, &numbers, 4);
        CHECK(s4v_netport_put(p[n], frame, length_of(numbers), front, most) == (q->count < most));
        if (q->count < most) model_put(q, numbers, front);
        numbers++;
        break;
    }
    CHECK(s4v_netport_waiting(p[n]) == q->count);
  }
  for (u32 i = 0; i < PORTS; i++) s4v_netport_close(p[i]);
  printf("taken %llu\n", (unsigned long long)taken);
  return 0;
}

/* ---- two threads at a port ---- */

struct beside { u64 frames; u32 quit; };

static void *takes(void *arg) {
  struct beside *b = arg;
  static u8 frame[FRAME_MOST], list[4096];
  s4v_net_counters c;
  u32 next = 0, number;
  for (;;) {
    u32 quit = __atomic_load_n(&b->quit, __ATOMIC_ACQUIRE);
    s4v_netport_list(port, list, sizeof list);
    s4v_netport_counted(port, &c);
    s4v_netport_forget(port);
    int64_t bytes = s4v_netport_take(port, frame, FRAME_MOST);
    if (bytes == S4V_ENOENT && quit) return NULL;
    if (bytes == S4V_ENOENT) continue;
    memcpy(&number, frame, 4);
    CHECK(bytes == 4 + number % 1000 && number >= next); /* in order; those that found no room are left out */
    next = number + 1;
    b->frames++;
  }
}

static int threads(u64 rounds) {
  static u8 frame[FRAME_MOST];
  struct beside b = {0};
  pthread_t thread;
  u64 put_in = 0;
  CHECK((port = s4v_netport_new()) && !pthread_create(&thread, NULL, takes, &b));
  for (u32 i = 0; i < rounds; i++) {
    memcpy(frame, &i, 4);
    int status = s4v_netport_put(port, frame, 4 + i % 1000, 0, 32);
    CHECK(status == 0 || status == 1);
    if (!status) sched_yield();
    put_in += (u64)status;
  }
  __atomic_store_n(&b.quit, 1, __ATOMIC_RELEASE);
  pthread_join(thread, NULL);
  CHECK(b.frames == put_in);
  s4v_netport_close(port);
  printf("taken %llu\n", (unsigned long long)b.frames);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  seed = strtoull(argv[2], NULL, 0);
  u64 rounds = strtoull(argv[3], NULL, 0);
  if (!strcmp(argv[1], "guest")) return guest(rounds);
  if (!strcmp(argv[1], "ports")) return ports(rounds);
  return strcmp(argv[1], "threads") ? 2 : threads(rounds);
}
