/* wire.h - big-endian numbers in packets, at any alignment, on any host. */
#ifndef LABOS_WIRE_H
#define LABOS_WIRE_H
#include <stdbool.h>
#include <stddef.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef int i32;
typedef long i64;

static inline u16 get16(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static inline u32 get32(const u8 *p) { return (u32)get16(p) << 16 | get16(p + 2); }
static inline u64 get64(const u8 *p) { return (u64)get32(p) << 32 | get32(p + 4); }
static inline void set16(u8 *p, u32 value) {
  p[0] = (u8)(value >> 8);
  p[1] = (u8)value;
}
static inline void set32(u8 *p, u32 value) {
  set16(p, value >> 16);
  set16(p + 2, value);
}
static inline void set64(u8 *p, u64 value) {
  set32(p, (u32)(value >> 32));
  set32(p + 4, (u32)value);
}
static inline void copy_bytes(void *to, const void *from, size_t bytes) { __builtin_memcpy(to, from, bytes); }
static inline u32 smaller(u32 a, u32 b) { return a < b ? a : b; }
#endif
