/* link.c - see link.h. */
#include "link.h"

enum { CTRL = 1, DATA = 2 };
enum { INFO = 1, ACK = 2, NACK = 4 };
enum { VERS = 1, RTS = 2, RTR = 3, RDX = 4 };
enum { FIRST = 0x40, LAST = 0x80, LENGTH = 0x3f };
enum { MAJOR = 1, MINOR = 0 };

void link_init(struct link *link, enum link_mode mode) {
  link->mode = (u8)mode;
  link_down(link);
}

void link_down(struct link *link) {
  link->state = LINK_DOWN;
  link->sent = link->received = link->data_sent = link->acked = link->length = 0;
  link->assembling = false;
}

static void control(u8 *packet, u8 stype, u8 ctrl, u8 env, u32 seqid) {
  __builtin_memset(packet, 0, LDC_PACKET);
  packet[0] = CTRL;
  packet[1] = stype;
  packet[2] = ctrl;
  packet[3] = env;
  set32(packet + 4, seqid);
}

static void version(u8 *packet, u8 stype, u32 major, u32 minor) {
  control(packet, stype, VERS, 0, 0);
  set16(packet + 8, major);
  set16(packet + 10, minor);
}

void link_start(struct link *link, u8 packet[LDC_PACKET]) {
  link_down(link);
  version(packet, INFO, MAJOR, MINOR);
  link->state = LINK_CALLING;
}

static enum link_event broken(struct link *link) {
  link_down(link);
  return LINK_BROKEN;
}

/* Who calls has to be answered in any state: it has started anew. Two that call at once both answer; the one whose call is
 * accepted first goes on. */
static enum link_event receive_version(struct link *link, const u8 *p, u8 *answer, bool *answers) {
  u32 major = get16(p + 8), minor = get16(p + 10);
  if (p[1] == INFO && major == 0) return broken(link); /* no version at all: no end to such calls */
  if (p[1] == INFO) {
    bool calling = link->state == LINK_CALLING;
    bool fresh = calling || link->state == LINK_DOWN;
    if (!fresh) link_down(link);
    *answers = true;
    if (major != MAJOR)
      version(answer, NACK, MAJOR, 0);
    else
      version(answer, ACK, MAJOR, MINOR); /* there is no smaller one */
    if (major == MAJOR && !calling) link->state = LINK_AGREED;
    return fresh ? LINK_NOTHING : LINK_LOST;
  }
  if (link->state != LINK_CALLING) return LINK_NOTHING; /* to a call before the last */
  if (p[1] != ACK || major != MAJOR || minor > MINOR) return broken(link);
  control(answer, INFO, RTS, link->mode, 0);
  *answers = true;
  link->state = LINK_ASKED;
  return LINK_NOTHING;
}

static bool in_sequence(struct link *link, u32 seqid) {
  if (seqid != link->received + 1) return false;
  link->received = seqid;
  return true;
}

static enum link_event receive_control(struct link *link, const u8 *p, u8 *answer, bool *answers) {
  u32 seqid = get32(p + 4);
  if (p[2] == VERS) return receive_version(link, p, answer, answers);
  if (link->state == LINK_DOWN) return LINK_NOTHING; /* of a session that is over */
  if (p[1] != INFO) return broken(link);
  if (p[2] == RTS && (link->state == LINK_AGREED || link->state == LINK_CALLING || link->state == LINK_ASKED) &&
      p[3] == link->mode) {
    link->received = seqid;
    control(answer, INFO, RTR, link->mode, link->sent = 0);
    link->state = LINK_ANSWERED;
    *answers = true;
    return LINK_NOTHING;
  }
  if (p[2] == RTR && (link->state == LINK_ASKED || link->state == LINK_ANSWERED) && p[3] == link->mode) {
    link->received = seqid;
    control(answer, INFO, RDX, 0, ++link->sent);
    link->data_sent = link->acked = link->sent;
    link->state = LINK_UP;
    *answers = true;
    return LINK_CAME_UP;
  }
  if (p[2] == RDX && (link->state == LINK_ANSWERED || link->state == LINK_UP) && in_sequence(link, seqid)) {
    bool up = link->state == LINK_UP;
    link->state = LINK_UP;
    return up ? LINK_NOTHING : LINK_CAME_UP;
  }
  return broken(link);
}

