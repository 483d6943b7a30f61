/* crc.c - CRC-32C (RFC 3720, appendix B.4) of a buffer, with the host's instruction where it has one.
 *
 * The instruction takes 8 bytes in 3 cycles but can start one in each: three runs of LANE bytes are summed side by side and
 * joined. Joining shifts a sum over the bytes behind it: it is multiplied by x^(8n - 33) without carries, and the
 * instruction, given the 64-bit product, reduces it and multiplies by the x^33 that is missing (one of it is the product's
 * bit, lost by reflection).
 */
#include "crypto/cipher.h"
#include "stream/stream.h"

u32 s4v_stream_crc32c_portable(const u8 *data, size_t bytes) { return ~crc32c_bytes(~0u, data, bytes); }

#if defined(__x86_64__)

enum { LANE = 2048 };
static const u64 SHIFT_LANE = 0xa51b6135, SHIFT_LANES = 0x82f89c77; /* x^(8 LANE - 33), x^(16 LANE - 33), reflected */

typedef long long v2di __attribute__((vector_size(16)));

__attribute__((target("sse4.2,pclmul"))) static u64 crc_shift(u64 crc, u64 by) {
  v2di a = {(long long)crc, 0}, b = {(long long)by, 0};
  v2di product = __builtin_ia32_pclmulqdq128(a, b, 0);
  return __builtin_ia32_crc32di(0, (unsigned long long)product[0]);
}

__attribute__((target("sse4.2,pclmul"))) static u64 crc_lanes(u64 crc, const u8 *data) {
  u64 second = 0, third = 0;
  for (size_t i = 0; i < LANE; i += 8) {
    crc = __builtin_ia32_crc32di(crc, le64_load(data + i));
    second = __builtin_ia32_crc32di(second, le64_load(data + LANE + i));
    third = __builtin_ia32_crc32di(third, le64_load(data + 2 * LANE + i));
  }
  return crc_shift(crc, SHIFT_LANES) ^ crc_shift(second, SHIFT_LANE) ^ third;
}

__attribute__((target("sse4.2,pclmul"))) static u32 crc_host(const u8 *data, size_t bytes) {
  u64 crc = 0xffffffff;
  for (; bytes >= 3 * LANE; data += 3 * LANE, bytes -= 3 * LANE) crc = crc_lanes(crc, data);
  for (; bytes >= 8; data += 8, bytes -= 8) crc = __builtin_ia32_crc32di(crc, le64_load(data));
  u32 low = (u32)crc;
  for (; bytes; data++, bytes--) low = __builtin_ia32_crc32qi(low, *data);
  return ~low;
}

u32 s4v_stream_crc32c(const u8 *data, size_t bytes) {
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) return crc_host(data, bytes);
  return s4v_stream_crc32c_portable(data, bytes);
}

#else

u32 s4v_stream_crc32c(const u8 *data, size_t bytes) { return s4v_stream_crc32c_portable(data, bytes); }

#endif
