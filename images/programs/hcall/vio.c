/* vio.c - a hostile guest of virtual devices: random messages, packets, rings, tables; words: seed, number, channels. */
#include "../check/strands.h"
#include "vio.h"

enum { DONE = 0x55, BATCH = 24, QUIET = 512, STATE_RESET = 2 };
#define PROGRESS ((volatile u64 *)0x10000) /* where the harness looks how far we are */

static struct line lines[MOST_LINES];
static u64 line_count, sent, chance = 1;

u64 draw(u64 n) { return (random_next(&chance) >> 11) % n; }

static const u64 edges[] = {
  0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 48, 56, 60, 63, 64, 65, 127, 128, 255, 256, 511, 512, 513, 1514, 1518, 4095, 4096, 8191, 8192,
  16384, 65535, 65536, 1ul << 20, (1ul << 20) + 512, 1ul << 31, (1ul << 32) - 1, 1ul << 32, 1ul << 45, 1ul << 59, 1ul << 60, 1ul << 61,
  (1ul << 63) - 1, 1ul << 63, -512ul, -64ul, -8ul, -1ul,
};

u64 edge(void) { return draw(4) ? edges[draw(sizeof edges / sizeof edges[0])] : random_next(&chance) >> draw(64); }

/* Some bytes, words or bits of a message become others. */
void spoil(u8 *bytes, u64 count) {
  for (u64 n = draw(3) + 1; n > 0; n--) {
    u64 at = draw(count), value = edge();
    switch (draw(5)) {
    case 0: bytes[at] ^= (u8)(1u << draw(8)); break;
    case 1: bytes[at] = (u8)draw(6); break;
    case 2: bytes[at] = (u8)value; break;
    case 3: put32(bytes + (at & ~3ul), (u32)value); break;
    default:
      put32(bytes + (at & ~7ul), (u32)(value >> 32));
      put32(bytes + (at & ~7ul) + 4, (u32)value);
    }
  }
}

static u64 channel_call(u64 function, const struct line *l, u64 a, u64 b, struct hcall *h) {
  *h = (struct hcall){{l->channel, a, b}};
  return hcall_fast(function, h);
}

/* Queues, table and what we know of the session as after a driver's probe; sometimes something of it is wrong. */
static void bind(struct line *l) {
  struct hcall h;
  u64 table = l->base + TABLE_AT;
  for (u64 n = 0; n < TABLE_ENTRIES; n++) {
    u64 page = n < WINDOW_PAGES ? l->base + WINDOW_AT + n * PAGE : n < TABLE_ENTRIES / 2 ? edge() << 13 : 0;
    *(u64 *)(table + 16 * n) = page | (n < WINDOW_PAGES || draw(2) ? 0x600 : edge() & 0x7ff);
  }
  channel_call(LDC_SET_MAP_TABLE, l, table, draw(32) ? TABLE_ENTRIES : 0, &h);
  channel_call(LDC_TX_QCONF, l, l->base + TX_AT, QUEUE, &h);
  channel_call(LDC_RX_QCONF, l, draw(64) ? l->base + RX_AT : l->base + TX_AT, draw(32) ? QUEUE : 2, &h);
  l->seq = l->got = l->handshake = 0;
  channel_call(LDC_RX_GET_STATE, l, 0, 0, &h);
}

/* The other side has ended the session: the next message begins another one. The services' side has to be asked to. */
static void look(struct line *l, u64 state) {
  if (state != STATE_RESET) return;
  if (l->kind == 's') bind(l);
  l->seq = l->handshake = 0;
}

/* Reads what has come, as far as one likes: idents, numbers to acknowledge. */
static void drain(struct line *l) {
  struct hcall h;
  if (channel_call(LDC_RX_GET_STATE, l, 0, 0, &h) != EOK) return;
  if (h.arg[3] == STATE_RESET) {
    look(l, STATE_RESET);
    return;
  }
  u64 head = h.arg[1], tail = h.arg[2];
  for (; head != tail; head = (head + PACKET) % (QUEUE * PACKET)) {
    const u8 *p = (const u8 *)(l->base + RX_AT + head);
    if (p[0] == 2 || p[2] == 4) l->got = get32(p + 4);
    if (p[0] == 2 && p[8] == 1 && p[9] == 2 && p[11] == 3) l->ident = get32(p + 20);
  }
  channel_call(LDC_RX_SET_QHEAD, l, tail, 0, &h);
}

/* Hands over what was put in the queue; false: the queue is not as it was left. */
static void hand_over(struct line *l, u64 tail) {
  struct hcall h;
  channel_call(LDC_TX_SET_QTAIL, l, tail, 0, &h);
}

