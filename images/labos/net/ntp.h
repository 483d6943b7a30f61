/* ntp.h - the client's side of SNTP (RFC 5905, section 14): one question, one answer, one offset. */
#ifndef LABOS_NTP_H
#define LABOS_NTP_H
#include "net/net.h"

enum { NTP_BYTES = 48, NTP_PORT = 123 };

/* The question. `cookie` comes back in the answer: it is drawn anew each time, and does not tell our time. */
void ntp_question(u8 packet[NTP_BYTES], u64 cookie);
/* An answer to it that arrived at `now_ns` (since 1970 UTC) `taken_ns` after the question was sent: *offset_ns has to be
 * added to our clock. false: it is not one, or its server has no time to give. */
bool ntp_answer(const u8 *packet, size_t bytes, u64 cookie, u64 now_ns, u64 taken_ns, i64 *offset_ns, u32 *stratum);
#endif
