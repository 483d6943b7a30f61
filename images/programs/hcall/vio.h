/* vio.h - what the parts of hcall-vio share: memory of a channel, and messages for it.
 *
 *   line:  transmit queue | receive queue | map table | window of exported pages: ring 64 KiB, buffers
 */
#ifndef VIO_H
#define VIO_H
#include "runtime.h"

enum { PACKET = 64, QUEUE = 128, PAGE = 8192, TABLE_ENTRIES = 1024, WINDOW_PAGES = 40, MOST_LINES = 8,
       TX_AT = 0, RX_AT = 0x2000, TABLE_AT = 0x4000, WINDOW_AT = 0x10000, RING_AT = 0x10000, BUFFERS_AT = 0x20000,
       LINE_BYTES = 0x80000, MESSAGE_PACKETS = 8, RING_ENTRIES = 16 };
#define LINES_AT 0x800000ul

struct line {
  u64 base, channel;
  u64 seq, got;   /* numbers of the last packet, each way */
  u64 handshake;  /* step */
  u32 ident;      /* of our ring, as the other side calls it */
  u8 kind;        /* 'd'isk, 'n'et, 's'ervices, 'r'aw */
};

u64 draw(u64 n);                         /* below n */
u64 edge(void);                          /* a number of interest */
void spoil(u8 *bytes, u64 count);
u64 line_message(struct line *, u8 *packets); /* at most MESSAGE_PACKETS; returns how many */
void line_scribble(struct line *);       /* descriptors in the ring, of sense and others */

static inline void put16(u8 *p, u32 v) { p[0] = (u8)(v >> 8), p[1] = (u8)v; }
static inline void put32(u8 *p, u32 v) { put16(p, v >> 16), put16(p + 2, v); }
static inline void put64(u8 *p, u64 v) { put32(p, (u32)(v >> 32)), put32(p + 4, (u32)v); }
static inline u32 get32(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }
#endif
