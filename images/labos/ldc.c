/* ldc.c - see ldc.h. */
#include "ldc.h"

#include "hyper.h"

enum { CHANNEL_DEVICES = 0x200, STATE_DOWN = 0, STATE_UP = 1 };
enum { QUEUE_BYTES = LDC_ENTRIES * LDC_PACKET, QUEUE_ORDER = 0 };
enum { COPY_READ = 1 << 9, COPY_WRITE = 1 << 10 };
#define PATIENCE_NS (3 * NS_PER_SECOND)
enum { RESTARTS_MOST = 64 }; /* a second */

bool ldc_endpoint(md_node port, u64 *id, u64 *tx_ino, u64 *rx_ino) {
  md_node end = md_linked(port, "fwd", "channel-endpoint", MD_NONE);
  return end != MD_NONE && md_value(end, "id", id) && md_value(end, "tx-ino", tx_ino) &&
         md_value(end, "rx-ino", rx_ino);
}

static u64 configure(struct ldc_channel *c) {
  u64 status = hyper(LDC_TX_QCONF, c->id, ra_of(c->tx), LDC_ENTRIES, 0);
  return status ? status : hyper(LDC_RX_QCONF, c->id, ra_of(c->rx), LDC_ENTRIES, 0);
}

bool ldc_prepare(struct ldc_channel *c) {
  if (!c->tx) c->tx = pages_alloc(QUEUE_ORDER);
  if (!c->rx) c->rx = pages_alloc(QUEUE_ORDER);
  if (!c->map) c->map = page_alloc();
  c->mapped = 0;
  return c->tx && c->rx && c->map;
}

u64 ldc_open(struct ldc_channel *c, enum link_mode mode, bool initiator, interrupt_handler handler, void *arg) {
  link_init(&c->link, mode);
  c->initiator = initiator;
  c->present = c->resting = false;
  u64 status = hyper(LDC_SET_MAP_TABLE, c->id, ra_of(c->map), LDC_MAP_ENTRIES, 0);
  if (!status) status = configure(c);
  c->open = !status;
  if (!status) status = interrupt_attach(CHANNEL_DEVICES, c->rx_ino, handler, arg);
  if (!status) status = interrupt_attach(CHANNEL_DEVICES, c->tx_ino, handler, arg);
  if (status)
    ldc_close(c);
  else
    ldc_service(c);
  return status;
}

void ldc_close(struct ldc_channel *c) {
  interrupt_detach(CHANNEL_DEVICES, c->rx_ino);
  interrupt_detach(CHANNEL_DEVICES, c->tx_ino);
  hyper(LDC_TX_QCONF, c->id, 0, 0, 0);
  hyper(LDC_RX_QCONF, c->id, 0, 0, 0);
  hyper(LDC_SET_MAP_TABLE, c->id, 0, 0, 0);
  if (c->tx) pages_free(c->tx, QUEUE_ORDER);
  if (c->rx) pages_free(c->rx, QUEUE_ORDER);
  if (c->map) page_free(c->map);
  c->tx = c->rx = NULL;
  c->map = NULL;
  c->open = false;
  link_down(&c->link);
}

struct queue {
  u64 head, tail, state;
};

static bool look(const struct ldc_channel *c, u64 function, struct queue *q) {
  struct hcall h = {{c->id}};
  bool fine = c->open && hcall_fast(function, &h) == EOK;
  *q = (struct queue){h.arg[1], h.arg[2], fine ? h.arg[3] : STATE_DOWN};
  return fine && q->head < QUEUE_BYTES && q->tail < QUEUE_BYTES && !((q->head | q->tail) & (LDC_PACKET - 1));
}

static void begin(struct ldc_channel *c);

static void lose(struct ldc_channel *c) {
  bool up = c->link.state == LINK_UP;
  link_down(&c->link);
  if (up) c->event(c, LDC_EVENT_DOWN, NULL, 0);
}

