/* disasm.c - the disassembler: fills the operands into the template of the row. */
#include "isa/disasm.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "isa/isa.h"

struct disasm_alias {
  u32 mask, value;
  u16 row;
  u8 same_a, same_b; /* low bits of two register fields that must be equal; the same where there is no such rule */
  const char *text;
};
#include "disasm_table.inc"

struct text {
  char *buf;
  size_t len, used; /* used counts what did not fit, too */
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...) {
  va_list args;
  size_t room = t->used < t->len ? t->len - t->used : 0;
  va_start(args, format);
  int n = vsnprintf(room ? t->buf + t->used : NULL, room, format, args);
  va_end(args);
  if (n > 0) t->used += (size_t)n;
}

static void put_char(struct text *t, char c) {
  if (t->used + 1 < t->len) {
    t->buf[t->used] = c;
    t->buf[t->used + 1] = 0;
  }
  t->used++;
}

static void put_register(struct text *t, u32 n) {
  if (n == 14) put(t, "%%sp");
  else if (n == 30) put(t, "%%fp");
  else put(t, "%%%c%u", "goli"[n >> 3 & 3], n & 7);
}

static void put_double(struct text *t, u32 field) { put(t, "%%f%u", (field & 1) << 5 | (field & 30)); }

static void put_number(struct text *t, i64 v) {
  if (v > 9) put(t, "0x%" PRIx64, (u64)v);
  else put(t, "%" PRId64, v);
}

/* Operand 2: rs2, or an immediate of `bits` bits. */
static void put_operand2(struct text *t, u32 insn, u32 bits, bool sign) {
  if (!insn_i(insn)) put_register(t, insn_rs2(insn));
  else put_number(t, sign ? insn_simm(insn, bits) : (i64)(insn & ((1u << bits) - 1)));
}

/* rs1 + operand 2; a zero operand 2 and a zero rs1 before an immediate are left out. */
static void put_sum(struct text *t, u32 insn) {
  i64 imm = insn_simm(insn, 13);
  if (insn_i(insn) ? imm == 0 : insn_rs2(insn) == 0) {
    put_register(t, insn_rs1(insn));
    return;
  }
  if (!insn_i(insn) || insn_rs1(insn) != 0) {
    put_register(t, insn_rs1(insn));
    put(t, " + ");
  }
  put_operand2(t, insn, 13, true);
}

static void put_trap_number(struct text *t, u32 insn) {
  if (!insn_i(insn)) {
    put_sum(t, insn);
    return;
  }
  if (insn_rs1(insn) != 0) {
    put_register(t, insn_rs1(insn));
    put(t, " + ");
  }
  put_operand2(t, insn, 8, false);
}

static void put_asi(struct text *t, u32 insn) {
  const char *name = disasm_asi_names[insn >> 5 & 255];
  if (insn_i(insn)) put(t, "%%asi");
  else if (name) put(t, "#ASI_%s", name);
  else put(t, "(%u)", insn >> 5 & 255);
}

static void put_membar(struct text *t, u32 mask) {
  static const char *const names[7] = {"LoadLoad", "StoreLoad", "LoadStore", "StoreStore",
                                       "Lookaside", "MemIssue", "Sync"};
  if (mask == 0) put(t, "0");
  for (u32 n = 7, first = 1; n-- > 0;) {
    if (!(mask >> n & 1)) continue;
    put(t, first ? "#%s" : "|#%s", names[n]);
    first = 0;
  }
}

static void put_prefetch(struct text *t, u32 fcn) {
  if (disasm_prefetch_names[fcn]) put(t, "#%s", disasm_prefetch_names[fcn]);
  else put(t, "%u", fcn);
}

static void put_target(struct text *t, u64 pc, u64 field, u32 bits) {
  i64 words = (i64)(field << (64 - bits)) >> (64 - bits);
  put(t, "0x%" PRIx64, pc + ((u64)words << 2));
}

/* Registers of both files. */
static bool put_register_token(struct text *t, u32 token, u32 insn) {
  switch (token) {
    case TOKEN_RS1: put_register(t, insn_rs1(insn)); return true;
    case TOKEN_RS2: put_register(t, insn_rs2(insn)); return true;
    case TOKEN_RD: put_register(t, insn_rd(insn)); return true;
    case TOKEN_FS1: put(t, "%%f%u", insn_rs1(insn)); return true;
    case TOKEN_FS2: put(t, "%%f%u", insn_rs2(insn)); return true;
    case TOKEN_FS3: put(t, "%%f%u", insn_rs3(insn)); return true;
    case TOKEN_FSD: put(t, "%%f%u", insn_rd(insn)); return true;
    case TOKEN_FD1: case TOKEN_FQ1: put_double(t, insn_rs1(insn)); return true;
    case TOKEN_FD2: case TOKEN_FQ2: put_double(t, insn_rs2(insn)); return true;
    case TOKEN_FD3: put_double(t, insn_rs3(insn)); return true;
    case TOKEN_FDD: case TOKEN_FQD: put_double(t, insn_rd(insn)); return true;
    case TOKEN_FCC: put(t, "%%fcc%u", insn >> 25 & 3); return true;
    case TOKEN_MFCC: put(t, "%%fcc%u", insn >> 11 & 3); return true;
    case TOKEN_BFCC: put(t, "%%fcc%u", insn >> 20 & 3); return true;
    default: return false;
  }
}

