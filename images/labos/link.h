/* link.h - the link protocol of logical domain channels: one end, as a machine without input and output.
 *
 *   packet   0 type   1 stype   2 ctrl   3 env   4 seqid (4)   8 payload: 56 bytes, unreliable
 *                                                             12 ackid (4)   16 payload: 48 bytes, stream
 *   env      of data: 0x40 first of a message, 0x80 last, 0x3f length; of RTS and RTR the mode
 *
 * The end that starts sends VERS, RTS, RDX; the other answers VERS, RTR. Data packets and RDX count in seqid. One out
 * of sequence breaks the link: nothing is ever sent twice, both ends start anew.
 * Source: UltraSPARC Virtual Machine Specification 3.0, chapters 26 and 27. Built for the host as well: tests/labos.
 */
#ifndef LABOS_LINK_H
#define LABOS_LINK_H
#include "wire.h"

enum { LDC_PACKET = 64, LINK_MESSAGE = 4096, LINK_WINDOW = 100 };
enum link_mode { LINK_RAW = 0, LINK_UNRELIABLE = 1, LINK_STREAM = 3 };
enum link_state { LINK_DOWN, LINK_CALLING, LINK_AGREED, LINK_ASKED, LINK_ANSWERED, LINK_UP };

struct link {
  u8 mode, state;
  bool assembling;
  u32 sent, received;   /* numbers of the last sequenced packets */
  u32 data_sent, acked; /* stream: last data packet, last of them the other end has acknowledged */
  u32 message_most, length;
  u8 message[LINK_MESSAGE];
};

enum link_event {
  LINK_NOTHING,
  LINK_CAME_UP,
  LINK_MESSAGE_CAME, /* link->length bytes of link->message, until the next packet */
  LINK_ACKED,        /* the other end takes more */
  LINK_LOST,         /* it starts anew; so it was not up, or is not any longer */
  LINK_BROKEN,       /* it broke the protocol: the channel has to be reset */
};

void link_init(struct link *link, enum link_mode mode);
void link_down(struct link *link);
/* Begin the handshake: the packet to send. */
void link_start(struct link *link, u8 packet[LDC_PACKET]);
/* What a packet brings about; *answers: `answer` has to be sent. Answers come with every event but LINK_BROKEN. */
enum link_event link_receive(struct link *link, const u8 packet[LDC_PACKET], u8 answer[LDC_PACKET], bool *answers);
/* Packets a message of so many bytes takes; 0: it cannot be sent now (length, link, unacknowledged packets). */
u32 link_packets(const struct link *link, size_t bytes);
/* Packet `n` of a message, in their order. */
void link_fragment(struct link *link, const void *message, size_t bytes, u32 n, u8 packet[LDC_PACKET]);
#endif
