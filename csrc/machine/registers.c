/* registers.c - registers by name, and the instruction table for clients. */
#include <string.h>

#include "isa/disasm.h"
#include "machine/machine.h"
#include "strand/fpu.h"
#include "strand/internal.h"
#include "strand/mmu.h"
#include "strand/window.h"

enum reg_kind { REG_INT, REG_SINGLE, REG_DOUBLE, REG_FIELD, REG_PC, REG_CCR, REG_FSR, REG_CWP, REG_GL, REG_TICK,
                REG_STICK, REG_INSNS };
struct reg {
  const char *name;
  u8 kind;
  u8 number;     /* of the register, or bytes of a field */
  u16 offset;    /* of a field, in bytes */
};

#define F(name, field) {name, REG_FIELD, sizeof(((struct strand *)0)->field), (u16)offsetof(struct strand, field)}
#define I8(set, base) {set "0", REG_INT, (base), 0}, {set "1", REG_INT, (base) + 1, 0}, {set "2", REG_INT, (base) + 2, 0}, \
  {set "3", REG_INT, (base) + 3, 0}, {set "4", REG_INT, (base) + 4, 0}, {set "5", REG_INT, (base) + 5, 0},                 \
  {set "6", REG_INT, (base) + 6, 0}, {set "7", REG_INT, (base) + 7, 0}
#define S(n) {"f" #n, REG_SINGLE, n, 0}
#define D(n) {"d" #n, REG_DOUBLE, n, 0}

static const struct reg regs[] = {
    I8("g", 0), I8("o", 8), I8("l", 16), I8("i", 24),
    S(0), S(1), S(2), S(3), S(4), S(5), S(6), S(7), S(8), S(9), S(10), S(11), S(12), S(13), S(14), S(15), S(16), S(17),
    S(18), S(19), S(20), S(21), S(22), S(23), S(24), S(25), S(26), S(27), S(28), S(29), S(30), S(31),
    D(0), D(2), D(4), D(6), D(8), D(10), D(12), D(14), D(16), D(18), D(20), D(22), D(24), D(26), D(28), D(30), D(32),
    D(34), D(36), D(38), D(40), D(42), D(44), D(46), D(48), D(50), D(52), D(54), D(56), D(58), D(60), D(62),
    {"pc", REG_PC, 0, 0}, {"npc", REG_PC, 1, 0}, {"ccr", REG_CCR, 0, 0}, {"fsr", REG_FSR, 0, 0}, F("y", y),
    F("gsr", gsr), F("asi", asi), F("fprs", fprs), F("pstate", pstate), F("tl", tl), {"gl", REG_GL, 0, 0}, F("pil", pil),
    F("tba", tba), F("rtba", rtba), {"cwp", REG_CWP, 0, 0}, F("cansave", cansave), F("canrestore", canrestore),
    F("cleanwin", cleanwin), F("otherwin", otherwin), F("wstate", wstate), F("softint", softint),
    F("tick_cmpr", tick_cmpr), F("stick_cmpr", stick_cmpr), {"tick", REG_TICK, 0, 0}, {"stick", REG_STICK, 0, 0},
    F("tpc1", tpc[1]), F("tnpc1", tnpc[1]), F("tstate1", tstate[1]), F("tt1", tt[1]), F("tpc2", tpc[2]),
    F("tnpc2", tnpc[2]), F("tstate2", tstate[2]), F("tt2", tt[2]), F("context0", context[0]),
    F("context1", context[1]), F("fault_area", fault_area), F("mmu_enabled", mmu_enabled), {"insns", REG_INSNS, 0, 0},
    F("run_state", run_state), F("waiting", waiting),
};
#undef F
#undef S
#undef D

int s4v_reg_count(void) { return (int)ARRAY_LEN(regs); }

const char *s4v_reg_name(int reg) { return reg >= 0 && reg < s4v_reg_count() ? regs[reg].name : NULL; }

int s4v_reg_find(const char *name) {
  for (int i = 0; i < s4v_reg_count(); i++)
    if (strcmp(regs[i].name, name) == 0) return i;
  return S4V_ENOENT;
}

static u64 field_get(const struct strand *s, const struct reg *r) {
  const u8 *p = (const u8 *)s + r->offset;
  return r->number == 1 ? *p : r->number == 4 ? *(const u32 *)(const void *)p : *(const u64 *)(const void *)p;
}

static u32 double_field(u32 n) { return (n & 0x1e) | n >> 5; }

int s4v_reg_get(const s4v_machine *m, uint32_t strand, int reg, uint64_t *value) {
  if (!hyp_strand(&m->domain, strand) || !s4v_reg_name(reg)) return S4V_ENOENT;
  struct strand *s = m->domain.by_id[strand];
  const struct reg *r = &regs[reg];
  switch (r->kind) {
  case REG_INT: *value = reg_get(s, r->number); break;
  case REG_SINGLE: *value = fp_single(s, r->number); break;
  case REG_DOUBLE: *value = s->f[r->number / 2]; break;
  case REG_PC: *value = r->number ? s->npc : s->pc; break;
  case REG_CCR: *value = strand_ccr(s); break;
  case REG_FSR: *value = fpu_read_fsr(s); break;
  case REG_CWP: *value = s->cwp; break;
  case REG_GL: *value = s->gl; break;
  case REG_TICK: *value = machine_tick(s, 0); break;
  case REG_STICK: *value = strand_stick_of_tick(s, machine_tick(s, 0)); break;
  case REG_INSNS: *value = s->insns; break;
  default: *value = field_get(s, r); break;
  }
  return S4V_OK;
}

