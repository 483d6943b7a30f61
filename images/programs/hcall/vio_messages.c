/* vio_messages.c - messages of hcall-vio: those of a driver in their order, and what a driver never says. */
#include "vio.h"

enum { CTRL = 1, DATA = 2, INFO = 1, ACK = 2, NACK = 4, VERS = 1, RTS = 2, RTR = 3, RDX = 4, START = 0x40, STOP = 0x80,
       MESSAGE = 56, MOST_MESSAGE = 360, OPEN = 0xffffffff };
enum { VER_INFO = 1, ATTR_INFO, RING_REG, RING_GONE, RDX_INFO, PKT = 0x40, DESC = 0x41, RING_DATA = 0x42, MCAST = 0x101, LINK = 0x103 };
enum { DISK_ENTRY = 336, NET_ENTRY = 48, SID = 0x1234 };

static void zero(u8 *p, u64 n) {
  for (u64 i = 0; i < n; i++) p[i] = 0;
}

static void tag(u8 *p, u32 type, u32 stype, u32 env) {
  zero(p, MOST_MESSAGE);
  p[0] = (u8)type;
  p[1] = (u8)stype;
  put16(p + 2, env);
  put32(p + 4, SID);
}

/* A message in packets; `at`: where the payload begins. */
static u64 fragments(struct line *l, const u8 *message, u64 bytes, u64 at, u8 *packets) {
  u64 room = PACKET - at, count = 0;
  for (u64 from = 0; from < bytes && count < MESSAGE_PACKETS; from += room, count++) {
    u8 *p = packets + count * PACKET;
    u64 n = bytes - from < room ? bytes - from : room;
    zero(p, PACKET);
    p[0] = DATA;
    p[1] = INFO;
    p[3] = (u8)(n | (from == 0 ? START : 0) | (from + room >= bytes ? STOP : 0));
    put32(p + 4, (u32)++l->seq);
    for (u64 i = 0; i < n; i++) p[at + i] = message[from + i];
  }
  return count;
}

static u64 control(struct line *l, u32 stype, u32 what, u32 mode, u64 seq, u8 *p) {
  (void)l;
  zero(p, PACKET);
  p[0] = CTRL;
  p[1] = (u8)stype;
  p[2] = (u8)what;
  p[3] = (u8)mode;
  put32(p + 4, (u32)seq);
  if (what == VERS) put16(p + 8, 1);
  return 1;
}

static u64 ring_message(u8 *m, const struct line *l) {
  u32 start = (u32)draw(RING_ENTRIES), end = draw(3) ? l->kind == 'n' || draw(4) == 0 ? OPEN : start : (u32)draw(RING_ENTRIES + 2);
  tag(m, DATA, draw(6) ? INFO : ACK, RING_DATA);
  put64(m + 8, draw(2) ? draw(64) : edge());
  put64(m + 16, draw(8) ? draw(4) ? l->ident : 0x99 : edge());
  put32(m + 24, draw(16) ? start : (u32)edge());
  put32(m + 28, draw(16) ? end : (u32)edge());
  m[32] = (u8)(draw(4) ? 2 : draw(4));
  return MESSAGE;
}

static u64 registration(u8 *m, const struct line *l) {
  u64 entry = l->kind == 'd' ? DISK_ENTRY : NET_ENTRY, entries = draw(16) ? RING_ENTRIES : edge(), cookies = draw(16) ? 1 : draw(26);
  tag(m, CTRL, INFO, RING_REG);
  put32(m + 16, (u32)entries);
  put32(m + 20, (u32)(draw(8) ? entry : edge()));
  put16(m + 24, (u32)(draw(8) ? 1 : draw(5)));
  put32(m + 28, (u32)cookies);
  for (u64 n = 0; n < cookies && 48 + 16 * n <= MOST_MESSAGE; n++) {
    put64(m + 32 + 16 * n, draw(8) ? n * PAGE : edge());
    put64(m + 40 + 16 * n, draw(8) ? entries * entry : edge());
  }
  return 32 + 16 * cookies > MOST_MESSAGE ? MOST_MESSAGE : 32 + 16 * cookies < MESSAGE ? MESSAGE : 32 + 16 * cookies;
}

static u64 attributes(u8 *m, const struct line *l) {
  tag(m, CTRL, INFO, ATTR_INFO);
  if (l->kind == 'd') {
    m[8] = (u8)(draw(6) ? 3 : 2);
    put32(m + 12, (u32)(draw(8) ? 512 : edge()));
    put64(m + 32, draw(8) ? 256 : edge());
    return MESSAGE;
  }
  m[8] = (u8)(draw(6) ? 4 : 1);
  m[9] = 1;
  m[12] = (u8)draw(2);
  put64(m + 16, 0x00144ff80000ul + draw(4)); /* our address, or another guest's */
  put64(m + 24, draw(8) ? 1518 : edge());
  return MESSAGE;
}

