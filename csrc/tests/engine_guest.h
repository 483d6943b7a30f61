/* engine_guest.h - machines with random programs for the tests of the engine, through the public interface only.
 *
 *   RA 0        trap table (TL 0, then TL > 0): handlers that let a wild program go on
 *   0x8000      MMU fault areas, 0xa000 stacks of the spill handlers, 0x10000 TSB, 0x12000 its descriptor
 *   0x14000     mondo queues, 0x16000 mondo data and lists, 0x18000 boot code, one stretch a strand
 *   0x20000     the program, two pages; 0x40000 data, eight pages
 *
 * With the MMU on, VA 0..8M is RA 0..8M by permanent mappings, and so is VA 16M..24M, whose pages have the same places in
 * the soft TLB; VA ALIAS.. shows data and program once more, by the
 * TSB, with permissions that differ from page to page. %g5 points to data, %g6 is a small offset, or megabytes more so
 * that pages meet in the soft TLB, %g7 points to the program, at every GL; generated instructions leave them alone,
 * most of the time.
 */
#ifndef S4V_TESTS_ENGINE_GUEST_H
#define S4V_TESTS_ENGINE_GUEST_H
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_choice.h"
#include "sun4v.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t i16;
typedef int32_t i32;

enum {
  FAULT_AREA = 0x8000, SPILL_STACK = 0xa000, TSB = 0x10000, TSB_DESCRIPTOR = 0x12000, QUEUES = 0x14000,
  MONDO_DATA = 0x16000, MONDO_LIST = 0x16100, BOOT = 0x18000, BOOT_BYTES = 0x400, CODE = 0x20000, CODE_WORDS = 4096,
  DATA = 0x40000, DATA_BYTES = 0x10000, AGAIN = 0x1000000, MEMORY = 0x800000, IMAGE_BYTES = 0x50000,
};
#define ALIAS 0x100000000ull /* data; the program follows at + DATA_BYTES */

