/* bytes.h - what the layers of the stack share. */
#ifndef LABOS_NET_BYTES_H
#define LABOS_NET_BYTES_H
#include "net/net.h"
#include "wire.h"

static inline u64 earlier(u64 a, u64 b) { return a < b ? a : b; }

enum { ETHER_IP = 0x0800, ETHER_ARP = 0x0806 };
enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };
enum { UNREACHABLE_PROTOCOL = 2, UNREACHABLE_PORT = 3 };
#define NEVER (~0ul)
#endif
