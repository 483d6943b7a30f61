/* devices.c - calls of the other groups: soft state, reboot data, random numbers, interrupts, channels, crypto units. */
#include "calls.h"

enum { CHANNEL_UP = 0, CHANNEL_DOWN = 1, PAIR = 2, PAIRED = 3, NO_CHANNEL = 200, CONSOLE = 0x111 };
enum { MAU = 1, CWQ = 2, RNG = 0x104, NCS = 0x103 };
#define MAPPED (1ul << 38) /* the first address of LDC_MAPIN */
#define QUEUE (ARENA + 0x8000)

static void check_soft_state(void) {
  static const char text[32] ALIGNED(32) = "hcall running";
  TRY(SOFT_STATE_SET, OK, 1, (u64)text);
  TRY(SOFT_STATE_SET, EINVAL, 0, (u64)text);
  TRY(SOFT_STATE_SET, EINVAL, 3, (u64)text);
  TRY(SOFT_STATE_SET, EBADALIGN, 1, (u64)text + 8);
  TRY(SOFT_STATE_SET, ENORADDR, 1, BAD_RA);
  memset(arena, 'x', 32);
  TRY(SOFT_STATE_SET, EINVAL, 1, ARENA); /* no end of the text */
  TRY(SOFT_STATE_GET, OK, ARENA);
  GIVES(1, 1);
  CHECK(!memcmp(arena, text, 32));
  TRY(SOFT_STATE_GET, EBADALIGN, ARENA + 8);
  TRY(SOFT_STATE_GET, ENORADDR, BAD_RA);
}

static void check_reboot_data(void) {
  memcpy(arena, "boot -s disk1 -v", 16);
  TRY(REBOOT_DATA_SET, EINVAL, ARENA, 513);
  TRY(REBOOT_DATA_SET, EBADALIGN, ARENA + 8, 16);
  TRY(REBOOT_DATA_SET, ENORADDR, BAD_RA, 16);
  TRY(REBOOT_DATA_SET, OK, ARENA, 16);
  TRY(REBOOT_DATA_GET, OK, 0, 0);
  GIVES(1, 16);
  TRY(REBOOT_DATA_GET, EINVAL, ARENA + 64, 8);
  GIVES(1, 16);
  TRY(REBOOT_DATA_GET, EBADALIGN, ARENA + 8, 64);
  TRY(REBOOT_DATA_GET, ENORADDR, BAD_RA, 64);
  TRY(REBOOT_DATA_GET, OK, ARENA + 64, 64);
  CHECK(!memcmp(arena, arena + 64, 16));
  TRY(REBOOT_DATA_SET, OK, 0, 0);
  TRY(REBOOT_DATA_GET, OK, 0, 0);
  GIVES(1, 0);
}

static void check_random_control(void) {
  for (unsigned i = 0; i < 4; i++) *word_at(ARENA + 8 * i) = 1 + i;
  TRY(RNG_CTL_WRITE, EBADALIGN, ARENA + 4, 1, 0, 0);
  TRY(RNG_CTL_WRITE, EINVAL, ARENA, 4, 0, 0);
  TRY(RNG_CTL_WRITE, EINVAL, ARENA, 1, 0, 1);
  TRY(RNG_CTL_WRITE, ENORADDR, BAD_RA, 1, 0, 0);
  TRY(RNG_DATA_READ, EIO, ARENA); /* not configured */
  TRY(RNG_CTL_WRITE, OK, ARENA, 1, 0, 0);
  TRY(RNG_CTL_READ, OK, ARENA + 64, 0);
  GIVES(1, 1);
  CHECK_EQUAL(*word_at(ARENA + 64 + 24), 4);
  TRY(RNG_CTL_READ, EBADALIGN, 4, 0);
  TRY(RNG_CTL_READ, EINVAL, 0, 1);
  TRY(RNG_CTL_READ, ENORADDR, BAD_RA, 0);
  TRY(RNG_DATA_READ_DIAG, OK, ARENA, 64, 0);
  TRY(RNG_DATA_READ_DIAG, EBADALIGN, ARENA, 4, 0);
  TRY(RNG_DATA_READ_DIAG, EINVAL, ARENA, 0, 0);
  TRY(RNG_DATA_READ_DIAG, EINVAL, ARENA, 1 << 20, 0);
  TRY(RNG_DATA_READ_DIAG, ENORADDR, BAD_RA, 64, 0);
  ONCE(API_SET_VERSION, OK, RNG, 1, 0);
  ONCE(RNG_DATA_READ_DIAG, EIO, ARENA, 64); /* control is not taken yet */
  TRY(RNG_GET_DIAG_CONTROL, OK, 0);
  TRY(RNG_DATA_READ_DIAG, OK, ARENA, 64);
  TRY(RNG_CTL_READ, OK, 0);
  ONCE(API_SET_VERSION, OK, RNG, 2, 0);
}