static u32 payload_at(const struct link *link) { return link->mode == LINK_STREAM ? 16 : 8; }

/* A piece of a message. */
static enum link_event assemble(struct link *link, const u8 *p) {
  u32 at = payload_at(link), bytes = p[3] & LENGTH;
  if (p[3] & FIRST) link->length = 0;
  if (((p[3] & FIRST) != 0) == link->assembling || bytes == 0 || bytes > LDC_PACKET - at ||
      link->length + bytes > LINK_MESSAGE)
    return broken(link);
  copy_bytes(link->message + link->length, p + at, bytes);
  link->length += bytes;
  link->assembling = !(p[3] & LAST);
  return link->assembling ? LINK_NOTHING : LINK_MESSAGE_CAME;
}

static bool take_ack(struct link *link, u32 ackid) {
  if ((i32)(ackid - link->acked) < 0 || (i32)(link->data_sent - ackid) < 0) return false;
  link->acked = ackid;
  return true;
}

static enum link_event receive_data(struct link *link, const u8 *p, u8 *answer, bool *answers) {
  if (link->state != LINK_UP) return LINK_NOTHING;
  if (!in_sequence(link, get32(p + 4)) || (p[1] & NACK) || !(p[1] & (INFO | ACK))) return broken(link);
  bool acks = link->mode == LINK_STREAM && (p[1] & ACK);
  if (acks && !take_ack(link, get32(p + 12))) return broken(link);
  if (!(p[1] & INFO)) return acks ? LINK_ACKED : broken(link);
  enum link_event event = assemble(link, p);
  if (event == LINK_MESSAGE_CAME && link->mode == LINK_STREAM) { /* once a message */
    __builtin_memset(answer, 0, LDC_PACKET);
    answer[0] = DATA;
    answer[1] = ACK;
    set32(answer + 4, ++link->sent);
    set32(answer + 12, link->received);
    *answers = true;
  }
  return event;
}

enum link_event link_receive(struct link *link, const u8 packet[LDC_PACKET], u8 answer[LDC_PACKET], bool *answers) {
  *answers = false;
  if (link->mode == LINK_RAW) {
    copy_bytes(link->message, packet, link->length = LDC_PACKET);
    return LINK_MESSAGE_CAME;
  }
  if (packet[0] == CTRL) return receive_control(link, packet, answer, answers);
  if (packet[0] == DATA) return receive_data(link, packet, answer, answers);
  return link->state == LINK_DOWN ? LINK_NOTHING : broken(link);
}

u32 link_packets(const struct link *link, size_t bytes) {
  if (link->mode == LINK_RAW) return bytes >= 1 && bytes <= LDC_PACKET;
  if (link->state != LINK_UP || bytes < 1 || bytes > LINK_MESSAGE) return 0;
  u32 each = LDC_PACKET - payload_at(link), n = ((u32)bytes + each - 1) / each;
  if (link->mode == LINK_STREAM && link->data_sent - link->acked + n > LINK_WINDOW && link->data_sent != link->acked)
    return 0;
  return n;
}

void link_fragment(struct link *link, const void *message, size_t bytes, u32 n, u8 packet[LDC_PACKET]) {
  u32 at = payload_at(link), each = LDC_PACKET - at, start = n * each;
  __builtin_memset(packet, 0, LDC_PACKET);
  if (link->mode == LINK_RAW) {
    copy_bytes(packet, message, bytes);
    return;
  }
  u32 rest = (u32)bytes - start, piece = smaller(rest, each);
  packet[0] = DATA;
  packet[1] = INFO;
  packet[3] = (u8)(piece | (n == 0 ? FIRST : 0) | (piece == rest ? LAST : 0));
  set32(packet + 4, link->data_sent = ++link->sent);
  copy_bytes(packet + at, (const u8 *)message + start, piece);
}