/* As many packets as there is room for, up to a batch. */
static void speak(struct line *l) {
  struct hcall h;
  if (channel_call(LDC_TX_GET_STATE, l, 0, 0, &h) != EOK) {
    bind(l);
    return;
  }
  look(l, h.arg[3]);
  u64 head = h.arg[1], tail = h.arg[2], room = (head - tail - PACKET) % (QUEUE * PACKET) / PACKET, n = draw(BATCH) + 1;
  while (n-- > 0 && room >= MESSAGE_PACKETS) {
    u8 packets[MESSAGE_PACKETS * PACKET];
    u64 count = line_message(l, packets);
    for (u64 i = 0; i < count; i++) {
      u8 *to = (u8 *)(l->base + TX_AT + tail);
      for (u64 b = 0; b < PACKET; b++) to[b] = packets[i * PACKET + b];
      tail = (tail + PACKET) % (QUEUE * PACKET);
    }
    room -= count;
    sent += count;
  }
  hand_over(l, draw(QUIET) ? tail : edge());
}

/* Queues, tables and memory under the other side's feet. */
static void upset(struct line *l) {
  struct hcall h;
  u64 entry = l->base + TABLE_AT + 16 * draw(WINDOW_PAGES);
  switch (draw(8)) {
  case 0: channel_call(draw(2) ? LDC_TX_QCONF : LDC_RX_QCONF, l, edge(), edge(), &h); break;
  case 1: channel_call(LDC_RX_QCONF, l, draw(2) ? l->base + RX_AT : 0, draw(2) ? 0 : QUEUE, &h); break;
  case 2: channel_call(LDC_SET_MAP_TABLE, l, draw(2) ? l->base + TABLE_AT : edge(), draw(2) ? TABLE_ENTRIES : edge(), &h); break;
  case 3: *(u64 *)entry = edge(); break;
  case 4: *(u64 *)entry = (l->base + WINDOW_AT + draw(WINDOW_PAGES) * PAGE) | (draw(2) ? 0x600 : draw(8) << 8); break;
  case 5: channel_call(LDC_RX_SET_QHEAD, l, edge(), 0, &h); break;
  case 6: channel_call(LDC_TX_SET_QTAIL, l, edge(), 0, &h); break;
  default: bind(l);
  }
  if (draw(4)) bind(l); /* else one goes on with what is left */
}

/* Another strand: descriptors, cookies and packets change while they are read. */
static void meddle(u64 id) {
  u64 own = id * 0x9e3779b97f4a7c15ul + chance;
  for (;;) {
    const struct line *l = &lines[random_next(&own) % line_count];
    u64 at = random_next(&own) % 64 ? RING_AT : random_next(&own) % 16 ? TABLE_AT : TX_AT;
    volatile u64 *word = (volatile u64 *)(l->base + at + (random_next(&own) % 0x2000 & ~7ul));
    *word ^= 1ul << random_next(&own) % 64;
    if (random_next(&own) % 4 == 0) *(volatile u8 *)(l->base + RING_AT + random_next(&own) % 16 * 64) = 2;
    for (u64 n = random_next(&own) % 512; n > 0; n--) COMPILER;
  }
}

static u64 number(const char *text) {
  u64 n = 0;
  while (*text >= '0' && *text <= '9') n = n * 10 + (u64)(*text++ - '0');
  return n;
}

/* Words such as disk3: a letter that says what is there, and the channel. */
static void open_lines(const u64 *block) {
  for (u64 i = 4; i < block[0] + 1 && line_count < MOST_LINES; i++) {
    const char *word = (const char *)block[i];
    struct line *l = &lines[line_count];
    *l = (struct line){.kind = (u8)*word, .base = LINES_AT + line_count * LINE_BYTES};
    while (*word && (*word < '0' || *word > '9')) word++;
    l->channel = number(word);
    line_count++;
  }
}

int main(void) {
  const u64 *block = (const u64 *)runtime_arg;
  struct hcall ldom = {{GROUP_LDOM, 1, 1}};
  u64 count = number((const char *)block[3]);
  chance = number((const char *)block[2]) * 0x9e3779b97f4a7c15ul + 1;
  open_lines(block);
  hcall_core(API_SET_VERSION, &ldom);
  strands_open();
  for (u64 i = 0; i < line_count; i++) bind(&lines[i]);
  for (u64 id = 1; id < strand_count; id++) strand_start(id, meddle);
  while (sent < count) {
    struct line *l = &lines[draw(line_count)];
    if (draw(256) == 0) bind(l);
    if (draw(64) == 0) upset(l);
    if (draw(3)) line_scribble(l);
    speak(l);
    if (draw(8)) drain(l);
    *PROGRESS = sent;
  }
  exit(DONE);
}
