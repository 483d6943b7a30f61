/* link_fuzz.c - two ends of images/labos/link.c. Arguments: seed, rounds. Prints what happened.
 *
 * Packets go through two queues. Messages of every size must arrive whole and in order. Now and then a packet is
 * damaged, or an end starts anew: then both must find each other again, and nothing old may come out.
 */
#include <string.h>

#include "check.h"
#include "link.h"

enum { QUEUE = 1024 };
struct end {
  struct link link;
  u8 queue[QUEUE][LDC_PACKET]; /* packets for this end */
  u32 head, tail;
  u32 epoch, sent, received;   /* numbers of messages since the link came up */
};
static struct end ends[2];
static unsigned long long chances;
static u64 messages, breaks, restarts, ups;

static u32 pick(u32 n) { return (u32)(random_next(&chances) % n); }

static void put(struct end *to, const u8 *packet) {
  CHECK(to->tail - to->head < QUEUE);
  u8 *slot = to->queue[to->tail++ % QUEUE];
  memcpy(slot, packet, LDC_PACKET);
  if (pick(2000) == 0) slot[pick(LDC_PACKET)] ^= (u8)(1 + pick(255));
}

/* The channel of both is reset: what was under way is gone, one end calls or both do. */
static void restart(u32 who) {
  u8 packet[LDC_PACKET];
  for (u32 i = 0; i < 2; i++) {
    ends[i].head = ends[i].tail;
    link_down(&ends[i].link);
  }
  restarts++;
  for (u32 i = 0; i < 2; i++) {
    if (who != 2 && who != i) continue;
    link_start(&ends[i].link, packet);
    memcpy(ends[!i].queue[ends[!i].tail++ % QUEUE], packet, LDC_PACKET);
  }
}

static size_t message_of(const struct end *from, u32 number, u8 *message) {
  unsigned long long state = (unsigned long long)(from - ends) << 32 | number;
  size_t bytes = 8 + random_next(&state) % (number % 7 ? 100 : LINK_MESSAGE - 7);
  for (size_t i = 0; i < bytes; i++) message[i] = (u8)random_next(&state);
  return bytes;
}

static void send_one(u32 i) {
  u8 message[LINK_MESSAGE], packet[LDC_PACKET];
  struct end *e = &ends[i];
  size_t bytes = message_of(e, e->sent, message);
  u32 n = link_packets(&e->link, bytes);
  if (!n || ends[!i].tail - ends[!i].head + n + 10 > QUEUE) return;
  for (u32 k = 0; k < n; k++) {
    link_fragment(&e->link, message, bytes, k, packet);
    put(&ends[!i], packet);
  }
  e->sent++;
}

/* A damaged message is noticed by the link (numbers, lengths) or by its bytes; the layer above would start anew. */
static void received(u32 i) {
  u8 expected[LINK_MESSAGE];
  struct end *e = &ends[i];
  size_t bytes = message_of(&ends[!i], e->received++, expected);
  messages++;
  if (bytes == e->link.length && memcmp(e->link.message, expected, bytes) == 0) return;
  breaks++;
  restart(pick(3));
}

static void receive_one(u32 i) {
  struct end *e = &ends[i];
  u8 *exact = malloc(LDC_PACKET), answer[LDC_PACKET];
  bool answers;
  CHECK(exact);
  memcpy(exact, e->queue[e->head++ % QUEUE], LDC_PACKET);
  enum link_event event = link_receive(&e->link, exact, answer, &answers);
  free(exact);
  if (answers) put(&ends[!i], answer);
  if (event == LINK_CAME_UP) {
    ups++;
    e->sent = e->received = 0;
  }
  if (event == LINK_MESSAGE_CAME) received(i);
  if (event == LINK_BROKEN) {
    breaks++;
    CHECK(e->link.state == LINK_DOWN);
    restart(pick(3));
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  chances = strtoull(argv[1], NULL, 10);
  enum link_mode mode = strcmp(argv[3], "stream") == 0 ? LINK_STREAM : LINK_UNRELIABLE;
  for (u32 i = 0; i < 2; i++) link_init(&ends[i].link, mode);
  restart(0);
  u32 idle = 0;
  for (u64 n = strtoul(argv[2], NULL, 10); n > 0; n--) {
    u32 i = pick(2);
    if (pick(20000) == 0) restart(pick(3));
    if (pick(3) == 0) send_one(i);
    bool moved = ends[i].head != ends[i].tail;
    if (moved) receive_one(i);
    idle = moved ? 0 : idle + 1;
    if (idle > 200) restart(pick(3)), idle = 0; /* damage left both waiting: the watch of ldc.c */
  }
  printf("messages %lu breaks %lu restarts %lu ups %lu\n", messages, breaks, restarts, ups);
  return 0;
}
