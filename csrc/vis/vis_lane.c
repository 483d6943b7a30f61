/* vis_lane.c - partitioned instructions that treat every lane alike: one line each.
 *
 * x and y are the lane's two values, widened to i64 after being read as the lane type. Lane types narrower than
 * 64 bits leave room for every intermediate, so no expression below can overflow.
 */
#include "vis.h"

static i64 clamp(i64 value, i64 low, i64 high) { return value < low ? low : value > high ? high : value; }
static i64 shift_right(i64 value, i64 count) { return value < 0 ? ~(~value >> count) : value >> count; }

#define MAP(name, bits, lane, expression)                 \
  u64 vis_##name(u64 a, u64 b) {                          \
    u64 r = 0;                                            \
    for (unsigned at = 0; at < 64; at += (bits)) {        \
      i64 x = (lane)(a >> at), y = (lane)(b >> at);       \
      r |= (u64)(u##bits)(expression) << at;              \
    }                                                     \
    return r;                                             \
  }

MAP(fpadd8, 8, u8, x + y)
MAP(fpadd16, 16, u16, x + y)
MAP(fpadd32, 32, u32, x + y)
MAP(fpsub8, 8, u8, x - y)
MAP(fpsub16, 16, u16, x - y)
MAP(fpsub32, 32, u32, x - y)

MAP(fpadds8, 8, i8, clamp(x + y, INT8_MIN, INT8_MAX))
MAP(fpadds16, 16, i16, clamp(x + y, INT16_MIN, INT16_MAX))
MAP(fpadds32, 32, i32, clamp(x + y, INT32_MIN, INT32_MAX))
MAP(fpsubs8, 8, i8, clamp(x - y, INT8_MIN, INT8_MAX))
MAP(fpsubs16, 16, i16, clamp(x - y, INT16_MIN, INT16_MAX))
MAP(fpsubs32, 32, i32, clamp(x - y, INT32_MIN, INT32_MAX))
MAP(fpaddus8, 8, u8, clamp(x + y, 0, UINT8_MAX))
MAP(fpaddus16, 16, u16, clamp(x + y, 0, UINT16_MAX))
MAP(fpsubus8, 8, u8, clamp(x - y, 0, UINT8_MAX))
MAP(fpsubus16, 16, u16, clamp(x - y, 0, UINT16_MAX))

MAP(fmean16, 16, i16, shift_right(x + y + 1, 1))
MAP(fchksm16, 16, u16, x + y + ((x + y) >> 16)) /* the carry comes round to the low end */

MAP(fsll16, 16, u16, x << (y & 15))
MAP(fsll32, 32, u32, x << (y & 31))
MAP(fsrl16, 16, u16, x >> (y & 15))
MAP(fsrl32, 32, u32, x >> (y & 31))
MAP(fsra16, 16, i16, shift_right(x, y & 15))
MAP(fsra32, 32, i32, shift_right(x, y & 31))
MAP(fslas16, 16, i16, clamp(x * ((i64)1 << (y & 15)), INT16_MIN, INT16_MAX))
MAP(fslas32, 32, i32, clamp(x * ((i64)1 << (y & 31)), INT32_MIN, INT32_MAX))

MAP(fpmax8, 8, i8, x > y ? x : y)
MAP(fpmax16, 16, i16, x > y ? x : y)
MAP(fpmax32, 32, i32, x > y ? x : y)
MAP(fpmaxu8, 8, u8, x > y ? x : y)
MAP(fpmaxu16, 16, u16, x > y ? x : y)
MAP(fpmaxu32, 32, u32, x > y ? x : y)
MAP(fpmin8, 8, i8, x < y ? x : y)
MAP(fpmin16, 16, i16, x < y ? x : y)
MAP(fpmin32, 32, i32, x < y ? x : y)
MAP(fpminu8, 8, u8, x < y ? x : y)
MAP(fpminu16, 16, u16, x < y ? x : y)
MAP(fpminu32, 32, u32, x < y ? x : y)

#define COMPARE(name, bits, lane, condition)                 \
  u64 vis_##name(u64 a, u64 b) {                             \
    u64 r = 0;                                               \
    for (unsigned i = 0; i < 64 / (bits); i++) {             \
      lane x = (lane)(a >> (i * (bits)));                    \
      lane y = (lane)(b >> (i * (bits)));                    \
      r |= (u64)(condition) << i;                            \
    }                                                        \
    return r;                                                \
  }

COMPARE(fpcmple8, 8, i8, x <= y)
COMPARE(fpcmple16, 16, i16, x <= y)
COMPARE(fpcmple32, 32, i32, x <= y)
COMPARE(fpcmpgt8, 8, i8, x > y)
COMPARE(fpcmpgt16, 16, i16, x > y)
COMPARE(fpcmpgt32, 32, i32, x > y)
COMPARE(fpcmpule8, 8, u8, x <= y)
COMPARE(fpcmpule16, 16, u16, x <= y)
COMPARE(fpcmpule32, 32, u32, x <= y)
COMPARE(fpcmpugt8, 8, u8, x > y)
COMPARE(fpcmpugt16, 16, u16, x > y)
COMPARE(fpcmpugt32, 32, u32, x > y)
COMPARE(fpcmpeq8, 8, u8, x == y)
COMPARE(fpcmpeq16, 16, u16, x == y)
COMPARE(fpcmpeq32, 32, u32, x == y)
COMPARE(fpcmpne8, 8, u8, x != y)
COMPARE(fpcmpne16, 16, u16, x != y)
COMPARE(fpcmpne32, 32, u32, x != y)
