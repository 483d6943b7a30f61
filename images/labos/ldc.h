/* ldc.h - channel endpoints: queues in memory, the link on top, exported memory.
 *
 * Whoever owns a channel has a lock, and holds it in every call. Its interrupt handler takes the lock and calls
 * ldc_service(); events come from within that call, from ldc_send() and from ldc_restart().
 */
#ifndef LABOS_LDC_H
#define LABOS_LDC_H
#include "kernel.h"
#include "link.h"

enum { LDC_ENTRIES = 128, LDC_MAP_ENTRIES = 512 };
enum { LDC_READ = 1, LDC_WRITE = 2 }; /* what the other end may do with exported memory */
#define LDC_NO_COOKIE (~0ul)

enum ldc_event {
  LDC_EVENT_UP,      /* messages may go */
  LDC_EVENT_DOWN,    /* whatever was agreed is forgotten at both ends */
  LDC_EVENT_MESSAGE, /* data and bytes are set */
  LDC_EVENT_ROOM,    /* what ldc_send() refused may fit now */
};

struct ldc_channel {
  u64 id, rx_ino, tx_ino;
  bool open, initiator, present; /* present: somebody is at the other end */
  struct link link;
  u8 *tx, *rx;
  u64 *map; /* LDC_MAP_ENTRIES entries of two words */
  u32 mapped;
  u64 called_ns; /* when the handshake last began */
  u64 counted_ns; /* restarts are counted from here on, for a second */
  u32 counted;
  bool resting;   /* there were too many: the queues are gone until ldc_watch() */
  void (*event)(struct ldc_channel *channel, enum ldc_event event, const u8 *data, size_t bytes);
  u64 restarts, messages_in, messages_out;
};

/* Endpoint of an MD port node: the first channel-endpoint it leads to. false: it has none, or it lacks properties. */
bool ldc_endpoint(md_node port, u64 *id, u64 *tx_ino, u64 *rx_ino);
/* Memory for queues and map table: exporting is possible from here on. */
bool ldc_prepare(struct ldc_channel *channel);
/* Queues, map table and interrupts are set; fill id, inos and event first, and have exported what the handshake tells of:
 * it may be over before this returns. handler(arg) is the owner's. Returns the hypervisor's status. */
u64 ldc_open(struct ldc_channel *channel, enum link_mode mode, bool initiator, interrupt_handler handler, void *arg);
void ldc_close(struct ldc_channel *channel);
void ldc_service(struct ldc_channel *channel);
/* false: the link is not up, or there is no room now. */
bool ldc_send(struct ldc_channel *channel, const void *message, size_t bytes);
/* The other end broke the protocol, or does not answer: begin again with empty queues. It sees a reset. */
void ldc_restart(struct ldc_channel *channel);
/* From time to time: a handshake that does not end is begun again. */
void ldc_watch(struct ldc_channel *channel);

/* Let the other end copy from and to memory, which is contiguous in real addresses: the cookie of its first byte. Goes on
 * until the channel is closed. */
u64 ldc_export(struct ldc_channel *channel, const void *memory, size_t bytes, u32 rights);
/* Copy what the other end exports; bytes and both places are multiples of 8. false: not all could be copied. */
bool ldc_copy_in(struct ldc_channel *channel, u64 cookie, void *to, size_t bytes);
bool ldc_copy_out(struct ldc_channel *channel, u64 cookie, const void *from, size_t bytes);
#endif