void check_services(void) {
  check_soft_state();
  check_reboot_data();
  if (have("control")) {
    check_random_control();
  } else {
    TRY(RNG_CTL_READ, ENOACCESS, 0, ALL_ONES);
    TRY(RNG_CTL_WRITE, ENOACCESS, ARENA, 1, 0, 0);
    TRY(RNG_DATA_READ_DIAG, ENOACCESS, ARENA, 64, 0);
    ONCE(API_SET_VERSION, OK, RNG, 1, 0);
    TRY(RNG_GET_DIAG_CONTROL, ENOACCESS, 0);
    ONCE(API_SET_VERSION, OK, RNG, 2, 0);
  }
  TRY(RNG_DATA_READ, OK, ARENA);
  TRY(RNG_DATA_READ, EBADALIGN, ARENA + 4);
  TRY(RNG_DATA_READ, ENORADDR, BAD_RA);
}

void check_interrupts(void) {
  u64 rx = 2 * CHANNEL_UP + 1, bad = 2 * NO_CHANNEL;
  TRY(INTR_DEVINO2SYSINO, OK, 0x100, 0x11);
  GIVES(1, CONSOLE);
  TRY(INTR_DEVINO2SYSINO, OK, 0x200, rx);
  GIVES(1, 0x200 + rx);
  TRY(INTR_DEVINO2SYSINO, EINVAL, 0x100, 0x12);
  TRY(INTR_DEVINO2SYSINO, EINVAL, 0x300, 0x11);
  TRY(INTR_DEVINO2SYSINO, EINVAL, 0x200, bad);
#define BOTH(set, get, value)                                                                         \
  call_check(__LINE__, CALL_INTR_SET##set, OK, ARGS(CONSOLE, (value)), 1);                            \
  call_check(__LINE__, CALL_INTR_GET##set, OK, ARGS(CONSOLE), 1);                                     \
  GIVES(1, (value));                                                                                  \
  call_check(__LINE__, CALL_VINTR_SET##get, OK, ARGS(0x200, rx, (value)), 1);                         \
  call_check(__LINE__, CALL_VINTR_GET##get, OK, ARGS(0x200, rx), 1);                                  \
  GIVES(1, (value))
  BOTH(TARGET, TARGET, 1);
  BOTH(TARGET, TARGET, 0);
  BOTH(STATE, STATE, 2);
  BOTH(STATE, STATE, 0);
  BOTH(ENABLED, VALID, 1);
  BOTH(ENABLED, VALID, 0);
  for (enum call call = CALL_INTR_GETENABLED; call <= CALL_INTR_SETTARGET; call++) {
    call_check(__LINE__, call, EINVAL, ARGS(0x112, 0), 1);
    call_check(__LINE__, call, EINVAL, ARGS(0, 0), 1);
    call_check(__LINE__, call, EINVAL, ARGS(1ul << 32 | CONSOLE, 0), 1);
  }
  for (enum call call = CALL_VINTR_GETCOOKIE; call <= CALL_VINTR_SETTARGET; call++) {
    call_check(__LINE__, call, EINVAL, ARGS(0x200, bad, 0), 1);
    call_check(__LINE__, call, EINVAL, ARGS(0x201, rx, 0), 1);
    call_check(__LINE__, call, EINVAL, ARGS(0x200, 1ul << 32 | rx, 0), 1);
  }
  TRY(INTR_SETENABLED, EINVAL, CONSOLE, 2);
  TRY(INTR_SETSTATE, EINVAL, CONSOLE, 3);
  TRY(INTR_SETTARGET, ENOCPU, CONSOLE, 7);
  TRY(VINTR_SETVALID, EINVAL, 0x200, rx, 2);
  TRY(VINTR_SETSTATE, EINVAL, 0x200, rx, 3);
  TRY(VINTR_SETTARGET, ENOCPU, 0x200, rx, 7);
  TRY(VINTR_SETCOOKIE, EINVAL, 0x200, rx, 2047);
  TRY(VINTR_SETCOOKIE, OK, 0x200, rx, ALL_ONES - 5);
  TRY(VINTR_GETCOOKIE, OK, 0x200, rx);
  GIVES(1, ALL_ONES - 5);
  TRY(VINTR_SETCOOKIE, OK, 0x200, rx, 0);
}

/* Queues of 8 packets: transmit and receive. */
static void check_queue(enum call conf, enum call info, enum call state, enum call move) {
  call_check(__LINE__, info, OK, ARGS(CHANNEL_DOWN), 1);
  GIVES(2, 0);
  call_check(__LINE__, state, EINVAL, ARGS(CHANNEL_DOWN), 1);
  call_check(__LINE__, move, EINVAL, ARGS(CHANNEL_DOWN, 0), 1);
  call_check(__LINE__, conf, OK, ARGS(CHANNEL_DOWN, QUEUE, 8), 1);
  call_check(__LINE__, info, OK, ARGS(CHANNEL_DOWN), 1);
  GIVES(1, QUEUE);
  GIVES(2, 8);
  call_check(__LINE__, state, OK, ARGS(CHANNEL_DOWN), 1);
  GIVES(1, 0);
  GIVES(2, 0);
  GIVES(3, 0); /* down */
  call_check(__LINE__, move, OK, ARGS(CHANNEL_DOWN, 0), 1);
  call_check(__LINE__, move, EBADALIGN, ARGS(CHANNEL_DOWN, 32), 1);
  call_check(__LINE__, move, EINVAL, ARGS(CHANNEL_DOWN, 512), 1);
  call_check(__LINE__, conf, EINVAL, ARGS(CHANNEL_DOWN, QUEUE, 3), 1);
  call_check(__LINE__, conf, EINVAL, ARGS(CHANNEL_DOWN, QUEUE, 1), 1);
  call_check(__LINE__, conf, EBADALIGN, ARGS(CHANNEL_DOWN, QUEUE + 64, 8), 1);
  call_check(__LINE__, conf, ENORADDR, ARGS(CHANNEL_DOWN, BAD_RA, 8), 1);
  call_check(__LINE__, conf, OK, ARGS(CHANNEL_DOWN, 0, 0), 1);
  for (unsigned i = 0; i < 4; i++) {
    enum call each[] = {conf, info, state, move};
    call_check(__LINE__, each[i], ECHANNEL, ARGS(NO_CHANNEL, 0, 0), 1);
    call_check(__LINE__, each[i], ECHANNEL, ARGS(1ul << 32, 0, 0), 1);
  }
}

static void check_packets(void) {
  u64 tx = QUEUE, rx = QUEUE + 0x400;
  ONCE(LDC_TX_QCONF, OK, PAIR, tx, 8);
  ONCE(LDC_RX_QCONF, OK, PAIRED, rx, 8);
  ONCE(LDC_TX_GET_STATE, OK, PAIR);
  GIVES(3, 2); /* reset, once */
  ONCE(LDC_TX_GET_STATE, OK, PAIR);
  GIVES(3, 1);
  *word_at(tx) = 0x1122334455667788;
  ONCE(LDC_TX_SET_QTAIL, OK, PAIR, 64);
  CHECK_EQUAL(*word_at(rx), 0x1122334455667788);
  ONCE(LDC_RX_GET_STATE, OK, PAIRED);
  GIVES(1, 0);
  GIVES(2, 64);
  ONCE(LDC_RX_SET_QHEAD, EINVAL, PAIRED, 128);
  ONCE(LDC_RX_SET_QHEAD, OK, PAIRED, 64);
  ONCE(LDC_TX_GET_STATE, OK, PAIR);
  GIVES(1, 64);
}

static void check_table(void) {
  u64 table = ARENA + 0x10000, page = ARENA + 0x20000, mine = ARENA + 0x30000;
  TRY(LDC_SET_MAP_TABLE, OK, PAIR, table, 16);
  TRY(LDC_GET_MAP_TABLE, OK, PAIR);
  GIVES(1, table);
  GIVES(2, 16);
  TRY(LDC_SET_MAP_TABLE, EINVAL, PAIR, table, 3);
  TRY(LDC_SET_MAP_TABLE, EBADALIGN, PAIR, table + 16, 16);
  TRY(LDC_SET_MAP_TABLE, ENORADDR, PAIR, BAD_RA, 16);
  TRY(LDC_SET_MAP_TABLE, ECHANNEL, NO_CHANNEL, table, 16);
  TRY(LDC_GET_MAP_TABLE, ECHANNEL, NO_CHANNEL);
  memset((void *)table, 0, 256);
  *word_at(table) = page | 0x630;      /* all rights */
  *word_at(table + 16) = page | 0x200; /* copies out of it alone */
  *word_at(page) = 0xfeed;
  TRY(LDC_COPY, OK, PAIRED, 0, 0, mine, 64);
  GIVES(1, 64);
  CHECK_EQUAL(*word_at(mine), 0xfeed);
  TRY(LDC_COPY, ECHANNEL, NO_CHANNEL, 0, 0, mine, 8);
  TRY(LDC_COPY, EINVAL, PAIRED, 2, 0, mine, 8);
  TRY(LDC_COPY, EBADALIGN, PAIRED, 0, 4, mine, 8);
  TRY(LDC_COPY, ENORADDR, PAIRED, 0, 0, BAD_RA, 8);
  TRY(LDC_COPY, ENOMAP, PAIRED, 0, 5ul << 13, mine, 8);
  TRY(LDC_COPY, ENOACCESS, PAIRED, 1, 1ul << 13, mine, 8);
  TRY(LDC_COPY, EBADPGSZ, PAIRED, 0, 1ul << 60, mine, 8);
  TRY(LDC_COPY, OK, CHANNEL_UP, 0, 8, mine, 8); /* what the harness exports there */
  CHECK_EQUAL(*word_at(mine), 0x6578706f72746564);
}

static u64 load_real(u64 ra) {
  u64 value;
  __asm__ volatile("ldxa [%1] 0x14, %0" : "=r"(value) : "r"(ra));
  return value;
}

static void check_map_in(void) {
  u64 table = ARENA + 0x10000, page = ARENA + 0x20000;
  ONCE(LDC_MAPIN, OK, PAIRED, 0);
  GIVES(1, MAPPED);
  GIVES(2, 0x63);
  CHECK_EQUAL(load_real(MAPPED), 0xfeed);
  __asm__ volatile("stxa %0, [%1] 0x14" : : "r"(0xbeeful), "r"(MAPPED + 8) : "memory");
  CHECK_EQUAL(*word_at(page + 8), 0xbeef);
  u64 cookie = *word_at(table + 8);
  TRY(LDC_MAPIN, ECHANNEL, NO_CHANNEL, 0);
  TRY(LDC_MAPIN, ENOMAP, PAIRED, 5ul << 13);
  TRY(LDC_MAPIN, ENOACCESS, PAIRED, 1ul << 13);
  TRY(LDC_MAPIN, EBADPGSZ, PAIRED, 1ul << 60);
  TRY(LDC_REVOKE, ECHANNEL, NO_CHANNEL, 0, cookie);
  TRY(LDC_REVOKE, EINVAL, PAIR, 0, cookie + 1);
  TRY(LDC_REVOKE, ENOMAP, PAIR, 1ul << 13, cookie);
  ONCE(LDC_REVOKE, OK, PAIR, 0, cookie);
  CHECK_TRAP(0x30, (void)load_real(MAPPED));
  ONCE(LDC_MAPIN, OK, CHANNEL_UP, 0);
  u64 ra = result(1);
  CHECK_EQUAL(load_real(ra + 8), 0x6578706f72746564);
  TRY(LDC_UNMAP, EBADALIGN, ra + 8);
  TRY(LDC_UNMAP, ENORADDR, ARENA);
  ONCE(LDC_UNMAP, OK, ra);
  TRY(LDC_UNMAP, ENOMAP, ra);
  CHECK_TRAP(0x30, (void)load_real(ra));
}

void check_channels(void) {
  check_queue(CALL_LDC_TX_QCONF, CALL_LDC_TX_QINFO, CALL_LDC_TX_GET_STATE, CALL_LDC_TX_SET_QTAIL);
  check_queue(CALL_LDC_RX_QCONF, CALL_LDC_RX_QINFO, CALL_LDC_RX_GET_STATE, CALL_LDC_RX_SET_QHEAD);
  check_packets();
  check_table();
  check_map_in();
}

/* -- crypto units */

static void put_words(u64 at, const u64 *words, unsigned n) {
  for (unsigned i = 0; i < n; i++) *word_at(at + 8 * i) = words[i];
}

/* AES-128 of FIPS 197, appendix B, and SHA-1 of "abc". */
static void check_cwq(u64 handle) {
  u64 data = ARENA + 0x20000, out = ARENA + 0x30000;
  put_words(data, (const u64[]){0x2b7e151628aed2a6, 0xabf7158809cf4f3c, 0x3243f6a8885a308d, 0x313198a2e0370734}, 4);
  put_words(QUEUE, (const u64[]){0x40ul << 56 | 7ul << 53 | 0x10ul << 24 | 15, data + 16, 0, 0, 0, data, 0, out}, 8);
  put_words(data + 64, (const u64[]){0x6162630000000000, 0x67452301efcdab89, 0x98badcfe10325476, 0xc3d2e1f000000000}, 4);
  put_words(QUEUE + 64, (const u64[]){0x41ul << 56 | 3ul << 53 | 19ul << 40 | 2ul << 32 | 2, data + 64, 0, data + 72, 0, 0,
                                      0, out + 16}, 8);
  ONCE(NCS_SETTAIL, OK, handle, 128);
  CHECK_EQUAL(*word_at(out), 0x3925841d02dc09fb);
  CHECK_EQUAL(*word_at(out + 8), 0xdc118597196a0b32);
  CHECK_EQUAL(*word_at(out + 16), 0xa9993e364706816a);
  CHECK_EQUAL(*word_at(QUEUE) >> 50 & 7, 1);
  TRY(NCS_GETHEAD, OK, handle);
  GIVES(1, 128);
  *word_at(QUEUE + 128) = 0;
  *word_at(QUEUE + 136) = 0;
  TRY(NCS_SETTAIL, EINVAL, handle, 192);
  *word_at(QUEUE + 136) = BAD_RA;
  TRY(NCS_SETTAIL, ENORADDR, handle, 192);
}

static void check_queue_of(u64 type, u64 ino) {
  TRY(NCS_QCONF, EINVAL, type, QUEUE, 3);
  TRY(NCS_QCONF, EINVAL, type, QUEUE, 1);
  TRY(NCS_QCONF, EINVAL, type, QUEUE, 128);
  TRY(NCS_QCONF, EBADALIGN, type, QUEUE + 64, 64);
  TRY(NCS_QCONF, ENORADDR, type, BAD_RA, 64);
  TRY(NCS_QCONF, EINVAL, type, 77, 0);
  TRY(NCS_QCONF, OK, type, QUEUE, 64);
  u64 handle = result(1);
  TRY(NCS_QINFO, OK, handle);
  GIVES(1, type);
  GIVES(2, QUEUE);
  GIVES(3, 64);
  TRY(NCS_QHANDLE_TO_DEVINO, OK, handle);
  GIVES(1, ino);
  TRY(NCS_GETTAIL, OK, handle);
  GIVES(1, 0);
  TRY(NCS_SETTAIL, OK, handle, 0);
  TRY(NCS_SETTAIL, EINVAL, handle, 8);
  TRY(NCS_SETTAIL, EINVAL, handle, 64 * 64);
  TRY(NCS_SETHEAD_MARKER, OK, handle, 64);
  TRY(NCS_SETHEAD_MARKER, EINVAL, handle, 8);
  TRY(NCS_SETHEAD_MARKER, EINVAL, handle, 64 * 64);
  for (enum call call = CALL_NCS_QINFO; call <= CALL_NCS_SETHEAD_MARKER; call++)
    call_check(__LINE__, call, EINVAL, ARGS(handle + 1, 0), 1);
  if (type == CWQ) check_cwq(handle);
  TRY(NCS_QCONF, OK, type, handle, 0);
  TRY(NCS_QINFO, OK, handle);
  GIVES(3, 0);
}

void check_crypto(void) {
  if (!have("ncs")) return;
  TRY(NCS_QCONF, EINVAL, 3, QUEUE, 64);
  check_queue_of(MAU, 0x20);
  check_queue_of(CWQ, 0x80);
  TRY(NCS_ULQCONF, ENOTSUPPORTED, 0);
  TRY(NCS_REQUEST, EBADTRAP, 1, ARENA, 32);
  ONCE(API_SET_VERSION, OK, NCS, 1, 0);
  TRY(NCS_QINFO, EBADTRAP, 0);
  put_words(ARENA, (const u64[]){0, QUEUE, QUEUE + 128, 2}, 4);
  TRY(NCS_REQUEST, OK, 1, ARENA, 32);
  TRY(NCS_REQUEST, EBADALIGN, 1, ARENA + 4, 32);
  TRY(NCS_REQUEST, ENORADDR, 1, BAD_RA, 32);
  TRY(NCS_REQUEST, EINVAL, 9, ARENA, 32);
  TRY(NCS_REQUEST, EINVAL, 1, ARENA, 8);
  ONCE(API_SET_VERSION, OK, NCS, 2, 1);
}
