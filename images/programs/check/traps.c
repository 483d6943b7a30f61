/* traps.c - precise traps: type, TPC, TNPC, TSTATE, DONE and RETRY, trap levels and trap globals. */
#include "check.h"

static u64 word_ ALIGNED(16);
static u64 where;

/* Labels around the instruction tell where the trap must have happened. */
#define AT(instruction, ...) \
  __asm__ volatile("rd %%pc, %0\n\t" instruction : "=&r"(where) : __VA_ARGS__ : "memory", "cc", "g1")

static void illegal(void) {
  CHECK_TRAP(0x010, AT("illtrap 0", "r"(0)));
  CHECK_EQUAL(trap_last.tpc, where + 4);
  CHECK_EQUAL(trap_last.tnpc, where + 8);
  CHECK_EQUAL(trap_last.tl, 1);
  CHECK_TRAP(0x010, AT(".word 0x81f80000", "r"(0))); /* reserved opcode: op 2, op3 3f, without op5 */
  CHECK_TRAP(0x010, AT(".word 0xc3880000", "r"(0))); /* op3 31, fcn 1 with i, rs1: reserved */
}

static void arithmetic(void) {
  CHECK_TRAP(0x028, AT("udivx %1, %%g0, %%g1", "r"(5ul)));
  CHECK_TRAP(0x028, AT("sdivx %1, %%g0, %%g1", "r"(5ul)));
  CHECK_TRAP(0x023, AT("taddcctv %1, 1, %%g1", "r"(4ul)));
  CHECK_TRAP(0x023, AT("tsubcctv %1, 2, %%g1", "r"(4ul)));
}

static void alignment(void) {
  u64 p = (u64)&word_;
  CHECK_TRAP(0x034, AT("lduh [%1 + 1], %%g1", "r"(p)));
  CHECK_TRAP(0x034, AT("st %%g0, [%1 + 2]", "r"(p)));
  CHECK_TRAP(0x034, AT("ldx [%1 + 4], %%g1", "r"(p)));
  CHECK_TRAP(0x034, AT("jmpl %1 + 2, %%g0\n\tnop", "r"(p)));
  CHECK_TRAP(0x035, AT("ldd [%1 + 4], %%f0", "r"(p)));
  CHECK_TRAP(0x036, AT("std %%f0, [%1 + 4]", "r"(p)));
  CHECK_TRAP(0x034, AT("ldd [%1 + 2], %%f0", "r"(p)));
  CHECK_EQUAL(fault_area.dfa, p + 2);
  CHECK_EQUAL(fault_area.dft, FAULT_ALIGN);
}

static void floating_point(void) {
  u64 one = 0x3ff0000000000000ul, zero = 0, fsr = 2ul << 23 /* TEM = division by zero */, seen, result = 7;
  WRPR(pstate, RDPR(pstate) & ~0x10ul);
  CHECK_TRAP(0x020, AT("fmovd %%f0, %%f2", "r"(0)));
  CHECK_TRAP(0x020, AT("ldd [%1], %%f0", "r"(&one)));
  WRPR(pstate, RDPR(pstate) | 0x10);
  WRASR(fprs, 0);
  CHECK_TRAP(0x020, AT("faddd %%f0, %%f2, %%f4", "r"(0)));
  WRASR(fprs, 4);
  __asm__ volatile("ldx [%0], %%fsr\n\tldd [%1], %%f0\n\tldd [%2], %%f2\n\tldd [%3], %%f4"
                   :
                   : "r"(&fsr), "r"(&one), "r"(&zero), "r"(&result)
                   : "memory");
  CHECK_TRAP(0x021, AT("fdivd %%f0, %%f2, %%f4", "r"(0)));
  __asm__ volatile("stx %%fsr, [%0]\n\tstd %%f4, [%1]" : : "r"(&seen), "r"(&result) : "memory");
  CHECK_EQUAL(seen & 0x1f, 2);          /* cexc: division by zero */
  CHECK_EQUAL(seen >> 5 & 0x1f, 0);     /* aexc stays as it was */
  CHECK_EQUAL(seen >> 14 & 7, 1);       /* ftt: IEEE_754_exception */
  CHECK_EQUAL(result, 7);               /* the destination is not written */
  fsr = 0;
  __asm__ volatile("ldx [%0], %%fsr" : : "r"(&fsr) : "memory");
  /* faddq %f0, %f0, %f0: no chip from the T2 on decodes quad precision */
  CHECK_TRAP(0x010, AT(".word 0x81a00860", "r"(0)));
}