/* Immediates and operand 2. */
static bool put_immediate_token(struct text *t, u32 token, u32 insn) {
  switch (token) {
    case TOKEN_RI: case TOKEN_SIMM13: put_operand2(t, insn, 13, true); return true;
    case TOKEN_RI11: put_operand2(t, insn, 11, true); return true;
    case TOKEN_RI10: put_operand2(t, insn, 10, true); return true;
    case TOKEN_RI5: put_operand2(t, insn, 5, true); return true;
    case TOKEN_RI8: put_operand2(t, insn, 8, false); return true;
    case TOKEN_SHCNT32: put_operand2(t, insn, 5, false); return true;
    case TOKEN_SHCNT64: put_operand2(t, insn, 6, false); return true;
    case TOKEN_IMM5: put(t, "%#x", insn >> 9 & 31); return true;
    case TOKEN_IMM5LO: put_number(t, insn & 31); return true;
    case TOKEN_IMM3: put_number(t, insn & 7); return true;
    case TOKEN_IMM22: put(t, "%#x", insn << 10); return true;
    case TOKEN_CONST22: put(t, "%#x", insn & 0x3fffff); return true;
    case TOKEN_TRAPNUM: put_trap_number(t, insn); return true;
    case TOKEN_MEMBAR: put_membar(t, insn & 127); return true;
    case TOKEN_PREFETCH: put_prefetch(t, insn_rd(insn)); return true;
    default: return false;
  }
}

/* Addresses, branch targets and the completers of branches. */
static void put_address_token(struct text *t, u32 token, u32 insn, u64 pc) {
  switch (token) {
    case TOKEN_ADDR: case TOKEN_ASIADDR:
      put(t, "[ ");
      put_sum(t, insn);
      put(t, " ]");
      if (token == TOKEN_ASIADDR) {
        put_char(t, ' ');
        put_asi(t, insn);
      }
      break;
    case TOKEN_JUMPADDR: put_sum(t, insn); break;
    case TOKEN_CASASI: put_asi(t, insn); break;
    case TOKEN_DISP30: put_target(t, pc, insn, 30); break;
    case TOKEN_DISP22: put_target(t, pc, insn, 22); break;
    case TOKEN_DISP19: put_target(t, pc, insn, 19); break;
    case TOKEN_DISP16: put_target(t, pc, (insn >> 20 & 3) << 14 | (insn & 0x3fff), 16); break;
    case TOKEN_DISP10: put_target(t, pc, (insn >> 19 & 3) << 8 | (insn >> 5 & 255), 10); break;
    case TOKEN_ANNUL: put(t, "%s", insn >> 29 & 1 ? ",a" : ""); break;
    case TOKEN_BPP: put(t, "%s", insn >> 19 & 1 ? "" : ",pn"); break;
    default: put_char(t, '?'); break;
  }
}

static const char *template_find(u32 row, u32 insn) {
  for (size_t n = 0; n < ARRAY_LEN(disasm_aliases); n++) {
    const struct disasm_alias *alias = &disasm_aliases[n];
    if (alias->row == row && (insn & alias->mask) == alias->value &&
        (insn >> alias->same_a & 31) == (insn >> alias->same_b & 31))
      return alias->text;
  }
  return disasm_templates[row];
}

int isa_disasm(u32 insn, u64 pc, char *buf, size_t len) {
  struct text t = {buf, len, 0};
  u32 row = isa_decode(insn);
  if (len) buf[0] = 0;
  if (row == ISA_ILLEGAL) {
    put(&t, ".word 0x%08x", insn);
    return (int)t.used;
  }
  for (const char *p = template_find(row, insn); *p; p++) {
    u32 token = (u8)*p;
    if (token < 0x80) put_char(&t, *p);
    else if (!put_register_token(&t, token, insn) && !put_immediate_token(&t, token, insn))
      put_address_token(&t, token, insn, pc);
  }
  return (int)t.used;
}
