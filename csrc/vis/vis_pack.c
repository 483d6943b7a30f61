/* vis_pack.c - 8x16 multiplies, pack and expand, byte movement, pixel distance. */
#include "vis.h"

static u8 byte_at(u64 value, unsigned lane) { return (u8)(value >> (8 * lane)); }
static i16 half_at(u64 value, unsigned lane) { return (i16)(value >> (16 * lane)); }
static i32 word_at(u64 value, unsigned lane) { return (i32)(value >> (32 * lane)); }
static u64 half_to(i32 value, unsigned lane) { return (u64)(u16)value << (16 * lane); }
static u64 word_to(i32 value, unsigned lane) { return (u64)(u32)value << (32 * lane); }

static i64 clamp(i64 value, i64 low, i64 high) { return value < low ? low : value > high ? high : value; }

/* Arithmetic shift right, written so that it does not rest on the compiler's choice for negative numbers. */
static i64 shift_right(i64 value, unsigned count) {
  return value < 0 ? ~(~value >> count) : value >> count;
}

static i32 round_shift(i32 product, unsigned count) {
  return (i32)shift_right((i64)product + ((i64)1 << (count - 1)), count);
}

u64 vis_fmul8x16(u32 a, u64 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 4; i++)
    r |= half_to(round_shift(byte_at(a, i) * half_at(b, i), 8), i);
  return r;
}

static u64 multiply_bytes(u32 a, i16 factor) {
  u64 r = 0;
  for (unsigned i = 0; i < 4; i++)
    r |= half_to(round_shift(byte_at(a, i) * factor, 8), i);
  return r;
}

u64 vis_fmul8x16au(u32 a, u32 b) { return multiply_bytes(a, half_at(b, 1)); }
u64 vis_fmul8x16al(u32 a, u32 b) { return multiply_bytes(a, half_at(b, 0)); }

/* The signed upper byte and the unsigned lower byte of lane i: the two halves of a 16x16 multiply. */
static i32 upper_byte(u64 value, unsigned lane) { return (i8)byte_at(value, 2 * lane + 1); }
static i32 lower_byte(u64 value, unsigned lane) { return byte_at(value, 2 * lane); }

u64 vis_fmul8sux16(u64 a, u64 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 4; i++)
    r |= half_to(round_shift(upper_byte(a, i) * half_at(b, i), 8), i);
  return r;
}

u64 vis_fmul8ulx16(u64 a, u64 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 4; i++)
    r |= half_to(round_shift(lower_byte(a, i) * half_at(b, i), 16), i);
  return r;
}

u64 vis_fmuld8sux16(u32 a, u32 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 2; i++)
    r |= word_to(upper_byte(a, i) * half_at(b, i) * 256, i);
  return r;
}

u64 vis_fmuld8ulx16(u32 a, u32 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 2; i++)
    r |= word_to(lower_byte(a, i) * half_at(b, i), i);
  return r;
}

/* value * 2^scale / 2^fraction, rounded down */
static i64 scale_fixed(i64 value, unsigned scale, unsigned fraction) {
  return shift_right(value * ((i64)1 << scale), fraction);
}

u32 vis_fpack16(u64 gsr, u64 b) {
  unsigned scale = vis_gsr_scale(gsr) & 15; /* only four bits count here */
  u32 r = 0;
  for (unsigned i = 0; i < 4; i++)
    r |= (u32)clamp(scale_fixed(half_at(b, i), scale, 7), 0, 255) << (8 * i);
  return r;
}

u64 vis_fpack32(u64 gsr, u64 a, u64 b) {
  u64 r = (a << 8) & 0xffffff00ffffff00u;
  for (unsigned i = 0; i < 2; i++)
    r |= (u64)clamp(scale_fixed(word_at(b, i), vis_gsr_scale(gsr), 23), 0, 255) << (32 * i);
  return r;
}

u32 vis_fpackfix(u64 gsr, u64 b) {
  u32 r = 0;
  for (unsigned i = 0; i < 2; i++) {
    i64 value = scale_fixed(word_at(b, i), vis_gsr_scale(gsr), 16);
    r |= (u32)half_to((i32)clamp(value, INT16_MIN, INT16_MAX), i);
  }
  return r;
}

u64 vis_fexpand(u32 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 4; i++)
    r |= half_to(byte_at(b, i) << 4, i);
  return r;
}

u64 vis_fpmerge(u32 a, u32 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 4; i++)
    r |= half_to(byte_at(a, i) << 8 | byte_at(b, i), i);
  return r;
}

u64 vis_pdist(u64 a, u64 b, u64 sum) {
  for (unsigned i = 0; i < 8; i++) {
    u8 x = byte_at(a, i), y = byte_at(b, i);
    sum += x > y ? (u64)(x - y) : (u64)(y - x);
  }
  return sum;
}

u64 vis_faligndata(u64 a, u64 b, u64 offset) {
  unsigned shift = (unsigned)(offset & 7) * 8;
  return shift ? a << shift | b >> (64 - shift) : a;
}

u64 vis_bshuffle(u64 gsr, u64 a, u64 b) {
  u64 r = 0;
  for (unsigned i = 0; i < 8; i++) {
    unsigned source = (unsigned)(gsr >> (32 + 4 * i)) & 15; /* 0 is the most significant byte of a */
    r |= (u64)byte_at(source < 8 ? a : b, 7 - source % 8) << (8 * i);
  }
  return r;
}

u64 vis_fpmaddxhi(u64 a, u64 b, u64 c) { return (u64)(((u128)a * b + c) >> 64); }
