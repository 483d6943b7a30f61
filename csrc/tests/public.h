/* public.h - what drivers share that know nothing but the public interface: names of integers, words of the guest's memory. */
#ifndef S4V_TESTS_PUBLIC_H
#define S4V_TESTS_PUBLIC_H
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "sun4v.h"

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

/* Big-endian, of up to 8 bytes. */
static inline void put(u8 *at, u64 v, int bytes) {
  for (int i = 0; i < bytes; i++) at[i] = (u8)(v >> 8 * (bytes - 1 - i));
}

static inline u64 get(const u8 *at, int bytes) {
  u64 v = 0;
  for (int i = 0; i < bytes; i++) v = v << 8 | at[i];
  return v;
}

#endif
