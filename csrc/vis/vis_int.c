/* vis_int.c - the VIS instructions on integer registers, POPC, and the byte masks for BSHUFFLE. */
#include "vis.h"

/* Edge masks: which of the lanes of an aligned doubleword belong to a scan line from a to b inclusive. */

typedef struct { unsigned lanes, shift; bool little; } edge_shape;

static u64 edge_mask(edge_shape shape, u64 a, u64 b, u64 addr_mask) {
  unsigned full = (1u << shape.lanes) - 1, last = shape.lanes - 1;
  unsigned first_lane = (unsigned)(a >> shape.shift) & last;
  unsigned end_lane = (unsigned)(b >> shape.shift) & last;
  unsigned left = shape.little ? full << first_lane : full >> first_lane;
  unsigned right = shape.little ? full >> (last - end_lane) : full << (last - end_lane);
  bool same_doubleword = !((a ^ b) & addr_mask & ~(u64)7);
  return (same_doubleword ? left & right : left) & full;
}

u64 vis_edge8(u64 a, u64 b, u64 addr_mask) { return edge_mask((edge_shape){8, 0, false}, a, b, addr_mask); }
u64 vis_edge8l(u64 a, u64 b, u64 addr_mask) { return edge_mask((edge_shape){8, 0, true}, a, b, addr_mask); }
u64 vis_edge16(u64 a, u64 b, u64 addr_mask) { return edge_mask((edge_shape){4, 1, false}, a, b, addr_mask); }
u64 vis_edge16l(u64 a, u64 b, u64 addr_mask) { return edge_mask((edge_shape){4, 1, true}, a, b, addr_mask); }
u64 vis_edge32(u64 a, u64 b, u64 addr_mask) { return edge_mask((edge_shape){2, 2, false}, a, b, addr_mask); }
u64 vis_edge32l(u64 a, u64 b, u64 addr_mask) { return edge_mask((edge_shape){2, 2, true}, a, b, addr_mask); }

/* Array: fixed-point (x, y, z) to the offset of an element in a blocked array.
 *
 *      a:   z int 63:55 . frac | y int 43:33 . frac | x int 21:11 . frac
 *      out: z[8:5]  y[5+n:6]  x[5+n:6] | z[4:1] y[5:2] x[5:2] | z[0] y[1:0] x[1:0]
 *           17+2n   17+n      17         13     9      5        4    2      0
 */
static u64 bits(u64 value, unsigned low, unsigned width) { return (value >> low) & (((u64)1 << width) - 1); }

u64 vis_array8(u64 a, u64 b) {
  unsigned n = (unsigned)b & 7;
  if (n > 5)
    n = 5; /* 6 and 7 are reserved; the chips' blocks end at 2^5 times the base size */
  u64 x = bits(a, 11, 11), y = bits(a, 33, 11), z = bits(a, 55, 9);
  u64 within_64 = bits(x, 0, 2) | bits(y, 0, 2) << 2 | bits(z, 0, 1) << 4;
  u64 within_8k = bits(x, 2, 4) << 5 | bits(y, 2, 4) << 9 | bits(z, 1, 4) << 13;
  u64 block = bits(x, 6, n) << 17 | bits(y, 6, n) << (17 + n) | bits(z, 5, 4) << (17 + 2 * n);
  return within_64 | within_8k | block;
}

u64 vis_umulxhi(u64 a, u64 b) { return (u64)(((u128)a * b) >> 64); }

static u128 multiply_carryless(u64 a, u64 b) {
  u128 product = 0;
  for (unsigned i = 0; i < 64; i++)
    product ^= ((u128)a << i) & (0 - (u128)(b >> i & 1));
  return product;
}

u64 vis_xmulx(u64 a, u64 b) { return (u64)multiply_carryless(a, b); }
u64 vis_xmulxhi(u64 a, u64 b) { return (u64)(multiply_carryless(a, b) >> 64); }
u64 vis_lzcnt(u64 b) { return b ? (u64)__builtin_clzll(b) : 64; }
u64 vis_popc(u64 b) { return (u64)__builtin_popcountll(b); }

/* NZVC of a result, where bit `top` of `carries` and `overflow` is the carry out of and the overflow at the sign. */
static unsigned ccr_half(u64 result, u64 carries, u64 overflow, unsigned top) {
  unsigned n = (unsigned)(result >> top) & 1, v = (unsigned)(overflow >> top) & 1, c = (unsigned)(carries >> top) & 1;
  unsigned z = (result << (63 - top)) == 0;
  return n << 3 | z << 2 | v << 1 | c;
}

u8 vis_addxccc(u64 a, u64 b, u64 carry, u64 *r) {
  u64 sum = a + b + carry;
  u64 carries = (a & b) | ((a | b) & ~sum);
  u64 overflow = (a ^ sum) & (b ^ sum);
  *r = sum;
  return (u8)(ccr_half(sum, carries, overflow, 63) << 4 | ccr_half(sum, carries, overflow, 31));
}

u8 vis_subxccc(u64 a, u64 b, u64 carry, u64 *r) {
  u64 difference = a - b - carry;
  u64 borrows = (~a & b) | ((~a | b) & difference);
  u64 overflow = (a ^ b) & (a ^ difference);
  *r = difference;
  return (u8)(ccr_half(difference, borrows, overflow, 63) << 4 | ccr_half(difference, borrows, overflow, 31));
}

/* Nibble k of the mask names the source of byte 7-k: 7-k itself in the first register, 15-k in the second. */
static u32 cmask(u64 b, unsigned lane_bytes) {
  u32 mask = 0;
  for (unsigned k = 0; k < 8; k++) {
    bool first = b >> (k / lane_bytes) & 1;
    mask |= (first ? 7 - k : 15 - k) << (4 * k);
  }
  return mask;
}

u32 vis_cmask8(u64 b) { return cmask(b, 1); }
u32 vis_cmask16(u64 b) { return cmask(b, 2); }
u32 vis_cmask32(u64 b) { return cmask(b, 4); }
