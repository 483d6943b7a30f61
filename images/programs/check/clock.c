/* clock.c - TICK and STICK run forward; STICK_CMPR sets SOFTINT, which interrupts when PIL and PSTATE.IE let it. */
#include "check.h"

#define INTERRUPT_14 0x04e
static u64 interrupts, softint_seen;

static void on_interrupt(struct trap_frame *f) {
  trap_last = *f; /* no trap_skip: an interrupt resumes where it came */
  interrupts++;
  softint_seen = RDASR(asr22);
  WRASR(asr21, ~0ul); /* clear SOFTINT */
}

static void forward(void) {
  u64 tick = RDASR(tick), stick = RDASR(asr24);
  for (int i = 0; i < 1000; i++) __asm__ volatile("nop");
  CHECK(RDASR(tick) >= tick);
  CHECK(RDASR(asr24) >= stick);
  while (RDASR(asr24) == stick) continue;
}

/* The match may be noticed late, but not never. */
static void wait_match(u64 due, u64 count) {
  while (RDASR(asr24) < due) continue;
  for (int i = 0; i < 50000000 && RDASR(asr22) == 0 && interrupts == count; i++) continue;
}

static void interrupt(void) {
  trap_handler_set(INTERRUPT_14, on_interrupt);
  WRASR(asr21, ~0ul);
  u64 due = RDASR(asr24) + 20000;
  WRASR(asr25, due);
  wait_match(due, 0); /* IE is 0: pending, not taken */
  CHECK_EQUAL(RDASR(asr22), 1ul << 16);
  CHECK_EQUAL(interrupts, 0);
  WRPR(pil, 14);
  WRPR(pstate, RDPR(pstate) | 2);
  __asm__ volatile("nop\n\tnop");
  CHECK_EQUAL(interrupts, 0); /* level 14 is not above PIL 14 */
  WRPR(pil, 13);
  __asm__ volatile("nop\n\tnop");
  CHECK_EQUAL(interrupts, 1);
  CHECK_EQUAL(softint_seen, 1ul << 16);
  CHECK_EQUAL(trap_last.tt, INTERRUPT_14);
  WRASR(asr20, 1ul << 14); /* software asks for level 14 itself */
  __asm__ volatile("nop\n\tnop");
  CHECK_EQUAL(interrupts, 2);
  due = RDASR(asr24) + 20000;
  WRASR(asr25, due);
  wait_match(due, 2);
  CHECK_EQUAL(interrupts, 3);
  WRASR(asr25, 1ul << 63); /* disabled */
  WRPR(pstate, RDPR(pstate) & ~2ul);
  WRPR(pil, 15);
}

int main(void) {
  forward();
  interrupt();
  return check_result("clock");
}