static void software_traps(void) {
  CHECK_TRAP(0x100, AT("ta 0", "r"(0)));
  CHECK_TRAP(0x17f, AT("ta 0x7f", "r"(0)));
  CHECK_TRAP(0x111, AT("ta %1 + 1", "r"(0x10ul)));
  u64 before = traps_taken;
  __asm__ volatile("subcc %%g0, %%g0, %%g0\n\tbne,a 1f\n\t ta 3\n\ttne %%icc, 4\n1:" : : : "cc");
  CHECK_EQUAL(traps_taken, before);
}

/* A trap in a delay slot: TNPC is the branch target. */
static void delay_slot(void) {
  u64 target;
  CHECK_TRAP(0x112, __asm__ volatile("rd %%pc, %0\n\tba,pt %%xcc, 1f\n\t ta 0x12\n\tnop\n\tnop\n1:\trd %%pc, %1"
                                     : "=&r"(where), "=&r"(target)));
  CHECK_EQUAL(trap_last.tpc, where + 8);
  CHECK_EQUAL(trap_last.tnpc, target);
  CHECK_EQUAL(target, where + 20);
}

/* RETRY runs the instruction again: the handler mends the address. */
static void mend(struct trap_frame *f) {
  trap_last = *f;
  f->o[1] = (u64)&word_;
}

static void retry(void) {
  u64 value, address;
  word_ = 77;
  trap_handler_set(0x034, mend);
  __asm__ volatile("add %2, 1, %%o1\n\tldx [%%o1], %0\n\tmov %%o1, %1"
                   : "=&r"(value), "=&r"(address)
                   : "r"(&word_)
                   : "memory", "o1");
  trap_handler_set(0x034, NULL);
  CHECK_EQUAL(value, 77);
  CHECK_EQUAL(address, (u64)&word_);
}

/* The trap saves CCR, ASI, PSTATE, CWP and GL; DONE brings them back. */
static void state(void) {
  u64 ccr, cwp = RDPR(cwp), pstate = RDPR(pstate);
  WRASR(asi, 0x88);
  CHECK_TRAP(0x115, __asm__ volatile("wr %%g0, 0xa5, %%ccr\n\tta 0x15\n\trd %%ccr, %0" : "=r"(ccr) : : "cc"));
  CHECK_EQUAL(RDASR(asi), 0x88);
  WRASR(asi, 0x80);
  CHECK_EQUAL(ccr, 0xa5);
  CHECK_EQUAL(trap_last.tstate >> 32 & 0xff, 0xa5);
  CHECK_EQUAL(trap_last.tstate >> 24 & 0xff, 0x88);
  CHECK_EQUAL(trap_last.tstate >> 8 & 0xfff, pstate & 0xfff);
  CHECK_EQUAL(trap_last.tstate & 0x1f, cwp);
  CHECK_EQUAL(trap_last.tstate >> 40 & 7, 0);
  CHECK_EQUAL(RDPR(tl), 0);
  CHECK_EQUAL(RDPR(gl), 0);
}

static void globals(void) {
  u64 seen;
  __asm__ volatile(
      "mov 11, %%g1\n\twrpr %%g0, 1, %%gl\n\tmov 22, %%g1\n\twrpr %%g0, 2, %%gl\n\tmov 33, %%g1\n\t"
      "wrpr %%g0, 0, %%gl\n\tmov %%g1, %0\n\twrpr %%g0, 2, %%gl\n\tsllx %%g1, 16, %%g1\n\t"
      "wrpr %%g0, 1, %%gl\n\tsllx %%g1, 8, %%g1\n\tor %0, %%g1, %0\n\twrpr %%g0, 0, %%gl"
      : "=&r"(seen)
      :
      : "g1");
  CHECK_EQUAL(seen, 22 << 8 | 11);
  WRPR(gl, 7); /* clamps at MAXPGL */
  u64 highest = RDPR(gl);
  WRPR(gl, 0);
  CHECK_EQUAL(highest, 2);
}

int main(void) {
  illegal();
  arithmetic();
  alignment();
  floating_point();
  software_traps();
  delay_slot();
  retry();
  state();
  globals();
  return check_result("traps");
}
