/* smp.c - a second strand: CPU_START, CPU_STATE, its start state, and atomics and stores both strands see. */
#include "check.h"
#include "hcall.h"

enum { ROUNDS = 20000 };
extern char second_entry[];
volatile u64 second_alive, second_state[4], counter, turn;

/* Start state of the second strand, then ROUNDS additions with CASX, then a spin. No stack is needed. */
__asm__(
    ".text\n"
    ".global second_entry\n"
    "second_entry:\n"
    "  set second_state, %l1\n"
    "  stx %o0, [%l1]\n"
    "  rdpr %pstate, %l2\n"
    "  stx %l2, [%l1 + 8]\n"
    "  rdpr %tl, %l2\n"
    "  stx %l2, [%l1 + 16]\n"
    "  rdpr %pil, %l2\n"
    "  stx %l2, [%l1 + 24]\n"
    "  set counter, %l1\n"
    "  set 20000, %l4\n"
    "1: ldx [%l1], %l2\n"
    "2: add %l2, 1, %l3\n"
    "  casx [%l1], %l2, %l3\n"
    "  cmp %l2, %l3\n"
    "  bne,a,pn %xcc, 2b\n"
    "   mov %l3, %l2\n"
    "  brnz,pt %l4, 1b\n"
    "   sub %l4, 1, %l4\n"
    "  set second_alive, %l1\n"
    "  mov 1, %l2\n"
    "  membar #StoreStore\n"
    "  stx %l2, [%l1]\n"
    "3: ba,a,pt %xcc, 3b\n"
    "  nop\n");

static void add_one(volatile u64 *p) {
  u64 old = *p, seen;
  for (;; old = seen) {
    seen = old + 1;
    __asm__ volatile("casx [%1], %2, %0" : "+r"(seen) : "r"(p), "r"(old) : "memory");
    if (seen == old) return;
  }
}

static u64 state_of(u64 cpu) {
  struct hcall h = {{cpu}};
  CHECK_EQUAL(hcall_fast(CPU_STATE, &h), EOK);
  return h.arg[1];
}

int main(void) {
  struct hcall start = {{1, (u64)second_entry, 0, 0x1234}}, again = start, stop = {{1}}, id = {{0}};
  CHECK_EQUAL(hcall_fast(CPU_MYID, &id), EOK);
  CHECK_EQUAL(id.arg[1], 0);
  CHECK_EQUAL(state_of(1), 1);
  CHECK_EQUAL(hcall_fast(CPU_START, &start), EOK);
  CHECK_EQUAL(hcall_fast(CPU_START, &again), EINVAL); /* it runs already */
  CHECK_EQUAL(state_of(1), 2);
  for (int i = 0; i < ROUNDS; i++) add_one(&counter);
  while (!second_alive) continue;
  CHECK_EQUAL(counter, 2 * ROUNDS + 1); /* the second strand's loop runs once more */
  CHECK_EQUAL(second_state[0], 0x1234);
  CHECK_EQUAL(second_state[1], 4); /* PRIV only */
  CHECK_EQUAL(second_state[2], 0);
  CHECK_EQUAL(second_state[3], 15);
  CHECK_EQUAL(hcall_fast(CPU_STOP, &stop), EOK);
  CHECK_EQUAL(state_of(1), 1);
  return check_result("smp");
}
