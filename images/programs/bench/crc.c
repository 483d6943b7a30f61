/* crc.c - CRC-32 by table over 64 KiB: one dependent load and a shift for each byte. */
#include "bench.h"

BENCH("crc", 3000);
enum { SIZE = 65536 };
static u32 table[256];
static u8 data[SIZE];

static NOINLINE u32 crc_update(u32 crc, const u8 *p, size_t bytes) {
  crc = ~crc;
  while (bytes--) crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
  return ~crc;
}

u64 bench(u64 work) {
  for (u32 i = 0; i < 256; i++) {
    u32 c = i;
    for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    table[i] = c;
  }
  for (u32 i = 0; i < SIZE; i++) data[i] = (u8)(i * 7 + (i >> 8));
  u32 crc = 0;
  for (u64 round = 0; round < work; round++) crc = crc_update(crc, data, SIZE);
  return crc;
}
