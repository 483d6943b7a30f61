/* isa.c - decoding by the generated table, feature names. */
#include "isa/isa.h"

extern const u16 isa_buckets[257];
extern const char *const isa_features[][2];
extern const u32 isa_feature_total;

u32 isa_decode(u32 insn) {
  u32 major = insn >> 30;
  u32 bucket = major == 1 ? 64 : major << 6 | (major == 0 ? insn >> 22 & 7 : insn >> 19 & 63);
  for (u32 n = isa_buckets[bucket]; n < isa_buckets[bucket + 1]; n++)
    if ((insn & isa_forms[n].mask) == isa_forms[n].match) return isa_forms[n].row;
  return ISA_ILLEGAL;
}

u32 isa_feature_count(void) { return isa_feature_total; }
const char *isa_feature_name(u32 bit) { return bit < isa_feature_total ? isa_features[bit][0] : ""; }
const char *isa_feature_hwcap(u32 bit) { return bit < isa_feature_total ? isa_features[bit][1] : ""; }