/* What LDC_*_GET_STATE tells, whichever call it was: RESET is told once. true: the channel is as it was. */
static bool take_state(struct ldc_channel *c, u64 state) {
  if (state == STATE_UP && c->present) return true;
  c->present = state != STATE_DOWN;
  lose(c);
  if (state == STATE_UP && c->link.mode != LINK_RAW) {
    if (c->initiator) begin(c);
    return true;
  }
  if (!c->present) return false;
  struct queue q;
  if (c->initiator) { /* the other end waits for a call; what it said before is of the old session */
    if (look(c, LDC_RX_GET_STATE, &q)) hyper(LDC_RX_SET_QHEAD, c->id, q.tail, 0, 0);
    begin(c);
  } else {
    ldc_restart(c); /* so that it calls */
  }
  return false;
}

/* Puts packets in the queue; their bytes are there before the tail moves. */
static bool put(struct ldc_channel *c, const u8 packet[LDC_PACKET]) {
  struct queue q;
  if (!look(c, LDC_TX_GET_STATE, &q) || !take_state(c, q.state)) return false;
  u64 next = (q.tail + LDC_PACKET) % QUEUE_BYTES;
  if (next == q.head) return false;
  memcpy(c->tx + q.tail, packet, LDC_PACKET);
  __asm__ volatile("membar #Sync" : : : "memory");
  return hyper(LDC_TX_SET_QTAIL, c->id, next, 0, 0) == EOK;
}

/* Sends VERS. Where that finds no room, ldc_watch() tries again. */
static void begin(struct ldc_channel *c) {
  u8 packet[LDC_PACKET];
  struct queue q;
  link_start(&c->link, packet);
  c->called_ns = clock_ns();
  if (!look(c, LDC_TX_GET_STATE, &q)) return;
  u64 next = (q.tail + LDC_PACKET) % QUEUE_BYTES;
  if (next == q.head) return;
  memcpy(c->tx + q.tail, packet, LDC_PACKET);
  __asm__ volatile("membar #Sync" : : : "memory");
  hyper(LDC_TX_SET_QTAIL, c->id, next, 0, 0);
}

/* An end that breaks every session at once would keep a cpu busy for ever: it is left alone for a while. */
static bool too_many(struct ldc_channel *c) {
  u64 now = clock_ns();
  if (now - c->counted_ns > NS_PER_SECOND) {
    c->counted_ns = now;
    c->counted = 0;
  }
  return ++c->counted > RESTARTS_MOST;
}

void ldc_restart(struct ldc_channel *c) {
  struct queue q;
  c->restarts++;
  lose(c);
  if (!c->open) return;
  if (too_many(c)) {
    c->resting = true;
    c->present = false;
    hyper(LDC_TX_QCONF, c->id, 0, 0, 0);
    hyper(LDC_RX_QCONF, c->id, 0, 0, 0);
    return;
  }
  c->resting = false;
  if (configure(c)) return;
  c->called_ns = clock_ns();
  c->present = look(c, LDC_RX_GET_STATE, &q) && q.state != STATE_DOWN;
  if (c->present && c->initiator) begin(c);
}

void ldc_watch(struct ldc_channel *c) {
  if (!c->open || c->link.state == LINK_UP || c->link.mode == LINK_RAW) return;
  if (c->resting) {
    c->counted = 0;
    ldc_restart(c);
  }
  ldc_service(c);
  if (c->present && c->link.state != LINK_UP && clock_ns() - c->called_ns > PATIENCE_NS) ldc_restart(c);
}

/* One packet. false: the session is over, and with it what else is in the queue. */
static bool handle(struct ldc_channel *c, const u8 *packet) {
  u8 answer[LDC_PACKET];
  bool answers, up = c->link.state == LINK_UP;
  enum link_event event = link_receive(&c->link, packet, answer, &answers);
  if (event == LINK_BROKEN || (answers && !put(c, answer))) {
    if (up && event == LINK_BROKEN) c->event(c, LDC_EVENT_DOWN, NULL, 0);
    ldc_restart(c);
    return false;
  }
  if (event == LINK_LOST && up) c->event(c, LDC_EVENT_DOWN, NULL, 0);
  if (event == LINK_CAME_UP) c->event(c, LDC_EVENT_UP, NULL, 0);
  if (event == LINK_ACKED) c->event(c, LDC_EVENT_ROOM, NULL, 0);
  if (event == LINK_MESSAGE_CAME) {
    c->messages_in++;
    c->event(c, LDC_EVENT_MESSAGE, c->link.message, c->link.length);
  }
  return true;
}