/* A driver's messages one after the other: version, attributes, ring, ready. A network acknowledges ours in between. */
static u64 step(struct line *l, u8 *m) {
  u64 stage = l->handshake++;
  bool net = l->kind == 'n';
  switch (stage % 4096) {
  case 0:
    tag(m, CTRL, INFO, VER_INFO);
    put16(m + 8, 1);
    put16(m + 10, (u32)(net ? draw(4) ? 6 : draw(9) : 2));
    m[12] = net ? 1 : 3;
    return MESSAGE;
  case 1: return attributes(m, l);
  case 2: return registration(m, l);
  case 3:
    tag(m, CTRL, net ? ACK : INFO, net ? RING_REG : RDX_INFO);
    if (net) put64(m + 8, 0x99);
    return MESSAGE;
  case 4: tag(m, CTRL, INFO, RDX_INFO); return MESSAGE;
  default: return ring_message(m, l);
  }
}

static u64 random_vio(struct line *l, u8 *m) {
  static const u16 whats[] = {VER_INFO, ATTR_INFO, RING_REG, RING_GONE, RDX_INFO, PKT, DESC, RING_DATA, MCAST, LINK, 0x102, 0};
  u32 what = whats[draw(16) ? 5 + draw(6) : draw(12)];
  tag(m, what >= PKT && what <= RING_DATA ? DATA : CTRL, (u32)(draw(3) ? INFO : draw(2) ? ACK : NACK), what);
  if (what == RING_GONE) put64(m + 8, draw(2) ? l->ident : edge());
  if (what == MCAST) {
    m[8] = (u8)draw(2);
    m[9] = (u8)draw(9);
    for (u64 n = 0; n < 7; n++) put64(m + 10 + 6 * n, 0x01005e0000000000ul | draw(1ul << 40));
  }
  if (what == DESC) { /* a request in band */
    put64(m + 24, draw(100));
    m[32] = (u8)draw(0x14);
    m[33] = 0xff;
    put64(m + 40, draw(2) ? draw(2048) : edge());
    put64(m + 48, draw(2) ? 512 * draw(9) : edge());
    put32(m + 56, 1);
    put64(m + 64, draw(WINDOW_PAGES) * PAGE);
    put64(m + 72, 4096);
    return 80;
  }
  if (what == PKT) {
    for (u64 n = 0; n < 6; n++) m[16 + n] = 0xff;
    put64(m + 22, 0x00144ff800000000ul | draw(4) << 16);
    return 30 + draw(MOST_MESSAGE - 30);
  }
  return draw(16) ? MESSAGE : 1 + draw(MOST_MESSAGE);
}

/* -- domain services */

static u64 text(u8 *to, const char *from) {
  u64 n = 0;
  for (; from[n]; n++) to[n] = (u8)from[n];
  return n;
}

static u64 services_message(u8 *m) {
  static const char *const names[] = {"md-update", "domain-shutdown", "domain-panic", "domain-suspend", "dr-cpu", "dr-mem", "dr-vio",
    "dr-crypto-mau", "dr-crypto-cwq", "var-config", "var-config-backup", "keystore", "system-info", "pri", "nonsense"};
  u64 index = draw(15), handle = index << 32 | 0xabc, bytes = 16;
  u32 kind = (u32)(draw(6) ? draw(3) ? 9 : 3 : draw(12));
  zero(m, MOST_MESSAGE);
  put64(m + 8, draw(16) ? handle : edge());
  if (kind == 0) put16(m + 8, 1), bytes = 12;
  if (kind == 3) {
    put16(m + 16, draw(16) ? 1 : (u32)edge());
    bytes = 24 + text(m + 24, names[index]);
  }
  if (kind == 9) {
    if (index >= 9 && index <= 11) { /* variables and keys */
      put32(m + 16, (u32)draw(3));
      u64 at = 20 + text(m + 20, names[draw(15)]);
      m[at - 1] = (u8)('a' + draw(26));
      at++;
      at += draw(8) ? text(m + at, names[draw(15)]) : 0;
      bytes = at + draw(3);
    } else {
      for (u64 n = 16; n < 200; n += 4) put32(m + n, (u32)(draw(2) ? draw(8) : edge()));
      put64(m + 16, draw(8));
      bytes = 16 + draw(200);
    }
  }
  put32(m, kind);
  put32(m + 4, (u32)(draw(32) ? bytes - 8 : edge()));
  return bytes;
}

/* -- a message of a line, with its link */

