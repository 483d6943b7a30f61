/* ntp.c - see ntp.h. */
#include "net/ntp.h"

#include "net/bytes.h"

enum { VERSION_4_CLIENT = 0x23, MODE_SERVER = 4, LEAP_UNKNOWN = 3, STRATUM_MOST = 15 };
enum { AT_ORIGIN = 24, AT_RECEIVE = 32, AT_TRANSMIT = 40 };
#define SECONDS_1900_TO_1970 2208988800ul
#define BILLION 1000000000ul

void ntp_question(u8 packet[NTP_BYTES], u64 cookie) {
  __builtin_memset(packet, 0, NTP_BYTES);
  packet[0] = VERSION_4_CLIENT;
  set64(packet + AT_TRANSMIT, cookie);
}

/* 32 bits of seconds since 1900, or since 2036 where the first bit is 0, and a binary fraction. */
static u64 nanoseconds(const u8 *stamp) {
  u64 seconds = get32(stamp), fraction = get32(stamp + 4);
  if (!(seconds >> 31)) seconds += 1ul << 32;
  return (seconds - SECONDS_1900_TO_1970) * BILLION + (fraction * BILLION >> 32);
}

bool ntp_answer(const u8 *p, size_t bytes, u64 cookie, u64 now_ns, u64 taken_ns, i64 *offset_ns, u32 *stratum) {
  if (bytes < NTP_BYTES || (p[0] & 7) != MODE_SERVER || p[0] >> 6 == LEAP_UNKNOWN || (p[0] >> 3 & 7) < 3) return false;
  if (p[1] == 0 || p[1] > STRATUM_MOST || get64(p + AT_ORIGIN) != cookie || !get64(p + AT_TRANSMIT)) return false;
  u64 received = nanoseconds(p + AT_RECEIVE), sent = nanoseconds(p + AT_TRANSMIT);
  if (sent < received || sent - received > taken_ns + BILLION) return false;
  u64 served = sent - received, way = taken_ns > served ? (taken_ns - served) / 2 : 0;
  *offset_ns = (i64)(sent + way - now_ns); /* when it arrived here it was that late there */
  *stratum = p[1];
  return true;
}