/* The head moves before a packet is handled: an event may configure the queues anew. At most two queues full at a time:
 * the interrupt comes again where there is more. */
void ldc_service(struct ldc_channel *c) {
  u8 packet[LDC_PACKET];
  struct queue q;
  for (u32 most = 2 * LDC_ENTRIES; most > 0; most--) {
    if (!look(c, LDC_RX_GET_STATE, &q) || !take_state(c, q.state)) break;
    if (q.head == q.tail) break;
    memcpy(packet, c->rx + q.head, LDC_PACKET);
    if (hyper(LDC_RX_SET_QHEAD, c->id, (q.head + LDC_PACKET) % QUEUE_BYTES, 0, 0)) break;
    if (!handle(c, packet)) break;
  }
  if (look(c, LDC_TX_GET_STATE, &q) && take_state(c, q.state) && c->link.state == LINK_UP)
    c->event(c, LDC_EVENT_ROOM, NULL, 0);
}

bool ldc_send(struct ldc_channel *c, const void *message, size_t bytes) {
  struct queue q;
  u8 packet[LDC_PACKET];
  u32 n = link_packets(&c->link, bytes);
  if (!n || !look(c, LDC_TX_GET_STATE, &q) || !take_state(c, q.state)) return false;
  u64 room = (q.head - q.tail - LDC_PACKET) % QUEUE_BYTES / LDC_PACKET, tail = q.tail;
  if (room < n) return false;
  for (u32 i = 0; i < n; i++) {
    link_fragment(&c->link, message, bytes, i, packet);
    memcpy(c->tx + tail, packet, LDC_PACKET);
    tail = (tail + LDC_PACKET) % QUEUE_BYTES;
  }
  __asm__ volatile("membar #Sync" : : : "memory");
  if (hyper(LDC_TX_SET_QTAIL, c->id, tail, 0, 0)) {
    ldc_restart(c);
    return false;
  }
  c->messages_out++;
  return true;
}

u64 ldc_export(struct ldc_channel *c, const void *memory, size_t bytes, u32 rights) {
  u64 ra = ra_of(memory), first = ra & ~(u64)(PAGE_BYTES - 1), offset = ra - first;
  u64 pages = (offset + bytes + PAGE_BYTES - 1) / PAGE_BYTES;
  if (!bytes || pages > LDC_MAP_ENTRIES - c->mapped) return LDC_NO_COOKIE;
  u64 allowed = (rights & LDC_READ ? COPY_READ : 0) | (rights & LDC_WRITE ? COPY_WRITE : 0);
  u64 cookie = (u64)c->mapped * PAGE_BYTES + offset;
  for (u64 i = 0; i < pages; i++, c->mapped++) {
    c->map[2 * c->mapped + 1] = 0;
    c->map[2 * c->mapped] = (first + i * PAGE_BYTES) | allowed;
  }
  __asm__ volatile("membar #Sync" : : : "memory");
  return cookie;
}

static bool copy(struct ldc_channel *c, u64 out, u64 cookie, const void *memory, size_t bytes) {
  u64 ra = ra_of(memory);
  while (bytes > 0) {
    struct hcall h = {{c->id, out, cookie, ra, bytes}};
    if (hcall_fast(LDC_COPY, &h) != EOK || h.arg[1] == 0 || h.arg[1] > bytes) return false;
    cookie += h.arg[1];
    ra += h.arg[1];
    bytes -= h.arg[1];
  }
  return true;
}

bool ldc_copy_in(struct ldc_channel *c, u64 cookie, void *to, size_t bytes) { return copy(c, 0, cookie, to, bytes); }

bool ldc_copy_out(struct ldc_channel *c, u64 cookie, const void *from, size_t bytes) {
  return copy(c, 1, cookie, from, bytes);
}
