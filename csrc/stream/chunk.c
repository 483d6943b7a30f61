/* chunk.c - the header of a chunk: 64 bytes, little-endian. emulator/stream/protocol.md has the table.
 *
 *   0 magic "S4VM"    4 major, 5 minor, 6 type, 7 algorithm    8 mid    16 channel  18 pages  20 zeros  22 zero
 *   24 sequence       32 round  36 raw bytes    40 wire bytes  44 crc of the payload    48 argument    56 zero
 *   60 crc of bytes 0 to 59
 */
#include <string.h>

#include "stream/stream.h"

enum { TYPE_DATA = 1, ALGORITHMS = 4, HEADER_CRC = 60 };
static const u32 MAGIC = 0x4d563453; /* "S4VM" */

void s4v_stream_seal(uint8_t *header, const s4v_stream_chunk *c, const uint8_t *payload) {
  memset(header, 0, S4V_STREAM_HEADER_BYTES);
  le32_store(header, MAGIC);
  header[4] = c->major;
  header[5] = c->minor;
  header[6] = c->type;
  header[7] = c->algorithm;
  le64_store(header + 8, c->mid);
  le16_store(header + 16, c->channel);
  le16_store(header + 18, c->pages);
  le16_store(header + 20, c->zeros);
  le64_store(header + 24, c->sequence);
  le32_store(header + 32, c->round);
  le32_store(header + 36, c->raw_bytes);
  le32_store(header + 40, c->wire_bytes);
  le32_store(header + 44, s4v_stream_crc32c(payload, c->wire_bytes));
  le64_store(header + 48, c->argument);
  le32_store(header + HEADER_CRC, s4v_stream_crc32c(header, HEADER_CRC));
}

/* Lengths that a reader may believe: nothing is allocated, read or copied by any other. */
static bool lengths_ok(const s4v_stream_chunk *c) {
  if (c->type != TYPE_DATA)
    return c->pages == 0 && c->zeros == 0 && c->algorithm == 0 && c->raw_bytes == c->wire_bytes &&
           c->wire_bytes <= S4V_STREAM_MAX_BYTES;
  if (c->pages > S4V_STREAM_CHUNK_PAGES || c->zeros > S4V_STREAM_CHUNK_ZEROS || c->pages + c->zeros == 0) return false;
  if (c->raw_bytes != (u32)c->pages * PAGE_BYTES + (u32)(c->pages + c->zeros) * 8) return false;
  if (c->algorithm >= ALGORITHMS) return false;
  return c->algorithm == 0 ? c->wire_bytes == c->raw_bytes : c->wire_bytes > 0 && c->wire_bytes < c->raw_bytes;
}

int s4v_stream_parse(const uint8_t *header, s4v_stream_chunk *c) {
  if (le32_load(header) != MAGIC || le32_load(header + HEADER_CRC) != s4v_stream_crc32c(header, HEADER_CRC) ||
      le16_load(header + 22) || le32_load(header + 56))
    return S4V_EFORMAT;
  *c = (s4v_stream_chunk){
    .major = header[4], .minor = header[5], .type = header[6], .algorithm = header[7],
    .mid = le64_load(header + 8), .channel = le16_load(header + 16), .pages = le16_load(header + 18),
    .zeros = le16_load(header + 20), .sequence = le64_load(header + 24), .round = le32_load(header + 32),
    .raw_bytes = le32_load(header + 36), .wire_bytes = le32_load(header + 40), .crc = le32_load(header + 44),
    .argument = le64_load(header + 48),
  };
  return lengths_ok(c) ? 0 : S4V_EFORMAT;
}

int s4v_stream_intact(const s4v_stream_chunk *c, const uint8_t *payload) {
  return s4v_stream_crc32c(payload, c->wire_bytes) == c->crc ? 0 : S4V_EFORMAT;
}