static u64 link_start(struct line *l, u8 *packets) {
  u64 count = 0;
  l->seq = 0;
  l->handshake = 0;
  if (l->kind == 's') { /* the other side starts */
    count += control(l, ACK, VERS, 0, 0, packets);
    count += control(l, INFO, RTR, 3, 0, packets + PACKET);
    u8 hello[16];
    zero(hello, sizeof hello);
    put32(hello + 4, 4);
    put16(hello + 8, 1);
    return count + fragments(l, hello, 12, 16, packets + 2 * PACKET);
  }
  count += control(l, INFO, VERS, 0, 0, packets);
  count += control(l, INFO, RTS, 1, 0, packets + PACKET);
  count += control(l, INFO, RDX, 0, ++l->seq, packets + 2 * PACKET);
  return count;
}

static u64 link_odd(struct line *l, u8 *p) {
  control(l, (u32)(1u << draw(3)), (u32)draw(6), (u32)draw(5), draw(2) ? l->seq + 1 : edge(), p);
  put16(p + 8, (u32)draw(4));
  return 1;
}

static u64 acknowledgement(struct line *l, u8 *p) {
  zero(p, PACKET);
  p[0] = DATA;
  p[1] = ACK;
  put32(p + 4, (u32)++l->seq);
  put32(p + 12, (u32)(draw(16) ? l->got : edge()));
  return 1;
}

/* What ends a session is rare, or nothing would be reached behind it. */
u64 line_message(struct line *l, u8 *packets) {
  u8 m[MOST_MESSAGE];
  if (l->seq == 0 || draw(256) == 0) return link_start(l, packets);
  if (draw(1024) == 0) return link_odd(l, packets);
  if (l->kind == 's' && draw(3) == 0) return acknowledgement(l, packets);
  u64 bytes = l->kind == 's' ? services_message(m) : l->handshake < 5 || draw(8) ? step(l, m) : random_vio(l, m);
  if (draw(32) == 0) spoil(m, bytes);
  u64 count = fragments(l, m, bytes, l->kind == 's' ? 16 : 8, packets);
  if (draw(512) == 0) spoil(packets + PACKET * draw(count), PACKET);
  return count;
}

/* -- rings */

static void disk_descriptor(u8 *d) {
  u64 cookies = draw(8) ? 1 + draw(4) : draw(20), size = draw(4) ? 512 * (1 + draw(32)) : edge();
  zero(d, DISK_ENTRY);
  d[1] = (u8)draw(2);
  put64(d + 8, draw(1000));
  d[16] = (u8)(draw(2) ? 1 + draw(2) : draw(0x14));
  d[17] = (u8)(draw(4) ? 0xff : draw(10));
  put64(d + 24, draw(8) ? draw(2048) : edge());
  put64(d + 32, size);
  put32(d + 40, (u32)(draw(32) ? cookies : edge()));
  for (u64 n = 0; n < cookies && n < 18; n++) {
    put64(d + 48 + 16 * n, draw(8) ? (8 + draw(WINDOW_PAGES - 8)) * PAGE + (draw(4) ? 0 : draw(PAGE)) : edge());
    put64(d + 56 + 16 * n, draw(8) ? (size / cookies + 7) & ~7ul : edge());
  }
}

static void net_descriptor(struct line *l, u8 *d) {
  u64 page = 8 + draw(8), size = draw(8) ? 60 + draw(1400) : edge(), cookies = draw(8) ? 1 : draw(4);
  u8 *frame = (u8 *)(l->base + WINDOW_AT + page * PAGE + 6);
  zero(d, NET_ENTRY);
  put32(d + 8, (u32)size);
  put32(d + 12, (u32)(draw(16) ? cookies : edge()));
  put64(d + 16, draw(16) ? page * PAGE : edge());
  put64(d + 24, draw(16) ? (size + 13) & ~7ul : edge());
  for (u64 n = 0; n < 6; n++) frame[n] = draw(4) ? 0xff : (u8)draw(256);
  put32(frame + 6, 0x00144ff8);
  put32(frame + 10, (u32)draw(4) << 16 | (draw(4) ? 0x0806 : 0x8100)); /* our address, or one of the others' */
  put32(frame + 14, (u32)edge());
}

void line_scribble(struct line *l) {
  u64 entry = l->kind == 'd' ? DISK_ENTRY : NET_ENTRY;
  if (l->kind != 'd' && l->kind != 'n') return;
  for (u64 n = draw(RING_ENTRIES); n > 0; n--) {
    u8 *d = (u8 *)(l->base + RING_AT + entry * draw(RING_ENTRIES));
    if (l->kind == 'd')
      disk_descriptor(d);
    else
      net_descriptor(l, d);
    if (draw(8) == 0) spoil(d, entry);
    d[0] = (u8)(draw(8) ? 2 : draw(6));
  }
  u8 *buffer = (u8 *)(l->base + WINDOW_AT + (8 + draw(WINDOW_PAGES - 8)) * PAGE); /* a geometry, a label, a range */
  for (u64 n = 0; n < 64; n += 2) put16(buffer + n, (u32)draw(n < 16 ? 4 : 16));
}