static u64 next_random(u64 *state) {
  u64 z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
static u32 below(u64 *rng, u32 n) { return (u32)(next_random(rng) >> 32) % n; }
static bool one_in(u64 *rng, u32 n) { return below(rng, n) == 0; }

/* ---- assembling ---- */
struct text {
  u8 *image;
  u32 at;
};

static void put32(u8 *p, u32 v) { for (u32 i = 0; i < 4; i++) p[i] = (u8)(v >> (24 - 8 * i)); }
static void put64(u8 *p, u64 v) { put32(p, (u32)(v >> 32)), put32(p + 4, (u32)v); }
static void emit(struct text *t, u32 word) {
  put32(t->image + t->at, word);
  t->at += 4;
}
enum { ADD = 0, AND = 1, OR = 2, SUB = 4, SLLX = 0x25, RDASR = 0x28, RDPR = 0x2a, WRASR = 0x30, SAVED = 0x31, WRPR = 0x32,
       JMPL = 0x38, TCC = 0x3a, DONE = 0x3e };
enum { LDX = 0x0b, STX = 0x0e, LDXA = 0x1b, STXA = 0x1e };
static u32 ri(u32 op3, u32 rd, u32 rs1, u32 imm) { return 2u << 30 | rd << 25 | op3 << 19 | rs1 << 14 | 0x2000 | (imm & 0x1fff); }
static u32 rr(u32 op3, u32 rd, u32 rs1, u32 rs2) { return 2u << 30 | rd << 25 | op3 << 19 | rs1 << 14 | rs2; }
static u32 mem(u32 op3, u32 rd, u32 rs1, u32 imm) { return 3u << 30 | rd << 25 | op3 << 19 | rs1 << 14 | 0x2000 | imm; }
static u32 mem_asi(u32 op3, u32 rd, u32 rs1, u32 asi) { return 3u << 30 | rd << 25 | op3 << 19 | rs1 << 14 | asi << 5; }
static u32 sethi(u32 rd, u32 value) { return rd << 25 | 4u << 22 | value >> 10; }
enum { NOP = 0x01000000, RETRY = 0x83f00000, TA = 0x91d02000 };

static void set32(struct text *t, u32 rd, u32 v) {
  emit(t, sethi(rd, v));
  emit(t, ri(OR, rd, rd, v & 0x3ff));
}
static void set64(struct text *t, u32 rd, u64 v) {
  set32(t, rd, (u32)(v >> 32));
  emit(t, 2u << 30 | rd << 25 | (u32)SLLX << 19 | rd << 14 | 0x3000 | 32);
  for (u32 shift = 22; ; shift -= 11) { /* 11 + 11 + 10 bits, so that simm13 stays positive */
    u32 bits = shift == 22 ? (u32)v >> 22 : (u32)v >> shift & 0x7ff;
    emit(t, ri(SLLX, 0, 0, 0) | 0x1000); /* keeps the stretch a fixed length */
    emit(t, sethi(1, bits << shift));
    emit(t, ri(OR, 1, 1, bits << shift & 0x3ff));
    emit(t, rr(OR, rd, rd, 1));
    if (shift == 0) break;
  }
}
static void hypercall(struct text *t, u32 function) {
  emit(t, ri(OR, 13, 0, function));
  emit(t, TA | 0x80);
}

/* ---- trap table ---- */
enum { TPC = 0, TNPC = 1, TSTATE = 2, PSTATE = 6, TL = 7, PIL = 8, CWP = 9, CLEANWIN = 12, GL = 16, TBA = 5 };

static void vector_restart(struct text *t) {
  emit(t, ri(OR, 3, 0, 8));
  emit(t, mem_asi(STXA, 0, 3, 0x21)); /* primary context 0 */
  emit(t, sethi(3, CODE));
  emit(t, ri(WRPR, TPC, 3, 0));
  emit(t, ri(ADD, 3, 3, 4));
  emit(t, ri(WRPR, TNPC, 3, 0));
  emit(t, RETRY);
}
static void vector_interrupt(struct text *t) {
  emit(t, ri(WRASR, 21, 0, (u32)-1));
  emit(t, rr(RDASR, 3, 4, 0));
  emit(t, ri(ADD, 3, 3, 777));
  emit(t, ri(WRASR, 23, 3, 0));
  emit(t, RETRY);
}
static void vector_queue(struct text *t, u32 queue) {
  emit(t, ri(OR, 3, 0, 0x3c8 + 16 * queue));
  emit(t, mem_asi(LDXA, 4, 3, 0x25));
  emit(t, ri(OR, 3, 0, 0x3c0 + 16 * queue));
  emit(t, mem_asi(STXA, 4, 3, 0x25));
  emit(t, RETRY);
}
/* By the low bits of WSTATE with plain accesses, or with %asi, which RETRY gives back. */
static void vector_window(struct text *t, bool spill, u32 way) {
  static const u8 asis[] = {0x80, 0x14, 0x04, 0x10};
  u32 op3 = spill ? STX : LDX;
  if (way & 1) emit(t, ri(WRASR, 3, 0, asis[way >> 1])), op3 |= 0x10;
  if (!spill) emit(t, ri(SUB, 1, 1, 128)), emit(t, ri(AND, 1, 1, 0x3ff));
  emit(t, rr(ADD, 3, 2, 1));
  for (u32 r = 16; r < 32; r++) emit(t, mem(op3, r, 3, 8 * (r - 16)));
  if (spill) emit(t, ri(ADD, 1, 1, 128)), emit(t, ri(AND, 1, 1, 0x3ff));
  emit(t, rr(SAVED, spill ? 0 : 1, 0, 0));
  emit(t, RETRY);
}
static void vector_clean(struct text *t) {
  emit(t, rr(RDPR, 3, CLEANWIN, 0));
  emit(t, ri(ADD, 3, 3, 1));
  emit(t, ri(WRPR, CLEANWIN, 3, 0));
  emit(t, RETRY);
}
static void vector_fp_disabled(struct text *t) {
  emit(t, ri(WRASR, 6, 0, 4));
  emit(t, rr(RDPR, 3, TSTATE, 0));
  emit(t, sethi(4, 0x1000)); /* PSTATE.PEF */
  emit(t, rr(OR, 3, 3, 4));
  emit(t, ri(WRPR, TSTATE, 3, 0));
  emit(t, RETRY);
}
static void vector_to_privileged(struct text *t) {
  emit(t, rr(RDPR, 3, TSTATE, 0));
  emit(t, ri(OR, 3, 3, 0x400));
  emit(t, ri(WRPR, TSTATE, 3, 0));
  emit(t, rr(DONE, 0, 0, 0));
}

static void vector(struct text *t, u32 tt) {
  if (tt == 8 || tt == 9 || tt == 0x64) vector_restart(t);
  else if (tt >= 0x41 && tt <= 0x4f) vector_interrupt(t);
  else if (tt >= 0x7c && tt <= 0x7f) vector_queue(t, tt - 0x7c);
  else if (tt >= 0x80 && tt < 0x100) { if (tt % 4 == 0) vector_window(t, tt < 0xc0, tt >> 2 & 7); }
  else if (tt == 0x24) vector_clean(t);
  else if (tt == 0x20) vector_fp_disabled(t);
  else if (tt == 0x101) vector_to_privileged(t);
  else emit(t, rr(DONE, 0, 0, 0));
}

static void trap_table(u8 *image) {
  for (u32 n = 0; n < 1024; n++) {
    struct text t = {image, n * 32};
    if (n >= 0x300) emit(&t, ri(ADD, 4, 4, 1)); /* a Tcc above TL 0 is another's */
    vector(&t, n & 511);
  }
}

/* ---- programs ---- */
struct forms {
  u32 count;
  struct { u32 match, mask; } form[4096];
};

static void forms_read(struct forms *f) {
  f->count = 0;
  for (int row = 0; row < s4v_isa_count(); row++)
    for (int n = 0; f->count < 4096 && s4v_isa_match(row, n, &f->form[f->count].match, &f->form[f->count].mask) == 0; n++)
      f->count++;
}

static u32 aim_branch(u32 word, u64 *rng) {
  u32 disp = (below(rng, 8) ? below(rng, 24) + 1 : 0u - below(rng, 40));
  switch (word >> 22 & 7) {
  case 2: case 6: return (word & ~0x3fffffu) | (disp & 0x3fffff);
  case 1: case 5: return (word & ~0x7ffffu) | (disp & 0x7ffff);
  case 3:
    if (word >> 28 & 1) return (word & ~0x181fe0u) | (disp & 0xff) << 5 | (disp >> 8 & 3) << 19;
    return (word & ~0x303fffu) | (disp & 0x3fff) | (disp >> 14 & 3) << 20;
  default: return word;
  }
}

static u32 tame_privileged(u32 word, u32 op3, u64 *rng) {
  static const u32 pstates[] = {0x16, 0x16, 0x14, 0x16, 0x06, 0x1e, 0x216, 0x12, 0x316, 0x116, 0x10};
  u32 rd = word >> 25 & 31;
  if (op3 == WRPR) {
    if (rd == TBA || (rd == TL && !one_in(rng, 8)) || (rd == GL && !one_in(rng, 4))) return NOP;
    if (rd == PSTATE) return ri(WRPR, PSTATE, 0, pstates[below(rng, 11)]);
    if (rd <= TSTATE || !one_in(rng, 8)) return ri(WRPR, rd, 0, below(rng, rd == CLEANWIN ? 8 : 7));
    return word;
  }
  if (rd == 6 && !one_in(rng, 4)) return ri(WRASR, 6, 0, 4);
  return one_in(rng, 2) ? word : ri(WRASR, rd, 0, below(rng, 4096));
}

static u32 tame_trap(u32 word, u64 *rng) {
  static const u32 numbers[] = {1, 1, 1, 2, 3, 0x80, 0x80, 0x83, 0x84, 0xff};
  return (word & ~0x7dfffu) | 0x2000 | numbers[below(rng, 10)];
}

static u32 free_rd(u32 word, u64 *rng) {
  u32 rd = word >> 25 & 31;
  if (rd < 5 || rd > 7 || one_in(rng, 64)) return word;
  return (word & ~(31u << 25)) | (8 + below(rng, 24)) << 25;
}

static u32 tame_arithmetic(u32 word, u64 *rng) {
  u32 op3 = word >> 19 & 63;
  switch (op3) {
  case JMPL: case JMPL + 1:
    if (one_in(rng, 16)) return word;
    return free_rd((word & ~0x7ffffu) | 7 << 14 | 0x2000 | below(rng, 200) * 4, rng);
  case TCC: return tame_trap(word, rng);
  case WRASR: case WRPR: return tame_privileged(word, op3, rng);
  case SAVED: case DONE: return word;
  default: return free_rd(word, rng);
  }
}

static u32 tame_memory(u32 word, u64 *rng) {
  static const u8 asis[] = {0x80, 0x80, 0x88, 0x04, 0x10, 0x14, 0x15, 0x16, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
                            0x81, 0x82, 0x8a, 0xc0, 0xc2, 0xc4, 0xc8, 0xd0, 0xd2, 0xd8, 0xe0, 0xe2, 0xf0, 0xf2, 0xf8, 0x1c};
  u32 op3 = word >> 19 & 63, asi = asis[below(rng, sizeof asis)];
  if (one_in(rng, 32)) return word;
  bool block = asi == 0x16 || asi == 0xe0 || asi == 0xf0 || asi == 0xf8;
  if ((op3 == 0x33 || op3 == 0x37) && block) word = (word & ~(31u << 25)) | (below(rng, 4) * 0x8001 & 17) << 25;
  if (op3 < 0x20) word = free_rd(word, rng);
  word = (word & ~0x7c000u) | 5 << 14;
  if (word >> 13 & 1) return (word & ~0x1fffu) | (one_in(rng, 8) ? below(rng, 4096) : below(rng, 512) * 8);
  if (op3 & 0x10) word = (word & ~0x1fe0u) | asi << 5;
  return op3 == 0x3c || op3 == 0x3e ? free_rd(word, rng) : (word & ~31u) | 6;
}

/* One instruction of the table with operands that do something. */
static u32 random_insn(const struct forms *f, u64 *rng) {
  static const u32 classes[] = {0, 0, 0, 2, 2, 2, 2, 2, 2, 3, 3, 3, 1};
  u32 want = classes[below(rng, sizeof classes / sizeof classes[0])], n;
  if (want == 1 && one_in(rng, 2)) return 1u << 30 | ((below(rng, 4) ? below(rng, 32) + 1 : 0u - below(rng, 32)) & 0x3fffffff);
  if (want == 1) want = 2;
  do n = below(rng, f->count);
  while (f->form[n].match >> 30 != want);
  u32 word = f->form[n].match | ((u32)next_random(rng) & ~f->form[n].mask);
  switch (word >> 30) {
  case 0: return (word >> 22 & 7) == 4 ? free_rd(word, rng) : aim_branch(word, rng);
  case 2: return tame_arithmetic(word, rng);
  default: return tame_memory(word, rng);
  }
}

#include "engine_dense.h"

/* %o0.. and %o5 set for a hypercall that may do something. */
static u32 hypercall_sequence(u32 *code, u64 *rng) {
  static const u32 functions[] = {0x10, 0x11, 0x12, 0x13, 0x13, 0x14, 0x42, 0x42, 0x20, 0x22, 0x23, 0x24, 0x31, 0x50, 0x61, 0x62,
                                  0x05, 0x70, 0x133, 0x134};
  u32 n = 0, function = functions[below(rng, 20)];
  code[n++] = ri(OR, 13, 0, function);
  code[n++] = function == 0x42 || one_in(rng, 4) ? ri(OR, 8, 0, below(rng, 4)) : ri(OR, 8, 0, below(rng, 16));
  code[n++] = function == 0x42 ? sethi(9, MONDO_LIST) : function == 0x10 ? sethi(9, CODE) : sethi(9, DATA);
  if (function == 0x42) code[n++] = ri(OR, 9, 9, MONDO_LIST & 0x3ff);
  code[n++] = function == 0x42 ? sethi(10, MONDO_DATA) : ri(OR, 10, 0, below(rng, 4) * 64);
  code[n++] = TA | 0x80;
  return n;
}

static void random_program(u8 *image, const struct forms *f, bool dense, u64 *rng) {
  u32 words = 40 + below(rng, one_in(rng, 8) ? 2500 : 300), buffer[40];
  for (u32 n = 0; n < words;) {
    u32 count = 1;
    buffer[0] = dense && !one_in(rng, 50) ? dense_insn(rng) : random_insn(f, rng);
    if (dense && one_in(rng, 20)) count = dense_loop(buffer, rng);
    else if (dense && one_in(rng, 40)) count = dense_scatter(buffer, rng);
    else if (dense && one_in(rng, 40)) count = jump_calls(buffer, rng);
    else if (dense && one_in(rng, 40)) count = jump_table(buffer, rng);
    else if (dense && one_in(rng, 12)) count = dense_spans(buffer, rng);
    else if (dense && one_in(rng, 15)) count = dense_compare(buffer, rng);
    else if (dense && one_in(rng, 10)) count = system_sequence(buffer, rng);
    else if (dense && one_in(rng, 40)) count = system_level(buffer, rng);
    else if (dense && one_in(rng, 16)) count = traps_sequence(buffer, rng);
    else if (one_in(rng, dense ? 200 : 40)) count = hypercall_sequence(buffer, rng);
    else if (dense && one_in(rng, 20)) buffer[0] = sethi(6, below(rng, 8) << 13); /* pages with other permissions */
    else if (one_in(rng, 20)) buffer[0] = sethi(6, below(rng, 4) << 21 | (one_in(rng, 2) ? AGAIN : 0));
    for (u32 i = 0; i < count; i++, n++) put32(image + CODE + 4 * n, buffer[i]);
  }
  words += 8;
  if (one_in(rng, 3)) /* a tail without stores: the stepper, which ends every run, marks nothing there */
    for (u32 end = words + 150; words < end; words++) put32(image + CODE + 4 * words, NOP);
  put32(image + CODE + 4 * words, 0x10800000 | ((0u - words) & 0x3fffff)); /* ba to the start */
  put32(image + CODE + 4 * words + 4, NOP);
}

/* ---- machines ---- */
struct guest {
  u32 strands, quantum;
  bool mmu, wild; /* wild: random words instead of a program */
  bool dense;     /* as compilers write them */
  u64 features;
};

static void tsb_entry(u8 *image, u64 va, u64 ra, u64 flags) {
  u8 *at = image + TSB + (va >> 13 & 511) * 16;
  put64(at, va >> 22);
  put64(at + 8, 1ull << 63 | ra | flags);
}

static void translation(u8 *image) {
  enum { P = 1 << 8, X = 1 << 7, W = 1 << 6, CP = 1 << 10, E = 1 << 11, IE = 1 << 12 };
  static const u64 flags[8] = {CP | W, CP | W | X, CP, W, CP | W | P, CP | W | E, CP | W | IE, 0};
  for (u32 n = 0; n < 7; n++) tsb_entry(image, ALIAS + n * 0x2000u, DATA + n * 0x2000u, flags[n]);
  for (u32 n = 0; n < 2; n++) tsb_entry(image, ALIAS + DATA_BYTES + n * 0x2000u, CODE + n * 0x2000u, CP | W | X);
  put64(image + TSB_DESCRIPTOR, 1ull << 32 | 512);
  put64(image + TSB_DESCRIPTOR + 8, 0xffffffffull << 32 | 1);
  put64(image + TSB_DESCRIPTOR + 16, TSB);
}

static void boot_mmu(struct text *t) {
  for (u32 va = 0; va < AGAIN + MEMORY; va += 0x400000) {
    if (va >= MEMORY && va < AGAIN) continue;
    set64(t, 10, 1ull << 63 | (va & (MEMORY - 1)) | 0x5c3); /* 4 MiB, CP P X W */
    emit(t, sethi(8, va)), emit(t, ri(OR, 9, 0, 0)), emit(t, ri(OR, 11, 0, 3));
    hypercall(t, 0x25);
  }
  emit(t, ri(OR, 8, 0, 1));
  set32(t, 9, TSB_DESCRIPTOR);
  hypercall(t, 0x20);
  emit(t, ri(OR, 8, 0, 1));
  set32(t, 9, t->at + 16);
  hypercall(t, 0x27);
}

static void boot_code(u8 *image, const struct guest *g, u32 strand, u64 *rng) {
  struct text t = {image, BOOT + strand * BOOT_BYTES};
  set32(&t, 8, FAULT_AREA + 128 * strand);
  hypercall(&t, 0x26);
  emit(&t, ri(OR, 8, 0, 0x3c));
  set32(&t, 9, QUEUES + strand * 512);
  emit(&t, ri(OR, 10, 0, 8));
  hypercall(&t, 0x14);
  if (g->mmu) boot_mmu(&t);
  u64 data = g->mmu && one_in(rng, 2) ? ALIAS : DATA, code = g->mmu && one_in(rng, 3) ? ALIAS + DATA_BYTES : CODE;
  if (one_in(rng, 6)) data = code + 4 * below(rng, 100); /* a program that writes to itself */
  for (u32 gl = 3; gl-- > 0;) {
    emit(&t, ri(WRPR, GL, 0, gl));
    set64(&t, 5, data);
    set64(&t, 7, code);
    emit(&t, ri(OR, 6, 0, below(rng, 16) * 64));
    set32(&t, 2, SPILL_STACK + strand * 0x400);
    emit(&t, ri(OR, 1, 0, 0));
  }
  emit(&t, ri(WRASR, 6, 0, 4));
  emit(&t, ri(WRPR, PIL, 0, 0));
  emit(&t, ri(WRPR, PSTATE, 0, 0x16));
  emit(&t, ri(JMPL, 0, 7, 0));
  emit(&t, NOP);
  if (t.at > BOOT + (strand + 1) * BOOT_BYTES) abort();
}

static void random_registers(s4v_machine *m, u32 strand, u64 *rng) {
  static const u64 corners[] = {0, 1, ~0ull, 1ull << 63, 0x7fffffff, 0x80000000, 0x3ff0000000000000, 0x7ff0000000000000,
                                0x7ff8000000000001, 0x7ff0000000000001, 1, 0x000fffffffffffff, 0x3f8000007f800000,
                                0x0000000180000001, 0x4330000000000000, 0x36a0000000000000};
  char name[8];
  for (u32 n = 0; n < 56; n++) {
    u64 v = one_in(rng, 3) ? corners[below(rng, 16)] : next_random(rng);
    if (n < 24) snprintf(name, sizeof name, "%c%u", "oli"[n / 8], n % 8);
    else snprintf(name, sizeof name, "d%u", (n - 24) * 2);
    s4v_reg_set(m, strand, s4v_reg_find(name), v);
  }
  u64 fsr = (u64)below(rng, 4) << 30 | (one_in(rng, 2) ? (u64)below(rng, 32) << 23 : 0) | below(rng, 4) << 10;
  s4v_reg_set(m, strand, s4v_reg_find("fsr"), fsr);
  s4v_reg_set(m, strand, s4v_reg_find("gsr"), next_random(rng) & (one_in(rng, 2) ? 0xffffffff060000ffull : 0xffffffff0e0000ffull));
  if (one_in(rng, 2)) s4v_reg_set(m, strand, s4v_reg_find("tick_cmpr"), below(rng, 4000));
  if (one_in(rng, 2)) s4v_reg_set(m, strand, s4v_reg_find("stick_cmpr"), below(rng, 2000));
}

static s4v_config guest_config(const struct guest *g) {
  return (s4v_config){.memory_bytes = MEMORY, .strands = g->strands, .deterministic = 1, .features = g->features,
                      .cfr = 0xfff, .cfr_present = 1, .stick_hz = 1000000000, .tick_hz = 3600000000u, .va_bits = 52,
                      .page_sizes = 0xff, .channels = 16, .rng_control = 1, .rng_layout = 1, .max_tsbs = 4,
                      .quantum = g->quantum, .tod_seconds = 1356998400};
}

static struct guest guest_random(u64 *rng) {
  struct guest g = {.strands = 1, .quantum = 1 + below(rng, 3000), .mmu = one_in(rng, 2), .features = ~0ull};
  if (one_in(rng, 8)) g.features = next_random(rng);
  return g;
}

/* The machine of a guest, at the first instruction of the boot code of every strand. */
static s4v_machine *guest_new(const struct guest *g, const struct forms *f, u64 *rng) {
  char why[128];
  s4v_config config = guest_config(g);
  s4v_machine *m = s4v_machine_new(&config, why, sizeof why);
  u8 *image = calloc(1, IMAGE_BYTES);
  if (!m || !image) abort();
  engine_choose(m);
  trap_table(image);
  translation(image);
  for (u32 n = 0; n < 64; n++) image[MONDO_DATA + n] = (u8)n;
  for (u32 n = 0; n < 8; n++) image[MONDO_LIST + 2 * n + 1] = (u8)below(rng, g->strands + 1);
  for (u32 n = 0; n < DATA_BYTES; n += 8)
    if (g->dense || one_in(rng, 8)) put64(image + DATA + n, next_random(rng));
  random_program(image, f, g->dense, rng);
  if (g->wild)
    for (u32 n = 0; n < CODE_WORDS; n++)
      put32(image + CODE + 4 * n, one_in(rng, 3) ? (u32)next_random(rng) : random_insn(f, rng));
  for (u32 n = 0; n < g->strands; n++) boot_code(image, g, n, rng);
  if (s4v_mem_write(m, 0, image, IMAGE_BYTES)) abort();
  free(image);
  for (u32 n = 0; n < g->strands; n++) {
    if (n && one_in(rng, 4)) continue; /* left to CPU_START */
    s4v_strand_start(m, n, BOOT + n * BOOT_BYTES, 0, 0);
    random_registers(m, n, rng);
  }
  return m;
}

/* Runs on over full consoles; the last stop. */
static s4v_stop guest_run(s4v_machine *m, u64 insns) {
  static char sink[65536];
  s4v_stop stop;
  u64 done = 0;
  do {
    s4v_run(m, insns - done, &stop);
    done += stop.insns;
    if (stop.reason == S4V_STOP_CONSOLE) s4v_console_read(m, sink, sizeof sink);
  } while (stop.reason == S4V_STOP_CONSOLE && done < insns);
  stop.insns = done;
  return stop;
}

#endif
