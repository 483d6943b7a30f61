/* bytes.h - big-endian numbers in packets, at any alignment, on any host. */
#ifndef LABOS_NET_BYTES_H
#define LABOS_NET_BYTES_H
#include "net/net.h"

static inline u16 get16(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static inline u32 get32(const u8 *p) { return (u32)get16(p) << 16 | get16(p + 2); }
static inline void set16(u8 *p, u32 value) {
  p[0] = (u8)(value >> 8);
  p[1] = (u8)value;
}
static inline void set32(u8 *p, u32 value) {
  set16(p, value >> 16);
  set16(p + 2, value);
}
static inline void copy_bytes(void *to, const void *from, size_t bytes) { __builtin_memcpy(to, from, bytes); }
static inline u64 earlier(u64 a, u64 b) { return a < b ? a : b; }
static inline u32 smaller(u32 a, u32 b) { return a < b ? a : b; }

enum { ETHER_IP = 0x0800, ETHER_ARP = 0x0806 };
enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };
enum { UNREACHABLE_PROTOCOL = 2, UNREACHABLE_PORT = 3 };
#define NEVER (~0ul)
#endif