/* A value no instruction could have put there is refused. */
static bool field_allows(const char *name, u64 v) {
  static const struct { const char *name; u64 max; } limits[] = {
      {"tl", MAX_TL}, {"pil", 15}, {"cansave", 7}, {"canrestore", 7}, {"cleanwin", 7}, {"otherwin", 7}, {"wstate", 63},
      {"asi", 255}, {"fprs", 7}, {"y", 0xffffffff}, {"pstate", PSTATE_ALL}, {"context0", 0x1fff}, {"context1", 0x1fff},
      {"mmu_enabled", 1}, {"softint", SOFTINT_MASK}};
  for (size_t i = 0; i < ARRAY_LEN(limits); i++)
    if (strcmp(limits[i].name, name) == 0) return v <= limits[i].max;
  return true;
}

static int field_set(struct strand *s, const struct reg *r, u64 v) {
  static const char *const fixed[] = {"fault_area", "run_state", "waiting"};
  for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
    if (strcmp(fixed[i], r->name) == 0) return S4V_EREADONLY;
  if (!field_allows(r->name, v)) return S4V_EINVAL;
  u8 *p = (u8 *)s + r->offset;
  if (r->number == 1)
    *p = (u8)v;
  else if (r->number == 4)
    *(u32 *)(void *)p = (u32)v;
  else
    *(u64 *)(void *)p = v;
  if (strcmp(r->name, "tick_cmpr") == 0) s->tick_fired = (u8)(v >> 63);
  if (strcmp(r->name, "stick_cmpr") == 0) s->stick_fired = (u8)(v >> 63);
  return S4V_OK;
}

int s4v_reg_set(s4v_machine *m, uint32_t strand, int reg, uint64_t value) {
  if (!hyp_strand(&m->domain, strand) || !s4v_reg_name(reg)) return S4V_ENOENT;
  struct strand *s = m->domain.by_id[strand];
  const struct reg *r = &regs[reg];
  u8 fprs = s->fprs;
  int result = S4V_OK;
  switch (r->kind) {
  case REG_INT: reg_set(s, r->number, value); break;
  case REG_SINGLE: fp_write_single(s, r->number, (u32)value); s->fprs = fprs; break;
  case REG_DOUBLE: fp_write_double(s, double_field(r->number), value); s->fprs = fprs; break;
  case REG_PC:
    if (value & 3) return S4V_EINVAL;
    if (r->number == 0) s->pc = value, s->npc = value + 4;
    else s->npc = value;
    break;
  case REG_CCR: strand_set_ccr(s, (u32)value & 0xff); break;
  case REG_FSR: fpu_write_fsr(s, value, true, true); break;
  case REG_CWP:
    if (value >= NWINDOWS) return S4V_EINVAL;
    window_set_cwp(s, (u32)value);
    break;
  case REG_GL:
    if (value > MAX_GL) return S4V_EINVAL;
    strand_set_gl(s, (u32)value);
    break;
  case REG_FIELD: result = field_set(s, r, value); break;
  default: return S4V_EREADONLY;
  }
  s->gsr &= GSR_MASK;
  s->tba &= ~0x7fffull;
  strand_mode_changed(s);
  return result;
}

int s4v_isa_count(void) { return (int)isa_row_count; }

static bool row_exists(int op) { return op >= 0 && op < (int)isa_row_count; }

const char *s4v_isa_name(int op) { return row_exists(op) ? isa_rows[op].name : NULL; }

const char *s4v_isa_feature(int op) {
  if (!row_exists(op)) return NULL;
  return isa_rows[op].feature == ISA_BASE ? "v9" : isa_feature_name(isa_rows[op].feature);
}

int s4v_isa_match(int op, int form, uint32_t *match, uint32_t *mask) {
  for (u32 i = 0; i < isa_form_count; i++) {
    if (isa_forms[i].row != op || form-- > 0) continue;
    *match = isa_forms[i].match;
    *mask = isa_forms[i].mask;
    return S4V_OK;
  }
  return S4V_ENOENT;
}

int s4v_isa_decode(uint32_t insn) {
  u32 row = isa_decode(insn);
  return row == ISA_ILLEGAL ? S4V_ENOENT : (int)row;
}

int s4v_disasm(uint32_t insn, uint64_t pc, char *buf, size_t len) { return isa_disasm(insn, pc, buf, len); }

int s4v_feature_count(void) { return (int)isa_feature_count(); }
const char *s4v_feature_name(int bit) { return isa_feature_name((u32)bit); }
const char *s4v_feature_hwcap(int bit) { return isa_feature_hwcap((u32)bit); }
