/* bytecode.c - a small bytecode interpreter: indirect jumps through a switch table. */
#include "bench.h"

BENCH("bytecode", 40);
enum { LDI, ADD, SUB, XOR, SHL, SHR, JNZ, ST, LD, DEC, MUL, HLT };
static u64 memory[256];
static const u8 program[] = {LDI, 0, 1, LDI, 1, 3, LDI, 2, 7, ADD, 0, 1, XOR, 1, 0, SHL, 1, 1, SHR, 0, 1,
                             ST,  1, 7, LD,  3, 0, ADD, 2, 3, MUL, 2, 1, SUB, 1, 2, DEC, 7, 0, JNZ, 7, 9, HLT, 0, 0};
static u8 code[sizeof program];

static NOINLINE u64 execute(const u8 *p, u64 count) {
  u64 r[8] = {0}, pc = 0;
  r[7] = count;
  for (;;) {
    u8 op = p[pc], a = p[pc + 1], b = p[pc + 2];
    pc += 3;
    switch (op) {
    case LDI: r[a] = b; break;
    case ADD: r[a] += r[b]; break;
    case SUB: r[a] -= r[b]; break;
    case XOR: r[a] ^= r[b]; break;
    case SHL: r[a] <<= b; break;
    case SHR: r[a] >>= b; break;
    case JNZ:
      if (r[a]) pc = b;
      break;
    case ST: memory[r[b] & 255] = r[a]; break;
    case LD: r[a] = memory[r[b] & 255]; break;
    case DEC: r[a]--; break;
    case MUL: r[a] *= r[b]; break;
    default: return r[0] ^ r[1] ^ r[2];
    }
  }
}

u64 bench(u64 work) {
  memcpy(code, program, sizeof program);
  u64 sum = 0;
  for (u64 round = 0; round < work; round++) sum += execute(code, 100000 + round);
  return sum;
}
