/* pattern.h - bytes that tell where they belong: what disks and streams are filled with to be checked. */
#ifndef LABOS_PATTERN_H
#define LABOS_PATTERN_H
#include "wire.h"

/* Eight bytes at a position of a stream (splitmix64 of its key and place). Host programs compute the same. */
static inline u64 pattern_word(u64 key, u64 word) {
  u64 z = (key ^ word * 0x9e3779b97f4a7c15u) + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
/* Byte `at`: the words follow each other with their lowest byte first. */
static inline u8 pattern_byte(u64 key, u64 at) { return (u8)(pattern_word(key, at >> 3) >> (at & 7) * 8); }
#endif
